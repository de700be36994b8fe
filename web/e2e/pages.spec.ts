import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PAGES } from '../src/lib/pages';
import type { ItemPage, Job, Reach, Stats, User, Version } from '../src/lib/types';
import { ask, launch, open, until, visit } from './browser';

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
  it('fits a phone, in which nothing has to be scrolled sideways', async () => {
    const id = await somebody('e2e-phone');
    const { items } = await ask<ItemPage>('GET', '/v1/items?limit=1');
    const { page, faults, close } = await open(browser, '/', { viewport: { width: 360, height: 780 }, hasTouch: true, isMobile: true });
    for (const name of [...PAGES.map(({ page }) => page), `users/${id}`, `items/${items[0]?.id ?? ''}`]) {
      await visit(page, `/#/${name}`);
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

describe('Coverage', () => {
  it('says how much of the catalogue is shown to so many users', async () => {
    const { page, faults, close } = await open(browser, '/#/items');
    const panel = page.getByRole('region', { name: 'Coverage' });
    for (const users of [300, 100]) {
      await panel.getByRole('button', { name: String(users), exact: true }).click();
      const reach = await ask<Reach>('GET', `/v1/coverage?users=${users}&n=10`);
      await panel.getByText(`each of ${reach.users} users`).waitFor();
      await panel.getByText(`${reach.shown} of ${reach.items}`, { exact: true }).first().waitFor();
    }
    const reach = await ask<Reach>('GET', '/v1/coverage?users=100&n=10');
    const [first] = reach.most;
    const rows = panel.getByRole('listitem');
    expect(await rows.count()).toBe(10);
    await panel.getByRole('button', { name: `Show ${reach.most.length}` }).click();
    await until(async () => (await rows.count()) === reach.most.length, 'all that are named');
    await rows.first().getByText(`${Math.round((100 * (first?.lists ?? 0)) / reach.users)} %`).waitFor();
    await rows.first().getByRole('link', { name: first?.title ?? '' }).click();
    await page.getByRole('heading', { name: first?.title ?? '' }).waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  it('says so where there is nobody to make lists for', async () => {
    const { page, faults, close } = await open(browser, '/#/settings');
    const nobody: Reach = { users: 0, n: 10, items: 60, shown: 0, coverage: 0, history_coverage: 0, most: [] };
    await page.route('**/v1/coverage?*', (route) => route.fulfill({ json: nobody }));
    await page.goto('/#/items');
    await page.getByRole('region', { name: 'Coverage' }).getByText('Nobody to make lists for').waitFor();
    expect(faults).toEqual([]);
    await close();
  });
});

describe('Events as they come', () => {
  it('are there at once, the newest on top, and stand still when they are told to', async () => {
    const { items } = await ask<ItemPage>('GET', '/v1/items?limit=3');
    const { scale } = await ask<Stats>('GET', '/v1/stats');
    const [first, second, third] = items;
    if (!first || !second || !third || !scale) throw new Error('a catalogue of three items and a rating scale are needed');
    const user = 'e2e-feed';
    const { page, faults, close } = await open(browser, '/#/live');
    const panel = page.getByRole('region', { name: 'Events as they come' });
    // Who watches misses nothing from then on.
    await panel.getByText('watching', { exact: true }).waitFor({ timeout: 30_000 });
    await panel.getByText('/v1/events').waitFor();
    const rows = panel.getByRole('listitem');

    await ask('POST', '/v1/events', { user, item: first.id, value: scale.max });
    await rows.first().getByRole('link', { name: user }).waitFor();
    await rows.first().getByRole('link', { name: first.title }).waitFor();
    await rows.first().getByRole('img', { name: `Rating of ${first.title}: ${scale.max} of ${scale.max}` }).waitFor();
    await ask('POST', '/v1/events', { user, item: second.id, kind: 'view' });
    await rows.first().getByText('view', { exact: true }).waitFor();
    expect(await rows.nth(1).getByRole('link', { name: first.title }).count()).toBe(1);

    await panel.getByRole('button', { name: 'Pause' }).click();
    await panel.getByText('paused', { exact: true }).waitFor();
    await ask('POST', '/v1/events', { user, item: third.id, kind: 'click' });
    await panel.getByText('paused, 1 new', { exact: true }).waitFor();
    expect(await rows.count()).toBe(2);
    await panel.getByRole('button', { name: 'Go on' }).click();
    await rows.first().getByText('click', { exact: true }).waitFor();

    // The pointer on the list stands for the button.
    await rows.nth(1).hover();
    await panel.getByText('paused', { exact: true }).waitFor();
    await ask('POST', '/v1/events', { user, item: third.id, kind: 'like' });
    await panel.getByText('paused, 1 new', { exact: true }).waitFor();
    expect(await rows.count()).toBe(3);
    await panel.getByRole('heading').hover();
    await rows.first().getByText('like', { exact: true }).waitFor();

    // Of a bulk the first events are told; no more are kept than are shown.
    const bulk = Array.from({ length: 45 }, (_, at) => ({ user, item: `new ${at}`, kind: 'view' }));
    await ask('POST', '/v1/events', bulk);
    await panel.getByText('25 more that are not shown').waitFor();
    expect(await rows.count()).toBe(24);
    await ask('POST', '/v1/events', bulk.slice(0, 10));
    await until(async () => (await rows.count()) === 30, 'the latest thirty');
    await rows.first().getByRole('link', { name: user }).click();
    await page.getByRole('heading', { name: user }).waitFor();
    expect(faults).toEqual([]);
    await close();
    await ask('DELETE', `/v1/users/${user}`);
  });

  it('are watched again after a refusal, and after the stream ends', async () => {
    const { page, faults, close } = await open(browser, '/#/settings', { expected: /503/ });
    let asked = 0;
    let seen: () => void = () => {};
    const refusalSeen = new Promise<void>((resolve) => (seen = resolve));
    const event = { user: 'e2e-again', item: 'i', title: 'Told before the end', kind: 'view', value: null, time: Date.now() };
    await page.route('**/v1/events/feed', async (route) => {
      asked += 1;
      if (asked === 1) {
        const error = { code: 'overloaded', message: 'everybody watches already', request_id: 'e2e-1' };
        return route.fulfill({ status: 503, json: { error } });
      }
      if (asked > 2) return route.continue();
      await refusalSeen;
      return route.fulfill({ contentType: 'text/event-stream', body: `event: write\ndata: ${JSON.stringify({ events: [event], more: 0 })}\n\n` });
    });
    await page.goto('/#/live');
    const panel = page.getByRole('region', { name: 'Events as they come' });
    await panel.getByText('everybody watches already').waitFor();
    seen();
    await panel.getByRole('link', { name: event.title }).waitFor({ timeout: 30_000 });
    await until(() => Promise.resolve(asked > 2), 'the third attempt', 30);
    await panel.getByText('watching', { exact: true }).waitFor({ timeout: 30_000 });
    expect(await panel.getByText('everybody watches already').count()).toBe(0);
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

describe('Design', () => {
  it('is not offered by a server that has nothing to design with, and says so to whoever opens it', async () => {
    expect((await ask<Stats>('GET', '/v1/stats')).designs).toBeNull();
    const { page, faults, close } = await open(browser, '/#/design');
    await page.getByText('This server cannot design').waitFor();
    const pages = page.getByRole('navigation', { name: 'Pages' });
    expect(await pages.getByRole('link', { name: 'Items', exact: true }).count()).toBe(1);
    expect(await pages.getByRole('link', { name: 'Design', exact: true }).count()).toBe(0);
    expect(faults).toEqual([]);
    await close();
  });
});

describe('The store', () => {
  it('is backed up while it serves', async () => {
    const { page, faults, close } = await open(browser, '/#/settings');
    await page.getByRole('region', { name: 'Store' }).getByRole('button', { name: 'Back up now' }).click();
    await page.getByText(/events are backed up in events-\d+\.redb/).waitFor();
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
