// What this process last saw of the pools and joins it serves: two small records a join, nothing that grows with a
// pool's claims. Every claim compares their versions, so an old view costs a retry, never correctness.
import { formatPrefix } from '../net/prefix.js';
import { IpamError } from './errors.js';
import { joinKey, poolKey, type Subnet } from './keyspace.js';
import type { PoolRef } from './pool-id.js';
import type { JoinRecord, PoolRecord } from './records.js';
import { isGlobal } from './spaces.js';
import type { Condition, Deadline, Found, Key, Store } from './store.js';
import type { Self } from './surroundings.js';

export interface View {
  readonly pool: Found<PoolRecord>;
  readonly join: Found<JoinRecord>;
}

export class Views {
  readonly #store: Store;
  readonly #self: Self;
  readonly #views = new Map<string, View>();

  constructor(store: Store, self: Self) {
    this.#store = store;
    this.#self = self;
  }

  /** Undefined until it was read: most claims need not wait for that. */
  known(ref: PoolRef): View | undefined {
    return this.#views.get(ref.join);
  }

  async of(ref: PoolRef, by: Deadline): Promise<View> {
    const known = this.known(ref);
    if (known) return known;
    const [pool, join] = await this.#store.read(viewOf(ref), by);
    return this.set(ref, pool, join);
  }

  /**
   * Takes in what a lost compare showed. Throws `unknown_pool` when the join has ended or is another node's, `superseded`
   * when a later epoch rules.
   */
  set(ref: PoolRef, pool: Found<PoolRecord> | undefined, join: Found<JoinRecord> | undefined): View {
    if (!pool || !join || pool.record.state !== 'open') {
      this.drop(ref);
      if (pool?.record.state === 'open' && isGlobal(ref.space)) throw superseded(ref, pool.record);
      throw unknownPool(ref);
    }
    if (join.record.node !== this.#self.node) throw foreignPool(ref, join.record.node, this.#self.node);
    const view = { pool, join };
    this.#views.set(ref.join, view);
    return view;
  }

  drop(ref: PoolRef): void {
    this.#views.delete(ref.join);
  }

  dropAll(): void {
    this.#views.clear();
  }
}

type Reads = readonly [{ readonly one: Key<PoolRecord> }, { readonly one: Key<JoinRecord> }];

/** Every claim says them twice. */
const READS = new WeakMap<PoolRef, Reads>();

/** The two reads a view is made of. */
export function viewOf(ref: PoolRef): Reads {
  let reads = READS.get(ref);
  if (!reads) {
    reads = [{ one: poolKey(ref) }, { one: joinKey(ref, ref.join) }];
    READS.set(ref, reads);
  }
  return reads;
}

/** That the pool's incarnation and the join are as in the view. */
export function standing({ pool, join }: View, ref: PoolRef): Condition[] {
  const [{ one: poolKey }, { one: joinKey }] = viewOf(ref);
  return [
    { key: poolKey, version: pool.version },
    { key: joinKey, version: join.version },
  ];
}

/** A deposed leader reads it, in its log: the swarm has another one, or this one began anew. */
export function superseded({ prefix }: Subnet, { epoch }: PoolRecord): IpamError {
  return new IpamError(
    'superseded',
    `another leader of the swarm has taken over pool ${formatPrefix(prefix)} (epoch ${epoch}); what an earlier one asks for is refused`,
  );
}

function foreignPool({ prefix }: PoolRef, owner: string, self: string): IpamError {
  return new IpamError(
    'unknown_pool',
    `the network of pool ${formatPrefix(prefix)} was made on node ${owner}, and this is node ${self}; re-create the network, or set IPAM_NODE=${owner} if the node was renamed`,
  );
}

function unknownPool({ space, prefix, join }: PoolRef): IpamError {
  return new IpamError(
    'unknown_pool',
    `the network's membership ${join} in pool ${formatPrefix(prefix)} of address space ${space} is not in etcd any more; re-create the network`,
  );
}
