// How long a driver takes to start beside much that is there: 65,000 claims of its own, and 10,000 pools.
import { sleep } from '../support/process.js';
import { residentMb } from './costs.js';
import type { Scenario, Site } from './site.js';
import { type Line, takeTurns } from './turns.js';

const TIMES = 5;
const CHUNK = 100;

export const start: Scenario = {
  title: 'from the start of the process until engines are answered, and a RequestPool among many',
  async run(site, { once, size }) {
    const lines: Line[] = [];
    lines.push(...(await started(site, once ? 1 : TIMES, 'nothing in etcd')));
    const claims = Math.min(size, 65_000);
    await many(site, claims, (i) => [
      `claims/local/v4/010.066.000.000-16/010.066.${wide(i >> 8)}.${wide(i & 255)}`,
      { kind: 'endpoint', node: 'again', boot: 'b', join: '0'.repeat(16), since: '', token: '0'.repeat(16) },
    ]);
    lines.push(...(await started(site, once ? 1 : TIMES, `${claims} claims of its own`)));
    const pools = Math.min(Math.ceil(size / 10), 10_000);
    await many(site, pools, (i) => [
      `pools/local/v4/100.${wide(64 + (i >> 8))}.${wide(i & 255)}.000-24`,
      { state: 'open', since: '', token: '0'.repeat(16) },
    ]);
    await many(site, pools, (i) => [
      `joins/local/v4/100.${wide(64 + (i >> 8))}.${wide(i & 255)}.000-24/${'0'.repeat(16)}`,
      { node: 'elsewhere', boot: 'b', since: '', token: '0'.repeat(16) },
    ]);
    let next = 0;
    const made: string[] = [];
    const call = async () => {
      const Pool = `10.${100 + (next >> 8)}.${next++ & 255}.0/24`;
      made.push((await site.must('RequestPool', { AddressSpace: 'local', Pool, SubPool: '', Options: {} })).PoolID);
    };
    const after = async () => {
      for (const PoolID of made.splice(0)) await site.must('ReleasePool', { PoolID });
    };
    const what = `RequestPool beside ${pools} pools`;
    lines.push(...(await takeTurns(site, once ? 1 : 3, [{ what, inFlight: 1, calls: once ? 2 : 100, call, after }])));
    return lines;
  },
};

async function started(site: Site, times: number, beside: string): Promise<Line[]> {
  const samples: number[] = [];
  let resident = 0;
  for (let i = 0; i < times; i++) {
    const began = Date.now();
    const driver = await site.another('again', 'listening');
    const line = (await driver.process.log()).split('\n').find((text) => text.includes('"msg":"listening"'));
    samples.push(Date.parse(JSON.parse(line!).time) - began);
    await sleep(times > 1 ? 2_000 : 0);
    resident = residentMb(driver.process.pid);
    await driver.stop();
  }
  const [median, p99] = [0.5, 0.99].map((part) => [...samples].sort((a, b) => a - b)[Math.floor(part * times)]!);
  const remark = `${resident.toFixed(0)} MB resident afterwards`;
  const what = `until it listens, ${beside}`;
  return [{ what, inFlight: 1, calls: times, median: median!, p99: p99!, perSecond: Number.NaN, remark }];
}

async function many(site: Site, count: number, record: (i: number) => [string, object]): Promise<void> {
  for (let at = 0; at < count; at += CHUNK) {
    const success = Array.from({ length: Math.min(CHUNK, count - at) }, (_, i) => {
      const [key, value] = record(at + i + 1);
      return { request_put: { key: Buffer.from(`/etcd-ipam/${key}`), value: Buffer.from(JSON.stringify(value)) } };
    });
    await site.etcd.txn({ success }, performance.now() + 10_000);
  }
}

function wide(octet: number): string {
  return String(octet).padStart(3, '0');
}
