import { defineConfig } from 'vitest/config';

// One browser, one server, one store: the files run one after the other.
export default defineConfig({
  test: { include: ['e2e/**/*.spec.ts'], testTimeout: 180_000, hookTimeout: 180_000, fileParallelism: false },
});
