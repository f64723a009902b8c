// Giving addresses back: ReleaseAddress, the undo of a grant that nobody received, and what a join leaves behind.
// Every removal compares the very record it was decided on, so that it is harmless however late it lands.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import type { Backlog } from './backlog.js';
import { IpamError } from './errors.js';
import {
  addressOfClaim,
  addressOfHolder,
  behind,
  claimKey,
  claimsOf,
  holderKey,
  holdersAt,
  holdersOf,
  joinKey,
  joinOf,
  type Subnet,
} from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import { KeyedQueue } from './queue.js';
import type { ClaimRecord, HolderRecord } from './records.js';
import type { Condition, Deadline, Found, Span, Store, Version, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';

const MOST_ATTEMPTS = 64;
const PAGE = 1_000;
/** Removals in one transaction: each needs a compare as well, and etcd takes 128 of either. */
const CHUNK = 100;
const MOST_UNDONE = 10_000;

/** A grant as its undo needs to know it. */
export interface Granted {
  readonly pool: PoolRef;
  readonly address: Address;
  readonly token: string;
  readonly prior?: Found<ClaimRecord>;
  readonly holder?: { readonly record: HolderRecord; readonly prior?: Found<HolderRecord> };
}

interface Standing {
  readonly claim: Found<ClaimRecord> | undefined;
  readonly holders: readonly Found<HolderRecord>[];
}

export class Releases {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #backlog: Backlog;
  readonly #queue = new KeyedQueue();
  #origin: Version | undefined;
  /** Tokens of grants taken back after a later grant had replaced them: nobody holds these, so nothing restores them. */
  readonly #undone = new Set<string>();

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
  release(pool: PoolRef, address: Address, known: () => Version | undefined, by: Deadline): Promise<boolean> {
    return this.queued(pool, address, () => this.#release(pool, address, known, by));
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
    for await (const { key } of this.#all(holdersOf(pool), by)) {
      if (joinOf(key) === pool.join) await this.release(pool, addressOfHolder(key), () => undefined, by);
    }
    let chunk: Found<ClaimRecord>[] = [];
    for await (const claim of this.#all(claimsOf(pool), by)) {
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
      if (!held || held.record.node !== this.#self.node || isNewer(held.version, known())) return false;
      const writes = mine ? this.#withoutHolder(pool, address, seen) : [{ remove: claimKey(pool, address) }];
      const outcome = await this.#commit(pool, address, claim.version, writes, by);
      if (outcome.done) return true;
      seen = outcome.seen;
    }
    throw contended(pool, address);
  }

  async #undo(granted: Granted, by: Deadline): Promise<void> {
    const { pool, address, token, holder } = granted;
    let seen = await this.#see(pool, address, by);
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const { claim } = seen;
      const mine = holder ? seen.holders.find(({ key }) => joinOf(key) === pool.join) : claim;
      if (!claim || mine?.record.token !== token) return this.#remember(token);
      const { restored, when } = await this.#heir(granted, by);
      const writes = this.#undoing(granted, seen, restored);
      const outcome = await this.#commit(pool, address, claim.version, writes, by, when);
      if (outcome.done) return;
      seen = outcome.seen;
    }
    throw contended(pool, address);
  }

  /** What the grant had replaced, unless that was taken back as well or its join has ended: nobody would free it. */
  async #heir({ pool, prior, holder }: Granted, by: Deadline): Promise<{ restored?: object; when: Condition[] }> {
    const replaced = holder ? holder.prior : prior;
    if (!replaced || this.#undone.has(replaced.record.token)) return { when: [] };
    const key = joinKey(pool, (!holder && prior?.record.join) || pool.join);
    const [join] = await this.#store.read([{ one: key }], by);
    return join ? { restored: replaced.record, when: [{ key, version: join.version }] } : { when: [] };
  }

  #undoing({ pool, address, holder }: Granted, seen: Standing, restored: object | undefined): Write[] {
    if (!holder)
      return [restored ? { put: claimKey(pool, address), record: restored } : { remove: claimKey(pool, address) }];
    if (!restored) return this.#withoutHolder(pool, address, seen);
    return [{ put: holderKey(pool, address, pool.join), record: restored }, this.#touched(pool, address, seen)];
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

  async #commit(
    pool: PoolRef,
    address: Address,
    version: Version,
    write: readonly Write[],
    by: Deadline,
    also: readonly Condition[] = [],
  ) {
    const when = [{ key: claimKey(pool, address), version }, ...also];
    const outcome = await this.#store.commit({ when, write, otherwise: standingOf(pool, address) }, by);
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
      { when: keys, write: keys.map(({ key }) => ({ remove: key })), otherwise: [] },
      by,
    );
    if (outcome.done) return;
    for (const { key } of claims) await this.release(pool, addressOfClaim(key), () => undefined, by);
  }

  async *#all<R>(span: Span<R>, by: Deadline): AsyncGenerator<Found<R>> {
    for (let rest = span; ; ) {
      const [page] = await this.#store.read([{ span: rest, limit: PAGE }], by);
      yield* page.found;
      if (!page.more) return;
      rest = behind(rest, page.found.at(-1)!.key);
    }
  }

  #remember(token: string): void {
    this.#undone.add(token);
    if (this.#undone.size > MOST_UNDONE) this.#undone.delete(this.#undone.values().next().value!);
  }
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
