// What an operator may change of a subnet's rules, and what they are then. Pure: knows no store, and nobody who is in the way.
import { type Address, formatAddress, parseAddress } from '../net/address.js';
import { contains, formatPrefix, intersect, type Prefix, type Range, reservedAs, usable } from '../net/prefix.js';
import { formatRange } from '../net/range.js';
import { IpamError } from './errors.js';
import { plain } from './plain.js';
import type { RuleSet } from './records.js';
import { heir } from './ruled-out.js';

export type RuleChange =
  | { readonly kind: 'exclude'; readonly range: Range; readonly comment?: string }
  | { readonly kind: 'include'; readonly range: Range }
  | {
      readonly kind: 'reserve';
      readonly address: Address;
      readonly name?: string;
      readonly mac?: string;
      readonly comment?: string;
    }
  | { readonly kind: 'unreserve'; readonly address: Address }
  /** Without text there is none. */
  | { readonly kind: 'note'; readonly text?: string }
  /** In per cent; without, nobody is warned. */
  | { readonly kind: 'warn'; readonly at?: number };

/** Each claim that is lost reads them, and each process has them in memory. */
export const MOST_RULES = 256;
const MOST_BYTES = 32_768;
const LONGEST = { comment: 200, name: 255, note: 500 } as const;

export const NOTHING: RuleSet = { excluded: [], reserved: [] };

/** Throws `bad_rule` where the change makes no sense of that pool, whatever rules it has. */
export function sensible(change: RuleChange, pool: Prefix, isGlobal: boolean): void {
  if (change.kind === 'include') usablePart(change.range, pool);
  else if (change.kind === 'unreserve') inside(change.address, pool);
  else applied(NOTHING, change, pool, isGlobal);
}

/**
 * The same object where nothing would change. `again`: the change may have been made already, so that what it takes back is
 * not missed. Throws `bad_rule`.
 */
export function applied(rules: RuleSet, change: RuleChange, pool: Prefix, isGlobal: boolean, again = false): RuleSet {
  const next = inOrder(changed(rules, change, pool, isGlobal, again));
  if (JSON.stringify(next) === JSON.stringify(rules)) return rules;
  const count = next.excluded.length + next.reserved.length;
  if (count > MOST_RULES)
    throw bad(
      `pool ${formatPrefix(pool)} would have ${count} exclusions and reservations; at most ${MOST_RULES} are allowed`,
    );
  const bytes = Buffer.byteLength(JSON.stringify(next));
  if (bytes > MOST_BYTES)
    throw bad(`the rules of pool ${formatPrefix(pool)} would take ${bytes} bytes; at most ${MOST_BYTES} are allowed`);
  return next;
}

/** As the records have it, so that the same rules are the same text. */
function inOrder({ excluded, reserved, note, warnAt, ...unknown }: RuleSet): RuleSet {
  return {
    ...{ excluded, reserved },
    ...(note !== undefined && { note }),
    ...(warnAt !== undefined && { warnAt }),
    ...unknown,
  };
}

export function isEmpty({ excluded, reserved, note, warnAt }: RuleSet): boolean {
  return excluded.length + reserved.length === 0 && note === undefined && warnAt === undefined;
}

/** What nobody can have is not counted as excluded. */
export function usablePart(range: Range, pool: Prefix): Range {
  const part = range.family === pool.family ? intersect(range, usable(pool)) : { ...range, to: range.from - 1n };
  const ends = [range.from, range.to].map((value) => ({ family: range.family, value }));
  for (const end of ends) inside(end, pool);
  if (part.to < part.from) throw bad(`${formatRange(range)} is never given: it is the ${reservedAs(pool, ends[0]!)}`);
  return part;
}

function inside(address: Address, pool: Prefix): void {
  if (!contains(pool, address)) throw bad(`${formatAddress(address)} is outside pool ${formatPrefix(pool)}`);
}

function changed(rules: RuleSet, change: RuleChange, pool: Prefix, isGlobal: boolean, again: boolean): RuleSet {
  switch (change.kind) {
    case 'exclude': {
      const entry = { ...ends(usablePart(change.range, pool)), ...commented(change.comment) };
      const others = rules.excluded.filter((one) => !isSame(one, entry));
      return { ...rules, excluded: [...others, entry].sort((a, b) => ascending(a.from, b.from)) };
    }
    case 'include': {
      const range = usablePart(change.range, pool);
      const excluded = rules.excluded.filter((one) => !isSame(one, ends(range)));
      if (again || excluded.length < rules.excluded.length) return { ...rules, excluded };
      const all = rules.excluded.map(({ from, to }) => (from === to ? from : `${from}-${to}`)).join(', ');
      throw bad(`${formatRange(range)} is no exclusion of pool ${formatPrefix(pool)}: ${all || 'it has none'}`);
    }
    case 'reserve':
      return reserving(rules, change, pool, isGlobal);
    case 'unreserve': {
      const text = formatAddress(change.address);
      const reserved = rules.reserved.filter(({ address }) => address !== text);
      if (again || reserved.length < rules.reserved.length) return { ...rules, reserved };
      throw bad(`${text} of pool ${formatPrefix(pool)} is not reserved`);
    }
    case 'note': {
      const { note: _, ...rest } = rules;
      return change.text === undefined ? rest : { ...rest, note: oneLine('note', change.text) };
    }
    case 'warn': {
      const { warnAt: _, ...rest } = rules;
      if (change.at === undefined) return rest;
      if (!(change.at >= 1 && change.at <= 100)) throw bad(`${change.at} is not a percentage from 1 to 100`);
      return { ...rest, warnAt: change.at };
    }
  }
}

function reserving(
  rules: RuleSet,
  { address, name, mac, comment }: Extract<RuleChange, { kind: 'reserve' }>,
  pool: Prefix,
  isGlobal: boolean,
): RuleSet {
  const text = formatAddress(address);
  if (isGlobal)
    throw bad('the leader of a swarm names nobody when it asks: an address of it can be excluded, not reserved');
  inside(address, pool);
  const never = reservedAs(pool, address);
  if (never) throw bad(`${text} is never given: it is the ${never} of pool ${formatPrefix(pool)}`);
  const who = name === undefined ? { mac: mac! } : { name: oneLine('name', name) };
  const other = rules.reserved.find((one) => one.address === text);
  if (other && heir(other) !== heir(who)) throw bad(`${text} is reserved for ${heir(other)} already`);
  const elsewhere = rules.reserved.find((one) => one.address !== text && heir(one) === heir(who));
  if (elsewhere) throw bad(`${heir(who)} has ${elsewhere.address} reserved already; remove that first`);
  const others = rules.reserved.filter((one) => one !== other);
  const entry = { address: text, ...who, ...commented(comment) };
  return { ...rules, reserved: [...others, entry].sort((a, b) => ascending(a.address, b.address)) };
}

function ends({ family, from, to }: Range): { from: string; to: string } {
  return { from: formatAddress({ family, value: from }), to: formatAddress({ family, value: to }) };
}

function isSame(one: { from: string; to: string }, other: { from: string; to: string }): boolean {
  return one.from === other.from && one.to === other.to;
}

function ascending(a: string, b: string): number {
  return parseAddress(a).value < parseAddress(b).value ? -1 : 1;
}

function commented(comment: string | undefined): { comment?: string } {
  return comment === undefined ? {} : { comment: oneLine('comment', comment) };
}

/** One line: it stands in tables and in the sentences that engines are told. */
function oneLine(what: keyof typeof LONGEST, text: string): string {
  if (plain(text) !== text) throw bad(`the ${what} has a control character or a line break`);
  if (text.trim() === '') throw bad(`the ${what} is empty`);
  if (text.length > LONGEST[what])
    throw bad(`the ${what} has ${text.length} characters; at most ${LONGEST[what]} are allowed`);
  return text;
}

function bad(message: string): IpamError {
  return new IpamError('bad_rule', message);
}
