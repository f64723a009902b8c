// Giving addresses back: ReleaseAddress, and what a join leaves behind.
import { type Address, BITS } from '../net/address.js';
import { contains, overlaps } from '../net/prefix.js';
import { type HeldChange, Holding } from './holding.js';
import {
  addressOfClaim,
  addressOfHolder,
  claimKey,
  claimsOf,
  holdersOf,
  joinKey,
  joinOf,
  joinsOf,
  poolKey,
  type Subnet,
} from './keyspace.js';
import { all, nearestPool } from './pages.js';
import type { PoolRef } from './pool-id.js';
import { KeyedQueue } from './queue.js';
import type { ClaimRecord, Ending } from './records.js';
import { freeing } from './resting.js';
import { isGlobal } from './spaces.js';
import type { Deadline, Found, Store, Version, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { past } from './tenures.js';

/** Claims that are remembered. What is forgotten is looked at when it is given back. */
const MOST_GIVEN = 4_096;
/** Removals in one transaction: of each it is kept who had it, and etcd takes 128 operations. */
const CHUNK = 60;

export class Releases {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #holding: Holding;
  readonly #queue = new KeyedQueue();
  /** What this process gave to containers, as it wrote it and has not touched since: mostly that is what they give back. */
  readonly #given = new Map<string, Found<ClaimRecord>>();
  /** One and the same, since a new one would walk past all that has been deleted before it comes to the oldest that is left. */
  readonly #oldest = this.#given.keys();
  #origin: Version | undefined;

  constructor(store: Store, self: Self, around: Surroundings) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#holding = new Holding(store, around);
  }

  /** A revision older than all that this process wrote of addresses; undefined while it has written nothing. */
  get origin(): Version | undefined {
    return this.#origin;
  }

  /** Told before this process changes a claim, once the store has answered something. True if it was remembered. */
  begin({ key }: { readonly key: string }): boolean {
    this.#origin ??= this.#store.seen();
    return this.#given.delete(key);
  }

  /** Told of a claim that nobody shares, once it is written. */
  gave(claim: Found<ClaimRecord>): void {
    this.#given.set(claim.key, claim);
    if (this.#given.size > MOST_GIVEN) this.#given.delete(this.#oldest.next().value!);
  }

  /** Requests by number, releases and undos of one address, one at a time. */
  queued<T>(pool: Subnet, address: Address, task: () => Promise<T>): Promise<T> {
    return this.#queue.run(claimKey(pool, address).key, task);
  }

  /**
   * Frees what the join holds of the address, if anything, and only if written no later than `known`, or else than what the
   * first look met: what came after the release was asked for is somebody else's. True if something was freed.
   */
  async release(
    pool: PoolRef,
    address: Address,
    known: () => Version | undefined,
    by: Deadline,
    how: Ending = 'released',
  ): Promise<boolean> {
    const owner = contains(pool.prefix, address) ? pool : await this.#sibling(pool, address, by);
    return owner ? this.queued(owner, address, () => this.#release(owner, address, known, by, how)) : false;
  }

  /** A leader gives an address back by the pool through which it had asked for it. */
  async #sibling({ space, join }: PoolRef, address: Address, by: Deadline): Promise<PoolRef | undefined> {
    const pool = await poolAround(this.#store, space, address, by);
    const [claim] = pool ? await this.#store.read([{ one: claimKey(pool, address) }], by) : [];
    if (!pool || claim?.record.through !== join || claim.record.join === undefined) return undefined;
    return { ...pool, epoch: claim.record.epoch ?? 0, join: claim.record.join };
  }

  /** Frees all that an ended join still holds. The engine does not release gateway and aux after a failed create. */
  async purge(pool: PoolRef, by: Deadline): Promise<void> {
    for await (const { key } of all(this.#store, holdersOf(pool), by)) {
      if (joinOf(key) === pool.join) await this.release(pool, addressOfHolder(key), () => undefined, by, 'left');
    }
    let chunk: Found<ClaimRecord>[] = [];
    for await (const claim of all(this.#store, claimsOf(pool), by)) {
      if (claim.record.join !== pool.join) continue;
      if (claim.record.guessed && (await this.#handedOver(pool, claim, by))) continue;
      chunk.push(claim);
      if (chunk.length === CHUNK) {
        await this.#removeClaims(pool, chunk, by);
        chunk = [];
      }
    }
    if (chunk.length > 0) await this.#removeClaims(pool, chunk, by);
  }

  /**
   * An engine removes no network with a container on it, so the one that has this claim is on another network of the subnet.
   * False if the node has none.
   */
  async #handedOver(pool: PoolRef, { key, version, record }: Found<ClaimRecord>, by: Deadline): Promise<boolean> {
    const claim = claimKey(pool, addressOfClaim(key));
    for await (const other of all(this.#store, joinsOf(pool), by)) {
      const join = joinOf(other.key);
      if (other.record.node !== this.#self.node || join === pool.join) continue;
      const when = [
        { key: claim, version },
        { key: joinKey(pool, join), version: other.version },
      ];
      const write = [{ put: claim, record: { ...record, join, token: this.#around.token() } }];
      if ((await this.#store.commit({ when, write, otherwise: [], signed: true }, by)).done) return true;
    }
    return false;
  }

  #release(
    pool: PoolRef,
    address: Address,
    known: () => Version | undefined,
    by: Deadline,
    how: Ending,
    rest: Pick<Self, 'restMs'> = this.#self,
  ): Promise<boolean> {
    const key = claimKey(pool, address);
    const given = how === 'released' && known() === undefined ? this.#given.get(key.key) : undefined;
    const remembered = given?.record.join === pool.join ? given : undefined;
    this.#given.delete(key.key);
    let met: Version | undefined;
    return this.#holding.change(
      pool,
      address,
      async (claim, held) => {
        const mine = held.holders.find(({ key }) => joinOf(key) === pool.join);
        const own = mine ?? (claim.record.join === pool.join ? claim : undefined);
        if (!held.remembered) met ??= held.before ?? own?.version;
        // Removed with its answer lost, the address may have been given again, through the same join, before the next look.
        if (!own || isNewer(own.version, known() ?? met)) return undefined;
        // What networks share goes with the last of them, and does not rest.
        const write = [
          ...(mine ? this.#holding.withoutHolder(pool, address, held) : [freeing(key, rest, this.#around)]),
          ...past(own, how, this.#self, this.#around),
        ];
        if (isGlobal(pool.space)) return this.#byLeader(pool, mine !== undefined, write, by);
        return own.record.node === this.#self.node ? { when: [], write, signed: true } : undefined;
      },
      by,
      remembered,
    );
  }

  /**
   * That the epoch rules: a former one frees nothing, for what it gave is the next one's to ask for. The gateway of one that
   * has not served stays, for the epoch before may rule again; engines give it back in a start that fails too.
   */
  async #byLeader(pool: PoolRef, shared: boolean, freeing: Write[], by: Deadline): Promise<HeldChange | undefined> {
    const [join, record] = await this.#store.read([{ one: joinKey(pool, pool.join) }, { one: poolKey(pool) }], by);
    if (!join || record?.record.leader !== pool.join) return undefined;
    const rules = { key: join, version: join.version };
    if (!shared || record.record.stage === 'served' || !join.record.replaces)
      return { when: [rules], write: freeing, signed: true };
    if (join.record.left) return undefined;
    const left: Write = { put: joinKey(pool, pool.join), record: { ...join.record, left: true } };
    return { when: [rules, { key: record, version: record.version }], write: [left], signed: true };
  }

  async #removeClaims(pool: PoolRef, claims: readonly Found<ClaimRecord>[], by: Deadline): Promise<void> {
    const keys = claims.map(({ key, version }) => ({ key: claimKey(pool, addressOfClaim(key)), version }));
    const outcome = await this.#store.commit(
      {
        when: keys,
        write: [
          ...keys.map(({ key }): Write => ({ remove: key })),
          ...claims.flatMap((claim) => past(claim, 'left', this.#self, this.#around)),
        ],
        otherwise: [],
        signed: true,
      },
      by,
    );
    if (outcome.done) return;
    for (const { key } of claims) {
      const address = addressOfClaim(key);
      await this.queued(pool, address, () => this.#release(pool, address, () => undefined, by, 'left', {}));
    }
  }
}

/** The pool of the space that holds the address. */
export async function poolAround(
  store: Store,
  space: string,
  { family, value }: Address,
  by: Deadline,
): Promise<Subnet | undefined> {
  const only = { family, first: value, length: BITS[family] };
  const { nearest } = await nearestPool(store, { space, prefix: only }, [], by);
  return nearest && overlaps(nearest.prefix, only) ? nearest : undefined;
}

function isNewer(version: Version, known: Version | undefined): boolean {
  return known !== undefined && BigInt(version) > BigInt(known);
}
