// What is wrong with the epoch of one global pool. Pure. What former epochs gave, and shared, stays the swarm's.
import { formatAddress } from '../net/address.js';
import { type Finding, finding, placeOf, removal, unchanged } from './findings.js';
import type { Entry, SubnetSeen } from './recorded.js';

export function inspectEpoch({ subnet, pool, joins, claims }: SubnetSeen): Finding[] {
  if (!pool?.record) return [];
  const { leader, epoch, stage, incarnation } = pool.record;
  const place = placeOf(subnet);
  const disagrees = (why: string, entry: Entry) => finding('epoch-disagrees', [entry], `${place}: ${why}`);
  if (leader === undefined || epoch === undefined || stage === undefined || incarnation === undefined)
    return [disagrees('the pool does not say which epoch it is in', pool)];
  const rules = joins.get(leader);
  const found: Finding[] = [];
  if (!rules) found.push(finding('leader-missing', [pool], `${place}: join ${leader}, which leads epoch ${epoch}`));
  const since = rules?.record?.epoch;
  if (rules?.record && (since === undefined || since > epoch))
    found.push(disagrees(`its leader is of epoch ${since}, the pool of ${epoch}`, rules));
  for (const [id, join] of joins) {
    if (id === leader || !rules) continue;
    found.push(
      finding('join-not-leader', [join], `${place}: join ${id}, while ${leader} leads`, {
        says: 'removes it, as each new leader removes the one before',
        act: 'commit',
        changes: () => [{ when: [unchanged(pool), unchanged(rules), unchanged(join)], write: [removal(join)] }],
      }),
    );
  }
  for (const claim of claims.values()) {
    const { kind, join, epoch: of } = claim.record ?? {};
    const at = formatAddress(claim.address);
    if (kind === 'endpoint' || kind === 'unsure')
      found.push(finding('undecodable', [claim], `${claim.key}: a leader gives no address of kind ${kind}`));
    if (kind !== 'swarm') continue;
    if (of === undefined || of > epoch) found.push(disagrees(`${at} is of epoch ${of}, the pool of ${epoch}`, claim));
    else if (join === leader && since !== undefined && of !== since)
      found.push(disagrees(`${at} is of epoch ${of}, its join of ${since}`, claim));
  }
  return found;
}
