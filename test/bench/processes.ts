// Many hosts: driver processes that allocate at the same time, all from one pool until nine tenths of it are taken, or each from
// its own.
import { parsePrefix } from '../../src/net/prefix.js';
import { placesIn } from './plant.js';
import type { Driver, Scale, Scenario, Site } from './site.js';
import { type Line, type Subject, takeTurns } from './turns.js';

const TURNS = 5;
const COUNTS = [4, 16];
const IN_FLIGHT_EACH = 4;
const SHARED = '10.66.0.0/20';
const FILL = 0.9;

export const processes: Scenario = {
  title: `driver processes, ${IN_FLIGHT_EACH} calls in flight each: all on one /20 until 90 % are taken, against each on its own`,
  async run(site, { once, size }: Scale) {
    const drivers = [site.driver];
    const lines: Line[] = [];
    for (const count of once ? [2] : size > 100_000 ? [...COUNTS, 32] : COUNTS) {
      while (drivers.length < count) drivers.push(await site.another(`n${drivers.length}`));
      lines.push(...(await compare(site, drivers, once)));
    }
    return lines;
  },
};

interface Shared extends Subject {
  end(): Promise<unknown>;
}

async function compare(site: Site, drivers: readonly Driver[], once: boolean): Promise<Line[]> {
  const inFlight = IN_FLIGHT_EACH * drivers.length;
  const full = Math.floor(Number(placesIn(parsePrefix(SHARED))) * FILL);
  const calls = once ? 2 * inFlight : full;
  const apart = await subject(
    site,
    drivers,
    calls,
    `${drivers.length} on ${drivers.length} pools`,
    (i) => `10.${100 + i}.0.0/16`,
  );
  const together = await subject(site, drivers, calls, `${drivers.length} on one /20`, () => SHARED);
  const before = await attemptsIn(SHARED, drivers);
  const [alone, shared] = await takeTurns(site, once ? 1 : TURNS, [apart, together]);
  const after = await attemptsIn(SHARED, drivers);
  for (const { end } of [apart, together]) await end();
  const tried = (after.claims - before.claims) / (after.grants - before.grants);
  return [alone!, { ...shared!, remark: `${tried.toFixed(3)} claims tried a grant; no address twice` }];
}

/** Drivers that are asked in turn. Each turn begins with empty pools. */
async function subject(
  site: Site,
  drivers: readonly Driver[],
  calls: number,
  what: string,
  poolOf: (i: number) => string,
): Promise<Shared> {
  const made = () =>
    Promise.all(
      drivers.map(async ({ must }, i) => {
        const pool = { AddressSpace: 'local', Pool: poolOf(i), SubPool: '', Options: {} };
        return (await must('RequestPool', pool)).PoolID as string;
      }),
    );
  const end = () => Promise.all(pools.map((PoolID, i) => drivers[i]!.must('ReleasePool', { PoolID })));
  const given: string[] = [];
  let pools = await made();
  let turn = 0;
  const call = async () => {
    const i = turn++ % drivers.length;
    given.push((await drivers[i]!.must('RequestAddress', { PoolID: pools[i], Address: '', Options: {} })).Address);
  };
  const after = async () => {
    const different = new Set(given).size;
    const claims = await site.look.count('claims/');
    if (different !== calls || claims !== calls)
      throw new Error(`${calls} addresses asked for, ${different} different ones given, ${claims} claims`);
    given.length = 0;
    await end();
    pools = await made();
  };
  return { what, inFlight: IN_FLIGHT_EACH * drivers.length, calls, call, after, end };
}

/** As the logs have it. */
async function attemptsIn(pool: string, drivers: readonly Driver[]): Promise<{ claims: number; grants: number }> {
  const logs = await Promise.all(drivers.map(({ process }) => process.decisions()));
  const grants = logs
    .flat()
    .filter((one) => one.call === 'RequestAddress' && one.outcome === 'granted' && one.pool === pool);
  return { claims: grants.reduce((sum, { attempts = 1 }) => sum + attempts, 0), grants: grants.length };
}
