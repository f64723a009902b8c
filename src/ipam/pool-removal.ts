// ReleasePool: a join ends, and with the last one its pool; an epoch that has not served goes back to the one before. Every
// step compares what it was decided on, so that any process may finish what another began.
import { formatPrefix } from '../net/prefix.js';
import { IpamError } from './errors.js';
import { hasFormer } from './gateways.js';
import {
  addressOfHolder,
  claimsOf,
  guardKey,
  holderKey,
  holdersOf,
  joinKey,
  joinOf,
  joinsOf,
  otherJoins,
  poolKey,
  poolsOfFamily,
  type Subnet,
} from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import {
  type ClaimRecord,
  decodeHolder,
  type GuardRecord,
  type HolderRecord,
  type JoinRecord,
  type PoolRecord,
} from './records.js';
import type { Releases } from './releases.js';
import { isResting } from './resting.js';
import { isGlobal } from './spaces.js';
import type { Condition, Deadline, Found, Span, Store, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { past } from './tenures.js';
import type { Terms } from './terms.js';
import type { Undos } from './undos.js';
import type { Views } from './views.js';

const MOST_ATTEMPTS = 64;
/** That many addresses that rest go in the transaction that ends the pool. */
const FEW = 100;
/** Keys one revision may remove: etcd 3.4 stays slow after larger ones. */
const CHUNK = 500;

export class PoolRemoval {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #views: Views;
  readonly #releases: Releases;
  readonly #terms: Terms;
  readonly #undos: Pick<Undos, 'ended'> | undefined;

  constructor(
    store: Store,
    self: Self,
    around: Surroundings,
    views: Views,
    releases: Releases,
    terms: Terms,
    undos?: Pick<Undos, 'ended'>,
  ) {
    this.#terms = terms;
    this.#undos = undos;
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#views = views;
    this.#releases = releases;
  }

  /** Ends the join first, then what it holds, then the pool if it was the last one. False for unknown joins. */
  async release(ref: PoolRef, by: Deadline): Promise<boolean> {
    this.#views.drop(ref);
    this.#terms.ended(ref);
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const others = otherJoins(ref, ref.join);
      const [join, pool, before, behind, claims, holders, guard, ...pools] = await this.#store.read(
        [
          { one: joinKey(ref, ref.join) },
          { one: poolKey(ref) },
          { keys: others[0], limit: 1 },
          { keys: others[1], limit: 1 },
          { span: claimsOf(ref), limit: FEW },
          { keys: holdersOf(ref), limit: 1 },
          { one: guardKey(ref.space) },
          ...inFamily(ref),
        ],
        by,
      );
      if (!join) {
        if (pool) await this.#tidy(ref, by);
        return false;
      }
      if (join.record.node !== this.#self.node) return false;
      const { replaces, left } = join.record;
      // Nothing of what former epochs gave ends with one that has not served.
      if (pool?.record.stage !== 'served' && isGlobal(ref.space)) {
        const former = await hasFormer(ref, this.#store, by);
        if (former && !replaces) return false;
        if (pool && replaces && (former || !left)) {
          if (await this.#goBack(ref, pool, join, by)) return true;
          continue;
        }
      }
      const mine: Condition = { key: joinKey(ref, ref.join), version: join.version };
      const gone: Write = { remove: joinKey(ref, ref.join) };
      if (!pool || before.keys.length + behind.keys.length > 0) {
        const { done } = await this.#store.commit({ when: [mine], write: [gone], otherwise: [], signed: true }, by);
        if (!done) continue;
        await this.#tidy(ref, by);
        return true;
      }
      const alone: Condition[] = [
        mine,
        { key: poolKey(ref), version: pool.version },
        { none: others[0] },
        { none: others[1] },
      ];
      if (!claims.more && claims.found.every(isResting) && holders.keys.length === 0) {
        // Whatever claim comes in between is of this join, and ends with it.
        const rest = claims.found.length > 0 ? [{ removeAll: claimsOf(ref) }] : [];
        const nothing = claims.found.length > 0 ? [] : [{ none: claimsOf(ref) }];
        const when = [...alone, ...nothing, { none: holdersOf(ref) }, ...guarded(ref, guard)];
        const write = [gone, { remove: poolKey(ref) }, ...rest, this.#unguarding(ref, isLast(pools))];
        if ((await this.#store.commit({ when, write, otherwise: [], signed: true }, by)).done) return true;
        continue;
      }
      const closing = { put: poolKey(ref), record: { ...pool.record, state: 'closing', token: this.#around.token() } };
      const change = { when: alone, write: [gone, closing], otherwise: [], signed: true } as const;
      const outcome = await this.#store.commit(change, by);
      if (!outcome.done) continue;
      await this.closeIfLeft(ref, by);
      return true;
    }
    throw new IpamError(
      'contended',
      `pool ${formatPrefix(ref.prefix)} changed ${MOST_ATTEMPTS} times while it was released`,
    );
  }

  /**
   * The epoch before rules again, and has what this one shared. The count of epochs stays: none comes twice. A leader that
   * fails to start, or a request that nobody received, thus takes nothing from the tasks that run.
   */
  async #goBack(ref: PoolRef, pool: Found<PoolRecord>, join: Found<JoinRecord>, by: Deadline): Promise<boolean> {
    const before = join.record.replaces!;
    const holders = { ...holdersOf(ref), decode: decodeHolder };
    const [{ found }] = await this.#store.read([{ span: holders, limit: 0 }], by);
    const own = found.filter(({ key }) => joinOf(key) === ref.join);
    const { join: leader, stage } = before;
    const record: PoolRecord = { ...pool.record, leader, stage, token: this.#around.token() };
    const { epoch } = before.record as JoinRecord;
    const outcome = await this.#store.commit(
      {
        when: [
          { key: joinKey(ref, ref.join), version: join.version },
          { key: poolKey(ref), version: pool.version },
          ...own.map(({ key, version }) => ({ key: holderKey(ref, addressOfHolder(key), ref.join), version })),
        ],
        write: [
          { remove: joinKey(ref, ref.join) },
          { put: joinKey(ref, before.join), record: before.record },
          { put: poolKey(ref), record },
          ...own.flatMap(({ key, record }): Write[] => [
            { remove: holderKey(ref, addressOfHolder(key), ref.join) },
            { put: holderKey(ref, addressOfHolder(key), before.join), record: { ...record, epoch } },
          ]),
        ],
        otherwise: [],
        signed: true,
      },
      by,
    );
    return outcome.done;
  }

  /**
   * What an ended join leaves, also one that a process ended just before it died. The pool may have lost its last two
   * joins at the same instant, each taking the other for the one that stays. A former epoch leaves nothing: what it gave
   * is the swarm's.
   */
  async #tidy(ref: PoolRef, by: Deadline): Promise<void> {
    if (!isGlobal(ref.space)) {
      await this.#undos?.ended(ref, by);
      await this.#releases.purge(ref, by);
    }
    await this.closeIfLeft(ref, by);
  }

  /**
   * Removes a pool that has no join, or that is being removed already. True if it had to go. An open pool of a global space
   * has one; should somebody have removed that by hand, what it gave is the swarm's all the same.
   */
  async closeIfLeft(subnet: Subnet, by: Deadline): Promise<boolean> {
    const [pool, joins] = await this.#store.read([{ one: poolKey(subnet) }, { keys: joinsOf(subnet), limit: 1 }], by);
    if (!pool) return true;
    if (joins.keys.length > 0 || (pool.record.state === 'open' && isGlobal(subnet.space))) return false;
    let closing = pool;
    if (pool.record.state === 'open') {
      const record: PoolRecord = { ...pool.record, state: 'closing', token: this.#around.token() };
      const when = [{ key: poolKey(subnet), version: pool.version }, { none: joinsOf(subnet) }];
      const outcome = await this.#store.commit({ when, write: [{ put: poolKey(subnet), record }], otherwise: [] }, by);
      if (!outcome.done) return this.closeIfLeft(subnet, by);
      closing = { ...pool, record, version: outcome.version };
    }
    await this.#close(subnet, closing, by);
    return true;
  }

  /** Finishes a removal that anybody began: leftovers in chunks, then the record. All of it compares `closing`. */
  async #close(ref: Subnet, pool: Found<PoolRecord>, by: Deadline): Promise<void> {
    const closing: Condition = { key: poolKey(ref), version: pool.version };
    for (const span of [holdersOf(ref), claimsOf(ref)] as readonly Span<ClaimRecord | HolderRecord>[]) {
      for (;;) {
        const [now, { found }] = await this.#store.read([{ one: poolKey(ref) }, { span, limit: CHUNK }], by);
        if (now?.version !== pool.version) return;
        if (found.length === 0) break;
        const { last, writes } = this.#ending(found);
        const chunk = { ...span, to: `${last}\0` };
        await this.#store.commit({ when: [closing], write: [{ removeAll: chunk }, ...writes], otherwise: [] }, by);
      }
    }
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const [now, guard, ...pools] = await this.#store.read(
        [{ one: poolKey(ref) }, { one: guardKey(ref.space) }, ...inFamily(ref)],
        by,
      );
      if (now?.version !== pool.version) return;
      const when = [
        closing,
        ...guarded(ref, guard),
        { none: claimsOf(ref) },
        { none: holdersOf(ref) },
        { none: joinsOf(ref) },
      ];
      const write = [{ remove: poolKey(ref) }, this.#unguarding(ref, isLast(pools))];
      if ((await this.#store.commit({ when, write, otherwise: [] }, by)).done) return;
    }
    throw new IpamError(
      'contended',
      `pool ${formatPrefix(ref.prefix)} could not be closed in ${MOST_ATTEMPTS} attempts`,
    );
  }

  /** As many of them as one transaction can also keep who had them. */
  #ending(found: readonly Found<ClaimRecord | HolderRecord>[]): { last: string; writes: Write[] } {
    const writes: Write[] = [];
    let last = '';
    for (const one of found) {
      if (writes.length >= FEW) break;
      writes.push(...past(one, 'left', this.#self, this.#around));
      last = one.key;
    }
    return { last, writes };
  }

  /** The guard goes with the last pool of its family: no guard and no pool are one state. */
  #unguarding(subnet: Subnet, last: boolean): Write {
    return last ? { remove: guardKey(subnet.space) } : guarding(subnet, this.#around.token());
  }
}

/** Two pools of each kind of the family's spaces, at most. */
function inFamily({ space }: Subnet) {
  const [local, global, swarms] = poolsOfFamily(space);
  return [
    { keys: local, limit: 2 },
    { keys: global, limit: 2 },
    { keys: swarms, limit: 2 },
  ] as const;
}

function isLast(pools: readonly { readonly keys: readonly string[] }[]): boolean {
  return pools.reduce((sum, { keys }) => sum + keys.length, 0) === 1;
}

/** That the set of the family's pools is as it was. */
export function guarded({ space }: Subnet, guard: Found<GuardRecord> | undefined): Condition[] {
  return [{ key: guardKey(space), version: guard?.version ?? null }];
}

/** That the set of the family's pools changes. */
export function guarding({ space }: Pick<Subnet, 'space'>, token: string): Write {
  return { put: guardKey(space), record: { token } };
}
