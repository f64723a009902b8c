// What the user of `docker` reads when a pool or an address is refused: the whole of standard error, times masked. What is
// refused leaves nothing in etcd.
import { expect } from 'chai';
import { Host } from '../support/host.js';
import { guard, type Keyspace, type NodeRecords, pool, wholeOf } from '../support/keyspace-view.js';
import { type Outcome, sleep } from '../support/process.js';
import { needPrivateHost } from '../support/skip.js';

const POOL = 'IpamDriver.RequestPool: ';
const ADDRESS = 'IpamDriver.RequestAddress: ';
const INSTANT = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;

/** The whole of standard error; `<time>` stands for an instant. `docker run` names itself, and its help in two ways. */
function expectWords({ code, stderr }: Outcome, sentence: string, command: 'run' | 'other' = 'other'): void {
  const words = sentence.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('<time>', INSTANT);
  const whole =
    command === 'run'
      ? `^docker: Error response from daemon: ${words}\\.?\n(\n?(Run|See) 'docker run --help'[^\n]*\n)?$`
      : `^Error response from daemon: ${words}\n$`;
  expect(stderr).to.match(new RegExp(whole));
  expect(code).to.equal(command === 'run' ? 125 : 1);
}

describe('refusals, as the user of docker reads them', function () {
  this.timeout(240_000);
  const subnet = 'local/v4/010.066.000.000-24';
  let host: Host;
  let node: NodeRecords;
  let network: Keyspace;
  let join: number;

  before(async function () {
    needPrivateHost(this);
    host = await Host.start('web', { IPAM_POOLS: '10.90.0.0/29/30' });
    node = host.records;
    await host.createNetwork('--subnet', '10.66.0.0/24', '--aux-address', 'printer=10.66.0.9', 'net');
    join = await host.view.joinOf(subnet);
    network = wholeOf(
      guard(),
      pool(subnet, '10.66.0.1'),
      node.join(subnet, join),
      node.shared(subnet, '10.66.0.1', 'gateway', join),
      node.unsure(subnet, '10.66.0.9', join),
    );
  });
  after(() => host?.[Symbol.asyncDispose]());

  const docker = (...args: string[]) => host.engine.must(...args);
  const create = (...args: string[]) => host.engine.docker('network', 'create', '--ipam-driver', 'etcd-ipam', ...args);
  const expectRunRefused = async (sentence: string, on: string, ...args: string[]) => {
    expectWords(await host.tryRun('refused', on, ...args), ADDRESS + sentence, 'run');
    await docker('rm', 'refused');
  };

  const creations: readonly (readonly [string, readonly string[], string])[] = [
    [
      'a smaller overlap',
      ['10.66.0.0/25'],
      `${POOL}pool 10.66.0.0/25 overlaps with 10.66.0.0/24 in address space local`,
    ],
    [
      'a larger overlap',
      ['10.64.0.0/12'],
      `${POOL}pool 10.64.0.0/12 overlaps with 10.66.0.0/24 in address space local`,
    ],
    [
      'the broadcast address as gateway',
      ['10.67.0.0/24', '--gateway', '10.67.0.255'],
      `failed to allocate gateway (10.67.0.255): ${ADDRESS}10.67.0.255 is the broadcast address of pool 10.67.0.0/24`,
    ],
    [
      'the gateway as auxiliary address',
      ['10.67.0.0/24', '--gateway', '10.67.0.2', '--aux-address', 'nas=10.67.0.2'],
      `failed to allocate secondary ip address (nas:10.67.0.2): ${ADDRESS}address 10.67.0.2 is the gateway of the network and never given to a container`,
    ],
    [
      'a declared auxiliary address outside',
      ['10.67.0.0/24', '--ipam-opt', 'aux=10.99.0.1'],
      `${POOL}10.99.0.1 is outside pool 10.67.0.0/24`,
    ],
    [
      'a space of no name',
      ['10.67.0.0/24', '--ipam-opt', 'space=BLUE'],
      `${POOL}--ipam-opt space=BLUE is not a name of 1 to 32 characters of a-z, 0-9 and -, other than local and global`,
    ],
    [
      'loopback',
      ['127.0.0.0/24'],
      `${POOL}pool 127.0.0.0/24 holds addresses that no host can have: loopback (RFC 1122)`,
    ],
    [
      'multicast',
      ['224.0.0.0/24'],
      `${POOL}pool 224.0.0.0/24 holds addresses that no host can have: multicast (RFC 5771)`,
    ],
  ];
  for (const [what, [place, ...args], sentence] of creations) {
    it(`of a network: ${what}`, async () => {
      expectWords(await create('--subnet', place!, ...args, 'refused'), sentence);
      await host.expectKeys(network);
    });
  }

  it('of a network without a subnet, once 2 of 2 predefined pools are taken, and for a family that has none', async () => {
    for (const name of ['auto1', 'auto2']) await host.createNetwork(name);
    const sentence = 'no predefined IPv4 pool left (2 /30 in 10.90.0.0/29); pass --subnet or widen IPAM_POOLS';
    expectWords(await create('auto3'), POOL + sentence);
    const none = 'no predefined IPv6 pool: IPAM_POOLS names none; pass --subnet';
    expectWords(await create('--ipv6', '--subnet', '10.67.0.0/24', 'auto6'), POOL + none);
    await docker('network', 'rm', 'auto1', 'auto2');
    await host.expectKeys(network);
  });

  it('of a container: no address left in a pool, or in its range', async () => {
    await host.createNetwork('auto1');
    await host.createNetwork('--subnet', '10.70.0.0/24', '--ip-range', '10.70.0.4/31', 'ranged');
    await host.run('ada', 'auto1');
    await expectRunRefused('no address left in pool 10.90.0.0/30: all 2 are in use', 'auto1');
    for (const name of ['bob', 'cyd']) await host.run(name, 'ranged');
    await expectRunRefused('no address left in range 10.70.0.4/31 of pool 10.70.0.0/24: all 2 are in use', 'ranged');
    await docker('rm', '--force', 'ada', 'bob', 'cyd');
    await docker('network', 'rm', 'auto1', 'ranged');
    await host.expectKeys(network);
  });

  it('of a container: an --ip that is taken, and by whom', async () => {
    await host.run('ada', 'net', '--ip', '10.66.0.20');
    await host.run('bob', 'net');
    const dynamic = (await host.addressOf('bob')).replace('/24', '');
    const unsure = "on web since <time> (by a container's --ip, or as an auxiliary address)";
    await expectRunRefused(`address 10.66.0.20 is held ${unsure}`, 'net', '--ip', '10.66.0.20');
    await expectRunRefused(`address 10.66.0.9 is held ${unsure}`, 'net', '--ip', '10.66.0.9');
    const container = `address ${dynamic} is held by a container on web since <time>`;
    await expectRunRefused(container, 'net', '--ip', dynamic);
    const gateway = 'address 10.66.0.1 is the gateway of the network and never given to a container';
    await expectRunRefused(gateway, 'net', '--ip', '10.66.0.1');
    await docker('rm', '--force', 'ada', 'bob');
    await host.expectKeys(network);
  });

  it('of a container: an --ip outside, or that no host can have', async () => {
    await expectRunRefused('10.66.0.255 is the broadcast address of pool 10.66.0.0/24', 'net', '--ip', '10.66.0.255');
    await expectRunRefused('10.66.0.0 is the network address of pool 10.66.0.0/24', 'net', '--ip', '10.66.0.0');
    // The engine itself looks at it first.
    const outside = "Invalid address 10.67.0.1: It does not belong to any of this network's subnets";
    expectWords(await host.tryRun('refused', 'net', '--ip', '10.67.0.1'), outside, 'run');
    await docker('rm', 'refused');
    await host.expectKeys(network);
  });

  it('of a container: a network whose records are gone from etcd; it can still be removed', async () => {
    await host.createNetwork('--subnet', '10.71.0.0/24', 'gone');
    await host.etcd.ctl('del', '--prefix', '/etcd-ipam/joins/local/v4/010.071.000.000-24/');
    const { code, stderr } = await host.tryRun('refused', 'gone');
    expect(code).to.equal(125);
    expectWords(
      { code, stdout: '', stderr: stderr.replace(/membership [0-9a-f]{16} /, 'membership <join> ') },
      `${ADDRESS}the network's membership <join> in pool 10.71.0.0/24 of address space local is not in etcd any more; re-create the network`,
      'run',
    );
    await docker('rm', 'refused');
    await docker('network', 'rm', 'gone');
    await host.expectKeys(network);
  });

  it('are warnings in the driver’s log, one line each, with the sentence', () => {
    const { time, ms, error, ...line } = host.driver.decisions.find(({ outcome }) => outcome === 'refused')!;
    expect(error).to.equal('pool 10.66.0.0/25 overlaps with 10.66.0.0/24 in address space local');
    expect([Date.parse(String(time)), ms]).to.satisfy((both: number[]) => both.every(Number.isFinite));
    const what = { call: 'RequestPool', outcome: 'refused', space: 'local', pool: '10.66.0.0/25' };
    expect(line).to.deep.equal({ level: 'warn', node: 'web', ...what, msg: 'RequestPool 10.66.0.0/25 refused' });
  });

  describe('with etcd away', () => {
    const absences = {
      stopped: { leave: () => host.etcd.kill(), back: () => host.etcd.restart(), because: 'connection refused' },
      frozen: { leave: () => host.etcd.freeze(), back: () => host.etcd.thaw(), because: 'no answer within 1 s' },
    };

    before(async () => {
      await host.createNetwork('--subnet', '10.72.0.0/24', 'other');
      // The first 15 s of the driver's life wait for an etcd that starts beside it.
      const { time } = host.driver.log[0]!;
      await sleep(Math.max(0, Date.parse(String(time)) + 15_500 - Date.now()));
    });
    after(() => host.engine.docker('network', 'rm', 'other'));

    for (const [how, { leave, back, because }] of Object.entries(absences)) {
      it(`${how}: every call is answered within 6 s and says so, a release ends well, and nothing else is left when it is back`, async () => {
        await host.run('ada', 'net');
        await leave();
        const began = performance.now();
        const timed = async (outcome: Promise<Outcome>) => ({ ...(await outcome), ms: performance.now() - began });
        const [created, ran, removed] = await Promise.all([
          timed(create('--subnet', '10.80.0.0/24', 'refused')),
          timed(host.tryRun('refused', 'other', '--ip', '10.72.0.7')),
          timed(host.engine.docker('rm', '--force', 'ada')),
        ]);
        // gRPC does not always say why it has no connection.
        const away = new RegExp(`etcd at 127\\.0\\.0\\.1:\\d+ is not reachable: (${because}|no connection \\(.*\\))`);
        for (const [outcome, call, command] of [
          [created, POOL, 'other'],
          [ran, ADDRESS, 'run'],
        ] as const) {
          const found = outcome.stderr.match(away)?.[0] ?? 'etcd at … is not reachable';
          expectWords(outcome, call + found, command);
        }
        expect({ code: removed.code, stderr: removed.stderr }).to.deep.equal({ code: 0, stderr: '' });
        const answered = host.driver.decisions.filter(({ outcome }) => outcome === 'failed' || outcome === 'queued');
        for (const { ms } of answered) expect(Number(ms)).to.be.below(6_000);
        // What docker itself needs is a busy machine's to say.
        for (const { ms } of [created, ran, removed]) expect(ms).to.be.below(20_000);
        // Once it has lasted as long as a call may take, the outage is known.
        await sleep(2_000);
        const again = await host.tryRun('again', 'other');
        expect(again.stderr).to.match(/etcd at 127\.0\.0\.1:\d+ is not reachable: /);
        expect(Number(host.driver.decisions.at(-1)!.ms)).to.be.below(1_000);
        await back();
        await docker('rm', '--force', 'refused', 'again');
        const other = 'local/v4/010.072.000.000-24';
        const expected = async () => {
          const second = await host.view.joinOf(other);
          const parts = [pool(other, '10.72.0.1'), node.join(other, second)];
          return wholeOf(node.own(), network, ...parts, node.shared(other, '10.72.0.1', 'gateway', second));
        };
        await host.view.becomes(await expected(), 60_000);
        // What the frozen etcd had in its buffers would have landed by now.
        await sleep(500);
        expect(await host.view.now()).to.deep.equal(await expected());
        const outcomes = host.driver.decisions.slice(-14).map(({ call, outcome }) => `${call} ${outcome}`);
        expect(outcomes).to.include.members(['RequestPool failed', 'RequestAddress failed', 'ReleaseAddress queued']);
      });
    }
  });
});
