// etcd's room, which key a user may not touch: what a transaction needs, and transactions that ask for each part of that
// and change nothing. Refuses to know who asks, and why.

import type { Compare, RequestOp, TxnRequest } from './client.js';
import { EtcdFault } from './fault.js';

export interface Access {
  readonly to: 'read' | 'write';
  readonly key: Buffer;
  readonly end?: Buffer;
}

/** In the order in which etcd looks at them: conditions, then both branches. */
export function probesOf({
  compare = [],
  success = [],
  failure = [],
}: TxnRequest): { access: Access; request: TxnRequest }[] {
  const needed = [...compare.map(compared), ...[...success, ...failure].flatMap(operated)];
  return needed.map((access) => ({ access, request: probe(access) }));
}

/** The fault of a transaction, with the access that it lacked. */
export function deniedAccess({ kind, endpoint, traits, cause }: EtcdFault, who: string, access: Access): EtcdFault {
  return new EtcdFault(kind, `${who} may not ${access.to} ${named(access)}`, endpoint, traits, { cause });
}

/**
 * etcd judges both branches before it looks which one it is (auth's checkTxnAuth), and without conditions it is always
 * the first one: what stands in the second is judged and never done.
 */
function probe({ to, key, end }: Access): TxnRequest {
  const range = { key, ...(end && { range_end: end }) };
  if (to === 'read') return { failure: [{ request_range: { ...range, limit: 1, keys_only: true } }] };
  return { failure: [end ? { request_delete_range: range } : { request_put: { key, value: Buffer.alloc(0) } }] };
}

function compared({ key, range_end }: Compare & { range_end?: Buffer }): Access {
  return { to: 'read', key: key as Buffer, ...(range_end && { end: range_end }) };
}

function operated({ request_range, request_put, request_delete_range }: RequestOp): Access[] {
  const of = (to: Access['to'], range: { key?: unknown; range_end?: unknown } | undefined): Access[] =>
    range ? [{ to, key: range.key as Buffer, ...(range.range_end ? { end: range.range_end as Buffer } : {}) }] : [];
  return [...of('read', request_range), ...of('write', request_put), ...of('write', request_delete_range)];
}

/** "/a/b", "/a/*" where a range is all that begins with one text, else both ends. */
function named({ key, end }: Access): string {
  if (end === undefined) return key.toString();
  const next = Buffer.from(key);
  next[next.length - 1]!++;
  return next.equals(end) ? `${key}*` : `${key} to ${end}`;
}
