// Random sequences of calls by several processes of several hosts, each answer checked against the oracle. Refuses to
// know which store the processes share.
import fc from 'fast-check';
import type { Call, Ipam } from '../../src/docker/ipam.js';
import { IpamError } from '../../src/ipam/errors.js';
import type { RuleChange } from '../../src/ipam/rule-changes.js';
import { changeRules } from '../../src/ipam/ruling.js';
import type { Store } from '../../src/ipam/store.js';
import type { Surroundings } from '../../src/ipam/surroundings.js';
import { parseAddress } from '../../src/net/address.js';
import { parsePrefix } from '../../src/net/prefix.js';
import { type Answered, type Asked, membersOf, Oracle, type Ruling, tableOf } from './oracle.js';

/** Two plugins on one host, one on another. */
export const PROCESSES = ['a', 'a', 'b'] as const;
export const PREDEFINED = '10.9.0.0/27/29,fd09::/124/126';
const SIZES = [
  { base: '10.9.0.0/27', size: 29 },
  { base: 'fd09::/124', size: 126 },
];

/** Ten seconds pass between any two steps: whatever a process remembers for a while is then old. */
export interface Clock {
  skew: number;
}

/** The shared store with a process for each of PROCESSES. */
export interface World {
  readonly clock: Clock;
  /** The driver of that process, of the present boot of its host. */
  driver(at: number): Ipam;
  /** Ends the process and starts it anew, with nothing remembered. */
  restart(at: number): Promise<void>;
  /** Gives the host another boot, and all its processes with it. */
  reboot(node: string, boot: string): Promise<void>;
  /** What is released rests; a function lets it have rested. */
  readonly rests?: boolean | (() => void);
  /** An operator's command; where there is none, nobody rules. */
  readonly rule?: (asked: Ruling) => Promise<unknown>;
  /** Every record with its key relative to the prefix. */
  keyspace(): Promise<Readonly<Record<string, unknown>>>;
}

export type Single =
  | {
      readonly do: 'pool';
      readonly at: number;
      readonly pool: string;
      readonly range: string;
      readonly aux: readonly string[];
      readonly blue: boolean;
      readonly v6: boolean;
    }
  | {
      readonly do: 'address';
      readonly at: number;
      readonly join: number;
      readonly index: number | 'any' | 'outside';
      readonly as: { readonly gateway?: true; readonly name?: string; readonly mac?: string };
    }
  | { readonly do: 'release'; readonly at: number; readonly join: number; readonly index: number }
  | { readonly do: 'drop'; readonly at: number; readonly join: number }
  | {
      readonly do: 'rule';
      readonly cidr: string;
      readonly kind: Ruling['kind'];
      readonly index: number;
      readonly more: number;
      readonly name: string;
      readonly keep: boolean;
    };

export type Step =
  | Single
  | { readonly do: 'restart'; readonly at: number }
  | { readonly do: 'reboot'; readonly node: string }
  | { readonly do: 'together'; readonly steps: readonly Single[] }
  | { readonly do: 'rested' }
  | { readonly do: 'nothing' };

const POOLS = [
  ...['10.0.0.0/28', '10.0.0.0/29', '10.0.0.8/29', '10.0.0.5/30', '10.0.0.0/30', '10.0.0.8/31', '10.0.0.9/32'],
  ...['fd00::/124', 'fd00::8/125', 'fd00::4/126', 'fd00::8/127', 'fd00::1/128', '10.9.0.8/29', '10.0.0.0/27'],
  // Most networks share these: what joins do to each other is where the mistakes are.
  ...Array<string>(12).fill('10.0.0.0/29'),
  ...Array<string>(6).fill('10.0.0.8/30'),
  ...Array<string>(6).fill('fd00::4/126'),
  ...['', '', '', '', '', '', '0.0.0.0/30', '::/126', '0.0.0.0/28', '0.0.0.0/28', '0.0.0.0/27', '0.0.0.0/26'],
];
const RANGES = ['10.0.0.8/30', '10.0.0.4/30', '10.0.0.0/31', '10.0.0.0/29', 'fd00::8/126', 'fd00::/127', '10.9.0.9/32'];
const AUX = [[], [], ['10.0.0.2'], ['10.0.0.2', '10.0.0.3'], ['fd00::5']];
const NAMES = ['web', 'db', 'web.1'];
const MACS = ['02:42:0a:00:00:02', '02:42:0A:00:00:03'];

const at = fc.nat(PROCESSES.length - 1);
/** Of the joins made so far; low numbers are the newest. */
const join = fc.oneof({ weight: 3, arbitrary: fc.nat(1) }, { weight: 1, arbitrary: fc.nat(9) });
const index = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(1, 2, 2, 3) }, { weight: 1, arbitrary: fc.nat(15) });
const name = fc.constantFrom(...NAMES);
const pool = fc.record({
  do: fc.constant('pool' as const),
  at,
  pool: fc.constantFrom(...POOLS),
  range: fc.oneof({ weight: 4, arbitrary: fc.constant('') }, { weight: 1, arbitrary: fc.constantFrom(...RANGES) }),
  aux: fc.constantFrom(...AUX),
  blue: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  v6: fc.boolean(),
});
const address = fc.record({
  do: fc.constant('address' as const),
  at,
  join,
  index: fc.oneof(
    { weight: 9, arbitrary: fc.constant('any' as const) },
    { weight: 9, arbitrary: index },
    { weight: 1, arbitrary: fc.constant('outside' as const) },
  ),
  as: fc.oneof(
    { weight: 3, arbitrary: fc.constant({}) },
    { weight: 2, arbitrary: fc.constant({ gateway: true as const }) },
    { weight: 2, arbitrary: fc.record({ name }) },
    { weight: 1, arbitrary: fc.record({ mac: fc.constantFrom(...MACS) }) },
    { weight: 1, arbitrary: fc.record({ name, mac: fc.constantFrom(...MACS) }) },
  ),
});
const rule = fc.record({
  do: fc.constant('rule' as const),
  cidr: fc.constantFrom('10.0.0.0/29', '10.0.0.0/29', '10.0.0.8/30', 'fd00::4/126', '10.0.0.0/28'),
  kind: fc.constantFrom(
    'exclude' as const,
    'exclude' as const,
    'include' as const,
    'reserve' as const,
    'unreserve' as const,
  ),
  index,
  more: fc.constantFrom(0, 0, 1, 3),
  name,
  keep: fc.boolean(),
});
const single: fc.Arbitrary<Single> = fc.oneof(
  { weight: 2, arbitrary: rule },
  { weight: 4, arbitrary: pool },
  { weight: 12, arbitrary: address },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('release' as const), at, join, index }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('drop' as const), at, join }) },
);
const nothing = { weight: 1, arbitrary: fc.constant({ do: 'nothing' as const }) };
const rested = { weight: 1, arbitrary: fc.constant({ do: 'rested' as const }) };
const restart = { weight: 2, arbitrary: fc.record({ do: fc.constant('restart' as const), at }) };
const reboot = {
  weight: 4,
  arbitrary: fc.record({ do: fc.constant('reboot' as const), node: fc.constantFrom('a', 'b') }),
};
const together = {
  weight: 8,
  arbitrary: fc.record({
    do: fc.constant('together' as const),
    steps: fc.array(single, { minLength: 2, maxLength: 3 }),
  }),
};

/** Both processes of a host go for whatever is left of one pool. */
const rush = {
  weight: 4,
  arbitrary: fc.record({
    do: fc.constant('together' as const),
    steps: join.map((join): Single[] =>
      [0, 1].map((at) => ({ do: 'address', at, join, index: 'any', as: { name: NAMES[at]! } })),
    ),
  }),
};

/** At least `least` steps; fails shrink to fewer, the dropped ones being `nothing`. */
export function steps(least: number, most: number): fc.Arbitrary<Step[]> {
  const one = fc.oneof(
    { withCrossShrink: true },
    nothing,
    rested,
    { weight: 48, arbitrary: single },
    restart,
    reboot,
    together,
    rush,
  );
  return fc.array(one, { minLength: least, maxLength: most, size: 'max' });
}

/** How often each answer was given: a generator that never reaches a case tests nothing. */
export type Tally = Map<string, number>;

/**
 * Runs the steps and throws at the first answer, or record in the store at the end, that the oracle would not have. Calls
 * made together must be explained by some order of theirs.
 */
export async function play(world: World, sequence: readonly Step[], tally: Tally = new Map()): Promise<void> {
  const run = new Run(world, tally);
  for (const step of sequence) await run.step(step);
  await run.compare();
}

class Run {
  /** More than one after calls made together whose answers do not tell in which order they were served. */
  #oracles: Oracle[];
  readonly #world: World;
  readonly #tally: Tally;
  readonly #joins: { readonly poolId: string; readonly node: string }[] = [];
  readonly #history: string[] = [];
  /** What the engines of a process have said of endpoints since it began, and what they have left out. */
  readonly #said = new Map<number, Set<string>>();
  readonly #boots = new Map(PROCESSES.map((node) => [node as string, 1]));

  constructor(world: World, tally: Tally) {
    this.#world = world;
    this.#tally = tally;
    this.#oracles = [new Oracle(SIZES, Boolean(world.rests))];
    for (const [node, count] of this.#boots) this.#booted(node, bootOf(node, count));
  }

  async step(step: Step): Promise<void> {
    switch (step.do) {
      case 'nothing':
        return;
      case 'rested':
        if (typeof this.#world.rests !== 'function') return;
        this.#history.push('what rested is free');
        this.#world.rests();
        for (const oracle of this.#oracles) oracle.rested();
        return;
      case 'restart':
        this.#history.push(`restart of process ${step.at}`);
        this.#said.delete(step.at);
        return this.#world.restart(step.at);
      case 'reboot': {
        const count = this.#boots.get(step.node)! + 1;
        this.#boots.set(step.node, count);
        this.#history.push(`reboot of ${step.node}`);
        for (const [at, node] of PROCESSES.entries()) if (node === step.node) this.#said.delete(at);
        await this.#world.reboot(step.node, bootOf(step.node, count));
        return this.#booted(step.node, bootOf(step.node, count));
      }
      case 'together':
        return this.#calls(step.steps);
      default:
        return this.#calls([step]);
    }
  }

  async compare(): Promise<void> {
    const stands = tableOf(await this.#world.keyspace());
    const tables = this.#oracles.map((oracle) => oracle.table());
    if (tables.some((table) => table.join() === stands.join())) return;
    const should = tables[0]!;
    const wrong = [
      ...stands.filter((line) => !should.includes(line)).map((line) => `  too much: ${line}`),
      ...should.filter((line) => !stands.includes(line)).map((line) => `  missing:  ${line}`),
    ];
    throw new Error(`the store is not as it should be\n${wrong.join('\n')}\n${this.#told()}`);
  }

  async #calls(steps: readonly Single[]): Promise<void> {
    this.#world.clock.skew += 10_000;
    const asked = steps.map((step) => this.#asked(step)).filter((one) => one !== undefined);
    const answered = await Promise.all(
      asked.map(([ask, at]) => answerOf(this.#world, at, ask).catch((error) => this.#fail(error))),
    );
    const pairs = asked.map(([ask, at], i) => ({ ask, at, answer: answered[i]! }));
    for (const { ask, at, answer } of pairs) {
      this.#history.push(
        `${pairs.length > 1 ? '| ' : ''}process ${at} ${JSON.stringify(ask)} -> ${JSON.stringify(answer)}`,
      );
      const what = 'refused' in answer ? answer.refused : 'granted' in answer ? 'granted' : 'released';
      this.#count(`${ask.call} ${what}`);
      if (ask.call === 'RequestAddress' && 'granted' in answer)
        if (this.#oracles.every((oracle) => oracle.isResting(ask.poolId, answer.granted)))
          this.#count('took over a rest');
      if (ask.call === 'RequestPool' && 'granted' in answer)
        this.#joins.unshift({ poolId: answer.poolId!, node: ask.node });
    }
    const reasons: string[] = [];
    let explained = this.#explain(pairs, reasons);
    // "Full" is said after two looks, for what is free and for what can be taken over: between them something that can be
    // taken over may become free. A refusal holds nothing, so that this is not worth a third look.
    if (explained.size === 0 && pairs.some(({ answer }) => 'done' in answer))
      explained = this.#explain(
        pairs.filter(({ ask, answer }) => !saysFull(ask, answer)),
        reasons,
      );
    if (explained.size === 0)
      throw new Error(`${reasons[0]}${pairs.length > 1 ? ' (in any order)' : ''}\n${this.#told()}`);
    this.#oracles = [...explained.values()];
  }

  #count(what: string): void {
    this.#tally.set(what, (this.#tally.get(what) ?? 0) + 1);
  }

  /** What there may be after the calls, in every order of them that the answers allow. */
  #explain(pairs: readonly { ask: Asked; answer: Answered }[], reasons: string[]): Map<string, Oracle> {
    const explained = new Map<string, Oracle>();
    for (const before of this.#oracles) {
      for (const order of orders(pairs)) {
        const oracle = before.copy();
        const why = order.map(({ ask, answer }) => oracle.take(ask, answer)).find((reason) => reason !== undefined);
        if (why === undefined) explained.set(oracle.table().join('\n'), oracle);
        else reasons.push(why);
      }
    }
    return explained;
  }

  #booted(node: string, boot: string): void {
    for (const oracle of this.#oracles) oracle.booted(node, boot);
  }

  /** Undefined for a step that has no join to speak of. A request comes to a process of its join's host. */
  #asked(step: Single): [Asked, number] | undefined {
    if (step.do === 'pool') {
      const { at, pool, range, aux, blue, v6 } = step;
      const space = blue ? 'local.blue' : 'local';
      return [{ call: 'RequestPool', node: PROCESSES[at]!, space, pool, range, aux, v6 }, at];
    }
    if (step.do === 'rule') {
      if (!this.#world.rule) return undefined;
      const { cidr, kind, index, more, name, keep } = step;
      const members = membersOf(cidr);
      const from = members[index % members.length]!;
      const to = members[Math.min((index % members.length) + more, members.length - 1)]!;
      return [{ ...{ call: 'Rule', node: 'operator', cidr, kind, from, to, name, keep } }, 0];
    }
    const join = this.#joins[step.join % Math.max(1, this.#joins.length)];
    if (!join) return undefined;
    const { poolId } = join;
    const members = membersOf(poolId.split('?')[0]!.split('/').slice(1).join('/'));
    if (step.do === 'drop') return [{ call: 'ReleasePool', node: PROCESSES[step.at]!, poolId }, step.at];
    if (step.do === 'release') {
      const address = members[step.index % members.length]!;
      return [{ call: 'ReleaseAddress', node: PROCESSES[step.at]!, poolId, address }, step.at];
    }
    const { index, as } = step;
    const address =
      index === 'any' ? '' : index === 'outside' ? '192.0.2.1' : (members[index % members.length] as string);
    const at = PROCESSES[step.at] === join.node || step.join === 9 ? step.at : PROCESSES.indexOf(join.node as 'a');
    const gateway = as.gateway === true;
    const who = { ...(as.name && { name: as.name }), ...(as.mac && { mac: as.mac.toLowerCase() }) };
    const said = this.#said.get(at) ?? new Set();
    const all = ['name', 'mac'].some((one) => said.has(one) && !said.has(`no ${one}`));
    const names = all ? { names: true } : {};
    if (!gateway && index !== 'outside' && (as.name || as.mac || address === ''))
      for (const one of ['name', 'mac'] as const) said.add(as[one] ? one : `no ${one}`);
    this.#said.set(at, said);
    return [{ call: 'RequestAddress', node: PROCESSES[at]!, poolId, address, gateway, ...who, ...names }, at];
  }

  #fail(error: unknown): never {
    throw new Error(`a call failed: ${(error as Error).stack}\n${this.#told()}`);
  }

  #told(): string {
    return ['what happened:', ...this.#history.slice(-30).map((line) => `  ${line}`)].join('\n');
  }
}

async function answerOf(world: World, at: number, ask: Asked): Promise<Answered> {
  const driver = world.driver(at);
  const call: Call = {
    deadline: performance.now() + 5_000,
    signal: new AbortController().signal,
    onUndelivered: () => undefined,
  };
  try {
    switch (ask.call) {
      case 'Rule':
        await world.rule!(ask);
        return { done: true };
      case 'RequestPool': {
        const options = new Map(ask.aux.length > 0 ? [['aux', ask.aux.join(', ')]] : []);
        if (ask.space !== 'local') options.set('space', ask.space.slice('local.'.length));
        const { pool, range: subPool, v6 } = ask;
        const reply = await driver.requestPool({ addressSpace: 'local', pool, subPool, options, v6 }, call);
        return { granted: reply.pool, poolId: reply.poolId };
      }
      case 'RequestAddress': {
        const options = new Map<string, string>();
        if (ask.gateway) options.set('RequestAddressType', 'com.docker.network.gateway');
        if (ask.name) options.set('com.docker.network.endpoint.name', ask.name);
        if (ask.mac) options.set('com.docker.network.endpoint.macaddress', ask.mac.toUpperCase());
        const { poolId, address } = ask;
        const reply = await driver.requestAddress(
          { poolId, address, options: options.size > 0 ? options : null },
          call,
        );
        const [granted, length] = reply.address.split('/');
        if (length !== /^[^?]*\/(\d+)\?/.exec(poolId)?.[1]) throw new Error(`${reply.address} has another length`);
        return { granted: granted! };
      }
      case 'ReleaseAddress':
        await driver.releaseAddress(ask, call);
        return { done: true };
      case 'ReleasePool':
        await driver.releasePool(ask, call);
        return { done: true };
    }
  } catch (error) {
    if (error instanceof IpamError && error.kind !== 'broken' && error.kind !== 'unavailable')
      return { refused: error.code };
    throw error;
  }
}

function saysFull(ask: Asked, answer: Answered): boolean {
  return ask.call === 'RequestAddress' && 'refused' in answer && answer.refused === 'pool_exhausted';
}

function* orders<T>(items: readonly T[]): Generator<T[]> {
  if (items.length < 2) yield [...items];
  for (const [i, item] of items.entries()) {
    if (items.length < 2) return;
    for (const rest of orders(items.filter((_, j) => j !== i))) yield [item, ...rest];
  }
}

export function bootOf(node: string, count: number): string {
  return `boot-${node}-${count}`;
}

/** Repeatable chance, and the world's clock. */
export function surroundings(seed: string, clock: Clock): Surroundings {
  const next = chance(seed);
  return {
    now: () => new Date(0),
    millis: () => performance.now() + clock.skew,
    rounds: () => 0,
    token: () => Array.from({ length: 4 }, () => (next() & 0xffff).toString(16).padStart(4, '0')).join(''),
    below: (bound) => BigInt(next()) % bound,
    pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  };
}

/** Whole numbers below 2^32, the same ones for the same seed (xorshift32). */
export function chance(seed: string): () => number {
  let state = 2463534242;
  for (const letter of seed) state = (Math.imul(state, 31) + letter.charCodeAt(0)) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

/** The command, on a store that is nobody's session. */
export async function ruleOver(
  store: Store,
  { cidr, kind, from, to, name, keep }: Ruling,
  token: string,
): Promise<void> {
  const address = parseAddress(from);
  const range = { family: address.family, from: address.value, to: parseAddress(to).value };
  const change: RuleChange =
    kind === 'exclude' || kind === 'include'
      ? { kind, range }
      : { ...(kind === 'reserve' ? { kind, address, name } : { kind, address }) };
  const options = { keep, dryRun: false, now: new Date(0), token };
  await changeRules(store, { space: 'local', prefix: parsePrefix(cidr) }, change, options, performance.now() + 5_000);
}
