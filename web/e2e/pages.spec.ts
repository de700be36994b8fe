import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ItemPage, Job, User, Version } from '../src/lib/types';
import { ask, key, launch, open, until, url } from './browser';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

/** Somebody with a few events, made anew. */
async function somebody(id: string): Promise<string> {
  const { items } = await ask<ItemPage>('GET', '/v1/items?limit=8');
  const stats = await ask<{ scale: { max: number } | null }>('GET', '/v1/stats');
  const event = ({ id: item }: { id: string }): object =>
    stats.scale === null ? { user: id, item, kind: 'like' } : { user: id, item, value: stats.scale.max };
  await ask('POST', '/v1/events', items.map(event));
  await ask('PUT', `/v1/users/${id}`, { features: { age: 31 } });
  return id;
}

describe('every page', () => {
  const pages = ['try', 'model', 'users', 'live', 'items', 'settings'];

  it('fits a phone, in which nothing has to be scrolled sideways', async () => {
    const id = await somebody('e2e-phone');
    const { items } = await ask<ItemPage>('GET', '/v1/items?limit=1');
    const { page, faults, close } = await open(browser, '/', { viewport: { width: 360, height: 780 }, hasTouch: true, isMobile: true });
    for (const name of [...pages, `users/${id}`, `items/${items[0]?.id ?? ''}`]) {
      await page.goto(`/#/${name}`);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await page.waitForTimeout(600);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(over, name).toBeLessThanOrEqual(0);
      const bar = await page.getByRole('navigation', { name: 'Pages' }).boundingBox();
      expect(bar && bar.y + bar.height, name).toBeGreaterThan(770);
    }
    expect(faults).toEqual([]);
    await close();
    await ask('DELETE', `/v1/users/${id}`);
  });

  it('is dark where the system is, and as was chosen after that', async () => {
    const { page, faults, close } = await open(browser, '/', { colorScheme: 'dark' });
    const brightness = (): Promise<number> =>
      page.evaluate(() => {
        const [r = 0, g = 0, b = 0] = (getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g) ?? []).map(Number);
        return (r + g + b) / 3;
      });
    await page.getByRole('heading', { name: 'Try it' }).waitFor();
    expect(await brightness()).toBeLessThan(60);
    await page.getByRole('button', { name: 'Use light colours' }).click();
    expect(await brightness()).toBeGreaterThan(200);
    await page.reload();
    await page.getByRole('button', { name: 'Use dark colours' }).waitFor();
    expect(await brightness()).toBeGreaterThan(200);
    expect(faults).toEqual([]);
    await close();
  });

  it('is reached by the keyboard, with the focus to be seen', async () => {
    const { page, faults, close } = await open(browser, '/');
    await page.getByRole('heading', { name: 'Try it' }).waitFor();
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toContain('Skip');
    for (const _ of [1, 2, 3]) await page.keyboard.press('Tab');
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement as Element).outlineStyle);
    expect(outline).toBe('solid');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Model', level: 1 }).waitFor();
    expect(faults).toEqual([]);
    await close();
  });
});

describe('Users', () => {
  it('shows a history, takes features, and forgets', async () => {
    const id = await somebody('e2e-user');
    const { page, faults, close } = await open(browser, '/#/users');
    await page.getByRole('textbox', { name: 'Key of a user' }).fill(id);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: id }).waitFor();
    const events = page.getByRole('region', { name: 'History' }).getByRole('listitem');
    await until(async () => (await events.count()) === 8, 'the history');
    await page.getByRole('region', { name: 'Recommendations' }).getByText('because they').first().waitFor();

    const features = page.getByRole('region', { name: 'Features' });
    await features.getByRole('button', { name: 'Edit' }).click();
    await features.getByRole('combobox', { name: 'Value of age' }).fill('44');
    await features.getByRole('button', { name: 'Save' }).click();
    await features.getByText('44').waitFor();
    expect((await ask<User>('GET', `/v1/users/${id}`)).features).toEqual({ age: 44 });

    await page.getByRole('button', { name: 'Forget' }).click();
    const dialog = page.getByRole('dialog');
    const sure = dialog.getByRole('button', { name: 'Forget' });
    expect(await sure.isDisabled()).toBe(true);
    await dialog.getByRole('textbox').fill('somebody else');
    expect(await sure.isDisabled()).toBe(true);
    await dialog.getByRole('textbox').fill(id);
    await sure.click();
    await page.getByText(`${id} is forgotten`).waitFor();
    expect(faults).toEqual([]);
    await expect(ask('GET', `/v1/users/${id}`)).rejects.toThrow('unknown_user');
    await close();
  });
});

describe('The map', () => {
  it('shows where items and users stand, and finds them', async () => {
    const { items } = await ask<ItemPage>('GET', '/v1/items?limit=1');
    const title = items[0]?.title ?? '';
    const { page, faults, close } = await open(browser, '/#/users');
    await page.getByRole('button', { name: 'Map' }).click();
    await page.getByRole('img', { name: /^Map of/ }).waitFor();
    await page.getByRole('searchbox', { name: 'Find on the map' }).fill(title);
    await page.getByRole('link', { name: title }).first().click();
    await page.getByRole('heading', { name: title }).waitFor();
    expect(faults).toEqual([]);
    await close();
  });
});

describe('Items', () => {
  it('are found, shown, hidden and shown again', async () => {
    const { items } = await ask<ItemPage>('GET', '/v1/items?limit=3');
    const item = items[2];
    if (item === undefined) throw new Error('a catalogue of three items is needed');
    const { page, faults, close } = await open(browser, '/#/items');
    await page.getByRole('searchbox').fill(item.title);
    await page.getByRole('link', { name: item.title, exact: true }).click();
    await page.getByRole('heading', { name: item.title }).waitFor();
    await page.getByRole('region', { name: 'Similar items' }).getByRole('listitem').first().waitFor();
    await page.getByRole('switch').check();
    await page.getByText('not recommended any more').waitFor();
    expect((await ask<{ hidden: boolean }>('GET', `/v1/items/${encodeURIComponent(item.id)}`)).hidden).toBe(true);
    await page.getByRole('switch').uncheck();
    await page.getByText('can be recommended again').waitFor();
    expect(faults).toEqual([]);
    await close();
  });
});

describe('Live', () => {
  it('draws what is asked', async () => {
    const { page, faults, close } = await open(browser, '/#/live');
    await page.getByRole('cell', { name: '/v1/stats' }).waitFor();
    for (let at = 0; at < 20; at += 1) await ask('POST', '/v1/recommend', { wish: { n: 3 } });
    await page.getByRole('cell', { name: '/v1/recommend', exact: true }).waitFor();
    await until(async () => /[1-9].*\/s/.test((await page.getByRole('region', { name: 'Requests' }).locator('.value').textContent()) ?? ''), 'a rate');
    expect(faults).toEqual([]);
    await close();
  });
});

describe('Model', () => {
  it('trains, shows the run, rolls back and promotes', async () => {
    const before = await ask<Version[]>('GET', '/v1/models');
    const { page, faults, close } = await open(browser, '/#/model');
    await page.getByRole('button', { name: 'Train a new version' }).click();
    const form = page.getByRole('dialog');
    await form.getByLabel('May be worse by, %').fill('90');
    await form.getByRole('button', { name: 'Start training' }).click();
    const run = page.getByRole('region', { name: /^Training run \d+/ });
    await run.getByText('promoted', { exact: true }).waitFor({ timeout: 280_000 });
    const after = await ask<Version[]>('GET', '/v1/models');
    expect(after).toHaveLength(before.length + 1);
    const [old, made] = [before.find(({ serving }) => serving)?.name ?? '', after.find(({ serving }) => serving)?.name ?? ''];
    expect(made).not.toBe(old);

    await page.getByRole('button', { name: 'Roll back' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click();
    await page.getByText(`Version ${old} is in service again.`).waitFor();
    const row = page.getByRole('region', { name: 'Versions' }).getByRole('listitem').filter({ hasText: made }).first();
    await row.getByRole('button', { name: 'Promote' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Promote' }).click();
    await page.getByText(`Version ${made} is in service.`).waitFor();
    await row.getByText('in service').waitFor();
    expect(faults).toEqual([]);
    await close();
  }, 300_000);

  it('answers the same history by two versions, side by side', async () => {
    const versions = await ask<Version[]>('GET', '/v1/models');
    const other = versions.find(({ serving }) => !serving)?.name ?? '';
    const { page, faults, close } = await open(browser, '/#/try');
    await page.getByRole('region', { name: 'Recommended' }).getByRole('slider').first().press('End');
    await page.getByLabel('Beside').selectOption(other);
    const lists = page.getByRole('region', { name: /\d{6}$/ });
    await until(async () => (await lists.count()) === 2, 'two lists');
    await lists.nth(1).getByText('from 1 rating', { exact: true }).waitFor();
    expect(await lists.nth(1).locator('ol > li').count()).toBe(12);
    expect(faults).toEqual([]);
    await close();
  });

  it('cancels a run', async () => {
    const { page, faults, close } = await open(browser, '/#/model');
    await page.getByRole('button', { name: 'Train a new version' }).click();
    const form = page.getByRole('dialog');
    // Minutes of work, so that the run is there to be cancelled on the fastest machine.
    await form.getByLabel('Settings laid over').fill('{"factors": 256, "iterations": 1000}');
    await form.getByRole('button', { name: 'Start training' }).click();
    const run = page.getByRole('region', { name: /^Training run \d+/ });
    await run.getByText('running', { exact: true }).waitFor();
    await run.getByRole('button', { name: 'Cancel' }).click();
    await run.getByText('cancelled', { exact: true }).waitFor({ timeout: 240_000 });
    expect((await ask<Job[]>('GET', '/v1/jobs'))[0]?.state).toBe('cancelled');
    expect(faults).toEqual([]);
    await close();
  }, 300_000);
});

describe('Keys', () => {
  it('are asked for, and wrong ones refused', async () => {
    // A server without keys is made to look like one that has them, by the browser.
    const right = key ?? 'fk_right';
    const { page, faults, close } = await open(browser, '/#/settings', { signedIn: false, expected: /401/ });
    if (key === undefined) {
      await page.route(`${url}/v1/**`, async (route) => {
        const sent = route.request().headers()['authorization'];
        if (sent === `Bearer ${right}`) return route.continue();
        const error = { code: 'unauthorised', message: 'this API key is not known', request_id: 'e2e-1' };
        return route.fulfill({ status: 401, json: { error }, headers: { 'x-request-id': 'e2e-1' } });
      });
      await page.reload();
    }
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.getByLabel('API key').fill('fk_wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('not known').waitFor();
    await page.getByLabel('API key').fill(right);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Keys and settings' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Keys and settings' }).waitFor();

    if (key !== undefined) {
      const name = `e2e ${Date.now()}`;
      await page.getByRole('button', { name: 'Make a key' }).click();
      await page.getByLabel('What it is for').fill(name);
      await page.getByRole('button', { name: 'Make it' }).click();
      const made = (await page.getByTestId('new-key').textContent()) ?? '';
      const answered = (): Promise<number> =>
        fetch(`${url}/v1/stats`, { headers: { authorization: `Bearer ${made}` } }).then(({ status }) => status);
      expect(await answered()).toBe(200);
      await page.getByRole('button', { name: 'Done' }).click();
      await page.getByRole('row').filter({ hasText: name }).getByRole('button', { name: 'Revoke' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
      await page.getByText('is revoked').waitFor();
      expect(await answered()).toBe(401);
    }
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(faults).toEqual([]);
    await close();
  });
});
