// A browser and a page that watches itself: errors on the console and requests to other hosts are failures.

import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** A server, and the key to ask it with, if it has keys. */
export interface Site {
  url: string;
  key?: string;
}

/** A server without keys. */
export const site: Site = { url: process.env['FOLDIN_URL'] ?? 'http://127.0.0.1:8080' };

function keyed(name: string): Site | undefined {
  const [url, key] = [process.env['FOLDIN_KEYED_URL'], process.env[name]];
  return url === undefined || key === undefined ? undefined : { url, key };
}

/** A server with keys, as two of them see it. */
export const reader = keyed('FOLDIN_READ_KEY');
export const admin = keyed('FOLDIN_ADMIN_KEY');

/** A server that designs. */
export const designer: Site | undefined =
  process.env['FOLDIN_DESIGNER_URL'] === undefined ? undefined : { url: process.env['FOLDIN_DESIGNER_URL'] };

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
  at?: Site;
  /** Whether the key is there from the beginning; it is, unless told otherwise. */
  signedIn?: boolean;
  /** Errors on the console that belong to the test. */
  expected?: RegExp;
}

export async function open(browser: Browser, path: string, options: Options = {}): Promise<Watched> {
  const { at = site, signedIn = true, expected, ...rest } = options;
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, baseURL: at.url, ...rest });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && !expected?.test(text)) faults.push(`console: ${text}`);
  });
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('request', (request) => {
    const asked = new URL(request.url());
    if (asked.protocol !== 'data:' && asked.origin !== new URL(at.url).origin) faults.push(`request to ${asked.origin}`);
  });
  if (signedIn && at.key !== undefined) {
    await page.addInitScript((value) => sessionStorage.setItem('foldin-api-key', value), at.key);
  }
  await page.goto(path);
  return { page, faults, close: () => context.close() };
}

/** Asks the server without the page. */
export async function ask<T>(method: string, path: string, body?: unknown, at: Site = site): Promise<T> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (at.key !== undefined) headers['authorization'] = `Bearer ${at.key}`;
  const response = await fetch(at.url + path, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** Waits until a condition on the page holds. */
export async function until(condition: () => Promise<boolean>, what: string, seconds = 30): Promise<void> {
  const end = Date.now() + 1000 * seconds;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Goes to a page, and waits until nothing on it is being loaded. */
export async function visit(page: Page, path: string): Promise<void> {
  await page.goto(path);
  // The page before this one is gone for certain.
  await page.reload();
  await page.getByRole('heading', { level: 1 }).waitFor();
  await until(async () => (await page.getByRole('status', { name: /^(Loading|Making lists)$/ }).count()) === 0, 'the end of loading');
}
