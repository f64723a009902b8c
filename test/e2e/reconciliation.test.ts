// What a driver that was away when containers ended finds out from its engine: their claims end after the grace, and
// nobody else's. After each step all of etcd is read.
import { expect } from 'chai';
import { Host } from '../support/host.js';
import { guard, type Keyspace, type NodeRecords, pool, wholeOf } from '../support/keyspace-view.js';
import { eventually } from '../support/process.js';
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
    await plant('10.66.0.77', { kind: 'endpoint', node: 'other', boot: 'b', join: 'f'.repeat(16) });
    await plant('10.66.0.78', { kind: 'reserved' });
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
    await plant('10.66.0.99', { kind: 'endpoint', node: 'web', boot: 'b', join: 'f'.repeat(16) });
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
    const waits = () => host.driver.log.filter(({ msg }) => String(msg).startsWith('reconciliation has to wait'));
    const before = waits().length;
    await host.engine.stop();
    await eventually('it says that it waits', () => waits().length === before + 1, WITHIN_MS);
    await host.engine.start();
    const works = () => host.driver.log.at(-1)?.msg === 'reconciliation works again';
    await eventually('it says that it works', works, WITHIN_MS);
    expect(waits()).to.have.length(before + 1);
  });

  async function claimOf(container: string): Promise<Keyspace> {
    const { NetworkSettings } = (await host.engine.inspect(container)) as {
      NetworkSettings: { Networks: { net: { MacAddress: string } } };
    };
    const mac = NetworkSettings.Networks.net.MacAddress;
    return node.endpoint(SUBNET, bare(await host.addressOf(container)), join, { name: container, mac });
  }

  function plant(address: string, claim: object): Promise<string> {
    const [, , , last = ''] = address.split('.');
    const record = { ...claim, since: '2020-01-01T00:00:00.000Z', token: '0'.repeat(16) };
    return host.etcd.ctl(
      'put',
      `/etcd-ipam/claims/${SUBNET}/010.066.000.${last.padStart(3, '0')}`,
      JSON.stringify(record),
    );
  }
});
