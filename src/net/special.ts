// Blocks that no network of hosts can use. Knows the registries of special addresses; not who asks.
import { overlaps, type Prefix, parsePrefix } from './prefix.js';

const SPECIAL = [
  ['0.0.0.0/8', '"this network" (RFC 1122)'],
  ['127.0.0.0/8', 'loopback (RFC 1122)'],
  ['224.0.0.0/4', 'multicast (RFC 5771)'],
  ['255.255.255.255/32', 'limited broadcast (RFC 919)'],
  ['::/128', 'unspecified (RFC 4291)'],
  ['::1/128', 'loopback (RFC 4291)'],
  ['ff00::/8', 'multicast (RFC 4291)'],
].map(([block, why]) => ({ block: parsePrefix(block!), why: why! }));
/** Not by its text: no address is to be written so. */
const MAPPED = { block: { family: 6, first: 0xffffn << 32n, length: 96 }, why: 'IPv4-mapped (RFC 4291)' } as const;

/** What makes the block useless for a network, or undefined. */
export function specialIn(prefix: Prefix): string | undefined {
  return [...SPECIAL, MAPPED].find(({ block }) => overlaps(block, prefix))?.why;
}
