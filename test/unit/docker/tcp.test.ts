import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { lstat, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { expect } from 'chai';
import {
  type CallEvent,
  type ServeOptions,
  serve,
  type TcpOptions,
  type TlsOptions,
} from '../../../src/docker/index.js';
import { atEnd, clientOf, endAll, eventually, scripted, tempDirectory } from './served.js';

const run = promisify(execFile);
const ADDRESS = '/IpamDriver.RequestAddress';
const message = (error: Error) => error.message;

async function tcp(
  options: Partial<TcpOptions> = {},
  address = '127.0.0.1:0',
  served: ServeOptions = {},
  ipam = scripted(),
) {
  const specDir = options.specDir ?? (await tempDirectory());
  const plugin = await serve(ipam, served).serveTcp('ipam', address, { specDir, ...options });
  atEnd(() => plugin.close(0));
  return { plugin, specDir, port: Number(plugin.address.split(':').at(-1)) };
}

describe('docker: serveTcp', () => {
  afterEach(endAll);

  it('serves, writes NAME.spec while it does, and removes it at its end', async () => {
    const { plugin, specDir, port } = await tcp();
    expect(plugin.specFile).to.equal(join(specDir, 'ipam.spec'));
    expect(await readFile(join(specDir, 'ipam.spec'), 'utf8')).to.equal(`tcp://127.0.0.1:${port}\n`);
    expect((await lstat(join(specDir, 'ipam.spec'))).mode & 0o777).to.equal(0o644);
    const client = clientOf({ host: '127.0.0.1', port });
    expect((await client.call('/Plugin.Activate')).json).to.deep.equal({ Implements: ['IpamDriver'] });
    await plugin.close();
    expect(await readdir(specDir)).to.deep.equal([]);
  });

  it('leaves a discovery file alone that a successor wrote', async () => {
    const first = await tcp();
    const second = await tcp({ specDir: first.specDir });
    await first.plugin.close();
    expect(await readFile(join(first.specDir, 'ipam.spec'), 'utf8')).to.equal(`tcp://127.0.0.1:${second.port}\n`);
    await writeFile(join(first.specDir, 'ipam.spec'), 'by hand');
    await second.plugin.close();
    expect(existsSync(join(first.specDir, 'ipam.spec'))).to.equal(true);
  });

  it('advertises a reachable address for [::] and for every interface, and the given one', async () => {
    const onSix = await tcp({}, '[::1]:0');
    expect(onSix.plugin.address).to.equal(`[::1]:${onSix.port}`);
    expect(await readFile(join(onSix.specDir, 'ipam.spec'), 'utf8')).to.equal(`tcp://[::1]:${onSix.port}\n`);
    const given = await tcp({ advertise: 'ipam.test:4711' });
    expect(await readFile(join(given.specDir, 'ipam.spec'), 'utf8')).to.equal('tcp://ipam.test:4711\n');
  });

  it('advertises the name that it was given, which a certificate is for, with the port that it got', async () => {
    const { plugin, specDir, port } = await tcp({}, 'localhost:0');
    expect(plugin.address).to.match(/^(127\.0\.0\.1|\[::1\]):[1-9]\d*$/);
    expect(await readFile(join(specDir, 'ipam.spec'), 'utf8')).to.equal(`tcp://localhost:${port}\n`);
  });

  it('advertises loopback for every interface', async () => {
    for (const [address, told] of [
      ['0.0.0.0:0', '127.0.0.1'],
      ['[::]:0', '[::1]'],
    ] as const) {
      const { specDir, port } = await tcp({}, address);
      expect(await readFile(join(specDir, 'ipam.spec'), 'utf8')).to.equal(`tcp://${told}:${port}\n`);
    }
  });

  it('refuses addresses without a port, naming them', async () => {
    for (const address of ['127.0.0.1', '::1', '::1:80', 'host:99999', 'host:', '']) {
      expect(await tcp({}, address).catch(message)).to.contain(`listen address "${address}" must be host:port`);
    }
  });

  it('does not listen on when its discovery file cannot be written', async () => {
    const { specDir, port } = await tcp();
    const file = join(specDir, 'ipam.spec');
    expect(await tcp({ specDir: file }, `127.0.0.2:${port}`).catch(message)).to.match(/EEXIST|ENOTDIR/);
    const again = await tcp({}, `127.0.0.2:${port}`);
    expect(again.port).to.equal(port);
  });

  it('refuses what a web page sends, which asks for nothing then, and answers an engine', async () => {
    let asked = 0;
    const requestAddress = async () => {
      asked++;
      return { address: '10.0.0.5/24' };
    };
    const { port } = await tcp({}, '127.0.0.1:0', {}, scripted({ requestAddress }));
    const post = async (headers: Record<string, string>) => {
      const sent = request({ port, host: '127.0.0.1', method: 'POST', path: ADDRESS, headers });
      sent.end('{"PoolID":"p","Address":"","Options":{}}');
      const [reply] = (await once(sent, 'response')) as [IncomingMessage];
      return [reply.statusCode, JSON.parse(await text(reply))];
    };
    const from = (header: string) => ({
      Err: `a request with ${header} is a web page's, and only engines are answered`,
    });
    const evil = { Origin: 'https://evil.example', 'Content-Type': 'text/plain' };
    expect(await post({ ...evil, 'Sec-Fetch-Site': 'cross-site' })).to.deep.equal([
      403,
      from('Origin https://evil.example'),
    ]);
    expect(await post({ 'Sec-Fetch-Site': 'same-origin' })).to.deep.equal([403, from('Sec-Fetch-Site same-origin')]);
    expect(asked).to.equal(0);
    expect(await post({})).to.deep.equal([200, { Address: '10.0.0.5/24', Data: {} }]);
  });

  it('takes a grant back whose caller hung up while the process was busy', async () => {
    const events: CallEvent[] = [];
    let undone = 0;
    const specDir = await tempDirectory();
    const ipam = scripted({
      requestAddress: async (_, call) => {
        call.onUndelivered(async () => void undone++);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
        return { address: '10.0.0.5/24' };
      },
    });
    const plugin = await serve(ipam, { onCall: (event) => events.push(event) }).serveTcp('ipam', '127.0.0.1:0', {
      specDir,
    });
    atEnd(() => plugin.close(0));
    const program = `
      const socket = require('net').connect(${plugin.address.split(':')[1]}, '127.0.0.1', () => {
        socket.write('POST ${ADDRESS} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\n{}');
        setTimeout(() => socket.end(), 100);
      });`;
    const caller = spawn(process.execPath, ['-e', program], { stdio: 'inherit' });
    await once(caller, 'exit');
    await eventually(() => events.length === 1);
    expect(events[0]?.outcome).to.equal('undelivered');
    expect(undone).to.equal(1);
  });
});

describe('docker: serveTcp with mutual TLS', () => {
  let keys: string;
  let pem: (name: string) => Promise<string>;
  let tls: TlsOptions;

  before(async () => {
    keys = await mkdtemp(join(tmpdir(), 'ipam-keys-'));
    await authority(keys, 'ca');
    await authority(keys, 'other');
    await certificate(keys, 'ca', 'server', 'subjectAltName=IP:127.0.0.1');
    await certificate(keys, 'ca', 'engine', 'extendedKeyUsage=clientAuth');
    await certificate(keys, 'other', 'stranger', 'extendedKeyUsage=clientAuth');
    pem = (name) => readFile(join(keys, name), 'utf8');
    tls = {
      ca: await pem('ca.pem'),
      cert: await pem('server.pem'),
      key: await pem('server.key'),
      engine: { caFile: '/host/ca.pem', certFile: '/host/engine.pem', keyFile: '/host/engine.key' },
    };
  });
  after(() => rm(keys, { recursive: true, force: true }));
  afterEach(endAll);

  it('serves a client with a certificate, idle connections included, and writes NAME.json', async () => {
    const { plugin, specDir, port } = await tcp({ tls }, '127.0.0.1:0', { requestTimeoutMs: 100 });
    const identity = { ca: tls.ca, cert: await pem('engine.pem'), key: await pem('engine.key') };
    const client = clientOf({ host: '127.0.0.1', port, tls: identity }, 1);
    expect((await client.call('/Plugin.Activate')).status).to.equal(200);
    await new Promise((resolve) => setTimeout(resolve, 400));
    const again = await client.call('/Plugin.Activate');
    expect([again.status, again.reused]).to.deep.equal([200, true]);
    expect(JSON.parse(await readFile(join(specDir, 'ipam.json'), 'utf8'))).to.deep.equal({
      Name: 'ipam',
      Addr: `https://127.0.0.1:${port}`,
      TLSConfig: {
        InsecureSkipVerify: false,
        CAFile: '/host/ca.pem',
        CertFile: '/host/engine.pem',
        KeyFile: '/host/engine.key',
      },
    });
    await plugin.close();
    expect(await readdir(specDir)).to.deep.equal([]);
  });

  it('shows each new connection the certificate of the moment, and keeps those that there are', async () => {
    const made = { ca: tls.ca, cert: tls.cert, key: tls.key };
    let now = made;
    const { port } = await tcp({ tls: { ...tls, renewed: () => now } });
    const identity = { ca: tls.ca, cert: await pem('engine.pem'), key: await pem('engine.key') };
    const dial = async () => {
      const socket = connectTls({ host: '127.0.0.1', port, ...identity });
      await once(socket, 'secureConnect');
      return socket;
    };
    const before = await dial();
    await certificate(keys, 'ca', 'renewed', 'subjectAltName=IP:127.0.0.1');
    now = { ...made, cert: await pem('renewed.pem'), key: await pem('renewed.key') };
    const after = await dial();
    const names = [before, after].map((socket) => socket.getPeerCertificate().subject.CN);
    expect(names).to.deep.equal(['server', 'renewed']);
    for (const socket of [before, after]) {
      socket.write('POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n');
      expect(String((await once(socket, 'data'))[0])).to.match(/^HTTP\/1.1 200/);
      socket.destroy();
    }
    const stranger = clientOf({
      host: '127.0.0.1',
      port,
      tls: { ca: tls.ca, cert: await pem('stranger.pem'), key: await pem('stranger.key') },
    });
    expect(
      await stranger.call('/Plugin.Activate').then(
        () => 'served',
        () => 'refused',
      ),
    ).to.equal('refused');
  });

  it('refuses a client without a certificate, one with a foreign one, and plain HTTP', async () => {
    const { port } = await tcp({ tls });
    const refused = (identity: object) =>
      clientOf({ host: '127.0.0.1', port, tls: { ca: tls.ca, ...identity } })
        .call('/Plugin.Activate')
        .then(
          () => 'served',
          (error: NodeJS.ErrnoException) => error.code,
        );
    expect(await refused({})).to.be.oneOf(['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'ECONNRESET', 'EPIPE']);
    expect(await refused({ cert: await pem('stranger.pem'), key: await pem('stranger.key') })).to.be.oneOf([
      'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
      'ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR',
      'ECONNRESET',
      'EPIPE',
    ]);
    const plain = await clientOf({ host: '127.0.0.1', port })
      .call('/Plugin.Activate')
      .catch((error: NodeJS.ErrnoException) => error.code);
    expect(plain).to.be.oneOf(['ECONNRESET', 'EPIPE', 'HPE_INVALID_CONSTANT']);
  });

  it('ends the oldest that has shown no certificate where too many have not, and serves those that have', async () => {
    const { port } = await tcp({ tls }, '127.0.0.1:0', { maxConnections: 2 });
    const identity = { ca: tls.ca, cert: await pem('engine.pem'), key: await pem('engine.key') };
    const client = clientOf({ host: '127.0.0.1', port, tls: identity }, 1);
    expect((await client.call('/Plugin.Activate')).status).to.equal(200);
    const silent: Socket[] = [];
    for (let nth = 0; nth < 5; nth++) {
      const socket = connect(port, '127.0.0.1').resume();
      socket.on('error', () => {});
      await once(socket, 'connect');
      silent.push(socket);
    }
    await eventually(() => silent.filter(({ destroyed }) => destroyed).length === 3);
    expect(silent.map(({ destroyed }) => destroyed)).to.deep.equal([true, true, true, false, false]);
    const another = clientOf({ host: '127.0.0.1', port, tls: identity }, 1);
    expect((await another.call('/Plugin.Activate')).status).to.equal(200);
    const again = await client.call('/Plugin.Activate');
    expect([again.status, again.reused]).to.deep.equal([200, true]);
    for (const socket of silent) socket.destroy();
  });

  it('closes at once although a connection has not shown a certificate, and never will', async () => {
    const { plugin, port } = await tcp({ tls });
    const silent = connect(port, '127.0.0.1');
    silent.on('error', () => {});
    const ended = once(silent, 'close');
    await once(silent, 'connect');
    const began = performance.now();
    await plugin.close();
    expect(performance.now() - began).to.be.lessThan(5_000);
    await ended;
  });

  it('refuses to start beside a NAME.spec, which an engine would read first', async () => {
    const specDir = await tempDirectory();
    await writeFile(join(specDir, 'ipam.spec'), 'tcp://127.0.0.1:1');
    expect(await tcp({ tls, specDir }).catch(message)).to.contain('ipam.spec exists, and an engine reads it before');
  });
});

async function authority(directory: string, name: string): Promise<void> {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await run('openssl', ['req', '-x509', ...key, '-subj', `/CN=${name}`, '-days', '2', ...out(directory, name)]);
}

async function certificate(directory: string, by: string, name: string, extension: string): Promise<void> {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const signer = ['-CA', join(directory, `${by}.pem`), '-CAkey', join(directory, `${by}.key`)];
  const subject = ['-subj', `/CN=${name}`, '-addext', extension, '-addext', 'basicConstraints=critical,CA:FALSE'];
  await run('openssl', ['req', '-x509', ...key, ...signer, ...subject, '-days', '2', ...out(directory, name)]);
}

function out(directory: string, name: string): string[] {
  return ['-keyout', join(directory, `${name}.key`), '-out', join(directory, `${name}.pem`)];
}
