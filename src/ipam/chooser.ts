// Which address to try next: a cursor of one's own that leaps over what it finds taken, stretches of one's own where others walk
// as well, and a search that lets the store count when little is left. Remembers candidates, never claims; every one of them may be lost to another host.
import { freeIn } from '../net/gaps.js';
import type { Range } from '../net/prefix.js';
import type { Subnet } from './keyspace.js';
import type { NodeRecord } from './records.js';
import { Rooms } from './room.js';
import { NO_RULES, type Rules } from './rules.js';
import { SharedSearch } from './shared-search.js';
import type { Deadline, Found, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { type Left, type Takeable, Takeables } from './takeables.js';

/** Keys a lost claim reads along, from the candidate on. */
export const WINDOW = 64n;
/** Consecutive losses after which walking on is given up for a search. */
const MANY_LOSSES = 4;
/**
 * Stretches of a process that has met others: so long to begin with, and each time that one was its own to the end the next is
 * twice as long.
 */
const STRETCH = 64n;
const LONGEST_STRETCH = 1_024n;
/** Of what this process gave back so many are remembered; what rests does so for a quarter longer than it has to, and etcd may be late. */
const RETURNED = 64;
const RESTS = 1.25;
const LATE_MS = 1_000;
/** That a range is full is believed for so long, or for that many times what it took to find out. */
const FULL_MS = 1_000;
const SHARE = 100;
const FULL_AT_MOST_MS = 10_000;

const NOT_YET = Symbol('not yet');

export class Chooser {
  readonly #range: Range;
  readonly #around: Surroundings;
  readonly #takeables: Takeables;
  readonly #rooms: Rooms;
  #cursor: bigint;
  /** Candidates that were free when they were looked at. */
  #free: bigint[] = [];
  /** Where they are, or the stretch that is walked through: one that is lost there was taken by somebody who is walking there now. */
  #known: Range | undefined;
  #stretch: { next: bigint; readonly to: bigint } | undefined;
  /** What this process gave back last, and the instants from which it is free again: in a crowded range nothing is nearer. */
  #returned: { readonly value: bigint; readonly from: number }[] = [];
  readonly #retried = new Set<bigint>();
  readonly #restMs: number;
  #losses = 0;
  /** The last that is known of a claim is that it was lost: one goes ahead, and the others of this process wait for what becomes of it. */
  #wary = false;
  #ahead: bigint | undefined;
  readonly #behind: (() => void)[] = [];
  /** Only what was looked for is tried. */
  #sparse = false;
  /** Others walk here, too: how long a stretch is looked for. */
  #among: bigint | undefined;
  readonly #searching = new SharedSearch();
  #fullUntil = Number.NEGATIVE_INFINITY;
  /** The rules under which nothing was left. */
  #fullUnder = NO_RULES;

  /** `begin`: where it walks first, which is behind a gateway that the range begins with. */
  constructor(range: Range, subnet: Subnet, store: Store, self: Self, around: Surroundings, begin = range.from) {
    this.#range = range;
    this.#around = around;
    this.#restMs = self.restMs ?? 0;
    this.#rooms = new Rooms(range, subnet, store, around);
    this.#takeables = new Takeables(range, subnet, store, self, around);
    this.#cursor = begin;
  }

  /**
   * The next candidate, or undefined when there was no room a moment ago; as a promise only where it takes a search, or the end
   * of somebody else's claim. Of each one is told what became of it: `won`, `lost`, `back`, or `over` where nobody knows.
   */
  next(rules: Rules, by: Deadline): bigint | undefined | Promise<bigint | undefined> {
    const chosen = this.#atHand(rules);
    return chosen === NOT_YET ? this.#awaited(rules, by) : chosen;
  }

  async #awaited(rules: Rules, by: Deadline): Promise<bigint | undefined> {
    for (;;) {
      if (this.#ahead !== undefined) await new Promise<void>((wake) => this.#behind.push(wake));
      else await this.#searching.run(() => this.#search(rules, by));
      const chosen = this.#atHand(rules);
      if (chosen !== NOT_YET) return chosen;
    }
  }

  #atHand(rules: Rules): bigint | undefined | typeof NOT_YET {
    if (this.#ahead !== undefined) return NOT_YET;
    for (;;) {
      const known = this.#free.shift() ?? this.#walked(rules) ?? this.#ownAgain();
      if (known === undefined) break;
      if (!rules.isBarred(known)) return this.#sent(known);
    }
    if (this.#around.millis() < this.#fullUntil && rules.same(this.#fullUnder)) return undefined;
    return this.#sparse ? NOT_YET : this.#sent(this.#advance(rules));
  }

  won(value: bigint): void {
    this.#losses = 0;
    this.#wary = false;
    this.over(value);
    this.#retried.delete(value);
    if (this.#returned.length > 0) this.#returned = this.#returned.filter((one) => one.value !== value);
  }

  /** The addresses that a lost claim of `candidate` may read along: itself, and mostly what comes behind. */
  windowAt(candidate: bigint): Range {
    const end = this.#sparse ? candidate : candidate + WINDOW - 1n;
    return { family: this.#range.family, from: candidate, to: end < this.#range.to ? end : this.#range.to };
  }

  /** The candidate was not to blame that its claim was lost: it comes next. */
  back(candidate: bigint): void {
    this.#free.unshift(candidate);
    this.over(candidate);
  }

  /** Whoever waits for what became of the candidate need not any more. */
  over(candidate: bigint): void {
    if (this.#ahead !== candidate) return;
    this.#ahead = undefined;
    for (const wake of this.#behind.splice(0)) wake();
  }

  /**
   * `taken`: what the store holds of the window, ascending. Walking into what is taken is no race, and what is free behind it is
   * tried next. It is one where that is lost as well, which is what it returns. What several calls lose at once is one and the
   * same loss.
   */
  lost(candidate: bigint, window: Range, taken: readonly bigint[], rules: Rules): boolean {
    this.#wary = true;
    this.over(candidate);
    const known = this.#known !== undefined && candidate >= this.#known.from && candidate <= this.#known.to;
    const race = known || this.#sparse;
    if (known) {
      [this.#sparse, this.#among, this.#free] = [true, STRETCH, []];
      this.#known = this.#stretch = undefined;
    }
    // Others search here too, and have found it: what was given back before it is as likely gone.
    if (this.#retried.delete(candidate)) this.#returned = [];
    // What was found with it was found by others as well, and is as likely gone.
    if (this.#sparse && !this.#known) this.#free = [];
    if (this.#sparse || this.#known) return race;
    this.#losses++;
    if (freeIn(window, taken).every((value) => rules.isBarred(value)) || this.#losses >= MANY_LOSSES) {
      this.#sparse = true;
    } else if (this.#cursor <= window.to) {
      this.#known = { ...window, from: this.#cursor };
      this.#free.push(...freeIn(this.#known, taken));
      this.#cursor = window.to + 1n;
    }
    return race;
  }

  /** This address came back, and may have to rest. */
  freed(value: bigint): void {
    this.#fullUntil = Number.NEGATIVE_INFINITY;
    this.#takeables.freed(value);
    if (value < this.#range.from || value > this.#range.to) return;
    const rests = this.#restMs > 0 ? RESTS * this.#restMs + LATE_MS : 0;
    this.#returned.push({ value, from: this.#around.millis() + rests });
    if (this.#returned.length > RETURNED) this.#returned.shift();
  }

  /** A claim of the range to take over, for when there is no room. */
  takeable(left: Left, rules: Rules, by: Deadline): Promise<Takeable | undefined> {
    return this.#takeables.next(left, rules, by);
  }

  /** A takeable claim of that node, or of nobody, was lost. */
  lostTakeable(name: string, node: Found<NodeRecord> | undefined, living: boolean): void {
    this.#takeables.lost(name, node, living);
  }

  #sent(candidate: bigint | undefined): bigint | undefined {
    if (this.#wary) this.#ahead = candidate;
    return candidate;
  }

  /** Undefined where all of the range is barred. */
  #advance(rules: Rules): bigint | undefined {
    let next = rules.nextOpen(this.#cursor);
    if (next > this.#range.to) next = rules.nextOpen(this.#range.from);
    if (next > this.#range.to) return undefined;
    this.#known = undefined;
    this.#cursor = next + 1n;
    return next;
  }

  /** The next one of the stretch. */
  #walked(rules: Rules): bigint | undefined {
    if (!this.#stretch) return undefined;
    const next = rules.nextOpen(this.#stretch.next);
    this.#stretch.next = next + 1n;
    if (next <= this.#stretch.to) return next;
    this.#stretch = undefined;
    if (this.#among !== undefined && this.#among < LONGEST_STRETCH) this.#among *= 2n;
    return undefined;
  }

  #ownAgain(): bigint | undefined {
    const [first] = this.#returned;
    if (!this.#sparse || !first || this.#around.millis() < first.from) return undefined;
    this.#returned.shift();
    this.#retried.add(first.value);
    return first.value;
  }

  async #search(rules: Rules, by: Deadline): Promise<void> {
    const began = this.#around.millis();
    const room = await this.#rooms.find(rules, by, this.#among);
    if (!room) {
      this.#fullUnder = rules;
      this.#fullUntil = fullUntil(began, this.#around.millis());
    }
    this.#free.push(...(room?.free ?? []));
    if (!room?.stretch) return;
    const { from, to } = room.stretch;
    if (this.#among === undefined && to - from >= WINDOW / 2n - 1n) {
      this.#sparse = false;
      this.#losses = 0;
      this.#cursor = from;
    } else {
      this.#known = room.stretch;
      this.#stretch = { next: from, to };
    }
  }
}

/** Looking costs the store time, so the longer it took the longer it is believed. */
function fullUntil(began: number, ended: number): number {
  return ended + Math.min(Math.max(FULL_MS, SHARE * (ended - began)), FULL_AT_MOST_MS);
}
