// The harness itself: real engines that start, stop, crash and come back; it knows of drivers only that they are asked.
import { mkdir, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { dirname } from 'node:path';
import { expect } from 'chai';
import { type Engine, startEngine } from '../support/engine.js';
import { serveExample } from '../support/example-driver.js';
import { lingering, makeEtcdImage, makeImage, makeNodeBaseImage } from '../support/image.js';
import { processesNaming } from '../support/kill.js';
import { Lan } from '../support/lan.js';
import { Machine } from '../support/machine.js';
import { openOutside } from '../support/outside.js';
import { needPrivateHost, skip } from '../support/skip.js';

// The least that an engine takes for an IPAM driver: one pool, addresses counted upwards, nothing remembered.
const answers: Record<string, (count: number) => object> = {
  '/Plugin.Activate': () => ({ Implements: ['IpamDriver'] }),
  '/IpamDriver.GetCapabilities': () => ({ RequiresMACAddress: false, RequiresRequestReplay: false }),
  '/IpamDriver.GetDefaultAddressSpaces': () => ({ LocalDefaultAddressSpace: 'l', GlobalDefaultAddressSpace: 'g' }),
  '/IpamDriver.RequestPool': () => ({ PoolID: 'pool', Pool: '10.44.0.0/24', Data: {} }),
  '/IpamDriver.RequestAddress': (count) => ({ Address: `10.44.0.${count}/24`, Data: {} }),
  '/IpamDriver.ReleaseAddress': () => ({}),
  '/IpamDriver.ReleasePool': () => ({}),
};

async function startRecordingDriver(socket: string): Promise<{ server: Server; calls: string[] }> {
  const calls: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    calls.push(path.replace(/^\/(IpamDriver\.)?/, ''));
    const count = calls.filter((call) => call === 'RequestAddress').length;
    request.resume().on('end', () => response.end(JSON.stringify(answers[path]?.(count))));
  });
  await mkdir(dirname(socket), { recursive: true });
  await rm(socket, { force: true });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return { server, calls };
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

describe('a real engine', function () {
  this.timeout(240_000);
  let engine: Engine;
  let driver: Awaited<ReturnType<typeof startRecordingDriver>>;

  before(async function () {
    needPrivateHost(this);
    engine = await startEngine();
    driver = await startRecordingDriver(engine.pluginSocket('recorder'));
    await makeImage(engine);
  });

  after(async () => {
    await engine?.[Symbol.asyncDispose]();
    if (driver) await close(driver.server);
  });

  it('gives a container the address that an --ipam-driver in the test process chose', async () => {
    await engine.must('network', 'create', '--ipam-driver', 'recorder', 'net1');
    const shown = await engine.must('run', '--rm', '--network', 'net1', 'busybox', 'ip', 'address', 'show', 'eth0');
    expect(shown).to.contain('inet 10.44.0.2/24');
    expect(driver.calls).to.include.members(['Plugin.Activate', 'RequestPool', 'RequestAddress', 'ReleaseAddress']);
  });

  it('runs two containers at different addresses of the example driver, which is all `etcd-ipam/docker` needs', async () => {
    const plugin = await serveExample(engine.pluginSocket('example'));
    await engine.must('network', 'create', '--ipam-driver', 'example', '--subnet', '10.45.0.0/24', 'net2');
    const names = ['first', 'second'];
    for (const name of names) {
      await engine.must('run', '--detach', '--name', name, '--network', 'net2', 'busybox', ...lingering);
    }
    const { code, stdout } = await engine.docker('exec', 'first', 'ping', '-c', '1', '-W', '5', '10.45.0.3');
    expect(code, stdout).to.equal(0);
    await engine.must('rm', '--force', ...names);
    await engine.must('network', 'rm', 'net2');
    await plugin.close();
  });

  it('restarts containers of its policy after a stop and a start', async () => {
    const run = [
      'run',
      '--detach',
      '--restart',
      'always',
      '--name',
      'stays',
      '--network',
      'net1',
      'busybox',
      ...lingering,
    ];
    await engine.must(...run);
    await engine.restart();
    expect(await engine.must('inspect', '--format', '{{.State.Status}}', 'stays')).to.equal('running');
  });

  it('starts again after a crash that left none of its processes, and releases what the crash left behind', async () => {
    const released = driver.calls.filter((call) => call === 'ReleaseAddress').length;
    await engine.crash();
    expect(processesNaming(lingering.at(-1)!)).to.deep.equal([]);
    await engine.start();
    expect(await engine.must('inspect', '--format', '{{.State.Status}}', 'stays')).to.equal('running');
    expect(driver.calls.filter((call) => call === 'ReleaseAddress')).to.have.length(released + 1);
    await engine.must('rm', '--force', 'stays');
    await engine.must('network', 'rm', 'net1');
    expect(driver.calls.at(-1)).to.equal('ReleasePool');
  });

  it('rejects with the words of the engine, or hands them over as a value', async () => {
    const { code, stderr } = await engine.docker('network', 'rm', 'nowhere');
    expect(code).to.equal(1);
    expect(stderr).to.match(/nowhere/i);
    const rejection = await engine.must('network', 'rm', 'nowhere').catch((cause: Error) => cause.message);
    expect(rejection).to.contain('docker network rm nowhere ended with 1');
  });

  it('runs node, npm and etcd from images that are made of the machine’s own programs', async () => {
    await makeNodeBaseImage(engine, 'node:20-bookworm-slim');
    await makeEtcdImage(engine, 'quay.io/coreos/etcd:v3.5.21');
    expect(await engine.must('run', '--rm', 'node:20-bookworm-slim', 'node', '--print', '6 * 7')).to.equal('42');
    expect(await engine.must('run', '--rm', 'node:20-bookworm-slim', 'npm', '--version')).to.match(/^\d+\.\d+/);
    const version = await engine.must('run', '--rm', 'quay.io/coreos/etcd:v3.5.21', '/usr/local/bin/etcd', '--version');
    expect(version).to.match(/^etcd Version: 3\./);
  });
});

describe('an image build', function () {
  this.timeout(300_000);

  before(function () {
    needPrivateHost(this);
  });

  it('installs a package from the registry through the run’s one door', async function () {
    await using engine = await startEngine();
    await using outside = await openOutside(engine.place);
    if (!(await outside.registryAnswers())) skip(this, 'the package registry does not answer');
    await makeNodeBaseImage(engine, 'node:20-bookworm-slim');
    const dockerfile =
      'FROM node:20-bookworm-slim\nWORKDIR /app\nRUN npm install --no-audit --no-fund koa-compose@4.1.0\n';
    const args = ['build', ...outside.buildArgs, '--tag', 'built', '-'];
    const { code, stdout, stderr } = await engine.dockerWith({ input: dockerfile, timeoutMs: 240_000 }, ...args);
    expect(code, stdout + stderr).to.equal(0);
    expect(await engine.must('run', '--rm', 'built', 'ls', 'node_modules')).to.equal('koa-compose');
  });
});

describe('a machine', function () {
  this.timeout(240_000);

  before(function () {
    needPrivateHost(this);
  });

  it('keeps its id, takes another boot id and loses its processes when the power is cut', async () => {
    await using machine = await Machine.start('victim');
    const identity = async () => [
      await machine.must('cat', ['/etc/machine-id']),
      await machine.must('cat', ['/proc/sys/kernel/random/boot_id']),
    ];
    const [id, boot] = await identity();
    const program = await machine.start('sleep', ['600']);
    await machine.must('touch', ['/run/docker/plugins/stale.sock']);
    expect(await readdir(machine.pluginSockets)).to.deep.equal(['stale.sock']);
    await machine.cutPower();
    expect(program.running).to.equal(false);
    const [idAfter, bootAfter] = await identity();
    expect(idAfter).to.equal(id);
    expect(bootAfter)
      .to.match(/^[0-9a-f-]{36}$/)
      .and.not.equal(boot);
    expect(await readdir(machine.pluginSockets)).to.deep.equal([]);
    expect(await machine.must('hostname', [])).to.equal('victim');
  });

  it('starts its engine again after a power cut, and a container of policy always with it', async () => {
    await using machine = await Machine.start('rebooted');
    await using engine = await startEngine({ place: machine });
    await makeImage(engine);
    await engine.must('run', '--detach', '--restart', 'always', '--name', 'stays', 'busybox', ...lingering);
    await machine.cutPower();
    expect(engine.pid).to.equal(undefined);
    await engine.start();
    expect(await engine.must('exec', 'stays', 'cat', '/etc/hostname')).to.have.length(12);
  });

  it('reaches its neighbours and the test over the switch, also after a power cut', async () => {
    await using lan = await Lan.start();
    await using left = await lan.machine('left');
    await using right = await lan.machine('right');
    const server = createTcpServer((socket) => socket.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, lan.address, resolve));
    const { port } = server.address() as { port: number };
    await right.cutPower();
    const ping = (to: string) => left.run('busybox', ['ping', '-c', '1', '-W', '5', to]);
    expect((await ping(right.address)).code).to.equal(0);
    expect((await right.run('busybox', ['nc', lan.address, String(port)])).stdout).to.equal('hello');
    server.close();
  });

  it('forms a swarm of two engines', async () => {
    await using lan = await Lan.start();
    await using one = await lan.machine('one');
    await using two = await lan.machine('two');
    await using leader = await startEngine({ place: one });
    await using worker = await startEngine({ place: two });
    await leader.must('swarm', 'init', '--advertise-addr', one.address);
    const token = await leader.must('swarm', 'join-token', '--quiet', 'worker');
    await worker.must('swarm', 'join', '--token', token, '--advertise-addr', two.address, `${one.address}:2377`);
    expect((await leader.must('node', 'ls', '--format', '{{.Hostname}}')).split('\n').sort()).to.deep.equal([
      'one',
      'two',
    ]);
  });
});
