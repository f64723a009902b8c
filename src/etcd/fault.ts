// etcd's room, the wire's failures: one table says of every failed call whether etcd may have executed it, and why, in
// one clause a human can read. Refuses to know what was asked and whether anyone tries again.

import { IpamError } from '../ipam/errors.js';
import { CLIENT_REFUSED, NOT_SIGNED } from './tls.js';

/**
 * `not_sent`: certainly never executed, nothing left this process. `refused`: etcd answered that it did not execute
 * it. `unknown`: it may have been executed, or may be executed later; whatever is not provably one of the others.
 */
export type FaultKind = 'not_sent' | 'unknown' | 'refused';

export class EtcdFault extends Error {
  override readonly name = 'EtcdFault';
  constructor(
    readonly kind: FaultKind,
    /** One clause without the endpoint: "connection refused". */
    readonly reason: string,
    readonly endpoint: string,
    readonly traits: {
      /** Nothing of it can be executed after this answer: what a linearizable read shows now stays the truth. */
      readonly final: boolean;
      /** Another endpoint may do better. */
      readonly elsewhere: boolean;
      /** The token was refused before the request was looked at. */
      readonly token?: boolean;
      /** By etcd's users and roles. */
      readonly denied?: boolean;
      /** The user is known, and may not do that: etcd does not say with which key. */
      readonly forbidden?: boolean;
      readonly leaseGone?: boolean;
      /** The revision that was asked for is not kept any more. */
      readonly compacted?: boolean;
    },
    options?: ErrorOptions,
  ) {
    super(traits.elsewhere ? `${reason} at ${endpoint}` : reason, options);
  }
}

/** How a gRPC call ended: its status code and text, before any library has reworded them. */
export interface Status {
  readonly code: number;
  readonly details: string;
}

interface Row {
  readonly code?: number;
  readonly text: RegExp;
  readonly kind: FaultKind;
  readonly reason?: string;
  readonly final?: boolean;
  readonly elsewhere?: boolean;
  readonly token?: boolean;
  readonly denied?: boolean;
  readonly forbidden?: boolean;
  readonly leaseGone?: boolean;
  readonly compacted?: boolean;
}

const REFUSED = { kind: 'refused', final: true } as const;
const NOT_SENT = { kind: 'not_sent', final: true, elsewhere: true } as const;
const UNKNOWN = { kind: 'unknown', final: false, elsewhere: true } as const;

/**
 * Read from top to bottom, first match wins. Sources: etcd 3.4 `api/v3rpc/rpctypes/error.go` and `etcdserver/apply.go`,
 * grpc-js 1.14 `load-balancer-pick-first.ts`, `resolving-call.ts`, `internal-channel.ts`.
 */
const TABLE: readonly Row[] = [
  { ...REFUSED, text: /etcdserver: invalid auth token/, token: true, reason: 'etcd refused the token' },
  { ...REFUSED, text: /etcdserver: revision of auth store is old/, token: true, reason: 'etcd refused the token' },
  { ...REFUSED, text: /etcdserver: user name is empty/, token: true, reason: 'etcd wants a user name and a password' },
  { ...REFUSED, text: /etcdserver: authentication failed/, denied: true, reason: 'wrong user name or password' },
  {
    ...REFUSED,
    text: /etcdserver: permission denied/,
    denied: true,
    forbidden: true,
    reason: 'permission denied',
  },
  { ...REFUSED, text: /etcdserver: authentication is not enabled/, reason: 'authentication is not enabled' },
  { ...REFUSED, text: /etcdserver: requested lease not found/, leaseGone: true, reason: 'the lease is gone' },
  // Not `refused`: a transaction that passed the check before raft and finds the quota used up when it is applied is
  // executed and answered with this same error (quotaApplierV3.Txn). Nothing of it lands after the answer, though.
  {
    kind: 'unknown',
    final: true,
    text: /etcdserver: mvcc: database space exceeded/,
    reason: 'the database is out of space (NOSPACE alarm)',
  },
  { ...REFUSED, text: /has been compacted/, compacted: true, reason: 'that revision has been compacted' },
  { ...REFUSED, text: /future revision/, reason: 'that revision is in the future' },
  { ...REFUSED, text: /too many operations in txn request/, reason: 'too many operations in one transaction' },
  { ...REFUSED, text: /duplicate key given in txn request/, reason: 'one key twice in one transaction' },
  { ...REFUSED, text: /etcdserver: request is too large/, reason: 'the request is too large for etcd' },
  { ...REFUSED, text: /^grpc: received message larger than max/, reason: 'the request is too large for etcd' },
  { ...REFUSED, text: /etcdserver: too many requests/, reason: 'etcd is overloaded', elsewhere: true },
  { ...REFUSED, code: 3, text: /^etcdserver: / },
  { ...REFUSED, code: 12, text: /^unknown (service|method)/, reason: 'no etcd v3 API' },
  { ...NOT_SENT, text: /^No connection established/ },
  { ...NOT_SENT, text: /^Name resolution failed/ },
  { ...NOT_SENT, text: /^Channel closed before call started/, reason: 'the client was closed' },
  {
    ...NOT_SENT,
    text: /^Attempted to send message with a size larger/,
    reason: 'the request is too large',
    elsewhere: false,
  },
  { ...NOT_SENT, code: 4, text: /Waiting for LB pick|waiting for (name resolution|metadata filters)/ },
  { ...UNKNOWN, code: 4, text: /./s },
  { ...UNKNOWN, text: /^Connection dropped|ECONNRESET|EPIPE/, reason: 'the connection was cut' },
  { ...UNKNOWN, text: /etcdserver: leader changed/, reason: 'the leader changed' },
  { ...UNKNOWN, text: /etcdserver: no leader/, reason: 'the cluster has no leader' },
  { ...UNKNOWN, text: /etcdserver: request timed out/, reason: 'etcd gave up waiting for its cluster' },
  { ...UNKNOWN, text: /etcdserver: server stopped/, reason: 'etcd is stopping' },
];

/** What the operating system and OpenSSL say inside "No connection established. Last error: …". */
const CONNECTING: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, 'connection refused'],
  [/ENOTFOUND|EAI_AGAIN|ENODATA|Name resolution failed/, 'the name does not resolve'],
  [/EHOSTUNREACH|ENETUNREACH/, 'no route'],
  [/ETIMEDOUT/, 'no answer'],
  [/ECONNRESET|EPIPE/, 'the connection was cut'],
  [/ENOENT/, 'no such socket'],
  [/wrong version number|packet length too long|record layer/i, 'TLS: the other side does not speak TLS'],
  [/before secure TLS connection/, 'TLS: the handshake was cut short (is TLS spoken there?)'],
  [/^Failed to connect/, 'the connection was closed at once (is TLS wanted there?)'],
  // What etcd has against our certificate is an alert; all else is what we have against etcd's.
  [/alert .*(certificate|unknown ca|handshake failure|access denied)/i, CLIENT_REFUSED],
  [/self.signed certificate|unable to (verify|get)/i, NOT_SIGNED],
  [/altnames/i, 'TLS: the certificate is for another name'],
  [/certificate has expired/i, 'TLS: the certificate has expired'],
  [/not yet valid/i, 'TLS: the certificate is not valid yet'],
];

/** @param budgetMs how long the attempt was allowed to take, for "no answer within". */
export function faultOf(status: Status, endpoint: string, budgetMs: number, cause?: unknown): EtcdFault {
  const row = TABLE.find((r) => (r.code === undefined || r.code === status.code) && r.text.test(status.details));
  const { kind, final = false, elsewhere = false } = row ?? UNKNOWN;
  const traits = {
    final,
    elsewhere,
    ...(row?.token && { token: true }),
    ...(row?.denied && { denied: true }),
    ...(row?.forbidden && { forbidden: true }),
    ...(row?.leaseGone && { leaseGone: true }),
    ...(row?.compacted && { compacted: true }),
  };
  return new EtcdFault(kind, row?.reason ?? wording(status, budgetMs), endpoint, traits, { cause });
}

function wording({ code, details }: Status, budgetMs: number): string {
  if (code === 4) return `no answer within ${Math.max(budgetMs, 0) / 1000} s`;
  const last = /^No connection established\. Last error: (.*?)\.? Resolution note/s.exec(details)?.[1] ?? details;
  const known = CONNECTING.find(([text]) => text.test(last))?.[1];
  if (known !== undefined) return known;
  const plain = last.replace(/^(etcdserver|Error): /, '').replace(/\s+/g, ' ');
  return plain === '' || plain === 'null' ? `no connection (gRPC status ${code})` : plain.slice(0, 160);
}

/** The same as the driver's error; `described` names the endpoints ("etcd at 10.0.0.1:2379"). */
export function ipamErrorOf(fault: EtcdFault, described: string): IpamError {
  if (fault.traits.denied) return new IpamError('denied', `${described}: ${fault.reason}`, { cause: fault });
  if (fault.kind === 'refused' && !fault.traits.elsewhere && !fault.traits.leaseGone)
    return new IpamError('internal', `${described} refused the request: ${fault.reason}`, { cause: fault });
  // Only a full database is both.
  if (fault.kind === 'unknown' && fault.traits.final) {
    const advice = 'compact and defragment it, then etcdctl alarm disarm';
    return new IpamError('unavailable', `${described} takes no writes: ${fault.reason}; ${advice}`, { cause: fault });
  }
  return new IpamError('unavailable', `${described} is not reachable: ${fault.reason}`, { cause: fault });
}
