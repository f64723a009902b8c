import { expect } from 'chai';
import { EtcdFault, faultOf, ipamErrorOf } from '../../../src/etcd/fault.js';

const at = '10.0.0.1:2379';
const notConnected = (last: string) => `No connection established. Last error: ${last}. Resolution note: `;

/** Status code, text as gRPC or etcd 3.4 gives it, kind, reason. */
const CASES: readonly (readonly [number, string, string, string])[] = [
  [14, notConnected('Error: connect ECONNREFUSED 10.0.0.1:2379'), 'not_sent', 'connection refused'],
  [14, 'Name resolution failed for target dns:etcd:2379', 'not_sent', 'the name does not resolve'],
  [
    14,
    notConnected('Error: self-signed certificate in certificate chain'),
    'not_sent',
    'TLS: the certificate is not signed by the configured CA',
  ],
  [
    14,
    notConnected("Error: Hostname/IP does not match certificate's altnames: IP: 10.0.0.1 is not in the cert's list"),
    'not_sent',
    'TLS: the certificate is for another name',
  ],
  [14, notConnected('Error: certificate has expired'), 'not_sent', 'TLS: the certificate has expired'],
  [14, notConnected('Error: certificate is not yet valid'), 'not_sent', 'TLS: the certificate is not valid yet'],
  [
    14,
    notConnected('Error: 40E7:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:ssl/record.c:1600'),
    'not_sent',
    'TLS: etcd wants a client certificate it trusts',
  ],
  [14, notConnected('null'), 'not_sent', 'no connection (gRPC status 14)'],
  [14, 'Channel closed before call started', 'not_sent', 'the client was closed'],
  [4, 'Deadline exceeded after 1.001s,name resolution: 0.001s,Waiting for LB pick', 'not_sent', 'no answer within 1 s'],
  [4, 'Deadline exceeded after 1.000s,waiting for name resolution', 'not_sent', 'no answer within 1 s'],
  [4, 'Deadline exceeded after 1.002s,LB pick: 0.003s,remote_addr=10.0.0.1:2379', 'unknown', 'no answer within 1 s'],
  [4, 'context deadline exceeded', 'unknown', 'no answer within 1 s'],
  [14, 'Connection dropped', 'unknown', 'the connection was cut'],
  [14, 'read ECONNRESET', 'unknown', 'the connection was cut'],
  [14, 'Stream refused by server', 'unknown', 'Stream refused by server'],
  [14, 'transport is closing', 'unknown', 'transport is closing'],
  [1, 'Call cancelled', 'unknown', 'Call cancelled'],
  [
    13,
    'Received RST_STREAM with code 2 (Internal server error)',
    'unknown',
    'Received RST_STREAM with code 2 (Internal server error)',
  ],
  [2, 'etcdserver: corrupt cluster', 'unknown', 'corrupt cluster'],
  [14, 'etcdserver: leader changed', 'unknown', 'the leader changed'],
  [14, 'etcdserver: no leader', 'unknown', 'the cluster has no leader'],
  [
    14,
    'etcdserver: request timed out, possibly due to previous leader failure',
    'unknown',
    'etcd gave up waiting for its cluster',
  ],
  [14, 'etcdserver: server stopped', 'unknown', 'etcd is stopping'],
  [8, 'etcdserver: mvcc: database space exceeded', 'unknown', 'the database is out of space (NOSPACE alarm)'],
  [
    8,
    'Received message larger than max (70000000 vs 67108864)',
    'unknown',
    'Received message larger than max (70000000 vs 67108864)',
  ],
  [8, 'grpc: received message larger than max (3000000 vs. 2097152)', 'refused', 'the request is too large for etcd'],
  [8, 'etcdserver: too many requests', 'refused', 'etcd is overloaded'],
  [7, 'etcdserver: permission denied', 'refused', 'permission denied'],
  [3, 'etcdserver: authentication failed, invalid user ID or password', 'refused', 'wrong user name or password'],
  [16, 'etcdserver: invalid auth token', 'refused', 'etcd refused the token'],
  [3, 'etcdserver: too many operations in txn request', 'refused', 'too many operations in one transaction'],
  [3, 'etcdserver: key is not provided', 'refused', 'key is not provided'],
  [5, 'etcdserver: requested lease not found', 'refused', 'the lease is gone'],
  [11, 'etcdserver: mvcc: required revision has been compacted', 'refused', 'that revision has been compacted'],
  [12, 'unknown service etcdserverpb.KV', 'refused', 'no etcd v3 API'],
  [12, 'No message received', 'unknown', 'No message received'],
];

describe('etcd fault', () => {
  for (const [code, details, kind, reason] of CASES)
    it(`${code} "${details.slice(0, 70)}" is ${kind}`, () => {
      const fault = faultOf({ code, details }, at, 1000);
      expect([fault.kind, fault.reason]).to.deep.equal([kind, reason]);
    });

  it('may land later exactly when it is unknown, but for NOSPACE, which is an answer', () => {
    for (const [code, details, kind] of CASES) {
      const { traits } = faultOf({ code, details }, at, 1000);
      expect(traits.final, details).to.equal(kind !== 'unknown' || details.includes('space exceeded'));
    }
  });

  it('names the endpoint when another one may do better', () => {
    const of = (code: number, details: string) => faultOf({ code, details }, at, 1500).message;
    expect(of(14, notConnected('connect ECONNREFUSED'))).to.equal('connection refused at 10.0.0.1:2379');
    expect(of(4, 'Deadline exceeded after 1.5s,remote_addr=x')).to.equal('no answer within 1.5 s at 10.0.0.1:2379');
    expect(of(7, 'etcdserver: permission denied')).to.equal('permission denied');
  });

  it('becomes unavailable, denied or internal for the driver', () => {
    const of = (code: number, details: string) => {
      const { code: mine, message } = ipamErrorOf(faultOf({ code, details }, at, 1000), 'etcd at a:1, b:2');
      return `${mine}: ${message}`;
    };
    expect(of(14, notConnected('connect ECONNREFUSED'))).to.equal(
      'unavailable: etcd at a:1, b:2 is not reachable: connection refused',
    );
    expect(of(8, 'etcdserver: mvcc: database space exceeded')).to.equal(
      'unavailable: etcd at a:1, b:2 takes no writes: the database is out of space (NOSPACE alarm); ' +
        'compact and defragment it, then etcdctl alarm disarm',
    );
    expect(of(7, 'etcdserver: permission denied')).to.equal('denied: etcd at a:1, b:2: permission denied');
    expect(of(3, 'etcdserver: key is not provided')).to.equal(
      'internal: etcd at a:1, b:2 refused the request: key is not provided',
    );
  });

  it('keeps its cause', () => {
    const cause = new Error('x');
    const fault = faultOf({ code: 2, details: 'x' }, at, 1000, cause);
    expect(fault).to.be.instanceOf(EtcdFault);
    expect(fault.cause).to.equal(cause);
  });
});
