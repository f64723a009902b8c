// What a revision changed, in the words of events: of claims, pools, joins and nodes. Refuses to know how it is heard of.
import { addressOfClaim, isOurs, nodeOf, parentOf, subnetOfPool } from '../ipam/keyspace.js';
import { type ClaimRecord, decodeClaim, parsed } from '../ipam/records.js';
import type { Changed } from '../ipam/watching.js';
import { formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import type { Change } from './shapes.js';

/** Undefined: nothing that is shown. What has no proper name is nothing either. */
export function changeOf(changed: Changed): Change | undefined {
  const { key, text, before } = changed;
  if (!isOurs(key)) return undefined;
  const base = { gone: text === undefined, fresh: before === undefined };
  const record = parsed(text ?? before);
  try {
    switch (key.slice(0, key.indexOf('/') >>> 0)) {
      case 'claims': {
        const { kind, node, name, mac }: ClaimRecord = decodeClaim(record);
        const address = formatAddress(addressOfClaim(key));
        return { what: 'claim', ...base, ...placeOf(parentOf(key)), address, kind, ...given({ node, name, mac }) };
      }
      case 'pools':
        return { what: 'pool', ...base, ...placeOf(key) };
      case 'rules':
        return { what: 'rules', ...base, ...placeOf(key) };
      case 'joins':
        return { what: 'join', ...base, ...placeOf(parentOf(key)), ...given({ node: nodeIn(record) }) };
      case 'nodes':
        return { what: 'node', ...base, node: nodeOf(key) };
      case 'sessions':
        return { what: 'session', ...base, node: nodeOf(key) };
      case 'brake':
      case 'restored':
        return { what: key as 'brake' | 'restored', ...base };
      default:
        return undefined;
    }
  } catch {
    return undefined;
  }
}

function placeOf(key: string): { space: string; pool: string } {
  const { space, prefix } = subnetOfPool(key);
  return { space, pool: formatPrefix(prefix) };
}

function given(fields: { readonly [K in 'node' | 'name' | 'mac']?: string | undefined }): Partial<Change> {
  return Object.fromEntries(Object.entries(fields).filter(([, text]) => text !== undefined));
}

function nodeIn(record: unknown): string | undefined {
  const node = (record as { node?: unknown } | undefined)?.node;
  return typeof node === 'string' ? node : undefined;
}
