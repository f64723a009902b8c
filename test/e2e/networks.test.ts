// Networks and containers from their first to their last command, on a real engine; after each step all of etcd is read.
import { expect } from 'chai';
import { Host } from '../support/host.js';
import { lingering } from '../support/image.js';
import { guard, type Keyspace, type NodeRecords, pool, resting, wholeOf } from '../support/keyspace-view.js';
import { RealDriver } from '../support/real-driver.js';
import { needPrivateHost } from '../support/skip.js';

const bare = (address: string) => address.replace(/\/.*/, '');

describe('networks of a real engine', function () {
  this.timeout(240_000);
  let host: Host;
  let node: NodeRecords;

  before(async function () {
    needPrivateHost(this);
    host = await Host.start('web');
    node = host.records;
    for (const parent of ['vlan1', 'vlan2'])
      await host.machine.must('ip', ['link', 'add', parent, 'type', 'veth', 'peer', 'name', `${parent}-peer`]);
  });
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') await host.clear();
  });
  after(() => host?.[Symbol.asyncDispose]());

  const docker = (...args: string[]) => host.engine.must(...args);

  it('begins with nothing but the node’s own records', async () => {
    await host.expectKeys();
  });

  it('cuts an automatic pool, and has one claim a running container, through stop, start, restart and rename', async () => {
    await host.createNetwork('auto');
    const subnet = 'local/v4/010.208.000.000-24';
    const join = await host.view.joinOf(subnet);
    const network = wholeOf(
      guard(),
      pool(subnet, '10.208.0.1'),
      node.join(subnet, join),
      node.shared(subnet, '10.208.0.1', 'gateway', join),
    );
    await host.expectKeys(network);
    const holds = async (...containers: string[]) => {
      const addresses = await Promise.all(containers.map((container) => host.addressOf(container)));
      for (const address of addresses) expect(address).to.match(/^10\.208\.0\.\d+\/24$/);
      expect(new Set(addresses).size).to.equal(containers.length);
      await host.expectKeys(network, ...addresses.map((address) => node.endpoint(subnet, bare(address), join)));
    };

    await docker('create', '--name', 'ada', '--network', 'auto', 'busybox', ...lingering);
    await holds();
    await docker('start', 'ada');
    await holds('ada');
    await host.run('bob', 'auto');
    await holds('ada', 'bob');
    await docker('stop', 'ada');
    await holds('bob');
    await docker('start', 'ada');
    await docker('rename', 'ada', 'renamed');
    await holds('renamed', 'bob');
    await docker('restart', 'bob');
    await holds('renamed', 'bob');
    await docker('kill', 'bob');
    await holds('renamed');
    await docker('rm', '--force', 'renamed', 'bob');
    await holds();
    await docker('run', '--rm', '--network', 'auto', 'busybox', 'true');
    await holds();
    const { code } = await host.engine.docker('run', '--rm', '--network', 'auto', 'busybox', 'no-such-program');
    expect(code).to.equal(127);
    await holds();
    await docker('network', 'rm', 'auto');
    await host.expectKeys();
  });

  it('never gives two automatic networks one pool, and gives a freed pool again', async () => {
    const subnets = ['local/v4/010.208.000.000-24', 'local/v4/010.208.001.000-24', 'local/v4/010.208.002.000-24'];
    for (const name of ['one', 'two', 'three']) await host.createNetwork(name);
    await docker('network', 'rm', 'two');
    await host.createNetwork('four');
    const expected: Keyspace[] = [];
    for (const [i, subnet] of subnets.entries()) {
      const [gateway, join] = [`10.208.${i}.1`, await host.view.joinOf(subnet)];
      expected.push(pool(subnet, gateway), node.join(subnet, join), node.shared(subnet, gateway, 'gateway', join));
    }
    await host.expectKeys(guard(), ...expected);
    expect(await poolOf('four')).to.deep.equal([{ Subnet: '10.208.1.0/24', Gateway: '10.208.1.1' }]);
    await docker('network', 'rm', 'one', 'three', 'four');
    await host.expectKeys();
  });

  it('keeps containers inside --ip-range; gateway, auxiliary and --ip addresses may lie outside of it', async () => {
    const aux = ['--aux-address', 'printer=10.66.0.200', '--aux-address', 'nas=10.66.0.130'];
    const place = ['--subnet', '10.66.0.0/24', '--ip-range', '10.66.0.128/30', '--gateway', '10.66.0.254'];
    await host.createNetwork(...place, ...aux, 'ranged');
    const subnet = 'local/v4/010.066.000.000-24';
    const join = await host.view.joinOf(subnet);
    const network = wholeOf(
      guard(),
      pool(subnet, '10.66.0.254'),
      node.join(subnet, join, { range: '10.66.0.128/30' }),
      node.shared(subnet, '10.66.0.254', 'gateway', join),
      node.unsure(subnet, '10.66.0.200', join),
      node.unsure(subnet, '10.66.0.130', join),
    );
    await host.expectKeys(network);
    const claims: Keyspace[] = [];
    const containers = ['ada', 'bob', 'cyd'];
    for (const name of containers) {
      await host.run(name, 'ranged');
      const address = await host.addressOf(name);
      expect(address).to.match(/^10\.66\.0\.1(28|29|31)\/24$/);
      claims.push(node.endpoint(subnet, bare(address), join));
      await host.expectKeys(network, ...claims);
    }
    await host.run('static', 'ranged', '--ip', '10.66.0.7');
    expect(await host.addressOf('static')).to.equal('10.66.0.7/24');
    claims.push(node.unsure(subnet, '10.66.0.7', join));
    await host.expectKeys(network, ...claims);
    await docker('restart', 'static');
    expect(await host.addressOf('static')).to.equal('10.66.0.7/24');
    await host.expectKeys(network, ...claims);
    await docker('rm', '--force', 'static', ...containers);
    await host.expectKeys(network);
    await docker('network', 'rm', 'ranged');
    await host.expectKeys();
  });

  it('knows auxiliary addresses that --ipam-opt aux declares for what they are, and masks host bits of a subnet', async () => {
    const options = ['--ipam-opt', 'aux=10.66.0.5', '--aux-address', 'router=10.66.0.5', '--ipam-opt', 'k=v'];
    await host.createNetwork('--subnet', '10.66.0.77/24', ...options, 'declared');
    const subnet = 'local/v4/010.066.000.000-24';
    const join = await host.view.joinOf(subnet);
    await host.expectKeys(
      guard(),
      pool(subnet, '10.66.0.1'),
      node.join(subnet, join, { shared: ['10.66.0.5'] }),
      node.shared(subnet, '10.66.0.1', 'gateway', join),
      node.shared(subnet, '10.66.0.5', 'aux', join),
    );
    await docker('network', 'rm', 'declared');
    await host.expectKeys();
  });

  it('serves both families, the second automatic', async () => {
    await host.createNetwork('--ipv6', '--subnet', '10.66.0.0/24', 'dual');
    const [four, six] = ['local/v4/010.066.000.000-24', 'local/v6/fd00:e7cd:0000:0000:0000:0000:0000:0000-64'];
    await expectDual('dual', four, six, '10.66.0.1', 'fd00:e7cd::1');
  });

  it('serves both families, the second with --subnet and --gateway', async () => {
    const wanted = ['--subnet', '10.66.0.0/24', '--subnet', 'fd00:66::/64', '--gateway', 'fd00:66::fffe'];
    await host.createNetwork('--ipv6', ...wanted, 'dual6');
    const [four, six] = ['local/v4/010.066.000.000-24', 'local/v6/fd00:0066:0000:0000:0000:0000:0000:0000-64'];
    await expectDual('dual6', four, six, '10.66.0.1', 'fd00:66::fffe', 'fd00:66::abcd');
  });

  async function expectDual(name: string, four: string, six: string, gateway4: string, gateway6: string, ip6?: string) {
    const [join4, join6] = [await host.view.joinOf(four), await host.view.joinOf(six)];
    const network = wholeOf(
      guard(),
      ...[pool(four, gateway4), node.join(four, join4), node.shared(four, gateway4, 'gateway', join4)],
      ...[pool(six, gateway6), node.join(six, join6), node.shared(six, gateway6, 'gateway', join6)],
    );
    await host.expectKeys(network);
    await host.run('ada', name);
    const [a4, a6] = (await host.addresses('ada')) as [string, string];
    expect(`${a4} ${a6}`).to.match(/^10\.66\.0\.\d+\/24 fd00:\S+\/64$/);
    const dynamic = wholeOf(node.endpoint(four, bare(a4), join4), node.endpoint(six, bare(a6), join6));
    await host.expectKeys(network, dynamic);
    if (ip6) {
      await host.run('bob', name, '--ip', '10.66.0.99', '--ip6', ip6);
      expect(await host.addresses('bob')).to.deep.equal(['10.66.0.99/24', `${ip6}/64`]);
      const fixed = wholeOf(node.unsure(four, '10.66.0.99', join4), node.unsure(six, ip6, join6));
      await host.expectKeys(network, dynamic, fixed);
      await docker('rm', '--force', 'bob');
    }
    await docker('stop', 'ada');
    await host.expectKeys(network);
    await docker('rm', 'ada');
    await docker('network', 'rm', name);
    await host.expectKeys();
  }

  it('claims an address for each network a container is connected to, and frees it when it is disconnected', async () => {
    const [left, right] = ['local/v4/010.066.000.000-24', 'local/v4/010.067.000.000-24'];
    await host.createNetwork('--subnet', '10.66.0.0/24', 'left');
    await host.createNetwork('--subnet', '10.67.0.0/24', 'right');
    const [joinLeft, joinRight] = [await host.view.joinOf(left), await host.view.joinOf(right)];
    const networks = wholeOf(
      guard(),
      ...[pool(left, '10.66.0.1'), node.join(left, joinLeft), node.shared(left, '10.66.0.1', 'gateway', joinLeft)],
      ...[pool(right, '10.67.0.1'), node.join(right, joinRight), node.shared(right, '10.67.0.1', 'gateway', joinRight)],
    );
    await host.run('ada', 'left');
    const first = node.endpoint(left, bare(await host.addressOf('ada')), joinLeft);
    await docker('network', 'connect', '--ip', '10.67.0.9', 'right', 'ada');
    expect(await host.addressOf('ada', '10.67.')).to.equal('10.67.0.9/24');
    await host.expectKeys(networks, first, node.unsure(right, '10.67.0.9', joinRight));
    await docker('network', 'disconnect', 'right', 'ada');
    await host.expectKeys(networks, first);
    await docker('network', 'connect', 'right', 'ada');
    const second = node.endpoint(right, bare(await host.addressOf('ada', '10.67.')), joinRight);
    await host.expectKeys(networks, first, second);
    await docker('network', 'disconnect', '--force', 'left', 'ada');
    await host.expectKeys(networks, second);
    await docker('rm', '--force', 'ada');
    await docker('network', 'rm', 'left', 'right');
    await host.expectKeys();
  });

  it('lets two macvlan networks share a subnet and its gateway; the end of one takes nothing from the other', async () => {
    const subnet = 'local/v4/010.066.000.000-24';
    const macvlan = (parent: string) => [
      '--driver',
      'macvlan',
      '--opt',
      `parent=${parent}`,
      '--subnet',
      '10.66.0.0/24',
    ];
    await host.createNetwork(...macvlan('vlan1'), 'mac1');
    const join1 = await host.view.joinOf(subnet);
    await host.createNetwork(...macvlan('vlan2'), 'mac2');
    const join2 = await host.view.joinOf(subnet, join1);
    const joins = [node.join(subnet, join1), node.join(subnet, join2)];
    await host.expectKeys(
      guard(),
      pool(subnet, '10.66.0.1'),
      ...joins,
      node.shared(subnet, '10.66.0.1', 'gateway', join1, join2),
    );
    await host.run('ada', 'mac1');
    await host.run('bob', 'mac2');
    const [a, b] = [await host.addressOf('ada'), await host.addressOf('bob')];
    expect(a).not.to.equal(b);
    const [claimA, claimB] = [node.endpoint(subnet, bare(a), join1), node.endpoint(subnet, bare(b), join2)];
    const both = node.shared(subnet, '10.66.0.1', 'gateway', join1, join2);
    await host.expectKeys(guard(), pool(subnet, '10.66.0.1'), ...joins, both, claimA, claimB);
    await docker('rm', '--force', 'ada');
    await docker('network', 'rm', 'mac1');
    const one = node.shared(subnet, '10.66.0.1', 'gateway', join2);
    await host.expectKeys(guard(), pool(subnet, '10.66.0.1'), node.join(subnet, join2), one, claimB);
    await docker('rm', '--force', 'bob');
    await docker('network', 'rm', 'mac2');
    await host.expectKeys();
  });

  it('keeps equal subnets of different --ipam-opt space apart, and asks of what is nearly that in the log', async () => {
    const macvlan = (parent: string) => [
      '--driver',
      'macvlan',
      '--opt',
      `parent=${parent}`,
      '--subnet',
      '10.66.0.0/24',
    ];
    await host.createNetwork(...macvlan('vlan1'), '--ipam-opt', 'spce=red', 'plain');
    await host.createNetwork(...macvlan('vlan2'), '--ipam-opt', 'space=blue', 'blue');
    const asked = host.driver.log.filter(({ msg }) => String(msg).startsWith('--ipam-opt'));
    expect(asked.map(({ level, msg }) => [level, msg])).to.deep.equal([
      ['warn', '--ipam-opt spce is not an option and is ignored: did you mean space?'],
    ]);
    const parts: Keyspace[] = [];
    for (const space of ['local', 'local.blue']) {
      const subnet = `${space}/v4/010.066.000.000-24`;
      const join = await host.view.joinOf(subnet);
      parts.push(guard(space), pool(subnet, '10.66.0.1'), node.join(subnet, join));
      parts.push(node.shared(subnet, '10.66.0.1', 'gateway', join));
    }
    await host.expectKeys(...parts);
    for (const network of ['plain', 'blue']) {
      await host.run(network, network, '--ip', '10.66.0.8');
      expect(await host.addressOf(network)).to.equal('10.66.0.8/24');
    }
    await docker('rm', '--force', 'plain', 'blue');
    await docker('network', 'rm', 'plain', 'blue');
    await host.expectKeys();
  });

  describe('when the engine fails a creation after addresses were given', () => {
    const subnet = 'local/v4/010.066.000.000-24';

    it('a macvlan without its parent leaves nothing', async () => {
      const wanted = ['--subnet', '10.66.0.0/24', '--aux-address', 'a=10.66.0.9', '--ip-range', '10.66.0.64/26'];
      for (const place of [wanted, [], ['--ipv6', '--subnet', '10.66.0.0/24']]) {
        const parent = ['--driver', 'macvlan', '--opt', 'parent=nowhere0'];
        const { code, stderr } = await createRefused(...parent, ...place, 'failing');
        expect(code).to.equal(1);
        expect(stderr).to.contain('nowhere0').and.not.contain('IpamDriver');
        await host.expectKeys();
      }
    });

    it('a bridge whose name another one has leaves nothing', async () => {
      await docker('network', 'create', '--opt', 'com.docker.network.bridge.name=clash0', 'theirs');
      const { code, stderr } = await createRefused('--opt', 'com.docker.network.bridge.name=clash0', 'ours');
      expect(code, stderr).to.equal(1);
      await host.expectKeys();
      await docker('network', 'rm', 'theirs');
    });

    it('a second bridge on the same subnet takes nothing from the first', async () => {
      const wanted = ['--subnet', '10.66.0.0/24', '--aux-address', 'a=10.66.0.9', '--ipam-opt', 'aux=10.66.0.9'];
      await host.createNetwork(...wanted, 'first');
      await host.run('ada', 'first');
      const join = await host.view.joinOf(subnet);
      const before = wholeOf(
        guard(),
        pool(subnet, '10.66.0.1'),
        node.join(subnet, join, { shared: ['10.66.0.9'] }),
        node.shared(subnet, '10.66.0.1', 'gateway', join),
        node.shared(subnet, '10.66.0.9', 'aux', join),
        node.endpoint(subnet, bare(await host.addressOf('ada')), join),
      );
      await host.expectKeys(before);
      const { code, stderr } = await createRefused(...wanted, 'second');
      expect(code).to.equal(1);
      expect(stderr).to.contain('conflicts with network').and.not.contain('IpamDriver');
      await host.expectKeys(before);
      await docker('restart', 'ada');
      await docker('rm', '--force', 'ada');
      await docker('network', 'rm', 'first');
      await host.expectKeys();
    });

    it('a second macvlan whose auxiliary address is the first one’s gives back its part in the gateway', async () => {
      const macvlan = (parent: string) => ['--driver', 'macvlan', '--opt', `parent=${parent}`];
      const wanted = ['--subnet', '10.66.0.0/24', '--aux-address', 'a=10.66.0.9'];
      await host.createNetwork(...macvlan('vlan1'), ...wanted, 'first');
      const join = await host.view.joinOf(subnet);
      const before = wholeOf(
        guard(),
        pool(subnet, '10.66.0.1'),
        node.join(subnet, join),
        node.shared(subnet, '10.66.0.1', 'gateway', join),
        node.unsure(subnet, '10.66.0.9', join),
      );
      await host.expectKeys(before);
      // The engine gives back neither gateway nor auxiliary addresses now, only the pool.
      const { stderr } = await createRefused(...macvlan('vlan2'), ...wanted, '--aux-address', 'b=10.66.0.10', 'second');
      expect(stderr).to.match(
        /^Error response from daemon: failed to allocate secondary ip address \(a:10\.66\.0\.9\): IpamDriver\.RequestAddress: address 10\.66\.0\.9 is held on web since \S+ \(by a container's --ip, or as an auxiliary address\); if it is an auxiliary address of both networks, create them with --ipam-opt aux=10\.66\.0\.9\n$/,
      );
      await host.expectKeys(before);
      await docker('network', 'rm', 'first');
      await host.expectKeys();
    });

    const createRefused = (...args: string[]) =>
      host.engine.docker('network', 'create', '--ipam-driver', 'etcd-ipam', ...args);
  });

  it('has logged each decision as one JSON line with all that finds it again', () => {
    const decisions = host.driver.decisions;
    const of = (call: string, outcome: string) =>
      decisions.find((line) => line.call === call && line.outcome === outcome && line.pool === '10.66.0.0/24')!;
    for (const call of ['RequestPool', 'RequestAddress']) {
      const line = of(call, 'granted');
      expect(line).to.include({ level: 'info', node: 'web', space: 'local', pool: '10.66.0.0/24', outcome: 'granted' });
      expect(line.token).to.match(/^[0-9a-f]{16}$/);
      expect(line.attempts).to.be.a('number').and.at.least(1);
      expect(line.ms).to.be.a('number').and.within(0, 5_000);
      expect(line.time).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
    expect(of('RequestAddress', 'granted').address).to.match(/^10\.66\.0\.\d+$/);
    expect(of('ReleaseAddress', 'released')).to.include({ level: 'info', node: 'web', space: 'local' });
    expect(of('ReleasePool', 'released')).to.include({ level: 'info', node: 'web', space: 'local' });
    expect(decisions.map(({ outcome }) => outcome)).not.to.include('failed');
  });

  async function poolOf(network: string): Promise<unknown> {
    return ((await host.engine.inspect(network)) as { IPAM: { Config: unknown } }).IPAM.Config;
  }

  // Last, for its driver is not the first.
  describe('with the default cool-down', () => {
    it('another container gets another address, --ip the released one at once, and nothing is left', async () => {
      await host.driver.stop();
      await using driver = await RealDriver.start({
        etcd: host.etcd,
        machine: host.machine,
        env: { IPAM_COOLDOWN: '' },
      });
      try {
        await host.createNetwork('--subnet', '10.66.0.0/24', 'cool');
        const subnet = 'local/v4/010.066.000.000-24';
        const join = await host.view.joinOf(subnet);
        const instance = await host.view.instance();
        const network = wholeOf(
          node.own(instance),
          guard(),
          pool(subnet, '10.66.0.1'),
          node.join(subnet, join),
          node.shared(subnet, '10.66.0.1', 'gateway', join),
        );
        await host.run('ada', 'cool');
        expect(await host.addressOf('ada')).to.equal('10.66.0.2/24');
        await docker('rm', '--force', 'ada');
        expect(await host.view.now()).to.deep.equal(wholeOf(network, resting(subnet, '10.66.0.2')));
        await host.run('bob', 'cool');
        expect(await host.addressOf('bob')).to.equal('10.66.0.3/24');
        await host.run('cyd', 'cool', '--ip', '10.66.0.2');
        expect(await host.addressOf('cyd')).to.equal('10.66.0.2/24');
        expect(await host.view.now()).to.deep.equal(
          wholeOf(network, node.endpoint(subnet, '10.66.0.3', join), node.unsure(subnet, '10.66.0.2', join)),
        );
        await docker('rm', '--force', 'bob', 'cyd');
        await docker('network', 'rm', 'cool');
        expect(await host.view.now()).to.deep.equal(node.own(instance));
      } finally {
        await driver.stop();
        await host.driver.start();
      }
    });
  });
});

describe('networks of a real engine with IPAM_REQUIRE_MAC', function () {
  this.timeout(240_000);
  const subnet = 'local/v4/010.066.000.000-24';
  let host: Host;
  let node: NodeRecords;

  before(async function () {
    needPrivateHost(this);
    host = await Host.start('mac', { IPAM_REQUIRE_MAC: 'true' });
    node = host.records;
    for (const parent of ['vlan1', 'vlan2'])
      await host.machine.must('ip', ['link', 'add', parent, 'type', 'veth', 'peer', 'name', `${parent}-peer`]);
  });
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') await host.clear();
  });
  after(() => host?.[Symbol.asyncDispose]());

  const macOf = async (container: string, network: string) => {
    const { NetworkSettings } = (await host.engine.inspect(container)) as {
      NetworkSettings: { Networks: Record<string, { MacAddress: string }> };
    };
    return NetworkSettings.Networks[network]!.MacAddress;
  };

  it('knows auxiliary addresses from containers, shares them between networks and writes the MAC into each claim', async () => {
    const macvlan = (parent: string) => [
      '--driver',
      'macvlan',
      '--opt',
      `parent=${parent}`,
      '--subnet',
      '10.66.0.0/24',
    ];
    await host.createNetwork(...macvlan('vlan1'), '--aux-address', 'router=10.66.0.9', 'mac1');
    const join1 = await host.view.joinOf(subnet);
    await host.createNetwork(...macvlan('vlan2'), '--aux-address', 'router=10.66.0.9', 'mac2');
    const join2 = await host.view.joinOf(subnet, join1);
    await host.run('ada', 'mac1');
    await host.run('bob', 'mac2', '--ip', '10.66.0.77');
    const ada = await host.addressOf('ada');
    expect(await host.addressOf('bob')).to.equal('10.66.0.77/24');
    const claimB = async () => node.endpoint(subnet, '10.66.0.77', join2, { mac: await macOf('bob', 'mac2') });
    await host.expectKeys(
      guard(),
      pool(subnet, '10.66.0.1'),
      node.join(subnet, join1),
      node.join(subnet, join2),
      node.shared(subnet, '10.66.0.1', 'gateway', join1, join2),
      node.shared(subnet, '10.66.0.9', 'aux', join1, join2),
      node.endpoint(subnet, bare(ada), join1, { mac: await macOf('ada', 'mac1') }),
      await claimB(),
    );
    await host.engine.must('rm', '--force', 'ada');
    await host.engine.must('network', 'rm', 'mac1');
    const rest = wholeOf(
      guard(),
      pool(subnet, '10.66.0.1'),
      node.join(subnet, join2),
      node.shared(subnet, '10.66.0.1', 'gateway', join2),
      node.shared(subnet, '10.66.0.9', 'aux', join2),
    );
    await host.expectKeys(rest, await claimB());
    await host.engine.must('restart', 'bob');
    await host.expectKeys(rest, await claimB());
    await host.engine.must('rm', '--force', 'bob');
    await host.expectKeys(rest);
    await host.engine.must('network', 'rm', 'mac2');
    await host.expectKeys();
  });

  it('refuses a container the auxiliary address and the gateway of its network', async () => {
    await host.createNetwork('--subnet', '10.66.0.0/24', '--aux-address', 'router=10.66.0.9', 'plain');
    for (const [address, role] of [
      ['10.66.0.9', 'an auxiliary address'],
      ['10.66.0.1', 'the gateway'],
    ] as const) {
      const { code, stderr } = await host.tryRun('ada', 'plain', '--ip', address);
      expect(code).to.equal(125);
      expect(stderr).to.contain(`address ${address} is ${role} of the network and never given to a container`);
      await host.engine.must('rm', 'ada');
    }
    await host.engine.must('network', 'rm', 'plain');
    await host.expectKeys();
  });
});
