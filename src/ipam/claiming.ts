// One claim as one transaction: what it writes, what it compares, and how it is taken back. Knows no way to choose.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix, intersect, type Range, rangeOf, usable } from '../net/prefix.js';
import type { Purpose, Verdict } from './decide.js';
import { InDoubtError, IpamError } from './errors.js';
import type { Grant } from './grant.js';
import { claimKey, holderKey, nodeKey, poolKey } from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import type { ClaimRecord, HolderRecord, PoolRecord } from './records.js';
import type { Releases } from './releases.js';
import type { Change, Condition, Deadline, Found, Query, Store, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { standing, type View, type Views } from './views.js';

/** More lost races in one call than this, and the caller is told rather than kept waiting. */
export const MOST_ATTEMPTS = 64;

export interface AddressAsk {
  readonly pool: PoolRef;
  readonly address?: Address;
  readonly purpose: Purpose;
  readonly name?: string;
  readonly mac?: string;
}

/** What one transaction would write for a claim, and what it replaces. */
export interface Plan {
  readonly address: Address;
  readonly claim: ClaimRecord;
  readonly prior?: Found<ClaimRecord>;
  readonly evidence?: Condition;
  readonly holder?: { readonly record: HolderRecord; readonly prior?: Found<HolderRecord> };
  readonly token: string;
}

export class Claiming {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #views: Views;
  readonly #releases: Releases;

  constructor(store: Store, self: Self, around: Surroundings, views: Views, releases: Releases) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#views = views;
    this.#releases = releases;
  }

  /** `prior`: our own part in the shared address, should it have one already. */
  plan(
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

  async commit<const Q extends readonly Query[]>(ask: AddressAsk, view: View, plan: Plan, otherwise: Q, by: Deadline) {
    const { pool } = ask;
    const key = claimKey(pool, plan.address);
    const write: Write[] = [{ put: key, record: plan.claim }];
    if (plan.holder) write.push({ put: holderKey(pool, plan.address, pool.join), record: plan.holder.record });
    const chosen = formatAddress(plan.address);
    if (plan.holder?.record.role === 'gateway' && view.pool.record.gateway !== chosen && mayLead(ask, view)) {
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

  granted(ask: AddressAsk, plan: Plan, attempts: number): Grant<Address> {
    const undo = (by: Deadline) => this.#releases.undo({ ...plan, pool: ask.pool }, by);
    return { reply: plan.address, token: plan.token, attempts, undo };
  }
}

/** What the dynamic choice of a join is limited to. */
export function choices({ prefix, range }: PoolRef): Range {
  return range ? intersect(rangeOf(range), usable(prefix)) : usable(prefix);
}

/** An explicit gateway does not replace the one that networks without a `--gateway` already got. */
function mayLead(ask: AddressAsk, { pool }: View): boolean {
  return pool.record.gateway === undefined || ask.address === undefined;
}

export function named({ name, mac }: AddressAsk): { name?: string; mac?: string } {
  return { ...(name !== undefined && { name }), ...(mac !== undefined && { mac }) };
}

export function exhausted(pool: PoolRef): IpamError {
  const { prefix, range } = pool;
  const { from, to } = choices(pool);
  const where = range ? `range ${formatPrefix(range)} of pool ${formatPrefix(prefix)}` : `pool ${formatPrefix(prefix)}`;
  return new IpamError('pool_exhausted', `no address left in ${where}: all ${to - from + 1n} are in use`);
}

export function contended({ prefix }: PoolRef): IpamError {
  return new IpamError(
    'contended',
    `${MOST_ATTEMPTS} claims in pool ${formatPrefix(prefix)} were lost to other hosts in a row; try again`,
  );
}
