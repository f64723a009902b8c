// What real engines sent, byte by byte, to driver processes over a real etcd; each reply is held to the wire's schema.
import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { bare, type Captured, Renamed, recording } from '../support/captures.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { guard, KeyspaceView, NodeRecords, pool, wholeOf, wide } from '../support/keyspace-view.js';
import { PluginClient } from '../support/plugin-client.js';
import { RealDriver } from '../support/real-driver.js';
import { FAILURE } from '../support/wire-schema.js';

/** The recorded engines' drivers, each a process, over an etcd of their own. */
class Recorded {
  etcd!: EtcdFixture;
  view!: KeyspaceView;
  readonly renamed = new Renamed();
  readonly #drivers: RealDriver[] = [];
  readonly #clients = new Map<string, PluginClient>();
  #directory = '';

  async start(...hosts: string[]): Promise<void> {
    this.etcd = await startEtcd();
    this.view = new KeyspaceView(this.etcd);
    this.#directory = await mkdtemp(join(tmpdir(), 'captures-'));
    for (const host of hosts) {
      const socketPath = join(this.#directory, `${host}.sock`);
      const env = {
        ...{ IPAM_SOCKET: socketPath, IPAM_NODE: host, IPAM_MACHINE_ID: `machine-${host}` },
        ...{ IPAM_POOLS: '10.200.0.0/16/24', IPAM_REQUIRE_MAC: 'true' },
      };
      this.#drivers.push(await RealDriver.start({ etcd: this.etcd, env }));
      this.#clients.set(host, new PluginClient({ socketPath }));
    }
  }

  async stop(): Promise<void> {
    for (const client of this.#clients.values()) client.close();
    for (const driver of this.#drivers) await driver[Symbol.asyncDispose]();
    await this.etcd?.stop();
    if (this.#directory) await rm(this.#directory, { recursive: true, force: true });
  }

  client(host: string): PluginClient {
    return this.#clients.get(host)!;
  }

  /** What each of the calls was answered, with what was recorded. */
  async replay(captured: readonly Captured[]) {
    const answers = [];
    for (const call of captured) {
      const { json } = await this.renamed.send(this.client(call.host), call);
      // What an engine asked for it gets; which address it is given otherwise is the driver's to choose.
      if (/RequestPool/.test(call.path)) expect(json).to.deep.equal({ ...call.reply, PoolID: json.PoolID });
      const { Address: asked = '' } = call.body === '' ? {} : JSON.parse(call.body);
      if (/RequestAddress/.test(call.path) && asked !== '')
        expect(bare(json.Address), `${call.host} ${call.body}`).to.equal(this.renamed.address(asked));
      answers.push({ call, json });
    }
    return answers;
  }
}

const hex = /(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/;
const macIn = ({ body }: Captured) => hex.exec(body)![0];

describe('what dockerd 20.10.24 sent for bridge and macvlan networks', () => {
  const recorded = new Recorded();
  let captured: readonly Captured[];

  before(async () => {
    captured = await recording('bridge-macvlan-one-engine');
    await recorded.start('h1');
  });
  after(() => recorded.stop());

  it('is answered with replies that an engine can read, and leaves the claims of the network that was left', async () => {
    expect(captured).to.have.length(14);
    const answers = await recorded.replay(captured);
    const gateways = answers.filter(({ call }) => call.body.includes('RequestAddressType'));
    for (const { call, json } of gateways) expect(json).to.deep.equal(call.reply);
    const granted = answers.filter(({ call }) => call.body.includes('endpoint.macaddress'));
    for (const { json } of granted) expect(json.Address).to.match(/^10\.200\.0\.\d+\/24$/);
    const node = new NodeRecords('h1');
    const subnet = 'local/v4/010.200.000.000-24';
    const last = granted.at(-1)!;
    expect(await recorded.view.now()).to.deep.equal(
      wholeOf(
        node.own('instance-1', { machine: 'machine-h1', host: hostname() }),
        guard(),
        pool(subnet, '10.200.0.1'),
        node.join(subnet, 1),
        node.shared(subnet, '10.200.0.1', 'gateway', 1),
        node.endpoint(subnet, bare(last.json.Address), 1, { mac: macIn(last.call) }),
      ),
    );
  });

  it('with bodies cut short or empty is refused in the one shape an engine shows, and changes nothing', async () => {
    const before = await recorded.view.now();
    for (const call of ['RequestPool', 'ReleasePool', 'RequestAddress', 'ReleaseAddress']) {
      const whole = captured.find(({ path }) => path === `/IpamDriver.${call}`)!.body;
      for (const body of ['', whole.slice(0, -3)]) {
        const answer = await recorded.client('h1').call(`/IpamDriver.${call}`, body);
        expect(answer.status).to.equal(500);
        FAILURE.parse(answer.json);
      }
    }
    expect(await recorded.view.now()).to.deep.equal(before);
  });
});

/** The three engines of a recording, whose drivers were started in this order. */
const HOSTS = ['h1', 'h2', 'h3'];
const NODES = HOSTS.map((host) => new NodeRecords(host));
const sessions = () =>
  NODES.map((node, i) => node.own(`instance-${i + 1}`, { machine: `machine-${node.node}`, host: hostname() }));

describe('what three engines of a swarm sent for a macvlan service of three replicas', function () {
  this.timeout(120_000);
  const recorded = new Recorded();

  before(() => recorded.start(...HOSTS));
  after(() => recorded.stop());

  it('is answered with three addresses of the range, where drivers that share nothing gave one thrice', async () => {
    const captured = await recording('swarm-macvlan-config-from');
    expect(captured).to.have.length(20);
    const answers = await recorded.replay(captured);
    const tasks = answers.filter(({ call }) => call.body.includes('endpoint.macaddress'));
    expect(tasks.map(({ call }) => call.reply.Address)).to.deep.equal(Array(3).fill('10.66.0.2/24'));
    expect(new Set(tasks.map(({ json }) => json.Address)).size).to.equal(3);
    for (const { json } of tasks) expect(json.Address).to.match(/^10\.66\.0\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\/24$/);
    const subnet = 'local/v4/010.066.000.000-24';
    const joins = captured.filter(({ path }) => path.endsWith('RequestPool')).map(({ host }) => host);
    expect(joins).to.deep.equal(['h3', 'h1', 'h2']);
    const ofHost = (host: string) => {
      const node = NODES[HOSTS.indexOf(host)]!;
      const join = joins.indexOf(host) + 1;
      const task = tasks.find(({ call }) => call.host === host)!;
      return wholeOf(
        node.join(subnet, join, { range: '10.66.0.64/26', managed: true }),
        node.shared(subnet, '10.66.0.1', 'gateway', join),
        node.endpoint(subnet, bare(task.json.Address), join, { mac: macIn(task.call) }),
      );
    };
    expect(await recorded.view.now()).to.deep.equal(
      wholeOf(...sessions(), guard(), pool(subnet, '10.66.0.1'), ...HOSTS.map(ofHost)),
    );
  });
});

describe('what three engines of a swarm sent for an overlay of three tasks', function () {
  this.timeout(120_000);
  const recorded = new Recorded();
  const global = 'global/v4/010.088.000.000-24';
  const local = 'local/v4/010.088.000.000-24';
  const written = { since: '*', token: '*' };
  /** The recorded addresses that the leader gave: the virtual IP, three tasks, three load balancers. */
  const given = [2, 3, 4, 5, 6, 7, 8].map((last) => `10.88.0.${last}`);
  let deposed = '';

  /** The leader's part, in the epoch of that join. */
  const ruled = (epoch: number, join: number, by: NodeRecords, replaces: object = {}) => {
    const of = { join: `join-${join}`, epoch, ...written };
    return {
      [`pools/${global}`]: {
        ...{ state: 'open', gateway: '10.88.0.1', epoch, leader: `join-${join}` },
        ...{ stage: 'served', incarnation: '*', ...written },
      },
      ...by.join(global, join, { epoch, ...replaces }),
      [`claims/${global}/${wide('10.88.0.1')}`]: { kind: 'shared', ...written },
      [`holders/${global}/${wide('10.88.0.1')}/join-${join}`]: { role: 'gateway', epoch, ...written },
      ...Object.fromEntries(
        given.map((address) => [
          `claims/${global}/${wide(recorded.renamed.address(address))}`,
          { kind: 'swarm', ...of },
        ]),
      ),
    };
  };

  /** The worker's part: its load balancer's address and its task's, with the MACs that were recorded. */
  const worked = (captured: readonly Captured[], host: string, join: number) => {
    const node = NODES[HOSTS.indexOf(host)]!;
    const own = captured.filter((call) => call.host === host && call.body.includes('endpoint.macaddress'));
    expect(own).to.have.length(2);
    return wholeOf(
      node.join(local, join, { managed: true }),
      node.shared(local, '10.88.0.1', 'gateway', join),
      ...own.map((call) =>
        node.endpoint(local, recorded.renamed.address(JSON.parse(call.body).Address), join, {
          kind: 'swarm',
          mac: macIn(call),
        }),
      ),
    );
  };

  before(() => recorded.start(...HOSTS));
  after(() => recorded.stop());

  it('is answered with seven addresses by the leader, which the workers are given as well', async () => {
    const captured = await recording('swarm-overlay');
    expect(captured).to.have.length(29);
    const answers = await recorded.replay(captured);
    deposed = answers.find(({ json }) => json.PoolID?.startsWith('global/'))!.json.PoolID;
    expect(new Set(given.map((address) => recorded.renamed.address(address))).size).to.equal(7);
    const joins = captured.filter(({ path }) => path.endsWith('RequestPool')).map(({ host }) => host);
    expect(joins).to.deep.equal(['h1', 'h1', 'h2', 'h3']);
    expect(await recorded.view.now()).to.deep.equal(
      wholeOf(
        ...sessions(),
        ...[guard(), ruled(1, 1, NODES[0]!), pool(local, '10.88.0.1')],
        ...HOSTS.map((host, i) => worked(captured, host, i + 2)),
      ),
    );
  });

  it('is answered with the same addresses when another leads, and the old leader leaves as a worker only', async () => {
    const captured = await recording('swarm-leader-failover');
    expect(captured).to.have.length(15);
    const before = await recording('swarm-overlay');
    await recorded.replay(captured);
    const replaced = {
      replaces: { join: 'join-1', stage: 'served', record: Object.values(NODES[0]!.join('', 1, { epoch: 1 }))[0] },
    };
    expect(await recorded.view.now()).to.deep.equal(
      wholeOf(
        ...sessions(),
        ...[guard(), ruled(2, 5, NODES[1]!, replaced), pool(local, '10.88.0.1')],
        ...[worked(before, 'h2', 3), worked(before, 'h3', 4)],
      ),
    );
  });

  it('is refused to the old leader by its old PoolID, whose releases change nothing', async () => {
    const view = await recorded.view.now();
    const client = recorded.client('h1');
    const serial = { 'com.docker.network.ipam.serial': 'true' };
    for (const address of ['', recorded.renamed.address('10.88.0.3'), '10.88.0.200']) {
      const ask = { PoolID: deposed, Address: address, Options: serial };
      const answer = await client.call('/IpamDriver.RequestAddress', ask);
      expect(answer.status).to.equal(500);
      expect(FAILURE.parse(answer.json).Err).to.contain('another leader of the swarm has taken over');
    }
    for (const address of [...given, '10.88.0.1']) {
      const release = { PoolID: deposed, Address: recorded.renamed.address(address) };
      expect((await client.call('/IpamDriver.ReleaseAddress', release)).text).to.equal('{}');
    }
    expect((await client.call('/IpamDriver.ReleasePool', { PoolID: deposed })).text).to.equal('{}');
    expect(await recorded.view.now()).to.deep.equal(view);
  });
});
