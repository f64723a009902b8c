// The JSON API and the events of a driver process that may touch its prefix in etcd and nothing else: answers as their
// description says, nothing changed by them, with etcd there and away.
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'chai';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, entries, freePorts, revision, startEtcd } from '../support/etcd.js';
import { EventStream } from '../support/event-stream.js';
import { eventually, runOrFail } from '../support/process.js';

const ROOT = { username: 'root', password: 'root-secret' };
const PASSWORD = 'driver-secret';

describe('the JSON API', () => {
  let etcd: EtcdFixture;
  let driver: DriverProcess;
  let url: string;
  const pools: Record<string, string> = {};
  const streams: EventStream[] = [];

  before(async () => {
    etcd = await startEtcd({ auth: ROOT, args: ['--bcrypt-cost=4'] });
    await runOrFail('sh', ['-c', `printf '%s\\n' '${PASSWORD}' | deploy/etcd-role.sh --password-file -`], {
      env: { ETCDCTL_ENDPOINTS: etcd.url, ETCDCTL_USER: `${ROOT.username}:${ROOT.password}` },
    });
    const [port] = (await freePorts(1)) as [number];
    url = `http://127.0.0.1:${port}`;
    driver = await DriverProcess.start(etcd.url, 'host-a', 4, {
      ...{ IPAM_OPS_LISTEN: `127.0.0.1:${port}`, IPAM_SESSION_TTL: '4s' },
      ...{ ETCD_USERNAME: 'etcd-ipam', ETCD_PASSWORD: PASSWORD },
    });
    for (const Pool of ['10.66.0.0/24', '10.208.0.0/12', 'fd00:66::/64']) {
      const ask = { AddressSpace: 'local', Pool, SubPool: '', Options: {}, V6: Pool.includes(':') };
      pools[Pool] = (await must('RequestPool', ask)).PoolID;
    }
    await give('10.66.0.0/24', '', '10.66.0.1', { RequestAddressType: 'com.docker.network.gateway' });
    for (let i = 1; i <= 5; i++) await give('10.66.0.0/24', `web.${i}`, '', mac(`02:42:0a:42:00:0${i}`));
    await give('10.208.0.0/12', 'far', '10.211.7.9');
    await give('fd00:66::/64', 'six', 'fd00:66::abcd');
  });
  afterEach(() => {
    for (const stream of streams.splice(0)) stream.close();
  });
  after(async () => {
    await driver?.stop();
    await etcd?.stop();
  });

  // biome-ignore lint/suspicious/noExplicitAny: who calls says what is expected
  async function must(call: string, body: object): Promise<any> {
    const { status, json, text } = await driver.client.call(`/IpamDriver.${call}`, body);
    if (status !== 200) throw new Error(`${call}: ${text}`);
    return json;
  }
  const mac = (address: string) => ({ 'com.docker.network.endpoint.macaddress': address });
  const give = async (pool: string, name: string, Address = '', more: Record<string, string> = {}): Promise<string> => {
    const Options = { ...(name !== '' && { 'com.docker.network.endpoint.name': name }), ...more };
    return (await must('RequestAddress', { PoolID: pools[pool], Address, Options })).Address.split('/')[0];
  };
  const release = (pool: string, Address: string) => must('ReleaseAddress', { PoolID: pools[pool], Address });

  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  async function get(path: string): Promise<{ status: number; json: any }> {
    const response = await fetch(`${url}${path}`);
    return { status: response.status, json: await response.json() };
  }
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  const found = async (path: string): Promise<any> => {
    const { status, json } = await get(path);
    expect(status, JSON.stringify(json)).to.equal(200);
    return json;
  };
  const listen = async (last?: string) => {
    const stream = await EventStream.open(`${url}/api/v1/events`, last);
    streams.push(stream);
    return stream;
  };
  const SMALL = '/api/v1/pools/local/10.66.0.0/24';

  it('answers every path as /openapi.json says, wrong ones too, and writes nothing', async () => {
    const description = await found('/openapi.json');
    expect(description.openapi).to.equal('3.1.0');
    const ajv = new Ajv2020({ strict: true });
    for (const [name, schema] of Object.entries(description.components.schemas))
      ajv.addSchema(schema as object, `#/components/schemas/${name}`);
    const before = (await entries(etcd, '/etcd-ipam/')).filter(({ key }) => !/\/(tick|sessions)/.test(key));
    const asked: Record<string, readonly string[]> = {
      '/api/v1/overview': ['/api/v1/overview'],
      '/api/v1/pools': ['/api/v1/pools'],
      '/api/v1/pools/{space}/{network}/{length}': [
        SMALL,
        '/api/v1/pools/local/fd00:66::/64',
        '/api/v1/pools/local/10.9.0.0/24',
      ],
      '/api/v1/pools/{space}/{network}/{length}/claims': [
        `${SMALL}/claims`,
        `${SMALL}/claims?limit=0`,
        `${SMALL}/claims?after=10.9.0.1`,
        ...['local/10.9.0.0/24', 'local.blue/10.66.0.0/24'].map((pool) => `/api/v1/pools/${pool}/claims`),
      ],
      '/api/v1/pools/{space}/{network}/{length}/addresses': [
        ...[`${SMALL}/addresses`, '/api/v1/pools/local/10.208.0.0/12/addresses', `${SMALL}/addresses?of=10.9.0.0/24`],
        '/api/v1/pools/local/fd00:66::/64/addresses?of=fd00:66::/112',
        ...[`${SMALL}/addresses?of=10.66.0.128/25`, '/api/v1/pools/local/10.66.0.0/25/addresses'],
      ],
      '/api/v1/pools/{space}/{network}/{length}/blocks': [
        ...['/api/v1/pools/local/10.208.0.0/12/blocks', '/api/v1/pools/local/fd00:66::/64/blocks', `${SMALL}/blocks`],
        ...['/api/v1/pools/nowhere/10.66.0.0/24/blocks', '/api/v1/pools/local/10.9.0.0/24/blocks'],
      ],
      '/api/v1/nodes': ['/api/v1/nodes'],
      '/api/v1/who/{address}': [
        '/api/v1/who/10.66.0.1',
        '/api/v1/who/10.66.0.77',
        '/api/v1/who/fd00:66::abcd',
        '/api/v1/who/010.1.1.1',
      ],
      '/api/v1/search': [
        '/api/v1/search?q=web',
        '/api/v1/search',
        '/api/v1/search?q=a&q=b',
        '/api/v1/search?q=a&limit=501',
      ],
      '/api/v1/events': [],
    };
    expect(Object.keys(description.paths).sort()).to.deep.equal(Object.keys(asked).sort());
    const statuses: Record<string, number> = {};
    for (const [path, urls] of Object.entries(asked))
      for (const one of urls) {
        const { status, json } = await get(one);
        statuses[one] = status;
        const { $ref } = description.paths[path].get.responses[status].content['application/json'].schema;
        expect(ajv.validate($ref, json), `${one}: ${ajv.errorsText()} ${JSON.stringify(json)}`).to.equal(true);
      }
    const refused = Object.entries(statuses).filter(([, status]) => status !== 200);
    expect(Object.fromEntries(refused)).to.deep.equal({
      '/api/v1/pools/local/10.9.0.0/24': 404,
      [`${SMALL}/claims?limit=0`]: 400,
      [`${SMALL}/claims?after=10.9.0.1`]: 400,
      '/api/v1/pools/local/10.9.0.0/24/claims': 404,
      '/api/v1/pools/local.blue/10.66.0.0/24/claims': 404,
      '/api/v1/pools/local/10.66.0.0/25/addresses': 404,
      '/api/v1/pools/local/10.9.0.0/24/blocks': 404,
      '/api/v1/pools/local/10.208.0.0/12/addresses': 400,
      [`${SMALL}/addresses?of=10.9.0.0/24`]: 400,
      '/api/v1/pools/nowhere/10.66.0.0/24/blocks': 400,
      '/api/v1/who/010.1.1.1': 400,
      '/api/v1/search': 400,
      '/api/v1/search?q=a&q=b': 400,
      '/api/v1/search?q=a&limit=501': 400,
    });
    for (const [path, problem] of [
      ['local.blue/10.66.0.0/24', 'there is no pool 10.66.0.0/24 in local.blue; local has one'],
      ['local/10.66.0.0/25/claims', '10.66.0.0/25 is no pool of space local: it overlaps with pool 10.66.0.0/24'],
    ])
      expect((await get(`/api/v1/pools/${path}`)).json).to.deep.equal({ problem });
    expect((await fetch(`${url}/api/v1/pools`, { method: 'POST' })).status).to.equal(405);
    const after = (await entries(etcd, '/etcd-ipam/')).filter(({ key }) => !/\/(tick|sessions)/.test(key));
    expect(after).to.deep.equal(before);
  });

  it('says how full pools are and who is alive', async () => {
    const { pools: listed } = await found('/api/v1/pools');
    const facts = listed.map((one: Record<string, unknown>) => [
      one.pool,
      one.size,
      one.used,
      one.cooling,
      one.free,
      one.nodes,
    ]);
    expect(facts).to.deep.equal([
      ['10.66.0.0/24', 254, 6, 0, 248, 1],
      ['10.208.0.0/12', 1_048_574, 1, 0, 1_048_573, 1],
      ['fd00:66::/64', 2 ** 64, 1, 0, 2 ** 64, 1],
    ]);
    expect(await found(SMALL)).to.deep.include({ gateway: '10.66.0.1', members: ['host-a'] });
    const { nodes } = await found('/api/v1/nodes');
    expect(nodes).to.have.length(1);
    expect(nodes[0]).to.deep.include({ node: 'host-a', state: 'alive', joins: 3 });
    expect(await found('/api/v1/overview')).to.deep.include({ node: 'host-a', problem: null, etcdAway: null });
  });

  it('finds claims by address, beginning of it, name, MAC and node, and pools by an address in them', async () => {
    const addresses = async (q: string) => {
      const { claims } = await found(`/api/v1/search?q=${encodeURIComponent(q)}`);
      return claims.map(({ address }: { address: string }) => address);
    };
    const all = ['10.66.0.2', '10.66.0.3', '10.66.0.4', '10.66.0.5', '10.66.0.6'];
    expect(await addresses('10.66.0.3')).to.deep.equal(['10.66.0.3']);
    expect(await addresses('10.211.')).to.deep.equal(['10.211.7.9']);
    expect(await addresses('WEB.')).to.deep.equal(all);
    expect(await addresses('web.2')).to.deep.equal(['10.66.0.3']);
    expect(await addresses('02:42:0A:42:00:04')).to.deep.equal(['10.66.0.5']);
    expect(await addresses('fd00:66::abcd')).to.deep.equal(['fd00:66::abcd']);
    expect(await addresses('nobody')).to.deep.equal([]);
    const byNode = await found('/api/v1/search?q=host-a&limit=3');
    expect([byNode.nodes, byNode.claims.length, byNode.complete]).to.deep.equal([['host-a'], 3, false]);
    const free = await found('/api/v1/search?q=10.66.0.77');
    expect(free).to.deep.equal({
      claims: [],
      nodes: [],
      pools: [{ space: 'local', pool: '10.66.0.0/24' }],
      complete: true,
    });
    const within = await found('/api/v1/search?q=host-a&pool=10.208.0.0/12');
    expect(within.claims.map(({ name }: { name: string }) => name)).to.deep.equal(['far']);
  });

  it('gives claims by pages that fit together, as rows and in columns, and counts parts', async () => {
    const rows: string[] = [];
    for (let after = ''; ; ) {
      const { claims, next } = await found(`${SMALL}/claims?limit=2${after}`);
      expect(claims.length).to.be.at.most(2);
      rows.push(...claims.map(({ address }: { address: string }) => address));
      if (next === null) break;
      after = `&after=${next}`;
    }
    const all = ['10.66.0.1', '10.66.0.2', '10.66.0.3', '10.66.0.4', '10.66.0.5', '10.66.0.6'];
    expect(rows).to.deep.equal(all);
    const whole = await found(`${SMALL}/addresses`);
    expect(whole.offset).to.deep.equal([1, 1, 1, 1, 1, 1]);
    expect([...whole.kind].map((digit) => whole.kinds[Number(digit)])).to.deep.equal([
      'shared',
      ...Array(5).fill('endpoint'),
    ]);
    expect(whole.node.map((i: number) => whole.nodes[i])).to.deep.equal([undefined, ...Array(5).fill('host-a')]);
    expect((await found(`${SMALL}/addresses?after=10.66.0.4`)).offset).to.deep.equal([5, 1]);
    const blocks = await found('/api/v1/pools/local/10.208.0.0/12/blocks');
    expect([blocks.length, blocks.used.length, blocks.occupied]).to.deep.equal([22, 1_024, '10.211.7.9/32']);
    // 10.211.4.0/22
    expect(blocks.used.flatMap((count: number, i: number) => (count > 0 ? [i] : []))).to.deep.equal([3 * 64 + 1]);
  });

  it('tells what happens at once, and whoever comes back what happened meanwhile', async () => {
    const first = await listen();
    await first.hears('changes');
    const address = await give('10.66.0.0/24', 'told');
    await eventually('the claim', () => first.changes.find((one) => one.address === address));
    expect(first.changes.find((one) => one.address === address)).to.deep.equal({
      ...{ what: 'claim', gone: false, fresh: true, space: 'local', pool: '10.66.0.0/24', address },
      ...{ kind: 'endpoint', node: 'host-a', name: 'told' },
    });
    const last = first.last;
    expect(Number(last)).to.be.greaterThan(1);
    first.close();
    await release('10.66.0.0/24', address);
    const second = await listen(last);
    await eventually('the release', () => second.changes.find((one) => one.address === address));
    expect(second.changes.find((one) => one.address === address)).to.deep.include({ gone: true, name: 'told' });
    expect(second.named('reset')).to.deep.equal([]);
  });

  it('tells whoever comes back after a compaction to read anew', async () => {
    const first = await listen();
    await first.hears('changes');
    const last = first.last!;
    first.close();
    await release('10.66.0.0/24', await give('10.66.0.0/24', 'between'));
    await etcd.ctl('compact', String(await revision(etcd)));
    const second = await listen(last);
    const reset = await second.hears('reset');
    expect(BigInt(reset.id!) > BigInt(last)).to.equal(true);
    const address = await give('10.66.0.0/24', 'after');
    await eventually('what comes then', () => second.changes.find((one) => one.address === address));
    await release('10.66.0.0/24', address);
  });

  it('watches etcd while somebody listens and no longer', async () => {
    const watchers = async () => {
      const text = await (await fetch(`${etcd.url}/metrics`)).text();
      return Number(/^etcd_debugging_mvcc_watcher_total (\d+)/m.exec(text)?.[1]);
    };
    await eventually('nobody watches', async () => (await watchers()) === 0);
    const some = [await listen(), await listen(), await listen()];
    await some[2]!.hears('changes');
    await eventually('one watch', async () => (await watchers()) === 1);
    for (const stream of some) stream.close();
    await eventually('nobody watches', async () => (await watchers()) === 0);
  });

  it('says that etcd is away, and goes on by itself', async () => {
    const stream = await listen();
    await stream.hears('changes');
    await etcd.kill();
    const away = await stream.hears('etcd');
    expect(away.data.away).to.be.a('string').and.not.equal('');
    const { json } = await eventually('503', async () => {
      const answer = await get('/api/v1/pools');
      return answer.status === 503 && answer;
    });
    expect(json.problem).to.be.a('string');
    await eventually('the overview says so', async () => (await found('/api/v1/overview')).etcdAway !== null);
    await etcd.restart();
    await eventually('back', () => stream.named('etcd').at(-1)?.data.away === null);
    await eventually('pools', async () => (await get('/api/v1/pools')).status === 200);
    const address = await eventually('a claim', () => give('10.66.0.0/24', 'again').catch(() => undefined));
    await eventually('told', () => stream.changes.find((one) => one.address === address));
    expect(stream.ended).to.equal(false);
  });
});
