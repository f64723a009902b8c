// Where a crowded range has room: the store counts parts of it, those with room are parted and counted again, the smallest are
// listed. Remembers parts that had room when they were counted; refuses to know who claims what it finds.
import { freeIn, split } from '../net/gaps.js';
import type { Range } from '../net/prefix.js';
import { addressOfClaim, claimsIn, type Subnet } from './keyspace.js';
import { NO_RULES, type Rules } from './rules.js';
import type { Deadline, Store } from './store.js';
import type { Surroundings } from './surroundings.js';

/** To begin with. */
const PARTS = 64;
/** What is no longer parted. */
const LISTED = 32n;
/** Parts that one count looks at, so that it costs the store little of a /16; and how many times more where it found nothing. */
const LOOKED_AT = 4;
const MORE = 4;
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
  /** Not looked at yet, or counted and not full; the finest last, and those to be listed apart. */
  #parts: Range[] = [];
  #least: Range[] = [];
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
    const fresh = this.#parts.length + this.#least.length === 0 || !rules.same(this.#under);
    if (fresh) {
      [this.#parts, this.#least, this.#under] = [[], [], rules];
      this.#keep(parted(this.#range, PARTS).flatMap((part) => rules.openIn(part, LISTED)));
    }
    let lookAt = LOOKED_AT;
    while (this.#parts.length + this.#least.length > 0) {
      const left = this.#least.length > 0 ? 0 : Math.max(0, this.#parts.length - lookAt);
      const room = this.#least.length > 0 ? await this.#list(by) : await this.#count(lookAt, by);
      if (room) return room;
      const found = this.#least.length > 0 || this.#parts.length > left;
      lookAt = found ? LOOKED_AT : Math.min(lookAt * MORE, PARTS);
    }
    return fresh ? undefined : this.find(rules, by);
  }

  async #list(by: Deadline): Promise<Room | undefined> {
    const parts = this.#least.splice(-LISTED_AT_ONCE);
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

  async #count(lookAt: number, by: Deadline): Promise<Room | undefined> {
    const parts = this.#parts.splice(-lookAt);
    const finer = parts.flatMap((part) => parted(part, Math.floor(COUNTED_AT_ONCE / parts.length)));
    const counts = await this.#store.read(
      finer.map((part) => ({ count: claimsIn(this.#subnet, part) })),
      by,
    );
    const [empty] = this.#shuffled(finer.filter((part, i) => counts[i] === 0 && !isListed(part)));
    this.#keep(finer.filter((part, i) => BigInt(counts[i]!) <= part.to - part.from));
    return empty && { free: [], onFrom: empty.from };
  }

  #keep(parts: readonly Range[]): void {
    for (const part of this.#shuffled(parts)) (isListed(part) ? this.#least : this.#parts).push(part);
  }

  /** Hosts that look at the same time are to find different ones. */
  #shuffled(parts: readonly Range[]): Range[] {
    const left = [...parts];
    return parts.map(() => left.splice(Number(this.#around.below(BigInt(left.length))), 1)[0]!);
  }
}

function isListed(part: Range): boolean {
  return part.to - part.from < LISTED;
}

/** Into at most that many, and no finer than what is listed. */
function parted(range: Range, most: number): Range[] {
  const wanted = (range.to - range.from) / LISTED + 1n;
  return split(range, wanted < BigInt(most) ? Number(wanted) : most);
}
