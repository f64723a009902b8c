// ReleasePool: a join ends, and with the last one its pool. Every step compares what it was decided on, so that any
// process may finish what another began.
import { formatPrefix } from '../net/prefix.js';
import { IpamError } from './errors.js';
import {
  claimsOf,
  guardKey,
  holdersOf,
  joinKey,
  joinsOf,
  otherJoins,
  poolKey,
  poolsOf,
  type Subnet,
} from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import type { GuardRecord, PoolRecord } from './records.js';
import type { Releases } from './releases.js';
import type { Condition, Deadline, Found, Store, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import type { Views } from './views.js';

const MOST_ATTEMPTS = 64;
/** Keys one revision may remove: etcd 3.4 stays slow after larger ones. */
const CHUNK = 500;

export class PoolRemoval {
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

  /** Ends the join first, then what it holds, then the pool if it was the last one. False for unknown joins. */
  async release(ref: PoolRef, by: Deadline): Promise<boolean> {
    this.#views.drop(ref);
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const others = otherJoins(ref, ref.join);
      const [join, pool, before, behind, claims, holders, guard, pools] = await this.#store.read(
        [
          { one: joinKey(ref, ref.join) },
          { one: poolKey(ref) },
          { keys: others[0], limit: 1 },
          { keys: others[1], limit: 1 },
          { keys: claimsOf(ref), limit: 1 },
          { keys: holdersOf(ref), limit: 1 },
          { one: guardKey(ref.space) },
          { keys: poolsOf(ref.space), limit: 2 },
        ],
        by,
      );
      if (!join) {
        if (pool) await this.#tidy(ref, by);
        return false;
      }
      if (join.record.node !== this.#self.node) return false;
      const mine: Condition = { key: joinKey(ref, ref.join), version: join.version };
      const gone: Write = { remove: joinKey(ref, ref.join) };
      if (!pool || before.keys.length + behind.keys.length > 0) {
        const { done } = await this.#store.commit({ when: [mine], write: [gone], otherwise: [] }, by);
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
      if (claims.keys.length + holders.keys.length === 0) {
        const when = [...alone, { none: claimsOf(ref) }, { none: holdersOf(ref) }, ...guarded(ref, guard)];
        const write = [gone, { remove: poolKey(ref) }, this.#unguarding(ref, pools.keys.length === 1)];
        if ((await this.#store.commit({ when, write, otherwise: [] }, by)).done) return true;
        continue;
      }
      const closing = { put: poolKey(ref), record: { ...pool.record, state: 'closing', token: this.#around.token() } };
      const outcome = await this.#store.commit({ when: alone, write: [gone, closing], otherwise: [] }, by);
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
   * What an ended join leaves, also one that a process ended just before it died. The pool may have lost its last two
   * joins at the same instant, each taking the other for the one that stays.
   */
  async #tidy(ref: PoolRef, by: Deadline): Promise<void> {
    await this.#releases.purge(ref, by);
    await this.closeIfLeft(ref, by);
  }

  /** Removes a pool that has no join, or that is being removed already. True if it had to go. */
  async closeIfLeft(subnet: Subnet, by: Deadline): Promise<boolean> {
    const [pool, joins] = await this.#store.read([{ one: poolKey(subnet) }, { keys: joinsOf(subnet), limit: 1 }], by);
    if (!pool) return true;
    if (joins.keys.length > 0) return false;
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
    for (const span of [holdersOf(ref), claimsOf(ref)]) {
      for (;;) {
        const [now, { keys }] = await this.#store.read([{ one: poolKey(ref) }, { keys: span, limit: CHUNK }], by);
        if (now?.version !== pool.version) return;
        if (keys.length === 0) break;
        const chunk = { ...span, to: `${keys.at(-1)!}\0` };
        await this.#store.commit({ when: [closing], write: [{ removeAll: chunk }], otherwise: [] }, by);
      }
    }
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const [now, guard, pools] = await this.#store.read(
        [{ one: poolKey(ref) }, { one: guardKey(ref.space) }, { keys: poolsOf(ref.space), limit: 2 }],
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
      const write = [{ remove: poolKey(ref) }, this.#unguarding(ref, pools.keys.length === 1)];
      if ((await this.#store.commit({ when, write, otherwise: [] }, by)).done) return;
    }
    throw new IpamError(
      'contended',
      `pool ${formatPrefix(ref.prefix)} could not be closed in ${MOST_ATTEMPTS} attempts`,
    );
  }

  /** The guard goes with the last pool of its space: no guard and no pool are one state. */
  #unguarding(subnet: Subnet, last: boolean): Write {
    return last ? { remove: guardKey(subnet.space) } : guarding(subnet, this.#around.token());
  }
}

/** That the set of the space's pools is as it was. */
export function guarded({ space }: Subnet, guard: Found<GuardRecord> | undefined): Condition[] {
  return [{ key: guardKey(space), version: guard?.version ?? null }];
}

/** That the set of the space's pools changes. */
export function guarding({ space }: Subnet, token: string): Write {
  return { put: guardKey(space), record: { token } };
}
