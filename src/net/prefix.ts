// Prefixes (CIDR blocks) of both families and the addresses in them. Knows arithmetic and RFCs; not who uses a block.
import IPCIDR from 'ip-cidr';
import { type Address, BITS, type Family, formatAddress, formatWide, NetError, parseAddress } from './address.js';

/** A block of 2^(bits - length) addresses; `first` has no host bits. */
export interface Prefix {
  readonly family: Family;
  readonly first: bigint;
  readonly length: number;
}

/** Both ends belong to it. Empty when `to < from`. */
export interface Range {
  readonly family: Family;
  readonly from: bigint;
  readonly to: bigint;
}

const CIDR = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/;

/**
 * Strict CIDR text. Host bits are masked away, since engines before 25 pass `192.168.1.5/24` on as the user wrote it.
 * Throws a NetError.
 */
export function parsePrefix(text: string): Prefix {
  const match = CIDR.exec(text);
  if (!match) throw new NetError(text, 'is not a CIDR block such as 10.66.0.0/24 or fd00:66::/64');
  const address = parseAddress(match[1]!);
  const length = Number(match[2]);
  const bits = BITS[address.family];
  if (length > bits) throw new NetError(text, `has a prefix length above ${bits}`);
  const block = new IPCIDR(`${formatAddress(address)}/${length}`);
  return { family: address.family, first: BigInt(block.start({ type: 'bigInteger' }) as unknown as bigint), length };
}

/** The block of that length which holds the address. */
export function prefixOf({ family, value }: Address, length: number): Prefix {
  const host = BigInt(BITS[family] - length);
  return { family, first: (value >> host) << host, length };
}

export function formatPrefix({ family, first, length }: Prefix): string {
  return `${formatAddress({ family, value: first })}/${length}`;
}

/** Sorts by network, then by length: `010.066.000.000-24`. A `/` would cut a key in two. */
export function formatWidePrefix({ family, first, length }: Prefix): string {
  return `${formatWide({ family, value: first })}-${length}`;
}

export function sizeOf({ family, length }: Prefix): bigint {
  return 1n << BigInt(BITS[family] - length);
}

export function lastOf(prefix: Prefix): bigint {
  return prefix.first + sizeOf(prefix) - 1n;
}

export function rangeOf(prefix: Prefix): Range {
  return { family: prefix.family, from: prefix.first, to: lastOf(prefix) };
}

export function contains(prefix: Prefix, address: Address): boolean {
  return address.family === prefix.family && address.value >= prefix.first && address.value <= lastOf(prefix);
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return a.family === b.family && a.first <= lastOf(b) && b.first <= lastOf(a);
}

export function isInside(inner: Prefix, outer: Prefix): boolean {
  return inner.length >= outer.length && contains(outer, { family: inner.family, value: inner.first });
}

export function equal(a: Prefix, b: Prefix): boolean {
  return a.family === b.family && a.first === b.first && a.length === b.length;
}

/**
 * What may be given to an interface. IPv4: all but network and broadcast, except /31 (both, RFC 3021) and /32. IPv6:
 * all but the subnet-router anycast address, the first one (RFC 4291 §2.6.1), except /127 (both, RFC 6164) and /128.
 */
export function usable(prefix: Prefix): Range {
  const { family, from, to } = rangeOf(prefix);
  if (prefix.length >= BITS[family] - 1) return { family, from, to };
  return { family, from: from + 1n, to: family === 4 ? to - 1n : to };
}

/** Why an address of the block is not {@link usable}, or undefined. */
export function reservedAs(prefix: Prefix, { value }: Address): string | undefined {
  const { from, to } = usable(prefix);
  if (value >= from && value <= to) return undefined;
  if (prefix.family === 6) return 'subnet-router anycast address';
  return value < from ? 'network address' : 'broadcast address';
}

export function intersect(a: Range, b: Range): Range {
  return { family: a.family, from: a.from > b.from ? a.from : b.from, to: a.to < b.to ? a.to : b.to };
}
