// What is worth knowing of everything that one revision holds, though nothing is wrong with it: who is silent or gone, and
// which addresses nobody stands behind. Pure; the rules of what may be taken are decide.ts's.
import { formatAddress } from '../net/address.js';
import { isOfFormerEpoch, isOfNode } from './decide.js';
import { listed, type Note, placeOf, type Remark } from './findings.js';
import type { AtAddress, Everything, SubnetSeen } from './recorded.js';
import type { ClaimRecord } from './records.js';
import { type Rules, rulesOf } from './rules.js';
import { isAgainst } from './ruling.js';
import { type Standing, standingOf } from './silence.js';
import { isGlobal } from './spaces.js';

/** `goneRounds`: Infinity where IPAM_HOLD is `never`. */
export function remarks(all: Everything, goneRounds: number): Note[] {
  const standings = standingsOf(all, goneRounds);
  return [
    ...nothing(all),
    ...absent(all, standings),
    ...standing(all),
    ...all.subnets.flatMap((seen) => [...takeable(seen, all, standings), ...gateway(seen), ...ruled(seen)]),
  ];
}

function note(kind: Remark, subject: string, text: string, addresses?: number): Note {
  return { kind, subject, text, ...(addresses !== undefined && { addresses }) };
}

/** Each plugin that has ever run has a record. */
function nothing({ count }: Everything): Note[] {
  if (count > 0) return [];
  const text = 'no record is there at all: IPAM_PREFIX or ETCD_ENDPOINTS are likely not those of the plugins';
  return [note('no-records', 'IPAM_PREFIX', text)];
}

/** What holds for all, as long as its key is there. */
function standing({ brake, restored }: Everything): Note[] {
  const braked = 'more than half of the nodes are silent together: no silence counts';
  const set = 'etcd was restored from a backup: no address is given until that is settled';
  return [
    ...(brake ? [note('brake', brake.key, braked)] : []),
    ...(restored ? [note('restored', restored.key, set)] : []),
  ];
}

function standingsOf({ nodes, sessions }: Everything, goneRounds: number): Map<string, Standing> {
  const standings = new Map<string, Standing>();
  for (const [name, { key, record, version }] of nodes)
    if (record)
      standings.set(
        name,
        standingOf({ name, found: { key, record, version }, living: sessions.has(name) }, goneRounds),
      );
  return standings;
}

function absent({ nodes }: Everything, standings: ReadonlyMap<string, Standing>): Note[] {
  return [...standings].flatMap(([name, standing]) => {
    if (standing === 'alive') return [];
    const { silence = 0, evicted } = nodes.get(name)!.record!;
    const since = standing === 'evicted' ? `evicted since ${evicted}` : standing;
    return [{ ...note(`node-${standing}`, name, `node ${name} is ${since}`), rounds: silence }];
  });
}

/** By why they are, and whose they are. */
function takeable(seen: SubnetSeen, all: Everything, standings: ReadonlyMap<string, Standing>): Note[] {
  const counts = new Map<string, number>();
  for (const claim of seen.claims.values()) {
    const why = claim.record && whyTakeable(claim, claim.record, seen, all, standings);
    if (why) counts.set(why, (counts.get(why) ?? 0) + 1);
  }
  return [...counts].map(([why, count]) => {
    const place = placeOf(seen.subnet);
    return note('takeable', `${place} ${why}`, `${place}: ${count} can be taken: ${why}`, count);
  });
}

function whyTakeable(
  claim: AtAddress<ClaimRecord>,
  record: ClaimRecord,
  { subnet, pool }: SubnetSeen,
  { nodes }: Everything,
  standings: ReadonlyMap<string, Standing>,
): string | undefined {
  if (record.kind === 'cooling') return 'released, and resting';
  const leader = pool?.record?.leader;
  if (isGlobal(subnet.space))
    return leader !== undefined && isOfFormerEpoch({ ...claim, record }, leader)
      ? 'of a former epoch, and not asked for again'
      : undefined;
  const { node } = record;
  if (node === undefined || !isOfNode(record)) return undefined;
  const standing = standings.get(node);
  if (standing === 'gone' || standing === 'evicted') return `of ${node}, which is ${standing}`;
  const boot = nodes.get(node)?.record?.boot;
  return boot !== undefined && boot !== record.boot ? `of an earlier boot of ${node}, by that node itself` : undefined;
}

/** Networks that name none get this one, and meanwhile a container may. What has holders and no claim is a finding. */
function gateway({ subnet, pool, joins, claims, holders }: SubnetSeen): Note[] {
  const { gateway: chosen, state } = pool?.record ?? {};
  if (chosen === undefined || state !== 'open') return [];
  const parts = [...holders.values()].flatMap((some) => [...some]);
  for (const { address } of [...claims.values(), ...parts.map(([, part]) => part)])
    if (formatAddress(address) === chosen) return [];
  const led = new Set(parts.flatMap(([join, { record }]) => (record?.role === 'aux' ? [] : join)));
  const without = [...joins].flatMap(([join, { record }]) => (led.has(join) ? [] : (record?.node ?? '?')));
  const who = `networks of ${listed([...new Set(without)])}, which hold no gateway, may use it`;
  const why = without.length === 0 ? 'no network has it now' : `a container may get it, and ${who}`;
  return [
    note('gateway-unclaimed', placeOf(subnet), `${placeOf(subnet)}: its gateway ${chosen} is not claimed: ${why}`),
  ];
}

/** What is held against an operator's rules, by whoever was there first; and rules of a subnet that no network has. */
function ruled({ subnet, pool, rules, claims }: SubnetSeen): Note[] {
  const place = placeOf(subnet);
  if (!pool) return rules ? [note('rules-waiting', place, `${place}: it has rules, and no network`)] : [];
  if (!pool.record?.rules) return [];
  let laid: Rules;
  try {
    laid = rulesOf(pool.record);
  } catch {
    return [];
  }
  const against = [...claims.values()].filter(({ address, record }) => record && isAgainst(laid, address, record));
  if (against.length === 0) return [];
  const addresses = listed(against.map(({ address }) => formatAddress(address)));
  const text = `${place}: ${against.length} held against its rules until given back: ${addresses}`;
  return [note('against-rules', place, text, against.length)];
}
