// A large cluster to be looked at: an etcd with a full /16, pools of other sizes and 500 nodes put in by hand, and a driver
// whose operators' port shows it. Refuses to know who looks.
import { type EtcdClient, openClient } from '../../src/etcd/client.js';
import { DriverProcess } from './driver-process.js';
import { type EtcdFixture, freePorts, startEtcdProcess } from './etcd.js';

export const FULL = '10.66.0.0/16';
export const PLANTED = 60_000;
const CHUNK = 100;
const PATIENCE_MS = 30_000;
const SINCE = '2026-11-20T08:00:00.000Z';
const TOKEN = '0'.repeat(16);

export class Stage implements AsyncDisposable {
  private constructor(
    readonly etcd: EtcdFixture,
    readonly driver: DriverProcess,
    /** Of the operators' port. */
    readonly url: string,
  ) {}

  /** `planted`: claims of the /16. */
  static async open(planted = PLANTED): Promise<Stage> {
    const etcd = await startEtcdProcess();
    try {
      const client = openClient({ endpoints: [etcd.url], attemptMs: PATIENCE_MS });
      await plant(client, entriesOf(planted)).finally(() => client.close());
      const [port] = (await freePorts(1)) as [number];
      const settings = { IPAM_OPS_LISTEN: `127.0.0.1:${port}`, IPAM_SESSION_TTL: '4s' };
      const driver = await DriverProcess.start(etcd.url, 'host-001', 4, settings);
      return new Stage(etcd, driver, `http://127.0.0.1:${port}`);
    } catch (error) {
      await etcd.stop();
      throw error;
    }
  }

  /** The address that a container of that name is given. */
  async give(pool: string, name: string, mac = '02:42:0a:42:00:07'): Promise<string> {
    const ask = { AddressSpace: 'local', Pool: pool, SubPool: '', Options: {}, V6: pool.includes(':') };
    const { PoolID } = await this.#must('RequestPool', ask);
    const Options = { 'com.docker.network.endpoint.name': name, 'com.docker.network.endpoint.macaddress': mac };
    const { Address } = await this.#must('RequestAddress', { PoolID, Address: '', Options });
    return Address.split('/')[0];
  }

  // biome-ignore lint/suspicious/noExplicitAny: who calls says what is expected
  async #must(call: string, body: object): Promise<any> {
    const { status, json, text } = await this.driver.client.call(`/IpamDriver.${call}`, body);
    if (status !== 200) throw new Error(`${call}: ${text}`);
    return json;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.driver.stop();
    await this.etcd.stop();
  }
}

type Entry = readonly [key: string, record: object];

async function plant(client: EtcdClient, entries: readonly Entry[]): Promise<void> {
  const puts = entries.map(([key, record]) => ({
    request_put: { key: Buffer.from(`/etcd-ipam/${key}`), value: Buffer.from(JSON.stringify(record)) },
  }));
  for (let i = 0; i < puts.length; i += CHUNK)
    await client.txn({ success: puts.slice(i, i + CHUNK) }, performance.now() + PATIENCE_MS);
}

const nodeName = (i: number) => `host-${String(i).padStart(3, '0')}`;
const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
const join = (pool: number, node: number) => `${hex(pool, 8)}${hex(node, 8)}`;

function entriesOf(planted: number): Entry[] {
  const entries: Entry[] = [['spaces/local', { token: TOKEN }]];
  const pool = (index: number, path: string, nodes: number, rest: object = {}) => {
    entries.push([`pools/local/${path}`, { state: 'open', since: SINCE, token: TOKEN, ...rest }]);
    for (let i = 1; i <= nodes; i++)
      entries.push([
        `joins/local/${path}/${join(index, i)}`,
        { node: nodeName(i), boot: 'boot', since: SINCE, token: TOKEN },
      ]);
  };
  const claim = (index: number, path: string, address: string, node: number, rest: object = {}) =>
    entries.push([
      `claims/local/${path}/${address}`,
      {
        ...{
          kind: 'endpoint',
          node: nodeName(node),
          boot: 'boot',
          join: join(index, node),
          since: SINCE,
          token: TOKEN,
        },
        ...rest,
      },
    ]);
  const wide = (...octets: number[]) => octets.map((octet) => String(octet).padStart(3, '0')).join('.');

  for (let i = 2; i <= 500; i++) {
    const silent = i === 497 || i === 498;
    const gone = i >= 499;
    const record = { machine: `machine-${i}`, boot: 'boot', since: SINCE, ...(silent && { silence: 9 }) };
    entries.push([`nodes/${nodeName(i)}`, { ...record, ...(gone && { silence: 5_000 }) }]);
    if (!silent && !gone) entries.push([`sessions/${nodeName(i)}/0001`, { since: SINCE }]);
  }

  const large = 'v4/010.066.000.000-16';
  pool(1, large, 500, { gateway: '10.66.0.1' });
  claim(1, large, wide(10, 66, 0, 1), 1, { kind: 'shared' });
  for (let i = 2; i < planted + 2; i++) {
    // Nodes take runs of addresses; some of what was released rests, some is a task's.
    const node = 1 + (Math.floor(i / 23) % 500);
    const kind = i % 97 === 0 ? 'cooling' : i % 11 === 0 ? 'swarm' : i % 1_999 === 0 ? 'unsure' : 'endpoint';
    const name = `web.${i}`;
    const mac = `02:42:0a:42:${hex(i >> 8, 2)}:${hex(i & 255, 2)}`;
    claim(1, large, wide(10, 66, i >> 8, i & 255), node, { kind, name, mac });
  }

  const small = 'v4/010.077.003.000-24';
  const resting = { kind: 'cooling', since: SINCE, token: TOKEN };
  const rules = {
    excluded: [{ from: '10.77.3.240', to: '10.77.3.254', comment: 'routers' }],
    reserved: [{ address: '10.77.3.100', name: 'printer', comment: 'third floor' }],
    note: 'building 3',
  };
  pool(2, small, 12, { gateway: '10.77.3.1', rules });
  claim(2, small, wide(10, 77, 3, 1), 1, { kind: 'shared' });
  for (const i of [67, 68, 69]) entries.push([`claims/local/${small}/${wide(10, 77, 3, i)}`, resting]);
  for (let i = 2; i < 67; i++)
    claim(2, small, wide(10, 77, 3, i), 1 + (i % 12), { name: `cam-${i}`, mac: `02:00:00:00:03:${hex(i, 2)}` });

  const vast = 'v4/010.208.000.000-12';
  pool(3, vast, 40, { gateway: '10.208.0.1' });
  for (let i = 1; i < 3_000; i++) claim(3, vast, wide(10, 208 + (i % 7), (i * 37) & 255, i & 255 || 1), 1 + (i % 40));

  const six = 'fd00:0066:0000:0000:0000:0000:0000:';
  pool(4, `v6/${six}0000-64`, 8, { gateway: 'fd00:66::1' });
  for (let i = 1; i < 200; i++) claim(4, `v6/${six}0000-64`, `${six}${hex(i, 4)}`, 1 + (i % 8), { name: `six-${i}` });
  return entries;
}
