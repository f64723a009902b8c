// What the runs counted, in rows and columns. Refuses to judge.
import type { Finding, Rule } from './checker.js';
import type { Kind } from './faults.js';
import type { History } from './history.js';
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

const RULES: Readonly<Record<string, readonly Rule[]>> = {
  overlaps: ['overlap', 'taken'],
  phantoms: ['phantom', 'late'],
  unlawful: ['unlawful'],
  leaks: ['leak'],
  others: ['refused', 'unclaimed', 'died'],
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

/** What most of the calls that failed were told, in the words for all of its kind. */
export function mostSaid({ calls }: Pick<History, 'calls'>): string[] {
  const times = new Map<string, number>();
  for (const { outcome, said = '' } of calls) {
    const text = said.replace(/[\w.:/-]*\d[\w.:/-]*/g, '…').slice(0, 100);
    if (outcome === 'failed') times.set(text, (times.get(text) ?? 0) + 1);
  }
  const most = [...times].sort(([, a], [, b]) => b - a).slice(0, 3);
  return most.filter(([, count]) => count > 100).map(([text, count]) => `${count} failed: ${text}`);
}
