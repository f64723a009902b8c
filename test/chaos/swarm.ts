// A swarm over the engines: one of them leads and asks in the global space, all of them run tasks at the addresses that it gave.
// Refuses to know how an address is chosen.
import { Late, sleep } from '../support/process.js';
import type { Engine } from './engine.js';
import type { Call, History, Use } from './history.js';
import { Overlays } from './overlays.js';

const TYPE = { RequestAddressType: 'com.docker.network.gateway' };
const SERIAL = { 'com.docker.network.ipam.serial': 'true' };
const AGAIN_MS = 200;
/** Longer than any fault, and than any call of a process that has just begun. */
const FOR_GOOD_MS = 45_000;
/** So long a machine that is busy may need for an election. */
const ELECTION_MS = 180_000;
/** What a call meets while things fail, and not what the rules refuse. */
const PASSING = /not reachable|not answer|did not finish|try again|was restored|Error|socket|abort/i;
const TRIES = 5;

interface Member {
  readonly who: string;
  readonly at: number;
  readonly address: string;
  readonly kind: 'task' | 'balancer';
  readonly use: Use;
}

interface Term {
  readonly at: number;
  readonly poolId: string;
  readonly join: string;
  readonly gateway: string;
}

export class Swarm {
  readonly #members = new Set<Member>();
  readonly #overlays: Overlays;
  #leading: Promise<unknown> = Promise.resolve();
  #at = 0;
  #term: Term | undefined;
  #gateway = '';
  /** The last refusal. */
  #said = '';
  #named = 0;
  /** Elections that were carried through. */
  elections = 0;

  constructor(
    readonly subnet: string,
    private readonly engines: readonly Engine[],
    private readonly history: History,
  ) {
    this.#overlays = new Overlays(subnet, engines);
  }

  /** A task from its first call to its last; false when it could not be started. */
  async task(at: number, forMs: number): Promise<boolean> {
    const who = `task-${++this.#named}`;
    const member = await this.#lead(async () => {
      if (!this.#term && !(await this.#make())) return undefined;
      if (!this.#balancer(at) && !(await this.#allot(`balancer-${at}-${++this.#named}`, at, 'balancer')))
        return undefined;
      return this.#allot(who, at, 'task');
    });
    if (!member) return false;
    const made = () => ({ gateway: this.#gateway, balancer: this.#balancer(at) });
    const run = await this.#overlays.start(at, member, made);
    if (run) {
      await sleep(forMs);
      await this.#overlays.stop(at, run);
    }
    await this.#lead(async () => {
      await this.#dismiss(member);
      const balancer = this.#balancer(at);
      const needed = this.#overlays.has(at) || [...this.#members].some((one) => one.kind === 'task' && one.at === at);
      if (balancer && !needed) await this.#dismiss(balancer);
    });
    return run !== undefined;
  }

  /** Another manager leads. */
  elect(at: number): Promise<void> {
    return this.#lead(async () => {
      for (let tries = 0; !this.#term && tries < TRIES; tries++) if (!(await this.#make())) await sleep(AGAIN_MS);
      this.#at = at === this.#at ? (at + 1) % this.engines.length : at;
      if (!this.#term || !(await this.#takeOver())) throw new Late(`no election came about: ${this.#said}`);
    });
  }

  /** The leader does nothing meanwhile, and then begins anew. */
  standStill(act: () => Promise<void>): Promise<void> {
    return this.#lead(async () => {
      await act();
      if (this.#term) await this.#takeOver();
    });
  }

  /** `docker network rm`, when no task is left; true when nothing of it can be in etcd any more. */
  remove(): Promise<boolean> {
    return this.#lead(async () => {
      if ([...this.#members].some(({ kind }) => kind === 'task')) return false;
      for (const member of [...this.#members]) await this.#dismiss(member);
      const term = this.#term;
      if (!term) return true;
      this.#term = undefined;
      await this.#call('ReleaseAddress', { PoolID: term.poolId, Address: term.gateway }, term);
      return (await this.#call('ReleasePool', { PoolID: term.poolId }, term)).outcome === 'released';
    });
  }

  /**
   * What a removed network has left because its last leader had given nothing, or its end was not heard: the subnet is had
   * again by naming its gateway, and removed by one that has given something.
   */
  async sweep(): Promise<void> {
    await this.#lead(async () => {
      if (!(await this.#make())) return;
      const service = await this.#allot(`service-${++this.#named}`, 0, 'balancer');
      if (service) await this.#dismiss(service);
    });
    await this.remove();
  }

  async #make(): Promise<boolean> {
    for (const gateway of this.#gateway === '' ? [''] : ['', this.#gateway]) {
      const term = await this.#begin(gateway);
      if (!term) continue;
      this.#term = term;
      this.#gateway = term.gateway;
      return true;
    }
    return false;
  }

  /** Asks for the pool and its gateway. What fails takes the pool back. */
  async #begin(gateway: string): Promise<Term | undefined> {
    const at = this.#at;
    await this.engines[at]!.caller.call('GetCapabilities', undefined, {}, 0);
    const ask = { AddressSpace: 'global', Pool: this.subnet, SubPool: '', Options: SERIAL, V6: false };
    const pool = await this.engines[at]!.caller.call('RequestPool', ask, { place: `global ${this.subnet}` }, 0);
    if (pool.outcome !== 'granted') {
      this.#said = pool.said ?? this.#said;
      return undefined;
    }
    const begun = { at, poolId: pool.given!, join: pool.join!, gateway };
    const body = { PoolID: begun.poolId, Address: gateway, Options: { ...TYPE, ...SERIAL } };
    const call = await this.#call('RequestAddress', body, begun, gateway);
    if (call.outcome === 'granted') return { ...begun, gateway: call.given! };
    await this.#call('ReleasePool', { PoolID: begun.poolId }, begun);
    return undefined;
  }

  /**
   * By number all that the swarm knows; until it is done nothing else of the swarm goes on. False when it did not come about;
   * the next call of this leader begins another.
   */
  async #takeOver(): Promise<boolean> {
    const began = performance.now();
    for (let passed = began; !this.history.over; await sleep(AGAIN_MS)) {
      const term = await this.#begin(this.#gateway);
      if (term && (await this.#claimAgain(term))) {
        this.#term = term;
        this.elections++;
        return true;
      }
      const now = performance.now();
      if (PASSING.test(this.#said)) passed = now;
      if (now - passed > FOR_GOOD_MS) {
        this.history.wrong.push({ rule: 'refused', text: `the swarm's leader, for good: ${this.#said}` });
        return false;
      }
      if (now - began > ELECTION_MS) return false;
    }
    return false;
  }

  /** False when the answer to one of them was lost: whoever leads this term has not got it, so there has to be another. */
  async #claimAgain(term: Term): Promise<boolean> {
    for (const { address } of this.#members) {
      const body = { PoolID: term.poolId, Address: address, Options: SERIAL };
      for (let tries = 1; ; tries++) {
        const { outcome, said = '' } = await this.#call('RequestAddress', body, term, address);
        if (outcome === 'granted') break;
        if (outcome !== 'failed' || !PASSING.test(said) || tries === TRIES) return false;
        await sleep(AGAIN_MS);
      }
    }
    return true;
  }

  async #allot(who: string, at: number, kind: Member['kind']): Promise<Member | undefined> {
    const term = this.#term!;
    const call = await this.#call('RequestAddress', { PoolID: term.poolId, Address: '', Options: SERIAL }, term);
    if (call.outcome !== 'granted') {
      // A call whose end nobody heard may have begun another term.
      if (call.said?.includes('has taken over')) await this.#takeOver();
      return undefined;
    }
    const place = { place: `global ${this.subnet}`, address: call.given!, node: this.engines[term.at]!.node };
    const use = this.history.use({ ...place, who, join: term.join, shared: false, grant: call });
    const member: Member = { who, at, address: call.given!, kind, use };
    this.#members.add(member);
    return member;
  }

  async #dismiss(member: Member): Promise<void> {
    if (!this.#members.delete(member)) return;
    this.history.letGo(member.use);
    const term = this.#term;
    if (term)
      await this.#call('ReleaseAddress', { PoolID: term.poolId, Address: member.address }, term, member.address);
  }

  #balancer(at: number): Member | undefined {
    return [...this.#members].find((one) => one.kind === 'balancer' && one.at === at);
  }

  async #call(
    name: Call['name'],
    body: object,
    { at, join }: Pick<Term, 'at' | 'join'>,
    address?: string,
  ): Promise<Call> {
    const about = { place: `global ${this.subnet}`, join, ...(address && { address }) };
    const call = await this.engines[at]!.caller.call(name, body, about, 0);
    this.#said = call.said ?? this.#said;
    return call;
  }

  /** A leader does one thing at a time. */
  #lead<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#leading.then(act, act);
    this.#leading = done;
    return done;
  }
}
