// `etcd-ipam check`: looks at everything, once more at what seems wrong, and puts right what is safe. What is wrong ipam/
// knows; the words for it are in check-words.ts.
import type { Engine } from '../ipam/engine-view.js';
import type { Finding, Note } from '../ipam/findings.js';
import { inspectEngine, membershipsOf } from '../ipam/inspected-engine.js';
import { inspect, lasting } from '../ipam/inspection.js';
import { type Everything, placed, type Snapshot } from '../ipam/recorded.js';
import { remarks } from '../ipam/remarks.js';
import { repair } from '../ipam/repairs.js';
import type { Deadline, Store } from '../ipam/store.js';
import type { Surroundings } from '../ipam/surroundings.js';
import { type Unverified, unverified } from '../ipam/unverified.js';

/** The pause before the second look; each one after it is twice as long. */
const FIRST_PAUSE_MS = 250;
/** While something still goes on the next look comes, but not for ever. */
const MOST_SETTLING_MS = 60_000;
/** One thing put right may show another. */
const MOST_ROUNDS = 5;
const TRY_MS = 60_000;

export interface CheckOptions {
  readonly fix: boolean;
  readonly dryRun: boolean;
  readonly goneRounds: number;
  /** For how long what is wrong must stay unchanged to be more than in passing: a call takes no longer. */
  readonly settleMs: number;
  /** For how long it is kept who had what is freed. */
  readonly keepMs?: number;
  /** Of this host, where it has an engine that can be asked. */
  readonly engine?: {
    readonly node: string;
    readonly asked: Engine;
    readonly graceMs: number;
    /** Others may call the driver of this host, too. */
    readonly oneOfSeveral?: boolean;
  };
}

export interface Repair {
  readonly finding: Finding;
  /** `changed`: what it was judged by is not there any more. */
  readonly outcome: 'done' | 'would' | 'changed' | 'failed';
  /** Of one that failed. */
  readonly why?: string;
}

export interface Checked {
  readonly revision: string;
  readonly records: number;
  /** What is wrong; after repairs, still. */
  readonly findings: readonly Finding[];
  readonly repairs: readonly Repair[];
  readonly notes: readonly Note[];
  readonly unverified: readonly Unverified[];
}

interface Look {
  readonly all: Everything;
  readonly findings: readonly Finding[];
  readonly unverified: readonly Unverified[];
}

type Around = Pick<Surroundings, 'now' | 'millis' | 'pause'>;

export async function check(
  store: Store,
  snapshot: (by: Deadline) => Promise<Snapshot>,
  around: Surroundings,
  options: CheckOptions,
): Promise<Checked> {
  const repairs: Repair[] = [];
  let seen = await settled(snapshot, around, options);
  for (let round = 0; round < MOST_ROUNDS && options.fix && !options.dryRun; round++) {
    const safe = seen.findings.filter(({ remedy }) => remedy);
    if (safe.length === 0) break;
    const tried = await eachRepaired(safe, store, around, options);
    repairs.push(...tried);
    seen = await settled(snapshot, around, options);
    if (tried.some(({ outcome }) => outcome === 'failed')) break;
  }
  if (options.dryRun)
    for (const finding of seen.findings) if (finding.remedy) repairs.push({ finding, outcome: 'would' });
  const { all, findings } = seen;
  const rest = { notes: remarks(all, options.goneRounds), unverified: seen.unverified };
  return { revision: all.revision, records: all.count, findings, repairs, ...rest };
}

async function eachRepaired(
  findings: readonly Finding[],
  store: Store,
  around: Surroundings,
  { keepMs = 0 }: CheckOptions,
): Promise<Repair[]> {
  const repairs: Repair[] = [];
  for (const finding of findings) {
    try {
      const done = await repair(finding.remedy!, store, around, { keepMs }, around.millis() + TRY_MS);
      repairs.push({ finding, outcome: done ? 'done' : 'changed' });
    } catch (error) {
      repairs.push({ finding, outcome: 'failed', why: (error as Error).message });
    }
  }
  return repairs;
}

/**
 * Looks until nothing seems wrong, or what does has not changed for as long as a driver may take for what it has begun. As
 * long as some of it still goes, the rest is likely to follow.
 */
async function settled(
  snapshot: (by: Deadline) => Promise<Snapshot>,
  around: Around,
  options: CheckOptions,
): Promise<Look> {
  const began = around.millis();
  let seen = await look(snapshot, around, options);
  let since = around.millis();
  for (let pause = FIRST_PAUSE_MS; seen.findings.length > 0; pause *= 2) {
    const left = since + options.settleMs - around.millis();
    if (left <= 0 || around.millis() - began > MOST_SETTLING_MS) break;
    await around.pause(Math.min(pause, left));
    const next = await look(snapshot, around, options);
    const findings = lasting(seen.findings, next.findings);
    if (weight(findings) < weight(seen.findings)) since = around.millis();
    seen = { ...next, findings };
  }
  return seen;
}

function weight(findings: readonly Finding[]): number {
  return findings.reduce((sum, { records }) => sum + records.length, 0);
}

/** Records first: what the engine shows is then newer than all that it is compared with. */
async function look(
  snapshot: (by: Deadline) => Promise<Snapshot>,
  around: Around,
  { engine }: CheckOptions,
): Promise<Look> {
  const all = placed(await snapshot(around.millis() + TRY_MS));
  const findings = inspect(all);
  if (!engine) return { all, findings, unverified: unverified(all) };
  const { node, asked, graceMs, oneOfSeveral } = engine;
  try {
    const view = await asked.look();
    const own = membershipsOf(all, node);
    const { found, unverified: unshown } = inspectEngine(own, view, node, graceMs, around.now(), oneOfSeveral);
    const why = 'networks of another engine, or that call this driver by another name, may stand behind it';
    const doubts = unshown.map((what) => ({ what, why }));
    return { all, findings: [...findings, ...found], unverified: [...unverified(all, node), ...doubts] };
  } catch (error) {
    const what = 'what the engine of this host shows';
    return { all, findings, unverified: [{ what, why: (error as Error).message }, ...unverified(all)] };
  }
}
