// RequestAddress: from what is asked to a guarded claim. Knows pools, joins and claims; not the wire that asked.
import { type Address, formatAddress } from '../net/address.js';
import { contains, formatPrefix, reservedAs } from '../net/prefix.js';
import { Chooser } from './chooser.js';
import { type AddressAsk, Claiming, choices, contended, exhausted, MOST_ATTEMPTS, named } from './claiming.js';
import { isOfFormerEpoch, isOfNode, judge, type Purpose, type Verdict } from './decide.js';
import { IpamError, outside } from './errors.js';
import { chooseGateway, isStillMeant, overtaken } from './gateways.js';
import type { Grant } from './grant.js';
import { addressOfClaim, claimKey, claimsIn, holderKey, holdersAt, joinsOf, nodeKey, poolKey } from './keyspace.js';
import { readNode } from './nodes.js';
import type { PoolRef } from './pool-id.js';
import type { HolderRecord } from './records.js';
import { poolAround, type Releases } from './releases.js';
import { familyOf, globalSpace, isGlobal } from './spaces.js';
import type { Answers, Deadline, Found, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import type { Takeable } from './takeables.js';
import type { Undos } from './undos.js';
import { type View, type Views, viewOf } from './views.js';

/** A new leader asks for all it knows at its start, and for what failed then every 5 minutes: three times that. */
const FORMER_EPOCH_ROUNDS = 30;

interface Looked {
  readonly verdict: Verdict;
  /** Our own part in the address, should it be shared already. */
  readonly prior?: Found<HolderRecord> | undefined;
}

export class Addresses {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #views: Views;
  readonly #releases: Releases;
  readonly #claiming: Claiming;
  /** The round in which this process first gave an address through the join. */
  readonly #served = new Map<string, number>();
  readonly #choosers = new Map<string, { readonly chooser: Chooser; readonly joins: Set<string> }>();

  constructor(store: Store, self: Self, around: Surroundings, views: Views, releases: Releases, undos: Undos) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#views = views;
    this.#releases = releases;
    this.#claiming = new Claiming(store, self, around, views, releases, undos);
  }

  async request(ask: AddressAsk, by: Deadline): Promise<Grant<Address>> {
    const { address, pool } = ask;
    if (!address && ask.purpose === 'gateway') return this.#gateway(ask, by);
    const view = await this.#views.of(pool, by);
    if (!address) return this.#dynamic(ask, view, by);
    if (!contains(pool.prefix, address)) return this.#inSibling(ask, address, by);
    const reserved = reservedAs(pool.prefix, address);
    if (reserved) {
      throw new IpamError(
        'not_assignable',
        `${formatAddress(address)} is the ${reserved} of pool ${formatPrefix(pool.prefix)}`,
      );
    }
    return this.#releases.queued(pool, address, () => this.#byNumber(ask, address, view, by));
  }

  /** What was learnt of free and taken addresses is of an etcd that is gone. */
  forgetAll(): void {
    this.#choosers.clear();
  }

  /** The address may be free again, or rests. */
  freed(pool: PoolRef, { value }: Address): void {
    for (const { chooser, joins } of this.#choosers.values()) if (joins.has(pool.join)) chooser.freed(value);
  }

  forget(pool: PoolRef): void {
    this.#served.delete(pool.join);
    for (const [key, { joins }] of this.#choosers)
      if (joins.delete(pool.join) && joins.size === 0) this.#choosers.delete(key);
  }

  async #byNumber(ask: AddressAsk, address: Address, first: View, by: Deadline): Promise<Grant<Address>> {
    let view = first;
    // Usually the address is free, and the claim itself is the first look. Where the swarm is the authority it is asked first.
    let looked: Looked = { verdict: { kind: 'free' } };
    if (onSwarm(ask, view))
      looked = await this.#look(
        ask,
        address,
        view,
        await this.#store.read(factsOf(ask.pool, address, this.#self), by),
        by,
      );
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      if (looked.verdict.kind === 'refuse') throw looked.verdict.error;
      const plan = this.#claiming.plan(
        ask,
        purposeOf(ask, address, view, looked.verdict),
        address,
        looked.verdict,
        looked.prior,
      );
      const outcome = await this.#claiming.commit(ask, view, plan, factsOf(ask.pool, address, this.#self), by);
      if (outcome.done) return this.#claiming.granted(ask, view, plan, attempt);
      view = this.#views.set(ask.pool, outcome.seen[0], outcome.seen[1]);
      looked = await this.#look(ask, address, view, outcome.seen, by);
      if (!ask.address && !isStillMeant(address, looked.verdict, view, first)) throw overtaken(ask.pool, address);
    }
    throw contended(ask.pool);
  }

  /**
   * What is to be done about the address, by what one revision says of it. Only what another node holds needs a second look,
   * at that node.
   */
  async #look(ask: AddressAsk, address: Address, view: View, facts: Facts, by: Deadline): Promise<Looked> {
    const [, , claim, { found: holders }, node, swarm, pool] = facts;
    const declared = isDeclared(address, view);
    const wanted = { address, purpose: ask.purpose, declared, join: ask.pool.join, ...named(ask) };
    const ofSwarm = onSwarm(ask, view) ? { swarm, ruled: pool?.record.state === 'open' } : {};
    const seen = { claim, holders, node, ...ofSwarm };
    let verdict = judge(wanted, seen, this.#self);
    const other = claim && isOfNode(claim.record) && claim.record.node !== this.#self.node && claim.record.node;
    if (verdict.kind === 'refuse' && other)
      verdict = judge(wanted, { ...seen, owner: await readNode(this.#store, other, by) }, this.#self);
    return { verdict, prior: holders.find(({ key }) => key === holderKey(ask.pool, address, ask.pool.join).key) };
  }

  /**
   * A leader asks the pools of a network in any order for what it gave before, and takes a refusal of the wrong one for the
   * last word. So what a former epoch gave in another pool of this leader is claimed there.
   */
  async #inSibling(ask: AddressAsk, address: Address, by: Deadline): Promise<Grant<Address>> {
    const pool = await this.#siblingOf(ask, address, by);
    if (!pool) throw outside(address, ask.pool.prefix);
    const sibling: AddressAsk = { ...ask, pool, through: ask.pool.join };
    const view = await this.#views.of(pool, by);
    return this.#releases.queued(pool, address, () => this.#byNumber(sibling, address, view, by));
  }

  async #siblingOf({ pool }: AddressAsk, address: Address, by: Deadline): Promise<PoolRef | undefined> {
    const around = isGlobal(pool.space) ? await poolAround(this.#store, pool.space, address, by) : undefined;
    if (!around) return undefined;
    const [record, joins, claim] = await this.#store.read(
      [{ one: poolKey(around) }, { span: joinsOf(around), limit: 1 }, { one: claimKey(around, address) }],
      by,
    );
    const leader = joins.found[0]?.record;
    const { node, boot } = this.#self;
    if (record?.record.leader === undefined || leader?.node !== node || leader.boot !== boot) return undefined;
    if (!claim || !isOfFormerEpoch(claim, record.record.leader)) return undefined;
    return { ...around, epoch: leader.epoch ?? 0, join: record.record.leader };
  }

  #gateway(ask: AddressAsk, by: Deadline): Promise<Grant<Address>> {
    const claim = (address: Address, view: View) =>
      this.#releases.queued(ask.pool, address, () => this.#byNumber(ask, address, view, by));
    return chooseGateway(ask, this.#store, this.#views, claim, by);
  }

  async #dynamic(ask: AddressAsk, first: View, by: Deadline): Promise<Grant<Address>> {
    const chooser = this.#chooser(ask.pool);
    const { family } = ask.pool.prefix;
    let view = first;
    // Until one is lost for another reason than that the address is taken.
    let brief = true;
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      const value = await chooser.next(by);
      const last = value === undefined ? await this.#takeable(ask.pool, chooser, by) : undefined;
      if (value === undefined && !last) throw exhausted(ask.pool);
      const address = last ? addressOfClaim(last.claim.key) : { family, value: value! };
      const verdict: Verdict = last ? { kind: 'take', ...last } : { kind: 'free' };
      const plan = this.#claiming.plan(ask, ask.purpose, address, verdict, undefined);
      const window = { keys: claimsIn(ask.pool, chooser.windowAt(address.value)), limit: 0 };
      const outcome = brief
        ? await this.#claiming.commit(ask, view, plan, [window], by, brief)
        : await this.#claiming.commit(ask, view, plan, [window, ...viewOf(ask.pool)], by);
      if (outcome.done) {
        chooser.won();
        return this.#claiming.granted(ask, view, plan, attempt);
      }
      const { seen } = outcome;
      if (seen.length > 1) view = this.#views.set(ask.pool, seen[1], seen[2]);
      const taken = seen[0].keys.map((key) => addressOfClaim(key).value);
      if (last) await this.#lostTakeable(last, chooser, by);
      brief = true;
      if (last || !taken.includes(address.value)) brief = false;
      if (!taken.includes(address.value)) chooser.back(address.value);
      else if (!last) chooser.lost(address.value, taken);
    }
    throw contended(ask.pool);
  }

  /** What rests; and what nobody stands behind, or the present leader has not asked for again once it has had the time. */
  async #takeable(pool: PoolRef, chooser: Chooser, by: Deadline): Promise<Takeable | undefined> {
    if (!isGlobal(pool.space)) return chooser.takeable('nodes', by);
    const served = this.#around.rounds() - (this.#served.get(pool.join) ?? Number.POSITIVE_INFINITY);
    return chooser.takeable(served >= FORMER_EPOCH_ROUNDS ? { leader: pool.join } : 'nobody', by);
  }

  async #lostTakeable({ claim }: Takeable, chooser: Chooser, by: Deadline): Promise<void> {
    const name = claim.record.node ?? this.#self.node;
    const node = await readNode(this.#store, name, by);
    chooser.lostTakeable(name, node?.found, node?.living ?? false);
  }

  #chooser(pool: PoolRef): Chooser {
    const key = `${pool.space} ${formatPrefix(pool.prefix)} ${pool.range ? formatPrefix(pool.range) : ''}`;
    let entry = this.#choosers.get(key);
    if (!entry) {
      entry = { chooser: new Chooser(choices(pool), pool, this.#store, this.#self, this.#around), joins: new Set() };
      this.#choosers.set(key, entry);
    }
    entry.joins.add(pool.join);
    if (!this.#served.has(pool.join)) this.#served.set(pool.join, this.#around.rounds());
    return entry.chooser;
  }
}

type Facts = Answers<ReturnType<typeof factsOf>>;

/** The last two are the swarm's own claim of the address and its pool, for the networks of its nodes. */
function factsOf(pool: PoolRef, address: Address, { node, swarm = '' }: Self) {
  const global = { space: globalSpace(familyOf(pool.space), swarm), prefix: pool.prefix };
  return [
    ...viewOf(pool),
    { one: claimKey(pool, address) },
    { span: holdersAt(pool, address), limit: 0 },
    { one: nodeKey(node) },
    { one: claimKey(global, address) },
    { one: poolKey(global) },
  ] as const;
}

/** The network is the swarm's, so its leader may have given the address that a container is to have. */
function onSwarm({ pool, purpose }: AddressAsk, { join }: View): boolean {
  return join.record.managed === true && !isGlobal(pool.space) && (purpose === 'endpoint' || purpose === 'unsure');
}

/** What the network declared as auxiliary is that, unless the swarm's leader says otherwise. */
function purposeOf({ purpose }: AddressAsk, address: Address, view: View, verdict: Verdict): Purpose {
  const given = 'onSwarm' in verdict && verdict.onSwarm;
  return purpose === 'unsure' && !given && isDeclared(address, view) ? 'aux' : purpose;
}

function isDeclared(address: Address, { join }: View): boolean {
  return join.record.shared?.includes(formatAddress(address)) ?? false;
}
