// Addresses of both families as (family, BigInt). Knows text and numbers; refuses to know what a pool is.
import { isIPv4, isIPv6 } from 'node:net';

export type Family = 4 | 6;

export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

export const BITS: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };

/** What an error message repeats of a text, in characters. */
const SHOWN = 60;

export function shortened(text: string): string {
  return text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}…`;
}

/** Text that is no address or prefix. */
export class NetError extends Error {
  override readonly name = 'NetError';

  /** `why`: a clause that follows the quoted text. */
  constructor(text: string, why: string) {
    super(`"${shortened(text)}" ${why}`);
  }
}

const DECIMAL = Array.from({ length: 256 }, (_, octet) => String(octet));
const WIDE = DECIMAL.map((octet) => octet.padStart(3, '0'));

const MAPPED = 0xffffn << 32n;

/**
 * Strict: no leading zeros (they are octal to some), no zone, no port, no surrounding space, and no IPv4-mapped IPv6
 * (two texts must never name one address). Throws a NetError.
 */
export function parseAddress(text: string): Address {
  if (isIPv4(text)) return { family: 4, value: parseDotted(text) };
  if (text.includes('%')) throw new NetError(text, 'has a zone; an address of a pool has none');
  if (!isIPv6(text)) throw new NetError(text, 'is not an IP address');
  const value = parseColons(text);
  if (value >> 32n === MAPPED >> 32n) {
    throw new NetError(
      text,
      `is an IPv4-mapped IPv6 address; write ${formatAddress({ family: 4, value: value & 0xffffffffn })}`,
    );
  }
  return { family: 6, value };
}

function parseDotted(text: string): bigint {
  return BigInt(text.split('.').reduce((value, octet) => value * 256 + Number(octet), 0));
}

function parseColons(text: string): bigint {
  const lastColon = text.lastIndexOf(':');
  let source = text;
  if (text.includes('.')) {
    const low = parseDotted(text.slice(lastColon + 1));
    source = `${text.slice(0, lastColon + 1)}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`;
  }
  const [head, tail] = source.split('::') as [string, string?];
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups =
    tail === undefined ? left : [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

/** Dotted decimal, or RFC 5952: the form that Go prints, and so the form that engines send. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return dotted(value, DECIMAL);
  const groups = hextets(value);
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const text = groups.map((group) => group.toString(16));
  if (best.at < 0) return text.join(':');
  return `${text.slice(0, best.at).join(':')}::${text.slice(best.at + best.length).join(':')}`;
}

/** Every digit written out (`010.066.003.007`, `fd00:0000:…`), so that the order of texts is the order of addresses. */
export function formatWide({ family, value }: Address): string {
  if (family === 4) return dotted(value, WIDE);
  return hextets(value)
    .map((group) => group.toString(16).padStart(4, '0'))
    .join(':');
}

/** Inverse of {@link formatWide}. Throws a NetError. */
export function parseWide(text: string): Address {
  const narrow = text.includes(':')
    ? text
    : text
        .split('.')
        .map((octet) => String(Number(octet)))
        .join('.');
  return parseAddress(narrow);
}

const WIDE_V4 = /^(?:(?:[01]\d\d|2[0-4]\d|25[0-5])(?:\.(?!$)|$)){4}$/;
const WIDE_V6 = /^(?!(?:0000:){5}ffff:)[0-9a-f]{4}(?::[0-9a-f]{4}){7}$/;

/** Whether {@link formatWide} writes an address of the family like that. */
export function isWide(text: string, family: Family): boolean {
  return (family === 4 ? WIDE_V4 : WIDE_V6).test(text);
}

/** `octets`: how each of the 256 is written. */
function dotted(value: bigint, octets: readonly string[]): string {
  const number = Number(value);
  const [a, b, c, d] = [number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255];
  return `${octets[a]}.${octets[b]}.${octets[c]}.${octets[d]}`;
}

function hextets(value: bigint): number[] {
  return [112n, 96n, 80n, 64n, 48n, 32n, 16n, 0n].map((shift) => Number((value >> shift) & 0xffffn));
}
