// The driver over TCP, found by a real engine through its discovery file, plain and with mutual TLS; it refuses to know sockets.
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { type Engine, startEngine } from '../support/engine.js';
import { makeCertificate, makeCertificates } from '../support/etcd.js';
import { lingering, makeImage } from '../support/image.js';
import { Machine } from '../support/machine.js';
import { eventually, type Outcome, type Program } from '../support/process.js';
import { PROGRAM } from '../support/program.js';
import { needPrivateHost } from '../support/skip.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const listen = '127.0.0.1:9474';
const activate = `POST /Plugin.Activate HTTP/1.1\r\nHost: ${listen}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;

describe('the driver over TCP', function () {
  this.timeout(240_000);
  let machine: Machine;
  let etcd: Program;
  let engine: Engine;
  let ours: Awaited<ReturnType<typeof makeCertificates>>;
  let strangers: typeof ours;
  let driver: Program | undefined;

  before(async function () {
    needPrivateHost(this);
    [ours, strangers] = await Promise.all([makeCertificates(), makeCertificates()]);
    machine = await Machine.start('tcp');
    const etcdArgs = ['--data-dir', join(ours.dir, 'etcd'), '--log-level', 'info', '--unsafe-no-fsync'];
    etcd = await machine.start('etcd', etcdArgs, { ready: /ready to serve client requests/ });
    engine = await startEngine({ place: machine });
    await makeImage(engine);
  });

  afterEach(async () => {
    await driver?.stop();
    driver = undefined;
  });

  after(async () => {
    await engine?.[Symbol.asyncDispose]();
    await etcd?.kill();
    await machine?.[Symbol.asyncDispose]();
    for (const made of [ours, strangers]) if (made) await rm(made.dir, { recursive: true, force: true });
  });

  it('serves an engine that found tcp:// in etcd-ipam.spec, and removes that file at its end', async () => {
    driver = await startDriver({});
    expect(await readdir(machine.pluginSpecs)).to.deep.equal(['etcd-ipam.spec']);
    expect(await readFile(join(machine.pluginSpecs, 'etcd-ipam.spec'), 'utf8')).to.equal(`tcp://${listen}\n`);
    await servesNetwork('10.71.0');
    expect(await driver.stop()).to.equal(0);
    expect(await readdir(machine.pluginSpecs)).to.deep.equal([]);
  });

  it('serves the same engine again after a restart of the driver, without a restart of the engine', async () => {
    driver = await startDriver({});
    await engine.must('network', 'create', '--ipam-driver', 'etcd-ipam', '--subnet', '10.72.0.0/24', 'kept');
    await driver.kill();
    driver = await startDriver({});
    expect(await containerAddress('kept')).to.equal('10.72.0.2/24');
    await engine.must('network', 'rm', 'kept');
  });

  describe('with mutual TLS', () => {
    before(async () => {
      // An engine keeps to the address under which it first found a plugin.
      await engine.restart();
    });

    it('serves an engine that found https:// and its certificate in etcd-ipam.json', async () => {
      driver = await startDriver(tls());
      expect(await readdir(machine.pluginSpecs)).to.deep.equal(['etcd-ipam.json']);
      const found = JSON.parse(await readFile(join(machine.pluginSpecs, 'etcd-ipam.json'), 'utf8'));
      expect(found).to.deep.equal({
        Name: 'etcd-ipam',
        Addr: `https://${listen}`,
        TLSConfig: { InsecureSkipVerify: false, CAFile: ours.ca, CertFile: ours.cert, KeyFile: ours.key },
      });
      await servesNetwork('10.73.0');
      const status = await machine.run(process.execPath, [...PROGRAM, 'status'], { env: settingsOf(tls()), cwd: root });
      expect(status.stdout).to.match(/^plugin +ok +127\.0\.0\.1:9474$/m);
      expect(status.code).to.equal(0);
      expect(await driver.stop()).to.equal(0);
      expect(await readdir(machine.pluginSpecs)).to.deep.equal([]);
    });

    it('refuses a client without a certificate, one with a stranger’s, and one that speaks plain HTTP', async () => {
      driver = await startDriver(tls());
      const known = await speak('-cert', ours.clientCert, '-key', ours.clientKey);
      expect(known.stdout).to.contain('{"Implements":["IpamDriver"]}');
      for (const client of [await speak(), await speak('-cert', strangers.clientCert, '-key', strangers.clientKey)]) {
        expect(client.stdout).to.equal('');
        // The alert that says why can be overtaken by the end of the connection, however openssl comes to see that.
        expect(client.stderr).to.match(
          /alert (certificate required|unknown ca|decrypt error)|errno=\d+|unexpected eof|^(closed|DONE)$/m,
        );
      }
      const [host = '', port = ''] = listen.split(':');
      const plain = await machine.run('busybox', ['nc', '-w', '5', host, port], { input: activate });
      expect(plain.stdout).to.not.contain('Implements');
    });

    it('refuses an engine whose discovery file names no certificate', async () => {
      driver = await startDriver(tls());
      const bare = { Name: 'bare', Addr: `https://${listen}`, TLSConfig: { CAFile: ours.ca } };
      await writeFile(join(machine.pluginSpecs, 'bare.json'), JSON.stringify(bare));
      const { code, stderr } = await engine.docker('network', 'create', '--ipam-driver', 'bare', 'refused');
      expect(code).to.equal(1);
      expect(stderr).to.match(/certificate required|connection reset|broken pipe|EOF/);
      await rm(join(machine.pluginSpecs, 'bare.json'));
    });

    it('shows a certificate that replaced the first one while it ran', async () => {
      driver = await startDriver(tls());
      const client = ['-CAfile', ours.ca, '-cert', ours.clientCert, '-key', ours.clientKey];
      const shown = async () =>
        (await machine.run('openssl', ['s_client', '-connect', listen, ...client], { input: '', timeoutMs: 20_000 }))
          .stdout;
      const before = (await readFile(ours.cert, 'utf8')).trim();
      expect(await shown()).to.contain(before);
      await makeCertificate(ours.dir, 'server', 'server', { usage: 'serverAuth,clientAuth' });
      const after = (await readFile(ours.cert, 'utf8')).trim();
      await eventually('the new one is shown', async () => (await shown()).includes(after), 30_000, 200);
      expect(after).to.not.equal(before);
    });
  });

  const tls = () => ({ IPAM_TLS_CA_FILE: ours.ca, IPAM_TLS_CERT_FILE: ours.cert, IPAM_TLS_KEY_FILE: ours.key });

  const settingsOf = (settings: Record<string, string>) => ({ ...settings, IPAM_LISTEN: listen, IPAM_OPS_LISTEN: '' });

  function startDriver(settings: Record<string, string>): Promise<Program> {
    const ready = { ready: /"msg":"session alive"/, timeoutMs: 30_000 };
    return machine.start(process.execPath, [...PROGRAM, 'serve'], { env: settingsOf(settings), cwd: root, ...ready });
  }

  /** One Activate call through openssl, trusting our CA. */
  function speak(...certificate: string[]): Promise<Outcome> {
    const args = ['s_client', '-quiet', '-ign_eof', '-connect', listen, '-CAfile', ours.ca, ...certificate];
    return machine.run('openssl', args, { input: activate, timeoutMs: 20_000 });
  }

  async function servesNetwork(subnet: string): Promise<void> {
    await engine.must('network', 'create', '--ipam-driver', 'etcd-ipam', '--subnet', `${subnet}.0/24`, 'net');
    await engine.must('run', '--detach', '--name', 'first', '--network', 'net', 'busybox', ...lingering);
    expect(await containerAddress('net')).to.equal(`${subnet}.3/24`);
    expect(await claims()).to.include.members([`${subnet}.1`, `${subnet}.2`].map(wide));
    await engine.must('rm', '--force', 'first');
    await engine.must('network', 'rm', 'net');
    expect(await claims()).to.deep.equal([]);
  }

  async function containerAddress(network: string): Promise<string | undefined> {
    const shown = await engine.must('run', '--rm', '--network', network, 'busybox', 'ip', 'address', 'show', 'eth0');
    return shown.match(/inet (\S+)/)?.[1];
  }

  const wide = (address: string) =>
    address
      .split('.')
      .map((octet) => octet.padStart(3, '0'))
      .join('.');

  /** The addresses that etcd holds, those that rest after their release included. */
  async function claims(): Promise<string[]> {
    const args = ['get', '--prefix', '--keys-only', '/etcd-ipam/claims/'];
    const keys = await machine.must('etcdctl', args, { env: { ETCDCTL_API: '3' } });
    return keys.split('\n').flatMap((key) => key.match(/[\d.]+$/)?.[0] ?? []);
  }
});
