// Whether the record behind a use was there for as long as the use went on, in a history that may have been set back to a
// backup. Pure, and shares no code with the driver.
import type { Finding } from './checker.js';
import type { Call, Use, Written } from './history.js';

/** The write of each grant, and behind it those that may have been it as well: a grant that nobody received looks alike. */
export type Matched = ReadonlyMap<Call, readonly Written[]>;

/** The record behind a use went, for certain, before its release was asked for. */
export function taken(
  uses: readonly Use[],
  matched: Matched,
  writes: readonly Written[],
  backups: readonly number[] = [],
): Finding[] {
  const byKey = grouped(writes, ({ key }) => key);
  const resumed = writes.filter(({ key, record }) => key === 'restored' && !record);
  return uses.flatMap((use): Finding[] => {
    const able = (use.grant && matched.get(use.grant)) ?? [];
    const wrongs = able.map((first) => wrongOf(use, first, byKey.get(first.key)!, resumed, backups));
    const [wrong] = wrongs;
    if (!wrong || wrongs.includes(undefined)) return [];
    return [{ rule: 'taken', text: `${use.address} of ${use.place} ${wrong} while ${told(use)}` }];
  });
}

function wrongOf(
  use: Use,
  first: Written,
  chain: readonly Written[],
  resumed: readonly Written[],
  backups: readonly number[],
): string | undefined {
  const { era = 0, revision } = first;
  const later = chain.slice(chain.indexOf(first) + 1);
  // A backup that is older has no record of it.
  const isKept = revision <= (backups[era] ?? Number.POSITIVE_INFINITY);
  const gone = ending(
    use,
    later.filter((write) => isKept || write.era === first.era),
  );
  // The swarm's leader claims again what it gave, but only when addresses are given again.
  if (gone || isKept || use.place.startsWith('global')) return gone;
  // Until addresses are given again nobody can be given it. From then on there has to be a claim, as of any other.
  const resume = resumed.find((write) => (write.era ?? 0) > era);
  if (!resume || resume.known >= end(use)) return undefined;
  const isSince = (write: Written) => write.era === resume.era && write.revision > resume.revision;
  const isBefore = (write: Written) =>
    write.era === resume.era ? !isSince(write) : write.revision <= (backups[write.era ?? 0] ?? 0);
  const then = chain.findLast((write) => (write.era ?? 0) <= resume.era! && isBefore(write))?.record;
  if (!then || !(use.shared || then.node === use.node))
    return `was ${JSON.stringify(then) ?? "nobody's"} at revision ${resume.revision}, when addresses were given again,`;
  return ending(use, chain.filter(isSince));
}

/** Whoever else it is given to is found by `overlaps`, and whether it may be by `unlawful`. */
function ending(use: Use, writes: readonly Written[]): string | undefined {
  for (const { known, record, revision } of writes) {
    if (known >= end(use)) return undefined;
    if (record && record.kind !== 'cooling' && (use.shared || record.kind !== 'shared')) continue;
    return `was ${record?.kind ?? 'removed'} at revision ${revision}`;
  }
  return undefined;
}

export const end = ({ until }: Use) => until ?? Number.POSITIVE_INFINITY;

export function told({ who, node, join, from, until }: Use): string {
  const till = until === undefined ? '…' : Math.round(until);
  return `${who} on ${node} (join ${join}) has it from ${Math.round(from)} to ${till}`;
}

export function grouped<T>(items: Iterable<T>, by: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = by(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
