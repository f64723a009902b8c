// The room's door: the four calls that change something, put together from pools, addresses and releases.
import type { Address } from '../net/address.js';
import { formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import { Addresses } from './addresses.js';
import { Backlog, mayPass } from './backlog.js';
import type { AddressAsk } from './claiming.js';
import { IpamError } from './errors.js';
import { isSecondNetwork } from './gateways.js';
import type { Grant } from './grant.js';
import { poolKey, type Subnet } from './keyspace.js';
import { Owed } from './owed.js';
import type { PoolRef } from './pool-id.js';
import { PoolRemoval } from './pool-removal.js';
import { inUse, type PoolAsk, Pools } from './pools.js';
import type { Predefined } from './predefined.js';
import { Reconciler, type ReconcilerOptions } from './reconciler.js';
import { Releases } from './releases.js';
import { Shown } from './shown.js';
import { isGlobal } from './spaces.js';
import type { Deadline, Store, Version } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { Terms } from './terms.js';
import { Undos } from './undos.js';
import { Views } from './views.js';

/** What became of a release: an engine gets the same answer for each, for it never repeats one. */
export type Released = 'released' | 'nothing to release' | 'queued';

export class Allocator {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #backlog: Backlog;
  readonly #views: Views;
  readonly #releases: Releases;
  readonly #addresses: Addresses;
  readonly #pools: Pools;
  readonly #removal: PoolRemoval;
  readonly #terms = new Terms();
  readonly #owed = new Owed();
  readonly #shown = new Shown();
  /** By pool, in a global space: resolves when what is queued has been released. */
  readonly #queued = new Map<string, Promise<void>>();

  /** `report` hears of queued work that failed for good. `hasty`: the store where releases do not wait for it to come back. */
  constructor(
    store: Store,
    self: Self,
    around: Surroundings,
    predefined: readonly Predefined[],
    report: (what: string, error: unknown) => void,
    hasty = store,
  ) {
    const views = new Views(store, self);
    this.#views = views;
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#backlog = new Backlog(around, report);
    this.#releases = new Releases(hasty, self, around);
    const undos = new Undos(store, self, around, this.#backlog, this.#releases);
    this.#addresses = new Addresses(store, self, around, views, this.#releases, undos, this.#shown);
    this.#removal = new PoolRemoval(hasty, self, around, views, this.#releases, this.#terms, undos);
    this.#pools = new Pools(store, self, around, views, this.#removal, this.#terms, predefined);
  }

  /** The engine begins anew, or begins to lead its swarm: it asks again for what it had asked for. */
  beginTerm(): void {
    this.#terms.begin();
    this.#shown.begin();
  }

  /** The store was set back to a backup: what was remembered of it may be met again with other contents. */
  beginAnew(): void {
    this.#views.dropAll();
    this.#addresses.forgetAll();
    this.#shown.begin();
  }

  /** Releases and undos that wait for the store. */
  get pending(): number {
    return this.#backlog.pending;
  }

  /** Errors: overlap, superseded, no_pool_left, contended, and those of the store. */
  async requestPool(ask: PoolAsk, by: Deadline): Promise<Grant<PoolRef>> {
    const undoIf = (settled: Promise<boolean>, pool: PoolRef) =>
      this.#backlog.addIf(settled, `undo of pool ${formatPrefix(pool.prefix)}`, async (until) => {
        await this.#removal.release(pool, until);
      });
    return this.#pools.request(ask, (pool) => this.#allReleased(pool, by), undoIf, by);
  }

  /**
   * Errors: unknown_pool, superseded, overlap (a second network of a swarm's subnet), outside_pool, not_assignable, taken,
   * pool_exhausted, contended, and those of the store.
   */
  async requestAddress(ask: AddressAsk, by: Deadline): Promise<Grant<Address>> {
    const { pool, purpose, address } = ask;
    if (isGlobal(pool.space) && purpose === 'gateway' && !address && (await isSecondNetwork(pool, this.#store, by))) {
      await this.#removal.release(pool, by);
      throw inUse(pool);
    }
    try {
      return await this.#addresses.request(ask, by);
    } catch (error) {
      // What is in the way may have been given back before the store was away.
      const occupied = error instanceof IpamError && (error.code === 'taken' || error.code === 'pool_exhausted');
      if (!occupied || !(await this.#owed.pay(pool, address, by))) throw error;
      return this.#addresses.request(ask, by);
    }
  }

  /**
   * With the store away, or while it denies us something, the release is kept in memory, and then frees nothing that came after
   * it. Fails only where waiting cannot help: a record that cannot be read.
   */
  releaseAddress(pool: PoolRef, address: Address, by: Deadline): Promise<Released> {
    const seen = this.#store.seen();
    // A process that had seen nothing yet when it was asked has written nothing either: what it writes later is newer.
    const known = () => seen ?? this.#releases.origin;
    const release = async (newest: () => Version | undefined, until: Deadline) => {
      const freed = await this.#releases.release(pool, address, newest, until);
      if (freed) this.#addresses.freed(pool, address);
      return freed;
    };
    return this.#orQueue(
      pool,
      `release of ${formatAddress(address)} in ${formatPrefix(pool.prefix)}`,
      () => release(() => undefined, by),
      (until) => release(known, until),
      (done) => this.#owed.add(pool, address, (until) => release(known, until), done),
    );
  }

  /** As above. Unknown joins and those of other nodes are left alone. */
  releasePool(pool: PoolRef, by: Deadline): Promise<Released> {
    this.#addresses.forget(pool);
    const what = `release of pool ${formatPrefix(pool.prefix)}`;
    const release = (until: Deadline) => this.#removal.release(pool, until);
    const before = isGlobal(pool.space) ? this.#queued.get(poolKey(pool).key) : undefined;
    if (!before) return this.#orQueue(pool, what, () => release(by), release);
    // What was given back before it says how the epoch ends.
    this.#terms.ended(pool);
    this.#waiting(
      pool,
      this.#backlog.add(what, async (until) => {
        await before;
        await release(until);
      }),
    );
    return Promise.resolve('queued');
  }

  /** What puts this node's claims right by what its engine shows. */
  reconciler(options: ReconcilerOptions): Reconciler {
    const ends = {
      freed: (pool: PoolRef, address: Address) => this.#addresses.freed(pool, address),
      leave: (pool: PoolRef, by: Deadline) => {
        this.#addresses.forget(pool);
        return this.#removal.release(pool, by);
      },
    };
    return new Reconciler(this.#store, this.#self, this.#around, this.#releases, this.#shown, ends, options);
  }

  /** Runs an undo now, and again later should the store be away. */
  undo(grant: Grant<unknown>, what: string): void {
    void this.#backlog.add(`undo of ${what}`, (by) => grant.undo(by));
  }

  /** Waits at most `ms` for releases and undos; resolves to how many are not done. */
  close(ms: number): Promise<number> {
    return this.#backlog.drain(ms);
  }

  #waiting(pool: Subnet, done: Promise<void>): void {
    const key = poolKey(pool).key;
    const before = this.#queued.get(key);
    const all = Promise.all([before, done]).then(() => undefined);
    this.#queued.set(key, all);
    void all.then(() => this.#queued.get(key) === all && this.#queued.delete(key));
  }

  /** A network that is made again is not to meet what the one before has given back already. */
  async #allReleased(pool: Subnet, by: Deadline): Promise<void> {
    while (this.#queued.has(poolKey(pool).key)) {
      if (this.#around.millis() >= by)
        throw new IpamError(
          'unavailable',
          `pool ${formatPrefix(pool.prefix)} waits for releases that etcd has not taken yet; try again`,
        );
      await Promise.race([this.#queued.get(poolKey(pool).key), this.#around.pause(50)]);
    }
  }

  async #orQueue(
    pool: Subnet,
    what: string,
    now: () => Promise<boolean>,
    later: (by: Deadline) => Promise<boolean>,
    queued: (done: Promise<void>) => void = () => undefined,
  ): Promise<Released> {
    try {
      return (await this.#backlog.attend(now())) ? 'released' : 'nothing to release';
    } catch (error) {
      if (!mayPass(error)) throw error;
      const done = this.#backlog.add(what, async (until) => void (await later(until)));
      queued(done);
      if (isGlobal(pool.space)) this.#waiting(pool, done);
      return 'queued';
    }
  }
}
