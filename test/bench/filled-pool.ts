// Whether an address costs the same however full its pool is: a /16 filled by hand to a given part, at random places.
import { type Line, type Scenario, type Site, series } from './site.js';

const FILLS = [0, 0.5, 0.9, 0.99, 0.999];
const USABLE = 65_534;
const CALLS = 200;
/** Keys that one transaction puts. */
const CHUNK = 100;

export const filledPool: Scenario = {
  title: 'one dynamic address of a /16, by how much of it is taken',
  async run(site, once) {
    const lines: Line[] = [];
    for (const fill of once ? [0.001] : FILLS) lines.push(await measure(site, fill, once));
    return lines;
  },
};

async function measure(site: Site, fill: number, once: boolean): Promise<Line> {
  const Pool = '10.67.0.0/16';
  const { PoolID } = await site.must('RequestPool', { AddressSpace: 'local', Pool, SubPool: '', Options: {} });
  const planted = await plant(site, Math.floor(USABLE * fill));
  const free = USABLE - planted;
  const samples: number[] = [];
  const granted = new Set<string>();
  const request = async () =>
    granted.add((await site.must('RequestAddress', { PoolID, Address: '', Options: {} })).Address);
  const calls = once ? 3 : Math.min(CALLS, Math.floor(free / 2));
  const wall = await series(calls, 1, samples, request);
  const claims = await site.look.count('claims/');
  if (claims !== planted + granted.size) throw new Error(`${planted} + ${granted.size} addresses, ${claims} claims`);
  await site.must('ReleasePool', { PoolID });
  const what = `${(fill * 100).toFixed(1)} % taken, ${free} free`;
  return { what, inFlight: 1, samples, wall };
}

/** So many claims of nobody, at random places of the pool; how many it put. */
async function plant(site: Site, count: number): Promise<number> {
  const places = Array.from({ length: USABLE }, (_, i) => i + 1);
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(Math.random() * (places.length - i));
    [places[i], places[j]] = [places[j]!, places[i]!];
  }
  const value = Buffer.from(
    JSON.stringify({ kind: 'reserved', since: '2026-01-01T00:00:00.000Z', token: '0'.repeat(16) }),
  );
  for (let i = 0; i < count; i += CHUNK) {
    const success = places.slice(i, Math.min(i + CHUNK, count)).map((place) => {
      const wide = [10, 67, place >> 8, place & 255].map((octet) => String(octet).padStart(3, '0')).join('.');
      return { request_put: { key: Buffer.from(`/etcd-ipam/claims/local/v4/010.067.000.000-16/${wide}`), value } };
    });
    await site.etcd.txn({ success }, performance.now() + 5_000);
  }
  return count;
}
