// The managed plugin, made by the shipped command and run by a real engine; it refuses to know what the image holds.
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { SETTING_NAMES } from '../../src/config.js';
import { formatWide, parseAddress } from '../../src/net/address.js';
import { startEngine } from '../support/engine.js';
import { type EtcdFixture, makeCertificates, startEtcd } from '../support/etcd.js';
import { FiveContainers } from '../support/five-containers.js';
import { lingering, makeImage, makeNodeBaseImage } from '../support/image.js';
import { guard, type Keyspace, KeyspaceView, NodeRecords, pool, wholeOf } from '../support/keyspace-view.js';
import { Machine } from '../support/machine.js';
import { listeningMs, otherClientFirst, processOf } from '../support/managed-plugin.js';
import { openOutside } from '../support/outside.js';
import { eventually, type Outcome, run, sleep, tail } from '../support/process.js';
import { inText, typedUnder } from '../support/readme.js';
import { lendTo } from '../support/relay.js';
import { needPrivateHost } from '../support/skip.js';

const folder = fileURLToPath(new URL('../../deploy/plugin', import.meta.url));
const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as PluginConfig;
/** What README has typed. */
const [BUILD, SET, ENABLE, CREATE, SET_TLS, SET_ENGINE, ...CHANGE] = typedUnder('Managed plugin') as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const DRIVER = 'etcd-ipam:latest';
const SUBNET = 'local/v4/010.066.000.000-24';
/** The session of a killed plugin outlives it by the first, and released addresses are to be gone at once. */
const FOR_TESTS = ['IPAM_SESSION_TTL=4s', 'IPAM_COOLDOWN=0s', 'IPAM_HISTORY=0s', 'IPAM_OPS_LISTEN='];

interface PluginConfig {
  readonly interface: { readonly types: readonly string[]; readonly socket: string };
  readonly env: readonly { readonly name: string; readonly value?: string; readonly settable?: readonly string[] }[];
  readonly mounts: readonly { readonly options: readonly string[] }[];
}

describe('the configuration of the managed plugin', () => {
  const settable = config.env.filter((one) => one.settable?.includes('value')).map(({ name }) => name);

  it('lets every setting be set but the socket’s place and TCP', () => {
    const kept = /^IPAM_(SOCKET|LISTEN|TLS_.*)$/;
    expect(settable).to.have.members(SETTING_NAMES.filter((name) => !kept.test(name)));
  });

  it('serves at a socket whose name has 22 characters at most, where the engine looks for it', () => {
    const { types, socket } = config.interface;
    expect(types).to.deep.equal(['docker.ipamdriver/1.0']);
    expect(socket.length).to.be.at.most(22);
    expect(config.env.find(({ name }) => name === 'IPAM_SOCKET')?.value).to.equal(`/run/docker/plugins/${socket}`);
  });

  it('asks for the host’s network and three read-only mounts, and for no capability and no device', () => {
    expect(config).to.deep.include({
      network: { type: 'host' },
      linux: { capabilities: [], allowAllDevices: false, devices: [] },
    });
    expect(config).to.not.have.any.keys('pidhost', 'ipchost', 'propagatedMount');
    expect(config.mounts.map(({ options }) => options.includes('ro'))).to.deep.equal([true, true, true]);
  });
});

/** Behind `docker`. */
const words = (line: string) => line.split(/[\s\\]+/).slice(1);

describe('the managed plugin', function () {
  this.timeout(720_000);
  const parts: AsyncDisposable[] = [];
  let machine: Machine;
  let engine: Awaited<ReturnType<typeof startEngine>>;
  let etcd: EtcdFixture;
  let secure: EtcdFixture;
  let view: KeyspaceView;
  let node: NodeRecords;
  let buildArgs: readonly string[];
  let join1: number;
  let reach: AsyncDisposable;
  let five: FiveContainers;

  before(async function () {
    needPrivateHost(this);
    etcd = await startEtcd();
    keep({ [Symbol.asyncDispose]: () => etcd.stop() });
    machine = keep(await Machine.start('managed'));
    engine = keep(await startEngine({ place: machine }));
    buildArgs = keep(await openOutside(machine)).buildArgs;
    view = new KeyspaceView(etcd);
    node = new NodeRecords('managed');
    await makeImage(engine);
    const dockerfile = readFileSync(join(folder, '../Dockerfile'), 'utf8');
    await makeNodeBaseImage(engine, dockerfile.match(/^ARG NODE_IMAGE=(\S+)$/m)![1]!, { npmCache: true });
  });
  after(async () => {
    for (const part of parts) await part[Symbol.asyncDispose]();
  });

  it('is made by one command, which leaves the plugin and the image behind', async () => {
    const { code, stdout, stderr } = await build({}, ...buildArgs);
    expect(code, tail(stdout + stderr, 30)).to.equal(0);
    expect(CHANGE).to.have.length(3);
    expect(await engine.must('plugin', 'ls', '--format', '{{.Name}} {{.Enabled}}')).to.equal(`${DRIVER} false`);
    expect(await engine.must('image', 'ls', '--format', '{{.Repository}}', 'etcd-ipam')).to.equal('etcd-ipam');
    expect(await engine.must('ps', '--all', '--quiet', '--filter', 'ancestor=etcd-ipam')).to.equal('');
  });

  it('is not made over one that is there', async () => {
    const { code, stderr } = await build({ IMAGE: 'etcd-ipam' });
    expect(code).to.equal(1);
    expect(stderr).to.contain('build.sh: there is a plugin etcd-ipam already: docker plugin rm --force etcd-ipam\n');
  });

  it('is not enabled with a wrong setting, and the engine’s log says what is wrong', async () => {
    await engine.must('plugin', 'set', 'etcd-ipam', 'IPAM_DEADLINE=soon');
    const began = performance.now();
    const { code, stderr } = await engine.docker('plugin', 'enable', 'etcd-ipam');
    console.log(`plugin: with a wrong setting not enabled after ${Math.round(performance.now() - began)} ms`);
    expect(code).to.equal(1);
    expect(stderr).to.match(/^Error response from daemon: dial unix \S+: connect: no such file or directory$/m);
    expect(engine.log.match(/IPAM_DEADLINE is \S+soon/g)).to.have.length(1);
    await engine.must('plugin', 'set', 'etcd-ipam', 'IPAM_DEADLINE=');
  });

  it('is not enabled with a directory of certificates that is not there, which the refusal names', async () => {
    await engine.must('plugin', 'set', 'etcd-ipam', 'certificates.source=/no/such/directory');
    const { code, stderr } = await engine.docker('plugin', 'enable', 'etcd-ipam');
    expect(code).to.equal(1);
    expect(stderr).to.contain('/no/such/directory');
    await engine.must('plugin', 'set', 'etcd-ipam', 'certificates.source=/etc/ssl/certs');
  });

  it('is enabled while etcd is away, before the engine gives up after 9.5 s, and logs what it waits for', async () => {
    await engine.must(...words(SET.replace(/http:\S+/, etcd.url)), ...FOR_TESTS);
    const began = performance.now();
    await engine.must(...words(ENABLE));
    const ms = Math.round(performance.now() - began);
    const own = listeningMs(machine, await idOf(), config.interface.socket);
    console.log(`plugin: listens ${own} ms after its process began; enabled after ${ms} ms, without etcd`);
    expect(own).to.be.below(9_500);
    const waiting = () => engine.log.includes(`etcd at ${new URL(etcd.url).host} is not reachable`);
    await eventually('the log says what is missing', waiting);
  });

  it('makes the network that was asked for meanwhile as soon as etcd is there', async () => {
    const lent = sleep(1_000).then(() => lendTo(machine, etcd.url));
    reach = keep((await Promise.all([lent, engine.must(...words(CREATE.replace(/demo$/, 'net')))]))[0]);
    join1 = await view.joinOf(SUBNET);
    const whole = wholeOf(node.own(await view.instance()), network());
    expect(await view.now()).to.deep.equal(whole);
  });

  it('knows the host by the host’s own name and machine id', async () => {
    const id = await machine.must('cat', ['/etc/machine-id']);
    const record = JSON.parse(await etcd.ctl('get', '--print-value-only', '/etcd-ipam/nodes/managed'));
    expect(record.machine).to.have.length(32).and.to.equal(id);
    expect(record.boot).to.equal(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  });

  it('is asked for its state with the command in the image', async () => {
    const sockets = `/run/docker/plugins/${await idOf()}:/run/docker/plugins`;
    const run = ['run', '--rm', '--network', 'host', '--volume', sockets, '--env', `ETCD_ENDPOINTS=${etcd.url}`];
    const status = await engine.must(...run, 'etcd-ipam', 'status');
    expect(status).to.match(/^plugin +ok .*\netcd +ok .*\nsession +ok +node managed /);
    const nodes = inText('docker run --rm --network host --env ETCD_ENDPOINTS=… etcd-ipam nodes');
    expect(await engine.must(...words(nodes.replace('=…', `=${etcd.url}`)))).to.match(/^managed +alive /m);
  });

  it('is called by its name with the tag, and not found without', async () => {
    const { code, stderr } = await engine.docker('network', 'create', '--ipam-driver', 'etcd-ipam', 'nameless');
    expect(code).to.equal(1);
    expect(stderr).to.contain('invalid ipam driver: "etcd-ipam"');
  });

  it('gives containers the addresses that it claims for them', async () => {
    five = await FiveContainers.start(engine, 'net', '10.66.0.50');
    await expectKeys();
  });

  for (const [how, end] of [
    ['restarted', () => engine.stop()],
    ['killed with kill -9', () => engine.crash()],
  ] as const) {
    it(`serves before the containers of an engine that was ${how} are back, and nothing leaks`, async () => {
      await end();
      const began = performance.now();
      await engine.start();
      await five.back(`managed plugin, engine ${how}`, began);
      await expectKeys();
    });
  }

  it('has five containers back after a power cut, and nothing leaks', async () => {
    await machine.cutPower();
    reach = keep(await lendTo(machine, etcd.url));
    const began = performance.now();
    await engine.start();
    await five.back('managed plugin, power cut', began);
    await expectKeys();
  });

  it('is started again by the engine at once after a kill -9, and its network serves', async () => {
    const killed = await view.instance();
    process.kill(processOf(await idOf()), 'SIGKILL');
    await start('new');
    expect(await view.instance()).to.not.equal(killed);
    await expectKeys('new');
    await engine.must('rm', '--force', 'new');
  });

  it('disabled and enabled three times while containers come and go it fails no command', async () => {
    await five.underRestarts(view, async () => {
      await engine.must(...words(inText('docker plugin disable --force etcd-ipam')));
      await engine.must(...words(inText('docker plugin enable etcd-ipam')));
    });
    await expectKeys();
  });

  it('has the containers of a killed engine wait for an etcd that comes up 3 s after it', async () => {
    await engine.crash();
    await reach[Symbol.asyncDispose]();
    const began = performance.now();
    const [lent] = await Promise.all([sleep(3_000).then(() => lendTo(machine, etcd.url)), engine.start()]);
    reach = keep(lent);
    await five.back('managed plugin, engine killed, etcd 3 s late', began);
    await expectKeys();
  });

  it('may be disabled by force with networks in use: what is asked within 2 s waits, and then succeeds', async () => {
    await start('leaving');
    // Counted by the engine for networks of this life only.
    await createNetwork('--subnet', '10.67.0.0/24', 'brief');
    const { code, stderr } = await engine.docker('plugin', 'disable', 'etcd-ipam');
    expect([code, stderr.trim()]).to.deep.equal([1, `Error response from daemon: plugin ${DRIVER} is in use`]);
    await engine.must('plugin', 'disable', '--force', 'etcd-ipam');
    expect(Object.keys(await view.now()).filter((key) => key.startsWith('sessions/'))).to.deep.equal([]);
    const asked = Promise.all([start('waiting'), engine.must('rm', '--force', 'leaving')]);
    await sleep(2_000);
    await engine.must('plugin', 'enable', 'etcd-ipam');
    await asked;
    await engine.must('network', 'rm', 'brief');
    await expectKeys('waiting');
    await engine.must('rm', '--force', 'waiting');
    await expectKeys();
  });

  it('is replaced by another of its name: networks, containers and claims stay as they are', async () => {
    const before = await view.now();
    await engine.must(...words(inText('docker plugin rm --force etcd-ipam')));
    const began = performance.now();
    const { code, stdout, stderr } = await build({ IMAGE: 'etcd-ipam', PATH: otherClientFirst() });
    expect(code, tail(stdout + stderr, 30)).to.equal(0);
    await engine.must('plugin', 'set', 'etcd-ipam', `ETCD_ENDPOINTS=${etcd.url}`, ...FOR_TESTS);
    await engine.must('plugin', 'enable', 'etcd-ipam');
    console.log(`plugin: replaced, from an image that is there, within ${Math.round(performance.now() - began)} ms`);
    await expectKeys();
    const claims = (all: Keyspace) => Object.keys(all).filter((key) => !key.startsWith('sessions/'));
    expect(claims(await view.now())).to.deep.equal(claims(before));
    await start('new');
    await engine.must('restart', 'fixed');
    await expectKeys('new');
    await engine.stop();
    const restarted = performance.now();
    await engine.start();
    await five.back('managed plugin, replaced, engine restarted', restarted);
    await expectKeys();
    await engine.must('rm', '--force', 'new');
  });

  it('leaves the node’s record alone after the last network', async () => {
    await five.remove();
    await engine.must('network', 'rm', 'net');
    const own = node.own(await view.instance());
    expect(await view.now()).to.deep.equal(own);
    await engine.must('plugin', 'disable', 'etcd-ipam');
    expect(await view.now()).to.deep.equal(node.record());
  });

  it('reads its certificates from a directory of the host', async () => {
    const certificates = await makeCertificates();
    keep({ [Symbol.asyncDispose]: () => rm(certificates.dir, { recursive: true }) });
    secure = await startEtcd({ tls: certificates });
    keep({ [Symbol.asyncDispose]: () => secure.stop() });
    keep(await lendTo(machine, secure.url));
    for (const end of ['pem', 'key'])
      await rename(join(certificates.dir, `client.${end}`), join(certificates.dir, `etcd-ipam.${end}`));
    await engine.must(...words(SET_TLS.replace('source=/etc/etcd-ipam', `source=${certificates.dir}`)));
    await engine.must('plugin', 'set', 'etcd-ipam', `ETCD_ENDPOINTS=${secure.url}`);
    await engine.must('plugin', 'enable', 'etcd-ipam');
    await createNetwork('secret');
    expect(Object.keys(await new KeyspaceView(secure).now())).to.include('pools/local/v4/010.208.000.000-24');
  });

  it('has another setting after the three lines for it, and shows it', async () => {
    for (const line of CHANGE) await engine.must(...words(line));
    const [plugin] = JSON.parse(await engine.must(...words(inText('docker plugin inspect etcd-ipam'))));
    expect(plugin.Enabled).to.equal(true);
    expect(plugin.Settings.Env).to.include('IPAM_COOLDOWN=1m');
  });

  it('claims what a container uses and nobody had claimed, once it is shown its engine', async () => {
    await engine.must('plugin', 'disable', '--force', 'etcd-ipam');
    expect(SET_ENGINE).to.contain(`/engine/${basename(engine.socket)}`);
    const set = SET_ENGINE.replace('source=/run', `source=${dirname(engine.socket)}`);
    await engine.must(...words(set), 'IPAM_RECONCILE_GRACE=2s');
    await engine.must('plugin', 'enable', 'etcd-ipam');
    await engine.must('run', '--detach', '--name', 'seen', '--network', 'secret', 'busybox', ...lingering);
    const ip = await engine.must('inspect', '--format', '{{.NetworkSettings.Networks.secret.IPAddress}}', 'seen');
    const key = `/etcd-ipam/claims/local/v4/010.208.000.000-24/${formatWide(parseAddress(ip))}`;
    const claimed = async () => (await secure.ctl('get', key)).includes('"endpoint"');
    expect(await claimed()).to.equal(true);
    await secure.ctl('del', key);
    await eventually('it is claimed again', claimed);
  });

  function keep<T extends AsyncDisposable>(part: T): T {
    parts.unshift(part);
    return part;
  }

  async function build(env: Record<string, string>, ...args: readonly string[]): Promise<Outcome> {
    const work = await mkdtemp(join(tmpdir(), 'plugin-'));
    try {
      const more = { TMPDIR: work, PLUGIN: undefined, IMAGE: undefined, ...env, DOCKER_HOST: engine.host };
      const began = performance.now();
      const outcome = await run('sh', ['-c', `${BUILD} "$@"`, 'sh', ...args], { env: more, timeoutMs: 600_000 });
      if (outcome.code === 0) console.log(`plugin: built within ${Math.round(performance.now() - began)} ms`);
      expect(await readdir(work), 'temporary files').to.deep.equal([]);
      return outcome;
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  function createNetwork(...args: string[]): Promise<string> {
    return engine.must('network', 'create', '--ipam-driver', DRIVER, ...args);
  }

  function start(name: string, ...args: string[]): Promise<string> {
    return engine.must('run', '--detach', '--name', name, '--network', 'net', ...args, 'busybox', ...lingering);
  }

  function network(): Keyspace {
    const gateway = node.shared(SUBNET, '10.66.0.1', 'gateway', join1);
    return wholeOf(guard(), pool(SUBNET, '10.66.0.1'), node.join(SUBNET, join1), gateway);
  }

  /** All of etcd: the network, and of the five containers and these others one claim each. */
  async function expectKeys(...others: string[]): Promise<void> {
    const claims = await five.claims(node, SUBNET, join1, ...others);
    expect(Object.keys(claims)).to.have.length(5 + others.length);
    const whole = wholeOf(node.own(await view.instance()), network(), claims);
    expect(await view.now()).to.deep.equal(whole);
  }

  function idOf(): Promise<string> {
    return engine.must('plugin', 'inspect', '--format', '{{.Id}}', 'etcd-ipam');
  }
});
