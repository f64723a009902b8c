// A real browser for tests: the distribution's Chromium, without anything that it would ask of the world. Refuses to know
// what is shown.
import type { Context } from 'mocha';
import { type Browser, chromium, type Page } from 'playwright-core';
import { findProgram } from '../../src/quickstart/programs.js';
import { eventually } from './process.js';
import { skip } from './skip.js';

const QUIET = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
];

/** For a `before` hook: skips its suite where there is no Chromium; with CI set it fails instead. */
export async function openBrowser(context: Context): Promise<Browser> {
  const executablePath = findProgram('chromium', process.env.PATH);
  if (executablePath !== undefined) return chromium.launch({ executablePath, args: QUIET });
  if (process.env.CI) throw new Error('chromium is not installed');
  return skip(context, 'chromium is not installed');
}

export interface View {
  readonly width: number;
  readonly height: number;
  readonly theme?: 'light' | 'dark';
}

/** A page in a profile of its own, and all that went wrong or was asked of others than `url`. */
export async function openPage(browser: Browser, url: string, { width, height, theme = 'light' }: View) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme });
  const page = await context.newPage();
  // What tsx calls in functions that a test hands over to the page.
  await page.addInitScript('globalThis.__name = (named) => named');
  const complaints: string[] = [];
  page.on('pageerror', ({ message }) => complaints.push(message));
  page.on('console', (message) => {
    // That something answered 503, or not at all, is what some tests are about.
    const isAnswer = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isAnswer) complaints.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) complaints.push(`asked ${request.url()}`);
  });
  return { page, complaints };
}

/** Violations that axe calls serious or critical, one line each. */
export async function barriers(page: Page, axe: string): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: it was put there just now
    const { violations } = await (globalThis as any).axe.run();
    const grave = violations.filter(({ impact }: { impact: string }) => impact === 'serious' || impact === 'critical');
    return grave.map(
      (one: { id: string; nodes: { html: string }[] }) => `${one.id}: ${one.nodes[0]!.html.slice(0, 200)}`,
    );
  });
}

export async function textOf(page: Page, place: string): Promise<string> {
  return (await page.locator(place).textContent()) ?? '';
}

/** Milliseconds that each whole map took from the wish to its last pixel, once there are so many. */
export function drawn(page: Page, count: number): Promise<number[]> {
  const read = () => page.evaluate(() => performance.getEntriesByName('map:drawn').map(({ duration }) => duration));
  return eventually(
    `${count} maps drawn`,
    async () => {
      const times = await read();
      return times.length >= count && times;
    },
    60_000,
  );
}

/** In the page: when that text is among what happens. */
export function whenSeen(text: string): Promise<number> {
  return new Promise((resolve) => {
    const look = () => {
      if (document.querySelector('.happenings')?.textContent?.includes(text)) resolve(Date.now());
      else requestAnimationFrame(look);
    };
    look();
  });
}
