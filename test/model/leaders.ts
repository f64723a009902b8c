// What surrounds the rules of a global space: engines that take turns to lead a swarm, what they have agreed on, their
// plugins, and all that can go wrong between them. Engines send what real ones were seen to send.
import { commit, holds, type Model, type Name, type Step, type Store, type Txn, Wrong } from './explore.js';
import {
  ADDRESSES,
  type Ask,
  base,
  type Claim,
  claimOf,
  type Grant,
  hasFormer,
  holdersOf,
  judge,
  leaseEnds,
  poolOf,
  RULES,
  type Rules,
  undo,
  type Verdict,
} from './global.js';

/** How often each may happen in a scene. */
interface Budget {
  /** Another engine leads. */
  elect: number;
  create: number;
  /** A second network of the subnet. */
  second: number;
  /** The network's other subnet cannot be had. */
  half: number;
  task: number;
  /** `docker run --ip` of any address. */
  number: number;
  end: number;
  remove: number;
  /** An answer is not delivered. */
  gone: number;
  /** etcd's answer is lost, or a release is queued. */
  doubt: number;
  /** A plugin is killed and starts again. */
  kill: number;
  /** A leader asks again for what failed at its start. */
  retry: number;
  /** 30 rounds pass. */
  age: number;
}

/** `grant` or `join`: the undo of one; `ask`: a release. */
interface Queued {
  grant?: Grant;
  join?: Name;
  ask?: Ask;
  seen?: Name;
}

interface Plugin {
  held: Name | null;
  aged: boolean;
  call?: { ask: Ask; base?: string; verdict?: Verdict; done?: boolean };
  /** Commits in doubt. */
  stuck: { txn: Txn; undo?: Queued; landed?: boolean }[];
  queue: Queued[];
  undone: Record<Name, Claim | null>;
}

interface Engine {
  join?: Name;
  ready?: boolean;
  /** Of the tasks' addresses: those it has asked for, and those it was given. */
  asked: string[];
  known: string[];
  plan: Ask[];
}

interface World extends Store {
  leader: number;
  /** What the swarm has agreed on. */
  network: { gateway: string; tasks: string[] } | null;
  engines: Engine[];
  plugins: Plugin[];
  budget: Budget;
  /** The leader has removed the network: nothing else has begun since. */
  removed: boolean;
  /** A start failed of a network without tasks, which engines end in the same words. */
  bare: boolean;
  /** A plugin was killed between a commit and its answer: what nobody was told of stays. */
  untold: boolean;
}

const NODES = [0, 1];
const named = (n: number) => 'AB'[n]!;

export function leaders(rules: Rules, budget: Partial<Budget>): Model<World> {
  const none: Budget = {
    ...{ elect: 0, create: 1, second: 0, half: 0, task: 0, number: 0, end: 0, remove: 0 },
    ...{ gone: 0, doubt: 0, kill: 0, retry: 0, age: 0 },
  };
  const start: World = {
    ...{ last: 0, kv: {}, leader: 0, network: null, removed: false, bare: false, untold: false },
    engines: NODES.map(() => ({ asked: [], known: [], plan: [] })),
    plugins: NODES.map(() => ({ held: null, aged: false, stuck: [], queue: [], undone: {} })),
    budget: { ...none, ...budget },
  };
  const steps = NODES.flatMap((n) => [
    ...[0, 1].map((i) => later(n, i, rules)),
    ...[send, look, land, settle, answer, half, give, lose, doubt, kill].map((step) => step(n, rules)),
    ...[elect, begin, create, second, number, task, end, remove, age].map((step) => step(n, rules)),
  ]);
  return { start, steps: [...steps, ...ADDRESSES.map(rested)], check: (s) => check(s, rules) };
}

/** etcd ends the lease of what was released. */
function rested(address: string): Step<World> {
  return (s) => {
    const txn = leaseEnds(s, address);
    return txn && commit(s, txn) ? `${address} has rested` : undefined;
  };
}

type StepOf = (n: number, rules: Rules) => Step<World>;

function spend(s: World, what: keyof Budget): boolean {
  if (s.budget[what] === 0) return false;
  s.budget[what]--;
  return true;
}

function say(ask: Ask): string {
  const why = 'why' in ask ? ` (${ask.why})` : '';
  const words = { pool: 'RequestPool', gateway: 'RequestAddress gateway', address: 'RequestAddress' };
  const more = { free: 'ReleaseAddress', end: 'ReleasePool' };
  return `${{ ...words, ...more }[ask.do]}${'address' in ask && ask.address ? ` ${ask.address}` : ''}${why}`;
}

/* The plugin. */

const send: StepOf = (n, rules) => (s) => {
  const [plugin, { plan }] = [s.plugins[n]!, s.engines[n]!];
  if (plugin.call || plan.length === 0) return undefined;
  // A leader's first call that nobody read before the next one began cannot be told from a new leader's (src/README.md).
  if (plan[0]!.do === 'pool' && !leads(s, n)) return undefined;
  const waits = plan[0]!.do === 'pool' && rules.waits && plugin.queue.some(({ ask }) => ask);
  if (waits) return undefined;
  const ask = plan.shift()!;
  if (ask.do === 'end' && rules.ordered && plugin.queue.some(({ ask }) => ask)) {
    plugin.queue.push({ ask });
    if (plugin.held === ask.join) plugin.held = null;
    return `${named(n)} queues ${say(ask)} behind what is queued`;
  }
  plugin.call = { ask, base: base(s, rules) };
  return ask.do === 'pool' ? `${named(n)} sends ${say(ask)}` : look(n, rules)(s);
};

const look: StepOf = (n, rules) => (s) => {
  const plugin = s.plugins[n]!;
  const { call } = plugin;
  if (!call || call.done || call.verdict) return undefined;
  const { ask } = call;
  if (ask.do === 'end' && plugin.held === ask.join) plugin.held = null;
  const held = plugin.held !== null;
  const verdict = judge(s, rules, ask, { held, aged: plugin.aged, ...(call.base && { base: call.base }) });
  if (verdict.txn) {
    call.verdict = verdict;
    return `${named(n)} has looked and decided on ${say(ask)}`;
  }
  delete plugin.call;
  if (verdict.refused) failed(s, n, ask);
  return `${named(n)} answers ${say(ask)}: ${verdict.refused ?? 'nothing to do'}`;
};

/** The transaction reaches etcd, and its answer the plugin. */
const land: StepOf = (n) => (s) => {
  const plugin = s.plugins[n]!;
  const { call } = plugin;
  if (!call?.verdict || call.done) return undefined;
  const { txn, again, refused, join } = call.verdict;
  if (!commit(s, txn!) || again) {
    delete call.verdict;
    return `${named(n)} commits ${say(call.ask)}, and looks again`;
  }
  if (join) {
    plugin.held = join;
    // A deposed leader's late call may make the pool anew.
    if (!leads(s, n)) s.removed = false;
  }
  if (refused) {
    plugin.held = null;
    delete plugin.call;
    failed(s, n, call.ask);
    return `${named(n)} takes the epoch back and refuses ${say(call.ask)}`;
  }
  if (call.ask.do === 'free' || call.ask.do === 'end') delete plugin.call;
  else call.done = true;
  return `${named(n)} commits ${say(call.ask)} ${call.verdict.address ?? ''}`;
};

function undoOf({ grant, join }: Verdict): Queued | undefined {
  return grant ? { grant } : join ? { join } : undefined;
}

/** etcd does not answer: the call fails, or is queued if it is a release. */
const doubt: StepOf = (n) => (s) => {
  const plugin = s.plugins[n]!;
  const { call } = plugin;
  if (!call?.verdict || call.done || !spend(s, 'doubt')) return undefined;
  const { ask, verdict } = call;
  delete plugin.call;
  if (ask.do === 'free' || ask.do === 'end') {
    const seen = ask.do === 'free' && (holdersOf(s, ask.address)[ask.join]?.v ?? claimOf(s, ask.address)?.v);
    plugin.queue.push({ ask, ...(seen && { seen }) });
    return `${named(n)} cannot reach etcd and queues ${say(ask)}`;
  }
  const undo = undoOf(verdict!);
  plugin.stuck.push({ txn: verdict!.txn!, ...(undo && { undo }) });
  failed(s, n, ask);
  return `${named(n)} hears nothing of ${say(ask)}: 500`;
};

const give: StepOf = (n) => (s) => {
  const stuck = s.plugins[n]!.stuck.find((one) => !one.landed && holds(s, one.txn));
  if (!stuck) return undefined;
  commit(s, stuck.txn);
  stuck.landed = true;
  return `a commit of ${named(n)} in doubt lands`;
};

/** The fence: what has not landed by now never will. */
const settle: StepOf = (n, rules) => (s) => {
  const [stuck, ...rest] = s.plugins[n]!.stuck;
  if (!stuck || (!rules.fence && !stuck.undo && !stuck.landed)) return undefined;
  s.plugins[n]!.stuck = rest;
  if (stuck.landed && stuck.undo) s.plugins[n]!.queue.push(stuck.undo);
  if (!stuck.landed && !rules.fence) s.plugins[n]!.stuck.push({ txn: stuck.txn });
  return `${named(n)} settles a doubt: ${stuck.landed ? 'it had landed' : 'it never lands'}`;
};

/** Queued work; undos in any order, releases in theirs. Looks and commits at once: it compares what it has seen. */
function later(n: number, i: number, rules: Rules): Step<World> {
  return (s) => {
    const plugin = s.plugins[n]!;
    const one = plugin.queue[i];
    if (!one || (one.ask && rules.ordered && plugin.queue.slice(0, i).some(({ ask }) => ask))) return undefined;
    plugin.queue.splice(i, 1);
    if (one.grant) {
      const txn = undo(s, rules, one.grant, plugin.undone);
      if (txn) commit(s, txn);
      return `${named(n)} undoes its grant of ${one.grant.address}`;
    }
    const ask: Ask = one.ask ?? { do: 'end', join: one.join! };
    if (ask.do === 'end' && plugin.held === ask.join) plugin.held = null;
    if (ask.do === 'free') {
      const now = holdersOf(s, ask.address)[ask.join]?.v ?? claimOf(s, ask.address)?.v;
      if (now !== one.seen) return `${named(n)} frees nothing by its queued ${say(ask)}`;
    }
    for (let more = true; more; ) {
      const { txn, again } = judge(s, rules, ask, {});
      more = txn !== undefined && commit(s, txn) && again === true;
    }
    return `${named(n)} does its queued ${say(ask)}`;
  };
}

const lose: StepOf = (n) => (s) => {
  const plugin = s.plugins[n]!;
  const { call } = plugin;
  if (!call?.done || !spend(s, 'gone')) return undefined;
  delete plugin.call;
  const undo = undoOf(call.verdict!);
  if (undo) plugin.queue.push(undo);
  failed(s, n, call.ask);
  return `the answer of ${named(n)} to ${say(call.ask)} is not delivered`;
};

/** A new process knows nothing. What the old one had sent may still land, until its session ends. */
const kill: StepOf = (n) => (s) => {
  const { call, stuck, queue } = s.plugins[n]!;
  if (!(call || stuck.length > 0 || queue.length > 0 || s.plugins[n]!.held) || !spend(s, 'kill')) return undefined;
  const doubtful = [...stuck, ...(call?.verdict && !call.done ? [{ txn: call.verdict.txn! }] : [])];
  const left = doubtful.filter(({ landed }: { landed?: boolean }) => !landed).map(({ txn }) => ({ txn }));
  s.plugins[n] = { held: null, aged: false, stuck: left, queue: [], undone: {} };
  s.untold ||= call !== undefined || stuck.length > 0 || queue.length > 0;
  if (call && call.ask.do !== 'free' && call.ask.do !== 'end') failed(s, n, call.ask);
  return `the plugin of ${named(n)} is killed${call ? ` during ${say(call.ask)}` : ''} and starts again`;
};

/* The engine. */

const leads = (s: World, n: number) => s.leader === n;

/** The grant reaches the engine, and what it makes of it the swarm, if it still leads. */
const answer: StepOf = (n) => (s) => {
  const [plugin, engine] = [s.plugins[n]!, s.engines[n]!];
  const { call } = plugin;
  if (!call?.done) return undefined;
  delete plugin.call;
  const { ask, verdict } = call;
  const { network } = s;
  const address = verdict!.address!;
  if (ask.do === 'pool') {
    const why = ask.why;
    const gateway = why === 'start' && network ? { address: network.gateway } : {};
    if (why !== 'second') engine.join = verdict!.join!;
    if (why !== 'start' || network) engine.plan.push({ do: 'gateway', why, join: verdict!.join!, ...gateway });
  } else if (ask.do === 'gateway') {
    if (ask.why === 'second') throw new Wrong('a second network was given the subnet');
    if (ask.why === 'create' && leads(s, n)) s.network = { gateway: address, tasks: [] };
    engine.ready = s.network !== null;
  } else if (ask.do === 'address') {
    if (ask.why === 'replay') engine.known.push(address);
    else if (leads(s, n) && network) {
      if (network.gateway === address) throw new Wrong(`the gateway ${address} was given to a task`);
      if (network.tasks.includes(address)) throw new Wrong(`${address} was given to a second task`);
      network.tasks.push(address);
      engine.known.push(address);
    }
  }
  return `${named(n)} has its answer to ${say(ask)} ${address ?? ''}`;
};

/** What a network of two subnets sends when the other one cannot be had. */
const half: StepOf = (n) => (s) => {
  const [plugin, engine] = [s.plugins[n]!, s.engines[n]!];
  const { call } = plugin;
  if (!call?.done || call.ask.do !== 'gateway' || call.ask.why === 'second' || !spend(s, 'half')) return undefined;
  const [join, address] = [call.ask.join, call.verdict!.address!];
  delete plugin.call;
  delete engine.join;
  s.bare ||= call.ask.why === 'start' && s.network?.tasks.length === 0;
  engine.plan.push({ do: 'free', join, address }, { do: 'end', join });
  return `${named(n)} has the gateway ${address}, but not the network's other subnet`;
};

/** After a failed start or create an engine gives the pool back. */
function failed(s: World, n: number, ask: Ask): void {
  if (ask.do === 'gateway') {
    const given = s.plugins[n]!.queue.some(({ ask }) => ask);
    if (ask.why === 'create' && given) throw new Wrong('a network is refused for what was given back before');
    s.engines[n]!.plan = [{ do: 'end', join: ask.join }];
    if (ask.why !== 'second') delete s.engines[n]!.join;
  }
}

const idle = (s: World, n: number) => !s.plugins[n]!.call && s.engines[n]!.plan.length === 0;

const elect: StepOf = (n) => (s) => {
  if (leads(s, n) || s.plugins[n]!.call || !spend(s, 'elect')) return undefined;
  s.leader = n;
  s.engines[n] = { asked: [], known: [], plan: [] };
  Object.assign(s.plugins[n]!, { held: null, aged: false });
  s.removed = false;
  return `${named(n)} leads`;
};

/** A leader asks for the network that the swarm has, then for the addresses of its tasks. */
const begin: StepOf = (n) => (s) => {
  const engine = s.engines[n]!;
  if (!leads(s, n) || !s.network || !idle(s, n)) return undefined;
  if (!engine.ready) {
    if (engine.asked.includes('pool') && !spend(s, 'retry')) return undefined;
    engine.asked = ['pool'];
    engine.plan.push({ do: 'pool', why: 'start' });
    return `${named(n)} starts the network`;
  }
  const address = s.network.tasks.find((one) => !engine.known.includes(one) && !engine.asked.includes(one));
  if (!address) return undefined;
  engine.asked.push(address);
  engine.plan.push({ do: 'address', why: 'replay', join: engine.join!, address });
  return `${named(n)} asks again for ${address}`;
};

const create: StepOf = (n) => (s) => {
  if (!leads(s, n) || s.network || !idle(s, n) || !spend(s, 'create')) return undefined;
  s.removed = false;
  s.engines[n] = { asked: ['pool'], known: [], plan: [{ do: 'pool', why: 'create' }] };
  return `the user makes the network on ${named(n)}`;
};

/** A leader makes new networks and tasks once it has asked for all there is. */
const started = (s: World, n: number) =>
  leads(s, n) && s.network !== null && idle(s, n) && s.engines[n]!.asked.includes('pool');
const serving = (s: World, n: number) =>
  started(s, n) && s.engines[n]!.ready === true && s.network!.tasks.every((one) => asked(s.engines[n]!, one));
const asked = ({ known, asked }: Engine, address: string) => known.includes(address) || asked.includes(address);

const second: StepOf = (n) => (s) => {
  if (!started(s, n) || (s.engines[n]!.ready && !serving(s, n))) return undefined;
  // But for its memory, nothing tells an empty network's gateway from what a leader left that died before it told the swarm.
  const forgets = s.budget.kill > 0 || s.plugins[n]!.held === null || !s.engines[n]!.ready;
  if ((s.network!.tasks.length === 0 && forgets) || !spend(s, 'second')) return undefined;
  s.engines[n]!.plan.push({ do: 'pool', why: 'second' });
  return `the user makes a second network of the subnet on ${named(n)}`;
};

const task: StepOf = (n) => (s) => {
  if (!serving(s, n) || !spend(s, 'task')) return undefined;
  s.engines[n]!.plan.push({ do: 'address', why: 'task', join: s.engines[n]!.join! });
  return `a task is to start`;
};

const number: StepOf = (n) => (s) => {
  if (!serving(s, n)) return undefined;
  const { gateway, tasks } = s.network!;
  // What failed to be asked for again is not told from it.
  const address = ADDRESSES[s.budget.number % ADDRESSES.length]!;
  const unknown = tasks.includes(address) && !s.engines[n]!.known.includes(address);
  if (unknown || !spend(s, 'number')) return undefined;
  s.engines[n]!.plan.push({ do: 'address', why: 'by number', join: s.engines[n]!.join!, address });
  return `the user runs --ip ${address}${address === gateway ? ', the gateway' : ''}`;
};

const end: StepOf = (n) => (s) => {
  if (!serving(s, n) || s.network!.tasks.length === 0 || !spend(s, 'end')) return undefined;
  const address = s.network!.tasks.shift()!;
  const engine = s.engines[n]!;
  if (engine.known.includes(address)) engine.plan.push({ do: 'free', join: engine.join!, address });
  engine.known = engine.known.filter((one) => one !== address);
  return `the task ${address} ends`;
};

const remove: StepOf = (n) => (s) => {
  if (!serving(s, n) || s.network!.tasks.length > 0 || !spend(s, 'remove')) return undefined;
  const { join } = s.engines[n]!;
  s.engines[n]!.plan.push({ do: 'free', join: join!, address: s.network!.gateway }, { do: 'end', join: join! });
  delete s.engines[n]!.ready;
  s.network = null;
  // What a former leader gave and told nobody of is not the present one's to end, unless it gave something itself.
  const pool = poolOf(s);
  s.removed = pool?.leader === join && (pool?.stage === 'served' || !hasFormer(s, RULES, join!));
  return 'the user removes the network';
};

/** By then the nodes have asked for what their tasks have. */
const age: StepOf = (n) => (s) => {
  if (!serving(s, n) || s.plugins[n]!.aged || !spend(s, 'age')) return undefined;
  s.plugins[n]!.aged = true;
  for (const address of s.network!.tasks) commit(s, { when: {}, put: { [`local/${address}`]: {} } });
  return '30 rounds pass, and tasks have asked on their nodes';
};

/* What must hold. */

function check(s: World, rules: Rules): void {
  const { network, leader } = s;
  for (const address of network?.tasks ?? [])
    if (claimOf(s, address)?.kind !== 'swarm') throw new Wrong(`${address} of a task that runs is free`);
  for (const address of ADDRESSES) {
    const claim = claimOf(s, address);
    if (claim?.kind === 'cooling' && !claim.lease) throw new Wrong(`${address} rests for good`);
  }
  if (network && !s.bare && claimOf(s, network.gateway)?.kind !== 'shared') throw new Wrong('the gateway is free');
  if (!s.plugins.every(({ call, stuck, queue }) => !call && stuck.length === 0 && queue.length === 0)) return;
  const engine = s.engines[leader]!;
  if (!idle(s, leader) || s.untold) return;
  const pool = poolOf(s);
  if (s.removed && pool) throw new Wrong('the network was removed, and something is left');
  if (network && engine.ready && pool?.leader !== engine.join) throw new Wrong('the leader does not rule its pool');
  const s2 = structuredClone(s);
  const ask = (one: Ask) => {
    const held = s2.plugins[leader]!.held !== null;
    const { refused, txn, join } = judge(s2, rules, one, { base: base(s2, rules), held });
    if (refused) throw new Wrong(`a leader is refused for good: ${say(one)}: ${refused}`);
    if (txn) commit(s2, txn);
    return join!;
  };
  if (!network) {
    if (pool && hasFormer(s, RULES, '')) return;
    ask({ do: 'gateway', why: 'create', join: ask({ do: 'pool', why: 'create' }) });
  } else if (!engine.ready) {
    const join = ask({ do: 'pool', why: 'start' });
    ask({ do: 'gateway', why: 'start', join, address: network.gateway });
    for (const address of network.tasks) ask({ do: 'address', why: 'replay', join, address });
  } else {
    for (const address of network.tasks.filter((one) => !engine.known.includes(one)))
      ask({ do: 'address', why: 'replay', join: engine.join!, address });
  }
}
