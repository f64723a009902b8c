// The undo of a grant that nobody received: it takes back that very grant, and puts back what it had replaced, so that
// whoever held the address before still does.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import type { Backlog } from './backlog.js';
import { type Held, Holding } from './holding.js';
import { claimKey, holderKey, joinKey, joinOf, poolKey } from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import type { ClaimRecord, HolderRecord } from './records.js';
import type { Releases } from './releases.js';
import { restoring } from './resting.js';
import type { Condition, Deadline, Found, Store, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { notPast, keyOf as tenureKeyOf } from './tenures.js';

const MOST_UNDONE = 10_000;

/** A grant as its undo needs to know it. */
export interface Granted {
  readonly pool: PoolRef;
  readonly address: Address;
  readonly token: string;
  readonly claim: ClaimRecord;
  readonly prior?: Found<ClaimRecord> | undefined;
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

/** What is put back, a claim or a part in a shared address, and what that rests on. */
interface Heir {
  readonly claim?: Found<ClaimRecord> | undefined;
  readonly part?: Found<HolderRecord> | undefined;
  readonly former: readonly Found<HolderRecord>[];
  readonly when: readonly Condition[];
}

const NOBODY: Heir = { former: [], when: [] };

export class Undos {
  readonly #store: Store;
  readonly #self: Self;
  readonly #backlog: Backlog;
  readonly #releases: Pick<Releases, 'queued' | 'begin'>;
  readonly #holding: Holding;
  /** Grants taken back, by token: nobody holds them, so whoever would put one back puts back what that had replaced. */
  readonly #undone = new Map<string, Granted>();
  /** Grants to be taken back, likewise. */
  readonly #due = new Map<string, Granted>();

  constructor(
    store: Store,
    self: Self,
    around: Surroundings,
    backlog: Backlog,
    releases: Pick<Releases, 'queued' | 'begin'>,
  ) {
    this.#store = store;
    this.#self = self;
    this.#backlog = backlog;
    this.#releases = releases;
    this.#holding = new Holding(store, around);
  }

  /** Takes the grant back unless another has replaced it. Waits its turn. */
  async undo(granted: Granted, by: Deadline): Promise<void> {
    this.#due.set(granted.token, granted);
    await this.#releases.queued(granted.pool, granted.address, () => this.#undo(granted, by));
    this.#due.delete(granted.token);
  }

  /** Whatever the doubt turns out to be: a later grant may have replaced this one, and must not bring it back. */
  undoAfter(settled: Promise<unknown>, granted: Granted): void {
    const { pool, address, token } = granted;
    this.#due.set(token, granted);
    void this.#backlog.add(`undo of ${formatAddress(address)} in ${formatPrefix(pool.prefix)}`, async (by) => {
      await settled;
      await this.undo(granted, by);
    });
  }

  /** The join has ended, so none of its grants can land any more, and what they took over is not to end with it. */
  async ended({ join }: PoolRef, by: Deadline): Promise<void> {
    for (const granted of [...this.#due.values()]) if (granted.pool.join === join) await this.undo(granted, by);
  }

  async #undo(granted: Granted, by: Deadline): Promise<void> {
    const { pool, address, token, holder } = granted;
    this.#releases.begin(claimKey(pool, address));
    const undone = await this.#holding.change(
      pool,
      address,
      async (claim, held) => {
        const mine = holder ? held.holders.find(({ key }) => joinOf(key) === pool.join) : claim;
        if (mine?.record.token !== token) return undefined;
        const heir = await this.#heir(granted, held, by);
        return { when: heir.when, write: this.#undoing(granted, held, heir) };
      },
      by,
    );
    this.#remember(granted);
    if (!undone) await this.#unheard(granted, by);
  }

  /** Whoever replaced the grant has written that somebody had the address until then. */
  async #unheard({ pool, address, claim, holder }: Granted, by: Deadline): Promise<void> {
    const held = holder
      ? { key: holderKey(pool, address, pool.join).key, record: holder.record }
      : { key: claimKey(pool, address).key, record: claim };
    const key = this.#self.keepMs ? tenureKeyOf(held) : undefined;
    const [found] = key ? await this.#store.read([{ one: key }], by) : [];
    if (key && found)
      await this.#store.commit(
        { when: [{ key, version: found.version }], write: [{ remove: key }], otherwise: [] },
        by,
      );
  }

  /**
   * What the grant had replaced, or where that was taken back as well, what that had. Not if nobody would free it: its join
   * has ended, or, in a global space, where joins end while what they gave lives on, the pool was made anew.
   */
  async #heir({ pool, prior, holder, incarnation }: Granted, { holders }: Held, by: Deadline): Promise<Heir> {
    const part = this.#lasting(holder?.prior, (undone) => undone.holder?.prior);
    const replaced = this.#lasting(prior, (undone) => undone.prior);
    // What others share by now is theirs, as if one of them had taken it over.
    const alone = !part && holders.every(({ key }) => joinOf(key) === pool.join);
    const claim = alone && replaced?.record.kind !== 'shared' ? replaced : undefined;
    if (incarnation !== undefined) {
      const [record] = await this.#store.read([{ one: poolKey(pool) }], by);
      if (record?.record.incarnation !== incarnation) return NOBODY;
      return { claim, part, former: holder?.former ?? [], when: [{ key: record, version: record.version }] };
    }
    if (!claim && !part) return NOBODY;
    const key = joinKey(pool, claim?.record.join ?? pool.join);
    const [join] = await this.#store.read([{ one: key }], by);
    return join ? { claim, part, former: [], when: [{ key, version: join.version }] } : NOBODY;
  }

  #lasting<R extends ClaimRecord | HolderRecord>(
    replaced: Found<R> | undefined,
    replacedBy: (undone: Granted) => Found<R> | undefined,
  ): Found<R> | undefined {
    for (let lasting = replaced; ; ) {
      const undone = lasting && this.#undone.get(lasting.record.token);
      if (!undone) return lasting;
      lasting = replacedBy(undone);
    }
  }

  #undoing({ pool, address, holder }: Granted, held: Held, { claim, part, former }: Heir): Write[] {
    const lasting = [claim, part, ...former].flatMap((one) => notPast(one, this.#self));
    const key = claimKey(pool, address);
    const own = holderKey(pool, address, pool.join);
    if (claim) return [...(holder ? [{ remove: own }] : []), restoring(key, claim.record, this.#self), ...lasting];
    if (!holder) return [{ remove: key }];
    const back = former.map(({ key, record }): Write => ({ put: holderKey(pool, address, joinOf(key)), record }));
    if (!part && back.length === 0) return this.#holding.withoutHolder(pool, address, held);
    back.push(part ? { put: own, record: part.record } : { remove: own });
    return [...back, ...lasting, this.#holding.touched(pool, address, held)];
  }

  #remember(granted: Granted): void {
    this.#undone.set(granted.token, granted);
    if (this.#undone.size > MOST_UNDONE) this.#undone.delete(this.#undone.keys().next().value!);
  }
}
