// Lines of a measurement as a table that can be read and pasted. Refuses to know what was measured.
import type { Line } from './turns.js';

type Column = readonly [head: string, text: (line: Line) => string];

const number = (value: number | undefined, digits: number) =>
  value === undefined || Number.isNaN(value) ? '' : value.toFixed(digits);

const COLUMNS: readonly Column[] = [
  ['', ({ what }) => what],
  ['in flight', ({ inFlight }) => String(inFlight)],
  ['calls', ({ calls }) => String(calls)],
  ['median ms', ({ median }) => number(median, 2)],
  ['p99 ms', ({ p99 }) => number(p99, 2)],
  ['per second', ({ perSecond }) => number(perSecond, 0)],
  ['× median', ({ ratio }) => number(ratio?.median, 2)],
  ['× rate', ({ ratio }) => number(ratio?.rate, 2)],
  ['transactions', ({ costs }) => number(costs?.transactions, 2)],
  ['bytes', ({ costs }) => number(costs?.bytes, 0)],
  ['driver µs', ({ costs }) => number(costs?.driverUs, 0)],
  ['etcd µs', ({ costs }) => number(costs?.etcdUs, 0)],
  ['', ({ remark = '' }) => remark],
];

/** Columns in which no line says anything are left out. */
export function tableOf(lines: readonly Line[]): string {
  const columns = COLUMNS.filter(([, text]) => lines.some((line) => text(line) !== ''));
  const rule = columns.map((_, i) => (i === 0 ? '---' : '---:'));
  const rows = [columns.map(([head]) => head), rule, ...lines.map((line) => columns.map(([, text]) => text(line)))];
  return rows.map((row) => `| ${row.join(' | ')} |\n`).join('');
}
