// The systemd units as an operator installs them: what systemd itself says of them, and a real engine served through a
// socket that another process holds. No systemd runs here: systemd-socket-activate makes the socket, and a shell keeps it
// and starts the service's command again and again, as Restart=always does.
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { expect } from 'chai';
import { type Engine, startEngine } from '../support/engine.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { FiveContainers } from '../support/five-containers.js';
import { lingering, makeImage } from '../support/image.js';
import { guard, KeyspaceView, NodeRecords, pool, wholeOf } from '../support/keyspace-view.js';
import { processesNaming } from '../support/kill.js';
import { Machine } from '../support/machine.js';
import { eventually, Program, run, runOrFail, sleep } from '../support/process.js';
import { typedUnder } from '../support/readme.js';
import { needPrivateHost, skip } from '../support/skip.js';

const SOCKET = '/run/docker/plugins/etcd-ipam.sock';
const SUBNET = 'local/v4/010.066.000.000-24';
/** What README has typed. Where the tests run no systemd does, and who types is root. */
const TYPED = typedUnder('systemd');
const SUDO = 'sudo() { "$@"; }';
const UNITS = ['etcd-ipam.service', 'etcd-ipam.socket'] as const;

/** A unit's settings by section and name, each with all its values. */
type Unit = ReadonlyMap<string, readonly string[]>;

async function readUnit(path: string): Promise<Unit> {
  const unit = new Map<string, string[]>();
  let section = '';
  for (const line of (await readFile(path, 'utf8')).split('\n')) {
    section = /^\[(\w+)\]$/.exec(line)?.[1] ?? section;
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (key === undefined) continue;
    unit.set(`${section}.${key}`, [...(unit.get(`${section}.${key}`) ?? []), value!]);
  }
  return unit;
}

describe('under systemd', function () {
  this.timeout(240_000);
  let root: string;
  const at = (path: string) => join(root, path);
  const unitFile = (name: string) => at(`etc/systemd/system/${name}`);
  const install = (...args: string[]) =>
    runOrFail('deploy/systemd/install.sh', ['--node', process.execPath, ...args], { env: { DESTDIR: root } });
  const verify = () =>
    run('systemd-analyze', ['verify', '--man=no', ...UNITS.map(unitFile), unitFile('docker.service')]);

  before(async function () {
    needPrivateHost(this);
    for (const program of ['systemctl', 'systemd-analyze', 'systemd-socket-activate'])
      if ((await run('which', [program])).code !== 0) skip(this, `${program} is not here (package systemd)`);
    root = await mkdtemp(join(tmpdir(), 'installed-'));
    expect(TYPED).to.have.length(5);
    const typed = `${SUDO}\n${TYPED[1]} --node '${process.execPath}'`;
    const { stdout } = await run('bash', ['-c', typed], { env: { DESTDIR: root } });
    expect(stdout).to.equal(
      `Installed and enabled below ${root}, not started. Settings: ${at('etc/etcd-ipam/etcd-ipam.env')}\n`,
    );
  });
  after(() => root && rm(root, { recursive: true, force: true }));

  it('install.sh lays out the program, which has its packages in it, units, links, settings for root alone', async () => {
    const files = await readdir(root, { recursive: true, withFileTypes: true });
    const outside = files
      .filter((file) => !file.isDirectory())
      .map((file) => relative(root, join(file.parentPath ?? file.path, file.name)))
      .filter((file) => !file.startsWith('usr/lib/etcd-ipam/'));
    const units = 'etc/systemd/system';
    expect(outside.sort()).to.deep.equal([
      'etc/etcd-ipam/etcd-ipam.env',
      `${units}/docker.service.wants/etcd-ipam.service`,
      `${units}/docker.service.wants/etcd-ipam.socket`,
      `${units}/etcd-ipam.service`,
      `${units}/etcd-ipam.socket`,
      `${units}/multi-user.target.wants/etcd-ipam.service`,
      `${units}/sockets.target.wants/etcd-ipam.socket`,
      'usr/local/bin/etcd-ipam',
    ]);
    expect((await stat(at('etc/etcd-ipam/etcd-ipam.env'))).mode & 0o777).to.equal(0o600);
    expect(await readdir(at('usr/lib/etcd-ipam'))).to.have.members(['LICENSE', 'README.md', 'dist', 'package.json']);
  });

  it('systemd-analyze verify has nothing to say, and names the cycle if the service came after the engine', async () => {
    const docker = '[Unit]\nWants=network-online.target\nAfter=network-online.target\n[Service]\nExecStart=/bin/true\n';
    await writeFile(unitFile('docker.service'), docker);
    const service = await readFile(unitFile('etcd-ipam.service'), 'utf8');
    try {
      expect(await verify()).to.deep.equal({ code: 0, stdout: '', stderr: '' });
      await writeFile(unitFile('etcd-ipam.service'), service.replace('[Unit]', '[Unit]\nAfter=docker.service'));
      expect((await verify()).stderr).to.match(/Found ordering cycle on (docker|etcd-ipam)\.service/);
    } finally {
      await writeFile(unitFile('etcd-ipam.service'), service);
      await rm(unitFile('docker.service'));
    }
  });

  it('socket and service are wanted by docker.service and ordered before it, and stop within 15 s', async () => {
    const [service, socket] = await Promise.all(UNITS.map((name) => readUnit(unitFile(name))));
    for (const unit of [service!, socket!]) {
      expect(unit.get('Unit.Before')).to.deep.equal(['docker.service']);
      expect(unit.get('Install.WantedBy')?.[0]?.split(' ')).to.include('docker.service');
    }
    expect(socket!.get('Socket.ListenStream')).to.deep.equal([SOCKET]);
    expect(socket!.get('Socket.SocketMode')).to.deep.equal(['0600']);
    expect(service!.get('Unit.Requires')).to.deep.equal(['etcd-ipam.socket']);
    expect(service!.get('Service.Restart')).to.deep.equal(['always']);
    expect(service!.get('Service.TimeoutStopSec')).to.deep.equal(['15']);
  });

  describe('through its socket', () => {
    let etcd: EtcdFixture;
    let machine: Machine;
    let engine: Engine;
    let service: Program | undefined;
    let inode: number;
    let view: KeyspaceView;
    let five: FiveContainers;
    let join1: number;
    /** The boot in which the network was made, and the present one. */
    const made = new NodeRecords('web');
    let now = made;
    let boots = 1;

    before(async () => {
      etcd = await startEtcd();
      view = new KeyspaceView(etcd);
      machine = await Machine.start('web');
      const settings = `ETCD_ENDPOINTS=${etcd.url}\nIPAM_COOLDOWN=0s\nIPAM_HISTORY=0s\nIPAM_OPS_LISTEN=\nIPAM_SESSION_TTL=4s\n`;
      await writeFile(at(TYPED[2]!.replace('sudoedit /', '')), settings);
      await listen();
      engine = await startEngine({ place: machine });
      await makeImage(engine);
    });
    after(async () => {
      await engine?.[Symbol.asyncDispose]();
      await machine?.[Symbol.asyncDispose]();
      await service?.exited;
      await etcd?.stop();
    });

    const hostPath = (word: string) => word.replace(/^(?=\/(usr\/lib|etc)\/etcd-ipam\/)/, root);
    const command = async () =>
      (await readUnit(unitFile(UNITS[0]))).get('Service.ExecStart')![0]!.split(' ').map(hostPath);

    /** The socket at once, the service `late` seconds after the first call: without capabilities, and / read-only. */
    async function listen(late = 0): Promise<void> {
      const environment = (await readUnit(unitFile(UNITS[0]))).get('Service.Environment') ?? [];
      const sandboxed = [
        ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
        'mount --bind / / && mount -o remount,bind,ro / && LISTEN_PID=$$ exec "$0" "$@"',
        ...['setpriv', '--no-new-privs', '--bounding-set=-all', '--inh-caps=-all', '--', ...(await command())],
      ];
      service = await Program.start(
        'nsenter',
        [
          // The network is the test's, for etcd is there.
          ...['--target', String(machine.pid), '--mount', '--uts', '--root', '--wdns=/', '--'],
          ...['systemd-socket-activate', '--listen', SOCKET],
          ...environment.flatMap((assignment) => ['--setenv', assignment]),
          ...[
            'sh',
            '-c',
            'sleep "$0"; while :; do "$@"; echo ended with $?; sleep 1; done',
            String(late),
            ...sandboxed,
          ],
        ],
        { ready: /Listening on/ },
      );
      inode = await inodeOf();
    }
    /** No more than the power is back: neither socket nor engine. */
    async function reboot(): Promise<void> {
      await machine.cutPower();
      await service!.exited;
      now = new NodeRecords('web', `boot-${++boots}`);
    }
    const inodeOf = async () => (await lstat(engineSocket())).ino;
    const engineSocket = () => join(machine.pluginSockets, 'etcd-ipam.sock');

    const lines = () =>
      service!.output
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as { msg: string; addresses?: string[] });
    /** The shells around it name its file too. */
    const driverPid = async () => {
      for (const pid of processesNaming(at('usr/lib/etcd-ipam/dist/main.js'))) {
        const program = await readlink(`/proc/${pid}/exe`).catch(() => 'ended');
        if (program === (await readlink('/proc/self/exe'))) return pid;
      }
      return undefined;
    };
    const createNetwork = (name: string, subnet: string) =>
      engine.must('network', 'create', '--ipam-driver', 'etcd-ipam', '--subnet', subnet, name);
    const start = (name: string) =>
      engine.must('run', '--detach', '--name', name, '--network', 'net', 'busybox', ...lingering);
    /** All of etcd: the network, and of the five containers and these others one claim each. */
    const expectKeys = async (...others: string[]) => {
      const network = [pool(SUBNET, '10.66.0.1'), made.join(SUBNET, join1)];
      const gateway = made.shared(SUBNET, '10.66.0.1', 'gateway', join1);
      const claims = await five.claims(now, SUBNET, join1, ...others);
      expect(Object.keys(claims)).to.have.length(5 + others.length);
      const whole = wholeOf(now.own(await view.instance()), guard(), ...network, gateway, claims);
      // What was given back while etcd was away is freed a moment after its return.
      await view.becomes(whole, 60_000);
    };

    it('the first call of an engine starts the driver, which answers it and the following', async () => {
      expect(await driverPid()).to.equal(undefined);
      await createNetwork('net', '10.66.0.0/24');
      join1 = await view.joinOf(SUBNET);
      five = await FiveContainers.start(engine, 'net', '10.66.0.50');
      await expectKeys();
      expect(lines().find(({ msg }) => msg === 'listening')?.addresses).to.deep.equal([SOCKET]);
      expect(engine.log).not.to.match(/retrying in/);
      const serves = await command();
      const typed = TYPED[4]!.replace('sudo etcd-ipam ', '').split(' ').map(hostPath);
      const status = [...serves.slice(0, serves.indexOf('serve')), ...typed];
      const enter = ['--target', String(machine.pid), '--mount', '--uts', '--root', '--', ...status];
      expect(await runOrFail('nsenter', enter)).to.match(/^plugin {2}ok .*\netcd {4}ok .*\nsession ok /);
    });

    it('the driver runs without capabilities, and can write to no disk', async () => {
      const pid = await driverPid();
      const state = await readFile(`/proc/${pid}/status`, 'utf8');
      expect(state)
        .to.match(/^CapEff:\t0+$/m)
        .and.to.match(/^CapBnd:\t0+$/m)
        .and.to.match(/^NoNewPrivs:\t1$/m);
      expect(await readFile(`/proc/${pid}/mountinfo`, 'utf8')).to.match(/^\S+ \S+ \S+ \S+ \/ ro/m);
      console.log(`resident: ${Number(/^VmRSS:\s+(\d+)/m.exec(state)![1]) >> 10} MiB`);
    });

    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      it(`after a ${signal} the socket stays, and calls wait in it for the next driver without a retry`, async () => {
        const before = await driverPid();
        process.kill(before!, signal);
        await eventually('the driver has ended', async () => (await driverPid()) !== before);
        // The connection that the engine had to it is closed at the very last, and the engine has to see that: what it sends before
        // comes to nobody, and then again without its body (moby#35459).
        await sleep(500);
        const began = performance.now();
        await start('meanwhile');
        console.log(`a container started while the driver was away: ${seconds(began)}`);
        expect(await driverPid()).not.to.equal(before);
        expect(await inodeOf()).to.equal(inode);
        await expectKeys('meanwhile');
        await engine.must('rm', '--force', 'meanwhile');
        await expectKeys();
        expect(engine.log).not.to.match(/retrying in/);
      });
    }

    it('restarted three times while containers come and go it fails no command, and the socket stays', async () => {
      await five.underRestarts(view, async () => {
        const before = await driverPid();
        process.kill(before!, 'SIGTERM');
        await eventually('the driver has ended', async () => (await driverPid()) !== before, 30_000);
      });
      expect(await inodeOf()).to.equal(inode);
      await expectKeys();
    });

    for (const [how, stop] of [
      ['restarted', () => engine.stop()],
      ['killed with kill -9', () => engine.crash()],
    ] as const) {
      it(`after an engine that was ${how} five containers that are always up are back, and nothing leaks`, async () => {
        await stop();
        const began = performance.now();
        await engine.start();
        await five.back(`systemd, engine ${how}`, began);
        await expectKeys();
      });
    }

    it('at a boot in which the service starts 3 s late the engine waits, and what is always up is up again', async () => {
      await reboot();
      const told = engine.log.length;
      const began = performance.now();
      await listen(3);
      await engine.start();
      await five.back('systemd, power cut, service 3 s late', began);
      expect(performance.now() - began).to.be.greaterThan(3_000);
      expect(engine.log.slice(told)).not.to.match(/retrying in/);
      await expectKeys();
    });

    it('at a boot in which etcd comes up 3 s after the engine calls wait, and what is always up is up again', async () => {
      await reboot();
      await etcd.kill();
      const began = performance.now();
      await listen();
      await Promise.all([engine.start(), sleep(3_000).then(() => etcd.restart())]);
      await five.back('systemd, power cut, etcd 3 s late', began);
      await expectKeys();
    });
  });

  // In a suite of its own, since those run after the tests beside them.
  describe('installed again', () => {
    it('a second install.sh keeps the settings and nothing else of the old, and --uninstall removes all but those', async () => {
      const settings = at('etc/etcd-ipam/etcd-ipam.env');
      await writeFile(settings, 'IPAM_NODE=mine\n');
      await writeFile(at('usr/lib/etcd-ipam/dist/old.js'), '');
      await install();
      expect(await readFile(settings, 'utf8')).to.equal('IPAM_NODE=mine\n');
      expect(await readdir(at('usr/lib/etcd-ipam/dist')))
        .to.include('main.js')
        .and.not.to.include('old.js');
      expect(await readdir(at('usr/lib'))).to.deep.equal(['etcd-ipam']);
      await install('--uninstall');
      const left = await readdir(root, { recursive: true, withFileTypes: true });
      expect(left.filter((file) => !file.isDirectory()).map(({ name }) => name)).to.deep.equal(['etcd-ipam.env']);
    });

    it('install.sh refuses a folder that is not its own, and one that the service cannot see', async () => {
      const refusal = async (prefix: string) =>
        (await run('deploy/systemd/install.sh', ['--prefix', prefix], { env: { DESTDIR: root } })).stderr;
      expect(await refusal('/etc')).to.equal(`install.sh: ${at('etc')} is there and was not installed by this\n`);
      // A checkout, to which the program was built, is not one that install.sh made.
      await mkdir(at('src/dist'), { recursive: true });
      for (const file of ['dist/main.js', 'package-lock.json']) await writeFile(at(`src/${file}`), '');
      expect(await refusal('/src')).to.equal(`install.sh: ${at('src')} is there and was not installed by this\n`);
      expect(await refusal('usr/lib')).to.equal('install.sh: --prefix is "usr/lib": an absolute path\n');
      expect(await refusal('/home/ann/etcd-ipam')).to.equal(
        "install.sh: /home/ann/etcd-ipam is out of the service's sight, as are all homes and /tmp\n",
      );
      expect(await readdir(root)).to.have.members(['etc', 'src', 'usr']);
    });
  });
});

const seconds = (began: number) => `${((performance.now() - began) / 1_000).toFixed(1)} s`;
