// Engines, drivers and machines that stop, crash and come back: what runs keeps its address, what ended is freed, and
// PoolIDs live through all of it. After each step all of etcd is read.
import { expect } from 'chai';
import { Host } from '../support/host.js';
import { guard, type Keyspace, NodeRecords, pool, wholeOf } from '../support/keyspace-view.js';
import { sleep } from '../support/process.js';
import { needPrivateHost } from '../support/skip.js';

/** The session of a killed driver outlives it by this, so that the tests need not wait 15 s each time. */
const SHORT_SESSION = { IPAM_SESSION_TTL: '4s' };
const SESSION_OVER_MS = 60_000;

const SUBNET = 'local/v4/010.066.000.000-24';
const AUTOMATIC = 'local/v4/010.208.000.000-24';

const bare = (address: string) => address.replace(/\/.*/, '');

describe('restarts', function () {
  this.timeout(240_000);
  let host: Host;
  /** The boot in which the networks were made, and the present one. */
  let made: NodeRecords;
  let now: NodeRecords;
  let instance = 'instance-1';
  let join: number;
  let automatic: number;

  before(async function () {
    needPrivateHost(this);
    host = await Host.start('web', SHORT_SESSION);
    made = now = host.records;
    await host.createNetwork('--subnet', '10.66.0.0/24', '--aux-address', 'printer=10.66.0.9', 'net');
    await host.createNetwork('auto');
    [join, automatic] = [await host.view.joinOf(SUBNET), await host.view.joinOf(AUTOMATIC)];
    await host.run('always', 'net', '--restart', 'always');
    await host.run('static', 'net', '--restart', 'always', '--ip', '10.66.0.50');
    await host.run('cut', 'auto', '--restart', 'always');
    await host.run('manual', 'net', '--ip', '10.66.0.60');
  });
  after(() => host?.[Symbol.asyncDispose]());

  const docker = (...args: string[]) => host.engine.must(...args);
  const networks = () =>
    wholeOf(
      guard(),
      ...[pool(SUBNET, '10.66.0.1'), made.join(SUBNET, join), made.shared(SUBNET, '10.66.0.1', 'gateway', join)],
      made.unsure(SUBNET, '10.66.0.9', join),
      ...[pool(AUTOMATIC, '10.208.0.1'), made.join(AUTOMATIC, automatic)],
      made.shared(AUTOMATIC, '10.208.0.1', 'gateway', automatic),
    );
  const isRunning = async (name: string) =>
    (await docker('inspect', '--format', '{{.State.Running}}', name)) === 'true';
  /** The claims of these containers, from what `ip address` shows inside each of them. */
  const claimsOf = async (...names: string[]): Promise<Keyspace> => {
    const claims: Keyspace[] = [];
    for (const name of names) {
      expect(await isRunning(name), `${name} is running`).to.equal(true);
      const address = bare(await host.addressOf(name));
      if (name === 'cut') claims.push(now.endpoint(AUTOMATIC, address, automatic));
      else if (name === 'static' || name === 'manual') claims.push(now.unsure(SUBNET, address, join));
      else claims.push(now.endpoint(SUBNET, address, join));
    }
    expect(Object.keys(wholeOf(...claims))).to.have.length(names.length);
    return wholeOf(...claims);
  };
  const expectRunning = async (...names: string[]) => {
    const claims = await claimsOf(...names);
    await host.view.becomes(wholeOf(now.own(instance), networks(), claims), SESSION_OVER_MS);
    if (names.includes('static')) expect(await host.addressOf('static')).to.equal('10.66.0.50/24');
    if (names.includes('manual')) expect(await host.addressOf('manual')).to.equal('10.66.0.60/24');
  };

  it('an engine stopped gracefully gives all addresses back and keeps its networks; started, it has what is always up', async () => {
    await expectRunning('always', 'static', 'cut', 'manual');
    await host.engine.stop();
    expect(await host.view.now()).to.deep.equal(wholeOf(now.own(instance), networks()));
    await host.engine.start();
    await expectRunning('always', 'static', 'cut');
    await docker('start', 'manual');
    await expectRunning('always', 'static', 'cut', 'manual');
  });

  it('an engine killed with kill -9 leaves its claims; started, it frees them and asks anew, by number for the same', async () => {
    const claims = await claimsOf('always', 'static', 'cut', 'manual');
    await host.engine.crash();
    expect(await host.view.now()).to.deep.equal(wholeOf(now.own(instance), networks(), claims));
    await host.engine.start();
    await expectRunning('always', 'static', 'cut');
    await docker('start', 'manual');
    await expectRunning('always', 'static', 'cut', 'manual');
  });

  it('a driver killed with kill -9 takes nothing with it, and another process serves the same PoolIDs', async () => {
    const before = wholeOf(networks(), await claimsOf('always', 'static', 'cut', 'manual'));
    await host.driver.kill();
    // Its session lives a few seconds more, or has just ended.
    const left = Object.entries(await host.view.now()).filter(([key]) => !key.startsWith('sessions/'));
    expect(Object.fromEntries(left)).to.deep.equal(wholeOf(now.record(), before));
    await host.driver.start();
    instance = 'instance-2';
    await host.view.becomes(wholeOf(now.own(instance), before), SESSION_OVER_MS);
    await docker('restart', 'always', 'static', 'cut');
    await host.run('new', 'net');
    await expectRunning('always', 'static', 'cut', 'manual', 'new');
    await docker('rm', '--force', 'new');
    await expectRunning('always', 'static', 'cut', 'manual');
  });

  for (const [number, how] of (['kill', 'stop'] as const).entries()) {
    it(`commands given while the driver is away for 3 s after a ${how} wait for it and succeed`, async () => {
      await host.run('leaving', 'net');
      await host.driver[how]();
      const commands = Promise.all([
        host.run('waiting', 'auto'),
        docker('rm', '--force', 'leaving'),
        host.createNetwork('--subnet', '10.67.0.0/24', 'brief'),
      ]);
      await sleep(3_000);
      await host.driver.start();
      instance = `instance-${3 + number}`;
      await commands;
      await docker('network', 'rm', 'brief');
      await docker('rm', '--force', 'waiting');
      await expectRunning('always', 'static', 'cut', 'manual');
    });
  }

  it('an engine and its driver killed together come back to the same addresses by number', async () => {
    await Promise.all([host.driver.kill(), host.engine.crash()]);
    await host.driver.start();
    instance = 'instance-5';
    await host.engine.start();
    await docker('start', 'manual');
    await expectRunning('always', 'static', 'cut', 'manual');
  });

  it('a machine that lost power comes back under another boot id, with the same PoolIDs and addresses by number', async () => {
    const claims = await claimsOf('always', 'static', 'cut', 'manual');
    await host.machine.cutPower();
    await host.view.becomes(wholeOf(now.record(), networks(), claims), SESSION_OVER_MS);
    await host.driver.start();
    instance = 'instance-6';
    now = new NodeRecords('web', 'boot-2');
    expect(await host.view.now()).to.deep.equal(wholeOf(now.own(instance), networks(), claims));
    await host.engine.start();
    await expectRunning('always', 'static', 'cut');
    await docker('start', 'manual');
    await expectRunning('always', 'static', 'cut', 'manual');
  });

  it('ends with nothing but the node’s own records', async () => {
    await docker('rm', '--force', 'always', 'static', 'cut', 'manual');
    expect(await host.view.now()).to.deep.equal(wholeOf(now.own(instance), networks()));
    await docker('network', 'rm', 'net', 'auto');
    expect(await host.view.now()).to.deep.equal(now.own(instance));
  });
});

describe('a reboot whose releases were lost', function () {
  this.timeout(240_000);
  let host: Host;

  before(async function () {
    needPrivateHost(this);
    host = await Host.start('mac', { ...SHORT_SESSION, IPAM_REQUIRE_MAC: 'true' });
  });
  after(() => host?.[Symbol.asyncDispose]());

  it('gives a static container the address that its node held in the boot before, and leaves the others’ claims', async () => {
    const old = host.records;
    await host.createNetwork('--subnet', '10.66.0.0/24', '--ip-range', '10.66.0.128/31', 'net');
    const join = await host.view.joinOf(SUBNET);
    const network = wholeOf(
      guard(),
      pool(SUBNET, '10.66.0.1'),
      old.join(SUBNET, join, { range: '10.66.0.128/31' }),
      old.shared(SUBNET, '10.66.0.1', 'gateway', join),
    );
    await host.run('static', 'net', '--ip', '10.66.0.50');
    await host.run('dynamic', 'net');
    const claim = async (of: NodeRecords, name: string) =>
      of.endpoint(SUBNET, bare(await host.addressOf(name)), join, { mac: await macOf(name) });
    const [fixed, dynamic] = [await claim(old, 'static'), await claim(old, 'dynamic')];
    await host.expectKeys(network, fixed, dynamic);

    // The engine comes up while etcd is away: it is told {} for the addresses it frees, and then the driver dies too.
    await host.machine.cutPower();
    await host.etcd.kill();
    await host.driver.start('listening');
    await host.engine.start();
    expect(host.driver.decisions.filter(({ outcome }) => outcome === 'queued')).to.have.length(2);
    await host.driver.kill();
    await host.etcd.restart();
    await host.driver.start();
    const now = new NodeRecords('mac', 'boot-2');
    await host.view.becomes(wholeOf(now.own('instance-2'), network, fixed, dynamic), SESSION_OVER_MS);

    await host.engine.must('start', 'static');
    expect(await host.addressOf('static')).to.equal('10.66.0.50/24');
    const again = await claim(now, 'static');
    expect(await host.view.now()).to.deep.equal(wholeOf(now.own('instance-2'), network, again, dynamic));

    // The other address of the range is given first, and then the one nobody stands behind.
    await host.engine.must('start', 'dynamic');
    await host.run('second', 'net');
    const both = [await claim(now, 'dynamic'), await claim(now, 'second')];
    expect(await host.view.now()).to.deep.equal(wholeOf(now.own('instance-2'), network, again, ...both));
    expect(Object.keys(both[1]!)).to.deep.equal(Object.keys(dynamic));

    await host.engine.must('rm', '--force', 'static', 'dynamic', 'second');
    await host.engine.must('network', 'rm', 'net');
    expect(await host.view.now()).to.deep.equal(now.own('instance-2'));
  });

  async function macOf(container: string): Promise<string> {
    const { NetworkSettings } = (await host.engine.inspect(container)) as {
      NetworkSettings: { Networks: { net: { MacAddress: string } } };
    };
    return NetworkSettings.Networks.net.MacAddress;
  }
});

describe('an engine with --live-restore', function () {
  this.timeout(240_000);
  let host: Host;

  before(async function () {
    needPrivateHost(this);
    host = await Host.start('live', {}, ['--live-restore']);
  });
  after(() => host?.[Symbol.asyncDispose]());

  it('that is restarted asks for nothing and frees nothing; a container that ended meanwhile is freed', async () => {
    await host.createNetwork('--subnet', '10.66.0.0/24', 'net');
    const join = await host.view.joinOf(SUBNET);
    const node = host.records;
    for (const name of ['stays', 'ends']) await host.run(name, 'net');
    const claims = new Map<string, Keyspace>();
    for (const name of ['stays', 'ends'])
      claims.set(name, node.endpoint(SUBNET, bare(await host.addressOf(name)), join));
    const network = wholeOf(
      guard(),
      pool(SUBNET, '10.66.0.1'),
      node.join(SUBNET, join),
      node.shared(SUBNET, '10.66.0.1', 'gateway', join),
    );
    const decided = host.driver.decisions.length;
    const pid = await host.engine.must('inspect', '--format', '{{.State.Pid}}', 'ends');
    await host.engine.restart();
    await host.expectKeys(network, ...claims.values());
    expect(host.driver.decisions).to.have.length(decided);
    await host.engine.stop();
    await host.machine.must('kill', ['-9', pid]);
    await host.engine.start();
    await host.view.becomes(wholeOf(node.own(), network, claims.get('stays')!), 60_000);
    await host.engine.must('rm', '--force', 'stays', 'ends');
    await host.engine.must('network', 'rm', 'net');
    await host.expectKeys();
  });
});
