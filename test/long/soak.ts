// Several drivers on one etcd at full rate for half an hour, while what they and etcd hold is measured. Refuses to know how
// a call is made.
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, startEtcdProcess } from '../support/etcd.js';
import { eventually, sleep } from '../support/process.js';
import { Look } from '../support/whole-driver.js';
import { Callers } from './callers.js';
import { type Bound, judge, type Sample, type Verdict } from './flat.js';

const DRIVERS = 4;
/** Calls under way at each driver. */
const IN_FLIGHT = 12;
const SETTINGS = { IPAM_DEADLINE: '30s', NODE_OPTIONS: '--import ./test/support/collect.mjs' };
/** Seconds from one reading to the next; a short run is read more often, so that there is something to judge. */
const everyS = (minutes: number) => Math.min(10, (minutes * 60) / 36);
/** Of 30 minutes; a shorter run owes its part. */
const CALLS = 1_000_000;
/** Where the machine is too slow for the calls in the time, it goes on for so many times as long at the most. */
const PATIENCE = 2;

/** What must stay flat, by which share of its level it may grow, and by how many in any case. */
const BOUNDS = {
  'resident MB of the drivers': { share: 0.1 },
  'handles of the drivers': { share: 0.05, slack: 8 },
  'leases in etcd': { share: 0.1, slack: 8 },
  'keys in etcd': { share: 0.1, slack: 100 },
  'MB of etcd’s database': { share: 0.15, slack: 8 },
} as const satisfies Record<string, Bound>;
type Resource = keyof typeof BOUNDS;

export interface Soaked {
  readonly minutes: number;
  readonly calls: number;
  readonly perSecond: number;
  readonly verdicts: Readonly<Record<Resource, Verdict>>;
  /** What went wrong, in sentences; none if it passed. */
  readonly faults: readonly string[];
}

export async function soak(seed: string, minutes: number): Promise<Soaked> {
  // It compacts as README has operators do, only more often: the level of the database is then reached within the first third.
  const retention = `${Math.max(10, Math.round(minutes * 2))}s`;
  const compaction = ['--auto-compaction-mode=periodic', `--auto-compaction-retention=${retention}`];
  const etcd = await startEtcdProcess({ args: compaction });
  const look = new Look(etcd.url);
  const drivers: DriverProcess[] = [];
  try {
    for (let nth = 0; nth < DRIVERS; nth++)
      drivers.push(await DriverProcess.start(etcd.url, `node-${nth}`, IN_FLIGHT, SETTINGS));
    const before = await look.keys();
    const callers = await Callers.join(drivers);
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1_000;
    const owed = (CALLS * minutes) / 30;
    const over = () => seconds() >= minutes * 60 && (callers.calls >= owed || seconds() >= PATIENCE * minutes * 60);
    const running = callers.run(seed, IN_FLIGHT, over);
    const samples = await sampled({ etcd, look, drivers, seconds, over, everyS: everyS(minutes) }, (line) =>
      console.log(`${line}, ${callers.calls} calls, ${Math.round(callers.calls / seconds())} a second`),
    );
    await running;
    const [calls, took] = [callers.calls, seconds()];
    await callers.leave();
    const verdicts = Object.fromEntries(
      Object.entries(BOUNDS).map(([name, bound]) => [name, judge(samples[name as Resource], bound)]),
    ) as Record<Resource, Verdict>;
    const faults = [
      ...callers.faults.slice(0, 20),
      ...Object.entries(verdicts).flatMap(([name, verdict]) => (verdict.flat ? [] : [`${name}: ${worded(verdict)}`])),
      ...(calls < owed ? [`${calls} calls, where ${owed} are owed in ${minutes} minutes`] : []),
      ...(await leftOver(look, before)),
    ];
    return { minutes: took / 60, calls, perSecond: calls / took, verdicts, faults };
  } finally {
    await Promise.all(drivers.map((driver) => driver.stop()));
    look.close();
    await etcd.stop();
  }
}

/** `4,012, growing by 12 (0.3 %)`. */
export function worded({ level, growth }: Verdict): string {
  const number = (value: number) => value.toLocaleString('en', { maximumFractionDigits: level < 1_000 ? 1 : 0 });
  const share = level === 0 ? '' : ` (${((100 * growth) / level).toFixed(1)} %)`;
  return `${number(level)}, ${growth < 0 ? 'falling' : 'growing'} by ${number(Math.abs(growth))}${share}`;
}

interface Watched {
  readonly etcd: EtcdFixture;
  readonly look: Look;
  readonly drivers: readonly DriverProcess[];
  readonly seconds: () => number;
  readonly over: () => boolean;
  readonly everyS: number;
}

async function sampled(watched: Watched, tell: (line: string) => void): Promise<Record<Resource, Sample[]>> {
  const { etcd, look, drivers, seconds, over } = watched;
  const samples = Object.fromEntries(Object.keys(BOUNDS).map((name) => [name, []])) as unknown as Record<
    Resource,
    Sample[]
  >;
  while (!over()) {
    await Promise.all(drivers.map((driver) => driver.forgetLog()));
    for (const driver of drivers) driver.signal('SIGUSR2'); // what counts is what is held, not when garbage is collected
    await sleep(500);
    const sum = (of: (driver: DriverProcess) => number) => drivers.map(of).reduce((a, b) => a + b, 0);
    const status = JSON.parse(await etcd.ctl('endpoint', 'status', '-w', 'json'))[0].Status;
    const leases = (await etcd.ctl('lease', 'list')).trim().split('\n').length - 1;
    const now: Record<Resource, number> = {
      'resident MB of the drivers': sum((driver) => driver.resident()) / 1_048_576,
      'handles of the drivers': sum((driver) => driver.handles()),
      'leases in etcd': leases,
      'keys in etcd': await look.count(),
      'MB of etcd’s database': status.dbSize / 1_048_576,
    };
    const at = seconds();
    for (const [name, value] of Object.entries(now)) samples[name as Resource].push({ at, value });
    const shown = Object.entries(now).map(([name, value]) => `${Math.round(value)} ${name}`);
    if (samples['keys in etcd'].length % 6 === 1) tell(`${Math.round(at)} s: ${shown.join(', ')}`);
    await sleep(Math.max(0, watched.everyS * 1_000 - (seconds() - at) * 1_000));
  }
  return samples;
}

/** What is in etcd beyond what was there before; what rests after a release goes by itself. */
async function leftOver(look: Look, before: readonly string[]): Promise<string[]> {
  const extra = async () => (await look.keys()).filter((key) => !before.includes(key) && key !== 'tick');
  return eventually('nothing is left', async () => (await extra()).length === 0 && [], 90_000, 1_000).catch(
    async () => {
      const left = await extra();
      return [`${left.length} keys are left, ${left.slice(0, 5).join(', ')} among them`];
    },
  );
}
