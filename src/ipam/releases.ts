// Giving addresses back: ReleaseAddress, the undo of a grant that nobody received, and what a join leaves behind.
// Every removal compares the very record it was decided on, so that it is harmless however late it lands.
import { type Address, BITS, formatAddress } from '../net/address.js';
import { contains, formatPrefix, overlaps } from '../net/prefix.js';
import type { Backlog } from './backlog.js';
import { IpamError } from './errors.js';
import {
  addressOfClaim,
  addressOfHolder,
  claimKey,
  claimsOf,
  holderKey,
  holdersAt,
  holdersOf,
  joinKey,
  joinOf,
  poolKey,
  poolsUpTo,
  type Subnet,
  subnetOfPool,
} from './keyspace.js';
import { all } from './pages.js';
import type { PoolRef } from './pool-id.js';
import { KeyedQueue } from './queue.js';
import type { ClaimRecord, HolderRecord } from './records.js';
import { isGlobal } from './spaces.js';
import type { Condition, Deadline, Found, Store, Version, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';

const MOST_ATTEMPTS = 64;
/** Removals in one transaction: each needs a compare as well, and etcd takes 128 of either. */
const CHUNK = 100;
const MOST_UNDONE = 10_000;

/** A grant as its undo needs to know it. */
export interface Granted {
  readonly pool: PoolRef;
  readonly address: Address;
  readonly token: string;
  readonly prior?: Found<ClaimRecord>;
  readonly holder?: Sharing;
  /** Of a global pool. */
  readonly incarnation?: string;
}

/** A join's part in a shared address. `prior`: what it was before; `former`: those of ended epochs, which it replaced. */
export interface Sharing {
  readonly record: HolderRecord;
  readonly prior?: Found<HolderRecord>;
  readonly former?: readonly Found<HolderRecord>[];
}

interface Standing {
  readonly claim: Found<ClaimRecord> | undefined;
  readonly holders: readonly Found<HolderRecord>[];
}

/** What a change of an address rests on and does besides. */
interface Ruling {
  readonly when: readonly Condition[];
  readonly write: readonly Write[];
}

interface Heir {
  readonly restored?: object;
  readonly former: readonly Found<HolderRecord>[];
  readonly when: readonly Condition[];
}

/** A node's own release rests on nothing but the claim. */
const ALONE: Ruling = { when: [], write: [] };

export class Releases {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #backlog: Backlog;
  readonly #queue = new KeyedQueue();
  #origin: Version | undefined;
  /**
   * Tokens of grants taken back after a later grant had replaced them, with what these had replaced: nobody holds them, so
   * whoever would put one back puts that back instead.
   */
  readonly #undone = new Map<string, Found<ClaimRecord | HolderRecord> | undefined>();

  constructor(store: Store, self: Self, around: Surroundings, backlog: Backlog) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#backlog = backlog;
  }

  /** A revision older than all that this process wrote of addresses; undefined while it has written nothing. */
  get origin(): Version | undefined {
    return this.#origin;
  }

  /** Told before a claim is written, once the store has answered something. */
  begin(): void {
    this.#origin ??= this.#store.seen();
  }

  /** Requests by number, releases and undos of one address, one at a time. */
  queued<T>(pool: Subnet, address: Address, task: () => Promise<T>): Promise<T> {
    return this.#queue.run(claimKey(pool, address).key, task);
  }

  /**
   * Frees what the join holds of the address, if anything, and only if written no later than `known`: what came after
   * the release was asked for is somebody else's. True if something was freed.
   */
  async release(pool: PoolRef, address: Address, known: () => Version | undefined, by: Deadline): Promise<boolean> {
    const owner = contains(pool.prefix, address) ? pool : await this.#sibling(pool, address, by);
    return owner ? this.queued(owner, address, () => this.#release(owner, address, known, by)) : false;
  }

  /** A leader gives an address back by the pool through which it had asked for it. */
  async #sibling({ space, join }: PoolRef, address: Address, by: Deadline): Promise<PoolRef | undefined> {
    const pool = await poolAround(this.#store, space, address, by);
    const [claim] = pool ? await this.#store.read([{ one: claimKey(pool, address) }], by) : [];
    if (!pool || claim?.record.through !== join || claim.record.join === undefined) return undefined;
    return { ...pool, epoch: claim.record.epoch ?? 0, join: claim.record.join };
  }

  /** Takes the grant back unless another has replaced it. Waits its turn. */
  undo(granted: Granted, by: Deadline): Promise<void> {
    return this.queued(granted.pool, granted.address, () => this.#undo(granted, by));
  }

  /** Whatever the doubt turns out to be: a later grant may have replaced this one, and must not bring it back. */
  undoAfter(settled: Promise<unknown>, granted: Granted): void {
    const { pool, address } = granted;
    this.#backlog.add(`undo of ${formatAddress(address)} in ${formatPrefix(pool.prefix)}`, async (by) => {
      await settled;
      await this.undo(granted, by);
    });
  }

  /** Frees all that an ended join still holds. The engine does not release gateway and aux after a failed create. */
  async purge(pool: PoolRef, by: Deadline): Promise<void> {
    for await (const { key } of all(this.#store, holdersOf(pool), by)) {
      if (joinOf(key) === pool.join) await this.release(pool, addressOfHolder(key), () => undefined, by);
    }
    let chunk: Found<ClaimRecord>[] = [];
    for await (const claim of all(this.#store, claimsOf(pool), by)) {
      if (claim.record.join !== pool.join) continue;
      chunk.push(claim);
      if (chunk.length === CHUNK) {
        await this.#removeClaims(pool, chunk, by);
        chunk = [];
      }
    }
    if (chunk.length > 0) await this.#removeClaims(pool, chunk, by);
  }

  async #release(pool: PoolRef, address: Address, known: () => Version | undefined, by: Deadline): Promise<boolean> {
    let seen = await this.#see(pool, address, by);
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const { claim } = seen;
      if (!claim) return false;
      const mine = seen.holders.find(({ key }) => joinOf(key) === pool.join);
      const held = mine ?? (claim.record.join === pool.join ? claim : undefined);
      if (!held || isNewer(held.version, known())) return false;
      const ruling = isGlobal(pool.space)
        ? await this.#ruling(pool, by)
        : held.record.node === this.#self.node && ALONE;
      if (!ruling) return false;
      const freeing = mine ? this.#withoutHolder(pool, address, seen) : [{ remove: claimKey(pool, address) }];
      const outcome = await this.#commit(
        pool,
        address,
        { when: [{ key: claim, version: claim.version }, ...ruling.when], write: [...freeing, ...ruling.write] },
        by,
        true,
      );
      if (outcome.done) return true;
      seen = outcome.seen;
    }
    throw contended(pool, address);
  }

  /**
   * That the epoch rules: a former one frees nothing, for what it gave is the next one's to ask for. Whoever gives back
   * knows what it has, its gateway included: from now on the end of this epoch is the network's end.
   */
  async #ruling(pool: PoolRef, by: Deadline): Promise<Ruling | undefined> {
    const [join, record] = await this.#store.read([{ one: joinKey(pool, pool.join) }, { one: poolKey(pool) }], by);
    if (!join || record?.record.leader !== pool.join) return undefined;
    const when = [{ key: join, version: join.version }];
    if (record.record.served) return { when, write: [] };
    const served: Write = {
      put: poolKey(pool),
      record: { ...record.record, served: true, token: this.#around.token() },
    };
    return { when: [...when, { key: record, version: record.version }], write: [served] };
  }

  async #undo(granted: Granted, by: Deadline): Promise<void> {
    const { pool, address, token, holder } = granted;
    let seen = await this.#see(pool, address, by);
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const { claim } = seen;
      const mine = holder ? seen.holders.find(({ key }) => joinOf(key) === pool.join) : claim;
      if (!claim || mine?.record.token !== token) return this.#remember(token, holder ? holder.prior : granted.prior);
      const { restored, former, when } = await this.#heir(granted, by);
      const write = this.#undoing(granted, seen, restored, former);
      const outcome = await this.#commit(
        pool,
        address,
        { when: [{ key: claim, version: claim.version }, ...when], write },
        by,
      );
      if (outcome.done) return;
      seen = outcome.seen;
    }
    throw contended(pool, address);
  }

  /**
   * What the grant had replaced, or where that was taken back as well, what that had. Not if nobody would free it: its join
   * has ended, or, in a global space, where joins end while what they gave lives on, the pool was made anew.
   */
  async #heir({ pool, prior, holder, incarnation }: Granted, by: Deadline): Promise<Heir> {
    let replaced: Found<ClaimRecord | HolderRecord> | undefined = holder ? holder.prior : prior;
    while (replaced && this.#undone.has(replaced.record.token)) replaced = this.#undone.get(replaced.record.token);
    if (incarnation !== undefined) {
      const [record] = await this.#store.read([{ one: poolKey(pool) }], by);
      if (record?.record.incarnation !== incarnation) return { former: [], when: [] };
      const when = [{ key: record, version: record.version }];
      return { ...(replaced && { restored: replaced.record }), former: holder?.former ?? [], when };
    }
    if (!replaced) return { former: [], when: [] };
    const key = joinKey(pool, (!holder && (replaced.record as ClaimRecord).join) || pool.join);
    const [join] = await this.#store.read([{ one: key }], by);
    return join
      ? { restored: replaced.record, former: [], when: [{ key, version: join.version }] }
      : { former: [], when: [] };
  }

  #undoing(
    { pool, address, holder }: Granted,
    seen: Standing,
    restored: object | undefined,
    former: readonly Found<HolderRecord>[],
  ): Write[] {
    if (!holder)
      return [restored ? { put: claimKey(pool, address), record: restored } : { remove: claimKey(pool, address) }];
    const back = former.map(({ key, record }): Write => ({ put: holderKey(pool, address, joinOf(key)), record }));
    if (restored) back.push({ put: holderKey(pool, address, pool.join), record: restored });
    if (back.length === 0) return this.#withoutHolder(pool, address, seen);
    const gone: Write[] = restored ? [] : [{ remove: holderKey(pool, address, pool.join) }];
    return [...gone, ...back, this.#touched(pool, address, seen)];
  }

  /** The last holder takes the claim along; otherwise the claim is rewritten, so that its version orders all changes. */
  #withoutHolder(pool: PoolRef, address: Address, seen: Standing): Write[] {
    const gone: Write = { remove: holderKey(pool, address, pool.join) };
    if (seen.holders.every(({ key }) => joinOf(key) === pool.join)) return [gone, { remove: claimKey(pool, address) }];
    return [gone, this.#touched(pool, address, seen)];
  }

  #touched(pool: PoolRef, address: Address, { claim }: Standing): Write {
    return { put: claimKey(pool, address), record: { ...claim!.record, token: this.#around.token() } };
  }

  /** `signed`: a release is the node's own business; an undo concerns nobody but the process that was granted it. */
  async #commit(pool: PoolRef, address: Address, change: Ruling, by: Deadline, signed = false) {
    const outcome = await this.#store.commit({ ...change, otherwise: standingOf(pool, address), signed }, by);
    if (outcome.done) return { done: true } as const;
    const [claim, holders] = outcome.seen;
    return { done: false, seen: { claim, holders: holders.found } } as const;
  }

  async #see(pool: PoolRef, address: Address, by: Deadline): Promise<Standing> {
    const [claim, holders] = await this.#store.read(standingOf(pool, address), by);
    return { claim, holders: holders.found };
  }

  async #removeClaims(pool: PoolRef, claims: readonly Found<ClaimRecord>[], by: Deadline): Promise<void> {
    const keys = claims.map(({ key, version }) => ({ key: claimKey(pool, addressOfClaim(key)), version }));
    const outcome = await this.#store.commit(
      { when: keys, write: keys.map(({ key }) => ({ remove: key })), otherwise: [], signed: true },
      by,
    );
    if (outcome.done) return;
    for (const { key } of claims) await this.release(pool, addressOfClaim(key), () => undefined, by);
  }

  #remember(token: string, replaced: Found<ClaimRecord | HolderRecord> | undefined): void {
    this.#undone.set(token, replaced);
    if (this.#undone.size > MOST_UNDONE) this.#undone.delete(this.#undone.keys().next().value!);
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
  const [{ found }] = await store.read([{ span: poolsUpTo(space, only), limit: 1, last: true }], by);
  const nearest = found[0] && subnetOfPool(found[0].key);
  return nearest && overlaps(nearest.prefix, only) ? nearest : undefined;
}

function standingOf(pool: Subnet, address: Address) {
  return [{ one: claimKey(pool, address) }, { span: holdersAt(pool, address), limit: 0 }] as const;
}

function isNewer(version: Version, known: Version | undefined): boolean {
  return known !== undefined && BigInt(version) > BigInt(known);
}

function contended({ prefix }: Subnet, address: Address): IpamError {
  return new IpamError(
    'contended',
    `${formatAddress(address)} of pool ${formatPrefix(prefix)} changed ${MOST_ATTEMPTS} times while it was released`,
  );
}
