// Whether an address costs the same however large its pool is, and however full: pools filled by hand at random places, in
// turns with an empty /16.
import { parsePrefix } from '../../src/net/prefix.js';
import { filled, placesIn, warmed } from './plant.js';
import type { Scale, Scenario, Site } from './site.js';
import { type Line, takeTurns } from './turns.js';

const TURNS = 7;
const CALLS = 60;
const LEAST = 20;
/** So much more is taken than free that room has to be looked for. */
const CROWDED = 50;

const POOLS: readonly [pool: string, fills: readonly number[]][] = [
  ['10.67.0.0/16', [0.5, 0.9, 0.99, 0.999, 0.9999]],
  ['10.68.0.0/20', [0.5, 0.9, 0.99]],
  ['10.69.0.0/24', [0.5, 0.9, 0.99]],
  ['fd00:67::/112', [0.5, 0.9, 0.99, 0.999, 0.9999]],
];
/** As many claims as `--size` says. */
const LARGE = ['10.192.0.0/12', 'fd00:68::/64'];

export const filledPool: Scenario = {
  title: 'one dynamic address, by the size of its pool and how much of it is taken, against an empty /16',
  async run(site, scale) {
    await warmed(site, scale.once);
    const lines: Line[] = [];
    for (const [pool, fills] of POOLS)
      for (const fill of scale.once ? fills.slice(2, 3) : fills) {
        const places = Number(placesIn(parsePrefix(pool)));
        const taken = Math.min(Math.floor(places * fill), scale.once ? scale.size : places);
        lines.push(...(await compare(site, scale, pool, taken, places - taken)));
      }
    for (const pool of LARGE) lines.push(...(await compare(site, scale, pool, scale.size, Number.POSITIVE_INFINITY)));
    return lines;
  },
};

async function compare(site: Site, { once }: Scale, pool: string, taken: number, free: number): Promise<Line[]> {
  const calls = once ? 2 : Math.max(1, Math.min(CALLS, Math.floor(free / 2)));
  const part = Number.isFinite(free)
    ? `${((100 * taken) / (taken + free)).toFixed(2)} %, ${free} free`
    : `${taken} taken`;
  // As many: the first calls of a turn find caches cold, whatever they ask for.
  const base = await filled(site, '10.66.0.0/16', 0, calls, 'an empty /16');
  const full = await filled(site, pool, taken, calls, `${pool}: ${part}`);
  // Few calls a turn say little each.
  const turns = once ? 1 : Math.max(TURNS, Math.ceil(LEAST / calls));
  // What a turn was given goes back behind the driver's back, so that the next one looks for room; or by it.
  const unseen = () => full.unseen();
  const churn = { ...full, what: 'the same, as it gives back what it was given', after: unseen };
  const crowded = taken >= CROWDED * free ? [full, churn] : [{ ...full, after: unseen }];
  const [, ...lines] = await takeTurns(site, turns, [base, ...crowded]);
  for (const pool of [full, base]) await pool.end();
  return lines;
}
