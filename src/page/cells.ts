// What each cell of a map shows: the claims of up to 65,536 addresses, or how full each part of a larger block is. Knows
// no canvas.
import type { Addresses, Blocks, Change, Claim } from '../web/shapes.js';
import { type Block, formatAddress, formatBlock, parseAddress, parseBlock, partOf, sizeOf } from './addresses.js';

type Kind = Claim['kind'];

/** More are shown in parts. */
export const MOST_ADDRESSES = 65_536n;

/** A cell has the place of its kind in this list. */
export const CELL_KINDS: readonly (Kind | 'free')[] = [
  ...(['free', 'endpoint', 'swarm', 'shared', 'unsure', 'cooling', 'reserved', 'foreign'] as const),
];

export class AddressCells {
  readonly block: Block;
  readonly size: number;
  readonly kinds: Uint8Array;
  /** The place in `nodes`, and -1 for none. */
  readonly nodeOf: Int16Array;
  readonly nodes: string[] = [];
  readonly #places = new Map<string, number>();

  constructor(block: Block) {
    this.block = block;
    this.size = Number(sizeOf(block));
    this.kinds = new Uint8Array(this.size);
    this.nodeOf = new Int16Array(this.size).fill(-1);
  }

  /** Of this block, or of a part of it. */
  add({ first, offset, kind, kinds, node, nodes }: Addresses): void {
    const numbers = kinds.map((name) => CELL_KINDS.indexOf(name));
    const places = nodes.map((name) => this.#place(name));
    let at = Number(parseAddress(first) - this.block.first);
    for (let i = 0; i < offset.length; i++) {
      at += offset[i]!;
      this.kinds[at] = numbers[kind.charCodeAt(i) - 48]!;
      this.nodeOf[at] = node[i] === -1 ? -1 : places[node[i]!]!;
    }
  }

  /** The cell that it changed, if it is one of these. */
  change({ address, kind, node, gone }: Change): number | undefined {
    const at = address === undefined ? undefined : this.indexOf(address);
    if (at === undefined || kind === undefined) return undefined;
    this.kinds[at] = gone ? 0 : CELL_KINDS.indexOf(kind);
    this.nodeOf[at] = gone || node === undefined ? -1 : this.#place(node);
    return at;
  }

  indexOf(address: string): number | undefined {
    if (address.includes(':') !== (this.block.bits === 128)) return undefined;
    const at = parseAddress(address) - this.block.first;
    return at >= 0n && at < BigInt(this.size) ? Number(at) : undefined;
  }

  nameOf(at: number): string {
    return formatAddress(this.block.bits, this.block.first + BigInt(at));
  }

  kindAt(at: number): Kind | 'free' {
    return CELL_KINDS[this.kinds[at]!]!;
  }

  nodeAt(at: number): string | undefined {
    return this.nodes[this.nodeOf[at]!];
  }

  isEmpty(at: number): boolean {
    return this.kinds[at] === 0;
  }

  /** How many cells there are of each kind. */
  counts(): number[] {
    const counts = CELL_KINDS.map(() => 0);
    for (const kind of this.kinds) counts[kind]!++;
    return counts;
  }

  #place(name: string): number {
    const place = this.#places.get(name) ?? this.nodes.push(name) - 1;
    this.#places.set(name, place);
    return place;
  }
}

export class BlockCells {
  readonly block: Block;
  readonly length: number;
  readonly size: number;
  readonly used: Float64Array;
  readonly occupied: string | null;

  constructor({ of, length, used, occupied }: Blocks) {
    this.block = parseBlock(of);
    this.length = length;
    this.size = used.length;
    this.used = Float64Array.from(used);
    this.occupied = occupied;
  }

  change({ address, fresh, gone }: Change): number | undefined {
    const at = address === undefined ? undefined : this.indexOf(address);
    if (at === undefined) return undefined;
    if (gone) this.used[at] = Math.max(0, this.used[at]! - 1);
    else if (fresh) this.used[at]!++;
    return at;
  }

  indexOf(address: string): number | undefined {
    if (address.includes(':') !== (this.block.bits === 128)) return undefined;
    const at = (parseAddress(address) - this.block.first) >> BigInt(this.block.bits - this.length);
    return at >= 0n && at < BigInt(this.size) ? Number(at) : undefined;
  }

  partAt(at: number): Block {
    return partOf(this.block, this.length, at);
  }

  nameOf(at: number): string {
    return formatBlock(this.partAt(at));
  }

  isEmpty(at: number): boolean {
    return this.used[at] === 0;
  }

  /** 0 to 1. No part of 2^54 addresses is ever seen to fill, so such parts are compared with one another. */
  fillAt(at: number): number {
    const size = Number(sizeOf(this.partAt(at)));
    const used = this.used[at]!;
    if (used === 0) return 0;
    return Math.max(0.08, used / (size > 1 << 24 ? Math.max(...this.used) : size));
  }
}

export type Cells = AddressCells | BlockCells;

/** Of a pool that is nearly empty, the part that has something: 4,096 addresses at least. Undefined: the pool is best. */
export function bestPart(cells: BlockCells): string | undefined {
  if (cells.occupied === null) return undefined;
  const { bits, first, length } = parseBlock(cells.occupied);
  const least = Math.min(length, bits - 12);
  if (least <= cells.length) return undefined;
  const host = BigInt(bits - least);
  const part: Block = { bits, first: (first >> host) << host, length: least };
  return formatBlock(part);
}
