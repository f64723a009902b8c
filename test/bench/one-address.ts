// What a dynamic address costs over its floor: the engine's call through the socket, against one bare transaction that puts
// a key of the same size if it is absent.
import { warmed } from './plant.js';
import type { Scenario, Site } from './site.js';
import { type Line, takeTurns } from './turns.js';

const TURNS = 7;
const CALLS = 300;

export const oneAddress: Scenario = {
  title: 'one dynamic address of an empty /16, against a bare put-if-absent transaction',
  async run(site, { once }) {
    await warmed(site, once);
    const lines: Line[] = [];
    for (const inFlight of [1, 8, 64, 256]) lines.push(...(await compare(site, inFlight, once)));
    return lines;
  },
};

async function compare(site: Site, inFlight: number, once: boolean): Promise<Line[]> {
  const Pool = '10.66.0.0/16';
  const { PoolID } = await site.must('RequestPool', { AddressSpace: 'local', Pool, SubPool: '', Options: {} });
  const granted = new Set<string>();
  const options = { 'com.docker.network.endpoint.name': 'web.1.w8hz5ppl0f' };
  const request = async () =>
    granted.add((await site.must('RequestAddress', { PoolID, Address: '', Options: options })).Address);
  const calls = once ? inFlight : CALLS + 10 * inFlight;
  const lines = await takeTurns(site, once ? 1 : TURNS, [
    { what: 'bare transaction', inFlight, calls, call: bare(site, `/bare/${inFlight}`) },
    { what: 'RequestAddress', inFlight, calls, call: request },
  ]);
  const claims = await site.look.count('claims/');
  if (claims !== granted.size) throw new Error(`${granted.size} addresses given, ${claims} claims in etcd`);
  await site.must('ReleasePool', { PoolID });
  return lines;
}

/** Puts a key that is absent, as large as a claim; through the driver's own client. */
export function bare(site: Site, root: string): () => Promise<void> {
  const value = Buffer.from(JSON.stringify({ kind: 'endpoint', node: 'bench', filled: 'x'.repeat(150) }));
  let next = 0;
  return async () => {
    const key = Buffer.from(`${root}/local/v4/010.066.000.000-16/${String(next++).padStart(15, '0')}`);
    const absent = { key, target: 'Create' as const, result: 'Equal' as const, create_revision: '0' };
    const change = { compare: [absent], success: [{ request_put: { key, value } }] };
    const reply = await site.etcd.txn(change, performance.now() + 10_000);
    if (!reply.succeeded) throw new Error('a key that nobody else writes was there');
  };
}
