// An address that is named: judged by what there is, then claimed. Knows no way to choose.
import { type Address, formatAddress } from '../net/address.js';
import { contains, formatPrefix, reservedAs } from '../net/prefix.js';
import { type Facts, factsOf, onSwarm, purposeOf, wantedOf } from './asked.js';
import { type AddressAsk, type Claiming, contended, MOST_ATTEMPTS, type Plan } from './claiming.js';
import { isOfFormerEpoch, isOfNode, judge, type Verdict } from './decide.js';
import { IpamError, outside } from './errors.js';
import { overtaken } from './gateways.js';
import type { Grant } from './grant.js';
import { claimKey, holderKey, joinsOf, poolKey } from './keyspace.js';
import { readNode } from './nodes.js';
import type { PoolRef } from './pool-id.js';
import type { ClaimRecord, HolderRecord } from './records.js';
import { poolAround, type Releases } from './releases.js';
import { ruledOut } from './ruled-out.js';
import { rulesOf } from './rules.js';
import type { Shown } from './shown.js';
import { isGlobal } from './spaces.js';
import type { Deadline, Found, Store } from './store.js';
import type { Self } from './surroundings.js';
import type { View, Views } from './views.js';

interface Looked {
  readonly verdict: Verdict;
  /** Our own part in the address, should it be shared already. */
  readonly prior?: Found<HolderRecord> | undefined;
}

/** Whether an address that was picked is to be had, by what there is now. */
export type StillMeant = (verdict: Verdict, view: View) => boolean;

export class ByNumber {
  readonly #store: Store;
  readonly #self: Self;
  readonly #views: Views;
  readonly #releases: Releases;
  readonly #claiming: Claiming;
  readonly #shown: Shown;

  constructor(store: Store, self: Self, views: Views, releases: Releases, claiming: Claiming, shown: Shown) {
    this.#store = store;
    this.#self = self;
    this.#views = views;
    this.#releases = releases;
    this.#claiming = claiming;
    this.#shown = shown;
  }

  /** What an engine or a leader names. */
  request(ask: AddressAsk, address: Address, view: View, by: Deadline): Promise<Grant<Address>> {
    const { pool } = ask;
    if (!contains(pool.prefix, address)) return this.#inSibling(ask, address, by);
    const reserved = reservedAs(pool.prefix, address);
    if (reserved) {
      throw new IpamError(
        'not_assignable',
        `${formatAddress(address)} is the ${reserved} of pool ${formatPrefix(pool.prefix)}`,
      );
    }
    return this.claim(ask, address, view, by);
  }

  /** In its turn. `still`: asked anew after each look. */
  claim(ask: AddressAsk, address: Address, view: View, by: Deadline, still?: StillMeant): Promise<Grant<Address>> {
    return this.#releases.queued(ask.pool, address, () => this.#claim(ask, address, view, by, still));
  }

  async #claim(
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
    return this.claim(sibling, address, view, by);
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
}
