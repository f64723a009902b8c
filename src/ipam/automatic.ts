// The subnet of a network that names none: the lowest predefined one that overlaps no pool of any space of the family,
// since an overlay's subnet is in use in the leader's space and in those of the nodes.
import type { Family } from '../net/address.js';
import { firstGap } from '../net/gaps.js';
import { formatPrefix, overlaps, type Prefix, rangeOf, sizeOf } from '../net/prefix.js';
import { IpamError } from './errors.js';
import { behind, guardKey, isOurs, joinsOf, poolsIn, poolsOfFamily, type Subnet, subnetOfPool } from './keyspace.js';
import { nearestPool } from './pages.js';
import type { PoolRemoval } from './pool-removal.js';
import { ofFamily, type Predefined } from './predefined.js';
import type { GuardRecord } from './records.js';
import { familyOf, globalSpace, localSpace } from './spaces.js';
import type { Deadline, Found, Span, Store } from './store.js';

const PAGE = 1_000;
/** Counts in one read: etcd takes 128 operations. */
const COUNTED = 64;

/** Any subnet of a family, of that length or as predefined. */
export interface AnyPool {
  readonly any: Family;
  readonly length?: number;
}

/** `guard`: older than all that the choice was based on. */
export interface Chosen {
  readonly prefix: Prefix;
  readonly guard: Found<GuardRecord> | undefined;
}

export class Automatic {
  readonly #store: Store;
  readonly #removal: PoolRemoval;
  readonly #predefined: readonly Predefined[];

  constructor(store: Store, removal: PoolRemoval, predefined: readonly Predefined[]) {
    this.#store = store;
    this.#removal = removal;
    this.#predefined = predefined;
  }

  /** Throws `no_pool_left`. */
  async choose(space: string, wanted: AnyPool, by: Deadline): Promise<Chosen> {
    const bases = ofFamily(this.#predefined, wanted.any);
    const inTheWay: Subnet[] = [];
    for (const predefined of bases) {
      const { base } = predefined;
      const size = wanted.length ?? predefined.length;
      const [guard] = await this.#store.read([{ one: guardKey(space) }], by);
      const taken = (await this.#overlapping(space, base, by)).sort((a, b) =>
        a.prefix.first < b.prefix.first ? -1 : 1,
      );
      const prefix = firstGap(
        base,
        size,
        taken.map((subnet) => subnet.prefix),
      );
      if (prefix) return { prefix, guard };
      if (size >= base.length) inTheWay.push(...taken);
    }
    if (await this.#closeAbandoned(inTheWay, by)) return this.choose(space, wanted, by);
    throw noneLeft(wanted, bases);
  }

  async #overlapping(space: string, base: Prefix, by: Deadline): Promise<Subnet[]> {
    const name = familyOf(space);
    const found: Subnet[] = [];
    for (const one of [localSpace(name), globalSpace(name, '')]) {
      const first = { ...base, length: base.family === 4 ? 32 : 128 };
      const { nearest } = await nearestPool(this.#store, { space: one, prefix: first }, [], by);
      if (nearest) found.push(nearest);
      found.push(...(await this.#all(poolsIn(one, rangeOf(base)), by)));
    }
    found.push(...(await this.#all(poolsOfFamily(space)[2], by)));
    return found.filter(({ prefix }) => overlaps(prefix, base));
  }

  async #all(span: Span<unknown>, by: Deadline): Promise<Subnet[]> {
    const found: Subnet[] = [];
    for (let rest = span; ; ) {
      const [page] = await this.#store.read([{ keys: rest, limit: PAGE }], by);
      found.push(...page.keys.filter(isOurs).map(subnetOfPool));
      if (!page.more) return found;
      rest = behind(rest, page.keys.at(-1)!);
    }
  }

  /** Pools without a join: nobody asks for an automatic one by its name, so nothing else would finish its removal. */
  async #closeAbandoned(pools: readonly Subnet[], by: Deadline): Promise<boolean> {
    let closed = false;
    for (let i = 0; i < pools.length; i += COUNTED) {
      const some = pools.slice(i, i + COUNTED);
      const counts = await this.#store.read(
        some.map((subnet) => ({ count: joinsOf(subnet) })),
        by,
      );
      for (const [at, subnet] of some.entries())
        if (counts[at] === 0) closed = (await this.#removal.closeIfLeft(subnet, by)) || closed;
    }
    return closed;
  }
}

function noneLeft({ any, length }: AnyPool, bases: readonly Predefined[]): IpamError {
  if (bases.length === 0) {
    return new IpamError('no_pool_left', `no predefined IPv${any} pool: IPAM_POOLS names none; pass --subnet`);
  }
  const rooms = bases.map(({ base, length: cut }) => {
    const size = length ?? cut;
    const count = size < base.length ? 0n : sizeOf(base) / sizeOf({ ...base, length: size });
    return `${count} /${size} in ${formatPrefix(base)}`;
  });
  return new IpamError(
    'no_pool_left',
    `no predefined IPv${any} pool left (${rooms.join(', ')}); pass --subnet or widen IPAM_POOLS`,
  );
}
