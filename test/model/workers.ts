// The local space where the swarm's workers ask for what its leader gave: one address, two workers, and on each of them a
// bridge network of the same subnet. The second one's gives the address when it has nothing else.
import { commit, fresh, type Model, type Name, type Step, type Store, type Txn, Wrong } from './explore.js';

export const WORKER_RULES = {
  /** What a worker has on the swarm's word moves to the worker that is asked for it next … */
  moves: true,
  /** … and nothing else does. */
  onlySwarm: true,
  /** Asked for without a swarm's claim, while the swarm has the subnet, it is the swarm's all the same. */
  ruled: true,
  /** A release frees what its own join holds. */
  ownJoin: true,
  /** An undo compares its own token … */
  ownToken: true,
  /** … and never puts back what was itself undone. */
  chain: true,
  /** What an earlier boot of a node left is taken by the node. */
  boots: true,
  /** … and by another one when it has nothing else; what the present boot has it does not take. */
  earlierOnly: true,
  /** What was released rests, and is given by number to whoever asks for it … */
  restsByNumber: true,
  /** … on no lease any more … */
  detaches: true,
  /** … and an undo that puts it back to rest does so on a lease of its own. */
  restsAnew: true,
};
export type WorkerRules = Readonly<typeof WORKER_RULES>;

interface Claim {
  v: Name;
  kind: 'swarm' | 'endpoint' | 'cooling';
  /** Nobody's, if it rests. */
  join: string;
  boot: number;
  token: Name;
  /** It goes when that ends. */
  lease?: true | undefined;
}

interface Asker {
  /** A bridge's containers ask for the address without the swarm. */
  bridge: boolean;
  boot: number;
  call?: { txn: Txn; token: Name; prior?: Claim; done?: boolean };
  live: boolean;
  /** Of containers that have ended, however late. */
  releases: string[];
  undos: { token: Name; prior?: Claim }[];
  undone: Record<Name, Claim | null>;
}

interface Budget {
  tasks: number;
  bridges: number;
  /** Containers on the other worker's bridge, which has no address left. */
  others: number;
  boots: number;
  gone: number;
  /** No other worker takes part. */
  alone?: boolean;
}

interface World extends Store {
  askers: Asker[];
  /** Where the task is to run that the leader gave the address. */
  task: number | null;
  /** The task has run. */
  over: boolean;
  /** A request for a task that is no more moved the address (src/README.md). */
  stale: boolean;
  budget: Budget;
}

const ASKERS = ['worker A', 'worker B', 'a container on A', 'a container on B'];
const OTHER = 3;
const joinOf = (s: World, n: number) => `${ASKERS[n]}, boot ${s.askers[n]!.boot}`;
const onA = (n: number) => n === 0 || n === 2;
const local = (s: World) => s.kv.local as Claim | undefined;

export function workers(rules: WorkerRules, budget: Partial<Budget>): Model<World> {
  const start: World = {
    ...{ last: 0, kv: {}, task: null, over: false, stale: false },
    askers: ASKERS.map((_, n) => ({
      ...{ bridge: n >= 2, boot: 1, live: false },
      releases: [],
      undos: [],
      undone: {},
    })),
    budget: { tasks: 0, bridges: 0, others: 0, boots: 0, gone: 0, ...budget },
  };
  const steps: Step<World>[] = ASKERS.flatMap((_, n) => [
    give(n),
    ...[ask, land, answer, lose, release].map((step) => step(n, rules)),
    ...[0, 1].map((i) => undo(n, i, rules)),
    stop(n),
  ]);
  return { start, steps: [...steps, take, boot, leaseEnds], check: (s) => check(s, rules) };
}

/** The leader gives the address to a task on a worker … */
function give(n: number): Step<World> {
  return (s) => {
    if (n >= 2 || (n === 1 && s.budget.alone) || s.task !== null || s.kv.swarm || s.budget.tasks === 0)
      return undefined;
    s.budget.tasks--;
    s.task = n;
    s.over = false;
    commit(s, { when: {}, put: { swarm: {} } });
    return `the leader gives the address to a task on ${ASKERS[n]}`;
  };
}

/** … and takes it back once no container has it, though a request for it may be under way. */
const take: Step<World> = (s) => {
  if (s.task === null || s.askers[s.task]!.live) return undefined;
  s.task = null;
  commit(s, { when: {}, put: { swarm: null } });
  return 'the task is over, and the leader frees the address';
};

type StepOf = (n: number, rules: WorkerRules) => Step<World>;

function judge(s: World, rules: WorkerRules, n: number): { txn: Txn; token: Name; prior?: Claim } | undefined {
  const { bridge, boot } = s.askers[n]!;
  const [prior, join, token] = [local(s), joinOf(s, n), fresh(s)];
  const word = !bridge && s.kv.swarm ? { swarm: s.kv.swarm.v } : {};
  const moves = rules.moves && 'swarm' in word && (prior?.kind === 'swarm' || !rules.onlySwarm);
  const earlier = rules.boots && prior && prior.boot < boot && onA(n) && prior.join.includes('A,');
  const rested = rules.restsByNumber && prior?.kind === 'cooling';
  const ofA = n === OTHER && prior?.join.includes('A,') && (prior.boot < s.askers[0]!.boot || !rules.earlierOnly);
  if (prior && !moves && !earlier && !rested && !ofA) return undefined;
  const record = ofA ? { node: s.kv.node?.v ?? null } : {};
  const lease = prior?.lease && !rules.detaches ? { lease: true } : {};
  const kind = !bridge && ('swarm' in word || rules.ruled) ? 'swarm' : 'endpoint';
  const txn = {
    when: { local: prior?.v ?? null, ...word, ...record },
    put: { local: { kind, join, boot, token, ...lease } },
  };
  return { txn, token, ...(prior && { prior }) };
}

const ask: StepOf = (n, rules) => (s) => {
  const asker = s.askers[n]!;
  // An engine has released what one container had before it asks for the next.
  if (asker.call || asker.live || asker.releases.length > 0) return undefined;
  const left = n === OTHER ? 'others' : 'bridges';
  if (asker.bridge ? s.budget[left] === 0 : s.task !== n || s.over) return undefined;
  const decided = judge(s, rules, n);
  if (!decided) return undefined;
  if (asker.bridge) s.budget[left]--;
  asker.call = decided;
  return `${ASKERS[n]} asks for the address`;
};

const land: StepOf = (n, rules) => (s) => {
  const { call } = s.askers[n]!;
  if (!call || call.done) return undefined;
  if (!commit(s, call.txn)) {
    delete s.askers[n]!.call;
    const again = judge(s, rules, n);
    if (again) s.askers[n]!.call = again;
    return `${ASKERS[n]} loses its claim and ${again ? 'looks again' : 'is refused'}`;
  }
  call.done = true;
  s.stale ||= n < 2 && s.task !== n && call.prior !== undefined;
  return `${ASKERS[n]} claims the address${call.prior ? ` of ${call.prior.join}` : ''}`;
};

const answer: StepOf = (n) => (s) => {
  const asker = s.askers[n]!;
  if (!asker.call?.done) return undefined;
  delete asker.call;
  if (!asker.bridge && s.task !== n) {
    asker.releases.push(joinOf(s, n));
    return `${ASKERS[n]} has the address for a task that is over, and will release it`;
  }
  asker.live = true;
  return `${ASKERS[n]} runs with the address`;
};

const lose: StepOf = (n) => (s) => {
  const asker = s.askers[n]!;
  if (!asker.call?.done || s.budget.gone === 0) return undefined;
  s.budget.gone--;
  const { token, prior } = asker.call;
  asker.undos.push({ token, ...(prior && { prior }) });
  delete asker.call;
  return `the answer to ${ASKERS[n]} is not delivered`;
};

function stop(n: number): Step<World> {
  return (s) => {
    const asker = s.askers[n]!;
    if (!asker.live) return undefined;
    asker.live = false;
    s.over ||= s.task === n;
    asker.releases.push(joinOf(s, n));
    return `${ASKERS[n]} stops`;
  };
}

/** A release waits for the request of the same address in its process. */
const release: StepOf = (n, rules) => (s) => {
  const asker = s.askers[n]!;
  if (asker.releases.length === 0 || asker.call) return undefined;
  const join = asker.releases.shift()!;
  if (!local(s) || (local(s)!.join !== join && rules.ownJoin)) return `${join}: a release frees nothing`;
  const rest = { kind: 'cooling', join: 'nobody', boot: 0, token: fresh(s), lease: true };
  commit(s, { when: {}, put: { local: rest } });
  return `${join}: a release lays the address to rest`;
};

/** etcd ends the lease of what was released. */
const leaseEnds: Step<World> = (s) => {
  if (!local(s)?.lease) return undefined;
  commit(s, { when: {}, put: { local: null } });
  return 'the lease ends';
};

function undo(n: number, i: number, rules: WorkerRules): Step<World> {
  return (s) => {
    const asker = s.askers[n]!;
    const one = asker.undos[i];
    if (!one || (asker.call && !asker.call.done)) return undefined;
    asker.undos.splice(i, 1);
    const now = local(s);
    if (!now || (now.token !== one.token && rules.ownToken)) {
      asker.undone[one.token] = one.prior ?? null;
      return `${ASKERS[n]}: an undo finds another's claim, or none`;
    }
    let heir = one.prior ?? null;
    while (rules.chain && heir && asker.undone[heir.token] !== undefined) heir = asker.undone[heir.token]!;
    if (heir?.lease && !rules.restsAnew) heir = { ...heir, lease: undefined };
    commit(s, { when: {}, put: { local: heir } });
    return `${ASKERS[n]}: an undo ${heir ? `gives the address back to ${heir.join}` : 'frees the address'}`;
  };
}

/** The first worker's machine starts anew. Its engine has forgotten the swarm's networks and the releases it owed. */
const boot: Step<World> = (s) => {
  if (s.budget.boots === 0) return undefined;
  s.budget.boots--;
  for (const n of [0, 2]) {
    const { bridge, boot } = s.askers[n]!;
    s.askers[n] = { bridge, boot: boot + 1, live: false, releases: [], undos: [], undone: {} };
  }
  commit(s, { when: {}, put: { node: {} } });
  return 'the machine of A starts anew';
};

function check(s: World, rules: WorkerRules): void {
  if (s.stale) return;
  const live = ASKERS.flatMap((_, n) => (s.askers[n]!.live ? [n] : []));
  if (live.length > 1) throw new Wrong(`${live.map((n) => ASKERS[n]).join(' and ')} have the address`);
  if (live.some((n) => local(s)?.join !== joinOf(s, n))) throw new Wrong(`${ASKERS[live[0]!]} runs without its claim`);
  const quiet = s.askers.every(({ call, releases, undos }) => !call && releases.length === 0 && undos.length === 0);
  if (!quiet || live.length > 0) return;
  const left = local(s);
  if (left?.kind === 'cooling') {
    if (!left.lease) throw new Wrong('the address rests for good');
    if (!judge(structuredClone(s), rules, s.task ?? 2)) throw new Wrong('what rests is refused');
  }
  const free = !left || judge(structuredClone(s), rules, s.task ?? 0);
  // What an undo gave back to a worker whose release came before waits for the next task; a bridge's is its own.
  if (s.task !== null && !s.over && !free && left.join.startsWith('worker'))
    throw new Wrong(`${ASKERS[s.task]} is refused for good`);
  if (left && left.boot < s.askers[2]!.boot && left.join.includes('A,') && !judge(structuredClone(s), rules, 2))
    throw new Wrong('a container is refused what its machine had before it started anew');
  const owner = left && s.askers[ASKERS.findIndex((name) => left.join.startsWith(name))]!;
  if (owner && owner.boot === left.boot && (left.kind === 'endpoint' || s.budget.alone))
    throw new Wrong(`a claim is left of ${left.join}`);
}
