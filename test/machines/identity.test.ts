// Whose a node name is: driver processes on machines with a machine id and a boot of their own, asked on the wire. Starts
// no engine.
import { join } from 'node:path';
import { expect } from 'chai';
import { type Entry, type EtcdFixture, entries, startEtcd } from '../support/etcd.js';
import { Machine } from '../support/machine.js';
import { type Answer, PluginClient } from '../support/plugin-client.js';
import { eventually, runOrFail, sleep } from '../support/process.js';
import { PROGRAM } from '../support/program.js';
import { RealDriver } from '../support/real-driver.js';
import { needPrivateHost } from '../support/skip.js';
import { AS } from '../support/whole-driver.js';

const PREFIX = '/etcd-ipam/';
/** So long that a busy machine loses no session by itself, so short that its end can be waited for. */
const TTL = '5s';
/** Generous for what takes seconds on a machine with time. */
const SOON = 60_000;

type Body = Readonly<Record<string, unknown>>;

/** A driver on a machine, and its engine's side of the wire. */
class Seat implements AsyncDisposable {
  private constructor(
    readonly machine: Machine,
    readonly driver: RealDriver,
    private readonly client: PluginClient,
  ) {}

  static async on(
    etcd: Pick<EtcdFixture, 'url'>,
    machine: Machine,
    env: Record<string, string> = {},
    ready: 'session alive' | 'listening' = 'session alive',
  ): Promise<Seat> {
    const socket = join(machine.pluginSockets, env.IPAM_SOCKET?.split('/').at(-1) ?? 'etcd-ipam.sock');
    const driver = RealDriver.on({ etcd, machine, env: { IPAM_SESSION_TTL: TTL, ...env } });
    await driver.start(ready);
    return new Seat(machine, driver, new PluginClient({ socketPath: socket }));
  }

  call(name: string, body: Body = {}): Promise<Answer> {
    return this.client.call(name.startsWith('/') ? name : `/IpamDriver.${name}`, body);
  }

  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  async must(name: string, body: Body): Promise<any> {
    const { status, json, text } = await this.call(name, body);
    expect(status, `${name}: ${text}`).to.equal(200);
    return json;
  }

  async pool(subnet: string, space = 'local'): Promise<string> {
    return (await this.must('RequestPool', poolOf(subnet, space))).PoolID;
  }

  async address(PoolID: string, Address = '', Options: object | null = null): Promise<string> {
    return (await this.must('RequestAddress', { PoolID, Address, Options })).Address.split('/')[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.driver[Symbol.asyncDispose]();
  }
}

const poolOf = (Pool: string, AddressSpace = 'local') => ({ AddressSpace, Pool, SubPool: '', Options: {}, V6: false });

describe('node identity', function () {
  this.timeout(300_000);
  let etcd: EtcdFixture;
  let parts: AsyncDisposable[] = [];

  before(async function () {
    needPrivateHost(this);
    etcd = await startEtcd();
  });
  after(() => etcd?.stop());
  afterEach(async () => {
    for (const part of parts.reverse()) await part[Symbol.asyncDispose]();
    parts = [];
    await etcd.ctl('del', '', '--prefix');
  });

  function keep<T extends AsyncDisposable>(part: T): T {
    parts.push(part);
    return part;
  }
  const machine = async (name: string, original?: Machine) => keep(await Machine.start(name, original));
  const seat = async (...args: Parameters<typeof Seat.on> extends [unknown, ...infer A] ? A : never) =>
    keep(await Seat.on(etcd, ...args));

  const all = () => entries(etcd, PREFIX);
  /** Everything but who is alive and the pace of rounds, with the revision that wrote it last. */
  const records = async () => (await all()).filter(({ key }) => !/\/(sessions\/|tick$)/.test(key));
  const sessions = async (node: string) =>
    (await entries(etcd, `${PREFIX}sessions/${node}/`)) as (Entry & { value: { since: string; boot: string } })[];
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  const record = async (node: string) => (await entries(etcd, `${PREFIX}nodes/${node}`))[0]?.value as any;
  const idOf = (on: Machine) => on.must('cat', ['/etc/machine-id']);
  const bootOf = (on: Machine) => on.must('cat', ['/proc/sys/kernel/random/boot_id']);
  const short = (id: string) => `${id.slice(0, 8)}…`;

  /** A network with a gateway and a container, and one of a swarm that the node leads. */
  const furnish = async (on: Seat) => {
    const [local, global] = [await on.pool('10.66.0.0/24'), await on.pool('10.80.0.0/24', 'global')];
    for (const pool of [local, global]) {
      await on.address(pool, '', AS.gateway);
      await on.address(pool);
    }
    return { local, global };
  };
  /** What it may say without its name, and what it refuses with that one sentence. */
  const expectRefusing = async (on: Seat, { local, global }: { local: string; global: string }, sentence: string) => {
    for (const [call, reply] of [
      ['/Plugin.Activate', { Implements: ['IpamDriver'] }],
      ['GetCapabilities', { RequiresMACAddress: false, RequiresRequestReplay: false }],
      ['GetDefaultAddressSpaces', { LocalDefaultAddressSpace: 'local', GlobalDefaultAddressSpace: 'global' }],
    ] as const)
      expect(await on.must(call, {})).to.deep.equal(reply);
    const before = await records();
    const asked: [string, Body][] = [
      ['RequestPool', poolOf('10.66.0.0/24')],
      ['RequestPool', poolOf('10.99.0.0/24')],
      ['RequestPool', poolOf('10.80.0.0/24', 'global')],
      ['RequestPool', poolOf('')],
    ];
    for (const PoolID of [local, global]) {
      const subnet = PoolID === local ? '10.66.0' : '10.80.0';
      for (const Address of ['', `${subnet}.2`, `${subnet}.9`])
        asked.push(['RequestAddress', { PoolID, Address, Options: null }]);
      asked.push(['RequestAddress', { PoolID, Address: `${subnet}.1`, Options: AS.gateway }]);
    }
    const began = performance.now();
    const answers = await Promise.all(asked.map(([call, body]) => on.call(call, body)));
    expect(performance.now() - began, 'ms, while an absent etcd would be waited for').to.be.below(12_000);
    const said = answers.map(({ status, json }) => [status, json.Err]);
    // Of an address that it sees is taken it may say so as well.
    const other = said.filter(([, text]) => text !== sentence && !/^address 10\.\d+\.0\.2 is held /.test(text));
    expect(other).to.deep.equal([]);
    expect(said.filter(([status, text]) => status === 500 && text === sentence)).to.have.length.at.least(10);
    expect(await records()).to.deep.equal(before);
  };
  /** The PoolIDs are on the disk of a clone as well. */
  const expectFreeingNothing = async (on: Seat, { local, global }: { local: string; global: string }) => {
    const before = await records();
    const addresses = [1, 2].flatMap((last) => [
      { PoolID: local, Address: `10.66.0.${last}` },
      { PoolID: global, Address: `10.80.0.${last}` },
    ]);
    // Each waits for its deadline where the name may still become its own.
    await Promise.all(addresses.map((body) => on.must('ReleaseAddress', body)));
    const pools = await Promise.all([local, global].map((PoolID) => on.must('ReleasePool', { PoolID })));
    expect(pools).to.deep.equal([{}, {}]);
    // Nothing of it waits for a better time, either.
    await on.driver.stop();
    expect(await records()).to.deep.equal(before);
  };

  it('is the host’s name and machine id, or what IPAM_NODE and IPAM_MACHINE_ID say', async () => {
    const [a, b] = [await machine('host-a'), await machine('host-b')];
    await seat(a);
    await seat(b, { IPAM_NODE: 'web', IPAM_MACHINE_ID: 'rack-7' });
    expect((await records()).map(({ key }) => key)).to.deep.equal([`${PREFIX}nodes/host-a`, `${PREFIX}nodes/web`]);
    expect(await record('host-a')).to.include({ machine: await idOf(a), boot: await bootOf(a) });
    expect(await record('web')).to.include({ machine: 'rack-7', boot: await bootOf(b) });
  });

  it('another machine under the name of a living one listens, refuses with a sentence, frees nothing, and serves once the node is evicted', async () => {
    const [a, b] = [await machine('host-a'), await machine('host-b')];
    const first = await seat(a);
    const pools = await furnish(first);
    const second = await seat(b, { IPAM_NODE: 'host-a' }, 'listening');
    const by = async () => (await sessions('host-a'))[0]?.value.since ?? (await record('host-a')).since;
    const sentence = async (host: string) =>
      `node name host-a belongs to machine ${short(await idOf(a))} since ${await by()}${host}: set IPAM_NODE to a name no ` +
      `other host has, or, if that machine is gone for good, etcd-ipam evict host-a`;
    await expectRefusing(second, pools, await sentence(' (host host-a)'));
    await expectFreeingNothing(second, pools);

    await second.driver.start('listening');
    await first.driver.kill();
    await eventually('the first session ends', async () => (await sessions('host-a')).length === 0, SOON);
    const silent = await sentence('');
    const refused = async () => (await second.call('RequestPool', poolOf('10.99.0.0/24'))).json.Err === silent;
    await eventually('it still refuses, in the words for a silent machine', refused, SOON);
    await expectRefusing(second, pools, silent);

    await runOrFail(process.execPath, [...PROGRAM, 'evict', 'host-a'], { env: { ETCD_ENDPOINTS: etcd.url } });
    await eventually('it serves', async () => (await sessions('host-a')).length === 1, SOON);
    expect(await second.address(await second.pool('10.66.0.0/24'))).to.equal('10.66.0.3');
    expect(await record('host-a'))
      .to.include({ machine: await idOf(b), boot: await bootOf(b) })
      .and.not.to.have.property('evicted');
  });

  it('a clone, with the machine id in another boot, is refused as long as the original has a session, and frees nothing', async () => {
    const original = await machine('host-a');
    const clone = await machine('host-a', original);
    expect(await idOf(clone)).to.equal(await idOf(original));
    expect(await bootOf(clone)).to.not.equal(await bootOf(original));
    const first = await seat(original);
    const pools = await furnish(first);
    const second = await seat(clone, {}, 'listening');
    const [session] = await sessions('host-a');
    const sentence =
      `node name host-a is in use by a session of another boot (${short(await bootOf(original))}) since ` +
      `${session!.value.since} (host host-a): after a reboot it ends by itself within IPAM_SESSION_TTL; if it stays, another ` +
      'machine has the machine id of this one, and one of the two needs an IPAM_NODE and an IPAM_MACHINE_ID of its own';
    // More than twice what a session lives without its process.
    for (const end = performance.now() + 12_000; performance.now() < end; await sleep(500))
      expect((await second.call('RequestPool', poolOf('10.99.0.0/24'))).json.Err).to.equal(sentence);
    await expectRefusing(second, pools, sentence);
    await expectFreeingNothing(second, pools);
    expect(await first.address(pools.local)).to.equal('10.66.0.3');

    const renamed = await seat(clone, { IPAM_NODE: 'host-b', IPAM_MACHINE_ID: 'clone-of-a' });
    expect(await renamed.address(await renamed.pool('10.66.0.0/24'))).to.equal('10.66.0.4');
  });

  it('a clone serves without a restart as soon as the session of the original has ended', async () => {
    const original = await machine('host-a');
    const first = await seat(original);
    const { local } = await furnish(first);
    const clone = await machine('host-a', original);
    const second = await seat(clone, {}, 'listening');
    expect((await second.call('RequestPool', poolOf('10.66.0.0/24'))).status).to.equal(500);
    await first.driver.kill();
    await eventually('it serves', async () => (await record('host-a')).boot === (await bootOf(clone)), SOON);
    expect(await second.address(local, '10.66.0.9')).to.equal('10.66.0.9');
    await first.driver.start('listening');
    const { status, json } = await first.call('RequestAddress', { PoolID: local, Address: '', Options: null });
    expect(status).to.equal(500);
    expect(json.Err).to.contain(`in use by a session of another boot (${short(await bootOf(clone))}) since `);
  });

  it('two plugins with one name, machine id and boot are one node: both serve, and either frees what the other gave', async () => {
    const on = await machine('host-a');
    const [one, two] = [await seat(on), await seat(on, { IPAM_SOCKET: '/run/docker/plugins/second.sock' })];
    expect(await sessions('host-a')).to.have.length(2);
    const pool = await one.pool('10.66.0.0/24');
    expect([await one.address(pool), await two.address(pool)]).to.have.members(['10.66.0.1', '10.66.0.2']);
    await two.must('ReleaseAddress', { PoolID: pool, Address: '10.66.0.1' });
    await one.must('ReleaseAddress', { PoolID: pool, Address: '10.66.0.2' });
    await two.must('ReleasePool', { PoolID: pool });
    expect((await records()).map(({ key }) => key)).to.deep.equal([`${PREFIX}nodes/host-a`]);
  });

  it('a plugin that is installed anew after a kill -9 serves at once, beside the session that outlives the first', async () => {
    const on = await machine('host-a');
    const long = { IPAM_SESSION_TTL: '300s' };
    const first = await seat(on, long);
    const { local } = await furnish(first);
    const [left] = await sessions('host-a');
    await first.driver.kill();
    const second = await seat(on, long);
    expect(await second.address(local)).to.equal('10.66.0.3');
    expect((await sessions('host-a')).map(({ key }) => key))
      .to.have.length(2)
      .and.to.include(left!.key);
    await second.must('ReleaseAddress', { PoolID: local, Address: '10.66.0.2' });
    expect((await records()).map(({ key }) => key)).to.not.include(
      `${PREFIX}claims/local/v4/010.066.000.000-24/010.066.000.002`,
    );
  });

  it('after a power cut the next boot serves once the session of the last one has ended, and knows its claims for old', async () => {
    const on = await machine('host-a');
    const first = await seat(on);
    const { local } = await furnish(first);
    await on.cutPower();
    const second = await seat(on, {}, 'listening');
    await eventually('it serves', async () => (await record('host-a')).boot === (await bootOf(on)), SOON);
    expect(await second.address(local, '10.66.0.2', AS.named('again'))).to.equal('10.66.0.2');
  });

  describe('the first 15 s', () => {
    const begun = async () => {
      const on = await machine('host-a');
      const first = await seat(on);
      const pools = await furnish(first);
      await first.driver.stop();
      await etcd.kill();
      return { on, pools };
    };
    afterEach(async () => {
      await etcd.restart();
    });

    it('a plugin that starts without etcd, which comes 3 s after it, answers what was asked meanwhile', async () => {
      const { on, pools } = await begun();
      const back = sleep(3_000).then(() => etcd.restart());
      const second = await seat(on, { IPAM_DEADLINE: '500ms' }, 'listening');
      const asked = [second.address(pools.local), second.address(pools.global), second.pool('10.77.0.0/24')];
      const [local, global, pool] = await Promise.all(asked);
      await back;
      expect([local, global]).to.deep.equal(['10.66.0.3', '10.80.0.3']);
      expect(pool).to.match(/^local\/10\.77\.0\.0\/24\?join=/);
    });

    it('with etcd away for good requests are answered at one instant, the end of the window, and releases with {} before', async () => {
      const { on, pools } = await begun();
      const spawned = performance.now();
      const second = await seat(on, { IPAM_DEADLINE: '500ms' }, 'listening');
      const ask = async (call: string, body: Body) => ({ ...(await second.call(call, body)), at: performance.now() });
      const asked: Promise<Answer & { at: number }>[] = [];
      for (let nth = 0; nth < 5; nth++) {
        asked.push(ask('RequestAddress', { PoolID: pools.local, Address: '', Options: null }));
        asked.push(ask('ReleaseAddress', { PoolID: pools.local, Address: '10.66.0.2' }));
        await sleep(1_000);
      }
      const answers = await Promise.all(asked);
      const requests = answers.filter((_, nth) => nth % 2 === 0);
      for (const { status, json } of requests) {
        expect(status).to.equal(500);
        // A machine that is too busy to say even that says so.
        expect(json.Err).to.match(
          /^(etcd at 127\.0\.0\.1:\d+ is not reachable: connection refused$|RequestAddress did not finish within)/,
        );
      }
      for (const { status, json } of answers.filter((_, nth) => nth % 2 === 1))
        expect([status, json]).to.deep.equal([200, {}]);
      const times = requests.map(({ at }) => at);
      const released = answers.filter((_, nth) => nth % 2 === 1).map(({ at }) => at);
      expect(Math.max(...released), 'the last release').to.be.below(Math.min(...times));
      const spread = Math.max(...times) - Math.min(...times);
      expect(spread, 'ms, of calls that came in 4 s').to.be.below(3_000);
      expect(Math.max(...times) - spawned).to.be.within(14_000, 40_000);
    });
  });
});
