// Lives of networks as engines and a swarm's leader ask for them, in the order of the wire, with calls among them that are
// repeated, late, out of order, for another node or through an old PoolID. Refuses to know the driver.
//
// What no driver can tell apart is left out: a release that names what its own PoolID holds at that time is its holder's.
import fc from 'fast-check';
import { membersOf, nodeOf, Referee, type Release, Violation } from './referee.js';

export const NODES = 3;

/** The overlay's subnet; the nodes' own bridges have it too. */
const S = '10.80.0.0/28';
/** The subnet of the node-local networks made from one configuration. */
const M = '10.66.0.0/28';
const AUX = '10.66.0.2';
const RANGES = ['', '', '10.66.0.4/30', '10.66.0.8/29'];

const TYPE = { RequestAddressType: 'com.docker.network.gateway' };
const SERIAL = { 'com.docker.network.ipam.serial': 'true' };

export type Name = 'GetCapabilities' | 'RequestPool' | 'ReleasePool' | 'RequestAddress' | 'ReleaseAddress';
export type Body = Readonly<Record<string, unknown>>;
/** The reply as it is on the wire, or the text of a refusal. */
export type Reply = { readonly granted: Readonly<Record<string, string>> } | { readonly refused: string };

/** A driver for each node over one store. */
export interface World {
  /** Rejects where the driver failed rather than refused. */
  call(at: number, name: Name, body: Body | undefined): Promise<Reply>;
  /** The node's driver is ended and started anew. */
  restart(at: number): Promise<void>;
  /** Every record with its key relative to the prefix. */
  keyspace(): Promise<Readonly<Record<string, unknown>>>;
}

/** Which of a call's releases wait to be sent later. */
type Keep = 'none' | 'worker' | 'leader' | 'both';

export type Single =
  | { readonly do: 'overlay' }
  | { readonly do: 'service' }
  | { readonly do: 'unserve' }
  /** `ip`: `docker run --ip` on the attachable network; `freed` is the address that the leader released last. */
  | { readonly do: 'task'; readonly at: number; readonly ip: number | 'any' | 'freed' }
  | { readonly do: 'end'; readonly which: number; readonly keep: Keep; readonly order: number }
  | { readonly do: 'lead'; readonly at: number }
  | { readonly do: 'second'; readonly capabilities: boolean }
  | { readonly do: 'remove'; readonly keep: boolean }
  | { readonly do: 'run'; readonly at: number; readonly on: On; readonly ip: number | 'any'; readonly range: number }
  | { readonly do: 'stop'; readonly which: number; readonly keep: boolean; readonly order: number }
  | { readonly do: 'restart'; readonly at: number }
  // The mutations.
  /** `pool`: the newest of a pool; `freed`: of the address that the leader has given back already. */
  | { readonly do: 'late'; readonly which: number | 'pool' | 'freed'; readonly at: number | 'right' }
  | { readonly do: 'again'; readonly back: number; readonly at: number | 'right' }
  | { readonly do: 'stray'; readonly which: number; readonly at: number }
  | { readonly do: 'crossed'; readonly which: number | 'pool'; readonly pool: number; readonly at: number }
  | {
      readonly do: 'outdated';
      readonly pool: number;
      readonly ip: number | 'any';
      readonly at: number;
      readonly as: number;
    }
  | { readonly do: 'twice'; readonly back: number };

type On = 'macvlan' | 'bridge';

export type Step = Single | { readonly do: 'together'; readonly steps: readonly Single[] } | { readonly do: 'nothing' };

export interface Life {
  /** Engines from 29 on name the endpoint. */
  readonly named: boolean;
  /** The overlay's RequestPool carries the leader's options to the workers, or none. */
  readonly serial: boolean;
  /** The overlay is there from the start. */
  readonly overlay: boolean;
  /** Which of the calls made together overtake each other, where the world can choose. */
  readonly pace: number;
  readonly steps: readonly Step[];
}

const at = fc.nat(NODES - 1);
const some = fc.nat(11);
const order = fc.nat(5);
const anywhere = fc.oneof({ weight: 2, arbitrary: fc.constant('right' as const) }, { weight: 1, arbitrary: at });
const ip = fc.oneof({ weight: 3, arbitrary: fc.constant('any' as const) }, { weight: 2, arbitrary: fc.nat(13) });
const step = <D extends Single['do'], R extends object>(name: D, parts: { [P in keyof R]: fc.Arbitrary<R[P]> }) =>
  fc.record({ do: fc.constant(name), ...parts }) as unknown as fc.Arbitrary<Extract<Single, { do: D }>>;

const task = step('task', { at, ip: fc.oneof(ip, fc.constant('freed' as const)) });
const again = step('task', { at, ip: fc.constant('freed' as const) });
const late = step('late', { which: some, at: anywhere });
const lateFreed = step('late', { which: fc.constant('freed' as const), at: fc.constant('right' as const) });
const latePool = step('late', { which: fc.constant('pool' as const), at: fc.constant('right' as const) });
const run = step('run', { at, on: fc.constantFrom<On>('macvlan', 'macvlan', 'bridge'), ip, range: fc.nat(3) });
const stop = step('stop', { which: some, keep: fc.boolean(), order });
const end = step('end', {
  which: some,
  keep: fc.constantFrom<Keep>('none', 'worker', 'worker', 'leader', 'both'),
  order,
});

const lived = fc.oneof(
  { weight: 2, arbitrary: step('overlay', {}) },
  { weight: 1, arbitrary: step('service', {}) },
  { weight: 1, arbitrary: step('unserve', {}) },
  { weight: 10, arbitrary: task },
  { weight: 5, arbitrary: end },
  { weight: 2, arbitrary: step('lead', { at }) },
  { weight: 1, arbitrary: step('second', { capabilities: fc.boolean() }) },
  { weight: 1, arbitrary: step('remove', { keep: fc.boolean() }) },
  { weight: 6, arbitrary: run },
  { weight: 4, arbitrary: stop },
  { weight: 1, arbitrary: step('restart', { at }) },
);
const mutated = fc.oneof(
  { weight: 5, arbitrary: late },
  { weight: 4, arbitrary: step('again', { back: some, at: anywhere }) },
  { weight: 3, arbitrary: step('stray', { which: fc.nat(23), at }) },
  {
    weight: 4,
    arbitrary: step('crossed', { which: fc.oneof(some, some, fc.constant('pool' as const)), pool: some, at }),
  },
  { weight: 4, arbitrary: step('outdated', { pool: some, ip, at, as: fc.nat(2) }) },
  { weight: 4, arbitrary: step('twice', { back: some }) },
);
const single: fc.Arbitrary<Single> = fc.oneof({ weight: 4, arbitrary: lived }, { weight: 3, arbitrary: mutated });
const together = fc.oneof(
  fc.tuple(single, single),
  // What is on its way out meets what comes in.
  fc.tuple(lateFreed, again),
  fc.tuple(stop, run),
  fc.tuple(latePool, run),
);

/** At least `least` steps; fails shrink to fewer, the dropped ones being `nothing`. */
export function lives(least: number, most: number): fc.Arbitrary<Life> {
  const one: fc.Arbitrary<Step> = fc.oneof(
    { withCrossShrink: true },
    { weight: 1, arbitrary: fc.constant({ do: 'nothing' as const }) },
    { weight: 24, arbitrary: single },
    { weight: 9, arbitrary: together.map((steps) => ({ do: 'together' as const, steps })) },
  );
  const steps = fc.array(one, { minLength: least, maxLength: most, size: 'max' });
  const mostly = fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) });
  return fc.record({ named: fc.boolean(), serial: fc.boolean(), overlay: mostly, pace: fc.nat(9_999), steps });
}

/** How often what was asked, and answered: a generator that never reaches a case tests nothing. */
export type Tally = Map<string, number>;

/**
 * Lives the life, then ends all that lives in it, and throws a Violation at the first answer or record that takes an
 * address from its holder, or is left behind. The message tells all calls.
 */
export async function live(world: World, life: Life, tally: Tally = new Map()): Promise<void> {
  const swarm = new Swarm(world, life, tally);
  try {
    await swarm.begin();
    if (life.overlay) await swarm.step({ do: 'overlay' });
    for (const step of life.steps) await swarm.step(step);
    await swarm.mutateOnce();
    await swarm.finish();
  } catch (error) {
    if (!(error instanceof Violation)) throw new Error(`a call failed\n${swarm.told()}`, { cause: error });
    error.message += `\n${swarm.told()}`;
    throw error;
  }
}

/** What the leader gave an address: a task, a service's virtual IP, or a node's load balancer. */
interface Member {
  readonly who: string;
  readonly ip: string;
  readonly kind: 'task' | 'vip' | 'balancer';
  readonly at: number;
  state: 'placed' | 'running' | 'ended';
}

/** One network as one engine has it. */
interface Network {
  readonly on: On | 'overlay';
  readonly at: number;
  readonly poolId: string;
  readonly shared: readonly string[];
  readonly balancer?: Member;
  readonly containers: { readonly who: string; readonly ip: string }[];
}

interface Sent {
  readonly at: number;
  readonly release: Release;
}

interface Asked {
  readonly at: number;
  readonly space: string;
  readonly who: string;
  readonly body: Body;
  readonly name: 'RequestPool' | 'RequestAddress';
  readonly shared: boolean;
}

class Swarm {
  readonly #world: World;
  readonly #life: Life;
  readonly #tally: Tally;
  readonly #referee = new Referee();
  readonly #history: string[] = [];
  readonly #locks = new Map<string, Promise<unknown>>();
  /** Per node. */
  readonly #networks = Array.from({ length: NODES }, () => new Map<Network['on'], Network>());
  /** Releases that are due, but on their way for long. */
  readonly #kept: Sent[] = [];
  readonly #released: Sent[] = [];
  readonly #underWay = new Set<Sent>();
  /** Of each request that is under way, the releases that were so at any time of it. */
  readonly #crossings = new Set<Sent[]>();
  readonly #asked: Asked[] = [];
  #members: Member[] = [];
  #leader = 0;
  #term: { readonly poolId: string; readonly gateway: string } | undefined;
  /** The leader's driver was not started anew, nor asked for its capabilities, since it was asked for the pool. */
  #termStands = false;
  /** The leader has given something but a gateway in this term. */
  #termServes = false;
  /** Gateway of a network that was removed in a term that had given nothing: what only an earlier leader knew stays. */
  #mayRemain: string | undefined;
  #freed: string | undefined;
  #named = 0;
  #mutations = 0;

  constructor(world: World, life: Life, tally: Tally) {
    this.#world = world;
    this.#life = life;
    this.#tally = tally;
  }

  /** Every engine starts, and asks what its driver can do. */
  async begin(): Promise<void> {
    for (let at = 0; at < NODES; at++) await this.#send(at, 'GetCapabilities', undefined, '');
  }

  async step(step: Step): Promise<void> {
    if (step.do === 'nothing') return;
    if (step.do === 'together') {
      this.#history.push('together {');
      // All of them end before the first failure is told, or the next life would meet the rest of this one.
      const ends = await Promise.allSettled(step.steps.map((one) => this.#one(one)));
      this.#history.push('}');
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    } else await this.#one(step);
    this.#referee.check(await this.#world.keyspace());
  }

  /** A life whose steps found nothing to mutate has what came last in it repeated. */
  async mutateOnce(): Promise<void> {
    const steps: Single[] = [
      { do: 'again', back: 0, at: 'right' },
      { do: 'stray', which: 0, at: 1 },
      { do: 'stray', which: 0, at: 2 },
      { do: 'twice', back: 0 },
    ];
    for (const step of steps) if (this.#mutations === 0) await this.step(step);
    this.#count('lives', this.#mutations > 0 ? 'with mutations' : 'without a call');
  }

  /** Everything ends, whatever is late arrives, and nothing is left. */
  async finish(): Promise<void> {
    const stopping: Single = { do: 'stop', which: 0, keep: false, order: 0 };
    while (this.#containers().length > 0) await this.step(stopping);
    await this.step({ do: 'remove', keep: false });
    for (const { at, release } of this.#kept.splice(0)) await this.#release(at, release, 'late');
    if (this.#mayRemain) {
      await this.step({ do: 'overlay' });
      await this.step({ do: 'service' });
      await this.step({ do: 'remove', keep: false });
    }
    const left = Object.keys(await this.#world.keyspace()).filter(
      (key) => !/^(nodes|sessions|tick|brake)(\/|$)/.test(key),
    );
    if (left.length > 0) throw new Violation(`left behind when all had ended: ${left.join(', ')}`);
  }

  told(): string {
    return [`engines ${this.#life.named ? 'from 29 on' : 'up to 28'}; what happened:`, ...this.#history].join('\n  ');
  }

  #one(step: Single): Promise<unknown> {
    switch (step.do) {
      case 'overlay':
        return this.#leading(() => this.#overlay());
      case 'service':
        return this.#leading(() => this.#allot(`service ${++this.#named}`, 'vip', 0));
      case 'unserve':
        return this.#leading(() => this.#unserve());
      case 'task':
        return this.#task(step.at, step.ip);
      case 'end':
        return this.#end(step.which, step.keep, step.order);
      case 'lead':
        return this.#leading(() => this.#lead(step.at));
      case 'second':
        return this.#leading(() => this.#second(step.capabilities));
      case 'remove':
        return this.#remove(step.keep);
      case 'run':
        return this.#run(step);
      case 'stop':
        return this.#stop(step.which, step.keep, step.order);
      case 'restart':
        this.#history.push(`${nodeOf(step.at)} driver starts anew`);
        if (step.at === this.#leader) this.#termStands = false;
        return this.#world.restart(step.at).then(() => this.#send(step.at, 'GetCapabilities', undefined, ''));
      default:
        return this.#mutate(step);
    }
  }

  // The leader's calls, one after the other as its allocator makes them.

  async #overlay(): Promise<void> {
    if (this.#term) return;
    const asked = async (address: string) => {
      const poolId = await this.#pool(this.#leader, 'global', S, '', this.#options(), 'the overlay');
      if (poolId === undefined) throw new Violation('the first overlay of the subnet was refused');
      const type = { ...TYPE, ...SERIAL };
      const sure = address !== '' || !this.#mayRemain;
      const who = 'the gateway';
      const gateway = await this.#address(this.#leader, poolId, address, type, who, true, who, sure);
      if (gateway !== undefined) return { poolId, gateway };
      await this.#release(this.#leader, { poolId }, 'the overlay');
      return undefined;
    };
    // What a removed network has left is taken over with --gateway, as the refusal says.
    const term = (await asked('')) ?? (this.#mayRemain === undefined ? undefined : await asked(this.#mayRemain));
    if (term === undefined) throw new Violation('the overlay was refused a gateway');
    this.#term = term;
    this.#termServes = false;
    this.#termStands = true;
  }

  /** A member of the swarm gets an address from the leader. */
  async #allot(who: string, kind: Member['kind'], at: number, ip = ''): Promise<Member | undefined> {
    if (!this.#term) return undefined;
    const granted = await this.#address(this.#leader, this.#term.poolId, ip, SERIAL, who, false);
    if (granted === undefined) return undefined;
    const member: Member = { who, ip: granted, kind, at, state: 'placed' };
    this.#termServes = true;
    this.#members.push(member);
    return member;
  }

  async #unserve(): Promise<void> {
    const service = this.#members.find(({ kind }) => kind === 'vip');
    if (service) await this.#dismiss(service, false);
  }

  /** The leader lets go of an address; `keep` sends the release later. */
  async #dismiss(member: Member, keep: boolean): Promise<void> {
    if (!this.#members.includes(member) || !this.#term) return;
    this.#members = this.#members.filter((other) => other !== member);
    const sent = { at: this.#leader, release: { poolId: this.#term.poolId, address: member.ip } };
    if (keep) this.#kept.push(sent);
    else {
      await this.#release(sent.at, sent.release, '');
      this.#freed = member.ip;
    }
  }

  async #dismissBalancer(at: number): Promise<void> {
    if (this.#networks[at]!.has('overlay') || this.#members.some((one) => one.kind === 'task' && one.at === at)) return;
    const balancer = this.#members.find((one) => one.kind === 'balancer' && one.at === at);
    if (balancer) await this.#dismiss(balancer, false);
  }

  /** Another manager, or the same one again, leads: it asks for all it knows of by number (moby's doNetworkInit). */
  async #lead(at: number): Promise<void> {
    this.#history.push(`${nodeOf(at)} leads the swarm`);
    this.#leader = at;
    await this.#send(at, 'GetCapabilities', undefined, '');
    if (!this.#term) return;
    const { gateway } = this.#term;
    const poolId = await this.#pool(at, 'global', S, '', { ...SERIAL, ...this.#options() }, 'the overlay');
    if (poolId === undefined) throw new Violation('the new leader was refused the pool');
    this.#referee.tookOver(S, new Set(this.#members.map(({ who }) => who)));
    const again = await this.#address(at, poolId, gateway, { ...TYPE, ...SERIAL }, 'the gateway', true);
    if (again === undefined) throw new Violation('the new leader was refused the gateway');
    this.#term = { poolId, gateway };
    this.#termStands = true;
    this.#termServes = this.#members.length > 0;
    for (const kind of ['balancer', 'vip', 'task'])
      for (const member of this.#members.filter((one) => one.kind === kind))
        if ((await this.#address(at, poolId, member.ip, SERIAL, member.who, false)) === undefined)
          throw new Violation(`the new leader was refused ${member.ip} of ${member.who}`);
    this.#count('taken over with', this.#members.length > 1 ? 'members' : 'none');
  }

  /**
   * A second network of the same subnet: an overlap, whether or not the driver was asked for its capabilities again. One
   * that has given nothing but its gateway cannot be told from one whose leader died before it had made it known.
   */
  async #second(capabilities: boolean): Promise<void> {
    if (!this.#term || this.#members.length === 0) return;
    if (capabilities) {
      this.#termStands = false;
      await this.#send(this.#leader, 'GetCapabilities', undefined, '');
    }
    const note = 'a second overlay';
    const poolId = await this.#pool(this.#leader, 'global', S, '', this.#options(), note, false);
    if (poolId === undefined) return;
    const gateway = await this.#address(this.#leader, poolId, '', { ...TYPE, ...SERIAL }, note, true, note, false);
    if (gateway !== undefined) throw new Violation('a second overlay of the same subnet was made');
    this.#referee.tookBack(poolId, this.#term.poolId);
    await this.#release(this.#leader, { poolId }, note);
    this.#count('second overlay', 'taken back');
  }

  async #remove(keep: boolean): Promise<void> {
    while (this.#members.some(({ kind, state }) => kind === 'task' && state === 'running'))
      await this.#end(0, keep ? 'worker' : 'none', 0);
    await this.#leading(async () => {
      if (!this.#term || this.#members.some(({ kind }) => kind === 'task')) return;
      for (const member of [...this.#members]) await this.#dismiss(member, false);
      const { poolId, gateway } = this.#term;
      this.#term = undefined;
      this.#mayRemain = this.#termServes ? undefined : gateway;
      await this.#release(this.#leader, { poolId, address: gateway }, '');
      await this.#release(this.#leader, { poolId }, '');
    });
  }

  // A task's way: the leader's part, then its worker's.

  async #task(at: number, ip: number | 'any' | 'freed'): Promise<void> {
    const address = ip === 'any' ? '' : ip === 'freed' ? (this.#freed ?? '') : membersOf(S)[ip]!;
    const member = await this.#leading(async () => {
      const own = this.#members.find((one) => one.kind === 'balancer' && one.at === at);
      if (!own && !(await this.#allot(`balancer ${++this.#named}`, 'balancer', at))) return undefined;
      return this.#allot(`task ${++this.#named}`, 'task', at, address);
    });
    if (!member) return;
    const started = await this.#exclusive(`${at} overlay`, async () => {
      const network = this.#networks[at]!.get('overlay') ?? (await this.#join(at));
      if (!network) return false;
      const granted = await this.#address(at, network.poolId, member.ip, this.#endpoint(member.who), member.who, false);
      if (granted === undefined) {
        await this.#leave(network, [], 0);
        return false;
      }
      network.containers.push(member);
      return true;
    });
    this.#count('task', started ? 'runs' : 'is refused its address by the worker');
    member.state = started ? 'running' : 'ended';
    if (!started)
      await this.#leading(async () => {
        await this.#dismiss(member, false);
        await this.#dismissBalancer(at);
      });
  }

  /** The overlay comes to a worker: pool, gateway, load balancer. */
  async #join(at: number): Promise<Network | undefined> {
    const balancer = this.#members.find((one) => one.kind === 'balancer' && one.at === at);
    if (!this.#term || !balancer) return undefined;
    const { gateway } = this.#term;
    const options = this.#life.serial ? SERIAL : null;
    const poolId = await this.#pool(at, 'local', S, '', options, 'the overlay');
    if (poolId === undefined) return undefined;
    this.#referee.managed(poolId);
    const shared: string[] = [];
    if ((await this.#address(at, poolId, gateway, TYPE, 'the gateway', true)) !== undefined) {
      shared.push(gateway);
      const name = this.#endpoint('overlay-endpoint');
      if ((await this.#address(at, poolId, balancer.ip, name, balancer.who, false)) !== undefined) {
        const network: Network = { on: 'overlay', at, poolId, shared, balancer, containers: [] };
        this.#networks[at]!.set('overlay', network);
        return network;
      }
    }
    for (const address of shared) await this.#release(at, { poolId, address }, '');
    await this.#release(at, { poolId }, '');
    return undefined;
  }

  async #end(which: number, keep: Keep, order: number): Promise<void> {
    const running = this.#members.filter(({ kind, state }) => kind === 'task' && state === 'running');
    const member = running[which % Math.max(1, running.length)];
    if (!member) return;
    member.state = 'ended';
    const { at } = member;
    const worker = () =>
      this.#exclusive(`${at} overlay`, async () => {
        const network = this.#networks[at]!.get('overlay')!;
        network.containers.splice(network.containers.indexOf(member), 1);
        const release = { poolId: network.poolId, address: member.ip };
        if (keep === 'worker' || keep === 'both') {
          this.#kept.push({ at, release });
          await this.#leave(network, this.#kept, order);
        } else {
          await this.#release(at, release, '');
          await this.#leave(network, [], order);
        }
      });
    const leader = () => this.#leading(() => this.#dismiss(member, keep === 'leader' || keep === 'both'));
    for (const part of order % 2 === 0 ? [worker, leader] : [leader, worker]) await part();
    await this.#leading(() => this.#dismissBalancer(at));
  }

  // The engines' own networks.

  async #run({ at, on, ip, range }: Extract<Single, { do: 'run' }>): Promise<void> {
    await this.#exclusive(`${at} ${on}`, async () => {
      const network = this.#networks[at]!.get(on) ?? (await this.#create(at, on, RANGES[range]!));
      if (!network) return;
      const who = `${on} container ${++this.#named}`;
      const address = ip === 'any' ? '' : membersOf(on === 'bridge' ? S : M)[ip]!;
      const granted = await this.#address(at, network.poolId, address, this.#endpoint(who), who, false);
      if (granted === undefined) await this.#leave(network, [], 0);
      else network.containers.push({ who, ip: granted });
    });
  }

  async #create(at: number, on: On, range: string): Promise<Network | undefined> {
    const bridge = on === 'bridge';
    const subnet = bridge ? S : M;
    const options = bridge ? {} : { aux: AUX };
    const poolId = await this.#pool(at, 'local', subnet, bridge ? '' : range, options, on);
    if (poolId === undefined) throw new Violation(`the network of the node's own on ${subnet} was refused`);
    const gateway = await this.#address(at, poolId, bridge ? '' : '10.66.0.1', TYPE, 'the gateway', true);
    const shared = gateway === undefined ? [] : [gateway];
    const aux = bridge ? '' : await this.#address(at, poolId, AUX, null, 'the auxiliary address', true);
    if (aux) shared.push(aux);
    if (gateway === undefined || aux === undefined) {
      await this.#release(at, { poolId }, '');
      return undefined;
    }
    const network: Network = { on, at, poolId, shared, containers: [] };
    this.#networks[at]!.set(on, network);
    return network;
  }

  async #stop(which: number, keep: boolean, order: number): Promise<void> {
    const all = this.#containers();
    const chosen = all[which % Math.max(1, all.length)];
    if (!chosen) return;
    const { network, container } = chosen;
    network.containers.splice(network.containers.indexOf(container), 1);
    await this.#exclusive(`${network.at} ${network.on}`, async () => {
      const release = { poolId: network.poolId, address: container.ip };
      if (keep) this.#kept.push({ at: network.at, release });
      else await this.#release(network.at, release, '');
      await this.#leave(network, keep ? this.#kept : [], order);
    });
  }

  #containers() {
    return this.#networks.flatMap((networks) =>
      [...networks.values()]
        .filter(({ on }) => on !== 'overlay')
        .flatMap((network) => network.containers.map((container) => ({ network, container }))),
    );
  }

  /** With its last container a network goes from the node: gateway and auxiliary addresses in any order, and the pool. */
  async #leave(network: Network, kept: Sent[], order: number): Promise<void> {
    const { at, on, poolId, shared, balancer, containers } = network;
    if (containers.length > 0 || this.#networks[at]!.get(on) !== network) return;
    this.#networks[at]!.delete(on);
    const addresses = [...(balancer ? [balancer.ip] : []), ...shared];
    const releases: Release[] = [...addresses.map((address) => ({ poolId, address })), { poolId }];
    // Engines word them in one order only, but a late one may be overtaken.
    const turn = order % releases.length;
    const turned = [...releases.slice(turn), ...releases.slice(0, turn)];
    for (const release of turned)
      if (kept === this.#kept) this.#kept.push({ at, release });
      else await this.#release(at, release, '');
  }

  // The mutations.

  async #mutate(step: Single): Promise<void> {
    switch (step.do) {
      case 'late': {
        const index = this.#due(step.which);
        const due = this.#kept[index];
        if (!due) return;
        const { at, release } = due;
        const wrong = step.at !== 'right' && step.at !== at;
        if (wrong && !this.#referee.frees(step.at, release)) {
          this.#mutated('late, to the wrong node');
          return this.#release(step.at, release, 'late, to the wrong node');
        }
        this.#kept.splice(index, 1);
        this.#mutated('late');
        return this.#release(at, release, 'late');
      }
      case 'again': {
        const able = this.#released.filter(({ at, release }) => !this.#referee.frees(nodeFor(step.at, at), release));
        const chosen = able.at(-1 - (step.back % Math.max(1, able.length)));
        if (!chosen) return;
        const at = nodeFor(step.at, chosen.at);
        const note = at === chosen.at ? 'repeated' : 'repeated, to the wrong node';
        this.#mutated(note);
        return this.#release(at, chosen.release, note);
      }
      case 'stray': {
        const able = this.#referee.live().filter(({ release }) => !this.#referee.frees(step.at, release));
        const chosen = able[step.which % Math.max(1, able.length)];
        if (!chosen) return;
        this.#mutated('to the wrong node');
        return this.#release(step.at, chosen.release, 'to the wrong node');
      }
      case 'crossed': {
        const pool = this.#pick(this.#referee.pools, step.pool);
        if (!pool) return;
        const held = this.#referee
          .held()
          .filter((one) => one.pool.space === pool.space && one.pool.subnet === pool.subnet);
        const address = step.which === 'pool' ? undefined : this.#pick(held, step.which)?.address;
        const release: Release = { poolId: pool.id, ...(address && { address }) };
        if ((step.which !== 'pool' && !address) || this.#referee.frees(step.at, release)) return;
        const note = pool.state === 'open' ? 'through another PoolID' : 'through an old PoolID';
        this.#mutated(note);
        return this.#release(step.at, release, note);
      }
      case 'outdated': {
        const old = this.#referee.pools.filter(({ state }) => state === 'ended' || state === 'deposed');
        const pool = this.#pick(old, step.pool);
        if (!pool) return;
        const address = step.ip === 'any' ? '' : membersOf(pool.subnet)[step.ip]!;
        const serial = pool.space === 'global' ? SERIAL : null;
        const options = step.as === 0 ? { ...TYPE, ...serial } : (serial ?? this.#endpoint('outdated'));
        this.#mutated('request through an old PoolID');
        const who = `whoever asks by the ${pool.state} PoolID`;
        await this.#address(step.at, pool.id, address, options, who, step.as === 0);
        return;
      }
      case 'twice':
        return this.#twice(step.back);
    }
  }

  #due(which: number | 'pool' | 'freed'): number {
    if (typeof which === 'number') return which % Math.max(1, this.#kept.length);
    const address = which === 'pool' ? undefined : this.#freed;
    return this.#kept.findLastIndex(({ release }) => release.address === address);
  }

  /** An engine repeats a request whose reply it lost: what is then granted once more nobody uses. */
  async #twice(back: number): Promise<void> {
    const able = this.#asked.filter(({ body, name, space }) =>
      name === 'RequestPool' ? space === 'local' || this.#term : this.#referee.isOpen(body.PoolID as string),
    );
    const chosen = able.at(-1 - (back % Math.max(1, able.length)));
    if (!chosen) return;
    const { at, space, name, body, who, shared } = chosen;
    const lost = 'request repeated';
    if (name === 'RequestPool') {
      const { Pool, SubPool, Options } = body as { Pool: string; SubPool: string; Options: Body | null };
      if (space === 'global')
        return this.#leading(async () => {
          if (!this.#term || this.#leader !== at || !this.#termStands) return;
          this.#mutated(lost);
          if ((await this.#pool(at, space, Pool, SubPool, Options, lost, false)) !== undefined)
            throw new Violation('a repeated request began another term');
        });
      this.#mutated(lost);
      const poolId = await this.#pool(at, space, Pool, SubPool, Options, lost, false);
      if (poolId !== undefined) this.#kept.push({ at, release: { poolId } });
      return;
    }
    const { PoolID, Address, Options } = body as { PoolID: string; Address: string; Options: Body | null };
    // What a worker asks for is whose the leader says.
    const workers = this.#referee.isManaged(PoolID) && !shared && Address !== '';
    if (workers && this.#referee.holder('global', S, Address) !== who) return;
    // By number it can only be the same holder's, and without its name nobody can be known to be that.
    const known = shared || workers || (this.#life.named && space === 'local');
    const asker = Address !== '' && known ? who : `${lost} of ${who}`;
    this.#mutated(lost);
    await this.#address(at, PoolID, Address, Options, asker, shared, lost, false);
  }

  // One call.

  async #pool(
    at: number,
    space: string,
    subnet: string,
    range: string,
    options: Body | null,
    note: string,
    lives = true,
  ): Promise<string | undefined> {
    const body = { AddressSpace: space, Pool: subnet, SubPool: range, Options: options, V6: false };
    const reply = await this.#send(at, 'RequestPool', body, note);
    this.#count(`RequestPool ${space}`, 'granted' in reply ? 'granted' : 'refused');
    if ('refused' in reply) return undefined;
    const { PoolID, Pool } = reply.granted as { PoolID: string; Pool: string };
    if (Pool !== subnet) throw new Violation(`${subnet} was asked for and ${Pool} given`);
    this.#referee.joined(at, space, PoolID, subnet);
    if (lives) this.#asked.push({ at, space, who: note, body, name: 'RequestPool', shared: false });
    return PoolID;
  }

  /** The bare address, or undefined if it was refused. */
  async #address(
    at: number,
    poolId: string,
    address: string,
    options: Body | null,
    who: string,
    shared: boolean,
    note = who,
    lives = true,
  ): Promise<string | undefined> {
    // An engine that releases and asks for one address does so in this order.
    const due = (one: Sent) => one.at === at && one.release.poolId === poolId && one.release.address === address;
    for (let index = this.#kept.findIndex(due); index >= 0; index = this.#kept.findIndex(due))
      await this.#release(at, this.#kept.splice(index, 1)[0]!.release, 'late');
    const open = this.#referee.isOpen(poolId);
    const body = { PoolID: poolId, Address: address, Options: options };
    const crossed = [...this.#underWay];
    this.#crossings.add(crossed);
    const reply = await this.#send(at, 'RequestAddress', body, note);
    this.#crossings.delete(crossed);
    const space = poolId.startsWith('global') ? 'global' : 'local';
    this.#count(
      `RequestAddress ${space}${open ? '' : ' by an old PoolID'}`,
      'granted' in reply ? 'granted' : 'refused',
    );
    if ('refused' in reply) {
      if (lives && this.#referee.isOpen(poolId)) this.#referee.stands(poolId, await this.#world.keyspace());
      return undefined;
    }
    const [granted = ''] = reply.granted.Address!.split('/');
    const outcome = this.#referee.granted({ poolId, who, asked: address, address: granted, shared, open });
    if (outcome === 'moved') this.#count('RequestAddress', 'moved');
    for (const sent of crossed)
      if (sent.release.poolId === poolId && sent.release.address === granted)
        this.#referee.crossed(sent.at, sent.release);
    if (lives) this.#asked.push({ at, space, who, body, name: 'RequestAddress', shared });
    return granted;
  }

  async #release(at: number, release: Release, note: string): Promise<void> {
    const { poolId, address } = release;
    const name = address === undefined ? 'ReleasePool' : 'ReleaseAddress';
    this.#released.push({ at, release });
    this.#referee.releasing(at, release);
    const sent = { at, release };
    this.#underWay.add(sent);
    for (const crossed of this.#crossings) crossed.push(sent);
    const reply = await this.#send(at, name, { PoolID: poolId, ...(address && { Address: address }) }, note);
    this.#underWay.delete(sent);
    if ('refused' in reply) throw new Violation(`${name} was refused`);
    if (address === undefined) this.#referee.ended(at, poolId);
  }

  async #send(at: number, name: Name, body: Body | undefined, note: string): Promise<Reply> {
    const reply = await this.#world.call(at, name, body);
    const words = Object.entries(body ?? {}).map(([field, value]) => this.#worded(field, value));
    const said =
      'refused' in reply
        ? `refused: ${reply.refused}`
        : [reply.granted.PoolID, reply.granted.Pool, reply.granted.Address].filter(Boolean);
    const line = [nodeOf(at), name, ...words.filter((word) => word !== ''), ...(note ? [`(${note})`] : [])].join(' ');
    const joins = 'granted' in reply && reply.granted.PoolID ? ` is J${this.#referee.pools.length + 1}` : '';
    this.#history.push(`${line} -> ${Array.isArray(said) ? said.join(' ') || '{}' : said}${joins}`);
    return reply;
  }

  #worded(field: string, value: unknown): string {
    if (field === 'PoolID') {
      const index = this.#referee.pools.findIndex(({ id }) => id === value);
      const pool = this.#referee.pools[index];
      return pool ? `J${index + 1} (${pool.space} ${pool.subnet})` : String(value);
    }
    if (field === 'V6' || value === '') return '';
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
  }

  #endpoint(who: string): Body | null {
    return this.#life.named ? { 'com.docker.network.endpoint.name': who.replaceAll(' ', '-') } : null;
  }

  #options(): Body | null {
    return this.#life.serial ? SERIAL : null;
  }

  #mutated(how: string): void {
    this.#mutations++;
    this.#count('mutation', how);
    this.#count('mutations', 'sent');
  }

  #count(what: string, came: string): void {
    const key = `${what} ${came}`;
    this.#tally.set(key, (this.#tally.get(key) ?? 0) + 1);
  }

  #pick<T>(items: readonly T[], index: number): T | undefined {
    return items.at(-1 - (index % Math.max(1, items.length)));
  }

  #leading<T>(act: () => Promise<T>): Promise<T> {
    return this.#exclusive('leader', act);
  }

  /** One after the other, as an engine does for one network, and a leader for all. */
  #exclusive<T>(what: string, act: () => Promise<T>): Promise<T> {
    const before = this.#locks.get(what) ?? Promise.resolve();
    const after = before.then(act, act);
    this.#locks.set(what, after);
    return after;
  }
}

function nodeFor(at: number | 'right', own: number): number {
  return at === 'right' ? own : at;
}
