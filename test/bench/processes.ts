// Many hosts: driver processes that allocate at the same time, all from one pool or each from its own.
import type { Driver, Scale, Scenario, Site } from './site.js';
import { type Line, takeTurns } from './turns.js';

const TURNS = 3;
const COUNTS = [1, 4, 16];
const IN_FLIGHT_EACH = 4;
const CALLS_EACH = 100;

export const processes: Scenario = {
  title: 'driver processes, 4 calls in flight each: all on one pool, against each on its own',
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

async function compare(site: Site, drivers: readonly Driver[], once: boolean): Promise<Line[]> {
  const given = new Set<string>();
  let requests = 0;
  const subject = async (what: string, poolOf: (i: number) => string) => {
    const pools = await Promise.all(
      drivers.map(async ({ must }, i) => {
        const pool = { AddressSpace: 'local', Pool: poolOf(i), SubPool: '', Options: {} };
        return (await must('RequestPool', pool)).PoolID as string;
      }),
    );
    let turn = 0;
    const call = async () => {
      const i = turn++ % drivers.length;
      requests++;
      given.add((await drivers[i]!.must('RequestAddress', { PoolID: pools[i], Address: '', Options: {} })).Address);
    };
    const end = () => Promise.all(pools.map((PoolID, i) => drivers[i]!.must('ReleasePool', { PoolID })));
    const inFlight = IN_FLIGHT_EACH * drivers.length;
    return { what, inFlight, calls: (once ? 4 : CALLS_EACH) * drivers.length, call, end };
  };
  const many = await subject(`${drivers.length} on ${drivers.length} pools`, (i) => `10.${100 + i}.0.0/16`);
  const one = await subject(`${drivers.length} on one pool`, () => '10.66.0.0/16');
  const before = await attemptsOf(drivers);
  const [apart, together] = await takeTurns(site, once ? 1 : TURNS, [many, one]);
  const claims = await site.look.count('claims/');
  if (given.size !== requests || claims !== requests)
    throw new Error(`${requests} addresses asked for, ${given.size} different ones given, ${claims} claims`);
  for (const { end } of [many, one]) await end();
  const { tried, granted } = await attemptsOf(drivers, before);
  const remark = `${(tried / granted).toFixed(2)} claims tried a grant, in both; no address twice`;
  return [apart!, { ...together!, remark }];
}

/** As the logs have it. */
async function attemptsOf(drivers: readonly Driver[], since = { tried: 0, granted: 0 }) {
  const all = await Promise.all(drivers.map(({ process }) => process.decisions()));
  const grants = all.flat().filter(({ call, outcome }) => call === 'RequestAddress' && outcome === 'granted');
  const tried = grants.reduce((sum, { attempts = 1 }) => sum + attempts, 0);
  return { tried: tried - since.tried, granted: grants.length - since.granted };
}
