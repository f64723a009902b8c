// Whether the shared addresses of one subnet and those who share them agree: a claim and its holders are written together.
// Pure. A remedy takes nothing from a network that may use the address: it makes the address taken, or leaves it so.
import { formatAddress } from '../net/address.js';
import {
  type Finding,
  finding,
  type GuardedWrites,
  keyOf,
  placeOf,
  removal,
  type Stamp,
  unchanged,
} from './findings.js';
import { claimKey, holderKey, holdersAt, joinKey } from './keyspace.js';
import type { AtAddress, SubnetSeen } from './recorded.js';
import type { ClaimRecord, HolderRecord } from './records.js';
import { isGlobal } from './spaces.js';
import type { Condition } from './store.js';

/** Joins that can become holders in one transaction. */
const MOST_HEIRS = 60;

export function inspectShares(seen: SubnetSeen): Finding[] {
  const { subnet, claims, holders } = seen;
  const found: Finding[] = [];
  for (const [wide, claim] of claims) {
    if (claim.record?.kind !== 'shared' || holders.has(wide)) continue;
    const text = `${formatAddress(claim.address)} of ${placeOf(subnet)}: since ${claim.record.since}`;
    found.push(finding('shared-without-holder', [claim], text, inheriting(seen, claim)));
  }
  for (const [wide, some] of holders) {
    const claim = claims.get(wide);
    if (claim && (!claim.record || claim.record.kind === 'shared')) continue;
    found.push(unclaimed(seen, [...some], claim));
  }
  return found;
}

/** Which of the pool's networks it was of is not known, so it is all theirs: it goes when the last of them has gone. */
function inheriting({ subnet, pool, joins }: SubnetSeen, claim: AtAddress<ClaimRecord>): Finding['remedy'] {
  const { leader, gateway } = pool?.record ?? {};
  const heirs = [...joins].filter(([id, join]) => join.record && (!isGlobal(subnet.space) || id === leader));
  if (heirs.length === 0 || heirs.length > MOST_HEIRS) return undefined;
  const { address } = claim;
  const role = gateway === formatAddress(address) ? 'gateway' : 'aux';
  return {
    says: 'leaves it to all networks of the pool, until the last of them is removed',
    act: 'commit',
    changes: ({ since, token }) => {
      const mark = token();
      const put = heirs.map(([id, { record }]) => {
        const { node, boot, epoch } = record!;
        const who = epoch === undefined ? { node, boot } : { epoch };
        return { put: holderKey(subnet, address, id), record: { role, ...who, since, token: mark } };
      });
      const when: Condition[] = [unchanged(claim), ...heirs.map(([, join]) => unchanged(join))];
      return [{ when: [...when, { none: holdersAt(subnet, address) }], write: [touched(claim, mark), ...put] }];
    },
  };
}

function touched(claim: AtAddress<ClaimRecord>, token: string) {
  return { put: keyOf(claim), record: { ...claim.record, token } };
}

/** Held for a network that is there it is claimed again; else nobody has a part in it. */
function unclaimed(
  { subnet, joins }: SubnetSeen,
  holders: readonly (readonly [string, AtAddress<HolderRecord>])[],
  claim: AtAddress<ClaimRecord> | undefined,
): Finding {
  const [first] = holders as [(typeof holders)[number]];
  const { address, record } = first[1];
  const all = holders.map(([, holder]) => holder);
  const who = `${formatAddress(address)} of ${placeOf(subnet)}: ${record?.role ?? 'a part'} of join ${first[0]}`;
  if (claim) return finding('holder-without-claim', all, `${who}, and claimed as ${claim.record!.kind}`);
  const key = claimKey(subnet, address);
  const user = holders.find(([join]) => joins.has(join)) ?? (isGlobal(subnet.space) ? first : undefined);
  const own = user && joins.get(user[0]);
  const claiming = ({ since, token }: Stamp): GuardedWrites[] => {
    const when = [unchanged(user![1]), ...(own ? [unchanged(own)] : []), { key, version: null }];
    return [{ when, write: [{ put: key, record: { kind: 'shared', since, token: token() } }] }];
  };
  const ending = (): GuardedWrites[] =>
    holders.map(([join, holder]) => {
      const over: Condition[] = [
        { key, version: null },
        { key: joinKey(subnet, join), version: null },
      ];
      return { when: [...over, unchanged(holder)], write: [removal(holder)] };
    });
  return finding('holder-without-claim', all, who, {
    says: user ? 'claims it again' : 'removes it, since its network has ended',
    act: 'commit',
    changes: user ? claiming : ending,
  });
}
