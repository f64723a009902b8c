// An operator's rules as decisions need them: which addresses are barred from being chosen, and for whom one is kept. Pure,
// and worked out once for a record, however often it is asked.
import { type Address, parseAddress } from '../net/address.js';
import type { Range } from '../net/prefix.js';
import { IpamError } from './errors.js';
import type { PoolRecord, RuleSet, RulesRecord } from './records.js';

export interface Exclusion extends Range {
  readonly comment?: string | undefined;
}

export interface Reservation {
  readonly address: Address;
  readonly name?: string | undefined;
  readonly mac?: string | undefined;
  readonly comment?: string | undefined;
}

/** Addresses that nobody gets unasked, for one reason. A reservation is that also where it lies in an exclusion. */
export interface Barred extends Range {
  readonly why: 'excluded' | 'reserved';
}

/** Who asks, as far as the engine says. */
export interface Asker {
  readonly name?: string | undefined;
  readonly mac?: string | undefined;
}

export class Rules {
  /** Ascending, without overlaps. */
  readonly barred: readonly Barred[];
  readonly #exclusions: readonly Exclusion[];
  readonly #reservations = new Map<bigint, Reservation>();
  readonly #addresses = new Map<string, Address>();
  readonly #text: string;

  /** Throws `bad_record` where it says what nobody can follow. */
  constructor(record: RuleSet) {
    this.#text = JSON.stringify(record);
    this.#exclusions = record.excluded.map(({ from, to, comment }) => {
      const first = readable(from);
      return { family: first.family, from: first.value, to: readable(to).value, comment };
    });
    for (const { address: text, name, mac, comment } of record.reserved) {
      const address = readable(text);
      this.#reservations.set(address.value, { address, name, mac, comment });
      if (name !== undefined) this.#addresses.set(`name ${name}`, address);
      if (mac !== undefined) this.#addresses.set(`mac ${mac}`, address);
    }
    this.barred = barredBy(this.#exclusions, [...this.#reservations.values()]);
  }

  /** That they say the same: two looks at one record make two of them. */
  same(other: Rules): boolean {
    return this === other || this.#text === other.#text;
  }

  exclusionOf({ value }: Address): Exclusion | undefined {
    return this.#exclusions.find(({ from, to }) => value >= from && value <= to);
  }

  reservationOf({ value }: Address): Reservation | undefined {
    return this.#reservations.get(value);
  }

  /** What is kept for it. A MAC comes before a name: whoever gives one of his own means that very interface. */
  reservedFor({ name, mac }: Asker): Address | undefined {
    return (
      (mac === undefined ? undefined : this.#addresses.get(`mac ${mac}`)) ??
      (name === undefined ? undefined : this.#addresses.get(`name ${name}`))
    );
  }

  isBarred(value: bigint): boolean {
    return this.#at(value) !== undefined;
  }

  /** The lowest address from that one on which is not barred. */
  nextOpen(value: bigint): bigint {
    let next = value;
    for (let block = this.#at(next); block; block = this.#at(next)) next = block.to + 1n;
    return next;
  }

  /** What is left of the range, ascending. `most`: blocks with no more addresses are not cut out. */
  openIn(range: Range, most = 0n): Range[] {
    const open: Range[] = [];
    let { from } = range;
    for (const block of this.barred.slice(this.#firstEndingAt(from))) {
      if (block.from > range.to) break;
      if (block.to - block.from < most) continue;
      if (block.from > from) open.push({ ...range, from, to: block.from - 1n });
      from = block.to + 1n;
    }
    if (from <= range.to) open.push({ ...range, from });
    return open;
  }

  /** How many addresses of the range are barred, and why. */
  countIn({ from, to }: Range): Readonly<Record<Barred['why'], bigint>> {
    const count = { excluded: 0n, reserved: 0n };
    for (const block of this.barred) {
      const first = block.from > from ? block.from : from;
      const last = block.to < to ? block.to : to;
      if (first <= last) count[block.why] += last - first + 1n;
    }
    return count;
  }

  #at(value: bigint): Barred | undefined {
    const block = this.barred[this.#firstEndingAt(value)];
    return block && block.from <= value ? block : undefined;
  }

  /** Where the first stands that ends at or behind the address. */
  #firstEndingAt(value: bigint): number {
    let [low, high] = [0, this.barred.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.barred[middle]!.to < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export const NO_RULES = new Rules({ excluded: [], reserved: [] });

const known = new WeakMap<RuleSet, Rules>();

/** Those that the pool's record carries. */
export function rulesOf({ rules }: Pick<PoolRecord, 'rules'>): Rules {
  if (!rules) return NO_RULES;
  let ready = known.get(rules);
  if (!ready) {
    ready = new Rules(rules);
    known.set(rules, ready);
  }
  return ready;
}

/** The part of it that a pool's record repeats. */
export function ruleSetOf({ since: _, token: __, ...rules }: RulesRecord): RuleSet {
  return rules as RuleSet;
}

export function isFor({ name, mac }: Reservation, asker: Asker): boolean {
  return (name !== undefined && name === asker.name) || (mac !== undefined && mac === asker.mac);
}

function readable(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new IpamError('bad_record', `the rules of the pool cannot be understood: ${(error as Error).message}`);
  }
}

function barredBy(exclusions: readonly Exclusion[], reservations: readonly Reservation[]): Barred[] {
  const singles = reservations.map(({ address }) => address).sort((a, b) => (a.value < b.value ? -1 : 1));
  const barred: Barred[] = singles.map(({ family, value }) => ({ family, from: value, to: value, why: 'reserved' }));
  for (const block of merged(exclusions)) {
    let { from } = block;
    for (const { value } of singles) {
      if (value < from || value > block.to) continue;
      if (value > from) barred.push({ ...block, from, to: value - 1n, why: 'excluded' });
      from = value + 1n;
    }
    if (from <= block.to) barred.push({ ...block, from, why: 'excluded' });
  }
  return barred.sort((a, b) => (a.from < b.from ? -1 : 1));
}

function merged(ranges: readonly Range[]): Range[] {
  const whole: { family: Range['family']; from: bigint; to: bigint }[] = [];
  for (const { family, from, to } of [...ranges].sort((a, b) => (a.from < b.from ? -1 : 1))) {
    const before = whole.at(-1);
    if (!before || before.to + 1n < from) whole.push({ family, from, to });
    else if (to > before.to) before.to = to;
  }
  return whole;
}
