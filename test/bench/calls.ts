// What the other calls cost: an address by number, a release, and both in turn as containers come and go.
import type { Scenario, Site } from './site.js';
import { type Line, takeTurns } from './turns.js';

const TURNS = 5;
const CALLS = 200;

export const calls: Scenario = {
  title: 'each call on an empty /16, against a dynamic RequestAddress',
  async run(site, { once }) {
    const lines: Line[] = [];
    for (const inFlight of [1, 64]) lines.push(...(await compare(site, inFlight, once)));
    return lines;
  },
};

async function compare(site: Site, inFlight: number, once: boolean): Promise<Line[]> {
  const network = async (Pool: string) =>
    (await site.must('RequestPool', { AddressSpace: 'local', Pool, SubPool: '', Options: {} })).PoolID as string;
  const [dynamic, byNumber, churned] = [
    await network('10.66.0.0/16'),
    await network('10.67.0.0/16'),
    await network('10.68.0.0/16'),
  ];
  const given: string[] = [];
  const taken: string[] = [];
  const name = { 'com.docker.network.endpoint.name': 'web.1.w8hz5ppl0f' };
  const request = async (PoolID: string, Address = ''): Promise<string> =>
    (await site.must('RequestAddress', { PoolID, Address, Options: name })).Address.split('/')[0];
  const release = (PoolID: string, Address: string) => site.must('ReleaseAddress', { PoolID, Address });
  let next = 256;
  const per = once ? inFlight : CALLS + 5 * inFlight;
  const lines = await takeTurns(site, once ? 1 : TURNS, [
    { what: 'RequestAddress', inFlight, calls: per, call: async () => given.push(await request(dynamic)) },
    {
      what: 'RequestAddress by number',
      inFlight,
      calls: per,
      call: async () => {
        const place = next++;
        taken.push(await request(byNumber, `10.67.${place >> 8}.${place & 255}`));
      },
    },
    { what: 'ReleaseAddress', inFlight, calls: per, call: () => release(dynamic, given.shift()!) },
    {
      what: 'RequestAddress and ReleaseAddress in turn',
      inFlight,
      calls: per,
      call: async () => release(churned, await request(churned)),
    },
  ]);
  const claims = await site.look.count('claims/');
  if (claims !== taken.length) throw new Error(`${taken.length} addresses not given back, ${claims} claims in etcd`);
  for (const PoolID of [dynamic, byNumber, churned]) await site.must('ReleasePool', { PoolID });
  return lines;
}
