// Puts the rooms together into a running driver, and pushes how each part stops. Decides nothing about addresses.
import { randomBytes, randomInt } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { misspeltOptions } from './config/unknown-names.js';
import type { Settings } from './config.js';
import { etcdNow, tlsNow } from './credentials.js';
import type { CallEvent } from './docker/app.js';
import { OPTIONS } from './docker/asks.js';
import { Driver, type Told } from './docker/driver.js';
import { type Listening, type PluginServer, serve } from './docker/index.js';
import { openClient } from './etcd/client.js';
import { bootId, instanceId, machineId } from './etcd/identity.js';
import { SessionKeeper } from './etcd/session.js';
import { EtcdStore } from './etcd/store.js';
import { watchingOf } from './etcd/watching.js';
import { Allocator } from './ipam/allocator.js';
import type { Predefined } from './ipam/predefined.js';
import { Resumption } from './ipam/restoration.js';
import type { Deadline } from './ipam/store.js';
import type { Surroundings } from './ipam/surroundings.js';
import { type Decision, type Log, logDecision } from './log.js';
import { Observation } from './observation.js';
import type { Inherited } from './process/inherited.js';
import type { Releasers } from './process/releasers.js';
import { driversServed, PLUGIN_NAME, type Reconciling, reconciliation } from './reconciliation.js';
import { watchMark } from './restoration.js';
import { limitsOf, ROUND_MS, roundsOf, tellGivenOn } from './rounds.js';
import { EtcdRequests } from './telemetry/etcd-requests.js';

/**
 * Containers that start with the host ask while etcd may still be starting: a call in the first 15 s of the process may
 * take until their end. One instant for all calls, so nothing waits longer than that.
 */
const START_WINDOW_MS = 15_000;

/** What a call would have waited for is known to be away; an election of etcd's takes one to two seconds, and is no outage. */
const LEAST_OUTAGE_MS = 3_000;

/** A stop has 10 s in all before it is killed: calls in hand, then undos and releases that wait, then the session. */
const DRAIN_MS = { calls: 6_000, queued: 2_000, session: 1_500 } as const;

export interface Running {
  /** Where engines are served: a socket's path, or host:port. */
  readonly addresses: readonly string[];
  /** Where operators are, host:port; undefined where they are not. */
  readonly ops: string | undefined;
  /** Resolves when the node's session is alive; rejects with what is in the way at `by`. */
  alive(by: Deadline): Promise<void>;
}

/**
 * Resolves as soon as engines are answered; etcd is sought in the background and need not be there. A socket that was
 * inherited is served instead of the one that the settings name.
 */
export async function startDriver(
  settings: Settings<readonly Predefined[]>,
  log: Log,
  releasers: Releasers,
  inherited?: Inherited,
  roundMs = ROUND_MS,
): Promise<Running> {
  const { node, prefix, swarm, cooldown: restMs, history: keepMs } = settings;
  const self = { node, boot: bootId(), machine: machineId(settings.machineId) };
  const { gone: goneRounds } = limitsOf(settings, roundMs);

  const outageMs = Math.max(LEAST_OUTAGE_MS, settings.deadline);
  const requests = new EtcdRequests();
  const attempted = requests.begun;
  const client = openClient({ ...settings.etcd, ...etcdNow(settings.etcd, log), outageMs, attempted });
  releasers.push('etcd client', () => client.close());
  const instance = instanceId();
  const session = new SessionKeeper(client, {
    ...self,
    instance,
    host: hostname(),
    prefix,
    ttl: settings.sessionTtl / 1_000,
    goneRounds,
    report: (event) => {
      const { kind, ...rest } = event;
      log[kind === 'alive' ? 'info' : 'warn'](rest, `session ${kind}`);
      if (event.kind === 'alive' && event.returned) void tellGivenOn(log, store, node);
    },
  });
  releasers.push('session', () => session.stop(performance.now() + DRAIN_MS.session));

  const store = new EtcdStore(client, session, prefix, START_WINDOW_MS);
  releasers.push('store', () => store.close());
  const failedForGood = (what: string, error: unknown) => {
    log.error({ error }, `${what} failed`);
    observation.abandoned();
  };
  const lived = countRounds(() => session.alive, roundMs);
  releasers.push('lived rounds', lived.end);
  const around = { ...SURROUNDINGS, rounds: lived.count };
  const rounds = roundsOf({ client, session, store, around, settings, log }, roundMs);
  releasers.push('rounds', () => rounds.stop());
  const owner = { ...self, swarm, goneRounds, restMs, keepMs };
  const allocator = new Allocator(store, owner, around, settings.pools, failedForGood, store.hasty);
  releasers.push('queued releases', async () => {
    const pending = await allocator.close(DRAIN_MS.queued);
    if (pending > 0) log.warn({ pending }, 'stopped with releases that etcd did not take: their addresses stay taken');
  });

  const watching = watchingOf(client, prefix);
  const busy = () => driver.busy;
  const restored = () => mark.problem();
  const watched = { client, session, store, watching, allocator, requests, busy, restored };
  const observation = new Observation({ settings, goneRounds, around, log, ...watched });
  releasers.push('metrics and health', () => observation.stop());
  const tell = (told: Told | Decision) => {
    logDecision(log, told);
    observation.told(told);
  };
  const driver = new Driver(allocator, settings.requireMac, tell, swarm);
  const socket = inherited?.path ?? settings.socket;
  const names = driversServed({ ...settings, ...(socket && { socket }) });
  const waitMs = Math.max(2 * settings.sessionTtl, settings.reconcileGrace);
  const resumption = new Resumption(store, around, { node, instance, waitMs });
  const counts: Pick<Reconciling, 'count' | 'looked'> = {
    count: (outcome) => observation.reconciled(outcome),
    looked: (findings) => observation.looked(findings),
  };
  const looks = reconciliation(settings, names, { allocator, driver, log, ...counts, resumption });
  releasers.push('reconciliation', () => looks?.stop());
  const server = serve(driver, {
    deadlineMs: () => Math.max(settings.deadline, START_WINDOW_MS - performance.now()),
    onCall: (event) => {
      const decision = untold(event);
      if (decision) tell(decision);
      else if (!event.request) log.debug({ call: event.call, ms: event.ms }, `${event.call} answered`);
      if (event.call === 'GetCapabilities') looks?.soon();
      if (event.call === 'RequestPool') for (const warning of misspelt(event)) log.warn({ call: event.call }, warning);
    },
    onError: (error) => log.error({ error }, 'fault of the plugin server'),
  });
  if (inherited && settings.socket && settings.socket !== inherited.path)
    log.warn(`IPAM_SOCKET is "${settings.socket}", and not made: ${inherited.path} was passed on to be served`);
  const listening = await listen(server, settings, log, releasers, inherited);
  const addresses = listening.map(({ address }) => address);
  log.info({ addresses, etcd: settings.etcd.endpoints, prefix }, 'listening');
  session.start();
  rounds.start();
  looks?.start();
  const mark = watchMark({ store, session, allocator, log, look: () => looks?.soon() });
  releasers.push('mark', () => mark.stop());
  await observation.start();
  return { addresses, ops: observation.address, alive: async (by) => void (await session.current(by)) };
}

async function listen(
  server: PluginServer,
  settings: Settings<unknown>,
  log: Log,
  releasers: Releasers,
  inherited: Inherited | undefined,
): Promise<Listening[]> {
  const listening: Listening[] = [];
  releasers.push('plugin server', () => Promise.all(listening.map((one) => one.close(DRAIN_MS.calls))));
  if (inherited) listening.push(await server.serveInherited(inherited.fd, inherited.path));
  else if (settings.socket) listening.push(await server.serveUnix(settings.socket).catch(wordedFor(settings.socket)));
  if (settings.listen) {
    const { host, port, tls } = settings.listen;
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    listening.push(
      await server.serveTcp(PLUGIN_NAME, address, tls ? { tls: { ...tls, renewed: tlsNow(tls, log) } } : {}),
    );
  }
  return listening;
}

/** The likeliest reason why a first start fails deserves to say what to do. */
function wordedFor(socket: string): (error: unknown) => never {
  return (error) => {
    const { code, cause } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && (cause as NodeJS.ErrnoException | undefined)?.code !== 'EACCES') throw error;
    throw new Error(`no right to make the socket ${socket}: run as root, or set IPAM_SOCKET`, { cause: error });
  };
}

/** What the driver did not tell of a call: that it was late, whatever was or will be decided; that its body cannot be read. */
export function untold({ call, outcome, ms, request, error }: CallEvent): Decision | undefined {
  if (outcome === 'late') return { call, outcome, ms, error };
  return error && !request ? { call, outcome: 'refused', ms, error } : undefined;
}

/** Such a network has been made all the same: an option that nobody knows may be another program's. */
export function misspelt({ request }: Pick<CallEvent, 'request'>): string[] {
  const options = request && 'addressSpace' in request ? request.options : null;
  return options ? misspeltOptions(options.keys(), OPTIONS) : [];
}

/** Counts time as etcd has seen us live it: a process that was stopped, or cut off, counts nothing meanwhile. */
function countRounds(alive: () => boolean, roundMs: number): { count: () => number; end: () => void } {
  let lived = 0;
  let throughout = alive();
  const timer = setInterval(() => {
    if (throughout && alive()) lived++;
    throughout = alive();
  }, roundMs);
  timer.unref();
  return { count: () => lived, end: () => clearInterval(timer) };
}

const SURROUNDINGS: Omit<Surroundings, 'rounds'> = {
  now: () => new Date(),
  millis: () => performance.now(),
  token,
  below: (bound) => below(bound),
  pause: (ms) => sleep(ms),
};

const TOKEN_DIGITS = 16;
let tokens = '';

/** Drawn 64 at a time, since asking the kernel costs the same for one. */
function token(): string {
  if (tokens === '') tokens = randomBytes(32 * TOKEN_DIGITS).toString('hex');
  const next = tokens.slice(0, TOKEN_DIGITS);
  tokens = tokens.slice(TOKEN_DIGITS);
  return next;
}

/** Uniform for bounds beyond 2^48 too, by drawing again what would favour the low numbers. */
function below(bound: bigint): bigint {
  if (bound <= 2n ** 47n) return BigInt(randomInt(Number(bound)));
  const bits = BigInt(bound.toString(2).length);
  for (;;) {
    const drawn = BigInt(`0x${randomBytes(Number((bits + 7n) / 8n)).toString('hex')}`) & ((1n << bits) - 1n);
    if (drawn < bound) return drawn;
  }
}
