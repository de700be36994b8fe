import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ItemPage } from '../src/lib/types';
import { ask, launch, open, until } from './browser';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

async function titles(page: Page): Promise<string[]> {
  return page.getByRole('region', { name: 'Recommended' }).locator('ol a.title').allTextContents();
}

/** Finds an item by the keyboard alone, and gives it the most stars. */
async function rate(page: Page, title: string): Promise<void> {
  const search = page.getByRole('combobox', { name: 'Search the catalogue' });
  await search.fill(title);
  await page.getByRole('option').first().waitFor();
  await search.press('ArrowDown');
  await search.press('ArrowUp');
  await search.press('Enter');
  const stars = page.getByRole('slider', { name: `Rate ${title}` }).first();
  await until(() => stars.evaluate((element) => element === document.activeElement), 'the focus on the stars');
  await stars.press('End');
}

describe('Try it', () => {
  it('ranks anew at every rating, says why, and gives the request as curl', async () => {
    const popular = (await ask<ItemPage>('GET', '/v1/items?limit=30')).items;
    const { page, faults, close } = await open(browser, '/', { permissions: ['clipboard-read', 'clipboard-write'] });
    await until(async () => (await titles(page)).length === 12, 'the popular list');
    const first = await titles(page);
    expect(first[0]).toBe(popular[0]?.title);

    const rated = popular[0]?.title ?? '';
    await rate(page, rated);
    await until(async () => (await titles(page)).join() !== first.join(), 'another order');
    expect(await titles(page)).not.toContain(rated);
    await page.getByText('from 1 rating', { exact: true }).waitFor();
    expect(await page.getByTestId('micros').textContent()).toMatch(/\d.* (µs|ms|s)/);
    await page.locator('ol li p').filter({ hasText: `because you rated ${rated}` }).first().waitFor();

    await page.getByRole('button', { name: 'Copy as curl' }).click();
    await page.getByText('Copied').waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    expect(copied).toContain('/v1/recommend');
    expect(copied).toContain(`"item":"${popular[0]?.id ?? ''}"`);

    // A click on the stars of the list, then change and removal.
    const second = await titles(page);
    await page.locator('ol li').first().getByRole('slider').click({ position: { x: 3, y: 9 } });
    await page.getByText('from 2 ratings', { exact: true }).waitFor();
    expect(await titles(page)).not.toContain(second[0]);
    await page.getByRole('slider', { name: `Your rating of ${rated}`, exact: true }).press('ArrowLeft');
    await page.getByRole('button', { name: `Remove ${second[0] ?? ''}` }).click();
    await page.getByText('from 1 rating', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Start again' }).click();
    await until(async () => (await titles(page)).join() === first.join(), 'the popular list again');
    expect(faults).toEqual([]);
    await close();
  });

  it('asks the next best question, filters by category and keeps what was rated', async () => {
    const categories = Object.keys(await ask<Record<string, number>>('GET', '/v1/categories'));
    const { page, faults, close } = await open(browser, '/#/try');
    const card = page.getByRole('region', { name: 'The next best question' });
    const asked = await card.locator('.title').textContent();
    await card.getByRole('button', { name: 'Don’t know it' }).click();
    await until(async () => (await card.locator('.title').textContent()) !== asked, 'another question');
    await card.getByRole('slider').press('End');
    await page.getByText('from 1 rating', { exact: true }).waitFor();

    if (categories.length > 1) {
      const before = await titles(page);
      await page.getByText('All categories').click();
      await page.getByRole('checkbox').last().check();
      await until(async () => (await titles(page)).join() !== before.join(), 'a filtered list');
      await page.keyboard.press('Escape');
    }
    const range = page.getByRole('slider', { name: 'Diversity' });
    await range.fill('0.6');
    await until(async () => (await range.getAttribute('aria-valuetext')) === '0.6', 'the slider');
    await page.reload();
    await page.getByText('from 1 rating', { exact: true }).waitFor();
    expect(faults).toEqual([]);
    await close();
  });
});
