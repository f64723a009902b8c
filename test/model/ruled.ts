// An operator leaves an address out while two nodes ask for it, give it back and lay it to rest, and networks make and end its
// pool. One address, one command at a time; whoever acts goes by what he read earlier.
import { commit, type Entry, type Model, type Name, type Store, Wrong } from './explore.js';

export const RULED_RULES = {
  /** A claim compares the pool by whose rules it was decided. */
  pool: true,
  /** The command rewrites the pool, and with it what claims compare. */
  rewrites: true,
  /** The command compares that no claim is newer than its look. */
  claims: true,
  /** … and the pool as it saw it, or that there was none. */
  seen: true,
  /** Whoever makes a pool compares the rules that he copies. */
  making: true,
  /** A pool's rules outlive it. */
  outlive: true,
  /** Whoever takes over what rests goes by the rules as well. */
  resting: true,
};
export type RuledRules = Readonly<typeof RULED_RULES>;

/** How often each may happen. */
export interface RuledBudget {
  readonly ask: number;
  readonly release: number;
  readonly command: number;
  readonly make: number;
}

type NodeName = 'a' | 'b';
interface Pool extends Entry {
  readonly excluded: boolean;
}
interface Claim extends Entry {
  readonly node?: NodeName;
}

interface Process {
  /** The pool as it was last seen. */
  view?: { pool: Name; excluded: boolean };
  /** Asked, and what it decided on: the claim it met. */
  asks?: { pool: Name; claim: Name | null; rests: boolean; excluded: boolean };
  lives: boolean;
}

interface State extends Store {
  nodes: Record<NodeName, Process>;
  /** A command that has looked, and one that has ended: the address is left out as far as anybody was told. */
  looked?: { wants: boolean; rules: Name | null; pool: Name | null; claim: Name | null };
  told: boolean;
  /** A network that has looked and makes the pool. */
  making?: { rules: Name | null; excluded: boolean };
  left: RuledBudget;
}

const NODES: readonly NodeName[] = ['a', 'b'];

export function ruledPool(rules: RuledRules, left: RuledBudget): Model<State> {
  const start: State = {
    ...{ last: 1, kv: { pool: { v: '#1', excluded: false } as Pool } },
    ...{ nodes: { a: { lives: false }, b: { lives: false } }, told: false, left },
  };
  const steps = NODES.flatMap((node) => [
    (s: State) => see(s, node),
    (s: State) => ask(s, node),
    (s: State) => claim(s, rules, node),
    (s: State) => release(s, node),
  ]);
  const others = [
    look,
    (s: State) => rule(s, rules),
    (s: State) => end(s, rules),
    lookFirst,
    (s: State) => make(s, rules),
  ];
  return { start, steps: [...steps, ...others, restEnds], check };
}

function check({ nodes, told }: State): void {
  if (told && NODES.some((node) => nodes[node].lives)) throw new Wrong('a container has what is excluded');
}

const poolOf = ({ kv }: State) => kv.pool as Pool | undefined;
const claimOf = ({ kv }: State) => kv.claim as Claim | undefined;

function spend(s: State, what: keyof RuledBudget): boolean {
  if (s.left[what] === 0) return false;
  s.left = { ...s.left, [what]: s.left[what] - 1 };
  return true;
}

function see(s: State, node: NodeName): string | undefined {
  const pool = poolOf(s);
  if (!pool || s.nodes[node].view?.pool === pool.v) return undefined;
  s.nodes[node].view = { pool: pool.v, excluded: pool.excluded };
  return `${node} sees the pool`;
}

/** By what is remembered of the pool, and by the claim that there is. */
function ask(s: State, node: NodeName): string | undefined {
  const own = s.nodes[node];
  const held = claimOf(s);
  if (!own.view || own.asks || own.lives || held?.node || !spend(s, 'ask')) return undefined;
  own.asks = { ...own.view, claim: held?.v ?? null, rests: held !== undefined };
  return `${node} asks`;
}

function claim(s: State, rules: RuledRules, node: NodeName): string | undefined {
  const own = s.nodes[node];
  if (!own.asks) return undefined;
  const { pool, claim, rests, excluded } = own.asks;
  delete own.asks;
  if (excluded && (rules.resting || !rests)) return `${node} is refused`;
  const when = { claim, ...(rules.pool ? { pool } : {}) };
  if (!poolOf(s) || !commit(s, { when, put: { claim: { node } } })) return `${node} loses`;
  own.lives = true;
  return `${node} is given the address`;
}

function release(s: State, node: NodeName): string | undefined {
  if (!s.nodes[node].lives || !spend(s, 'release')) return undefined;
  s.nodes[node].lives = false;
  commit(s, { when: {}, put: { claim: {} } });
  return `${node} gives it back, and it rests`;
}

function restEnds(s: State): string | undefined {
  const held = claimOf(s);
  if (!held || held.node) return undefined;
  delete s.kv.claim;
  return 'its rest ends';
}

function look(s: State): string | undefined {
  if (s.looked || claimOf(s)?.node || !spend(s, 'command')) return undefined;
  const wants = !s.told;
  s.looked = { wants, rules: s.kv.rules?.v ?? null, pool: poolOf(s)?.v ?? null, claim: claimOf(s)?.v ?? null };
  if (!wants) s.told = false;
  return `the operator looks, to ${wants ? 'exclude' : 'include'}`;
}

/** The outcome is told, or it looks again: that is another command here. */
function rule(s: State, rules: RuledRules): string | undefined {
  if (!s.looked) return undefined;
  const { wants, claim, ...seen } = s.looked;
  delete s.looked;
  const held = claimOf(s);
  const came = rules.claims && wants && held && held.v !== claim;
  const when = { rules: seen.rules, ...(rules.seen ? { pool: seen.pool } : {}) };
  const pool = poolOf(s);
  const copy = pool && (rules.rewrites ? { pool: { excluded: wants } } : {});
  if (came || !commit(s, { when, put: { rules: wants ? {} : null, ...(seen.pool ? copy : {}) } }))
    return 'the command loses';
  s.told = wants;
  return `the command has ended: ${wants ? 'excluded' : 'included'}`;
}

function end(s: State, rules: RuledRules): string | undefined {
  const pool = poolOf(s);
  if (!pool || claimOf(s)?.node) return undefined;
  commit(s, { when: { pool: pool.v }, put: { pool: null, claim: null, ...(rules.outlive ? {} : { rules: null }) } });
  return 'the last network ends, and the pool';
}

function lookFirst(s: State): string | undefined {
  if (poolOf(s) || s.making || !spend(s, 'make')) return undefined;
  s.making = { rules: s.kv.rules?.v ?? null, excluded: s.kv.rules !== undefined };
  return 'a network looks';
}

function make(s: State, rules: RuledRules): string | undefined {
  if (!s.making) return undefined;
  const { rules: seen, excluded } = s.making;
  delete s.making;
  const when = { pool: null, ...(rules.making ? { rules: seen } : {}) };
  return commit(s, { when, put: { pool: { excluded } } }) ? 'it makes the pool' : 'it loses';
}
