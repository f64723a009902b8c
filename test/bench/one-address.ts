// What a dynamic address costs over its floor: the engine's call through the socket, against one bare transaction that puts
// a key of the same size if it is absent. Series take turns, so that both meet the same machine.
import { type Line, quantile, type Scenario, type Site, series } from './site.js';

const ROUNDS = 6;
const CALLS = 300;

export const oneAddress: Scenario = {
  title: 'one dynamic address of an empty /16, against a bare put-if-absent transaction',
  async run(site, once) {
    const lines: Line[] = [];
    for (const inFlight of [1, 16, 64]) lines.push(...(await compare(site, inFlight, once)));
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
  let bare = 0;
  const value = Buffer.from(JSON.stringify({ kind: 'endpoint', node: 'bench', filled: 'x'.repeat(150) }));
  const put = async () => {
    const key = Buffer.from(`/bare/${inFlight}/local/v4/010.066.000.000-16/${String(bare++).padStart(15, '0')}`);
    const absent = { key, target: 'Create' as const, result: 'Equal' as const, create_revision: '0' };
    const change = { compare: [absent], success: [{ request_put: { key, value } }] };
    const reply = await site.etcd.txn(change, performance.now() + 5_000);
    if (!reply.succeeded) throw new Error('a key that nobody else writes was there');
  };
  const ours: number[] = [];
  const floor: number[] = [];
  let [ourWall, floorWall] = [0, 0];
  const calls = once ? 2 * inFlight : CALLS + 20 * inFlight;
  if (!once) for (const call of [request, put]) await series(calls, inFlight, [], call); // warm
  for (let round = 0; round < (once ? 1 : ROUNDS); round++) {
    ourWall += await series(calls, inFlight, ours, request);
    floorWall += await series(calls, inFlight, floor, put);
  }
  const claims = await site.look.count('claims/');
  if (claims !== granted.size) throw new Error(`${granted.size} addresses given, ${claims} claims in etcd`);
  await site.must('ReleasePool', { PoolID });
  const ratio = quantile(ours, 0.5) / quantile(floor, 0.5);
  return [
    { what: 'RequestAddress', inFlight, samples: ours, wall: ourWall, remark: `${ratio.toFixed(2)} × the transaction` },
    { what: 'bare transaction', inFlight, samples: floor, wall: floorWall },
  ];
}
