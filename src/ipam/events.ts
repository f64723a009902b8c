// What a revision means, in the words of an operator: addresses that are given and given back, networks and nodes that come
// and go. Total: what it does not know it leaves out. Decides nothing.
import { formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import { addressOfClaim, isOurs, joinOf, nodeOf, parentOf, subnetOfPool } from './keyspace.js';
import {
  type ClaimRecord,
  decodeBrake,
  decodeClaim,
  decodeHolder,
  decodeJoin,
  decodeNode,
  decodePool,
  decodeRestored,
  parsed,
} from './records.js';
import type { Changed } from './watching.js';

/**
 * `allocated`: somebody has the address who had it not; `renewed`: its holder asked for it again; `taken`: from another;
 * `released`: nobody has it, though it may rest; `free`: it does not rest any more; `shared`, `unshared`: a part in a gateway or
 * auxiliary address.
 */
export const EVENTS = [
  ...['allocated', 'renewed', 'taken', 'released', 'free', 'shared', 'unshared'],
  ...['pool-made', 'pool-changed', 'pool-removed', 'joined', 'left'],
  ...['alive', 'ended', 'silent', 'returned', 'evicted', 'forgotten', 'braked', 'unbraked', 'restored', 'resumed'],
] as const;

export interface Event {
  readonly event: string;
  readonly space?: string;
  readonly pool?: string;
  readonly address?: string;
  readonly kind?: ClaimRecord['kind'];
  readonly role?: string;
  readonly node?: string;
  readonly name?: string;
  readonly mac?: string;
  readonly join?: string;
  /** Whose it was. */
  readonly from?: string;
  readonly since?: string;
  /** Of what is about no address. */
  readonly text?: string;
}

export function eventsOf(changed: readonly Changed[]): Event[] {
  return changed.flatMap((one) => {
    try {
      return (isOurs(one.key) && MEANING[one.key.split('/')[0]!]?.(one)) || [];
    } catch {
      return [];
    }
  });
}

type Meaning = (changed: Changed) => Event[];

const MEANING: Readonly<Record<string, Meaning>> = {
  claims: (changed) => {
    const [now, before] = both(changed, decodeClaim);
    const at = { ...placeOf(parentOf(changed.key)), address: formatAddress(addressOfClaim(changed.key)) };
    const [has, had] = [heldBy(now), heldBy(before)];
    if (has && had && has.since === had.since) return [];
    if (has) {
      const same = had && has.join === had.join && has.node === had.node;
      const from = had && !same ? (had.node ?? 'the swarm') : undefined;
      return [{ event: had ? (same ? 'renewed' : 'taken') : 'allocated', ...at, ...told(has), ...(from && { from }) }];
    }
    if (had) return [{ event: 'released', ...at, ...told(had) }];
    return before?.kind === 'cooling' && !now ? [{ event: 'free', ...at }] : [];
  },
  holders: (changed) => {
    const [now, before] = both(changed, decodeHolder);
    const { role, node, since } = now ?? before!;
    if (now && before) return [];
    const claim = parentOf(changed.key);
    const at = { ...placeOf(parentOf(claim)), address: formatAddress(addressOfClaim(claim)) };
    const who = { role, ...(node !== undefined && { node }), join: joinOf(changed.key), since };
    return [{ event: now ? 'shared' : 'unshared', ...at, ...who }];
  },
  pools: (changed) => {
    const [now, before] = both(changed, decodePool);
    const at = placeOf(changed.key);
    if (!now || !before) return [{ event: now ? 'pool-made' : 'pool-removed', ...at }];
    return same(now, before) ? [] : [{ event: 'pool-changed', ...at }];
  },
  joins: (changed) => {
    const [now, before] = both(changed, decodeJoin);
    if (now && before) return [];
    const { node, since } = now ?? before!;
    return [
      { event: now ? 'joined' : 'left', ...placeOf(parentOf(changed.key)), node, join: joinOf(changed.key), since },
    ];
  },
  sessions: ({ key, text, before }) => {
    if (text !== undefined && before !== undefined) return [];
    return [{ event: text === undefined ? 'ended' : 'alive', node: nodeOf(key) }];
  },
  nodes: (changed) => {
    const [now, before] = both(changed, decodeNode);
    const node = nodeOf(changed.key);
    if (!now) return [{ event: 'forgotten', node }];
    if (now.evicted !== undefined && before?.evicted === undefined) return [{ event: 'evicted', node }];
    const [silence, was] = [now.silence ?? 0, before?.silence ?? 0];
    if (silence > 0 && was === 0) return [{ event: 'silent', node }];
    return silence === 0 && was > 0 ? [{ event: 'returned', node }] : [];
  },
  brake: (changed) => {
    const [now] = both(changed, decodeBrake);
    return now
      ? [{ event: 'braked', text: `${now.silent} of ${now.of} nodes fell silent together`, since: now.since }]
      : [{ event: 'unbraked' }];
  },
  restored: (changed) => {
    const [now, before] = both(changed, decodeRestored);
    if (now && before) return [];
    return now ? [{ event: 'restored', node: now.node, text: now.what, since: now.since }] : [{ event: 'resumed' }];
  },
};

function both<R>(
  { key, text, before }: Changed,
  decode: (json: unknown, key: string) => R,
): [R | undefined, R | undefined] {
  const read = (json: string | undefined) => (json === undefined ? undefined : decode(parsed(json), key));
  return [read(text), read(before)];
}

/** What rests is nobody's, and what is shared is told by its holders. */
function heldBy(claim: ClaimRecord | undefined): ClaimRecord | undefined {
  return claim && claim.kind !== 'cooling' && claim.kind !== 'shared' ? claim : undefined;
}

function told({ kind, node, name, mac, join, since }: ClaimRecord) {
  return {
    kind,
    ...(node !== undefined && { node }),
    ...(name !== undefined && { name }),
    ...(mac !== undefined && { mac }),
    ...(join !== undefined && { join }),
    since,
  };
}

function placeOf(key: string): { readonly space: string; readonly pool: string } {
  const { space, prefix } = subnetOfPool(key);
  return { space, pool: formatPrefix(prefix) };
}

/** But for what changes in the ordinary course: the gateway, and what leaders do. */
function same(a: object, b: object): boolean {
  const left = ['token', 'since', 'gateway', 'state', 'epoch', 'leader', 'stage', 'incarnation'];
  const rest = (record: object) =>
    JSON.stringify(
      Object.entries(record)
        .filter(([field]) => !left.includes(field))
        .sort(([x], [y]) => (x < y ? -1 : 1)),
    );
  return rest(a) === rest(b);
}
