// README's recipe for an etcd with TLS and a user of its own, pasted: certificates, the server's options, the role, the settings.
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { freePorts } from '../support/etcd.js';
import { HostedDriver } from '../support/hosted-driver.js';
import { Program, run, runOrFail } from '../support/process.js';
import { PROGRAM } from '../support/program.js';
import { inText } from '../support/readme.js';

describe('README’s etcd with TLS and a user of its own', function () {
  this.timeout(120_000);
  let directory: string;
  let etcd: Program | undefined;
  let blocks: string[];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'secured-'));
    const [port, peer] = (await freePorts(2)) as [number, number];
    const [, section = ''] = (await readFile('README.md', 'utf8')).split('### etcd with TLS and a user of its own\n');
    const text = section
      .split('\n### ')[0]!
      .replaceAll('/etc/etcd-ipam', join(directory, 'etc'))
      .replaceAll('/root/etcd-ipam-ca', join(directory, 'ca'))
      // The one member is on the host that made its files.
      .replaceAll('/etc/etcd/', join(directory, 'ca/'))
      .replaceAll('10.0.0.1', '127.0.0.1');
    blocks = [...text.replaceAll(':2379', `:${port}`).matchAll(/^```\w*\n([\s\S]*?)^```$/gm)].map(
      ([, block]) => block!,
    );
    expect(blocks).to.have.length(4);
    await typed(blocks[0]!);
    const [url, peers] = [`https://127.0.0.1:${port}`, `http://127.0.0.1:${peer}`];
    etcd = await Program.start(
      'etcd',
      [
        ...['--data-dir', join(directory, 'data'), '--unsafe-no-fsync', '--listen-client-urls', url],
        ...['--advertise-client-urls', url, '--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers],
        ...['--initial-cluster', `default=${peers}`, ...blocks[1]!.trim().split(' ')],
      ],
      { ready: /serving client requests|ready to serve client requests/ },
    );
    await typed(blocks[2]!);
  });
  after(async () => {
    await etcd?.kill();
    await rm(directory, { recursive: true, force: true });
  });

  /** What follows the prompts, typed into one shell. */
  function typed(block: string): Promise<string> {
    const lines = block.split('\n').filter((line) => line.startsWith('$ '));
    return runOrFail('bash', ['-e', '-c', `umask 077\n${lines.map((line) => line.slice(2)).join('\n')}`]);
  }

  const settings = (but: RegExp = /^$/): Record<string, string> => {
    const lines = blocks[3]!
      .trim()
      .split('\n')
      .filter((line) => !but.test(line));
    const entries = Object.fromEntries(lines.map((line) => line.split('=') as [string, string]));
    return { ...entries, ETCD_ENDPOINTS: entries.ETCD_ENDPOINTS!.split(',')[0]! };
  };

  it('leaves keys and passwords to root alone', async () => {
    for (const file of ['ca/ca.key', 'ca/root-password', 'etc/etcd-ipam.key', 'etc/password'])
      expect((await stat(join(directory, file))).mode & 0o077).to.equal(0);
  });

  it('shows the plugin neither the key of the CA nor the password of root', async () => {
    expect((await readdir(join(directory, 'etc'))).sort()).to.deep.equal([
      ...['ca.pem', 'etcd-ipam.key', 'etcd-ipam.pem', 'password'],
    ]);
  });

  for (const [how, but] of [
    ['a certificate and a password', /^$/],
    ['the certificate alone, whose common name is the user’s', /USERNAME|PASSWORD/],
  ] as const) {
    it(`serves a driver that has ${how}`, async () => {
      await using driver = await HostedDriver.start(settings(but));
      await driver.says(/"msg":"session alive"/);
      expect(await driver.address(await driver.pool('10.60.0.0/24'))).to.match(/^10\.60\.0\./);
      const { etcd: answered, session } = await driver.status();
      expect([answered.ok, session.ok], answered.text).to.deep.equal([true, true]);
    });
  }

  it('answers a command, which says nothing else', async () => {
    const { code, stderr } = await run(process.execPath, [...PROGRAM, 'nodes'], { env: settings() });
    expect([code, stderr]).to.deep.equal([0, '']);
  });

  it('shows its role to root', async () => {
    const [exports] = blocks[2]!.split('$ deploy/');
    const root = `export ETCDCTL_USER=root:$(cat ${directory}/etc/root-password)`;
    const role = await typed(`${exports}$ ${root}\n$ ${inText('etcdctl role get etcd-ipam')}\n`);
    expect(role).to.match(/^Role etcd-ipam\nKV Read:\n\t\[\/etcd-ipam\/, .*\nKV Write:\n\t\[\/etcd-ipam\/, /);
  });

  it('refuses all keys but its own, naming the certificate’s user', async () => {
    await using driver = await HostedDriver.start({ ...settings(/USERNAME|PASSWORD/), IPAM_PREFIX: '/other/' });
    const { reason } = await driver.says(/"msg":"session unreachable"/);
    expect(reason).to.match(/: the user of the client certificate may not read \/other\/nodes\/web$/);
  });
});
