// Rows of text under titles, for a terminal or a pipe. Knows no record.
import { plain } from '../ipam/plain.js';

/** What the text is printed to. `width`: of a terminal; whatever reads a pipe has all the room there is. */
export interface Screen {
  readonly width?: number | undefined;
  readonly colour: boolean;
}

export const PIPE: Screen = { colour: false };

export type Tone = 'bad' | 'doubtful' | 'faint';

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly right?: boolean;
  /** Left out where there is no room, the highest first. */
  readonly spare?: number;
  readonly tone?: (cell: string) => Tone | undefined;
}

const GAP = '  ';
const CODES: Readonly<Record<Tone, number>> = { bad: 31, doubtful: 33, faint: 2 };

/**
 * Rows that are printed as they are read: the first of them say how wide each column is, and later ones push what stands behind
 * them, or are cut where there is a terminal.
 */
export class Lines {
  readonly #columns: readonly Column[];
  readonly #screen: Screen;
  #shown: readonly { readonly column: Column; readonly at: number; readonly width: number }[] | undefined;

  constructor(columns: readonly Column[], screen: Screen) {
    this.#columns = columns;
    this.#screen = screen;
  }

  /** With the titles before the first of them. */
  of(texts: readonly (readonly string[])[]): string[] {
    const rows = texts.map((row) => row.map(plain));
    if (this.#shown) return rows.map((row) => this.#line(row));
    this.#shown = this.#fitted(rows);
    return [
      this.#line(
        this.#columns.map(({ title }) => title),
        true,
      ),
      ...rows.map((row) => this.#line(row)),
    ];
  }

  #fitted(rows: readonly (readonly string[])[]) {
    let all = this.#columns.map((column, at) => {
      const width = rows.reduce((most, row) => Math.max(most, row[at]!.length), column.title.length);
      return { column, at, width };
    });
    const { width: room = Number.POSITIVE_INFINITY } = this.#screen;
    const taken = () => all.reduce((sum, { width }) => (width === 0 ? sum : sum + width + GAP.length), -GAP.length);
    while (taken() > room) {
      const spare = all.reduce((most, { column }) => Math.max(most, column.spare ?? 0), 0);
      if (spare === 0) break;
      all = all.filter(({ column }) => column.spare !== spare);
    }
    return all;
  }

  #line(row: readonly string[], title = false): string {
    const { width: room, colour } = this.#screen;
    const cells = this.#shown!.map(({ column, at, width }) => {
      const cell = row[at]!;
      const padded = column.right ? cell.padStart(width) : cell.padEnd(width);
      const tone = !title && colour ? column.tone?.(cell) : undefined;
      return { padded, tone };
    });
    const plain = cells
      .map(({ padded }) => padded)
      .join(GAP)
      .trimEnd();
    if (room !== undefined && plain.length > room) return `${plain.slice(0, Math.max(0, room - 1))}…`;
    if (cells.every(({ tone }) => tone === undefined)) return plain;
    return cells
      .map(({ padded, tone }) => (tone === undefined ? padded : `\u001b[${CODES[tone]}m${padded}\u001b[0m`))
      .join(GAP)
      .trimEnd();
  }
}

/** Widths are those of the longest cell. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const columns = titles.map((title) => ({ title }));
  return new Lines(columns, PIPE).of(rows).join('\n');
}

/** One row at fixed widths; longer cells push the rest. */
export function line(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, i) => cell.padEnd(widths[i]!))
    .join(GAP)
    .trimEnd();
}

/** The two largest units: "2 d 4 h", "35 min", "30 s". */
export function roughly(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3_600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min` : `${seconds} s`;
}
