// Which address to try next: a cursor of one's own that leaps over what it finds taken, and a search that lets the
// store count when little is left. Remembers candidates, never claims; every one of them may be lost to another host.
import { freeIn } from '../net/gaps.js';
import type { Range } from '../net/prefix.js';
import type { Subnet } from './keyspace.js';
import type { NodeRecord } from './records.js';
import { Rooms } from './room.js';
import { NO_RULES, type Rules } from './rules.js';
import type { Deadline, Found, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { type Left, type Takeable, Takeables } from './takeables.js';

/** Keys a lost claim reads along, from the candidate on. */
export const WINDOW = 64n;
/** Consecutive losses after which leaping about is given up for a search. */
const MANY_LOSSES = 4;
/** That a range is full is believed for so long, or for that many times what it took to find out. */
const FULL_MS = 1_000;
const SHARE = 100;
const FULL_AT_MOST_MS = 10_000;

export class Chooser {
  readonly #range: Range;
  readonly #around: Surroundings;
  readonly #takeables: Takeables;
  readonly #rooms: Rooms;
  #cursor: bigint;
  #free: bigint[] = [];
  #losses = 0;
  #sparse = false;
  #searching: Promise<void> | undefined;
  #fullUntil = Number.NEGATIVE_INFINITY;
  /** The rules under which nothing was left. */
  #fullUnder = NO_RULES;

  constructor(range: Range, subnet: Subnet, store: Store, self: Self, around: Surroundings) {
    this.#range = range;
    this.#around = around;
    this.#rooms = new Rooms(range, subnet, store, around);
    this.#takeables = new Takeables(range, subnet, store, self, around);
    this.#cursor = range.from;
  }

  /** The next candidate, or undefined when there was no room a moment ago. */
  async next(rules: Rules, by: Deadline): Promise<bigint | undefined> {
    for (;;) {
      const known = this.#free.shift();
      if (known !== undefined && rules.isBarred(known)) continue;
      if (known !== undefined) return known;
      if (this.#around.millis() < this.#fullUntil && rules.same(this.#fullUnder)) return undefined;
      if (!this.#sparse) return this.#advance(rules);
      this.#searching ??= this.#search(rules, by).finally(() => {
        this.#searching = undefined;
      });
      await this.#searching;
    }
  }

  won(): void {
    this.#losses = 0;
  }

  /** The addresses that a lost claim of `candidate` may read along: from it on, at most WINDOW of them. */
  windowAt(candidate: bigint): Range {
    const end = candidate + WINDOW - 1n;
    return { family: this.#range.family, from: candidate, to: end < this.#range.to ? end : this.#range.to };
  }

  /** The candidate was not to blame that its claim was lost: it comes next. */
  back(candidate: bigint): void {
    this.#free.unshift(candidate);
  }

  /** `taken`: what the store holds of the window, ascending. Two losses in a row are a race: leap to elsewhere. */
  lost(candidate: bigint, taken: readonly bigint[], rules: Rules): void {
    const window = this.windowAt(candidate);
    this.#losses++;
    if (freeIn(window, taken).every((value) => rules.isBarred(value)) || this.#losses >= MANY_LOSSES) {
      this.#sparse = true;
      if (this.#cursor <= window.to) this.#cursor = window.to + 1n;
    } else if (this.#losses > 1) {
      this.#free = [];
      this.#cursor = this.#range.from + this.#around.below(this.#range.to - this.#range.from + 1n);
    } else if (this.#free.length === 0 && this.#cursor <= window.to) {
      this.#free = freeIn({ ...window, from: this.#cursor }, taken);
      this.#cursor = window.to + 1n;
    }
  }

  /** An address of the range came back, this one if it is known; it may have to rest. */
  freed(value?: bigint): void {
    this.#fullUntil = Number.NEGATIVE_INFINITY;
    this.#takeables.freed(value);
  }

  /** A claim of the range to take over, for when there is no room. */
  takeable(left: Left, rules: Rules, by: Deadline): Promise<Takeable | undefined> {
    return this.#takeables.next(left, rules, by);
  }

  /** A takeable claim of that node, or of nobody, was lost. */
  lostTakeable(name: string, node: Found<NodeRecord> | undefined, living: boolean): void {
    this.#takeables.lost(name, node, living);
  }

  /** Undefined where all of the range is barred. */
  #advance(rules: Rules): bigint | undefined {
    let next = rules.nextOpen(this.#cursor);
    if (next > this.#range.to) next = rules.nextOpen(this.#range.from);
    if (next > this.#range.to) return undefined;
    this.#cursor = next + 1n;
    return next;
  }

  async #search(rules: Rules, by: Deadline): Promise<void> {
    const began = this.#around.millis();
    const room = await this.#rooms.find(rules, by);
    if (!room) {
      this.#fullUnder = rules;
      this.#fullUntil = fullUntil(began, this.#around.millis());
    }
    this.#free.push(...(room?.free ?? []));
    if (room?.onFrom === undefined) return;
    this.#sparse = false;
    this.#cursor = room.onFrom;
  }
}

/** Looking costs the store time, so the longer it took the longer it is believed. */
function fullUntil(began: number, ended: number): number {
  return ended + Math.min(Math.max(FULL_MS, SHARE * (ended - began)), FULL_AT_MOST_MS);
}
