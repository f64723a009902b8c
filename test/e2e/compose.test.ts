// The shipped Dockerfile and compose file, really built and started; it refuses to know what is inside of either.
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { SETTING_NAMES } from '../../src/config.js';
import { type Engine, startEngine } from '../support/engine.js';
import { FiveContainers } from '../support/five-containers.js';
import { makeEtcdImage, makeImage, makeNodeBaseImage } from '../support/image.js';
import { guard, KeyspaceView, NodeRecords, pool, wholeOf } from '../support/keyspace-view.js';
import { type Outside, openOutside } from '../support/outside.js';
import { eventually, type Outcome, run, runOrFail, tail } from '../support/process.js';
import { inText, typedUnder } from '../support/readme.js';
import { needPrivateHost, skip } from '../support/skip.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const nodeImage = named(/^ARG NODE_IMAGE=(\S+)$/m, 'deploy/Dockerfile');
const etcdImage = named(/ETCD_IPAM_ETCD_IMAGE:-(\S+)\}/, 'docker-compose.yml');
/** What README has typed, behind `docker compose`. */
const [alone, onCluster, ...rest] = typedUnder('Compose').map((line) => line.split('docker compose ')[1]!.split(' '));
const services = ['etcd', 'plugin'];
const project = 'shipped';
const SUBNET = 'local/v4/010.061.000.000-24';

function textOf(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

function named(image: RegExp, file: string): string {
  const found = textOf(file).match(image)?.[1];
  if (found === undefined) throw new Error(`${file} names no image as ${image}`);
  return found;
}

describe('the shipped compose file', function () {
  this.timeout(300_000);
  let engine: Engine;
  let outside: Outside;
  let folder: string;
  let command: string[];
  let view: KeyspaceView;
  let node: NodeRecords;
  let five: FiveContainers;
  let join1: number;

  before(async function () {
    needPrivateHost(this);
    command = await composeCommand();
    folder = await mkdtemp(join(tmpdir(), 'compose-'));
    engine = await startEngine();
    view = new KeyspaceView({ ctl: etcdctl });
    node = new NodeRecords(engine.place.name);
    outside = await openOutside(engine.place);
    await makeImage(engine);
    await makeEtcdImage(engine, etcdImage);
    await makeNodeBaseImage(engine, nodeImage, { npmCache: true });
  });

  after(async () => {
    await outside?.[Symbol.asyncDispose]();
    await engine?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  it('passes on every setting but those of TCP and of the engine’s socket', () => {
    const passed = [...textOf('docker-compose.yml').matchAll(/^ {6}- ((?:ETCD|IPAM|LOG)_\w+)$/gm)].map(
      ([, name]) => name,
    );
    const kept = /^IPAM_(LISTEN|TLS_.*|ENGINE_SOCKET)$/;
    expect(passed).to.have.members(SETTING_NAMES.filter((name) => !kept.test(name)));
  });

  it('builds the image, which holds the program with its packages in it, and adds less than 20 MB to Node.js', async () => {
    const elsewhere = join(folder, 'build.yml');
    await writeFile(elsewhere, 'services: { plugin: { build: { network: host } } }\n');
    const builds = outside.buildArgs.slice(outside.buildArgs.indexOf('--build-arg'));
    await must(['--file', join(root, 'docker-compose.yml'), '--file', elsewhere, 'build', ...builds, 'plugin']);
    await expectProgramOnly('etcd-ipam');
  });

  it('has a Dockerfile that BuildKit builds to the same', async function () {
    const docker = await clientWithBuildKit(engine);
    if (docker === undefined) skip(this, 'no docker client here builds with BuildKit');
    const args = ['build', ...outside.buildArgs, '--file', 'deploy/Dockerfile', '--tag', 'by-buildkit', root];
    const env = { DOCKER_HOST: engine.host, DOCKER_BUILDKIT: '1' };
    const { code, stderr } = await run(docker, args, { env, cwd: root, timeoutMs: 240_000 });
    expect(code, tail(stderr, 30)).to.equal(0);
    await expectProgramOnly('by-buildkit');
  });

  it('comes up with etcd and the plugin healthy', async () => {
    expect(rest).to.deep.equal([]);
    await must(alone!);
    await bothHealthy();
    const version = await must(['exec', '-T', 'etcd', '/usr/local/bin/etcd', '--version']);
    console.log(`compose: ${version.split('\n')[0]}, under the tag ${etcdImage}`);
    expect(await typed('docker compose exec plugin etcd-ipam status')).to.match(/^session +ok/m);
    expect(await typed('docker compose exec plugin etcd-ipam nodes')).to.match(
      new RegExp(`^${engine.place.name} +alive `, 'm'),
    );
    // Behind `docker compose exec plugin` as well as in the other installations.
    expect(inText('docker compose exec plugin etcd-ipam status')).to.contain(inText('etcd-ipam status'));
  });

  it('has etcd compact by the hour and stop at 4 GiB', async () => {
    const { Args } = (await engine.inspect(await idOf('etcd'))) as Inspected;
    expect(Args).to.include.members(['--auto-compaction-mode=periodic', '--auto-compaction-retention=1h']);
    const fetch = engine.place.enter('busybox', ['wget', '-q', '-O', '-', 'http://127.0.0.1:2379/metrics']);
    expect(Number((await runOrFail(...fetch)).match(/^etcd_server_quota_backend_bytes (\S+)$/m)?.[1])).to.equal(
      2 ** 32,
    );
  });

  it('serves the page, with all that belongs to it, on the host’s loopback', async () => {
    for (const [file, holds] of [
      ['', '<div id="page">'],
      ['page.js', '/api/v1/'],
      ['page.css', '--ground'],
      ['icon.svg', '<svg'],
    ] as const) {
      const fetch = engine.place.enter('busybox', ['wget', '-q', '-O', '-', `http://127.0.0.1:9475/${file}`]);
      expect(await runOrFail(...fetch)).to.contain(holds);
    }
  });

  it('knows the host by the host’s own machine id', async () => {
    const [id = ''] = (await runOrFail(...engine.place.enter('cat', ['/etc/machine-id']))).split('\n');
    expect(id).to.have.length(32);
    expect(await etcdctl('get', '--prefix', '/etcd-ipam/nodes/')).to.contain(id);
  });

  it('runs the plugin without a capability and with a root file system that nobody writes to', async () => {
    const { HostConfig, Mounts, State } = (await engine.inspect(await idOf('plugin'))) as Inspected;
    expect(HostConfig).to.include({ ReadonlyRootfs: true, NetworkMode: 'host' });
    expect(HostConfig.CapDrop).to.deep.equal(['ALL']);
    expect(HostConfig.SecurityOpt).to.deep.equal(['no-new-privileges:true']);
    expect(HostConfig.RestartPolicy.Name).to.equal('unless-stopped');
    const writable = Mounts.filter(({ RW }) => RW).map(({ Destination }) => Destination);
    expect(writable).to.deep.equal(['/run/docker/plugins']);
    const status = await readFile(`/proc/${State.Pid}/status`, 'utf8');
    expect(status)
      .to.match(/^CapEff:\t0+$/m)
      .and.match(/^CapBnd:\t0+$/m)
      .and.match(/^NoNewPrivs:\t1$/m);
  });

  it('has an image that works as any user, whom the plugin’s socket does not let in', async () => {
    const bare = ['--user', '65534:65534', '--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'];
    const place = ['--network', 'host', '--volume', '/run/docker/plugins:/run/docker/plugins'];
    const { stdout } = await engine.docker(
      'run',
      '--rm',
      ...bare,
      ...place,
      '--env',
      `IPAM_NODE=${engine.place.name}`,
      'etcd-ipam',
      'status',
    );
    expect(stdout).to.match(/^plugin +FAILED +\/run\/docker\/plugins\/etcd-ipam\.sock: EACCES$/m);
    expect(stdout)
      .to.match(/^etcd +ok/m)
      .and.match(/^session +ok/m);
  });

  it('has an image that shows the nodes, as any user and without rights', async () => {
    const line = inText(
      'docker run --rm --user 65534 --read-only --cap-drop ALL --network host --env ETCD_ENDPOINTS=… etcd-ipam nodes',
    );
    const [, ...words] = line.replace('=…', '=http://127.0.0.1:2379').split(' ');
    expect(await engine.must(...words)).to.match(new RegExp(`^${engine.place.name} +alive `, 'm'));
  });

  it('gives the first container of a /24 the address .2, behind the gateway .1', async () => {
    await engine.must('network', 'create', '--ipam-driver', 'etcd-ipam', '--subnet', '10.61.0.0/24', 'lasting');
    join1 = await view.joinOf(SUBNET);
    five = await FiveContainers.start(engine, 'lasting');
    await keysBecome();
    expect(await addressOf(five.names[0]!)).to.equal('10.61.0.2');
  });

  it('has the plugin back over its own stale socket after a kill -9', async () => {
    const before = (await engine.inspect(await idOf('plugin'))) as Inspected;
    const stale = await stat(engine.pluginSocket('etcd-ipam'));
    process.kill(before.State.Pid, 'SIGKILL');
    await eventually('the plugin runs again', async () => {
      const { State, RestartCount } = (await engine.inspect(await idOf('plugin'))) as Inspected;
      return State.Running && RestartCount === before.RestartCount + 1;
    });
    expect(await containerAddress('lasting')).to.equal('10.61.0.7');
    await bothHealthy();
    expect((await stat(engine.pluginSocket('etcd-ipam'))).ino).to.not.equal(stale.ino);
  });

  it('restarted three times while containers come and go the plugin fails no command', async () => {
    const plugin = await idOf('plugin');
    await five.underRestarts(view, () => engine.must('restart', plugin));
    await keysBecome();
  });

  for (const [how, end] of [
    ['restarted', () => engine.stop()],
    ['killed with kill -9', () => engine.crash()],
  ] as const) {
    it(`has both and five containers back after an engine that was ${how}, and frees what nobody gave back`, async () => {
      await end();
      const began = performance.now();
      await engine.start();
      await five.back(`Compose, engine ${how}`, began);
      await bothHealthy();
      await keysBecome();
      expect(await containerAddress('lasting')).to.match(/^10\.61\.0\.\d+$/);
      await keysBecome();
    });
  }

  it('leaves nothing behind but the image after `down --volumes`', async () => {
    await five.remove();
    await engine.must('network', 'rm', 'lasting');
    const own = node.own(await view.instance());
    expect(await view.now()).to.deep.equal(own);
    await must(['down', '--volumes']);
    expect(await engine.must('ps', '--all', '--quiet')).to.equal('');
    expect(await engine.must('volume', 'ls', '--quiet')).to.equal('');
    expect(await engine.must('network', 'ls', '--filter', 'type=custom', '--quiet')).to.equal('');
    expect(await stat(engine.pluginSocket('etcd-ipam')).catch(({ code }) => code)).to.equal('ENOENT');
  });

  it('starts the plugin alone on a cluster’s etcd that ETCD_ENDPOINTS names', async () => {
    const url = 'http://127.0.0.1:12379';
    const flags = [`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`];
    const etcd = [
      '/usr/local/bin/etcd',
      '--data-dir=/data/etcd',
      '--listen-peer-urls=http://127.0.0.1:12380',
      ...flags,
    ];
    await engine.must('run', '--detach', '--network', 'host', '--name', 'cluster', etcdImage, ...etcd);
    const env = { ETCD_ENDPOINTS: url };
    await must(onCluster!, env);
    expect(await must(['ps', '--services'], env)).to.contain('plugin');
    await eventually('the plugin is healthy', async () => (await health('plugin')) === 'healthy', 60_000, 500);
    expect(await idOf('etcd')).to.equal('');
    const sessions = ['etcdctl', `--endpoints=${url}`, 'get', '--prefix', '--keys-only', '/etcd-ipam/sessions/'];
    expect(await engine.must('exec', '--env', 'ETCDCTL_API=3', 'cluster', ...sessions)).to.match(
      /^\/etcd-ipam\/sessions/,
    );
    await must(['down'], env);
    await engine.must('rm', '--force', 'cluster');
  });

  /** README's line, for no terminal. */
  function typed(line: string): Promise<string> {
    const [, , exec, ...words] = inText(line).split(' ');
    return must([exec!, '-T', ...words]);
  }

  async function compose(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
    const [program = '', ...words] = command;
    return run(program, [...words, '--project-name', project, ...args], {
      cwd: root,
      env: {
        ...{ ETCD_ENDPOINTS: undefined, IPAM_ENGINE_SOCKET: engine.socket },
        ...{ IPAM_RECONCILE_GRACE: '2s', IPAM_SESSION_TTL: '4s', IPAM_COOLDOWN: '0s', IPAM_HISTORY: '0s' },
        ...env,
        DOCKER_HOST: engine.host,
      },
      timeoutMs: 240_000,
    });
  }

  async function must(args: readonly string[], env?: Record<string, string>): Promise<string> {
    const { code, stdout, stderr } = await compose(args, env);
    expect(code, `compose ${args.join(' ')}: ${tail(stdout + stderr, 30)}`).to.equal(0);
    return stdout.trim();
  }

  function idOf(service: string): Promise<string> {
    const labels = [`project=${project}`, `service=${service}`].map((label) => `label=com.docker.compose.${label}`);
    return engine.must('ps', '--all', '--quiet', ...labels.flatMap((label) => ['--filter', label]));
  }

  async function health(service: string): Promise<string> {
    const { State } = (await engine.inspect(await idOf(service))) as Inspected;
    return State.Health?.Status ?? 'none';
  }

  async function bothHealthy(): Promise<void> {
    const healthy = async () => {
      const found = await Promise.all(services.map(health));
      return found.every((one) => one === 'healthy');
    };
    await eventually('etcd and the plugin are healthy', healthy, 90_000, 250).catch(async (late: Error) => {
      throw new Error(`${late.message}\n${await engine.must('ps', '--all')}\n${tail(await must(['logs']), 40)}`);
    });
  }

  async function expectProgramOnly(image: string): Promise<void> {
    const list = (path: string) => engine.must('run', '--rm', '--entrypoint', 'ls', image, path);
    expect((await list('/app')).split('\n')).to.have.members(['LICENSE', 'dist', 'package.json']);
    const bytes = async (tag: string) => Number(await engine.must('inspect', '--format', '{{.Size}}', tag));
    expect((await bytes(image)) - (await bytes(nodeImage))).to.be.below(20_000_000);
  }

  const addressOf = (container: string) =>
    engine.must('inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', container);

  /** What a container sees that lives for a moment. */
  async function containerAddress(network: string): Promise<string> {
    const shown = await engine.must('run', '--rm', '--network', network, 'busybox', 'ip', 'address', 'show', 'eth0');
    return shown.match(/inet ([\d.]+)\//)?.[1] ?? shown;
  }

  function etcdctl(...args: string[]): Promise<string> {
    return must(['exec', '-T', '-e', 'ETCDCTL_API=3', 'etcd', 'etcdctl', '--endpoints=http://127.0.0.1:2379', ...args]);
  }

  /** All of etcd: the network, and of the five containers one claim each. What nobody gave back is found to be free. */
  async function keysBecome(): Promise<void> {
    const network = [pool(SUBNET, '10.61.0.1'), node.join(SUBNET, join1)];
    const gateway = node.shared(SUBNET, '10.61.0.1', 'gateway', join1);
    const claims = await five.claims(node, SUBNET, join1);
    expect(Object.keys(claims)).to.have.length(5);
    const own = node.own(await view.instance(60_000));
    await view.becomes(wholeOf(own, guard(), ...network, gateway, claims), 60_000);
  }
});

interface Inspected {
  readonly Args: readonly string[];
  readonly State: { readonly Pid: number; readonly Running: boolean; readonly Health?: { readonly Status: string } };
  readonly RestartCount: number;
  readonly HostConfig: {
    readonly CapDrop: string[];
    readonly SecurityOpt: string[];
    readonly RestartPolicy: { readonly Name: string };
  };
  readonly Mounts: readonly { readonly RW: boolean; readonly Destination: string }[];
}

/** Compose 2 where the docker client has it, else 1.29. */
async function composeCommand(): Promise<string[]> {
  const plugin = await run('docker', ['compose', 'version']);
  return plugin.code === 0 ? ['docker', 'compose'] : ['docker-compose'];
}

/** The first client on PATH with BuildKit inside or beside it: a newer one without buildx has none. */
async function clientWithBuildKit(engine: Engine): Promise<string | undefined> {
  for (const path of (process.env.PATH ?? '').split(':')) {
    const docker = join(path, 'docker');
    const env = { DOCKER_HOST: engine.host, DOCKER_BUILDKIT: '1' };
    const input = 'FROM scratch\nLABEL built=yes\n';
    const tried = await run(docker, ['build', '-'], { env, input }).catch(() => undefined);
    if (tried?.code === 0) return docker;
  }
  return undefined;
}
