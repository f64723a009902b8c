// RequestPool: joining a subnet or making it, under the guard that keeps a space free of overlaps.
import { type Address, type Family, formatAddress } from '../net/address.js';
import { firstGap } from '../net/gaps.js';
import { formatPrefix, overlaps, type Prefix, rangeOf, sizeOf } from '../net/prefix.js';
import { InDoubtError, IpamError } from './errors.js';
import type { Grant } from './grant.js';
import { guardKey, joinKey, joinsOf, poolKey, poolsIn, poolsUpTo, prefixOfPool } from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import { guarded, guarding, type PoolRemoval } from './pool-removal.js';
import { ofFamily, type Predefined } from './predefined.js';
import { KeyedQueue } from './queue.js';
import type { GuardRecord, JoinRecord, PoolRecord } from './records.js';
import type { Change, Deadline, Found, Store, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import type { Views } from './views.js';

const MOST_ATTEMPTS = 64;
const PAGE = 1_000;
/** Counts in one read: etcd takes 128 operations. */
const COUNTED = 64;

export interface PoolAsk {
  readonly space: string;
  /** A subnet, or only how large it should be (`length` undefined: as predefined). */
  readonly pool: Prefix | { readonly any: Family; readonly length?: number };
  readonly range?: Prefix;
  /** Addresses that every network of the subnet may list as auxiliary. */
  readonly shared: readonly Address[];
}

interface Neighbourhood {
  readonly prefix: Prefix;
  readonly abandoned: boolean;
  readonly guard: Found<GuardRecord> | undefined;
  readonly pool: Found<PoolRecord> | undefined;
}

export class Pools {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #views: Views;
  readonly #removal: PoolRemoval;
  readonly #predefined: readonly Predefined[];
  readonly #queue = new KeyedQueue();

  constructor(
    store: Store,
    self: Self,
    around: Surroundings,
    views: Views,
    removal: PoolRemoval,
    predefined: readonly Predefined[],
  ) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#views = views;
    this.#removal = removal;
    this.#predefined = predefined;
  }

  /** One at a time for a space: this process's own requests would otherwise lose the guard to one another. */
  request(
    ask: PoolAsk,
    undoIf: (settled: Promise<boolean>, pool: PoolRef) => void,
    by: Deadline,
  ): Promise<Grant<PoolRef>> {
    return this.#queue.run(ask.space, () => this.#request(ask, undoIf, by));
  }

  async #request(
    ask: PoolAsk,
    undoIf: (settled: Promise<boolean>, pool: PoolRef) => void,
    by: Deadline,
  ): Promise<Grant<PoolRef>> {
    const join = this.#around.token();
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      const { prefix, guard, pool, abandoned } =
        'any' in ask.pool ? await this.#choose(ask.space, ask.pool, by) : await this.#find(ask.space, ask.pool, by);
      const ref: PoolRef = { space: ask.space, prefix, ...(ask.range && { range: ask.range }), join };
      if (pool && (pool.record.state === 'closing' || abandoned)) {
        await this.#removal.closeIfLeft(ref, by);
        continue;
      }
      const token = this.#around.token();
      const change = this.#joining(ask, ref, token, { guard, pool });
      try {
        const outcome = await this.#store.commit(change, by);
        if (outcome.done) {
          this.#remember(ref, outcome.version, change.write, pool);
          return {
            reply: ref,
            token,
            attempts: attempt,
            undo: async (until) => void (await this.#removal.release(ref, until)),
          };
        }
      } catch (error) {
        if (error instanceof InDoubtError) undoIf(error.settled, ref);
        throw error;
      }
    }
    throw new IpamError(
      'contended',
      `address space ${ask.space} changed ${MOST_ATTEMPTS} times while a pool was requested; try again`,
    );
  }

  /**
   * Whether the subnet can be joined or made: the last pool that starts at or below its end is the only one in the way.
   * A pool without a join was left by a process that died while it removed the last one.
   */
  async #find(space: string, prefix: Prefix, by: Deadline): Promise<Neighbourhood> {
    for (;;) {
      const subnet = { space, prefix };
      const [guard, pool, joins, { found }] = await this.#store.read(
        [
          { one: guardKey(space) },
          { one: poolKey(subnet) },
          { keys: joinsOf(subnet), limit: 1 },
          { span: poolsUpTo(space, prefix), limit: 1, last: true },
        ],
        by,
      );
      const nearest = found[0] && prefixOfPool(found[0].key);
      if (pool || !nearest || !overlaps(nearest, prefix))
        return { prefix, guard, pool, abandoned: joins.keys.length === 0 };
      if (!(await this.#removal.closeIfLeft({ space, prefix: nearest }, by))) {
        throw new IpamError(
          'overlap',
          `pool ${formatPrefix(prefix)} overlaps with ${formatPrefix(nearest)} in address space ${space}`,
        );
      }
    }
  }

  /** The lowest predefined subnet that overlaps no pool of the space. */
  async #choose(
    space: string,
    { any, length }: { readonly any: Family; readonly length?: number | undefined },
    by: Deadline,
  ): Promise<Neighbourhood> {
    const bases = ofFamily(this.#predefined, any);
    const inTheWay: Prefix[] = [];
    for (const predefined of bases) {
      const { base } = predefined;
      const size = length ?? predefined.length;
      const ends = await this.#store.read(
        [
          { one: guardKey(space) },
          { span: poolsUpTo(space, { ...base, length: any === 4 ? 32 : 128 }), limit: 1, last: true },
        ],
        by,
      );
      const [guard, enclosing] = ends;
      const taken = enclosing.found.map(({ key }) => prefixOfPool(key));
      let rest = poolsIn(space, rangeOf(base));
      for (let more = true; more; ) {
        const [page] = await this.#store.read([{ keys: rest, limit: PAGE }], by);
        taken.push(...page.keys.map(prefixOfPool));
        more = page.more;
        if (more) rest = { ...rest, from: `${page.keys.at(-1)!}\0` };
      }
      const prefix = firstGap(base, size, taken);
      if (prefix) return { prefix, guard, pool: undefined, abandoned: false };
      if (size >= base.length) inTheWay.push(...taken);
    }
    if (await this.#closeAbandoned(space, inTheWay, by)) return this.#choose(space, { any, length }, by);
    throw noneLeft(any, length, bases);
  }

  /** Pools without a join: nobody asks for an automatic one by its name, so nothing else would finish its removal. */
  async #closeAbandoned(space: string, pools: readonly Prefix[], by: Deadline): Promise<boolean> {
    let closed = false;
    for (let i = 0; i < pools.length; i += COUNTED) {
      const some = pools.slice(i, i + COUNTED).map((prefix) => ({ space, prefix }));
      const counts = await this.#store.read(
        some.map((subnet) => ({ count: joinsOf(subnet) })),
        by,
      );
      for (const [at, subnet] of some.entries())
        if (counts[at] === 0) closed = (await this.#removal.closeIfLeft(subnet, by)) || closed;
    }
    return closed;
  }

  #joining(
    ask: PoolAsk,
    ref: PoolRef,
    token: string,
    { guard, pool }: Pick<Neighbourhood, 'guard' | 'pool'>,
  ): Change<readonly []> {
    const since = this.#around.now().toISOString();
    const record: JoinRecord = {
      node: this.#self.node,
      boot: this.#self.boot,
      ...(ask.range && { range: formatPrefix(ask.range) }),
      ...(ask.shared.length > 0 && { shared: ask.shared.map(formatAddress) }),
      since,
      token,
    };
    const key = joinKey(ref, ref.join);
    const put: Write = { put: key, record };
    const witness = { key, token };
    if (pool) return { when: [{ key: poolKey(ref), version: pool.version }], write: [put], otherwise: [], witness };
    const made: PoolRecord = { state: 'open', since, token };
    return {
      when: [...guarded(ref, guard), { key: poolKey(ref), version: null }],
      write: [put, { put: poolKey(ref), record: made }, guarding(ref, this.#around.token())],
      otherwise: [],
      witness,
    };
  }

  /** Saves the first RequestAddress a look at what was just written. */
  #remember(ref: PoolRef, version: string, write: readonly Write[], joined: Found<PoolRecord> | undefined): void {
    const put = (key: string) => write.find((one) => 'put' in one && one.put.key === key) as { record: object };
    const { key } = poolKey(ref);
    const pool = joined ?? { key, version, record: put(key).record as PoolRecord };
    const join = joinKey(ref, ref.join).key;
    this.#views.set(ref, pool, { key: join, version, record: put(join).record as JoinRecord });
  }
}

function noneLeft(family: Family, length: number | undefined, bases: readonly Predefined[]): IpamError {
  if (bases.length === 0) {
    return new IpamError('no_pool_left', `no predefined IPv${family} pool: IPAM_POOLS names none; pass --subnet`);
  }
  const rooms = bases.map(({ base, length: cut }) => {
    const size = length ?? cut;
    const count = size < base.length ? 0n : sizeOf(base) / sizeOf({ ...base, length: size });
    return `${count} /${size} in ${formatPrefix(base)}`;
  });
  return new IpamError(
    'no_pool_left',
    `no predefined IPv${family} pool left (${rooms.join(', ')}); pass --subnet or widen IPAM_POOLS`,
  );
}
