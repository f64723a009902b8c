// What everything is compared with: one transaction that puts a key if it is absent.
import type { EtcdClient } from '../../src/etcd/client.js';

type Etcd = Pick<EtcdClient, 'txn'>;

/** As many as the driver sends together. */
const TOGETHER = 64;

/** Puts a key that is absent, as large as a claim; through the driver's own client. */
export function bare(etcd: Etcd, root: string): () => Promise<void> {
  const next = absentKeys(root);
  return () => put(etcd, [next()]);
}

/** What could be had by going together alone: while one transaction is under way, all that is asked for meanwhile waits for the next. */
export function together(etcd: Etcd, root: string): () => Promise<void> {
  const next = absentKeys(root);
  const waiting: ((done: Promise<void>) => void)[] = [];
  let underWay = false;
  const send = async () => {
    underWay = true;
    while (waiting.length > 0) {
      const these = waiting.splice(0, TOGETHER);
      const done = put(etcd, these.map(next));
      for (const answered of these) answered(done);
      await done.catch(() => undefined);
    }
    underWay = false;
  };
  return () =>
    new Promise((answered) => {
      waiting.push(answered);
      if (!underWay) void send();
    });
}

function absentKeys(root: string): () => Buffer {
  let next = 0;
  return () => Buffer.from(`${root}/local/v4/010.066.000.000-16/${String(next++).padStart(15, '0')}`);
}

const VALUE = Buffer.from(JSON.stringify({ kind: 'endpoint', node: 'bench', filled: 'x'.repeat(150) }));

async function put(etcd: Etcd, keys: readonly Buffer[]): Promise<void> {
  const absent = { target: 'Create' as const, result: 'Equal' as const, create_revision: '0' };
  const change = {
    compare: keys.map((key) => ({ key, ...absent })),
    success: keys.map((key) => ({ request_put: { key, value: VALUE } })),
  };
  const reply = await etcd.txn(change, performance.now() + 10_000);
  if (!reply.succeeded) throw new Error('a key that nobody else writes was there');
}
