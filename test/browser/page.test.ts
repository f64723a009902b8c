// The page in a real browser, in front of a driver whose cluster has four pools and 500 nodes. ETCD_IPAM_TEST_SHOTS=folder
// keeps pictures of it.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Browser, Page } from 'playwright-core';
import { barriers, drawn, openBrowser, openPage, textOf, type View, whenSeen } from '../support/browser.js';
import { eventually } from '../support/process.js';
import { FULL, PLANTED, Stage } from '../support/stage.js';

const { source: AXE } = createRequire(import.meta.url)('axe-core') as { source: string };
const WIDE: View = { width: 1_440, height: 900 };
const SMALL = '10.77.3.0/24';
const LONG = 60_000;
/** Claims of the /16; pictures are taken of a full one. */
const SOME = 6_000;
const SHOTS = process.env.ETCD_IPAM_TEST_SHOTS;

describe('the page', () => {
  let browser: Browser;
  let stage: Stage;
  let opened: Awaited<ReturnType<typeof openPage>>[] = [];

  before(async function () {
    browser = await openBrowser(this);
    stage = await Stage.open(SHOTS === undefined ? SOME : PLANTED);
  });
  afterEach(async () => {
    const all = opened;
    opened = [];
    for (const { page } of all) await page.context().close();
    expect(all.flatMap(({ complaints }) => complaints)).to.deep.equal([]);
  });
  after(async () => {
    await browser?.close();
    await stage?.[Symbol.asyncDispose]();
  });

  /** Once the map of that pool is drawn. */
  async function open(pool = FULL, view = WIDE): Promise<Page> {
    const one = await openPage(browser, stage.url, view);
    opened.push(one);
    await one.page.goto(`${stage.url}/#local/${pool}`);
    await drawn(one.page, 1);
    return one.page;
  }

  const detail = (page: Page) => textOf(page, '#detail');

  describe('finds', () => {
    for (const [by, text, option, shown] of [
      ['address', '10.66.20.7', /10\.66\.20\.7 web\.5127/, /10\.66\.20\.7.*container on host-\d+.*web\.5127/s],
      ['name', 'cam-42', /10\.77\.3\.42 cam-42/, /10\.77\.3\.42.*cam-42.*02:00:00:00:03:2a/s],
      ['MAC', '02:00:00:00:03:11', /10\.77\.3\.17/, /10\.77\.3\.17.*cam-17/s],
      ['IPv6 address', 'fd00:66::1f', /fd00:66::1f six-31/, /fd00:66::1f.*six-31/s],
      ['free address', '10.77.3.200', /free in 10\.77\.3\.0\/24/, /10\.77\.3\.200 free/],
    ] as const)
      it(`what it is asked for by ${by}`, async () => {
        const page = await open(SMALL);
        await page.keyboard.press('/');
        await page.keyboard.type(text);
        await page.getByRole('option', { name: option }).waitFor({ timeout: LONG });
        await page.keyboard.press('Enter');
        await eventually('it is shown', async () => shown.test(await detail(page)), LONG);
      }).timeout(2 * LONG);

    it('a node, whose addresses are then the strong ones', async () => {
      const page = await open(SMALL);
      await page.keyboard.press('/');
      await page.keyboard.type('host-007');
      await page.getByRole('option', { name: /^host-007/ }).waitFor({ timeout: LONG });
      await page.keyboard.press('Enter');
      await page.getByText('Only addresses of host-007 are strong').waitFor();
      expect(
        await page
          .getByRole('button', { name: /^host-007/ })
          .first()
          .getAttribute('aria-pressed'),
      ).to.equal('true');
    });

    it('nothing, and says so', async () => {
      const page = await open(SMALL);
      await page.getByRole('combobox', { name: /search/i }).fill('no-such-thing');
      await page.getByText('Nothing was found.').waitFor({ timeout: LONG });
    });
  });

  it('leads into the blocks of a /12 and back, and opens a /64 where its addresses are', async () => {
    const page = await open('10.208.0.0/12');
    const title = () => textOf(page, '#map-title');
    expect(await title()).to.equal('Map of 10.208.0.0/12');
    await page.getByRole('application').focus();
    await page.keyboard.press('n');
    await page.keyboard.press('Enter');
    await eventually('a block', async () => /10\.208\.0\.0\/12 › 10\.208\.\d+\.0\/22$/.test(await title()));
    await page.getByRole('application', { name: /1024 addresses/ }).waitFor();
    await page.getByRole('button', { name: '10.208.0.0/12', exact: true }).click();
    await eventually('the pool', async () => (await title()) === 'Map of 10.208.0.0/12');
    await page.getByRole('button', { name: /^fd00:66::\/64/ }).click();
    await eventually('its part', async () => (await title()) === 'Map of fd00:66::/64 › fd00:66::/116');
  });

  it('is used by keyboard alone: Tab reaches each part, keys walk the map', async () => {
    const page = await open(SMALL);
    const reached: string[] = [];
    await page.evaluate(() => document.body.focus());
    for (let i = 0; i < 16; i++) {
      await page.keyboard.press('Tab');
      reached.push(
        await page.evaluate(() => {
          const at = document.activeElement as HTMLElement;
          return at.getAttribute('aria-label') ?? at.textContent ?? '';
        }),
      );
    }
    const parts = ['Skip to the map', 'Search', 'Theme', 'Order of pools', SMALL, 'by kind', 'Map of 256', 'host-499'];
    const places = parts.map((part) => reached.findIndex((name) => name.startsWith(part)));
    expect(places, reached.join(' | ')).not.to.include(-1);
    expect(places).to.deep.equal(places.toSorted((a, b) => a - b));

    await page.getByRole('application').focus();
    await page.keyboard.press('Home');
    await eventually('the first', async () => (await detail(page)).includes('10.77.3.0 is never given'));
    await page.keyboard.press('n');
    await eventually('the gateway', async () => (await detail(page)).includes('10.77.3.1 gateway'));
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    await eventually('a rule', async () => (await detail(page)).includes('10.77.3.254 is excluded: routers'));
  });

  describe('fits, and has nothing that keeps people out,', () => {
    for (const view of [{ width: 320, height: 640 }, { width: 768, height: 1_000 }, WIDE])
      for (const theme of ['light', 'dark'] as const)
        it(`at ${view.width} pixels, ${theme}`, async () => {
          const page = await open(FULL, { ...view, theme });
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          expect(wide).to.be.at.most(view.width);
          if (SHOTS !== undefined) await page.screenshot({ path: join(SHOTS, `page-${view.width}-${theme}.png`) });
          await page.getByRole('application').press('n');
          await page.getByRole('combobox', { name: /search/i }).fill('10.66.0.77');
          await page.getByRole('option').first().waitFor({ timeout: LONG });
          expect(await barriers(page, AXE)).to.deep.equal([]);
        }).timeout(2 * LONG);
  });

  it('says of each pool how much is used, and how much of that only rests where that is known', async () => {
    const page = await open(SMALL);
    const facts = (pool: string) => page.getByRole('button', { name: pool }).locator('.facts').textContent();
    await eventually('the small one', async () =>
      (await facts(SMALL))?.includes('69 of 238 · 16 set aside · 3 rest · 12 nodes'),
    );
    expect(await facts('10.208.0.0/12')).to.match(/^1,792 of 1,048,574 · 40 nodes/);
  });

  it('changes its theme at a click, and keeps it', async () => {
    const page = await open(SMALL);
    const ground = () => page.evaluate(() => getComputedStyle(document.querySelector('.panel')!).backgroundColor);
    const light = await ground();
    await page.getByRole('button', { name: 'Theme: auto. Change to light' }).click();
    await page.getByRole('button', { name: 'Theme: light. Change to dark' }).click();
    const dark = await eventually('dark', async () => {
      const now = await ground();
      return now !== light && now;
    });
    await page.reload();
    await page.getByRole('button', { name: 'Theme: dark. Change to auto' }).waitFor();
    expect(await ground()).to.equal(dark);
  });

  // The last ones, since they end what the others need.
  describe('with something away', () => {
    it('says that etcd is away while it shows what was, and is live again by itself', async () => {
      const page = await open(SMALL);
      await stage.etcd.kill();
      await page.getByRole('alert').getByText('etcd does not answer').waitFor({ timeout: LONG });
      expect(await textOf(page, '[role=alert]')).to.match(/as it was at \d\d:\d\d:\d\d/);
      expect(await textOf(page, '.pools')).to.contain(FULL);
      await page.getByRole('status').getByText('etcd is away').waitFor();
      await stage.etcd.restart();
      await page.getByRole('alert').waitFor({ state: 'detached', timeout: LONG });
      await page.getByRole('status').getByText('live', { exact: true }).waitFor();
      const seen = page.evaluate(whenSeen, 'after');
      await eventually('a claim', () => stage.give(SMALL, 'after').catch(() => undefined), LONG);
      await seen;
    }).timeout(2 * LONG);

    it('says that its own process is away', async () => {
      const page = await open(SMALL);
      await stage.driver.kill();
      await page.getByRole('alert').getByText('does not answer').waitFor({ timeout: LONG });
      await page.getByRole('status').getByText('not connected').waitFor();
      expect(await textOf(page, '.pools')).to.contain(FULL);
    });
  });
});
