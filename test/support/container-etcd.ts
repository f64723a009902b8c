// The tests' etcd in a container, through testcontainers; it refuses to know what is tested.
//
// In a private host the engine is the run's own and the image is made of the machine's etcd, since no registry is in reach.
// Elsewhere it is whatever engine testcontainers finds, and the image is ETCD_IPAM_TEST_ETCD_IMAGE.
import { spawnSync } from 'node:child_process';
import type { StartedTestContainer } from 'testcontainers';
import { type EtcdFixture, type EtcdOptions, type EtcdTls, freePorts } from './etcd.js';
import { etcdBackend, showEtcd } from './etcd-backend.js';
import { makeEtcdImage } from './image.js';
import { eventually, run, runOrFail } from './process.js';
import { sharedEngine } from './shared-engine.js';

const upstreamImage = 'quay.io/coreos/etcd:v3.6.13';
const localImage = 'etcd-ipam-test/etcd:local';
const clientPort = 2379;
const certificates = '/certificates';

interface Source {
  readonly image: string;
  /** For the docker command line, so that it speaks to the engine that testcontainers uses. */
  readonly env: Record<string, string>;
}

let source: Promise<Source> | undefined;

// Before the first suite, since engine and image may take longer than a suite's own hook has time for.
if (typeof before === 'function') {
  before('prepare the container of etcd', async function () {
    this.timeout(120_000);
    if ((await etcdBackend()) === 'container') await openedSource();
  });
}

/** One member in a container of its own; its port on 127.0.0.1 is the same after a restart. */
export async function startContainerEtcd(options: EtcdOptions = {}): Promise<EtcdFixture> {
  const { image, env } = await openedSource();
  const { GenericContainer, Wait } = await import('testcontainers');
  const [port] = (await freePorts(1)) as [number];
  const container = await new GenericContainer(image)
    .withEntrypoint(['/usr/local/bin/etcd'])
    .withCommand(serverArgs(port, options))
    .withEnvironment({ ETCDCTL_API: '3' })
    .withExposedPorts({ container: clientPort, host: port })
    .withCopyFilesToContainer(options.tls ? filesOf(options.tls) : [])
    .withWaitStrategy(Wait.forLogMessage(/ready to serve client requests/))
    .withStartupTimeout(60_000)
    .start();
  const member = new ContainerMember(container, port, env, options);
  try {
    await member.healthy();
    showEtcd(`${(await container.exec(['etcd', '--version'])).stdout.split('\n')[0]}`, `in a container of ${image}`);
    if (options.auth) await member.enableAuth(options.auth);
    return member;
  } catch (cause) {
    await member.stop();
    throw cause;
  }
}

class ContainerMember implements EtcdFixture {
  readonly url: string;
  #user: string[] = [];
  #frozen = false;

  constructor(
    private readonly container: StartedTestContainer,
    port: number,
    private readonly env: Record<string, string>,
    private readonly options: EtcdOptions,
  ) {
    this.url = `${scheme(options)}://127.0.0.1:${port}`;
  }

  async healthy(): Promise<void> {
    const answers = async () => (await this.exec('--command-timeout=500ms', 'get', 'x')).exitCode === 0;
    await eventually('etcd in a container answers', answers, 60_000);
  }

  async ctl(...args: string[]): Promise<string> {
    const { exitCode, stdout, output } = await this.exec(...args);
    if (exitCode !== 0) throw new Error(`etcdctl ${args.join(' ')} ended with ${exitCode}: ${output}`);
    return stdout;
  }

  async enableAuth({ username, password }: { username: string; password: string }): Promise<void> {
    for (const user of new Set(['root', username])) {
      await this.ctl('user', 'add', `${user}:${password}`);
      await this.ctl('user', 'grant-role', user, 'root');
    }
    await this.ctl('auth', 'enable');
    this.#user = [`--user=${username}:${password}`];
  }

  freeze(): void {
    this.pause('pause');
  }

  thaw(): void {
    this.pause('unpause');
  }

  async kill(): Promise<void> {
    // An engine neither kills nor removes what is paused.
    this.thaw();
    // `docker kill` answers before the process is gone, and refuses when it is gone already.
    await run('docker', ['kill', this.container.getId()], { env: this.env });
    await run('docker', ['wait', this.container.getId()], { env: this.env });
  }

  async restart(): Promise<void> {
    await this.kill();
    await runOrFail('docker', ['start', this.container.getId()], { env: this.env });
    await this.healthy();
  }

  async stop(): Promise<void> {
    this.thaw();
    await run('docker', ['rm', '--force', '--volumes', this.container.getId()], { env: this.env });
  }

  // Synchronous, as the fixture promises: when it returns, nothing of etcd runs.
  private pause(verb: 'pause' | 'unpause'): void {
    if (this.#frozen === (verb === 'pause')) return;
    const { status, stderr } = spawnSync('docker', [verb, this.container.getId()], {
      env: { ...process.env, ...this.env },
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`docker ${verb} ended with ${status}: ${stderr}`);
    this.#frozen = verb === 'pause';
  }

  private exec(...args: string[]) {
    const trust = this.options.tls ? files('--cacert=ca', '--cert=clientCert', '--key=clientKey') : [];
    const endpoint = `--endpoints=${scheme(this.options)}://127.0.0.1:${clientPort}`;
    return this.container.exec(['etcdctl', endpoint, ...trust, ...this.#user, ...args]);
  }
}

function serverArgs(port: number, options: EtcdOptions): string[] {
  const peer = 'http://127.0.0.1:2380';
  const protocol = scheme(options);
  return [
    ...['--name', 'one', '--data-dir', '/data/etcd', '--unsafe-no-fsync', '--log-level', 'info'],
    ...['--listen-client-urls', `${protocol}://0.0.0.0:${clientPort}`],
    ...['--advertise-client-urls', `${protocol}://127.0.0.1:${port}`],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `one=${peer}`],
    ...(options.tls
      ? ['--client-cert-auth', ...files('--trusted-ca-file=ca', '--cert-file=cert', '--key-file=key')]
      : []),
    ...(options.args ?? []),
  ];
}

function files(...flags: string[]): string[] {
  return flags.map((flag) => flag.replace('=', `=${certificates}/`));
}

function filesOf(tls: EtcdTls) {
  const names = ['ca', 'cert', 'key', 'clientCert', 'clientKey'] as const;
  return names.map((name) => ({ source: tls[name], target: `${certificates}/${name}`, mode: 0o644 }));
}

function scheme({ tls }: EtcdOptions): string {
  return tls ? 'https' : 'http';
}

function openedSource(): Promise<Source> {
  source ??= openSource();
  return source;
}

async function openSource(): Promise<Source> {
  if (process.env.ETCD_IPAM_TEST_HOST !== 'private') {
    return { image: process.env.ETCD_IPAM_TEST_ETCD_IMAGE ?? upstreamImage, env: {} };
  }
  const engine = await sharedEngine();
  await makeEtcdImage(engine, localImage);
  // testcontainers reads these once, when it is first used; its reaper is an image of a registry.
  process.env.DOCKER_HOST = engine.host;
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';
  process.env.TESTCONTAINERS_HOST_OVERRIDE = '127.0.0.1';
  return { image: localImage, env: { DOCKER_HOST: engine.host } };
}
