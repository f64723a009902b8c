// What is left of a plugin, an engine and a host that end without a word, in a swarm of three: when they are back, etcd has
// what runs; when they are not, others go on undisturbed and have their addresses in the end. Nobody puts anything right by hand.
import { expect } from 'chai';
import { entries } from '../support/etcd.js';
import { Hosts, type LanHost } from '../support/hosts.js';
import { lingering } from '../support/image.js';
import { LiveAddresses } from '../support/live-addresses.js';
import { PluginClient } from '../support/plugin-client.js';
import { eventually, Program, tail } from '../support/process.js';
import { needPrivateHost } from '../support/skip.js';
import { recorded, running } from '../support/standing.js';

/** Of each host's own network: a gateway and five containers fill it. */
const OWN = ['--subnet', '10.77.0.0/29', '--gateway', '10.77.0.1'];
const KEY = '/etcd-ipam/joins/local/v4/010.077.000.000-29/';
/** Of the swarm's. */
const LAN = [
  ...['--subnet', '10.66.0.0/24', '--gateway', '10.66.0.1', '--ip-range', '10.66.0.64/27'],
  ...['--opt', 'parent=eth0'],
];
const SETTINGS = {
  IPAM_SESSION_TTL: '4s',
  IPAM_HOLD: '60s',
  IPAM_ENGINE_SOCKET: '/run/engine.sock',
  IPAM_RECONCILE_GRACE: '2s',
};
/** Seconds of work, on a machine that may have little time for it; a host is gone after 35 to 85 s. */
const WITHIN_MS = 150_000;

describe('deaths in a swarm of three hosts', function () {
  this.timeout(400_000);
  let hosts: Hosts;
  let [a, b, c] = [] as unknown as [LanHost, LanHost, LanHost];
  let live: LiveAddresses;

  before(async function () {
    needPrivateHost(this);
    hosts = await Hosts.start(['a', 'b', 'c'], SETTINGS);
    [a, b, c] = hosts.all as [LanHost, LanHost, LanHost];
    live = new LiveAddresses(lingering, 500);
    for (const host of hosts.all) await showEngine(host);
    await a.engine.must('swarm', 'init', '--advertise-addr', a.address);
    const token = await a.engine.must('swarm', 'join-token', '--quiet', 'manager');
    for (const { engine, address } of [b, c]) {
      const at = ['--advertise-addr', address, `${a.address}:2377`];
      await engine.must('swarm', 'join', '--token', token, ...at);
    }
  });
  after(async () => {
    await live?.[Symbol.asyncDispose]();
    await hosts?.[Symbol.asyncDispose]();
  });

  // The engine's socket lies in a temporary directory; the driver's setting names a path of its machine.
  const showEngine = ({ machine, engine }: LanHost) => machine.must('ln', ['-s', engine.socket, '/run/engine.sock']);
  const always = (host: LanHost, name: string) => host.run(name, 'own', '--restart', 'always');
  /** Power on, and what a boot starts: etcd, the plugin, the engine. `between`: before the engine. */
  const boot = async (host: LanHost, how?: 'same', between = async () => {}) => {
    await host.machine.powerOn(how);
    await showEngine(host);
    await hosts.etcd.restart(host.machine);
    await host.driver.start();
    await between();
    await host.engine.start();
  };

  const tasks = async (host: LanHost) => (await hosts.running(host)).filter(({ name }) => /^(one|two)\./.test(name));
  /** The swarm has started its two tasks on each of these hosts. */
  const tasksRun = (on: Iterable<LanHost>, withinMs = WITHIN_MS) => {
    const all = async () => {
      for (const host of on) if ((await tasks(host).catch(() => [])).length !== 2) return false;
      return true;
    };
    return eventually('the swarm has started its tasks', all, withinMs, 500);
  };
  /** Each of these hosts has so many containers of its own, and they have in etcd what runs on them, and nothing else. */
  const settles = async (containers: ReadonlyMap<LanHost, number>) => {
    const on = [...containers.keys()];
    const nodes = on.map(({ records }) => records.node);
    // A busy engine now and then does not come back into its swarm. That is its own affair: etcd has to have what runs.
    await tasksRun(on, 90_000).catch(async ({ message }: Error) => {
      const { stdout } = await a.engine.docker('service', 'ps', '--no-trunc', 'one', 'two');
      console.log(`deaths: ${message}\n${stdout}\n${tail(c.engine.log, 20)}`);
    });
    let difference: unknown;
    const asRunning = async () => {
      try {
        for (const [host, count] of containers)
          expect((await hosts.running(host)).length - (await tasks(host)).length).to.equal(count);
        const shown = await running(hosts, on);
        expect(await recorded(hosts.etcd, nodes)).to.deep.equal(shown);
        return true;
      } catch (cause) {
        difference = cause;
        return false;
      }
    };
    await eventually('etcd has what runs', asRunning, WITHIN_MS, 500).catch(() => {
      throw difference;
    });
    expect([...live.duplicates]).to.deep.equal([]);
  };
  const all = () =>
    new Map([
      [a, 2],
      [b, 1],
      [c, 2],
    ]);

  /** Records of these nodes by the revision that wrote them; what they share has no node. */
  const records = async (...nodes: string[]) => {
    const found = (await entries(hosts.etcd)).filter(({ key }) => /\/(joins|claims|holders)\/local\//.test(key));
    const theirs = found.filter(({ value }) => nodes.includes((value as { node?: string }).node ?? ''));
    return Object.fromEntries(theirs.map(({ key, modified }) => [key, modified]));
  };
  /** What `during` does is not noticed between tasks on `a` and `b`, nor by any container there, nor in etcd. */
  const unnoticed = async (during: () => Promise<void>) => {
    const [[from], [to]] = [await tasks(a), await tasks(b)];
    const before = [await hosts.running(a), await hosts.running(b)];
    const written = await records('a', 'b');
    const ping = ['--target', String(from!.pid), '--net', '--', 'busybox', 'ping', to!.address];
    await using pings = await Program.start('nsenter', ping, { ready: /seq=0/ });
    await during();
    const answered = () => [...pings.output.matchAll(/ seq=(\d+) /g)].map(([, seq]) => Number(seq));
    const last = answered().at(-1)!;
    await eventually('the next ping is answered', () => answered().at(-1)! > last, WITHIN_MS);
    const gaps = answered().map((seq, i, all) => seq - (all[i - 1] ?? -1) - 1);
    console.log(
      `deaths: of ${answered().at(-1)} pings between the others ${Math.max(...gaps)} in a row were not answered`,
    );
    expect(Math.max(...gaps)).to.be.at.most(5);
    expect([await hosts.running(a), await hosts.running(b)]).to.deep.equal(before);
    expect(await records('a', 'b')).to.deep.equal(written);
  };

  it('with a full network of their own, and tasks of two services on each, etcd has what runs', async () => {
    for (const { engine } of hosts.all)
      await engine.must('network', 'create', '--config-only', '--ipam-driver', 'etcd-ipam', ...LAN, 'config');
    const swarm = ['--driver', 'macvlan', '--scope', 'swarm', '--config-from', 'config'];
    await a.engine.must('network', 'create', ...swarm, 'lan');
    for (const name of ['one', 'two']) {
      const service = ['--name', name, '--mode', 'global', '--network', 'lan', '--no-resolve-image'];
      await a.engine.must('service', 'create', '--detach', ...service, 'busybox:latest', ...lingering);
    }
    for (const host of hosts.all) {
      await host.createNetwork(...OWN, 'own');
      await always(host, 'first');
    }
    for (const host of [a, c]) await always(host, 'second');
    await tasksRun(hosts.all);
    await settles(all());
  });

  it('a plugin killed with kill -9, away while a container is removed: its address is free again', async () => {
    await a.driver.kill();
    // The engine waits 15 s for the driver, and then removes the container all the same.
    await a.engine.must('rm', '--force', 'second');
    await a.driver.start();
    await settles(new Map([...all(), [a, 1]]));
    await always(a, 'second');
    await settles(all());
  });

  it('an engine killed with kill -9, of whose swarm network nothing was given back', async () => {
    await b.engine.crash();
    await b.engine.start();
    await settles(all());
  });

  it('a host that loses its power, and boots', () =>
    unnoticed(async () => {
      await c.machine.powerOff();
      await boot(c);
      await settles(all());
    }));

  it('a host all of whose processes are killed, in the same boot: nothing is free until its engine says so', () =>
    unnoticed(async () => {
      const before = await records('c');
      await c.machine.powerOff();
      await boot(c, 'same', async () => {
        const client = new PluginClient({ socketPath: c.engine.pluginSocket('etcd-ipam') });
        const join = (await entries(hosts.etcd, KEY)).find(({ value }) => (value as { node: string }).node === 'c')!;
        const PoolID = `local/10.77.0.0/29?join=${join.key.slice(KEY.length)}`;
        const { json } = await client.call('/IpamDriver.RequestAddress', { PoolID, Address: '', Options: null });
        client.close();
        expect(json.Err).to.equal('no address left in pool 10.77.0.0/29: all 6 are in use');
        expect(await records('c')).to.deep.equal(before);
      });
      await settles(all());
    }));

  it('a host that never returns: after its hold its addresses serve whoever needs them, and the others never notice', async () => {
    const theirs = (await hosts.running(c)).filter(({ name }) => /first|second/.test(name)).map((one) => one.address);
    expect(theirs).to.have.length(2);
    const full = await a.tryRun('early', 'own');
    expect(full.stderr).to.contain('no address left in pool 10.77.0.0/29: all 6 are in use');
    await a.engine.must('rm', 'early');
    await unnoticed(async () => {
      await c.machine.powerOff();
      const since = new Date().toISOString();
      const gone = () =>
        [a, b].some(({ driver }) => driver.log.some(({ gone, time }) => gone === 'c' && String(time) > since));
      await eventually('c is gone', gone, WITHIN_MS, 500);
    });
    await always(a, 'third');
    const taken = (await hosts.running(a)).find(({ name }) => name === 'third')!.address;
    const rest = theirs.find((address) => address !== taken)!;
    await b.run('fixed', 'own', '--ip', rest, '--restart', 'always');
    expect([taken, rest]).to.have.members(theirs);
    const from = [a, b].map(({ driver }) => driver.decisions.filter(({ from }) => from === 'c'));
    expect(from.map((its) => its.map(({ address }) => address))).to.deep.equal([[taken], [rest]]);
    await settles(
      new Map([
        [a, 3],
        [b, 2],
      ]),
    );
  });
});
