// A browser and a page that watches itself: errors on the console and requests to other hosts are failures.

import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

export const url = process.env['FOLDIN_URL'] ?? 'http://127.0.0.1:8080';
/** An admin key, of a server that has keys. */
export const key = process.env['FOLDIN_KEY'];

export function launch(): Promise<Browser> {
  // A container's root has no user namespaces for the browser's sandbox; it opens our own pages alone.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args });
}

export interface Watched {
  page: Page;
  /** What should not have happened, so far. */
  faults: string[];
  close: () => Promise<void>;
}

export interface Options extends BrowserContextOptions {
  /** Whether the key is there from the beginning; it is, unless told otherwise. */
  signedIn?: boolean;
  /** Errors on the console that belong to the test. */
  expected?: RegExp;
}

export async function open(browser: Browser, path: string, options: Options = {}): Promise<Watched> {
  const { signedIn = true, expected, ...rest } = options;
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, baseURL: url, ...rest });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && !expected?.test(text)) faults.push(`console: ${text}`);
  });
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('request', (request) => {
    const asked = new URL(request.url());
    if (asked.protocol !== 'data:' && asked.origin !== new URL(url).origin) faults.push(`request to ${asked.origin}`);
  });
  if (signedIn && key !== undefined) {
    await page.addInitScript((value) => sessionStorage.setItem('foldin-api-key', value), key);
  }
  await page.goto(path);
  return { page, faults, close: () => context.close() };
}

/** Asks the server without the page. */
export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (key !== undefined) headers['authorization'] = `Bearer ${key}`;
  const response = await fetch(url + path, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** Waits until a condition on the page holds. */
export async function until(condition: () => Promise<boolean>, what: string, seconds = 10): Promise<void> {
  const end = Date.now() + 1000 * seconds;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
