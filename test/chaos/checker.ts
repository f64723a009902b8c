// Judges a history of calls together with what etcd wrote meanwhile. Pure, and shares no code with the driver.
//
// Why this is enough. A use begins when its grant has been read and ends before its release is asked for, both by the clock of
// one process, so whatever the driver did for it, it did outside of the use. If the uses of one address overlap, then there
// is no order of the calls, each taking effect at one instant between its beginning and its end, in which the address
// had one holder at a time: the history cannot be linearized. If they do not, order them by their beginning: each grant's
// write (rule `phantom` finds it, between the call's two ends) comes before its use, and what ends it after (rule `taken`),
// so etcd's own order of the writes is such an order of the calls. Clocks of etcd and drivers are never compared: a
// write lies between the last look that was older and the moment in which the harness was told of it.

import type { Call, History, Look, Use, Written } from './history.js';
import { cidrOf, parentOf, placeOf, tokenOf } from './keys.js';
import { unlawful } from './laws.js';
import { pairings } from './pairings.js';
import { end, grouped, type Matched, taken, told } from './taken.js';

/** `refused`: for good, what has to be granted; `unclaimed`: what lives, after a restore; `died`: a driver, by itself. */
export type Rule = 'overlap' | 'phantom' | 'taken' | 'late' | 'unlawful' | 'leak' | 'refused' | 'unclaimed' | 'died';

export interface Finding {
  readonly rule: Rule;
  readonly text: string;
}

export function check(history: Pick<History, 'calls' | 'uses' | 'writes' | 'looks' | 'backups'>): Finding[] {
  const { calls, uses, writes, looks, backups } = history;
  const { matched, findings } = match(calls, writes, earliest(looks));
  const gone = taken(uses, matched, writes, backups);
  return [...overlaps(uses), ...findings, ...gone, ...late(calls), ...unlawful(writes, backups)];
}

/** Two hold one address at a time. Those that share it are one holder together. */
export function overlaps(uses: readonly Use[]): Finding[] {
  const findings: Finding[] = [];
  for (const all of grouped(uses, (use) => `${use.place} ${use.address}`).values()) {
    all.sort((a, b) => a.from - b.from);
    let longest: Use | undefined;
    for (const use of all) {
      const same = longest && (longest.who === use.who || (longest.shared && use.shared));
      if (longest && !same && use.from < end(longest))
        findings.push({ rule: 'overlap', text: `${use.address} of ${use.place}: ${told(use)} while ${told(longest)}` });
      if (!longest || end(use) > end(longest)) longest = use;
    }
  }
  return findings;
}

/** A grant for which etcd wrote nothing while it was asked for, or what another grant was for already. */
export function match(
  calls: readonly Call[],
  writes: readonly Written[],
  earliestOf: (write: Written) => number,
): { readonly matched: Matched; readonly findings: Finding[] } {
  const puts = grouped(
    writes.filter(({ record }) => record),
    (write) => grantedBy(write),
  );
  const whatOf = ({ name, place, given, join }: Call) =>
    name === 'RequestPool' ? `${place} ${join}` : `${place} ${given} ${join}`;
  const granted = calls.filter(({ outcome, name }) => outcome === 'granted' && name.startsWith('Request'));
  granted.sort((a, b) => a.ended! - b.ended!);
  const ableOf = (call: Call) =>
    puts.get(whatOf(call))?.filter((put) => put.known >= call.asked && earliestOf(put) <= call.ended!) ?? [];
  const matched = pairings(granted, ableOf);
  const findings = granted
    .filter((call) => !matched.has(call))
    .map(
      (call): Finding => ({
        rule: 'phantom',
        text: `${call.name} gave ${whatOf(call)}, and etcd has no such record of that time`,
      }),
    );
  return { matched, findings };
}

/** What a write grants, in the words of `match`; the claim of a shared address grants nothing, its holders do. */
function grantedBy({ key, record }: Written): string {
  const [room] = key.split('/');
  if (room === 'joins') return `${placeOf(key)} ${key.split('/').at(-1)}`;
  if (room === 'claims' && record?.kind !== 'shared') return `${placeOf(key)} ${cidrOf(key)} ${record?.join}`;
  if (room === 'holders') return `${placeOf(key)} ${cidrOf(parentOf(key))} ${key.split('/').at(-1)}`;
  return '';
}

/** A grant that was answered when its call had been given up: another may have the address by then. */
export function late(calls: readonly Call[]): Finding[] {
  return calls
    .filter(({ outcome, ended, limit }) => outcome === 'granted' && ended! > limit)
    .map(({ name, asked, ended, limit, given }) => ({
      rule: 'late',
      text: `${name} gave ${given} after ${Math.round(ended! - asked)} ms, ${Math.round(ended! - limit)} ms too late`,
    }));
}

/**
 * What is left of claims that nobody uses. `excused`: a call of that join whose answer nobody heard explains one such claim
 * each, where nobody but the end of the join can free it.
 */
export function leaks(
  claims: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  uses: readonly Use[],
  calls: readonly Call[],
  excused: boolean,
): Finding[] {
  const held = new Set(
    uses.filter(({ until }) => until === undefined).map(({ place, address }) => `${place} ${address}`),
  );
  const lost = excused ? calls.filter(({ outcome, name }) => outcome === 'unknown' && name.endsWith('Address')) : [];
  const findings: Finding[] = [];
  for (const [key, record] of Object.entries(claims)) {
    // What is shared is its networks', and ends with the last of their joins.
    const free = record.kind === 'cooling' || record.kind === 'shared';
    if (held.delete(`${placeOf(key)} ${cidrOf(key)}`) || free) continue;
    const explains = (call: Call) => call.join === record.join && (!call.address || call.address === cidrOf(key));
    const why = lost.findIndex(explains);
    if (why >= 0) lost.splice(why, 1);
    else findings.push({ rule: 'leak', text: `${key} is nobody's: ${tokenOf(record)}` });
  }
  for (const place of held) findings.push({ rule: 'leak', text: `${place} is used and has no claim` });
  return findings;
}

/** For each write a moment before which it cannot have been made. */
export function earliest(looks: readonly Look[]): (write: Written) => number {
  const eras = new Map(
    [...grouped(looks, ({ era = 0 }) => String(era))].map(([era, own]) => [Number(era), older(own)]),
  );
  return ({ era = 0, revision }) => eras.get(era)?.(revision) ?? Number.NEGATIVE_INFINITY;
}

function older(looks: readonly Look[]): (revision: number) => number {
  const sorted = [...looks].sort((a, b) => a.revision - b.revision);
  let latest = Number.NEGATIVE_INFINITY;
  const sent = sorted.map((look) => {
    latest = Math.max(latest, look.sent);
    return latest;
  });
  return (revision) => {
    let [from, to] = [0, sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (sorted[middle]!.revision < revision) from = middle + 1;
      else to = middle;
    }
    return from === 0 ? Number.NEGATIVE_INFINITY : sent[from - 1]!;
  };
}
