// An etcd that is set back to a snapshot under two nodes that want one address: who notices, who is refused, what is put
// back, and when addresses are given again. Revisions are numbers here, for those of the new history repeat the old ones.
import { type Model, Wrong } from './explore.js';

export const RESTORED_RULES = {
  /** A grant compares that no mark stands. */
  mark: true,
  /** Whoever noticed gives nothing, the very grant by which it noticed included, before its mark stands. */
  alarm: true,
  /** What a transaction wrote is newer than all that was seen before: as high is too low. */
  strict: true,
  /** Whoever notices renews a mark that stands already: it may have come with the snapshot, and its stamps too. */
  renew: true,
  /** A node stamps when what lives there is claimed. */
  claimed: true,
  /** The mark goes when every node has stamped. */
  everyNode: true,
  /** … this mark, not one before. */
  ofThisMark: true,
  /** What was known of the old history says nothing of what is written in the new one. */
  tagged: true,
  /** Left open: the mark of who has seen something that is gone stands before anybody else is answered. */
  first: true,
};
export type RestoredRules = Readonly<typeof RESTORED_RULES>;

/** How often each may happen. `others`: other records are written, ten at once. `marked`: an earlier mark stands at first. */
export interface RestoredBudget {
  readonly snapshot: number;
  readonly restore: number;
  readonly start: number;
  readonly stop: number;
  readonly others: number;
  readonly marked: boolean;
}

type NodeName = 'a' | 'b';
interface Entry {
  v: string;
  node?: NodeName;
  mark?: string;
}
type Keys = Record<string, Entry>;

interface Process {
  /** The highest revision it was shown, and how often it noticed that etcd was set back. */
  seen: number;
  histories: number;
  /** The revision at which it met the present history. */
  met: number;
  /** Noticed, and its mark is not in etcd yet. */
  alarmed: boolean;
  /** A container has the address. */
  lives: boolean;
  /** A release that waits, with what was known when it was asked for. */
  queued?: { seen: number; histories: number };
}

interface State {
  last: number;
  kv: Keys;
  rev: number;
  snapshot?: { rev: number; kv: Keys };
  nodes: Record<NodeName, Process>;
  left: RestoredBudget;
}

const NODES: readonly NodeName[] = ['a', 'b'];

export function restored(rules: RestoredRules, budget: RestoredBudget): Model<State> {
  const process = (): Process => ({ seen: 0, histories: 0, met: 0, alarmed: false, lives: false });
  const kv: Keys = budget.marked ? { mark: { v: '', mark: 'earlier' } } : {};
  const start: State = { last: 0, kv, rev: 0, nodes: { a: process(), b: process() }, left: budget };
  const steps = NODES.flatMap((node) => [
    (s: State) => ask(s, rules, node),
    (s: State) => look(s, rules, node),
    (s: State) => raise(s, rules, node),
    (s: State) => stop(s, node),
    (s: State) => release(s, rules, node),
    (s: State) => putBack(s, rules, node),
    (s: State) => stamp(s, rules, node),
  ]);
  return { start, steps: [...steps, others, snapshot, restore, (s) => lift(s, rules)], check };
}

function check({ nodes }: State): void {
  if (nodes.a.lives && nodes.b.lives) throw new Wrong('two containers have the address');
}

function write(s: State, put: Record<string, Omit<Entry, 'v'> | null>): void {
  s.rev++;
  for (const [key, entry] of Object.entries(put)) {
    // Only the claim's is ever compared.
    if (entry) s.kv[key] = { ...entry, v: key === 'claim' ? String(s.rev) : '' };
    else delete s.kv[key];
  }
}

/** A linearizable answer, perhaps of a transaction that wrote; true if it shows that etcd was set back. */
function answered(s: State, rules: RestoredRules, node: NodeName, wrote = false): boolean {
  const own = s.nodes[node];
  const back = s.rev < own.seen || (rules.strict && wrote && s.rev === own.seen);
  if (back) Object.assign(own, { seen: s.rev, met: s.rev, histories: own.histories + 1, alarmed: true });
  own.seen = s.rev;
  return back;
}

/** It will notice by itself, or nobody else has seen what is gone without having put its mark. */
function mayGoFirst(s: State, { first }: RestoredRules, node: NodeName): boolean {
  const { seen } = s.nodes[node];
  return !first || s.rev < seen || NODES.every((one) => one === node || !noticing(s, one));
}

function noticing({ nodes, rev }: State, node: NodeName): boolean {
  return nodes[node].alarmed || rev < nodes[node].seen;
}

function ask(s: State, rules: RestoredRules, node: NodeName): string | undefined {
  const own = s.nodes[node];
  if (s.left.start === 0 || own.lives || (rules.alarm && own.alarmed) || !mayGoFirst(s, rules, node)) return undefined;
  s.left = { ...s.left, start: s.left.start - 1 };
  const granted = !s.kv.claim && !(rules.mark && s.kv.mark);
  if (granted) write(s, { claim: { node } });
  const undone = answered(s, rules, node, granted) && rules.alarm;
  if (granted && undone) write(s, { claim: null });
  if (!granted || undone) return `${node} asks and is refused`;
  own.lives = true;
  return `${node} asks and is given the address at ${s.rev}`;
}

function look(s: State, rules: RestoredRules, node: NodeName): string | undefined {
  if (s.rev >= s.nodes[node].seen) return undefined;
  answered(s, rules, node);
  return `${node} notices`;
}

function raise(s: State, rules: RestoredRules, node: NodeName): string | undefined {
  const own = s.nodes[node];
  if (!own.alarmed) return undefined;
  own.alarmed = false;
  const renewed = !s.kv.mark || rules.renew;
  if (renewed) write(s, { mark: { mark: String(s.rev) } });
  answered(s, rules, node, renewed);
  return `${node} puts the mark`;
}

function stop(s: State, node: NodeName): string | undefined {
  const own = s.nodes[node];
  if (!own.lives || own.queued || s.left.stop === 0) return undefined;
  s.left = { ...s.left, stop: s.left.stop - 1 };
  own.lives = false;
  own.queued = { seen: own.seen, histories: own.histories };
  return `${node}'s container ends, its release waits`;
}

function release(s: State, rules: RestoredRules, node: NodeName): string | undefined {
  const { queued, histories, met } = s.nodes[node];
  if (!queued || !mayGoFirst(s, rules, node)) return undefined;
  const { claim } = s.kv;
  // Read before it is judged, so this process has been answered by etcd as it is.
  const noticed = answered(s, rules, node);
  delete s.nodes[node].queued;
  const known = noticed ? s.nodes[node].met : queued.histories < histories ? met : queued.seen;
  if (claim?.node !== node || Number(claim.v) > (rules.tagged ? known : queued.seen)) return `${node} releases nothing`;
  write(s, { claim: null });
  s.nodes[node].seen = s.rev;
  return `${node} releases the address`;
}

function putBack(s: State, rules: RestoredRules, node: NodeName): string | undefined {
  const own = s.nodes[node];
  if (!own.lives || s.kv.claim || !mayGoFirst(s, rules, node)) return undefined;
  write(s, { claim: { node } });
  answered(s, rules, node, true);
  return `${node} claims what its container uses`;
}

function stamp(s: State, rules: RestoredRules, node: NodeName): string | undefined {
  const own = s.nodes[node];
  const { mark, claim, [`stamp/${node}`]: before } = s.kv;
  if (!mark || before?.mark === mark.mark || !mayGoFirst(s, rules, node)) return undefined;
  if (own.lives && claim?.node !== node && rules.claimed) return undefined;
  write(s, { [`stamp/${node}`]: { mark: mark.mark! } });
  answered(s, rules, node, true);
  return `${node} stamps`;
}

function lift(s: State, rules: RestoredRules): string | undefined {
  const { mark } = s.kv;
  if (!mark || (rules.first && NODES.some((node) => noticing(s, node)))) return undefined;
  const stamped = NODES.map((node) => s.kv[`stamp/${node}`]).filter(
    (one) => one && (one.mark === mark.mark || !rules.ofThisMark),
  );
  if (stamped.length < (rules.everyNode ? NODES.length : 1)) return undefined;
  write(s, { mark: null, 'stamp/a': null, 'stamp/b': null });
  return 'the mark goes';
}

function others(s: State): string | undefined {
  const { a, b } = s.nodes;
  if (s.left.others === 0 || noticing(s, 'a') || noticing(s, 'b')) return undefined;
  s.left = { ...s.left, others: s.left.others - 1 };
  s.rev += 10;
  a.seen = b.seen = s.rev;
  return `others write, and both see ${s.rev}`;
}

function snapshot(s: State): string | undefined {
  if (s.left.snapshot === 0) return undefined;
  s.left = { ...s.left, snapshot: s.left.snapshot - 1 };
  s.snapshot = { rev: s.rev, kv: structuredClone(s.kv) };
  return `a snapshot is taken at ${s.rev}`;
}

function restore(s: State): string | undefined {
  if (s.left.restore === 0 || !s.snapshot || s.rev === s.snapshot.rev) return undefined;
  s.left = { ...s.left, restore: s.left.restore - 1 };
  s.rev = s.snapshot.rev;
  s.kv = structuredClone(s.snapshot.kv);
  return `etcd is restored to ${s.rev}`;
}
