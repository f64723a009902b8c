// Who holds which address, by nothing but what was asked and what was replied. Shares no code with the driver, and refuses
// to know how an address is chosen: it only says when one was given twice, or was taken from its holder.
import { wide } from './keyspace-view.js';

/** An answer, or a record in the store, that costs somebody an address. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** One PoolID: a join of a node in the local space, a term of the swarm's leader in the global one. */
export interface Pool {
  readonly id: string;
  readonly space: string;
  readonly subnet: string;
  readonly join: string;
  /** Whose engine asked for it. */
  readonly at: number;
  /** `deposed`: another term has begun. `ended`: its ReleasePool was answered. */
  state: 'open' | 'ending' | 'ended' | 'deposed';
  /** The term that it deposed. */
  readonly before?: Pool | undefined;
  /** Whether anything but a gateway was given through it. */
  served: boolean;
  /** The term that deposed it ended before it had served, as where a second network is not made after all: this one may rule again. */
  mayRule: boolean;
}

export interface Held {
  /** The container, task, virtual IP or load balancer. A task is called alike by the leader and by its worker. */
  readonly who: string;
  readonly address: string;
  readonly pool: Pool;
}

/** `address` undefined: the pool itself. */
export interface Release {
  readonly poolId: string;
  readonly address?: string;
}

/** Every record with its key relative to the prefix. */
export type Keyspace = Readonly<Record<string, unknown>>;

export interface Granting {
  readonly poolId: string;
  readonly who: string;
  /** What was asked for; empty for any. */
  readonly asked: string;
  readonly address: string;
  readonly shared: boolean;
  /** Whether the PoolID was good when it was sent. */
  readonly open: boolean;
}

export class Referee {
  readonly pools: Pool[] = [];
  readonly #byId = new Map<string, Pool>();
  /** By table and address. */
  readonly #held = new Map<string, Held>();
  /** Gateways and auxiliary addresses: the joins that have a part in them. */
  readonly #shared = new Map<string, Set<Pool>>();
  readonly #managed = new Set<string>();
  /** Places of holders that a release crossed: it may have come before their grant, or after. */
  readonly #doubtful = new Set<string>();

  /** A pool was granted. A term of the swarm's leader ends the one before it. */
  joined(at: number, space: string, poolId: string, subnet: string): Pool {
    const [, id] = /[?&]join=([0-9a-f]{16})$/.exec(poolId) ?? [];
    if (id === undefined) throw new Violation(`${poolId} names no join`);
    if (this.#byId.has(poolId)) throw new Violation(`${poolId} was given to two requests`);
    const rule = ({ state, mayRule }: Pool) => state === 'open' || mayRule;
    const before = space === 'global' ? this.#of(space, subnet).findLast(rule) : undefined;
    if (space === 'global')
      for (const other of this.#of(space, subnet)) {
        other.mayRule = false;
        if (other.state === 'open') other.state = 'deposed';
      }
    const pool: Pool = {
      id: poolId,
      space,
      subnet,
      join: id,
      at,
      state: 'open',
      before,
      served: false,
      mayRule: false,
    };
    this.pools.push(pool);
    this.#byId.set(poolId, pool);
    return pool;
  }

  /** The pool is a worker's part of a swarm's network: its addresses are the leader's to give. */
  managed(poolId: string): void {
    this.#managed.add(poolId);
  }

  isManaged(poolId: string): boolean {
    return this.#managed.has(poolId);
  }

  isOpen(poolId: string): boolean {
    return this.#byId.get(poolId)?.state === 'open';
  }

  /** A second network of the subnet was refused: the term before it goes on. */
  tookBack(poolId: string, before: string): void {
    this.#byId.get(poolId)!.state = 'ended';
    this.#byId.get(before)!.state = 'open';
  }

  /** Whether the call, sent to that node, names what its own PoolID holds: on the wire it is then its holder's own. */
  frees(at: number, { poolId, address }: Release): boolean {
    const pool = this.#byId.get(poolId);
    if (!pool || pool.state === 'ended' || pool.state === 'deposed') return false;
    if (pool.at !== at && (pool.space === 'local' || address === undefined)) return false;
    if (address === undefined) return pool.state === 'open';
    const place = placeOf(pool, address);
    return this.#held.get(place)?.pool === pool || this.#shared.get(place)?.has(pool) === true;
  }

  /** A release was sent. Whoever could be meant by it holds the address no more, however soon it takes effect. */
  releasing(at: number, release: Release): void {
    if (!this.frees(at, release)) return;
    const pool = this.#byId.get(release.poolId)!;
    if (release.address === undefined) {
      pool.state = 'ending';
      for (const [place, held] of this.#held)
        if (held.pool === pool || pool.space === 'global') this.#letGo(place, held, pool);
      for (const place of [...this.#shared.keys()]) this.#leave(place, pool);
      return;
    }
    const place = placeOf(pool, release.address);
    if (this.#held.get(place)?.pool === pool) this.#held.delete(place);
    this.#leave(place, pool);
  }

  /** A release was under way while its own address was granted: whether that still stands, nobody can say. */
  crossed(at: number, release: Release): void {
    if (release.address !== undefined && this.frees(at, release))
      this.#doubtful.add(placeOf(this.#byId.get(release.poolId)!, release.address));
  }

  /** A ReleasePool was answered by the node it was for. */
  ended(at: number, poolId: string): void {
    const pool = this.#byId.get(poolId);
    if (pool?.state !== 'ending' || pool.at !== at) return;
    pool.state = 'ended';
    if (pool.before?.state === 'deposed') pool.before.mayRule = !pool.served;
  }

  /** The new leader asks for the addresses of `known` only: nobody stands behind the others any more. */
  tookOver(subnet: string, known: ReadonlySet<string>): void {
    for (const [place, held] of this.#held)
      if (held.pool.space === 'global' && held.pool.subnet === subnet && !known.has(held.who)) this.#held.delete(place);
  }

  /** Who has the address in that space, if anybody. */
  holder(space: string, subnet: string, address: string): string | undefined {
    return this.#held.get(`${space} ${subnet} ${address}`)?.who;
  }

  held(): Held[] {
    return [...this.#held.values()];
  }

  /** Everything that a release could name: addresses, gateways, pools. */
  live(): { at: number; release: Release }[] {
    const open = this.pools.filter(({ state }) => state === 'open');
    const shared = [...this.#shared].flatMap(([place, pools]) =>
      [...pools].map(({ id, at }) => ({ at, release: { poolId: id, address: place.split(' ')[2]! } })),
    );
    return [
      ...this.held().map(({ address, pool: { id, at } }) => ({ at, release: { poolId: id, address } })),
      ...shared,
      ...open.map(({ id, at }) => ({ at, release: { poolId: id } })),
    ];
  }

  /** An address was granted. Throws when it was another's. */
  granted({ poolId, who, asked, address, shared, open }: Granting): 'given' | 'moved' {
    const pool = this.#byId.get(poolId);
    if (!pool || !(open || pool.mayRule))
      throw new Violation(`${who} was given ${address} through ${poolId}, which had ended`);
    if (asked !== '' && asked !== address) throw new Violation(`${who} asked for ${asked} and was given ${address}`);
    if (!membersOf(pool.subnet).includes(address)) throw new Violation(`${address} is no address of ${pool.subnet}`);
    const place = placeOf(pool, address);
    const before = this.#held.get(place);
    if (!shared) pool.served = true;
    if (pool.mayRule && before) throw new Violation(`${who} was given ${address}, which ${before.who} holds`);
    // It ended while it was asked through: nobody will use what it gave.
    if (pool.state !== 'open') return 'given';
    if (shared) {
      if (before) throw new Violation(`${who} is given ${address}, which ${before.who} holds`);
      const holders = this.#shared.get(place) ?? new Set();
      // A new term has the gateway alone.
      if (pool.space === 'global') holders.clear();
      this.#shared.set(place, holders.add(pool));
      return 'given';
    }
    if (this.#shared.has(place)) throw new Violation(`${who} was given ${address}, which is shared by networks`);
    if (before && before.who !== who && !this.#doubtful.has(place) && !this.#moves(before, who))
      throw new Violation(`${who} was given ${address}, which ${before.who} holds`);
    this.#doubtful.delete(place);
    this.#held.set(place, { who, address, pool });
    return before && before.pool !== pool && pool.space === 'local' ? 'moved' : 'given';
  }

  /** Throws when the store does not know the PoolID, though it has not ended. */
  stands(poolId: string, keyspace: Keyspace): void {
    const { id, space, subnet, join, at } = this.#byId.get(poolId)!;
    const pool = recordIn(keyspace, `pools/${space}/v4/${keyOf(subnet)}`);
    if (pool?.state !== 'open') throw new Violation(`the pool of ${id} is gone: ${JSON.stringify(pool)}`);
    const own = recordIn(keyspace, `joins/${space}/v4/${keyOf(subnet)}/${join}`);
    if (own?.node !== nodeOf(at)) throw new Violation(`the join of ${id} is gone: ${JSON.stringify(own)}`);
    if (space === 'global' && pool.leader !== join) throw new Violation(`${id} leads no more: ${pool.leader} does`);
  }

  /** Throws when the store does not say of each holder that it holds its address. */
  check(keyspace: Keyspace): void {
    const record = (key: string) => recordIn(keyspace, key);
    for (const { id, state } of this.pools) if (state === 'open') this.stands(id, keyspace);
    for (const [place, { who, address, pool }] of this.#held) {
      if (this.#doubtful.has(place)) continue;
      const { space, subnet, join, at, state } = pool;
      const claim = record(`claims/${space}/v4/${keyOf(subnet)}/${wide(address)}`);
      const own = claim?.join === join && (space === 'global' ? claim.kind === 'swarm' : claim.node === nodeOf(at));
      if (!own && state !== 'ending')
        throw new Violation(
          `${address} of ${who} is ${claim ? `claimed by another: ${JSON.stringify(claim)}` : 'free'}`,
        );
    }
    for (const [place, pools] of this.#shared) {
      const [space, subnet, address] = place.split(' ') as [string, string, string];
      for (const { id, join, state } of pools) {
        if (state !== 'open') continue;
        const at = `${space}/v4/${keyOf(subnet)}/${wide(address)}`;
        if (record(`claims/${at}`)?.kind !== 'shared') throw new Violation(`the shared ${address} of ${id} is gone`);
        if (!record(`holders/${at}/${join}`)) throw new Violation(`the part of ${id} in the shared ${address} is gone`);
      }
    }
  }

  /** The leader is the authority: a worker's address goes to whom the leader gave it, from whom it had it before. */
  #moves({ pool, address }: Held, who: string): boolean {
    return pool.space === 'local' && this.holder('global', pool.subnet, address) === who && this.#managed.has(pool.id);
  }

  #of(space: string, subnet: string): Pool[] {
    return this.pools.filter((pool) => pool.space === space && pool.subnet === subnet);
  }

  #letGo(place: string, held: Held, { space, subnet }: Pool): void {
    if (held.pool.space === space && held.pool.subnet === subnet) this.#held.delete(place);
  }

  #leave(place: string, pool: Pool): void {
    const holders = this.#shared.get(place);
    if (holders?.delete(pool) && holders.size === 0) this.#shared.delete(place);
  }
}

function recordIn(keyspace: Keyspace, key: string): Readonly<Record<string, unknown>> | undefined {
  return keyspace[key] as Readonly<Record<string, unknown>> | undefined;
}

export const nodeOf = (at: number): string => `n${at + 1}`;

function placeOf({ space, subnet }: Pool, address: string): string {
  return `${space} ${subnet} ${address}`;
}

/** `10.80.0.0/28` as `010.080.000.000-28`. */
function keyOf(subnet: string): string {
  const [network = '', length = ''] = subnet.split('/');
  return `${wide(network)}-${length}`;
}

/** The usable addresses of a subnet within one /24. */
export function membersOf(subnet: string): string[] {
  const [network = '', length = ''] = subnet.split('/');
  const cut = network.lastIndexOf('.') + 1;
  const first = Number(network.slice(cut));
  return Array.from({ length: 2 ** (32 - Number(length)) - 2 }, (_, i) => `${network.slice(0, cut)}${first + 1 + i}`);
}
