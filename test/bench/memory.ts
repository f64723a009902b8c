// What a driver keeps in memory: alone, and when others hold very many addresses of its pool.
import { sleep } from '../support/process.js';
import { residentMb } from './costs.js';
import { filled } from './plant.js';
import type { Scenario, Site } from './site.js';
import { type Line, takeTurns } from './turns.js';

/** V8 gives back what a start took once it has been idle for some 20 s. */
const REST_MS = 60_000;

export const memory: Scenario = {
  title: 'resident memory of a driver',
  async run(site, { once, size }) {
    const lines: Line[] = [];
    await sleep(once ? 0 : REST_MS);
    lines.push(lineOf(site, 'idle, a minute after its start'));
    const pool = await filled(site, '10.192.0.0/12', size, once ? 2 : 500, 'asked');
    await takeTurns(site, 1, [pool]);
    lines.push(lineOf(site, `after 500 addresses of a /12 of which others hold ${size}`));
    return lines;
  },
};

function lineOf(site: Site, what: string): Line {
  const remark = `${residentMb(site.driver.process.pid).toFixed(0)} MB`;
  return { what, inFlight: 0, calls: 0, median: Number.NaN, p99: Number.NaN, perSecond: Number.NaN, remark };
}
