// What the runs counted, in rows and columns. Refuses to judge.
import type { Finding, Rule } from './checker.js';
import type { Kind } from './faults.js';
import type { Ran } from './run.js';

export interface Row {
  readonly seed: number;
  readonly calls: number;
  readonly granted: number;
  readonly released: number;
  readonly failed: number;
  readonly unknown: number;
  readonly elections: number;
  readonly orphans: number;
  readonly begun: Ran['begun'];
  readonly findings: readonly Finding[];
}

export function rowOf({ seed, history, begun, findings, orphans, elections }: Ran): Row {
  const [granted, released] = [history.count('granted'), history.count('released')];
  const [failed, unknown] = [history.count('failed'), history.count('unknown')];
  return { seed, calls: history.calls.length, granted, released, failed, unknown, elections, orphans, begun, findings };
}

export const NOTHING: Omit<Row, 'seed'> = {
  ...{ calls: 0, granted: 0, released: 0, failed: 0, unknown: 0, elections: 0, orphans: 0 },
  ...{ begun: new Map(), findings: [] },
};

const RULES: Readonly<Record<string, readonly Rule[]>> = {
  overlaps: ['overlap', 'taken'],
  phantoms: ['phantom', 'late'],
  unlawful: ['unlawful'],
  leaks: ['leak'],
};

export function table(rows: readonly Row[]): string[] {
  const counts = ['seed', 'calls', 'granted', 'released', 'failed', 'unknown', 'elections', 'orphans'] as const;
  const cells = rows.map((row) => [
    ...counts.map((name) => String(row[name])),
    String([...row.begun.values()].flat().length),
    ...Object.values(RULES).map((rules) => String(row.findings.filter(({ rule }) => rules.includes(rule)).length)),
  ]);
  const all = [[...counts, 'faults', ...Object.keys(RULES)], ...cells];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((line) => line[column]!.length)));
  return all.map((line) => line.map((cell, column) => cell.padStart(widths[column]!)).join('  '));
}

/** Seed by seed, how many calls were under way whenever a fault of that kind began. */
export function inFlight(rows: readonly Row[], kind: Kind): (readonly number[])[] {
  return rows.map(({ begun }) => begun.get(kind) ?? []);
}
