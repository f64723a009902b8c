// One claim as one transaction: what it writes, what it compares, and how it is taken back. Knows no way to choose.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix, intersect, type Range, rangeOf, usable } from '../net/prefix.js';
import type { Purpose, Verdict } from './decide.js';
import { InDoubtError, IpamError } from './errors.js';
import type { Grant } from './grant.js';
import { formatInstant } from './instant.js';
import { claimKey, holderKey, joinOf, poolKey } from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import type { ClaimRecord, HolderRecord, PoolRecord } from './records.js';
import type { Releases } from './releases.js';
import { NO_RULES } from './rules.js';
import { isGlobal } from './spaces.js';
import type { Change, Condition, Deadline, Found, Outcome, Query, Store, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { past } from './tenures.js';
import type { Granted, Sharing, Undos } from './undos.js';
import { standing, type View, type Views } from './views.js';

/** No call comes to so many before its deadline, unless something of ours is wrong: then it is told and not an endless load. */
export const MOST_ATTEMPTS = 1_000;

/** What a leader gives is the swarm's, and no node's. */
const NOBODY: Partial<Pick<Self, 'node' | 'boot'>> = {};

export interface AddressAsk {
  readonly pool: PoolRef;
  readonly address?: Address | undefined;
  readonly purpose: Purpose;
  readonly name?: string | undefined;
  readonly mac?: string | undefined;
  /** The join of the sibling pool that the leader named. */
  readonly through?: string | undefined;
}

/** What one transaction would write for a claim, and what it replaces. */
export interface Plan {
  readonly address: Address;
  readonly claim: ClaimRecord;
  readonly prior?: Found<ClaimRecord> | undefined;
  readonly evidence?: readonly Condition[] | undefined;
  readonly holder?: Sharing;
  readonly token: string;
}

export class Claiming {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #views: Views;
  readonly #releases: Releases;
  readonly #undos: Undos;

  constructor(store: Store, self: Self, around: Surroundings, views: Views, releases: Releases, undos: Undos) {
    this.#undos = undos;
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
    const token = this.#around.token();
    const since = formatInstant(this.#around.now());
    const { epoch } = ask.pool;
    const { node, boot } = epoch === undefined ? this.#self : NOBODY;
    const role =
      verdict.kind === 'share' ? verdict.role : purpose === 'gateway' || purpose === 'aux' ? purpose : undefined;
    const replaced = verdict.kind === 'share' || verdict.kind === 'take' ? verdict.claim : undefined;
    const from = 'from' in verdict ? verdict.from : undefined;
    const evidence = 'evidence' in verdict ? verdict.evidence : undefined;
    if (role) {
      const kept = verdict.kind === 'share' ? verdict.claim.record.since : since;
      const former = verdict.kind === 'share' && verdict.former ? { former: verdict.former } : {};
      const holder = { record: { role, node, boot, epoch, since, token }, ...(prior && { prior }), ...former };
      return { address, claim: { kind: 'shared', from, since: kept, token }, holder, token, prior: replaced, evidence };
    }
    const onSwarm = purpose === 'swarm' || ('onSwarm' in verdict && verdict.onSwarm);
    const kind = onSwarm ? 'swarm' : purpose === 'unsure' ? 'unsure' : 'endpoint';
    const { name, mac, through } = ask;
    const claim: ClaimRecord = { kind, node, boot, join: ask.pool.join, epoch, through, name, mac, from, since, token };
    return { address, claim, token, prior: replaced, evidence };
  }

  /** `own`: lost to what this process itself has given. */
  async commit<const Q extends readonly Query[]>(
    ask: AddressAsk,
    view: View,
    plan: Plan,
    otherwise: Q,
    by: Deadline,
    brief = false,
  ): Promise<Outcome<Q> & { readonly own?: boolean }> {
    const { pool } = ask;
    const key = claimKey(pool, plan.address);
    const write: Write[] = [{ put: key, record: plan.claim }];
    if (plan.holder) write.push({ put: holderKey(pool, plan.address, pool.join), record: plan.holder.record });
    for (const { key } of plan.holder?.former ?? []) write.push({ remove: holderKey(pool, plan.address, joinOf(key)) });
    write.push(...this.#replacing(plan));
    const changed = poolAfter(ask, view, plan);
    if (changed) write.push({ put: poolKey(pool), record: changed });
    const change: Change<Q> = {
      when: [...standing(view, pool), { key, version: plan.prior?.version ?? null }, ...(plan.evidence ?? [])],
      write,
      otherwise,
      brief,
      // Others rewrite a shared claim at any time, but nobody the record of our own part in it.
      witness: { key: plan.holder ? holderKey(pool, plan.address, pool.join) : key, token: plan.token },
    };
    const own = this.#releases.begin(key);
    try {
      const outcome = await this.#store.commit(change, by);
      if (outcome.done && changed)
        this.#views.set(pool, { ...view.pool, record: changed, version: outcome.version }, view.join);
      if (outcome.done && !plan.holder && !isGlobal(pool.space))
        this.#releases.gave({ key: key.key, record: plan.claim, version: outcome.version });
      return own && !outcome.done ? { ...outcome, own } : outcome;
    } catch (error) {
      if (error instanceof InDoubtError) this.#undos.undoAfter(error.settled, this.#grantedBy(ask, view, plan));
      throw error;
    }
  }

  /** Those who had it before have had it. */
  #replacing({ prior, holder, claim }: Plan): Write[] {
    if (!prior && !holder) return [];
    const own = prior?.record.join === claim.join && prior?.record.node === claim.node;
    return [
      ...past(prior, own ? 'renewed' : 'taken', this.#self, this.#around),
      ...past(holder?.prior, 'renewed', this.#self, this.#around),
      ...(holder?.former ?? []).flatMap((former) => past(former, 'taken', this.#self, this.#around)),
    ];
  }

  granted(ask: AddressAsk, view: View, plan: Plan, attempts: number, races: number): Grant<Address> {
    const undo = (by: Deadline) => this.#undos.undo(this.#grantedBy(ask, view, plan), by);
    const within = ask.through === undefined ? undefined : ask.pool.prefix;
    return { reply: plan.address, within, from: plan.claim.from, token: plan.token, attempts, races, undo };
  }

  #grantedBy({ pool }: AddressAsk, view: View, plan: Plan): Granted {
    const { incarnation } = view.pool.record;
    return { ...plan, pool, ...(incarnation !== undefined && { incarnation }) };
  }
}

/** What the dynamic choice of a join is limited to. */
export function choices({ prefix, range }: PoolRef): Range {
  return range ? intersect(rangeOf(range), usable(prefix)) : usable(prefix);
}

/** The pool's record, if the claim changes it. */
function poolAfter(ask: AddressAsk, view: View, { address, holder, token }: Plan): PoolRecord | undefined {
  const { record } = view.pool;
  const chosen = holder?.record.role === 'gateway' ? formatAddress(address) : undefined;
  const led = chosen !== undefined && record.gateway !== chosen && mayLead(ask, view);
  const stage = stageAfter(record.stage, holder !== undefined);
  if (!led && stage === record.stage) return undefined;
  const { state, ...rest } = record;
  // In one order of fields, whether the record was just read or is remembered: etcdctl shows it.
  const first = { state, ...(led && { gateway: chosen }) };
  return { ...first, ...rest, ...first, ...(stage && { stage }), token };
}

/** Whoever asks for more than the gateway was given that: from then on the end of the epoch is the network's end. */
function stageAfter(stage: PoolRecord['stage'], gateway: boolean): PoolRecord['stage'] {
  if (stage === undefined || !gateway) return stage && 'served';
  return stage === 'new' ? 'asked' : stage;
}

/** An explicit gateway does not replace the one that networks without a `--gateway` already got. */
function mayLead(ask: AddressAsk, { pool }: View): boolean {
  return pool.record.gateway === undefined || ask.address === undefined;
}

export function named({ name, mac }: AddressAsk): { name?: string; mac?: string } {
  return { ...(name !== undefined && { name }), ...(mac !== undefined && { mac }) };
}

export function exhausted(pool: PoolRef, rules = NO_RULES): IpamError {
  const { prefix, range } = pool;
  const all = choices(pool);
  const size = all.to - all.from + 1n;
  const where = range ? `range ${formatPrefix(range)} of pool ${formatPrefix(prefix)}` : `pool ${formatPrefix(prefix)}`;
  const { excluded, reserved } = rules.countIn(all);
  const barred = [excluded > 0n && `${excluded} excluded`, reserved > 0n && `${reserved} reserved`];
  const ruled = barred.filter(Boolean).join(' and ');
  const why = ruled ? `of ${size} addresses ${ruled}, all others in use` : `all ${size} are in use`;
  return new IpamError('pool_exhausted', `no address left in ${where}: ${why}`);
}

export function contended({ prefix }: PoolRef): IpamError {
  return new IpamError(
    'contended',
    `${MOST_ATTEMPTS} claims in pool ${formatPrefix(prefix)} were lost to other hosts in a row; try again`,
  );
}
