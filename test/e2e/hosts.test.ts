// What all of this is for: three engines, three drivers, one etcd and one subnet. What etcd says is compared with what
// the kernel says inside the containers.
import { expect } from 'chai';
import { Hosts, type LanHost, type Running } from '../support/hosts.js';
import { lingering } from '../support/image.js';
import { guard, type Keyspace, pool, wholeOf } from '../support/keyspace-view.js';
import { LiveAddresses } from '../support/live-addresses.js';
import { run } from '../support/process.js';
import { needPrivateHost } from '../support/skip.js';

const SUBNET = 'local/v4/010.066.000.000-24';
const GATEWAY = '10.66.0.1';
const AUX = '10.66.0.9';
const NETWORK = [
  ...['--subnet', '10.66.0.0/24', '--gateway', GATEWAY],
  ...['--aux-address', `router=${AUX}`, '--ipam-opt', `aux=${AUX}`],
];
const onParent = (parent: string) => ['--driver', 'macvlan', '--opt', `parent=${parent}`];


describe('three hosts with one subnet', function () {
  this.timeout(120_000);
  let hosts: Hosts;
  let a: LanHost;
  let b: LanHost;
  let c: LanHost;
  const instances: Record<string, string> = {};

  before(async function () {
    needPrivateHost(this);
    hosts = await Hosts.start(['a', 'b', 'c']);
    [a, b, c] = hosts.all as [LanHost, LanHost, LanHost];
  });
  after(() => hosts?.[Symbol.asyncDispose]());

  const expectKeys = async (...parts: Keyspace[]) =>
    expect(await hosts.view.now()).to.deep.equal(wholeOf(hosts.own(instances), ...parts));
  const rangeOf = (join: { range?: string }) => (join.range === undefined ? {} : { range: join.range });

  /** What networks of these hosts have in etcd, and their containers' claims, `byNumber` those started with --ip. */
  const networks = async (
    joins: ReadonlyMap<LanHost, { join: number; range?: string }>,
    byNumber: readonly string[] = [],
  ): Promise<Keyspace> => {
    if (joins.size === 0) return {};
    const parts = [guard(), pool(SUBNET, GATEWAY)];
    for (const [address, role] of [
      [GATEWAY, 'gateway'],
      [AUX, 'aux'],
    ] as const)
      for (const [{ records }, { join }] of joins) parts.push(records.shared(SUBNET, address, role, join));
    for (const [host, { join, ...more }] of joins) {
      parts.push(host.records.join(SUBNET, join, { ...rangeOf(more), shared: [AUX] }));
      for (const { name, address } of await hosts.running(host)) {
        const kind = byNumber.includes(name) ? 'unsure' : 'endpoint';
        parts.push(host.records.endpoint(SUBNET, address, join, { kind }));
      }
    }
    return wholeOf(...parts);
  };

  const expectReach = async (from: Running, to: readonly Running[]) => {
    const pings = 'for to in "$@"; do busybox ping -c 1 -W 5 "$to" >/dev/null || { echo "$to"; exit 1; }; done';
    const addresses = to.map(({ address }) => address);
    const args = ['--target', String(from.pid), '--net', '--', 'sh', '-c', pings, 'sh', ...addresses];
    const { code, stdout } = await run('nsenter', args);
    expect(code, `${from.address} reaches ${stdout.trim()}`).to.equal(0);
  };
  /** One container of each host reaches all containers of the others. */
  const expectAllReached = async () => {
    const all = await Promise.all(hosts.all.map((host) => hosts.running(host)));
    await Promise.all(all.map((its) => expectReach(its[0]!, all.filter((others) => others !== its).flat())));
  };
  const removeAll = async (host: LanHost) => {
    const ids = await host.engine.must('ps', '--all', '--quiet');
    if (ids !== '') await host.engine.must('rm', '--force', ...ids.split('\n'));
  };

  describe('on networks made by hand', () => {
    const ranges = new Map<LanHost, string>();
    const joins = new Map<LanHost, { join: number; range?: string }>();
    const byNumber: string[] = [];
    let free: string;

    const createAll = async (ranges: ReadonlyMap<LanHost, string>, firstJoin: number) => {
      for (const [i, host] of hosts.all.entries()) {
        const range = ranges.get(host);
        await host.createNetwork(...onParent('eth0'), ...NETWORK, ...(range ? ['--ip-range', range] : []), 'net');
        joins.set(host, { join: firstJoin + i, ...(range && { range }) });
      }
    };
    const expectAsRunning = async () => expectKeys(await networks(joins, byNumber));

    it('three networks share one gateway and one auxiliary address', async () => {
      ranges.set(a, '10.66.0.64/27').set(b, '10.66.0.128/27');
      await createAll(ranges, 1);
      await expectAsRunning();
    });

    it('60 containers started at once have 60 addresses and 60 claims; a range limits its own host only', async () => {
      await using live = new LiveAddresses(lingering);
      const names = Array.from({ length: 20 }, (_, i) => `box${i}`);
      await Promise.all(hosts.all.flatMap((host) => names.map((name) => host.run(name, 'net'))));
      expect(live.look().size).to.equal(60);
      expect([...live.duplicates]).to.deep.equal([]);
      await expectAsRunning();
      const claims = Object.entries(await hosts.view.now()).filter(([key]) => key.startsWith(`claims/${SUBNET}/`));
      expect(claims).to.have.length(60 + 2);
      const [ofA, ofB, ofC] = (await Promise.all(hosts.all.map((host) => hosts.running(host)))) as [
        Running[],
        Running[],
        Running[],
      ];
      expect(new Set([...ofA, ...ofB, ...ofC].map(({ address }) => address)).size).to.equal(60);
      const last = ({ address }: Running) => Number(address.split('.').at(-1));
      expect(ofA.map(last).every((number) => number >= 64 && number < 96)).to.equal(true);
      expect(ofB.map(last).every((number) => number >= 128 && number < 160)).to.equal(true);
      expect(ofC.map(last).some((number) => number < 64 || (number >= 96 && number < 128) || number >= 160)).to.be.true;
      free = `10.66.0.${[...Array(32).keys()].map((i) => 64 + i).find((number) => !ofA.map(last).includes(number))}`;
    });

    it('containers of each host reach all 40 of the others', async () => {
      await expectAllReached();
    });

    it('an --ip that a container on another host has is refused by name, and one free in the other’s range is given', async () => {
      const [theirs] = await hosts.running(a);
      const { code, stderr } = await b.tryRun('refused', 'net', '--ip', theirs!.address);
      expect(code).to.equal(125);
      const words = `address ${theirs!.address} is held by a container on a since `.replaceAll('.', '\\.');
      expect(stderr).to.match(new RegExp(`IpamDriver\\.RequestAddress: ${words}\\S+Z\\.?\n`));
      await b.engine.must('rm', 'refused');
      await expectAsRunning();
      await b.run('static', 'net', '--ip', free);
      byNumber.push('static');
      await expectAsRunning();
    });

    it('a `network rm` on one host takes nothing from the two others', async () => {
      await removeAll(c);
      await c.engine.must('network', 'rm', 'net');
      joins.delete(c);
      await expectAsRunning();
    });

    it('a `network create` that fails, on a host with and on one without the subnet, takes nothing from where it lives', async () => {
      const create = (host: LanHost, parent: string) =>
        host.engine.docker(
          ...['network', 'create', '--ipam-driver', 'etcd-ipam', ...onParent(parent), ...NETWORK, 'failing'],
        );
      for (const [host, parent] of [
        [c, 'nowhere0'],
        [b, 'nowhere0'],
        // An engine lets a parent have one network.
        [b, 'eth0'],
      ] as const) {
        const { code, stderr } = await create(host, parent);
        expect(code).to.equal(1);
        expect(stderr).to.contain(parent).and.not.contain('IpamDriver');
        await expectAsRunning();
      }
    });

    it('a second network of the subnet on one host comes and goes without a trace', async () => {
      await b.machine.must('ip', ['link', 'add', 'vlan1', 'type', 'veth', 'peer', 'name', 'vlan1-peer']);
      await b.createNetwork(...onParent('vlan1'), ...NETWORK, 'second');
      await b.run('brief', 'second');
      const [brief] = (await hosts.running(b)).filter(({ name }) => name === 'brief');
      const others = [...(await hosts.running(a)), ...(await hosts.running(b))].filter(({ name }) => name !== 'brief');
      expect(others.map(({ address }) => address)).to.not.include(brief!.address);
      await b.engine.must('rm', '--force', 'brief');
      await b.engine.must('network', 'rm', 'second');
      await expectAsRunning();
      await expectReach((await hosts.running(a))[0]!, await hosts.running(b));
    });

    it('the last network that is removed takes the pool along', async () => {
      for (const host of [b, a]) {
        await removeAll(host);
        await expectAsRunning();
        await host.engine.must('network', 'rm', 'net');
        joins.delete(host);
        await expectAsRunning();
      }
      await expectKeys();
    });
  });
});
