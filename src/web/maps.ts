// What the map of a pool is drawn from: its claims in columns, or how many there are in each part of it. Reads only.
import { addressOfClaim, claimsIn, isOurs, type Subnet } from '../ipam/keyspace.js';
import { CLAIM_KINDS, type ClaimRecord } from '../ipam/records.js';
import type { Deadline, Store } from '../ipam/store.js';
import { type Address, BITS, formatAddress } from '../net/address.js';
import { formatPrefix, lastOf, type Prefix, prefixOf, rangeOf, sizeOf } from '../net/prefix.js';
import type { Addresses, Blocks } from './shapes.js';

/** One read decodes for some 8 ms, in which no engine is heard. */
const READ = 1_000;
const READS = 17;
/** Where fewer are found the next read looks at so many times as many addresses. */
const FEW = 250;
const WIDER = 4n;
/** More addresses than that are shown in parts. */
export const MOST_ADDRESSES = 65_536n;
/** 2^10 parts, counted 120 at a time: etcd takes 128 operations in a transaction. */
const PARTS_LOG2 = 10;
const COUNTS = 120;

/**
 * Those behind `after`, up to 17,000. `of`: a block of the subnet. etcd counts all of a range, however few of it are asked
 * for, so none is asked for the whole block a thousand at a time.
 */
export async function readAddresses(
  store: Store,
  subnet: Subnet,
  of: Prefix,
  after: Address | undefined,
  by: Deadline,
): Promise<Addresses> {
  const range = rangeOf(of);
  const nodes = new Map<string, number>();
  const columns: Pick<Addresses, 'offset' | 'node'> = { offset: [], node: [] };
  let kinds = '';
  let from = after ? after.value + 1n : range.from;
  let last = 0;
  let width = BigInt(READ);
  for (let reads = 0; from <= range.to && reads < READS; reads++) {
    const to = from + width > range.to ? range.to : from + width - 1n;
    const span = { ...claimsIn(subnet, { ...range, from, to }), decode: briefly };
    const [page] = await store.read([{ span, limit: READ }], by);
    for (const { key, record } of page.found) {
      if (!isOurs(key)) continue;
      const offset = offsetOf(key, of);
      columns.offset.push(offset - last);
      last = offset;
      kinds += CLAIM_KINDS.indexOf(record.kind);
      if (record.node !== undefined && !nodes.has(record.node)) nodes.set(record.node, nodes.size);
      columns.node.push(record.node === undefined ? -1 : nodes.get(record.node)!);
    }
    from = page.more ? of.first + BigInt(last) + 1n : to + 1n;
    if (page.more) width = BigInt(READ);
    else if (page.found.length < FEW) width *= WIDER;
  }
  return {
    first: formatAddress({ family: of.family, value: of.first }),
    size: Number(sizeOf(of)),
    nodes: [...nodes.keys()],
    ...columns,
    kind: kinds,
    kinds: [...CLAIM_KINDS],
    next: from <= range.to ? formatAddress({ family: of.family, value: from - 1n }) : null,
  };
}

const [ZERO, DOT] = [48, 46];

/** From the first address of the block, which is of 65,536 at most. Of IPv4 without a BigInt, as there are 60,000. */
function offsetOf(key: string, of: Prefix): number {
  if (of.family === 6) return Number(addressOfClaim(key).value - of.first);
  let value = 0;
  let octet = 0;
  for (let i = key.lastIndexOf('/') + 1; i < key.length; i++) {
    const code = key.charCodeAt(i);
    if (code === DOT) {
      value = value * 256 + octet;
      octet = 0;
    } else octet = octet * 10 + code - ZERO;
  }
  return value * 256 + octet - Number(of.first);
}

const KNOWN: ReadonlySet<unknown> = new Set(CLAIM_KINDS);

/** Of 60,000 claims no more is looked at than what is drawn. */
function briefly(json: unknown): Pick<ClaimRecord, 'kind' | 'node'> {
  const { kind, node } = (json ?? {}) as { readonly kind?: unknown; readonly node?: unknown };
  return {
    kind: KNOWN.has(kind) ? (kind as ClaimRecord['kind']) : 'foreign',
    ...(typeof node === 'string' && { node }),
  };
}

export async function readBlocks(store: Store, subnet: Subnet, of: Prefix, by: Deadline): Promise<Blocks> {
  const { family } = of;
  const length = Math.min(of.length + PARTS_LOG2, BITS[family]);
  const size = 1n << BigInt(BITS[family] - length);
  const parts = Array.from({ length: 2 ** (length - of.length) }, (_, i) => {
    const first = of.first + BigInt(i) * size;
    return claimsIn(subnet, { family, from: first, to: first + size - 1n });
  });
  const used: number[] = [];
  for (let i = 0; i < parts.length; i += COUNTS) {
    const some = parts.slice(i, i + COUNTS).map((count) => ({ count }));
    used.push(...(await store.read(some, by)));
  }
  const whole = claimsIn(subnet, rangeOf(of));
  const [least, greatest] = await store.read(
    [
      { keys: whole, limit: 1 },
      { span: whole, limit: 1, last: true },
    ],
    by,
  );
  const [first] = least.keys;
  const last = greatest.found[0]?.key;
  const occupied =
    first === undefined || last === undefined || ![first, last].every(isOurs)
      ? undefined
      : around(addressOfClaim(first), addressOfClaim(last), of);
  return { of: formatPrefix(of), length, used, occupied: occupied ? formatPrefix(occupied) : null };
}

/** The smallest block of `of` with both in it. */
function around(one: Address, other: Address, of: Prefix): Prefix {
  let block = prefixOf(one, BITS[of.family]);
  while (block.length > of.length && lastOf(block) < other.value) block = prefixOf(one, block.length - 1);
  return block;
}
