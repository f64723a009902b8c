// How quick the page is in a real browser, in front of a full /16 of 60,000 claims and 500 nodes. In a file of its own, since
// a busy machine may miss a figure, and only what missed one is run again.
import { expect } from 'chai';
import type { Browser, Page } from 'playwright-core';
import { openClient } from '../../src/etcd/client.js';
import { drawn, openBrowser, openPage, textOf, whenSeen } from '../support/browser.js';
import { eventually, within } from '../support/process.js';
import { FULL, PLANTED, Stage } from '../support/stage.js';

const SMALL = '10.77.3.0/24';
const LONG = 60_000;

/** It ends at the first that is quick enough. */
const TRIES = 16;
/** A map is read, packed, sent and drawn within so many times as long as its claims take to be read. */
const BARE = 2;

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
  const whole = (times: readonly number[]) => times.map(Math.round).join(', ');

  const claims = PLANTED.toLocaleString('en');
  it(`draws the ${claims} claims of a full /16 within 1 s, or twice as long as they take bare`, async () => {
    const page = await open();
    await readBare(stage.etcd.url);
    const bare: number[] = [];
    const total = await page.locator('.legend b').allTextContents();
    expect(total.reduce((sum, text) => sum + Number(text.replaceAll(',', '')), 0)).to.equal(PLANTED + 1);
    for (let count = 2; count <= TRIES; count++) {
      await page.getByRole('button', { name: SMALL }).click();
      await page.getByRole('heading', { name: `Map of ${SMALL}` }).waitFor({ timeout: LONG });
      await drawn(page, 2 * count - 2);
      await page.getByRole('button', { name: FULL }).click();
      await page.getByRole('heading', { name: `Map of ${FULL}` }).waitFor({ timeout: LONG });
      const times = (await drawn(page, 2 * count - 1)).filter((_, i) => i % 2 === 0);
      bare.push(await readBare(stage.etcd.url));
      const limit = Math.max(1_000, BARE * Math.min(...bare));
      if (count < TRIES && Math.min(...times) >= limit) continue;
      tell(`asked to drawn: ${whole(times)} ms; the claims alone: ${whole(bare)} ms`);
      within('a map of a full /16', Math.min(...times), limit);
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
    tell(`longest frames: ${whole(sweeps)} ms; half of the paints within ${median.toFixed(1)} ms`);
    expect(median).to.be.lessThan(25);
    within('the longest frame', Math.min(...sweeps), 51);
  }).timeout(2 * LONG);

  it('shows an allocation within 1 s of its answer, the best of three', async () => {
    const page = await open(SMALL);
    const used = async () => Number(/([\d,]+) of 238/.exec(await textOf(page, '.pools'))![1]);
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
    tell(`answer to page: ${whole(times)} ms`);
    within('an allocation', Math.min(...times), 1_000);
  });
});

/** How long this machine takes to read and parse the same claims, four blocks of 256 at a time, and do nothing with them. */
async function readBare(etcd: string): Promise<number> {
  const client = openClient({ endpoints: [etcd] });
  const claims = '/etcd-ipam/claims/local/v4/010.066.000.000-16/010.066.';
  const from = (block: number) => Buffer.from(claims + String(block).padStart(3, '0'));
  try {
    const began = performance.now();
    let read = 0;
    for (let block = 0; block < 256; block += 4) {
      const request_range = { key: from(block), range_end: from(block + 4) };
      const { responses } = await client.read({ success: [{ request_range }] }, began + LONG);
      for (const { value } of responses[0]!.response_range.kvs) read += Number('kind' in JSON.parse(value.toString()));
    }
    expect(read).to.be.at.least(PLANTED);
    return performance.now() - began;
  } finally {
    client.close();
  }
}

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
