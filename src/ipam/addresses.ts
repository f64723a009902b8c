// RequestAddress: from what is asked to a guarded claim. Knows pools, joins and claims; not the wire that asked.
import { type Address, formatAddress, parseAddress } from '../net/address.js';
import { freeIn } from '../net/gaps.js';
import { formatPrefix, intersect, rangeOf, reservedAs, usable } from '../net/prefix.js';
import { Chooser } from './chooser.js';
import { judge, type Purpose, type Verdict } from './decide.js';
import { type Code, InDoubtError, IpamError } from './errors.js';
import type { Grant } from './grant.js';
import { addressOfClaim, claimKey, claimsIn, holderKey, holdersAt, nodeKey, poolKey } from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import type { ClaimRecord, HolderRecord, PoolRecord } from './records.js';
import type { Releases } from './releases.js';
import type { Change, Condition, Deadline, Found, Query, Store, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { standing, type View, type Views, viewOf } from './views.js';

/** More lost races in one call than this, and the caller is told rather than kept waiting. */
const MOST_ATTEMPTS = 64;

export interface AddressAsk {
  readonly pool: PoolRef;
  readonly address?: Address;
  readonly purpose: Purpose;
  readonly name?: string;
  readonly mac?: string;
}

/** What one transaction would write for a claim, and what it replaces. */
interface Plan {
  readonly address: Address;
  readonly claim: ClaimRecord;
  readonly prior?: Found<ClaimRecord>;
  readonly evidence?: Condition;
  readonly holder?: { readonly record: HolderRecord; readonly prior?: Found<HolderRecord> };
  readonly token: string;
}

export class Addresses {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #views: Views;
  readonly #releases: Releases;
  readonly #choosers = new Map<string, { readonly chooser: Chooser; readonly joins: Set<string> }>();

  constructor(store: Store, self: Self, around: Surroundings, views: Views, releases: Releases) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#views = views;
    this.#releases = releases;
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
      const plan = this.#plan(ask, purpose === 'unsure' && declared ? 'aux' : purpose, address, verdict, prior);
      const outcome = await this.#commit(ask, view, plan, this.#facts(ask.pool, address), by);
      if (outcome.done) return this.#granted(ask, plan, attempt);
      const [pool, join, claim, holders, node] = outcome.seen;
      view = this.#views.set(ask.pool, pool, join);
      verdict = judge(wanted, { claim, holders: holders.found, node }, this.#self);
      if (!ask.address && !isStillMeant(address, verdict, view, first)) throw superseded(ask.pool, address);
      prior = holders.found.find(({ key }) => key === holderKey(ask.pool, address, ask.pool.join).key);
    }
    throw contended(ask.pool);
  }

  /** The gateway the subnet already has, otherwise the lowest free address of the pool. */
  async #gateway(ask: AddressAsk, by: Deadline): Promise<Grant<Address>> {
    const { family } = ask.pool.prefix;
    let view: View | undefined;
    let hint: string | undefined;
    let rest = usable(ask.pool.prefix);
    let candidates: bigint[] = [];
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      while (!view || candidates.length === 0) {
        if (rest.to < rest.from) throw this.#exhausted(ask.pool);
        const end = rest.from + 255n < rest.to ? rest.from + 255n : rest.to;
        const window = { ...rest, to: end };
        const queries = [...viewOf(ask.pool), { keys: claimsIn(ask.pool, window), limit: 0 }] as const;
        // At one revision: a remembered view may be older than the choice of another host, and no room would not show it.
        const [pool, join, { keys }] = await this.#store.read(queries, by);
        view = this.#views.set(ask.pool, pool, join);
        const { gateway } = view.pool.record;
        if (gateway !== undefined && gateway !== hint) {
          hint = gateway;
          const { value } = parseAddress(gateway);
          const [claim] = await this.#store.read([{ one: claimKey(ask.pool, { family, value }) }], by);
          if (!claim || claim.record.kind === 'shared') candidates = [value];
          rest = usable(ask.pool.prefix);
        } else {
          const taken = keys.map((key) => addressOfClaim(key).value);
          candidates = freeIn(window, taken);
          rest = { ...rest, from: end + 1n };
        }
      }
      const chosen = view;
      const address = { family, value: candidates.shift()! };
      try {
        return await this.#releases.queued(ask.pool, address, () => this.#byNumber(ask, address, chosen, by));
      } catch (error) {
        if (!(error instanceof IpamError) || error.code !== 'taken') throw error;
        view = await this.#views.of(ask.pool, by);
        if (view.pool.record.gateway === hint) continue;
        candidates = [];
        rest = usable(ask.pool.prefix);
      }
    }
    throw contended(ask.pool);
  }

  async #dynamic(ask: AddressAsk, first: View, by: Deadline): Promise<Grant<Address>> {
    const chooser = this.#chooser(ask.pool);
    const { family } = ask.pool.prefix;
    let view = first;
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      const value = await chooser.next(by);
      const last = value === undefined ? await chooser.takeable(by) : undefined;
      if (value === undefined && !last) throw this.#exhausted(ask.pool);
      const address = last ? addressOfClaim(last.claim.key) : { family, value: value! };
      const verdict: Verdict = last ? { kind: 'take', ...last } : { kind: 'free' };
      const plan = this.#plan(ask, ask.purpose, address, verdict, undefined);
      const window = { keys: claimsIn(ask.pool, chooser.windowAt(address.value)), limit: 0 };
      const node = { one: nodeKey(this.#self.node) };
      const outcome = await this.#commit(ask, view, plan, [...viewOf(ask.pool), window, node], by);
      if (outcome.done) {
        chooser.won();
        return this.#granted(ask, plan, attempt);
      }
      const [pool, join, { keys }, own] = outcome.seen;
      view = this.#views.set(ask.pool, pool, join);
      const taken = keys.map((key) => addressOfClaim(key).value);
      if (last) chooser.lostTakeable(own);
      else chooser.lost(address.value, taken);
    }
    throw contended(ask.pool);
  }

  #plan(
    ask: AddressAsk,
    purpose: Purpose,
    address: Address,
    verdict: Verdict,
    prior: Found<HolderRecord> | undefined,
  ): Plan {
    const { node, boot } = this.#self;
    const token = this.#around.token();
    const since = this.#around.now().toISOString();
    const role =
      verdict.kind === 'share' ? verdict.role : purpose === 'gateway' || purpose === 'aux' ? purpose : undefined;
    const replaced = verdict.kind === 'share' || verdict.kind === 'take' ? { prior: verdict.claim } : {};
    const evidence =
      verdict.kind === 'take' && verdict.evidence
        ? { evidence: { key: nodeKey(node), version: verdict.evidence.version } satisfies Condition }
        : {};
    if (role) {
      const kept = verdict.kind === 'share' ? verdict.claim.record.since : since;
      const holder = { record: { role, node, boot, since, token }, ...(prior && { prior }) };
      return { address, claim: { kind: 'shared', since: kept, token }, holder, token, ...replaced, ...evidence };
    }
    const kind = purpose === 'unsure' ? 'unsure' : 'endpoint';
    const claim: ClaimRecord = { kind, node, boot, join: ask.pool.join, ...named(ask), since, token };
    return { address, claim, token, ...replaced, ...evidence };
  }

  async #commit<const Q extends readonly Query[]>(ask: AddressAsk, view: View, plan: Plan, otherwise: Q, by: Deadline) {
    const { pool } = ask;
    const key = claimKey(pool, plan.address);
    const write: Write[] = [{ put: key, record: plan.claim }];
    if (plan.holder) write.push({ put: holderKey(pool, plan.address, pool.join), record: plan.holder.record });
    const chosen = formatAddress(plan.address);
    if (plan.holder?.record.role === 'gateway' && view.pool.record.gateway !== chosen && this.#mayLead(ask, view)) {
      write.push({ put: poolKey(pool), record: { ...view.pool.record, gateway: chosen, token: plan.token } });
    }
    const change: Change<Q> = {
      when: [
        ...standing(view, pool),
        { key, version: plan.prior?.version ?? null },
        ...(plan.evidence ? [plan.evidence] : []),
      ],
      write,
      otherwise,
      // Others rewrite a shared claim at any time, but nobody the record of our own part in it.
      witness: { key: plan.holder ? holderKey(pool, plan.address, pool.join) : key, token: plan.token },
    };
    this.#releases.begin();
    try {
      const outcome = await this.#store.commit(change, by);
      const put = write.find((one) => 'put' in one && one.put.key === poolKey(pool).key);
      if (outcome.done && put && 'record' in put) {
        this.#views.set(pool, { ...view.pool, record: put.record as PoolRecord, version: outcome.version }, view.join);
      }
      return outcome;
    } catch (error) {
      if (error instanceof InDoubtError) this.#releases.undoAfter(error.settled, { ...plan, pool });
      throw error;
    }
  }

  /** An explicit gateway does not replace the one that networks without a `--gateway` already got. */
  #mayLead(ask: AddressAsk, { pool }: View): boolean {
    return pool.record.gateway === undefined || ask.address === undefined;
  }

  #granted(ask: AddressAsk, plan: Plan, attempts: number): Grant<Address> {
    const undo = (by: Deadline) => this.#releases.undo({ ...plan, pool: ask.pool }, by);
    return { reply: plan.address, token: plan.token, attempts, undo };
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
      const range = pool.range ? intersect(rangeOf(pool.range), usable(pool.prefix)) : usable(pool.prefix);
      entry = { chooser: new Chooser(range, pool, this.#store, this.#self, this.#around), joins: new Set() };
      this.#choosers.set(key, entry);
    }
    entry.joins.add(pool.join);
    return entry.chooser;
  }

  #exhausted({ prefix, range }: PoolRef): IpamError {
    const { from, to } = range ? intersect(rangeOf(range), usable(prefix)) : usable(prefix);
    const where = range
      ? `range ${formatPrefix(range)} of pool ${formatPrefix(prefix)}`
      : `pool ${formatPrefix(prefix)}`;
    const code: Code = 'pool_exhausted';
    return new IpamError(code, `no address left in ${where}: all ${to - from + 1n} are in use`);
  }
}

function named({ name, mac }: AddressAsk): { name?: string; mac?: string } {
  return { ...(name !== undefined && { name }), ...(mac !== undefined && { mac }) };
}

/** Whether an address picked for a gateway is the pool's gateway yet, or still free where the pool has none. */
function isStillMeant(address: Address, { kind }: Verdict, { pool }: View, first: View): boolean {
  const { gateway } = pool.record;
  return gateway === first.pool.record.gateway && (kind === 'free' || formatAddress(address) === gateway);
}

/** Caught by the choice of a gateway, which goes on to another address. */
function superseded({ prefix }: PoolRef, address: Address): IpamError {
  return new IpamError('taken', `${formatAddress(address)} was picked as gateway of ${formatPrefix(prefix)} too late`);
}

function contended({ prefix }: PoolRef): IpamError {
  return new IpamError(
    'contended',
    `${MOST_ATTEMPTS} claims in pool ${formatPrefix(prefix)} were lost to other hosts in a row; try again`,
  );
}
