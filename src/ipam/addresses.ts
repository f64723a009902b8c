// RequestAddress: from what is asked to a guarded claim. Knows pools, joins and claims; not the wire that asked.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix, reservedAs } from '../net/prefix.js';
import { Chooser } from './chooser.js';
import { type AddressAsk, Claiming, choices, contended, exhausted, MOST_ATTEMPTS, named } from './claiming.js';
import { judge, type Verdict } from './decide.js';
import { IpamError } from './errors.js';
import { chooseGateway, isStillMeant, superseded } from './gateways.js';
import type { Grant } from './grant.js';
import { addressOfClaim, claimKey, claimsIn, holderKey, holdersAt, nodeKey } from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import type { HolderRecord } from './records.js';
import type { Releases } from './releases.js';
import type { Deadline, Found, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { type View, type Views, viewOf } from './views.js';

export class Addresses {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #views: Views;
  readonly #releases: Releases;
  readonly #claiming: Claiming;
  readonly #choosers = new Map<string, { readonly chooser: Chooser; readonly joins: Set<string> }>();

  constructor(store: Store, self: Self, around: Surroundings, views: Views, releases: Releases) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#views = views;
    this.#releases = releases;
    this.#claiming = new Claiming(store, self, around, views, releases);
  }

  async request(ask: AddressAsk, by: Deadline): Promise<Grant<Address>> {
    const { address } = ask;
    if (!address && ask.purpose === 'gateway') return this.#gateway(ask, by);
    const view = await this.#views.of(ask.pool, by);
    if (address) {
      const reserved = reservedAs(ask.pool.prefix, address);
      if (reserved) {
        throw new IpamError(
          'not_assignable',
          `${formatAddress(address)} is the ${reserved} of pool ${formatPrefix(ask.pool.prefix)}`,
        );
      }
      return this.#releases.queued(ask.pool, address, () => this.#byNumber(ask, address, view, by));
    }
    return this.#dynamic(ask, view, by);
  }

  /** An address of the range may be free again. */
  freed(pool: PoolRef): void {
    for (const { chooser, joins } of this.#choosers.values()) if (joins.has(pool.join)) chooser.freed();
  }

  forget(pool: PoolRef): void {
    for (const [key, { joins }] of this.#choosers)
      if (joins.delete(pool.join) && joins.size === 0) this.#choosers.delete(key);
  }

  async #byNumber(ask: AddressAsk, address: Address, first: View, by: Deadline): Promise<Grant<Address>> {
    const { purpose } = ask;
    const declared = first.join.record.shared?.includes(formatAddress(address)) ?? false;
    const wanted = { address, purpose, declared, join: ask.pool.join, ...named(ask) };
    let view = first;
    let verdict: Verdict = { kind: 'free' };
    let prior: Found<HolderRecord> | undefined;
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      if (verdict.kind === 'refuse') throw verdict.error;
      const plan = this.#claiming.plan(
        ask,
        purpose === 'unsure' && declared ? 'aux' : purpose,
        address,
        verdict,
        prior,
      );
      const outcome = await this.#claiming.commit(ask, view, plan, this.#facts(ask.pool, address), by);
      if (outcome.done) return this.#claiming.granted(ask, plan, attempt);
      const [pool, join, claim, holders, node] = outcome.seen;
      view = this.#views.set(ask.pool, pool, join);
      verdict = judge(wanted, { claim, holders: holders.found, node }, this.#self);
      if (!ask.address && !isStillMeant(address, verdict, view, first)) throw superseded(ask.pool, address);
      prior = holders.found.find(({ key }) => key === holderKey(ask.pool, address, ask.pool.join).key);
    }
    throw contended(ask.pool);
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
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      const value = await chooser.next(by);
      const last = value === undefined ? await chooser.takeable(by) : undefined;
      if (value === undefined && !last) throw exhausted(ask.pool);
      const address = last ? addressOfClaim(last.claim.key) : { family, value: value! };
      const verdict: Verdict = last ? { kind: 'take', ...last } : { kind: 'free' };
      const plan = this.#claiming.plan(ask, ask.purpose, address, verdict, undefined);
      const window = { keys: claimsIn(ask.pool, chooser.windowAt(address.value)), limit: 0 };
      const node = { one: nodeKey(this.#self.node) };
      const outcome = await this.#claiming.commit(ask, view, plan, [...viewOf(ask.pool), window, node], by);
      if (outcome.done) {
        chooser.won();
        return this.#claiming.granted(ask, plan, attempt);
      }
      const [pool, join, { keys }, own] = outcome.seen;
      view = this.#views.set(ask.pool, pool, join);
      const taken = keys.map((key) => addressOfClaim(key).value);
      if (last) chooser.lostTakeable(own);
      else chooser.lost(address.value, taken);
    }
    throw contended(ask.pool);
  }

  #facts(pool: PoolRef, address: Address) {
    const claim = { one: claimKey(pool, address) };
    const holders = { span: holdersAt(pool, address), limit: 0 };
    return [...viewOf(pool), claim, holders, { one: nodeKey(this.#self.node) }] as const;
  }

  #chooser(pool: PoolRef): Chooser {
    const key = `${pool.space} ${formatPrefix(pool.prefix)} ${pool.range ? formatPrefix(pool.range) : ''}`;
    let entry = this.#choosers.get(key);
    if (!entry) {
      entry = { chooser: new Chooser(choices(pool), pool, this.#store, this.#self, this.#around), joins: new Set() };
      this.#choosers.set(key, entry);
    }
    entry.joins.add(pool.join);
    return entry.chooser;
  }
}
