// Draws a map: one pixel a cell into a small picture, and the part of that which is in sight scaled up, so that drawing costs
// the same for 256 cells and for 65,536. Knows colours and places; not where cells come from.

import type { Rules } from '../web/shapes.js';
import { parseAddress, parseBlock, sizeOf } from './addresses.js';
import { AddressCells, type BlockCells, CELL_KINDS, type Cells } from './cells.js';

export type Colouring = 'kind' | 'node';

export interface Layout {
  readonly columns: number;
  readonly rows: number;
  /** Pixels of a cell's side, the gap included. */
  readonly cell: number;
  readonly gap: number;
  /** Pixels left of the cells, for the names of rows. */
  readonly gutter: number;
  readonly height: number;
}

const MOST_COLUMNS = 256;
const LARGEST = 28;

export function layoutOf(cells: Cells, width: number): Layout {
  const narrow = width < 480;
  const gutter = cells.block.bits === 128 ? (narrow ? 62 : 92) : narrow ? 50 : 88;
  const room = Math.max(64, width - gutter - 2);
  const least = cells.size <= 256 ? (narrow ? 11 : 15) : cells.size <= 4_096 ? 8 : 3;
  const wanted = Math.min(MOST_COLUMNS, cells.size, 2 ** Math.floor(Math.log2(room / least)));
  const columns = Math.max(Math.min(8, cells.size), wanted);
  const cell = Math.max(2, Math.min(LARGEST, Math.floor(room / columns)));
  const rows = Math.ceil(cells.size / columns);
  const gap = cell >= 12 ? 2 : cell >= 4 ? 1 : 0;
  return { columns, rows, cell, gap, gutter, height: rows * cell };
}

export interface Painted {
  readonly scroll: number;
  readonly width: number;
  readonly height: number;
  readonly cursor: number | undefined;
  /** Strength of each cell that has just changed, 0 to 1. */
  readonly flashes: ReadonlyMap<number, number>;
}

type Palette = Readonly<Record<string, number>>;

/** What cells can look like, by the numbers that they have. */
interface Colours {
  readonly kinds: readonly number[];
  readonly marks: readonly number[];
  /** By the place of the node; only where cells have the colours of nodes. */
  readonly nodes: readonly number[] | undefined;
}

export class Drawing {
  readonly #canvas: HTMLCanvasElement;
  readonly #cells: Cells;
  readonly #picture = document.createElement('canvas');
  readonly #marks: Uint8Array;
  #layout: Layout;
  #pixels: Uint32Array;
  #image: ImageData;
  #palette: Palette = {};
  #dirty = true;
  colouring: Colouring = 'kind';
  /** All but this node's cells are pale. */
  node: string | undefined;

  constructor(canvas: HTMLCanvasElement, cells: Cells, layout: Layout, pool: string, rules: Rules | undefined) {
    this.#canvas = canvas;
    this.#cells = cells;
    this.#layout = layout;
    this.#marks = cells instanceof AddressCells ? marksOf(cells, pool, rules) : new Uint8Array(0);
    this.#image = new ImageData(layout.columns, layout.rows);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    this.restyle();
  }

  get layout(): Layout {
    return this.#layout;
  }

  set layout(layout: Layout) {
    this.#layout = layout;
    this.#image = new ImageData(layout.columns, layout.rows);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    this.colourAll();
  }

  /** After a change of theme. */
  restyle(): void {
    this.#palette = paletteOf(this.#canvas);
    this.colourAll();
  }

  colourAll(): void {
    const colours = this.#colours();
    for (let at = 0; at < this.#cells.size; at++) this.#pixels[at] = this.#colourOf(at, colours);
    this.#dirty = true;
  }

  colour(at: number): void {
    this.#pixels[at] = this.#colourOf(at, this.#colours());
    this.#dirty = true;
  }

  paint({ scroll, width, height, cursor, flashes }: Painted): void {
    const ratio = window.devicePixelRatio || 1;
    const canvas = this.#canvas;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    if (this.#dirty) this.#putPicture();
    const context = canvas.getContext('2d')!;
    const { columns, rows, cell, gap, gutter } = this.#layout;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = css(this.#palette.ground!);
    context.fillRect(0, 0, width, height);
    const first = Math.max(0, Math.floor(scroll / cell));
    const last = Math.min(rows, Math.ceil((scroll + height) / cell));
    if (last <= first) return;
    const top = first * cell - scroll;
    context.imageSmoothingEnabled = false;
    context.drawImage(
      this.#picture,
      0,
      first,
      columns,
      last - first,
      gutter,
      top,
      columns * cell,
      (last - first) * cell,
    );
    if (gap > 0) {
      for (let column = 0; column <= columns; column++) context.fillRect(gutter + column * cell - gap, 0, gap, height);
      for (let row = first; row <= last; row++)
        context.fillRect(gutter, row * cell - scroll - gap, columns * cell, gap);
    }
    this.#label(context, scroll, first, last);
    for (const [at, strength] of flashes) this.#outline(context, at, scroll, this.#palette.flash!, strength);
    if (cursor !== undefined) this.#outline(context, cursor, scroll, this.#palette.ink!, 1);
  }

  /** The cell at that place of the canvas. */
  cellAt(x: number, y: number, scroll: number): number | undefined {
    const { columns, cell, gutter } = this.#layout;
    const column = Math.floor((x - gutter) / cell);
    if (column < 0 || column >= columns) return undefined;
    const at = Math.floor((y + scroll) / cell) * columns + column;
    return at >= 0 && at < this.#cells.size ? at : undefined;
  }

  /** The middle of a cell, from the top of all rows. */
  placeOf(at: number): { readonly x: number; readonly y: number } {
    const { columns, cell, gutter } = this.#layout;
    return { x: gutter + ((at % columns) + 0.5) * cell, y: (Math.floor(at / columns) + 0.5) * cell };
  }

  #putPicture(): void {
    const { columns, rows } = this.#layout;
    if (this.#picture.width !== columns || this.#picture.height !== rows) {
      this.#picture.width = columns;
      this.#picture.height = rows;
    }
    this.#picture.getContext('2d')!.putImageData(this.#image, 0, 0);
    this.#dirty = false;
  }

  #label(context: CanvasRenderingContext2D, scroll: number, first: number, last: number): void {
    const { columns, cell, gutter } = this.#layout;
    const every = 2 ** Math.max(0, Math.ceil(Math.log2(18 / cell)));
    context.fillStyle = css(this.#palette.label!);
    context.font = `11px ${getComputedStyle(this.#canvas).fontFamily}`;
    context.textBaseline = 'top';
    context.textAlign = 'right';
    for (let row = Math.ceil(first / every) * every; row < last; row += every) {
      const y = row * cell - scroll + (cell > 14 ? (cell - 12) / 2 : -1);
      context.fillText(shorter(this.#cells.nameOf(row * columns), gutter), gutter - 8, Math.max(0, y));
    }
  }

  #outline(context: CanvasRenderingContext2D, at: number, scroll: number, colour: number, alpha: number): void {
    const { cell, gap } = this.#layout;
    const { x, y } = this.placeOf(at);
    const side = Math.max(cell - gap, 4) + 3;
    context.globalAlpha = alpha;
    context.strokeStyle = css(colour);
    context.lineWidth = 2;
    context.strokeRect(x - gap / 2 - side / 2, y - scroll - gap / 2 - side / 2, side, side);
    context.globalAlpha = 1;
  }

  #colours(): Colours {
    const palette = this.#palette;
    const byNode = this.colouring === 'node' && this.#cells instanceof AddressCells;
    return {
      kinds: CELL_KINDS.map((kind) => palette[kind]!),
      marks: [0, 1, 2, 3].map((mark) => palette[`mark${mark}`]!),
      nodes: byNode ? (this.#cells as AddressCells).nodes.map(nodeColour) : undefined,
    };
  }

  #colourOf(at: number, { kinds, marks, nodes }: Colours): number {
    const cells = this.#cells;
    if (!(cells instanceof AddressCells)) return this.#fillColour(cells, at);
    const kind = cells.kinds[at]!;
    if (kind === 0) return marks[this.#marks[at]!]!;
    const colour = nodes?.[cells.nodeOf[at]!] ?? kinds[kind]!;
    if (this.node === undefined || cells.nodeAt(at) === this.node) return colour;
    return mixed(colour, this.#palette.ground!, 0.82);
  }

  #fillColour(cells: BlockCells, at: number): number {
    const fill = cells.fillAt(at);
    if (fill === 0) return this.#palette.mark0!;
    return mixed(this.#palette.endpoint!, this.#palette.mark0!, 0.75 * (1 - fill));
  }
}

/** Of a row's first cell, as much as there is room for: the end tells rows apart. */
function shorter(name: string, room: number): string {
  const plain = name.replace(/\/\d+$/, '');
  const parts = plain.includes(':') ? plain.split(':') : plain.split('.');
  if (plain.length * 6.8 <= room - 8) return plain;
  return plain.includes(':') ? `…${parts.slice(-2).join(':')}` : `.${parts.slice(-2).join('.')}`;
}

function marksOf(cells: AddressCells, pool: string, rules: Rules | undefined): Uint8Array {
  const marks = new Uint8Array(cells.size);
  const { bits, first } = cells.block;
  const whole = parseBlock(pool);
  const mark = (from: bigint, to: bigint, what: number) => {
    const start = from < first ? 0n : from - first;
    for (let at = start; at <= to - first && at < BigInt(cells.size); at++) marks[Number(at)] = what;
  };
  for (const { from, to } of rules?.excluded ?? []) mark(parseAddress(from), parseAddress(to), 2);
  for (const { address } of rules?.reserved ?? []) mark(parseAddress(address), parseAddress(address), 3);
  if (whole.length < bits - 1) {
    const last = whole.first + sizeOf(whole) - 1n;
    if (first === whole.first) mark(first, first, 1);
    if (bits === 32 && last < first + BigInt(cells.size)) mark(last, last, 1);
  }
  return marks;
}

/** A hue of its own for each name, of the same strength in either theme. */
export function nodeColour(name: string): number {
  let hash = 2_166_136_261;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 16_777_619);
  const turn = ((hash >>> 0) * 0.618_033_988_75) % 1;
  const light = 0.46 + ((hash >>> 24) / 255) * 0.14;
  const channel = (n: number) => {
    const k = (n + turn * 12) % 12;
    return Math.round(255 * (light - 0.55 * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return packed(channel(0), channel(8), channel(4));
}

/** As ImageData has it where numbers begin with their low byte, as on all that browsers run on. */
function packed(red: number, green: number, blue: number): number {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function mixed(colour: number, other: number, part: number): number {
  const at = (shift: number) => ((colour >> shift) & 255) * (1 - part) + ((other >> shift) & 255) * part;
  return packed(Math.round(at(0)), Math.round(at(8)), Math.round(at(16)));
}

export function css(colour: number): string {
  return `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
}

const NAMES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(CELL_KINDS.slice(1).map((kind) => [kind, `--${kind}`])),
  ...{ ground: '--ground', label: '--soft', ink: '--ink', flash: '--flash' },
  ...{ mark0: '--free', mark1: '--unusable', mark2: '--excluded', mark3: '--kept' },
};

/** The style sheet's colours in the present theme, as numbers. */
function paletteOf(element: HTMLElement): Palette {
  const probe = element.ownerDocument.createElement('span');
  element.parentElement?.append(probe);
  const numberOf = (name: string) => {
    probe.style.color = `var(${name})`;
    const [red = 0, green = 0, blue = 0] = getComputedStyle(probe).color.match(/\d+/g)?.map(Number) ?? [];
    return packed(red, green, blue);
  };
  const palette = Object.fromEntries(Object.entries(NAMES).map(([name, property]) => [name, numberOf(property)]));
  probe.remove();
  return palette;
}
