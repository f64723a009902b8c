// What it costs to keep who had an address: the engine's calls with IPAM_HISTORY and without, in turns, and what that leaves in
// etcd.
import type { Driver, Scenario, Site } from './site.js';
import { type Line, takeTurns } from './turns.js';

const TURNS = 6;
const CALLS = 200;
const NAME = { 'com.docker.network.endpoint.name': 'web.1.w8hz5ppl0f' };

export const history: Scenario = {
  title: 'containers that come and go, with IPAM_HISTORY=7d, against without',
  async run(site, { once }) {
    const without = await site.another('without', 'session alive', { IPAM_HISTORY: '0s' });
    const keeping = await site.another('keeping', 'session alive', { IPAM_HISTORY: '7d' });
    const lines: Line[] = [];
    for (const inFlight of [1, 16]) lines.push(...(await compare(site, { without, keeping }, inFlight, once)));
    for (const driver of [without, keeping]) await driver.stop();
    const { records, bytes } = await kept(site);
    if (records === 0) throw new Error('nothing was kept');
    const remark = `${Math.round(bytes / records)} bytes of key and value a record`;
    return lines.map((line, at) => (at === lines.length - 1 ? { ...line, remark } : line));
  },
};

async function compare(
  site: Site,
  { without, keeping }: Readonly<Record<'without' | 'keeping', Driver>>,
  inFlight: number,
  once: boolean,
): Promise<Line[]> {
  const ways = await Promise.all(
    [
      { what: 'without', must: without.must, Pool: '10.67.0.0/16' },
      { what: '7d', must: keeping.must, Pool: '10.68.0.0/16' },
    ].map(async ({ what, must, Pool }) => {
      const { PoolID } = await must('RequestPool', { AddressSpace: 'local', Pool, SubPool: '', Options: {} });
      return { what, must, PoolID: PoolID as string, given: [] as string[] };
    }),
  );
  const calls = once ? inFlight : CALLS + 5 * inFlight;
  const lines: Line[] = [];
  for (const call of ['RequestAddress', 'ReleaseAddress'] as const) {
    const subjects = ways.map(({ what, must, PoolID, given }) => {
      const ask = async () =>
        given.push((await must('RequestAddress', { PoolID, Address: '', Options: NAME })).Address.split('/')[0]);
      const release = () => must('ReleaseAddress', { PoolID, Address: given.shift()! });
      // Each turn begins with as many as it ends with, so that the next one meets the same pool.
      const after = async () => {
        for (let i = 0; i < calls; i++) await (call === 'RequestAddress' ? release() : ask());
      };
      return { what: `${call}, ${what}`, inFlight, calls, call: call === 'RequestAddress' ? ask : release, after };
    });
    if (call === 'ReleaseAddress') for (const { after } of subjects) await after();
    lines.push(...(await takeTurns(site, once ? 1 : TURNS, subjects)));
  }
  for (const { must, PoolID, given } of ways) {
    for (const Address of given) await must('ReleaseAddress', { PoolID, Address });
    await must('ReleasePool', { PoolID });
  }
  return lines;
}

async function kept({ etcd }: Site): Promise<{ records: number; bytes: number }> {
  const range = { key: Buffer.from('/etcd-ipam/history/'), range_end: Buffer.from('/etcd-ipam/history0') };
  const reply = await etcd.read({ success: [{ request_range: range }] }, performance.now() + 30_000);
  const { kvs } = reply.responses[0]!.response_range;
  return { records: kvs.length, bytes: kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0) };
}
