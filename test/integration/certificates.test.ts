// Certificates that are replaced, expire or do not fit, while a driver runs against an etcd that wants both a certificate and
// a password.
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openClient } from '../../src/etcd/client.js';
import type { EtcdFault } from '../../src/etcd/fault.js';
import type { Tls } from '../../src/etcd/tls.js';
import { type EtcdFixture, makeCertificate, makeCertificates, startEtcdProcess } from '../support/etcd.js';
import { HostedDriver } from '../support/hosted-driver.js';
import { eventually } from '../support/process.js';
import { TcpProxy } from '../support/proxy.js';

const AUTH = { username: 'ipam', password: 'c0rrect-horse' };
const soon = (ms = 10_000) => performance.now() + ms;
const read = { success: [{ request_range: { key: Buffer.from('x') } }] };

type Made = Awaited<ReturnType<typeof makeCertificates>>;

describe('certificates', function () {
  this.timeout(120_000);
  let first: Made;
  let second: Made;

  const shown = async (made: Made, name = 'client'): Promise<Tls> => {
    const [cert, key] = [join(made.dir, `${name}.pem`), join(made.dir, `${name}.key`)];
    return {
      ca: await readFile(made.ca),
      cert: await readFile(cert),
      key: await readFile(key),
      from: { ca: made.ca, cert },
    };
  };
  const reason = async (url: string, tls: Tls): Promise<string> => {
    const client = openClient({ endpoints: [url], tls });
    try {
      return await client.read(read, soon(3_000)).then(
        () => 'served',
        (fault: EtcdFault) => fault.reason,
      );
    } finally {
      client.close();
    }
  };

  before(async () => {
    [first, second] = await Promise.all([makeCertificates(), makeCertificates()]);
  });
  after(async () => {
    for (const made of [first, second]) if (made) await rm(made.dir, { recursive: true, force: true });
  });

  describe('that are replaced one after the other', () => {
    let directory: string;
    let etcd: EtcdFixture;
    let driver: HostedDriver;
    let pool: string;
    const own = (name: string) => join(directory, 'own', name);
    const refusal = (words: string) =>
      eventually(
        `Docker's user reads ${words}`,
        async () => (await driver.refusal('RequestAddress', { PoolID: pool, Address: '' }))?.includes(words),
        60_000,
        200,
      );

    before(async () => {
      directory = await mkdtemp(join(tmpdir(), 'certificates-'));
      for (const name of ['served', 'own']) await mkdir(join(directory, name));
      await serve(first);
      for (const name of ['ca.pem', 'client.pem', 'client.key']) await copyFile(join(first.dir, name), own(name));
      const in_ = (name: string) => join(directory, 'served', name);
      const [ca, cert, key] = [in_('ca.pem'), in_('server.pem'), in_('server.key')];
      const tls = { ca, cert, key, clientCert: in_('client.pem'), clientKey: in_('client.key') };
      etcd = await startEtcdProcess({ tls, auth: AUTH, args: ['--bcrypt-cost=4'] });
      await writeFile(own('password'), AUTH.password);
      driver = await HostedDriver.start({
        ETCD_ENDPOINTS: etcd.url.replace('127.0.0.1', 'localhost'),
        ...{ ETCD_CA_FILE: own('ca.pem'), ETCD_CERT_FILE: own('client.pem'), ETCD_KEY_FILE: own('client.key') },
        ...{ ETCD_USERNAME: AUTH.username, ETCD_PASSWORD_FILE: own('password'), IPAM_DEADLINE: '1s' },
      });
    });
    after(async () => {
      await driver?.stop();
      await etcd?.stop();
      await rm(directory, { recursive: true, force: true });
    });
    const serve = async (made: Made) => {
      for (const name of ['ca.pem', 'server.pem', 'server.key', 'client.pem', 'client.key'])
        await copyFile(join(made.dir, name), join(directory, 'served', name));
    };

    it('serves over mutual TLS with a user and a password', async () => {
      await driver.says(/"msg":"session alive"/);
      pool = await driver.pool('10.30.0.0/24');
      expect(await driver.address(pool)).to.equal('10.30.0.1');
    });

    it('names its own CA file when etcd shows what another CA signed', async () => {
      await serve(second);
      await etcd.restart();
      await refusal(`TLS: the certificate is not signed by a CA in ${own('ca.pem')}`);
    });

    it('takes the new CA without a restart, and names its client certificate, which etcd no longer accepts', async () => {
      await copyFile(second.ca, own('ca.pem'));
      await refusal(`TLS: etcd does not accept the client certificate ${own('client.pem')}`);
    });

    it('keeps the old pair while only the certificate is new, and warns once', async () => {
      const from = driver.said;
      await copyFile(second.clientCert, own('client.pem'));
      const { level, msg } = await driver.says(/are not used/, from);
      expect(level).to.equal('warn');
      expect(msg)
        .to.contain('client.pem is not a certificate in PEM that belongs to the key')
        .and.contain('stay in use');
      await refusal('TLS: etcd does not accept the client certificate');
      expect(driver.log.filter((line) => line.msg === msg)).to.have.length(1);
    });

    it('serves again once the key is there', async () => {
      const from = driver.said;
      await copyFile(second.clientKey, own('client.key'));
      await eventually('an address is given', () => driver.address(pool).catch(() => undefined), 60_000, 200);
      await driver.says(/new certificates are in use/, from);
    });

    it('has shown neither the key nor the password, at LOG_LEVEL=trace', async () => {
      for (const made of [first, second]) {
        const [, line = ''] = (await readFile(made.clientKey, 'utf8')).split('\n');
        expect(line.length).to.be.greaterThan(40);
        expect(driver.text).to.not.contain(line);
      }
      expect(driver.text).to.not.contain(AUTH.password).and.not.contain('PRIVATE KEY');
    });
  });

  it('that are replaced while a call is under way: that call ends where it began, the next on a new connection', async () => {
    const etcd = await startEtcdProcess({ tls: first });
    const proxy = await TcpProxy.to(etcd.url);
    let tls = await shown(first);
    const client = openClient({
      endpoints: [proxy.url.replace('http:', 'https:').replace('127.0.0.1', 'localhost')],
      tls: () => tls,
      attemptMs: 20_000,
    });
    try {
      await client.read(read, soon());
      expect(proxy.connections).to.equal(1);
      const before = proxy.bytesToServer;
      proxy.pause();
      const held = client.read(read, soon(20_000));
      await eventually('the call is sent', () => proxy.bytesToServer > before, 10_000, 5);
      await makeCertificate(first.dir, 'renewed', 'client');
      tls = await shown(first, 'renewed');
      const next = client.read(read, soon(20_000));
      await eventually('there is another connection', () => proxy.connections === 2);
      proxy.resume();
      expect((await held).header.revision).to.equal((await next).header.revision);
      await client.read(read, soon());
      expect(proxy.connections).to.equal(2);
    } finally {
      client.close();
      await proxy.close();
      await etcd.stop();
    }
  });

  it('that have expired, or are for another name: the reason says so, with the file where it is ours', async () => {
    await makeCertificate(first.dir, 'old-client', 'client', { expired: true });
    await makeCertificate(first.dir, 'old-server', 'server', { expired: true, usage: 'serverAuth' });
    await makeCertificate(first.dir, 'elsewhere', 'server', {
      names: 'DNS:etcd-7.example',
      usage: 'serverAuth,clientAuth',
    });
    const good = await shown(first);
    const inDir = (name: string) => join(first.dir, name);

    // etcd reads its certificate at each handshake.
    const served = { ...first, cert: inDir('served.pem'), key: inDir('served.key') };
    const show = async (name: string) => {
      for (const end of ['pem', 'key']) await copyFile(inDir(`${name}.${end}`), inDir(`served.${end}`));
    };
    await show('server');
    const etcd = await startEtcdProcess({ tls: served });
    try {
      expect(await reason(etcd.url, good)).to.equal('served');
      expect(await reason(etcd.url, await shown(first, 'old-client'))).to.match(
        /^TLS: etcd does not accept the client certificate \S+old-client\.pem, which has expired \(Feb {2}1 00:00:00 2020 GMT\)$/,
      );
      expect(await reason(etcd.url, await shown(second))).to.equal(
        `TLS: the certificate is not signed by a CA in ${second.ca}`,
      );
      await show('old-server');
      expect(await reason(etcd.url, good)).to.equal('TLS: the certificate has expired');
      await show('elsewhere');
      expect(await reason(etcd.url, good)).to.equal('TLS: the certificate is for another name');
    } finally {
      await etcd.stop();
    }
  });
});
