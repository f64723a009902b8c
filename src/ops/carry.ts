// `etcd-ipam export` and `import`: the lines of the file, and what is said of it. What may be written, ipam/ knows.
import { type Carried, carried, carryIn, type ImportPlan, type LeftOut, planImport } from '../ipam/carrying.js';
import { IpamError } from '../ipam/errors.js';
import type { Snapshot } from '../ipam/recorded.js';
import type { Deadline, Store } from '../ipam/store.js';
import type { Surroundings } from '../ipam/surroundings.js';

/** Of the lines of the file, which a later version may change. */
const FORMAT = 1;

interface Head {
  readonly format: number;
  readonly prefix: string;
  readonly revision: string;
  readonly records: number;
}

export function exportOf(snapshot: Snapshot, prefix: string): { lines: Iterable<string>; left: readonly LeftOut[] } {
  const { records, left } = carried(snapshot);
  const head: Head = { format: FORMAT, prefix, revision: snapshot.revision, records: records.length };
  return { lines: linesOf(head, records), left };
}

/** A line that says what follows, and one for each record. */
function* linesOf(head: Head, records: readonly Carried[]): Generator<string> {
  yield JSON.stringify({ 'etcd-ipam': head });
  for (const one of records) yield JSON.stringify(one);
}

/** Throws `bad_record` where it is no such file, or not all of one. */
export function readExport(text: string): Carried[] {
  const lines = text.split('\n').filter((line) => line !== '');
  const wrong = (why: string) => new IpamError('bad_record', `this is no export of etcd-ipam: ${why}`);
  const [first, ...rest] = lines.map((line, i): unknown => {
    try {
      return JSON.parse(line);
    } catch {
      throw wrong(`line ${i + 1} is no JSON`);
    }
  });
  const head = (first as { 'etcd-ipam'?: Head } | undefined)?.['etcd-ipam'];
  if (!head) throw wrong('its first line does not say so');
  if (head.format !== FORMAT) throw wrong(`its format is ${head.format}, and this version reads ${FORMAT}`);
  if (rest.length !== head.records) throw wrong(`it has ${rest.length} of ${head.records} records`);
  return rest.map((one, i) => {
    const { key, record } = one as Partial<Carried>;
    if (typeof key === 'string' && typeof record === 'object' && record !== null) return { key, record };
    throw wrong(`line ${i + 2} is no record`);
  });
}

export interface Imported {
  readonly records: number;
  /** There already. */
  readonly there: number;
  readonly written: number;
  readonly missing: number;
  readonly differing: readonly string[];
  readonly wrong: readonly string[];
}

export interface ImportOptions {
  readonly dryRun: boolean;
  readonly node: string;
  readonly progress: (done: number, of: number) => void;
}

export async function importRecords(
  store: Store,
  snapshot: (by: Deadline) => Promise<Snapshot>,
  file: readonly Carried[],
  { dryRun, node, progress }: ImportOptions,
  around: Surroundings,
  by: Deadline,
): Promise<Imported> {
  const { missing, ...plan }: ImportPlan = planImport(file, await snapshot(by));
  const counts = { records: file.length, missing: missing.length, ...plan };
  if (dryRun || plan.differing.length > 0 || plan.wrong.length > 0) return { ...counts, written: 0 };
  const options = { node, progress: (done: number) => progress(done, missing.length) };
  await carryIn(store, missing, options, around, by);
  return { ...counts, written: missing.length };
}

const SHOWN = 20;

export function formatImported({ records, there, written, missing, differing, wrong }: Imported): string {
  const some = (keys: readonly string[]) => [
    ...keys.slice(0, SHOWN).map((key) => `  ${key}`),
    ...(keys.length > SHOWN ? [`  and ${keys.length - SHOWN} more`] : []),
  ];
  const lines = [`${records} records: ${there} are there already, ${missing} are missing`];
  if (differing.length > 0)
    lines.push(`${differing.length} are there and differ, so nothing was written:`, ...some(differing));
  if (wrong.length > 0) lines.push('they do not go together, so nothing was written:', ...some(wrong));
  if (written > 0)
    lines.push(`${written} written; no address is given until all hosts have reconciled, or etcd-ipam resume was run`);
  else if (differing.length + wrong.length === 0)
    lines.push(missing > 0 ? `${missing} would be written` : 'nothing to write');
  return lines.join('\n');
}
