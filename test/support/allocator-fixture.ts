// The one way for tests to build allocators and drivers: hosts over one backend, with chance, clock and tokens of the
// test's own. Decides nothing; says what the records are in words a test can compare.
import { setTimeout as sleep } from 'node:timers/promises';
import { Driver, type Told } from '../../src/docker/driver.js';
import { Allocator, type Released } from '../../src/ipam/allocator.js';
import type { Purpose } from '../../src/ipam/decide.js';
import { IpamError } from '../../src/ipam/errors.js';
import type { Grant } from '../../src/ipam/grant.js';
import { nodeOf, type Subnet, TICK } from '../../src/ipam/keyspace.js';
import type { PoolRef } from '../../src/ipam/pool-id.js';
import { type Predefined, parsePredefined } from '../../src/ipam/predefined.js';
import type { NodeRecord } from '../../src/ipam/records.js';
import { type RoundEvent, Rounds } from '../../src/ipam/rounds.js';
import type { RuleChange } from '../../src/ipam/rule-changes.js';
import { changeRules, type Ruled } from '../../src/ipam/ruling.js';
import type { Version } from '../../src/ipam/store.js';
import type { Self, Surroundings } from '../../src/ipam/surroundings.js';
import { type Address, formatAddress, parseAddress } from '../../src/net/address.js';
import { parsePrefix } from '../../src/net/prefix.js';
import { parseRange } from '../../src/net/range.js';
import { Link } from './link.js';
import { type Backend, MemoryBackend } from './stores.js';

/** In rounds of silence. */
export const LIMITS = { gone: 4, forget: 6 } as const;

/** Its key ends with a time and a token. */
const TENURE = /^(history\/.*)\/[^/]+$/;

export const soon = (ms = 5_000): number => performance.now() + ms;

export interface Granted extends Grant<Address> {
  /** The address as text. */
  readonly ip: string;
}

export interface Asked {
  readonly ip?: string;
  readonly name?: string;
  readonly mac?: string;
}

/** One network of one host: what an engine knows after RequestPool. */
export class Net {
  constructor(
    readonly host: Host,
    readonly grant: Grant<PoolRef>,
  ) {}

  get ref(): PoolRef {
    return this.grant.reply;
  }

  endpoint({ ip, name, mac }: Asked = {}): Promise<Granted> {
    return this.#ask({ purpose: 'endpoint', ...(name && { name }), ...(mac && { mac }) }, ip);
  }

  /** An address without name or MAC, as engines up to 28 send it. */
  unsure(ip: string): Promise<Granted> {
    return this.#ask({ purpose: 'unsure' }, ip);
  }

  aux(ip: string): Promise<Granted> {
    return this.#ask({ purpose: 'aux' }, ip);
  }

  gateway(ip?: string): Promise<Granted> {
    return this.#ask({ purpose: 'gateway' }, ip);
  }

  /** What a leader asks for: a task's, a service's or a load balancer's. */
  task(ip?: string): Promise<Granted> {
    return this.#ask({ purpose: 'swarm' }, ip);
  }

  release(ip: string, ms?: number): Promise<Released> {
    return this.host.allocator.releaseAddress(this.ref, parseAddress(ip), soon(ms));
  }

  releasePool(ms?: number): Promise<Released> {
    return this.host.allocator.releasePool(this.ref, soon(ms));
  }

  async #ask(ask: { purpose: Purpose; name?: string; mac?: string }, ip: string | undefined): Promise<Granted> {
    const address = ip === undefined ? {} : { address: parseAddress(ip) };
    const grant = await this.host.allocator.requestAddress({ pool: this.ref, ...ask, ...address }, soon());
    return { ...grant, ip: formatAddress(grant.reply), undo: (by) => grant.undo(by) };
  }
}

/** One process of the driver on one node. */
export class Host {
  readonly allocator: Allocator;
  readonly driver: Driver;
  /** What the driver told, in order. */
  readonly told: Told[] = [];
  /** Queued work that failed for good. */
  readonly failed: string[] = [];

  constructor(
    readonly world: World,
    readonly self: Self,
    readonly link: Link,
    readonly loseSession: () => Promise<void>,
    { predefined, requireMac }: { predefined: readonly Predefined[]; requireMac: boolean },
  ) {
    this.allocator = new Allocator(link, self, world.surroundings(), predefined, (what, error) =>
      this.failed.push(`${what}: ${error instanceof IpamError ? error.message : error}`),
    );
    this.driver = new Driver(this.allocator, requireMac, (told) => this.told.push(told), self.swarm);
  }

  async network(
    pool: string,
    options: { range?: string; shared?: readonly string[]; space?: string; managed?: boolean } = {},
  ) {
    const { range, shared = [], space = 'local', managed = false } = options;
    const ask = { space, managed, pool: parsePrefix(pool), ...(range && { range: parsePrefix(range) }) };
    return this.#joined(
      await this.allocator.requestPool({ ...ask, shared: shared.map((text) => parseAddress(text)) }, soon()),
    );
  }

  async anyNetwork(family: 4 | 6 = 4, length?: number, space = 'local'): Promise<Net> {
    const pool = { any: family, ...(length !== undefined && { length }) };
    return this.#joined(await this.allocator.requestPool({ space, pool, shared: [] }, soon(20_000)));
  }

  /** Resolves when nothing waits any more. */
  async settled(): Promise<void> {
    for (const end = soon(); this.allocator.pending > 0; ) {
      if (performance.now() > end) throw new Error(`${this.allocator.pending} releases or undos still wait`);
      await sleep(2);
    }
  }

  #joined(grant: Grant<PoolRef>): Net {
    this.world.join(grant.reply.join);
    return new Net(this, grant);
  }
}

/** Rules over one subnet. What is in the way is refused, unless it may be kept. */
export class Operator {
  #tokens = 0;

  constructor(
    readonly link: Link,
    readonly subnet: Subnet,
  ) {}

  exclude(range: string, keep = false): Promise<Ruled> {
    return this.rule({ kind: 'exclude', range: parseRange(range) }, keep);
  }

  include(range: string): Promise<Ruled> {
    return this.rule({ kind: 'include', range: parseRange(range) });
  }

  reserve(ip: string, name: string, keep = false): Promise<Ruled> {
    return this.rule({ kind: 'reserve', address: parseAddress(ip), name }, keep);
  }

  unreserve(ip: string): Promise<Ruled> {
    return this.rule({ kind: 'unreserve', address: parseAddress(ip) });
  }

  rule(change: RuleChange, keep = false, dryRun = false): Promise<Ruled> {
    const options = { keep, dryRun, now: new Date(), token: `operator ${++this.#tokens}` };
    return changeRules(this.link, this.subnet, change, options, soon());
  }
}

export class World {
  /** Added to the monotonic clock that surroundings show. */
  skippedMs = 0;
  /** Added to the wall clock that surroundings show. */
  skippedWallMs = 0;
  /** How long what its hosts release is to rest, unless they say otherwise. */
  restMs = 0;
  /** For how long its hosts keep who had an address. */
  keepMs = 0;
  /** Rounds of 30 s that every process has lived through. */
  rounds = 0;
  /** Whoever pauses, as queued work does between its attempts, stays asleep until this is resolved. */
  #held: { readonly promise: Promise<void>; asleep: number } | undefined;
  readonly roundsTold: string[] = [];
  readonly #backend: Backend;
  readonly #joins: string[] = [];
  #tokens = 0;
  #chance = 1;

  constructor(backend: Backend = new MemoryBackend(), seed = 1) {
    this.#backend = backend;
    this.#chance = seed;
  }

  /** A process on that node, the node being in that boot. */
  async host(
    node: string,
    options: { boot?: string; predefined?: string; requireMac?: boolean; swarm?: string; restMs?: number } = {},
  ): Promise<Host> {
    const { boot = 'boot-1', predefined = '', requireMac = false, swarm = '', restMs = this.restMs } = options;
    const self = { node, boot, swarm, goneRounds: LIMITS.gone, restMs, keepMs: this.keepMs };
    const seat = await this.#backend.open(node, boot);
    const settings = { predefined: parsePredefined(predefined), requireMac };
    return new Host(this, self, new Link(seat.store), () => seat.loseSession(), settings);
  }

  /** The key that paces rounds passes to somebody, as if its lease had ended meanwhile. */
  async tick(host: Host): Promise<Version> {
    await this.#backend.plant('tick', { node: host.self.node });
    const [found] = await host.link.read([{ one: TICK }], soon());
    return found!.version;
  }

  /** Rounds run by that process, one after the other; what they told is kept. */
  async silence(host: Host, rounds = 1): Promise<void> {
    for (let round = 0; round < rounds; round++) await this.round(host, await this.tick(host));
  }

  round(host: Host, tick: Version, ms = 20_000): Promise<void> {
    const tell = ({ kind, ...rest }: RoundEvent) => this.roundsTold.push([kind, ...Object.values(rest)].join(' '));
    return new Rounds(host.link, { ...LIMITS, keepMs: this.keepMs }, this.surroundings(), tell).run(tick, soon(ms));
  }

  /** "a 0", "b 4 evicted": each node with the rounds of its silence. */
  async nodes(): Promise<string[]> {
    return Object.entries(await this.#backend.nodes()).map(([key, record]) => {
      const { silence, evicted } = record as NodeRecord;
      return `${nodeOf(key)} ${silence}${evicted === undefined ? '' : ' evicted'}`;
    });
  }

  /** A command of an operator's, as it is run beside the drivers. */
  async operator(pool: string, space = 'local'): Promise<Operator> {
    const { store } = await this.#backend.open('operator', 'boot-1');
    return new Operator(new Link(store), { space, prefix: parsePrefix(pool) });
  }

  plant(key: string, record: unknown): Promise<void> {
    return this.#backend.plant(key, record);
  }

  /** All that rests has done so. */
  rested(): Promise<void> {
    return this.#backend.rested(this.restMs);
  }

  loseLeases(): Promise<void> {
    return this.#backend.loseLeases();
  }

  /** Joins are named J1, J2 … in the order in which networks were granted. */
  join(id: string): void {
    if (!this.#joins.includes(id)) this.#joins.push(id);
  }

  /** The whole keyspace but nodes and sessions, a line a record, tokens and times left out. */
  async records(): Promise<string[]> {
    return Object.entries(await this.#backend.records())
      .map(([key, record]) => [this.#named(key.replace(TENURE, '$1')), ...words(this.#named, record)].join(' '))
      .sort();
  }

  /** The token in a record. */
  async token(key: string): Promise<unknown> {
    return ((await this.#backend.records())[key] as { token?: unknown } | undefined)?.token;
  }

  surroundings(): Surroundings {
    return {
      now: () => new Date(Date.now() + this.skippedWallMs),
      millis: () => performance.now() + this.skippedMs,
      rounds: () => this.rounds,
      token: () => (++this.#tokens).toString(16).padStart(16, '0'),
      below: (bound) => this.#below(bound),
      pause: (ms) => this.#pause(ms),
    };
  }

  /** From now on queued work that failed once is not tried again until `end` is called. */
  holdRetries(): { asleep(count: number): Promise<void>; end(): void } {
    let wake: () => void = () => undefined;
    const promise = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const held = { promise, asleep: 0 };
    this.#held = held;
    return {
      asleep: async (count) => {
        for (const end = soon(); held.asleep < count; await sleep(1))
          if (performance.now() > end) throw new Error(`${held.asleep} of ${count} are asleep`);
      },
      end: () => {
        this.#held = undefined;
        wake();
      },
    };
  }

  #pause(ms: number): Promise<void> {
    if (!this.#held) return sleep(ms / 20);
    this.#held.asleep++;
    return this.#held.promise;
  }

  /** Any 62 bits of a fixed sequence; the bias towards low numbers does not matter to a test. */
  #below(bound: bigint): bigint {
    let bits = 0n;
    for (let i = 0; i < 2; i++) {
      this.#chance = (Math.imul(this.#chance, 1_103_515_245) + 12_345) & 0x7fffffff;
      bits = (bits << 31n) | BigInt(this.#chance);
    }
    return (bits >> 8n) % bound;
  }

  readonly #named = (text: string): string =>
    this.#joins.reduce((named, id, index) => named.replace(id, `J${index + 1}`), text);
}

function words(named: (text: string) => string, record: unknown): string[] {
  if (typeof record !== 'object' || record === null) return [JSON.stringify(record)];
  return Object.entries(record)
    .filter(([field]) => !['token', 'since', 'until', 'incarnation'].includes(field))
    .map(([field, value]) => {
      const text = named(plain(field, value));
      return ['kind', 'state', 'role', 'node', 'boot'].includes(field) ? text : `${field}=${text}`;
    });
}

function plain(field: string, value: unknown): string {
  if (field === 'replaces') return (value as { join: string }).join;
  if (field === 'rules') return words(String, value).join(';');
  if (!Array.isArray(value)) return String(value);
  return value.map((one) => (typeof one === 'object' ? Object.values(one as object).join('-') : one)).join(',');
}

/** The refusal as "code: message". Fails the test when the promise is kept. */
export async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof IpamError) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error('this was granted');
}
