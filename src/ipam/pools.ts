// RequestPool: joining a subnet or making it, under the guard that keeps a space free of overlaps. In a global space one
// does not join: each RequestPool is an epoch of its own, which replaces the one before.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix, overlaps, type Prefix } from '../net/prefix.js';
import { type AnyPool, Automatic } from './automatic.js';
import { InDoubtError, IpamError } from './errors.js';
import type { Grant } from './grant.js';
import { guardKey, joinKey, joinsOf, poolKey, rulesKey, type Subnet } from './keyspace.js';
import { nearestPool } from './pages.js';
import type { PoolRef } from './pool-id.js';
import { guarded, guarding, type PoolRemoval } from './pool-removal.js';
import type { Predefined } from './predefined.js';
import { KeyedQueue } from './queue.js';
import type { GuardRecord, JoinRecord, PoolRecord, RulesRecord } from './records.js';
import { ruleSetOf } from './rules.js';
import { familyOf, isGlobal } from './spaces.js';
import type { Change, Deadline, Found, Store, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import type { Terms } from './terms.js';
import { superseded, type Views } from './views.js';

const MOST_ATTEMPTS = 64;

export interface PoolAsk {
  readonly space: string;
  /** A subnet, or only how large it should be (`length` undefined: as predefined). */
  readonly pool: Prefix | AnyPool;
  readonly range?: Prefix;
  /** Addresses that every network of the subnet may list as auxiliary. */
  readonly shared: readonly Address[];
  /** The network is the swarm's: its leader may have given the addresses that are asked for by number. */
  readonly managed?: boolean;
}

interface Neighbourhood {
  readonly prefix: Prefix;
  readonly guard: Found<GuardRecord> | undefined;
  readonly pool?: Found<PoolRecord> | undefined;
  /** What an operator has laid down for the subnet: part of the pool from its first instant. */
  readonly rules?: Found<RulesRecord> | undefined;
  /** Left without a join by a process that died while it removed the last one. */
  readonly abandoned?: boolean;
  /** The join that rules a global pool. */
  readonly leader?: Found<JoinRecord> | undefined;
}

type UndoIf = (settled: Promise<boolean>, pool: PoolRef) => void;

export class Pools {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #views: Views;
  readonly #removal: PoolRemoval;
  readonly #terms: Terms;
  readonly #automatic: Automatic;
  readonly #queue = new KeyedQueue();

  constructor(
    store: Store,
    self: Self,
    around: Surroundings,
    views: Views,
    removal: PoolRemoval,
    terms: Terms,
    predefined: readonly Predefined[],
  ) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#views = views;
    this.#removal = removal;
    this.#terms = terms;
    this.#automatic = new Automatic(store, removal, predefined);
  }

  /**
   * One at a time for a family: this process's own requests would otherwise lose the guard to one another. What a leader asks
   * for waits until the subnet is `released`.
   */
  async request(
    ask: PoolAsk,
    released: (subnet: Subnet) => Promise<void>,
    undoIf: UndoIf,
    by: Deadline,
  ): Promise<Grant<PoolRef>> {
    const { space, pool } = ask;
    let base: string | undefined;
    if (isGlobal(space) && !('any' in pool)) {
      const subnet = { space, prefix: pool };
      // Before it waits: an epoch that another leader begins meanwhile is not to be replaced by what was asked earlier.
      base = await this.#epochOf(subnet, by);
      await released(subnet);
    }
    return this.#queue.run(familyOf(space), () => this.#request(ask, base, undoIf, by));
  }

  async #request(ask: PoolAsk, base: string | undefined, undoIf: UndoIf, by: Deadline): Promise<Grant<PoolRef>> {
    const join = this.#around.token();
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      const near =
        'any' in ask.pool ? await this.#choose(ask.space, ask.pool, by) : await this.#find(ask, ask.pool, by);
      const { prefix, pool, abandoned }: Neighbourhood = near;
      const subnet: Subnet = { space: ask.space, prefix };
      if (pool && (pool.record.state === 'closing' || abandoned)) {
        await this.#removal.closeIfLeft(subnet, by);
        continue;
      }
      if (pool && isGlobal(ask.space)) this.#mayReplace(subnet, pool, base);
      const epoch = isGlobal(ask.space) ? { epoch: (pool?.record.epoch ?? 0) + 1 } : {};
      const ref: PoolRef = { ...subnet, ...(ask.range && { range: ask.range }), ...epoch, join };
      const token = this.#around.token();
      const change = this.#joining(ask, ref, token, near);
      try {
        const outcome = await this.#store.commit(change, by);
        if (outcome.done) {
          this.#remember(ref, outcome.version, change.write, pool);
          if (isGlobal(ask.space)) this.#terms.took(ref);
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

  async #choose(space: string, wanted: AnyPool, by: Deadline): Promise<Neighbourhood> {
    const chosen = await this.#automatic.choose(space, wanted, by);
    const [rules] = await this.#store.read([{ one: rulesKey({ space, prefix: chosen.prefix }) }], by);
    return { ...chosen, rules };
  }

  async #epochOf(subnet: Subnet, by: Deadline): Promise<string | undefined> {
    const [pool] = await this.#store.read([{ one: poolKey(subnet) }], by);
    return nameOfEpoch(pool);
  }

  /** Whether this leader's epoch may follow the one there is. */
  #mayReplace(subnet: Subnet, pool: Found<PoolRecord>, base: string | undefined): void {
    if (this.#terms.holds(subnet)) throw inUse(subnet);
    if (nameOfEpoch(pool) !== base) throw superseded(subnet, pool.record);
  }

  /**
   * Whether the subnet can be joined or made: the last pool that starts at or below its end is the only one in the way.
   * A pool without a join was left by a process that died while it removed the last one.
   */
  async #find({ space }: PoolAsk, prefix: Prefix, by: Deadline): Promise<Neighbourhood> {
    for (;;) {
      const subnet = { space, prefix };
      const around = await nearestPool(
        this.#store,
        subnet,
        [
          { one: guardKey(space) },
          { one: poolKey(subnet) },
          { one: rulesKey(subnet) },
          { span: joinsOf(subnet), limit: 1 },
        ],
        by,
      );
      const [guard, pool, rules, joins] = around.seen;
      const nearest = around.nearest?.prefix;
      if (pool || !nearest || !overlaps(nearest, prefix))
        return {
          ...{ prefix, guard, pool, rules },
          abandoned: joins.found.length === 0 && !isGlobal(space),
          leader: joins.found[0],
        };
      if (!(await this.#removal.closeIfLeft({ space, prefix: nearest }, by))) {
        throw new IpamError(
          'overlap',
          `pool ${formatPrefix(prefix)} overlaps with ${formatPrefix(nearest)} in address space ${space}`,
        );
      }
    }
  }

  #joining(
    ask: PoolAsk,
    ref: PoolRef,
    token: string,
    { guard, pool, rules, leader }: Neighbourhood,
  ): Change<readonly []> {
    const since = this.#around.now().toISOString();
    const { epoch } = ref;
    const record: JoinRecord = {
      node: this.#self.node,
      boot: this.#self.boot,
      ...(ask.range && { range: formatPrefix(ask.range) }),
      ...(ask.shared.length > 0 && { shared: ask.shared.map(formatAddress) }),
      ...(ask.managed && { managed: true }),
      ...(epoch !== undefined && { epoch, ...replacing(pool?.record, leader) }),
      since,
      token,
    };
    const key = joinKey(ref, ref.join);
    const put: Write = { put: key, record };
    const witness = { key, token };
    const ruled = epoch !== undefined && { epoch, leader: ref.join, stage: 'new' as const };
    if (pool) {
      const when = [{ key: poolKey(ref), version: pool.version }];
      if (!ruled) return { when, write: [put], otherwise: [], witness };
      const next: PoolRecord = { ...pool.record, ...ruled, token };
      const before = pool.record.leader!;
      const write = [put, { put: poolKey(ref), record: next }, { remove: joinKey(ref, before) }];
      return { when, write, otherwise: [], witness };
    }
    const laid = rules && { rules: ruleSetOf(rules.record) };
    const made: PoolRecord = { state: 'open', ...laid, ...(ruled && { ...ruled, incarnation: token }), since, token };
    return {
      when: [
        ...guarded(ref, guard),
        { key: poolKey(ref), version: null },
        { key: rulesKey(ref), version: rules?.version ?? null },
      ],
      write: [put, { put: poolKey(ref), record: made }, guarding(ref, this.#around.token())],
      otherwise: [],
      witness,
    };
  }

  /** Saves the first RequestAddress a look at what was just written. */
  #remember(ref: PoolRef, version: string, write: readonly Write[], joined: Found<PoolRecord> | undefined): void {
    const put = (key: string) =>
      write.find((one) => 'put' in one && one.put.key === key) as { record: object } | undefined;
    const { key } = poolKey(ref);
    const written = put(key);
    const pool = written ? { key, version, record: written.record as PoolRecord } : joined;
    const join = joinKey(ref, ref.join).key;
    this.#views.set(ref, pool, { key: join, version, record: put(join)!.record as JoinRecord });
  }
}

/**
 * What an epoch goes back to if it ends before it has served: the last whose engine knows its PoolID, and if that has not
 * served either, what it goes back to in its turn. Two are enough: a third would have to lose both.
 */
function replacing(pool: PoolRecord | undefined, leader: Found<JoinRecord> | undefined): Pick<JoinRecord, 'replaces'> {
  if (!pool || !leader) return {};
  const { replaces, ...record } = leader.record;
  if (pool.stage === 'new') return replaces ? { replaces } : {};
  const { replaces: _, ...before } = (replaces?.record ?? {}) as JoinRecord;
  const kept = pool.stage === 'asked' && replaces ? { ...record, replaces: { ...replaces, record: before } } : record;
  return { replaces: { join: pool.leader!, stage: pool.stage!, record: kept } };
}

/** Which epoch of which incarnation the pool is in. */
function nameOfEpoch(pool: Found<PoolRecord> | undefined): string | undefined {
  return pool?.record.state === 'open' ? `${pool.record.incarnation} ${pool.record.epoch}` : undefined;
}

/** The sentence for a second network of a subnet. */
export function inUse({ prefix }: Subnet): IpamError {
  return new IpamError(
    'overlap',
    `pool ${formatPrefix(prefix)} is in use by another network of the swarm, and two overlay networks cannot share it; ` +
      'if there is no such network any more, name its gateway with --gateway to take the subnet over',
  );
}
