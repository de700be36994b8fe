import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PAGES } from '../src/lib/pages';
import type { ItemPage, UserLine, Version } from '../src/lib/types';
import { admin, ask, launch, open, reader, visit } from './browser';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

describe.skipIf(!reader || !admin)('A server with keys', () => {
  const [read, all] = [reader ?? { url: '' }, admin ?? { url: '' }];

  it('is entered with a key that it knows, and left again', async () => {
    const { page, faults, close } = await open(browser, '/#/settings', { at: read, signedIn: false, expected: /401/ });
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.getByLabel('API key').fill('fk_wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('not known').waitFor();
    await page.getByLabel('API key').fill(read.key ?? '');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Keys and settings' }).waitFor();
    // The tab keeps it, and nothing else does.
    await page.reload();
    await page.getByRole('heading', { name: 'Keys and settings' }).waitFor();
    expect(await page.evaluate(() => localStorage.length)).toBe(0);

    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.evaluate(() => sessionStorage.getItem('foldin-api-key'))).toBeNull();
    expect(faults).toEqual([]);
    await close();
  });

  it('shows everything to a key that may read, and says what it may not', async () => {
    const { items } = await ask<ItemPage>('GET', '/v1/items?limit=1', undefined, read);
    const [user] = await ask<UserLine[]>('GET', '/v1/users?limit=1', undefined, read);
    // A refusal would be an error on the console.
    const { page, faults, close } = await open(browser, '/', { at: read });
    for (const { page: name } of PAGES) {
      await visit(page, `/#/${name}`);
      expect(await page.getByRole('alert').count(), name).toBe(0);
    }

    await page.goto('/#/model');
    await page.getByRole('region', { name: 'Versions' }).getByText('in service').waitFor();
    await page.getByText('A key of the role admin is needed for training and promoting').waitFor();
    expect(await page.getByRole('button', { name: /Train|Roll back|Promote|Remove/ }).count()).toBe(0);
    await page.goto('/#/settings');
    await page.getByText('A key of the role admin is needed for seeing, making and revoking keys').waitFor();
    expect(await page.getByRole('button', { name: 'Make a key' }).count()).toBe(0);
    await page.goto(`/#/users/${encodeURIComponent(user?.id ?? '')}`);
    await page.getByText('A key of the role write is needed for editing and forgetting').waitFor();
    expect(await page.getByRole('button', { name: /Edit|Forget/ }).count()).toBe(0);
    await page.goto(`/#/items/${encodeURIComponent(items[0]?.id ?? '')}`);
    await page.getByText('A key of the role write is needed for hiding it').waitFor();
    expect(await page.getByRole('switch').isDisabled()).toBe(true);
    expect(faults).toEqual([]);
    await close();
    // The page only says what the server holds to.
    await expect(ask('POST', '/v1/train', {}, read)).rejects.toThrow('403');
  });

  it('tells a key that may read what is written', async () => {
    const { page, faults, close } = await open(browser, '/#/live', { at: read });
    const panel = page.getByRole('region', { name: 'Events as they come' });
    await panel.getByText('Your key may not write').waitFor();
    await panel.getByText('$FOLDIN_API_KEY').waitFor();
    await panel.getByText('watching', { exact: true }).waitFor({ timeout: 30_000 });
    await ask('POST', '/v1/events', { user: 'e2e-keyed', item: 'i0', kind: 'view' }, all);
    await panel.getByRole('listitem').getByRole('link', { name: 'e2e-keyed' }).waitFor();
    expect(faults).toEqual([]);
    await close();
    await ask('DELETE', '/v1/users/e2e-keyed', undefined, all);
  });

  it('lets an admin train, and draws the learning curves of all versions, whoever made them', async () => {
    const before = await ask<Version[]>('GET', '/v1/models', undefined, all);
    const { page, faults, close } = await open(browser, '/#/model', { at: all });
    await page.getByRole('button', { name: 'Train a new version' }).click();
    const form = page.getByRole('dialog');
    await form.getByLabel('May be worse by, %').fill('90');
    await form.getByRole('button', { name: 'Start training' }).click();
    const run = page.getByRole('region', { name: /^Training run \d+/ });
    await run.getByText('promoted', { exact: true }).waitFor({ timeout: 280_000 });
    const versions = await ask<Version[]>('GET', '/v1/models', undefined, all);
    expect(versions).toHaveLength(before.length + 1);
    for (const { name, metrics } of versions) {
      expect((metrics['learning_curve'] as unknown[]).length).toBeGreaterThan(1);
      const row = page.getByRole('region', { name: 'Versions' }).getByRole('listitem').filter({ has: page.getByText(name, { exact: true }) });
      expect(await row.locator('.shown').textContent()).not.toMatch(/curve|through|number/);
      await row.getByText(/^Settings.* learning curve/).click();
      await row.getByRole('img', { name: 'Figures of the fit by epoch' }).waitFor();
    }
    expect(faults).toEqual([]);
    await close();
  }, 300_000);

  it('lists keys on a phone, in which nothing has to be scrolled sideways', async () => {
    const { page, faults, close } = await open(browser, '/#/settings', { at: all, viewport: { width: 360, height: 780 }, hasTouch: true, isMobile: true });
    const revoke = page.getByRole('region', { name: 'API keys' }).getByRole('button', { name: 'Revoke' });
    await revoke.first().waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    const box = await revoke.first().boundingBox();
    expect(box && box.x + box.width).toBeLessThanOrEqual(360);
    expect(faults).toEqual([]);
    await close();
  });

  it('lets an admin make a key and revoke it, and shuts out whoever uses it', async () => {
    const { page, faults, close } = await open(browser, '/#/settings', { at: all });
    const label = `e2e ${Date.now()}`;
    await page.getByRole('button', { name: 'Make a key' }).click();
    await page.getByLabel('What it is for').fill(label);
    await page.getByRole('button', { name: 'Make it' }).click();
    const made = { url: all.url, key: (await page.getByTestId('new-key').textContent()) ?? '' };
    await page.getByRole('button', { name: 'Done' }).click();

    const other = await open(browser, '/#/users', { at: made, expected: /401/ });
    await other.page.getByRole('heading', { name: 'Users' }).waitFor();
    await page.getByRole('row').filter({ hasText: label }).getByRole('button', { name: 'Revoke' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await page.getByText('is revoked').waitFor();
    expect(await page.getByRole('row').filter({ hasText: label }).count()).toBe(0);
    await expect(ask('GET', '/v1/stats', undefined, made)).rejects.toThrow('401');
    await other.page.goto('/#/items');
    await other.page.getByText('does not take the key of this tab any more').waitFor();
    expect([...faults, ...other.faults]).toEqual([]);
    await Promise.all([close(), other.close()]);
  });
});
