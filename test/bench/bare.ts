// What everything is compared with: one transaction that puts a key if it is absent.
import type { EtcdClient } from '../../src/etcd/client.js';

/** Puts a key that is absent, as large as a claim; through the driver's own client. */
export function bare(etcd: Pick<EtcdClient, 'txn'>, root: string): () => Promise<void> {
  const value = Buffer.from(JSON.stringify({ kind: 'endpoint', node: 'bench', filled: 'x'.repeat(150) }));
  let next = 0;
  return async () => {
    const key = Buffer.from(`${root}/local/v4/010.066.000.000-16/${String(next++).padStart(15, '0')}`);
    const absent = { key, target: 'Create' as const, result: 'Equal' as const, create_revision: '0' };
    const change = { compare: [absent], success: [{ request_put: { key, value } }] };
    const reply = await etcd.txn(change, performance.now() + 10_000);
    if (!reply.succeeded) throw new Error('a key that nobody else writes was there');
  };
}
