// What a driver that was away when containers ended finds out from its engine: their claims end after the grace, and
// nobody else's. After each step all of etcd is read.
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { Host } from '../support/host.js';
import { lingering } from '../support/image.js';
import { guard, type Keyspace, type NodeRecords, pool, wholeOf } from '../support/keyspace-view.js';
import { eventually, sleep } from '../support/process.js';
import { needPrivateHost } from '../support/skip.js';

const SUBNET = 'local/v4/010.066.000.000-24';
/** The grace of 2 s and a session of 4 s, with all the time a busy machine may need. */
const WITHIN_MS = 60_000;

describe('reconciliation with a real engine', function () {
  this.timeout(240_000);
  let host: Host;
  let node: NodeRecords;
  let join: number;
  let network: Keyspace;
  let instances = 1;

  before(async function () {
    needPrivateHost(this);
    const env = { IPAM_SESSION_TTL: '4s', IPAM_RECONCILE_GRACE: '2s', IPAM_ENGINE_SOCKET: '/run/engine.sock' };
    host = await Host.start('web', env);
    node = host.records;
    // The engine's socket lies in a temporary directory; the driver's setting names a path of its machine.
    await host.machine.must('ln', ['-s', host.engine.socket, '/run/engine.sock']);
    await host.createNetwork('--subnet', '10.66.0.0/24', '--aux-address', 'printer=10.66.0.9', 'net');
    join = await host.view.joinOf(SUBNET);
  });
  after(() => host?.[Symbol.asyncDispose]());

  const bare = (address: string) => address.replace(/\/.*/, '');
  const now = (): Keyspace => wholeOf(node.own(`instance-${instances}`), network);
  const reconciled = () => host.driver.log.filter((line) => line.reconciled !== undefined).map((line) => line.address);

  it('shares what the network lists as auxiliary, which the engine had asked for without a word', async () => {
    network = wholeOf(
      guard(),
      ...[pool(SUBNET, '10.66.0.1'), node.join(SUBNET, join), node.shared(SUBNET, '10.66.0.1', 'gateway', join)],
      node.shared(SUBNET, '10.66.0.9', 'aux', join),
    );
    await host.view.becomes(now(), WITHIN_MS);
  });

  it('knows a container of `--ip` by the name and MAC that the engine shows', async () => {
    await host.run('static', 'net', '--ip', '10.66.0.50');
    await host.view.becomes(wholeOf(now(), await claimOf('static')), WITHIN_MS);
  });

  it('ends the claim of a container that was removed while nobody served, and no other', async () => {
    const gone = await host.run('gone', 'net').then(() => host.addressOf('gone'));
    await host.run('stays', 'net');
    const stays = node.endpoint(SUBNET, bare(await host.addressOf('stays')), join);
    await plant(host, '10.66.0.77', { kind: 'endpoint', node: 'other', boot: 'b', join: 'f'.repeat(16) });
    await plant(host, '10.66.0.78', { kind: 'reserved' });
    await host.driver.kill();
    // The engine waits 15 s for the driver, and then removes the container all the same.
    await host.engine.must('rm', '--force', 'gone');
    const left = node.endpoint(SUBNET, bare(gone), join);
    expect(await host.view.now()).to.deep.include(left);
    await host.driver.start();
    instances++;
    const planted = {
      [`claims/${SUBNET}/010.066.000.077`]: {
        kind: 'endpoint',
        node: 'other',
        boot: 'b',
        join: 'join-2',
        since: '*',
        token: '*',
      },
      [`claims/${SUBNET}/010.066.000.078`]: { kind: 'reserved', since: '*', token: '*' },
    };
    await host.view.becomes(wholeOf(now(), await claimOf('static'), stays, planted), WITHIN_MS);
    expect(reconciled().at(-1)).to.equal(bare(gone));
    for (const key of Object.keys(planted)) await host.etcd.ctl('del', `/etcd-ipam/${key}`);
  });

  it('claims what a container uses and etcd has lost, under the name it has', async () => {
    const key = `/etcd-ipam/claims/${SUBNET}/010.066.000.050`;
    await host.etcd.ctl('del', key);
    await host.view.becomes(
      wholeOf(now(), await claimOf('static'), node.endpoint(SUBNET, bare(await host.addressOf('stays')), join)),
      WITHIN_MS,
    );
  });

  it('finds again what was lost together with the engine, once that answers', async () => {
    const claim = node.endpoint(SUBNET, bare(await host.addressOf('stays')), join);
    await host.driver.kill();
    // Its containers end, and none of their releases is heard.
    await host.engine.stop(120_000);
    expect(await host.view.now()).to.deep.include(claim);
    await host.driver.start();
    instances++;
    await host.engine.start();
    await host.view.becomes(now(), WITHIN_MS);
    await host.engine.must('rm', 'static', 'stays');
    await host.engine.must('network', 'rm', 'net');
    await host.view.becomes(node.own(`instance-${instances}`), WITHIN_MS);
  });

  it('knows the node-local networks of a swarm, which a manager lists without their driver', async () => {
    await host.machine.must('ip', ['link', 'add', 'parent0', 'type', 'veth', 'peer', 'name', 'parent1']);
    await host.machine.must('ip', ['link', 'set', 'parent0', 'up']);
    await host.engine.must('swarm', 'init', '--advertise-addr', '127.0.0.1');
    await host.createNetwork('--config-only', '--subnet', '10.66.0.0/24', '--opt', 'parent=parent0', 'config');
    const swarm = ['--driver', 'macvlan', '--scope', 'swarm', '--attachable', '--config-from', 'config'];
    await host.engine.must('network', 'create', ...swarm, 'lan');
    await host.run('task', 'lan');
    const joined = await host.view.joinOf(SUBNET);
    await plant(host, '10.66.0.99', { kind: 'endpoint', node: 'web', boot: 'b', join: 'f'.repeat(16) });
    await host.view.becomes(
      wholeOf(
        ...[
          node.own(`instance-${instances}`),
          guard(),
          pool(SUBNET, '10.66.0.1'),
          node.join(SUBNET, joined, { managed: true }),
        ],
        node.shared(SUBNET, '10.66.0.1', 'gateway', joined),
        node.endpoint(SUBNET, bare(await host.addressOf('task')), joined),
      ),
      WITHIN_MS,
    );
    await host.engine.must('rm', '--force', 'task');
    await host.engine.must('network', 'rm', 'lan');
    // The engine's own part of the network goes a moment later.
    const removed = async () => (await host.engine.docker('network', 'rm', 'config')).code === 0;
    await eventually('the configuration is not in use any more', removed, 60_000, 500);
    await host.engine.must('swarm', 'leave', '--force');
    await host.view.becomes(node.own(`instance-${instances}`), WITHIN_MS);
  });

  it('waits for an engine that is away, and says so once', async () => {
    // A look may have failed while the swarm ended.
    const said = () =>
      host.driver.log.flatMap(({ msg }) => /^reconciliation (has to wait|works again)/.exec(`${msg}`)?.[1] ?? []);
    await host.engine.stop();
    await eventually('it says that it waits', () => said().at(-1) === 'has to wait', WITHIN_MS);
    const { length } = said();
    await sleep(3_000);
    expect(said()).to.have.length(length);
    await host.engine.start();
    await eventually('it says that it works', () => said().at(-1) === 'works again', WITHIN_MS);
    expect(said()).to.have.length(length + 1);
  });

  async function claimOf(container: string): Promise<Keyspace> {
    const { NetworkSettings } = (await host.engine.inspect(container)) as {
      NetworkSettings: { Networks: { net: { MacAddress: string } } };
    };
    const mac = NetworkSettings.Networks.net.MacAddress;
    return node.endpoint(SUBNET, bare(await host.addressOf(container)), join, { name: container, mac });
  }
});

describe('reconciliation with a real engine that tells MACs', function () {
  this.timeout(240_000);
  let host: Host;

  before(async function () {
    needPrivateHost(this);
    const env = { IPAM_RECONCILE_GRACE: '2s', IPAM_ENGINE_SOCKET: '/run/engine.sock', IPAM_REQUIRE_MAC: 'true' };
    host = await Host.start('mac', env);
    await host.machine.must('ln', ['-s', host.engine.socket, '/run/engine.sock']);
    await host.createNetwork('--subnet', '10.66.0.0/24', 'net');
  });
  after(() => host?.[Symbol.asyncDispose]());

  it('refuses a container the address of one that runs with the same MAC, which an engine that was killed is given again', async () => {
    await createTwin('one', 'always');
    await host.engine.must('start', 'one');
    // Two looks have been made once this has gone.
    await plant(host, '10.66.0.77', { kind: 'endpoint', node: 'mac', boot: 'b', join: 'f'.repeat(16) });
    const planted = async () => Object.keys(await host.view.now()).some((key) => key.endsWith('010.066.000.077'));
    await eventually('what has no container has ended', async () => !(await planted()), WITHIN_MS);
    await createTwin('two', 'no');
    const { stderr } = await host.engine.docker('start', 'two');
    expect(stderr).to.match(/address 10\.66\.0\.50 is held by a container on mac since /);

    await host.engine.must('restart', '--time', '0', 'one');
    expect(await host.addressOf('one')).to.equal('10.66.0.50/24');
    await host.engine.crash();
    await host.engine.start();
    const address = async () => (await host.addressOf('one').catch(() => '')) === '10.66.0.50/24';
    await eventually('it runs again with its address', address, WITHIN_MS);
  });

  /** With the same address and MAC each: Docker's command line gives no engine before 25 a MAC. */
  async function createTwin(name: string, restart: 'always' | 'no'): Promise<void> {
    const config = {
      ...{ Image: 'busybox', Cmd: lingering, MacAddress: '02:42:0a:42:00:50' },
      HostConfig: { NetworkMode: 'net', RestartPolicy: { Name: restart } },
      NetworkingConfig: { EndpointsConfig: { net: { IPAMConfig: { IPv4Address: '10.66.0.50' } } } },
    };
    const headers = { 'Content-Type': 'application/json' };
    const post = { socketPath: host.engine.socket, path: `/containers/create?name=${name}`, method: 'POST', headers };
    const [reply] = (await once(request(post).end(JSON.stringify(config)), 'response')) as [IncomingMessage];
    expect(`${reply.statusCode} ${await text(reply)}`).to.match(/^201 /);
  }
});

function plant(host: Host, address: string, claim: object): Promise<string> {
  const [, , , last = ''] = address.split('.');
  const record = { ...claim, since: '2020-01-01T00:00:00.000Z', token: '0'.repeat(16) };
  return host.etcd.ctl(
    'put',
    `/etcd-ipam/claims/${SUBNET}/010.066.000.${last.padStart(3, '0')}`,
    JSON.stringify(record),
  );
}
