// An address that nobody names: chosen, claimed, and chosen again where it was lost. Knows no rule of who may have what.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import { reservedFor } from './asked.js';
import { Chooser } from './chooser.js';
import { type AddressAsk, type Claiming, choices, contended, exhausted, MOST_ATTEMPTS } from './claiming.js';
import type { Verdict } from './decide.js';
import { overtaken } from './gateways.js';
import type { Grant } from './grant.js';
import { addressOfClaim, claimsIn, isOurs } from './keyspace.js';
import { readNode } from './nodes.js';
import { Pace } from './pace.js';
import type { PoolRef } from './pool-id.js';
import { type Rules, rulesOf } from './rules.js';
import { isGlobal } from './spaces.js';
import type { Answers, Deadline, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import type { Takeable } from './takeables.js';
import { type View, type Views, viewOf } from './views.js';

/** A new leader asks for all it knows at its start, and for what failed then every 5 minutes: three times that. */
const FORMER_EPOCH_ROUNDS = 30;

export class ByChoice {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #views: Views;
  readonly #claiming: Claiming;
  /** The round in which this process first gave an address through the join. */
  readonly #served = new Map<string, number>();
  /** What is read before a range is said to be full, by join. */
  readonly #paces = new Map<string, Pace<Answers<ReturnType<typeof viewOf>>>>();
  readonly #choosers = new Map<string, { readonly chooser: Chooser; readonly joins: Set<string> }>();

  constructor(store: Store, self: Self, around: Surroundings, views: Views, claiming: Claiming) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#views = views;
    this.#claiming = claiming;
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

  async request(ask: AddressAsk, first: View, by: Deadline): Promise<Grant<Address>> {
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
