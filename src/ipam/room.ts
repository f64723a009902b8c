// Where a crowded range has room: the store counts parts of it, and those with room are parted and counted again, down to
// addresses. Remembers parts that had room when they were counted; refuses to know who claims what it finds.
import { freeIn, split } from '../net/gaps.js';
import type { Range } from '../net/prefix.js';
import { addressOfClaim, claimsIn, isOurs, type Subnet } from './keyspace.js';
import { NO_RULES, type Rules } from './rules.js';
import type { Deadline, Store } from './store.js';
import type { Surroundings } from './surroundings.js';

/** Addresses of a part to begin with, and parts at most. */
const PART = 1_024n;
const MOST_PARTS = 4_096n;
/** Parts that the first count looks at, so that it costs the store little of a /16; each further one twice as many, to so many. */
const LOOKED_AT = 4;
const LOOKED_AT_MOST = 16;
/** Found at once: more would be candidates for a long time. Half as many are enough after each count. */
const WANTED = 16n;
/** All free, so many are worth being walked through. */
const STRETCH = 8n;
/** Mostly free, so many are worth being walked through by whoever reads along what is taken of them. */
const WALKED = 32n;
/** What is listed, and not counted, if it has addresses that are barred: only a list tells these from others. */
const LISTED = 32n;
/** What a part is parted into: by how large it is, and how many addresses of it are free. The fewer the less is said in vain. */
const FINE = 16n;
const SEVERAL = 4n;
/** Parted into single addresses: a count of one key says half of what that of a range does. */
const SINGLES = 4n;
/** So few parts cost more by the reads they wait for than by what is said. */
const FEW = 8;
/** etcd refuses more than 128 operations in a transaction. */
const COUNTED_AT_ONCE = 112;

/** Addresses to try by themselves, or a stretch to walk through. */
export interface Room {
  readonly free: readonly bigint[];
  readonly stretch?: Range;
}

interface Counted {
  readonly part: Range;
  /** Not claimed; some of them may be barred. Fewer by each key among the claims that is none of ours. */
  readonly free: bigint;
}

export class Rooms {
  readonly #range: Range;
  readonly #subnet: Subnet;
  readonly #store: Store;
  readonly #around: Surroundings;
  /** Not looked at yet, or counted and not full; what was counted last comes last, and is looked at first. */
  #parts: Range[] = [];
  /** Blocks that they bar are in no part, but small ones: those are met when a part is listed. */
  #under = NO_RULES;

  constructor(range: Range, subnet: Subnet, store: Store, around: Surroundings) {
    this.#range = range;
    this.#subnet = subnet;
    this.#store = store;
    this.#around = around;
  }

  /**
   * Undefined where each part of the range was looked at and had none. `among`: others look for room as well; then a stretch
   * is free altogether and no longer than that, and elsewhere than theirs.
   */
  async find(rules: Rules, by: Deadline, among?: bigint): Promise<Room | undefined> {
    const fresh = this.#parts.length === 0 || !rules.same(this.#under);
    if (fresh) {
      this.#under = rules;
      this.#parts = this.#shuffled(partsOf(this.#range).flatMap((part) => rules.openIn(part, LISTED)));
    }
    while (this.#parts.length > 0) {
      const room = await this.#narrow(await this.#look(by), by, among);
      if (room) return room;
    }
    return fresh ? undefined : this.find(rules, by, among);
  }

  /** Parts with room. The longer that takes, the less will do. */
  async #look(by: Deadline): Promise<Counted[]> {
    const roomy: Counted[] = [];
    for (let [most, enough] = [LOOKED_AT, WANTED]; this.#parts.length > 0; most = Math.min(2 * most, LOOKED_AT_MOST)) {
      const parts = this.#taken(most);
      const counts = await this.#store.read(
        parts.map((part) => ({ count: claimsIn(this.#subnet, part) })),
        by,
      );
      roomy.push(...parts.map((part, i) => ({ part, free: sizeOf(part) - BigInt(counts[i]!) })).filter(hasRoom));
      if (this.#promisedBy(roomy) >= enough) break;
      enough = enough > 1n ? enough / 2n : 1n;
    }
    return roomy;
  }

  async #narrow(counted: readonly Counted[], by: Deadline, among: bigint | undefined): Promise<Room | undefined> {
    const free: bigint[] = [];
    for (let left = this.#shuffled(counted); ; ) {
      const stretch = left.find((one) => this.#isStretch(one, among));
      if (stretch) {
        this.#keep(left.filter((one) => one !== stretch));
        return { free, stretch: this.#shortened(stretch.part, among) };
      }
      free.push(
        ...left.filter(isAllFree).flatMap(({ part }) => freeIn(part, []).filter((v) => !this.#under.isBarred(v))),
      );
      left = this.#some(
        left.filter((one) => !isAllFree(one)),
        WANTED - BigInt(free.length),
      );
      if (left.length === 0) return free.length > 0 ? { free: this.#shuffled(free) } : undefined;
      left = this.#shuffled(await this.#finer(left, by));
    }
  }

  /** One read. The last piece of each part has what the others have not. */
  async #finer(parts: readonly Counted[], by: Deadline): Promise<Counted[]> {
    const asked = parts.map((one) => {
      const pieces = this.#isListed(one) ? [] : split(one.part, piecesOf(one, parts.length < FEW));
      return { ...one, pieces, counted: pieces.slice(0, -1) };
    });
    const lists = asked.filter(({ pieces }) => pieces.length === 0);
    const answers = await this.#store.read(
      [
        ...asked.flatMap(({ counted }) => counted.map((piece) => ({ count: claimsIn(this.#subnet, piece) }))),
        ...lists.map(({ part }) => ({ keys: claimsIn(this.#subnet, part), limit: 0 })),
      ],
      by,
    );
    const counts = answers.filter((answer) => typeof answer === 'number');
    const listed = answers.filter((answer) => typeof answer !== 'number');
    return asked
      .flatMap(({ part, free, pieces, counted }) => {
        if (pieces.length === 0) {
          const keys = listed.shift()!.keys.filter(isOurs);
          const taken = keys.map((key) => addressOfClaim(key).value);
          const values = freeIn(part, taken).filter((value) => !this.#under.isBarred(value));
          return values.map((value) => ({ part: { ...part, from: value, to: value }, free: 1n }));
        }
        const fine = counted.map((piece) => ({ part: piece, free: sizeOf(piece) - BigInt(counts.shift()!) }));
        const last = pieces.at(-1)!;
        const left = free - fine.reduce((sum, one) => sum + one.free, 0n);
        return [...fine, { part: last, free: left < sizeOf(last) ? left : sizeOf(last) }];
      })
      .filter(hasRoom);
  }

  /** So many of them as promise as many addresses as are wanted; the others are kept. */
  #some(parts: readonly Counted[], wanted: bigint): Counted[] {
    const some: Counted[] = [];
    let [promised, counts] = [0n, 0];
    const others = parts.filter((one) => {
      counts += piecesOf(one, parts.length < FEW) - 1;
      if (promised >= wanted || (some.length > 0 && counts > COUNTED_AT_ONCE)) return true;
      promised += this.#promisedBy([one]);
      some.push(one);
      return false;
    });
    this.#keep(others);
    return some;
  }

  /** Those that were kept last, as many as are worth so many parts of the range. */
  #taken(most: number): Range[] {
    const taken: Range[] = [];
    const budget = BigInt(most) * PART;
    for (let cost = 0n; this.#parts.length > 0 && taken.length < COUNTED_AT_ONCE; ) {
      const size = sizeOf(this.#parts.at(-1)!);
      cost += size < PART ? size : PART;
      if (taken.length > 0 && cost > budget) break;
      taken.push(this.#parts.pop()!);
    }
    return taken;
  }

  #keep(parts: readonly Counted[]): void {
    this.#parts.push(...parts.map(({ part }) => part));
  }

  /** Hosts that look at the same time are to find different ones. */
  #shortened(part: Range, among: bigint | undefined): Range {
    if (among === undefined || sizeOf(part) < 2n * among) return part;
    this.#parts.unshift(part);
    const from = part.from + among * this.#around.below(sizeOf(part) / among);
    return { ...part, from, to: from + among - 1n };
  }

  /** But for what may be barred. */
  #promisedBy(parts: readonly Counted[]): bigint {
    return parts.reduce((sum, { part, free }) => {
      const barred = this.#barredIn(part);
      return barred < free ? sum + free - barred : sum;
    }, 0n);
  }

  #isStretch(one: Counted, among: bigint | undefined): boolean {
    const size = sizeOf(one.part);
    const promised = this.#promisedBy([one]);
    if (isAllFree(one) && promised >= STRETCH) return true;
    return among === undefined && size >= WALKED && size <= 2n * WALKED && 2n * promised > size;
  }

  #isListed({ part }: Counted): boolean {
    return sizeOf(part) <= LISTED && this.#barredIn(part) > 0n;
  }

  #barredIn(part: Range): bigint {
    if (this.#under.barred.length === 0) return 0n;
    const { excluded, reserved } = this.#under.countIn(part);
    return excluded + reserved;
  }

  #shuffled<T>(all: readonly T[]): T[] {
    const left = [...all];
    for (let i = left.length - 1; i > 0; i--) {
      const j = Number(this.#around.below(BigInt(i + 1)));
      [left[i], left[j]] = [left[j]!, left[i]!];
    }
    return left;
  }
}

function partsOf(range: Range): Range[] {
  const parts = (sizeOf(range) + PART - 1n) / PART;
  return split(range, Number(parts < MOST_PARTS ? parts : MOST_PARTS));
}

function piecesOf({ part, free }: Counted, few: boolean): number {
  if (sizeOf(part) <= SINGLES) return Number(sizeOf(part));
  if (sizeOf(part) <= FINE) return few ? 4 : 2;
  return free < SEVERAL ? 4 : 16;
}

function isAllFree({ part, free }: Counted): boolean {
  return free === sizeOf(part);
}

function hasRoom({ free }: Counted): boolean {
  return free > 0n;
}

function sizeOf({ from, to }: Range): bigint {
  return to - from + 1n;
}
