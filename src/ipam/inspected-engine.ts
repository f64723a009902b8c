// What everything that one revision holds and this node's engine say of each other. Pure: reconcile.ts compares, and here is
// only what of it an inspection tells. Nothing of it is put right here: the node's own plugin does that, with patience.
import { formatAddress } from '../net/address.js';
import { describe } from './decide.js';
import type { EngineView } from './engine-view.js';
import { type Finding, finding, placeOf } from './findings.js';
import { compare, type Membership } from './reconcile.js';
import type { Everything, Recorded } from './recorded.js';
import { decodeClaim } from './records.js';
import { isGlobal } from './spaces.js';
import type { Found } from './store.js';

export interface EngineInspected {
  readonly found: readonly Finding[];
  /** Clauses of what the engine does not show. */
  readonly unverified: readonly string[];
}

export function membershipsOf({ subnets }: Everything, node: string): Membership[] {
  return subnets.flatMap(({ subnet, joins, claims }) => {
    const own = [...joins.values()].filter(isRead).filter(({ record }) => record.node === node);
    if (own.length === 0 || isGlobal(subnet.space)) return [];
    own.sort((a, b) => (BigInt(a.version) < BigInt(b.version) ? -1 : 1));
    const all = [...claims.values()].map(({ key, version, record = decodeClaim(undefined) }) => ({
      key,
      version,
      record,
    }));
    return [{ subnet, joins: own, claims: all }];
  });
}

/** `graceMs`: a claim that is younger by the wall clock, `now`, may be a container's that is about to start. */
export function inspectEngine(
  memberships: readonly Membership[],
  view: EngineView,
  node: string,
  graceMs: number,
  now: Date,
  oneOfSeveral = false,
): EngineInspected {
  const young = (since: string) => !(now.getTime() - Date.parse(since) >= graceMs);
  const findings = compare(memberships, view, { node }, { oneOfSeveral });
  const found = findings.flatMap((one): Finding[] => {
    switch (one.kind) {
      case 'stale': {
        const { record } = one.claim;
        if (young(record.since)) return [];
        const text = `${formatAddress(one.at.address)} of ${placeOf(one.at.subnet)} ${describe(record)}`;
        return [finding('claim-without-container', [one.claim], text)];
      }
      case 'missing': {
        const { network, endpoint } = one.live;
        const address = formatAddress(one.at.address);
        const text = `${address} of ${placeOf(one.at.subnet)}: container ${endpoint.name} of network ${network.name} has it`;
        return [{ ...finding('container-without-claim', [one.join], text), subject: text }];
      }
      case 'doubtful': {
        const records = [{ key: `an engine's network: ${one.subject}`, version: '0' }];
        return one.lives ? [{ kind: 'container-without-claim', subject: one.subject, text: one.text, records }] : [];
      }
      default:
        return [];
    }
  });
  const unverified = findings.flatMap((one) => {
    if (one.kind !== 'doubtful' || one.lives || (one.since !== undefined && young(one.since))) return [];
    return [one.text];
  });
  return { found, unverified };
}

function isRead<R>(one: Recorded<R>): one is Recorded<R> & Found<R> {
  return one.record !== undefined;
}
