// RequestAddress: from what is asked to a guarded claim. Knows pools, joins and claims; not the wire that asked.
import { type Address, formatAddress } from '../net/address.js';
import { contains, formatPrefix, reservedAs } from '../net/prefix.js';
import { type Facts, factsOf, isSame, onSwarm, purposeOf, reservedFor, wantedOf } from './asked.js';
import { Chooser } from './chooser.js';
import { type AddressAsk, Claiming, choices, contended, exhausted, MOST_ATTEMPTS, type Plan } from './claiming.js';
import { isOfFormerEpoch, isOfNode, judge, type Verdict } from './decide.js';
import { IpamError, outside } from './errors.js';
import { chooseGateway, isStillMeant, overtaken } from './gateways.js';
import type { Grant } from './grant.js';
import { addressOfClaim, claimKey, claimsIn, holderKey, isOurs, joinsOf, poolKey } from './keyspace.js';
import { readNode } from './nodes.js';
import { Pace } from './pace.js';
import type { PoolRef } from './pool-id.js';
import type { ClaimRecord, HolderRecord } from './records.js';
import { poolAround, type Releases } from './releases.js';
import { ruledOut } from './ruled-out.js';
import { type Rules, rulesOf } from './rules.js';
import type { Shown } from './shown.js';
import { isGlobal } from './spaces.js';
import type { Answers, Deadline, Found, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import type { Takeable } from './takeables.js';
import type { Undos } from './undos.js';
import { type View, type Views, viewOf } from './views.js';

/** A new leader asks for all it knows at its start, and for what failed then every 5 minutes: three times that. */
const FORMER_EPOCH_ROUNDS = 30;

interface Looked {
  readonly verdict: Verdict;
  /** Our own part in the address, should it be shared already. */
  readonly prior?: Found<HolderRecord> | undefined;
}

/** Whether an address that was picked is to be had, by what there is now. */
type StillMeant = (verdict: Verdict, view: View) => boolean;

export class Addresses {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #views: Views;
  readonly #releases: Releases;
  readonly #shown: Shown;
  readonly #claiming: Claiming;
  /** The round in which this process first gave an address through the join. */
  readonly #served = new Map<string, number>();
  /** What is read before a range is said to be full, by join. */
  readonly #paces = new Map<string, Pace<Answers<ReturnType<typeof viewOf>>>>();
  readonly #choosers = new Map<string, { readonly chooser: Chooser; readonly joins: Set<string> }>();

  constructor(
    store: Store,
    self: Self,
    around: Surroundings,
    views: Views,
    releases: Releases,
    undos: Undos,
    shown: Shown,
  ) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#views = views;
    this.#releases = releases;
    this.#shown = shown;
    this.#claiming = new Claiming(store, self, around, views, releases, undos);
  }

  request(ask: AddressAsk, by: Deadline): Promise<Grant<Address>> {
    const { address, pool, purpose } = ask;
    if (!address && purpose === 'gateway') return this.#gateway(ask, by);
    const view = this.#views.known(pool);
    return view && !address ? this.#unnamed(ask, view, by) : this.#request(ask, view, by);
  }

  async #request(ask: AddressAsk, known: View | undefined, by: Deadline): Promise<Grant<Address>> {
    const { address, pool } = ask;
    const view = known ?? (await this.#views.of(pool, by));
    if (!address) return this.#unnamed(ask, view, by);
    if (!contains(pool.prefix, address)) return this.#inSibling(ask, address, by);
    const reserved = reservedAs(pool.prefix, address);
    if (reserved) {
      throw new IpamError(
        'not_assignable',
        `${formatAddress(address)} is the ${reserved} of pool ${formatPrefix(pool.prefix)}`,
      );
    }
    return this.#releases.queued(pool, address, () => this.#byNumber(ask, address, view, by));
  }

  /** What was learnt of free and taken addresses is of an etcd that is gone. */
  forgetAll(): void {
    this.#choosers.clear();
  }

  /** The address may be free again, or rests. */
  freed(pool: PoolRef, { value }: Address): void {
    for (const { chooser, joins } of this.#choosers.values()) if (joins.has(pool.join)) chooser.freed(value);
  }

  forget(pool: PoolRef): void {
    this.#served.delete(pool.join);
    this.#paces.delete(pool.join);
    for (const [key, { joins }] of this.#choosers)
      if (joins.delete(pool.join) && joins.size === 0) this.#choosers.delete(key);
  }

  /** What is reserved for whoever asks, or else any. Where that changed meanwhile it is decided anew. */
  async #unnamed(ask: AddressAsk, first: View, by: Deadline): Promise<Grant<Address>> {
    let view = first;
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      const address = reservedFor(ask, view);
      try {
        if (!address) return await this.#dynamic(ask, view, by);
        const chosen = view;
        const still: StillMeant = (_, seen) => isSame(reservedFor(ask, seen), address);
        return await this.#releases.queued(ask.pool, address, () =>
          this.#byNumber({ ...ask, address }, address, chosen, by, still),
        );
      } catch (error) {
        if (!(error instanceof IpamError) || error.code !== 'taken') throw error;
        view = await this.#views.of(ask.pool, by);
        if (isSame(reservedFor(ask, view), address)) throw error;
      }
    }
    throw contended(ask.pool);
  }

  async #byNumber(
    ask: AddressAsk,
    address: Address,
    first: View,
    by: Deadline,
    still: StillMeant = () => true,
  ): Promise<Grant<Address>> {
    let view = first;
    // Usually the address is free, and the claim itself is the first look. Where the swarm is the authority it is asked first;
    // and rules that forbid it may have been changed.
    const unseen: Looked = { verdict: { kind: 'free' } };
    let looked = unseen;
    let races = 0;
    if (onSwarm(ask, view) || this.#ruledOut(ask, address, view, looked.verdict)) {
      const facts = await this.#store.read(factsOf(ask.pool, address, this.#self), by);
      view = this.#views.set(ask.pool, facts[0], facts[1]);
      looked = await this.#look(ask, address, view, facts, by);
      if (!still(looked.verdict, view)) throw overtaken(ask.pool, address);
    }
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      if (looked.verdict.kind === 'refuse') throw looked.verdict.error;
      const plan = this.#claiming.plan(
        ask,
        purposeOf(ask, address, view, looked.verdict),
        address,
        looked.verdict,
        looked.prior,
      );
      const outcome = await this.#claiming.commit(ask, view, plan, factsOf(ask.pool, address, this.#self), by);
      if (outcome.done) return this.#claiming.granted(ask, view, plan, attempt, races);
      if (looked !== unseen && this.#isOthers(ask, outcome.seen[2], plan.prior)) races++;
      view = this.#views.set(ask.pool, outcome.seen[0], outcome.seen[1]);
      looked = await this.#look(ask, address, view, outcome.seen, by);
      if (!still(looked.verdict, view)) throw overtaken(ask.pool, address);
    }
    throw contended(ask.pool);
  }

  /** Whether the claim is somebody else's, and came after what was looked at. */
  #isOthers({ pool }: AddressAsk, claim: Found<ClaimRecord> | undefined, looked: Plan['prior']): boolean {
    if (!claim || claim.version === looked?.version) return false;
    return claim.record.node !== this.#self.node && claim.record.join !== pool.join;
  }

  /**
   * What is to be done about the address, by what one revision says of it. Only what another node holds needs a second look,
   * at that node.
   */
  async #look(ask: AddressAsk, address: Address, view: View, facts: Facts, by: Deadline): Promise<Looked> {
    const [, , claim, { found: holders }, node, swarm, pool] = facts;
    const wanted = wantedOf(ask, address, view);
    const ofSwarm = onSwarm(ask, view) ? { swarm, ruled: pool?.record.state === 'open' } : {};
    const seen = { claim, holders, node, ...ofSwarm, shown: claim !== undefined && this.#shown.has(claim) };
    let verdict = judge(wanted, seen, this.#self);
    const other = claim && isOfNode(claim.record) && claim.record.node !== this.#self.node && claim.record.node;
    if (verdict.kind === 'refuse' && other)
      verdict = judge(wanted, { ...seen, owner: await readNode(this.#store, other, by) }, this.#self);
    const error = this.#ruledOut(ask, address, view, verdict);
    if (error) verdict = { kind: 'refuse', error };
    return { verdict, prior: holders.find(({ key }) => key === holderKey(ask.pool, address, ask.pool.join).key) };
  }

  #ruledOut(ask: AddressAsk, address: Address, view: View, verdict: Verdict): IpamError | undefined {
    return ruledOut(rulesOf(view.pool.record), wantedOf(ask, address, view), verdict, ask.pool.prefix);
  }

  /**
   * A leader asks the pools of a network in any order for what it gave before, and takes a refusal of the wrong one for the
   * last word. So what a former epoch gave in another pool of this leader is claimed there.
   */
  async #inSibling(ask: AddressAsk, address: Address, by: Deadline): Promise<Grant<Address>> {
    const pool = await this.#siblingOf(ask, address, by);
    if (!pool) throw outside(address, ask.pool.prefix);
    const sibling: AddressAsk = { ...ask, pool, through: ask.pool.join };
    const view = await this.#views.of(pool, by);
    return this.#releases.queued(pool, address, () => this.#byNumber(sibling, address, view, by));
  }

  async #siblingOf({ pool }: AddressAsk, address: Address, by: Deadline): Promise<PoolRef | undefined> {
    const around = isGlobal(pool.space) ? await poolAround(this.#store, pool.space, address, by) : undefined;
    if (!around) return undefined;
    const [record, joins, claim] = await this.#store.read(
      [{ one: poolKey(around) }, { span: joinsOf(around), limit: 1 }, { one: claimKey(around, address) }],
      by,
    );
    const leader = joins.found[0]?.record;
    const { node, boot } = this.#self;
    if (record?.record.leader === undefined || leader?.node !== node || leader.boot !== boot) return undefined;
    if (!claim || !isOfFormerEpoch(claim, record.record.leader)) return undefined;
    return { ...around, epoch: leader.epoch ?? 0, join: record.record.leader };
  }

  #gateway(ask: AddressAsk, by: Deadline): Promise<Grant<Address>> {
    const claim = (address: Address, view: View, rests: boolean) =>
      this.#releases.queued(ask.pool, address, () =>
        this.#byNumber(ask, address, view, by, (verdict, seen) => isStillMeant(address, verdict, seen, view, rests)),
      );
    return chooseGateway(ask, this.#store, this.#views, claim, by);
  }

  async #dynamic(ask: AddressAsk, first: View, by: Deadline): Promise<Grant<Address>> {
    const chooser = this.#chooser(ask.pool, first);
    const { family } = ask.pool.prefix;
    let view = first;
    // Until one is lost for another reason than that the address is taken.
    let brief = true;
    let races = 0;
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
      const rules = rulesOf(view.pool.record);
      const next = chooser.next(rules, by);
      const value = next instanceof Promise ? await next : next;
      const last = value === undefined ? await this.#takeable(ask.pool, chooser, rules, by) : undefined;
      if (value === undefined && !last) {
        // Nothing was compared: what is remembered of the rules may be out of date.
        const [pool, join] = await this.#looks(ask.pool).look(by);
        if (pool?.version === view.pool.version) throw exhausted(ask.pool, rules);
        view = this.#views.set(ask.pool, pool, join);
        if (reservedFor(ask, view)) throw overtaken(ask.pool);
        continue;
      }
      const address = last ? addressOfClaim(last.claim.key) : { family, value: value! };
      try {
        const verdict: Verdict = last ? { kind: 'take', ...last } : { kind: 'free' };
        const plan = this.#claiming.plan(ask, ask.purpose, address, verdict, undefined);
        const window = chooser.windowAt(address.value);
        const around = { keys: claimsIn(ask.pool, window), limit: 0 };
        const outcome = brief
          ? await this.#claiming.commit(ask, view, plan, [around], by, brief)
          : await this.#claiming.commit(ask, view, plan, [around, ...viewOf(ask.pool)], by);
        if (outcome.done) {
          chooser.won(address.value);
          return this.#claiming.granted(ask, view, plan, attempt, races);
        }
        const { seen } = outcome;
        if (seen.length > 1) {
          view = this.#views.set(ask.pool, seen[1], seen[2]);
          if (reservedFor(ask, view)) throw overtaken(ask.pool);
        }
        const taken = seen[0].keys.filter(isOurs).map((key) => addressOfClaim(key).value);
        if (last) await this.#lostTakeable(last, chooser, by);
        brief = true;
        if (last || !taken.includes(address.value)) brief = false;
        if (!taken.includes(address.value)) chooser.back(address.value);
        else if ((last || chooser.lost(address.value, window, taken, rules)) && !outcome.own) races++;
      } finally {
        chooser.over(address.value);
      }
    }
    throw contended(ask.pool);
  }

  /** What rests; and what nobody stands behind, or the present leader has not asked for again once it has had the time. */
  async #takeable(pool: PoolRef, chooser: Chooser, rules: Rules, by: Deadline): Promise<Takeable | undefined> {
    if (!isGlobal(pool.space)) return chooser.takeable('nodes', rules, by);
    const served = this.#around.rounds() - (this.#served.get(pool.join) ?? Number.POSITIVE_INFINITY);
    return chooser.takeable(served >= FORMER_EPOCH_ROUNDS ? { leader: pool.join } : 'nobody', rules, by);
  }

  async #lostTakeable({ claim }: Takeable, chooser: Chooser, by: Deadline): Promise<void> {
    const name = claim.record.node ?? this.#self.node;
    const node = await readNode(this.#store, name, by);
    chooser.lostTakeable(name, node?.found, node?.living ?? false);
  }

  #looks(pool: PoolRef): Pace<Answers<ReturnType<typeof viewOf>>> {
    let pace = this.#paces.get(pool.join);
    if (!pace) {
      pace = new Pace(this.#around, (by) => this.#store.read(viewOf(pool), by));
      this.#paces.set(pool.join, pace);
    }
    return pace;
  }

  #chooser(pool: PoolRef, { pool: { record } }: View): Chooser {
    const key = choiceOf(pool);
    let entry = this.#choosers.get(key);
    if (!entry) {
      const range = choices(pool);
      const led = record.gateway === formatAddress({ family: range.family, value: range.from });
      const begin = led ? range.from + 1n : range.from;
      entry = { chooser: new Chooser(range, pool, this.#store, this.#self, this.#around, begin), joins: new Set() };
      this.#choosers.set(key, entry);
    }
    entry.joins.add(pool.join);
    if (!this.#served.has(pool.join)) this.#served.set(pool.join, this.#around.rounds());
    return entry.chooser;
  }
}

const CHOICES = new WeakMap<PoolRef, string>();

/** The same for all joins that choose from the same addresses. */
function choiceOf(pool: PoolRef): string {
  let text = CHOICES.get(pool);
  if (text === undefined) {
    text = `${pool.space} ${formatPrefix(pool.prefix)} ${pool.range ? formatPrefix(pool.range) : ''}`;
    CHOICES.set(pool, text);
  }
  return text;
}
