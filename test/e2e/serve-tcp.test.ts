// `etcd-ipam serve` on TCP with mutual TLS: a real engine finds it by the discovery file, and nobody else is served.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Engine, startEngine } from '../support/engine.js';
import { Machine } from '../support/machine.js';
import { type Program, runOrFail } from '../support/process.js';
import { needPrivateHost } from '../support/skip.js';

const node = (...args: string[]) => ['--import', 'tsx/esm', ...args];

describe('etcd-ipam serve on TCP', function () {
  this.timeout(120_000);
  let folder: string;
  let machine: Machine | undefined;
  let engine: Engine;
  let quickstart: Program | undefined;
  const at = (name: string) => join(folder, name);

  before(async function () {
    needPrivateHost(this);
    folder = mkdtempSync(join(tmpdir(), 'serve-tcp-'));
    machine = await Machine.start('tcp');
    engine = await startEngine({ place: machine });
    const certificate = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
    const names = ['-subj', '/CN=etcd-ipam', '-addext', 'subjectAltName=IP:127.0.0.1'];
    await runOrFail('openssl', ['req', ...certificate, ...names, '-keyout', at('key.pem'), '-out', at('cert.pem')]);
    const env = { XDG_STATE_HOME: folder, IPAM_SOCKET: at('other.sock'), IPAM_NODE: 'other' };
    const starting = { env, ready: /Ctrl-C stops/, timeoutMs: 60_000 };
    quickstart = await machine.start(process.execPath, node('src/quickstart/index.ts'), starting);
  });
  after(async () => {
    await quickstart?.stop();
    await engine?.[Symbol.asyncDispose]();
    await machine?.[Symbol.asyncDispose]();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  it('is found by an engine, asks for a certificate, answers status, and takes its discovery file away', async () => {
    const env = {
      ETCD_ENDPOINTS: /^etcd: (http:\S+?),/m.exec(quickstart!.output)![1]!,
      IPAM_LISTEN: '127.0.0.1:9474',
      IPAM_TLS_CA_FILE: at('cert.pem'),
      IPAM_TLS_CERT_FILE: at('cert.pem'),
      IPAM_TLS_KEY_FILE: at('key.pem'),
    };
    const serving = { env, ready: /"msg":"session alive"/ };
    const program = await machine!.start(process.execPath, node('src/main.ts', 'serve'), serving);
    try {
      expect(existsSync(join(machine!.pluginSockets, 'etcd-ipam.sock'))).to.equal(false);
      expect(existsSync(join(machine!.pluginSpecs, 'etcd-ipam.json'))).to.equal(true);
      await engine.must('network', 'create', '--ipam-driver', 'etcd-ipam', '--subnet', '10.69.0.0/24', 'tcp');
      await engine.must('network', 'rm', 'tcp');
      expect(program.output).to.match(/"call":"RequestPool".*"pool":"10\.69\.0\.0\/24".*"outcome":"granted"/);

      const status = await machine!.run(process.execPath, node('src/main.ts', 'status'), { env });
      expect(status.stdout).to.match(/^plugin {2}ok {6}127\.0\.0\.1:9474\n/);
      expect(status.code, status.stdout).to.equal(0);

      const stranger = ['-sS', '--cacert', at('cert.pem'), '-X', 'POST', 'https://127.0.0.1:9474/Plugin.Activate'];
      const { code, stdout } = await machine!.run('curl', stranger);
      expect(code).not.to.equal(0);
      expect(stdout).to.equal('');
    } finally {
      expect(await program.stop()).to.equal(0);
    }
    expect(existsSync(join(machine!.pluginSpecs, 'etcd-ipam.json'))).to.equal(false);
  });
});
