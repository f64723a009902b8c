// Tests' own etcd: one member on free loopback ports with a data directory of its own. Refuses to know what is tested.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { startContainerEtcd } from './container-etcd.js';
import { etcdBackend, showEtcd } from './etcd-backend.js';

const run = promisify(execFile);
const [LOWEST_PORT, HIGHEST_PORT] = [15_000, 32_000];

export interface EtcdOptions {
  readonly tls?: EtcdTls;
  /** Enables authentication with this user, who may do everything. */
  readonly auth?: { readonly username: string; readonly password: string };
  /** Further arguments of the server. */
  readonly args?: readonly string[];
}

/** Paths of PEM files. With `ca`, clients need a certificate signed by it. */
export interface EtcdTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

export interface EtcdFixture {
  /** `http://127.0.0.1:<port>`, the same after a restart. */
  readonly url: string;
  /** Runs etcdctl with the fixture's credentials, and returns what it printed. */
  ctl(...args: string[]): Promise<string>;
  /** Stops every thread of the server (SIGSTOP); connections stay and nothing is answered. */
  freeze(): void;
  thaw(): void;
  /** kill -9. */
  kill(): Promise<void>;
  /** Starts it again on the same data and port; kills it first if it runs. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/** One whose data a test may set back. */
export interface EtcdProcess extends EtcdFixture {
  /** Saves all there is; resolves with the file. */
  snapshot(): Promise<string>;
  /** Stops it, and starts it at the same address with what the file has; of another cluster if a `token` is named. */
  restore(file: string, token?: string): Promise<void>;
}

export interface Entry {
  readonly key: string;
  /** The decoded JSON, or the text if it is none. */
  readonly value: unknown;
  /** create_revision, mod_revision and lease as etcdctl prints them. */
  readonly created: number;
  readonly modified: number;
  readonly leased: boolean;
}

/** The member's present revision. */
export async function revision(etcd: Pick<EtcdFixture, 'ctl'>): Promise<number> {
  return JSON.parse(await etcd.ctl('get', 'x', '-w', 'json')).header.revision;
}

/** Every key under the prefix, in order. */
export async function entries(etcd: Pick<EtcdFixture, 'ctl'>, prefix = ''): Promise<Entry[]> {
  const reply = JSON.parse(await etcd.ctl('get', prefix, '--prefix', '-w', 'json'));
  const decode = (base64: string) => Buffer.from(base64 ?? '', 'base64').toString();
  return (reply.kvs ?? []).map((kv: Record<string, string | number>) => ({
    key: decode(kv.key as string),
    value: parsed(decode(kv.value as string)),
    created: kv.create_revision,
    modified: kv.mod_revision,
    leased: kv.lease !== undefined,
  }));
}

/** The whole keyspace under the prefix as a plain object, for assertions. */
export async function keyspace(etcd: Pick<EtcdFixture, 'ctl'>, prefix = ''): Promise<Record<string, unknown>> {
  return Object.fromEntries((await entries(etcd, prefix)).map(({ key, value }) => [key, value]));
}

/** A member of the back-end that the run chose, see etcd-backend.ts. */
export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdFixture> {
  return (await etcdBackend()) === 'container' ? startContainerEtcd(options) : startEtcdProcess(options);
}

/** The `etcd` and `etcdctl` on PATH. */
export async function startEtcdProcess(options: EtcdOptions = {}): Promise<EtcdProcess> {
  const dir = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'etcd-ipam-'));
  const [port, peerPort] = await freePorts(2);
  const member = new Member(dir, port as number, peerPort as number, options);
  try {
    await member.start();
    showEtcd((await run('etcd', ['--version'])).stdout.split('\n')[0] ?? '', 'the binary on PATH');
    if (options.auth) await member.enableAuth(options.auth);
    return member;
  } catch (error) {
    await member.stop();
    throw error;
  }
}

class Member implements EtcdProcess {
  readonly url: string;
  #process: ChildProcess | undefined;
  #output = '';
  #user: string[] = [];
  #snapshots = 0;

  constructor(
    readonly dir: string,
    readonly port: number,
    readonly peerPort: number,
    readonly options: EtcdOptions,
  ) {
    this.url = `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  }

  async start(): Promise<void> {
    const peer = `http://127.0.0.1:${this.peerPort}`;
    const { tls, args = [] } = this.options;
    const tlsArgs = tls
      ? ['--client-cert-auth', '--trusted-ca-file', tls.ca, '--cert-file', tls.cert, '--key-file', tls.key]
      : [];
    const child = spawn(
      'etcd',
      [
        ...['--name', 'one', '--data-dir', join(this.dir, 'data'), '--unsafe-no-fsync', '--log-level', 'warn'],
        ...['--listen-client-urls', this.url, '--advertise-client-urls', this.url],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `one=${peer}`],
        ...tlsArgs,
        ...args,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH } },
    );
    this.#process = child;
    this.#output = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk) => {
        this.#output = (this.#output + chunk).slice(-4000);
      });
    let failed: unknown;
    child.on('error', (error) => {
      failed = error;
    });
    const end = Date.now() + 60_000;
    for (;;) {
      if (failed || child.exitCode !== null) throw new Error(`etcd did not start: ${failed ?? this.#output}`);
      if (await this.#healthy()) return;
      if (Date.now() > end) throw new Error(`etcd was not healthy within 60 s: ${this.#output}`);
      await sleep(20);
    }
  }

  async #healthy(): Promise<boolean> {
    // A log-in is slow by intention.
    const within = this.#user.length > 0 ? '3s' : '500ms';
    return run('etcdctl', [...this.#ctlArgs(), `--command-timeout=${within}`, 'get', 'x'], {
      env: { PATH: process.env.PATH, ETCDCTL_API: '3' },
    }).then(
      () => true,
      () => false,
    );
  }

  async enableAuth({ username, password }: { username: string; password: string }): Promise<void> {
    if (username !== 'root') await this.ctl('user', 'add', `root:${password}`);
    await this.ctl('user', 'add', `${username}:${password}`);
    await this.ctl('user', 'grant-role', username, 'root').catch(() => undefined);
    await this.ctl('user', 'grant-role', 'root', 'root').catch(() => undefined);
    await this.ctl('auth', 'enable');
    this.#user = [`--user=${username}:${password}`];
  }

  #ctlArgs(): string[] {
    const { tls } = this.options;
    const files = tls ? [`--cacert=${tls.ca}`, `--cert=${tls.clientCert}`, `--key=${tls.clientKey}`] : [];
    return [`--endpoints=${this.url}`, ...files, ...this.#user];
  }

  async ctl(...args: string[]): Promise<string> {
    const env = { PATH: process.env.PATH, ETCDCTL_API: '3' };
    return (await run('etcdctl', [...this.#ctlArgs(), ...args], { env, maxBuffer: 1 << 28 })).stdout;
  }

  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async snapshot(): Promise<string> {
    const file = join(this.dir, `snapshot-${++this.#snapshots}`);
    await this.ctl('snapshot', 'save', file);
    return file;
  }

  async restore(file: string, token = 'etcd-cluster'): Promise<void> {
    await this.kill();
    await rm(join(this.dir, 'data'), { recursive: true });
    const peer = `http://127.0.0.1:${this.peerPort}`;
    await this.ctl(
      ...['snapshot', 'restore', file, '--name', 'one', '--data-dir', join(this.dir, 'data')],
      ...['--initial-advertise-peer-urls', peer, '--initial-cluster', `one=${peer}`, '--initial-cluster-token', token],
    );
    await this.start();
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** A throw-away CA, a server certificate for 127.0.0.1 and localhost, and a client certificate for CN=client. */
export async function makeCertificates(): Promise<EtcdTls & { readonly dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'etcd-ipam-tls-'));
  const at = (name: string) => join(dir, name);
  await makeAuthority(dir);
  await makeCertificate(dir, 'server', 'server', { usage: 'serverAuth,clientAuth' });
  await makeCertificate(dir, 'client', 'client', { usage: 'clientAuth' });
  return {
    dir,
    ca: at('ca.pem'),
    cert: at('server.pem'),
    key: at('server.key'),
    clientCert: at('client.pem'),
    clientKey: at('client.key'),
  };
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

async function makeAuthority(dir: string): Promise<void> {
  const own = ['-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test-ca', '-days', '2'];
  await run('openssl', ['req', '-x509', ...KEY, ...own], { cwd: dir });
}

/** `NAME.pem` and `NAME.key` for the common name, signed by the CA of that directory. */
export async function makeCertificate(
  dir: string,
  name: string,
  commonName: string,
  {
    names = 'IP:127.0.0.1,DNS:localhost',
    usage = 'clientAuth',
    expired = false,
  }: { readonly names?: string; readonly usage?: string; readonly expired?: boolean } = {},
): Promise<void> {
  const openssl = (...args: string[]) => run('openssl', args, { cwd: dir });
  await writeFile(join(dir, `${name}.ext`), `subjectAltName=${names}\nextendedKeyUsage=${usage}\n`);
  await openssl('req', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${commonName}`);
  const files = ['-in', `${name}.csr`, '-out', `${name}.pem`, '-extfile', `${name}.ext`];
  if (!expired) {
    await openssl('x509', '-req', ...files, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2');
    return;
  }
  // Only `ca` can date a certificate back.
  await writeFile(
    join(dir, 'ca.cnf'),
    '[ca]\ndefault_ca=c\n[c]\ndatabase=index\nrand_serial=yes\npolicy=p\n[p]\ncommonName=supplied\n',
  );
  await writeFile(join(dir, 'index'), '');
  const signer = ['-config', 'ca.cnf', '-cert', 'ca.pem', '-keyfile', 'ca.key', '-md', 'sha256'];
  const past = ['-startdate', '20200101000000Z', '-enddate', '20200201000000Z'];
  await openssl('ca', '-batch', '-notext', '-outdir', '.', ...signer, ...past, ...files);
}

/**
 * Ports that were free a moment ago, all different, and below those that the kernel gives to outgoing connections: a server that
 * was down for a while finds its own free when it returns.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = createServer().listen(randomInt(LOWEST_PORT, HIGHEST_PORT), '127.0.0.1');
    const listening = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (listening) servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
