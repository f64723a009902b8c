// Addresses and blocks in the browser: text to numbers and back, as the API writes them. Knows no pool.

export interface Block {
  readonly bits: 32 | 128;
  readonly first: bigint;
  readonly length: number;
}

/** Of what the API sent, so it is not judged. */
export function parseAddress(text: string): bigint {
  if (!text.includes(':')) return text.split('.').reduce((value, octet) => (value << 8n) | BigInt(octet), 0n);
  const [head = '', tail] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

/** As RFC 5952 has it: the longest run of zeros, of two groups at least, is left out; the first of equals. */
export function formatAddress(bits: 32 | 128, value: bigint): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((by) => (value >> by) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  let best = { at: 0, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === '0') length++;
    if (length > best.length) best = { at, length };
  }
  if (best.length < 2) return groups.join(':');
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`;
}

export function parseBlock(text: string): Block {
  const [address, length] = text.split('/') as [string, string];
  return { bits: text.includes(':') ? 128 : 32, first: parseAddress(address), length: Number(length) };
}

export function formatBlock({ bits, first, length }: Block): string {
  return `${formatAddress(bits, first)}/${length}`;
}

export function sizeOf({ bits, length }: Block): bigint {
  return 1n << BigInt(bits - length);
}

/** The part of the block at that place, all parts being of that length. */
export function partOf(block: Block, length: number, at: number): Block {
  return { bits: block.bits, length, first: block.first + (BigInt(at) << BigInt(block.bits - length)) };
}

/** Whether an interface cannot have it: network and broadcast, or the subnet-router anycast address. */
export function isUnusable(pool: Block, address: bigint): boolean {
  if (pool.length >= pool.bits - 1) return false;
  return address === pool.first || (pool.bits === 32 && address === pool.first + sizeOf(pool) - 1n);
}
