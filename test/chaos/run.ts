// One run of a seed: a cluster, hosts with their drivers and engines, what they do meanwhile, faults, and what is left at the end.
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { EtcdMembers } from '../support/etcd-members.js';
import { eventually, sleep } from '../support/process.js';
import { Draw } from './chance.js';
import { check, type Finding, leaks, overlaps } from './checker.js';
import { ChaosDriver } from './drivers.js';
import { Engine } from './engine.js';
import { EtcdLog } from './etcd-log.js';
import { type Fault, GENTLE, KINDS, type Kind, plan, told } from './faults.js';
import { History } from './history.js';
import { parentOf, placeOf } from './keys.js';
import { unlawful } from './laws.js';
import { Life, OVERLAY } from './life.js';
import { Faults } from './mischance.js';
import { type Records, records } from './records.js';
import { Swarm } from './swarm.js';

const NODES = 4;
/** Longer than engines take from a pool's request, or a container's, until they show what came of it (engine.ts). */
const GRACE = '15s';
const LOCAL = 'claims/local';
const SETTLE_MS = 120_000;
/** Where nothing is healed that a driver has not in hand. */
const SOON_MS = 60_000;

export interface RunOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Engines show their API and processes may be killed; otherwise nothing that is lost is ever found again. */
  readonly reconciled: boolean;
  readonly program?: string;
  /** The first thing that is wrong is enough. */
  readonly impatient?: boolean;
  /** Where the drivers' logs and all calls go. */
  readonly logs?: string;
  readonly say?: (line: string) => void;
  /** Hears when nothing new begins any more, and what is left is waited for. */
  readonly quiet?: () => void;
}

export interface Ran {
  readonly seed: number;
  readonly history: History;
  readonly faults: readonly Fault[];
  readonly begun: ReadonlyMap<Kind, readonly number[]>;
  readonly findings: readonly Finding[];
  /** Faults that did not come about, and what the harness itself had to give up: no word on the drivers. */
  readonly missed: readonly string[];
  readonly broken?: string;
  /** Joins whose PoolID nobody had heard, or whose end nobody had. */
  readonly orphans: number;
  readonly elections: number;
}

export async function run({
  seed,
  seconds,
  reconciled,
  program = BUILT,
  logs,
  impatient = false,
  say = () => undefined,
  quiet = () => undefined,
}: RunOptions): Promise<Ran> {
  const draw = new Draw(`plan ${seed}`);
  const [names, full] = [draw.percent(50), draw.percent(30)];
  const faults = plan(draw, kindsOf(seed, reconciled), seconds * 1_000);
  const engine = names ? 'engines from 29 on' : 'engines up to 28';
  say(`seed ${seed}: ${engine}, ${reconciled ? 'with' : 'without'} reconciliation\n  ${faults.map(told).join('; ')}`);
  const closing: AsyncDisposable[] = [];
  open.add(closing);
  const history = new History();
  let ran: Ran = { seed, history, faults, findings: [], missed: [], begun: new Map(), elections: 0, orphans: 0 };
  const engines: Engine[] = [];
  const use = <T extends AsyncDisposable>(one: T): T => {
    closing.unshift(one);
    return one;
  };
  try {
    const etcd = use(await EtcdMembers.start());
    const log = use(await EtcdLog.start(etcd, history));
    const started = Array.from({ length: NODES }, async (_, at) => {
      const [node, drivers] = [`n${at + 1}`, [] as ChaosDriver[]];
      const engine = use(new Engine(node, drivers, history, new Draw(`engine ${seed} ${at}`), names));
      const died = (text: string) => {
        history.over = true;
        history.wrong.push({ rule: 'died', text });
      };
      const common = { program, node, etcd, died };
      // The first node is being upgraded: two plugins answer for it. What one of them was granted the other does not free
      // if it heard of it only while it had no etcd: reconciliation does.
      for (let i = 0; i < (at === 0 && reconciled ? 2 : 1); i++) {
        const socket = reconciled ? { IPAM_ENGINE_SOCKET: await engine.listen(), IPAM_RECONCILE_GRACE: GRACE } : {};
        // With a past, what changes hands hangs on a lease that can be lost.
        const past = seed % 2 === 0 ? '0s' : '1h';
        const env = { IPAM_SESSION_TTL: '5s', IPAM_COOLDOWN: '0s', IPAM_HISTORY: past, ...socket };
        drivers.push(use(await ChaosDriver.start({ ...common, env })));
      }
      engines[at] = engine;
    });
    await Promise.all(started);
    const drivers = engines.flatMap((engine) => engine.drivers);
    const swarm = new Swarm(OVERLAY, engines, history);
    const life = new Life(engines, swarm, history, seed, full);
    life.start();
    await sleep(500);
    const under = new Faults({ program, history, etcd, log, drivers, engines, swarm }, () => history.underWay);
    const { begun, missed } = under;
    ran = { ...ran, begun, missed };
    await Promise.all([under.run(faults), lasting(seconds * 1_000, history, impatient)]);
    await life.settle();
    quiet();
    ran = { ...ran, elections: swarm.elections };
    const keyspace = () => records(etcd);
    await log.caughtUp();
    const early = [...history.wrong, ...check(history)];
    if (history.over || (impatient && early.length > 0)) return { ...ran, findings: early };
    const leaked = async () => leakedOf(await keyspace(), history, engines, reconciled);
    const findings = await settled(leaked, impatient && !reconciled ? SOON_MS : SETTLE_MS);
    if (impatient && findings.length > 0) return { ...ran, findings };
    await life.end();
    const orphans = await ended(engines, swarm, history, keyspace, findings);
    await log.caughtUp();
    findings.unshift(...history.wrong, ...check(history));
    for (const { caller, node } of engines)
      if (caller.emptyGranted > 0) findings.push({ rule: 'phantom', text: `${node} answered a call without body` });
    return { ...ran, findings, orphans };
  } catch (error) {
    return {
      ...ran,
      findings: wrongSoFar(history),
      broken: String(error instanceof Error ? (error.stack ?? error) : error),
    };
  } finally {
    history.over = true;
    if (logs)
      await keep(
        logs,
        seed,
        history,
        engines.flatMap(({ drivers }) => drivers),
      );
    await end(closing);
  }
}

/** Ends early when nothing more is to be waited for. */
async function lasting(ms: number, history: History, impatient: boolean): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end && !history.over; ) {
    await sleep(impatient ? 2_000 : 100);
    if (impatient && wrongSoFar(history).length > 0) history.over = true;
  }
}

/** What is wrong whatever the log has still to tell. */
function wrongSoFar({ wrong, uses, writes, backups }: History): Finding[] {
  return [...wrong, ...overlaps(uses), ...unlawful(writes, backups)];
}

/** A restore lasts as long as a dozen other faults, so four seeds of ten have it: three are owed, and one may miss the calls. */
export function kindsOf(seed: number, reconciled: boolean): readonly Kind[] {
  if (!reconciled) return GENTLE;
  return [0, 2, 4, 8].includes(seed % 10) ? KINDS : KINDS.filter((kind) => kind !== 'etcd restored from a backup');
}

/** What each run that goes on has started, the last first. */
const open = new Set<AsyncDisposable[]>();

async function end(started: AsyncDisposable[]): Promise<void> {
  open.delete(started);
  for (const one of started) await one[Symbol.asyncDispose]();
}

/** Ends what all runs have started. */
export async function close(): Promise<void> {
  await Promise.all([...open].map(end));
}

async function keep(logs: string, seed: number, history: History, drivers: readonly ChaosDriver[]): Promise<void> {
  for (const [at, { node, log }] of drivers.entries()) await writeFile(join(logs, `${seed}-${node}-${at}.log`), log);
  const lines = [...history.calls, ...history.writes].map((one) => JSON.stringify(one));
  await writeFile(join(logs, `${seed}.jsonl`), lines.join('\n'));
}

const BUILT = resolve(import.meta.dirname, '../../dist/main.js');

function of(records: Records, room: string): Records {
  return Object.fromEntries(Object.entries(records).filter(([key]) => key.startsWith(`${room}/`)));
}

/** What a leader's lost call has claimed stays until its network ends, and is looked for then. */
function leakedOf(all: Records, history: History, engines: readonly Engine[], reconciled: boolean): Finding[] {
  const uses = history.uses.filter(({ place }) => !place.startsWith('global'));
  return leaks(reconciled ? shown(all, engines) : of(all, LOCAL), uses, history.calls, !reconciled);
}

/**
 * The claims that reconciliation can judge: another engine may be behind a join on a subnet of which this one shows no network, as
 * when the answer to its end was lost, or a backup has it that ended since.
 */
function shown(all: Records, engines: readonly Engine[]): Records {
  const isShown = ([key, { node, join }]: [string, Records[string]]) =>
    !(`${parentOf(key).replace('claims/', 'joins/')}/${join}` in all) ||
    engines.some((engine) => engine.node === node && [...engine.networks].some(({ place }) => place === placeOf(key)));
  return Object.fromEntries(Object.entries(of(all, LOCAL)).filter(isShown));
}

/** Waits until the claims are what is used, and says what they are instead when that does not come. */
async function settled(leaked: () => Promise<Finding[]>, ms: number): Promise<Finding[]> {
  let left: Finding[] = [];
  const equal = async () => {
    left = await leaked();
    return left.length === 0;
  };
  return eventually('the claims are what is used', equal, ms, 500).then(
    () => [],
    () => left,
  );
}

/** Everything ends. Joins that are left must be explained by a call whose answer nobody had; then their node ends them. */
async function ended(
  engines: readonly Engine[],
  swarm: Swarm,
  history: History,
  keyspace: () => Promise<Records>,
  findings: Finding[],
): Promise<number> {
  const explained = new Set<string>();
  const left = async () => {
    const all = await keyspace();
    for (const [key, { node }] of Object.entries(of(all, 'joins'))) {
      if (!key.startsWith('joins/local')) continue;
      const engine = engines.find((one) => one.node === node)!;
      const poolId = `${placeOf(key).replace(' ', '/')}?join=${key.split('/').at(-1)}`;
      const known = [...engine.orphans].find((id) => id.endsWith(poolId.slice(-16)));
      const lost = history.calls.some(
        (call) => call.name === 'RequestPool' && call.node === node && call.outcome === 'unknown',
      );
      // What had ended by then is there again in a backup.
      if (!known && !lost && history.backups.length === 0) continue;
      explained.add(key);
      await engine.endJoin(known ?? poolId);
    }
    if (Object.keys(all).some((key) => key.split('/')[1]?.startsWith('global'))) await swarm.sweep();
    const rest = Object.entries(await keyspace()).filter(([key]) => !/^(nodes\/|sessions\/|tick$|brake$)/.test(key));
    return rest.map(([key, record]) => `${key} is left when all has ended: ${JSON.stringify(record)}`);
  };
  let rest: string[] = [];
  await eventually(
    'nothing is left',
    async () => {
      rest = await left();
      return rest.length === 0;
    },
    SETTLE_MS,
    1_000,
  ).catch(() => findings.push(...rest.map((text) => ({ rule: 'leak' as const, text }))));
  return explained.size;
}
