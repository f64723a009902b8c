// Where a crowded range has room: the store counts parts of it, those with room are parted and counted again, the smallest are
// listed. Remembers parts that had room when they were counted; refuses to know who claims what it finds.
import { freeIn, split } from '../net/gaps.js';
import type { Range } from '../net/prefix.js';
import { addressOfClaim, claimsIn, type Subnet } from './keyspace.js';
import { NO_RULES, type Rules } from './rules.js';
import type { Deadline, Store } from './store.js';
import type { Surroundings } from './surroundings.js';

/** To begin with. Few are looked at until something is found, so that no look costs the store all of a /16. */
const PARTS = 64;
/** Parts of a part, and what is no longer parted. */
const FINER = 32;
const LISTED = 32n;
/** Listed at once: more would be candidates for a long time. */
const LISTED_AT_ONCE = 16;
/** etcd refuses more than 128 operations in a transaction. */
const COUNTED_AT_ONCE = 128;

/** Candidates; and where to go on one by one, if there is much room. */
export interface Room {
  readonly free: readonly bigint[];
  readonly onFrom?: bigint;
}

export class Rooms {
  readonly #range: Range;
  readonly #subnet: Subnet;
  readonly #store: Store;
  readonly #around: Surroundings;
  /** Not looked at yet, or counted and not full; the finest last. */
  #parts: Range[] = [];
  /** Blocks that they bar are in no part, but small ones: those are met when a part is listed. */
  #under = NO_RULES;

  constructor(range: Range, subnet: Subnet, store: Store, around: Surroundings) {
    this.#range = range;
    this.#subnet = subnet;
    this.#store = store;
    this.#around = around;
  }

  /** Undefined where each part of the range was looked at and had none. */
  async find(rules: Rules, by: Deadline): Promise<Room | undefined> {
    const fresh = this.#parts.length === 0 || !rules.same(this.#under);
    if (fresh) this.#parts = this.#shuffled(parted(this.#range, PARTS).flatMap((part) => rules.openIn(part, LISTED)));
    this.#under = rules;
    while (this.#parts.length > 0) {
      const room = (await this.#list(by)) ?? (await this.#count(by));
      if (room) return room;
    }
    return fresh ? undefined : this.find(rules, by);
  }

  async #list(by: Deadline): Promise<Room | undefined> {
    const parts: Range[] = [];
    while (parts.length < LISTED_AT_ONCE && isListed(this.#parts.at(-1))) parts.push(this.#parts.pop()!);
    if (parts.length === 0) return undefined;
    const lists = await this.#store.read(
      parts.map((part) => ({ keys: claimsIn(this.#subnet, part), limit: 0 })),
      by,
    );
    const taken = lists.map(({ keys }) => keys.map((key) => addressOfClaim(key).value));
    const free = parts.flatMap((part, i) => freeIn(part, taken[i]!)).filter((value) => !this.#under.isBarred(value));
    if (free.length === 0) return undefined;
    const isRoomy = free.length > taken.flat().length && parts.length < parted(this.#range, PARTS).length;
    return { free, ...(isRoomy && { onFrom: parts.at(-1)!.to + 1n }) };
  }

  async #count(by: Deadline): Promise<Room | undefined> {
    const finer: Range[] = [];
    for (let next = this.#parts.at(-1); next && !isListed(next); next = this.#parts.at(-1)) {
      const pieces = parted(next, FINER);
      if (finer.length + pieces.length > COUNTED_AT_ONCE) break;
      finer.push(...pieces);
      this.#parts.pop();
    }
    if (finer.length === 0) return undefined;
    const counts = await this.#store.read(
      finer.map((part) => ({ count: claimsIn(this.#subnet, part) })),
      by,
    );
    const open = finer.filter((part, i) => BigInt(counts[i]!) <= part.to - part.from);
    const [empty] = this.#shuffled(finer.filter((part, i) => counts[i] === 0 && !isListed(part)));
    this.#parts.push(...this.#shuffled(open));
    return empty && { free: [], onFrom: empty.from };
  }

  /** Hosts that look at the same time are to find different ones. */
  #shuffled(parts: readonly Range[]): Range[] {
    const left = [...parts];
    return parts.map(() => left.splice(Number(this.#around.below(BigInt(left.length))), 1)[0]!);
  }
}

function isListed(part: Range | undefined): boolean {
  return part !== undefined && part.to - part.from < LISTED;
}

/** Into at most that many, and no finer than what is listed. */
function parted(range: Range, most: number): Range[] {
  const wanted = (range.to - range.from) / LISTED + 1n;
  return split(range, wanted < BigInt(most) ? Number(wanted) : most);
}
