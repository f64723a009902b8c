// What a dynamic address costs over its floor: the engine's call through the socket, against one bare transaction that puts
// a key of the same size if it is absent. Beside it what any server in Node.js would cost.
import { bare } from './bare.js';
import { PlainServer } from './plain-server.js';
import { warmed } from './plant.js';
import type { Scenario, Site } from './site.js';
import { type Line, takeTurns } from './turns.js';

const TURNS = 7;
const CALLS = 300;

export const oneAddress: Scenario = {
  title: 'one dynamic address of an empty /16, against a bare put-if-absent transaction',
  async run(site, { once }) {
    await warmed(site, once);
    await using plain = await PlainServer.start(site.url);
    const lines: Line[] = [];
    for (const inFlight of [1, 8, 64, 256]) lines.push(...(await compare(site, plain, inFlight, once)));
    return lines;
  },
};

async function compare(site: Site, plain: PlainServer, inFlight: number, once: boolean): Promise<Line[]> {
  const Pool = '10.66.0.0/16';
  const { PoolID } = await site.must('RequestPool', { AddressSpace: 'local', Pool, SubPool: '', Options: {} });
  const granted = new Set<string>();
  const options = { 'com.docker.network.endpoint.name': 'web.1.w8hz5ppl0f' };
  const body = { PoolID, Address: '', Options: options };
  const request = async () => granted.add((await site.must('RequestAddress', body)).Address);
  const calls = once ? inFlight : CALLS + 30 * inFlight;
  const lines = await takeTurns(site, once ? 1 : TURNS, [
    { what: 'bare transaction', inFlight, calls, call: bare(site.etcd, `/bare/${inFlight}`) },
    { what: 'RequestAddress', inFlight, calls, call: request },
    { what: 'plain HTTP server that makes one a call', inFlight, calls, call: () => plain.must('Put', body) },
    { what: 'plain HTTP server that puts all together', inFlight, calls, call: () => plain.must('PutTogether', body) },
    { what: 'plain HTTP server that makes none', inFlight, calls, call: () => plain.must('Nothing', body) },
  ]);
  const claims = await site.look.count('claims/');
  if (claims !== granted.size) throw new Error(`${granted.size} addresses given, ${claims} claims in etcd`);
  await site.must('ReleasePool', { PoolID });
  return lines;
}
