// How quick the page is in a real browser, in front of a full /16 of 60,000 claims and 500 nodes. In a file of its own, since
// a busy machine may miss a figure, and only what missed one is run again.
import { expect } from 'chai';
import type { Browser, Page } from 'playwright-core';
import { drawn, openBrowser, openPage, textOf, whenSeen } from '../support/browser.js';
import { eventually, within } from '../support/process.js';
import { FULL, PLANTED, Stage } from '../support/stage.js';

const SMALL = '10.77.3.0/24';
const LONG = 60_000;

/** It ends at the first that is quick enough. */
const TRIES = 16;

describe('the page, in front of a full /16,', () => {
  let browser: Browser;
  let stage: Stage;
  let page: Page | undefined;

  before(async function () {
    browser = await openBrowser(this);
    stage = await Stage.open();
  });
  afterEach(async () => {
    await page?.context().close();
  });
  after(async () => {
    await browser?.close();
    await stage?.[Symbol.asyncDispose]();
  });

  async function open(pool = FULL): Promise<Page> {
    ({ page } = await openPage(browser, stage.url, { width: 1_440, height: 900 }));
    await page.goto(`${stage.url}/#local/${pool}`);
    await drawn(page, 1);
    return page;
  }

  const tell = (line: string) => console.log(`      ${line}`);

  it(`draws the ${PLANTED.toLocaleString('en')} claims of a full /16 within 1 s, the best of some`, async () => {
    const page = await open();
    const total = await page.locator('.legend b').allTextContents();
    expect(total.reduce((sum, text) => sum + Number(text.replaceAll(',', '')), 0)).to.equal(PLANTED + 1);
    for (let count = 2; count <= TRIES; count++) {
      await page.getByRole('button', { name: SMALL }).click();
      await page.getByRole('heading', { name: `Map of ${SMALL}` }).waitFor({ timeout: LONG });
      await drawn(page, 2 * count - 2);
      await page.getByRole('button', { name: FULL }).click();
      await page.getByRole('heading', { name: `Map of ${FULL}` }).waitFor({ timeout: LONG });
      const times = (await drawn(page, 2 * count - 1)).filter((_, i) => i % 2 === 0);
      if (count < TRIES && Math.min(...times) >= 1_000) continue;
      tell(`asked to drawn: ${times.map(Math.round).join(', ')} ms`);
      within('a map of a full /16', Math.min(...times), 1_000);
      return;
    }
  }).timeout(2 * LONG);

  it('scrolls that map with no frame above 50 ms, the best of some sweeps, each painted in a fraction of that', async () => {
    const page = await open();
    const sweeps: number[] = [];
    const paints: number[] = [];
    do {
      const sweep = await page.evaluate(sweepMap);
      expect(sweep.moved).to.be.greaterThan(500);
      sweeps.push(Math.max(...sweep.frames));
      paints.push(...sweep.paints);
    } while (Math.min(...sweeps) >= 51 && sweeps.length < 12);
    const median = paints.sort((a, b) => a - b)[Math.floor(paints.length / 2)]!;
    tell(`longest frames: ${sweeps.map(Math.round).join(', ')} ms; half of the paints within ${median.toFixed(1)} ms`);
    expect(median).to.be.lessThan(25);
    within('the longest frame', Math.min(...sweeps), 51);
  }).timeout(2 * LONG);

  it('shows an allocation within 1 s of its answer, the best of three', async () => {
    const page = await open(SMALL);
    const used = async () => Number(/([\d,]+) of 254/.exec(await textOf(page, '.pools'))![1]);
    const before = await used();
    const times: number[] = [];
    for (let i = 1; i <= 3; i++) {
      const seen = page.evaluate(whenSeen, `live-${i}`);
      const address = await stage.give(SMALL, `live-${i}`);
      const answered = Date.now();
      times.push((await seen) - answered);
      await eventually('the pool’s count', async () => (await used()) === before + i);
      await page.getByRole('combobox', { name: /search/i }).fill(address);
      await page.getByRole('option', { name: address }).waitFor();
      await page.keyboard.press('Enter');
      await eventually('the cell', async () => (await textOf(page, '#detail')).includes(`live-${i}`));
    }
    tell(`answer to page: ${times.join(', ')} ms`);
    within('an allocation', Math.min(...times), 1_000);
  });
});

/** In the page: one way down the map in 60 frames. */
async function sweepMap() {
  const box = document.querySelector('.scroller')!;
  box.scrollTop = 0;
  const next = () => new Promise<number>((resolve) => requestAnimationFrame(resolve));
  await next();
  const before = performance.getEntriesByName('map:paint').length;
  const frames: number[] = [];
  for (let i = 0, last = await next(); i < 60; i++) {
    box.scrollTop += 12;
    const now = await next();
    frames.push(now - last);
    last = now;
  }
  const paints = performance.getEntriesByName('map:paint').slice(before);
  return { frames, moved: box.scrollTop, paints: paints.map(({ duration }) => duration) };
}
