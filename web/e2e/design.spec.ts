import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, designer, launch, open, until, visit } from './browser';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

describe.skipIf(!designer)('Design, on a server that can', () => {
  const at = designer ?? { url: '' };

  it('forms before the eyes, beside real items, and can start from one of these', async () => {
    await ask('POST', '/v1/events', ['i0', 'i3'].map((item) => ({ user: 'ada', item, kind: 'click' })), at);
    const { page, faults, close } = await open(browser, '/', { at });
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Design', exact: true }).click();
    await page.getByText('Nothing designed yet').waitFor();
    const form = page.getByRole('region', { name: 'What to design' });
    const start = form.getByRole('button', { name: 'Design', exact: true });
    expect(await start.isDisabled()).toBe(true);
    await form.getByLabel('Key of the user').fill('ada');
    await form.getByRole('combobox', { name: 'Category' }).selectOption('women-shoes');
    await form.getByText('Advanced').click();
    for (const [name, value] of [['Starts', '6'], ['Steps', '12'], ['Keep', '2']] as const) {
      await form.getByRole('spinbutton', { name }).fill(value);
    }
    await start.click();

    const run = page.getByRole('region', { name: 'Design', exact: true });
    await run.getByRole('heading', { name: 'women-shoes for ada' }).waitFor();
    await until(async () => (await run.getAttribute('aria-busy')) === 'false', 'the end of the design', 120);
    await run.getByText('2 purchases').waitFor();
    // A row for each design, whose pictures are there.
    expect(await run.locator('ol.rows > li').count()).toBe(2);
    const drawn = await run.locator('img').evaluateAll((images) => (images as HTMLImageElement[]).map((image) => image.naturalWidth));
    expect(drawn.length).toBeGreaterThan(4);
    expect(Math.min(...drawn)).toBeGreaterThan(0);
    const best = page.getByRole('region', { name: 'Best real items' });
    await best.getByRole('heading', { name: 'the best real women-shoes for ada' }).waitFor();

    await best.getByRole('button').first().click();
    await run.getByText('Started from the real item').waitFor({ timeout: 120_000 });
    expect(faults).toEqual([]);

    // Fits a phone with a design on it.
    await page.setViewportSize({ width: 360, height: 780 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    await close();
  });

  it('says what is wrong with a wish', async () => {
    const { page, close } = await open(browser, '/', { at, expected: /404/ });
    await visit(page, '/#/design');
    const form = page.getByRole('region', { name: 'What to design' });
    await form.getByLabel('Key of the user').fill('nobody');
    await form.getByRole('button', { name: 'Design', exact: true }).click();
    await form.getByRole('alert').getByText('nobody').waitFor();
    await close();
  });
});
