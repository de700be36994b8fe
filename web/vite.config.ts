import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type HttpProxy } from 'vite';

// A running server to develop against; `foldin serve` listens here unless told otherwise.
const server = process.env['FOLDIN_URL'] ?? 'http://127.0.0.1:8080';
const proxy = Object.fromEntries(
  ['/v1', '/metrics', '/health', '/openapi.json', '/docs'].map((path) => [path, { target: server, configure: flush }]),
);

/** Lets the head of a stream of events through at once; otherwise it waits for the first event. */
function flush(proxy: HttpProxy.ProxyServer): void {
  proxy.on('proxyRes', (answer, _, response) => {
    if (answer.headers['content-type'] === 'text/event-stream') setImmediate(() => response.flushHeaders());
  });
}

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: '../crates/server/assets',
    emptyOutDir: true,
    target: 'es2022',
    // The built files are checked in: no source maps, nothing that differs between two builds.
    sourcemap: false,
    reportCompressedSize: false,
    modulePreload: { polyfill: false },
    // The server's policy allows images from `data:` but no fonts or scripts; files are kept as files.
    assetsInlineLimit: 0,
    assetsDir: 'assets',
  },
  server: { proxy },
  // The server's own policy, so that what it would refuse is refused here too.
  preview: {
    proxy,
    headers: { 'content-security-policy': "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'" },
  },
});
