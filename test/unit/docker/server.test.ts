import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { type AddressReply, serve } from '../../../src/docker/index.js';
import { serveExample } from '../../support/example-driver.js';
import { atEnd, clientOf, deferred, endAll, eventually, pause, scripted, served, tempDirectory } from './served.js';

const ADDRESS = '/IpamDriver.RequestAddress';
const ANY = { PoolID: 'p', Address: '', Options: null };
const GRANT: AddressReply = { address: '10.0.0.5/24' };

describe('docker: connections', () => {
  afterEach(endAll);

  it('keeps an idle connection through 6 of its request time-outs and serves the next call on it', async () => {
    const { path } = await served(scripted({ requestAddress: async () => GRANT }), { requestTimeoutMs: 100 });
    const client = clientOf({ socketPath: path }, 1);
    const first = await client.call(ADDRESS, ANY);
    expect(first.headers).to.not.have.property('keep-alive');
    await pause(600);
    const second = await client.call(ADDRESS, ANY);
    expect([second.status, second.reused]).to.deep.equal([200, true]);
  });

  it('keeps a connection that sent nothing yet, and serves its first call', async () => {
    const { path } = await served(scripted(), { requestTimeoutMs: 100 });
    const socket = connect(path);
    await pause(500);
    socket.write('POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n');
    expect(String((await once(socket, 'data'))[0])).to.match(/^HTTP\/1.1 200 OK/);
    socket.destroy();
  });

  for (const [part, text] of [
    ['head', 'POST /Plugin.Activate HTTP/1.1\r\nHo'],
    ['body', `POST ${ADDRESS} HTTP/1.1\r\nHost: \r\nContent-Length: 90\r\n\r\n{`],
  ]) {
    it(`closes one that takes longer than 100 ms to send its ${part}`, async () => {
      const { path } = await served(scripted(), { requestTimeoutMs: 100 });
      const socket = connect(path);
      socket.write(text ?? '');
      expect(String((await once(socket, 'data'))[0])).to.match(/^HTTP\/1.1 408/);
      await once(socket, 'close');
    });
  }

  it('closes one that speaks no HTTP', async () => {
    const { path } = await served(scripted());
    const socket = connect(path);
    socket.write('hello\r\n\r\n');
    expect(String((await once(socket, 'data'))[0])).to.match(/^HTTP\/1.1 400/);
    await once(socket, 'close');
  });

  it('answers a path that is no URL as one that is unknown', async () => {
    const { path, errors } = await served(scripted());
    const socket = connect(path);
    socket.write('POST http://[ HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n');
    const [reply] = await once(socket, 'data', { signal: AbortSignal.timeout(2_000) });
    expect(String(reply)).to.match(/^HTTP\/1.1 404/);
    expect(String(reply)).to.contain('{"Err":"POST http://[ is not a call of an IPAM driver"}');
    expect(errors).to.deep.equal([]);
    socket.destroy();
  });

  it('closes one whose header is over 16 KiB, with 431', async () => {
    const { path } = await served(scripted());
    const socket = connect(path);
    socket.on('error', () => {});
    socket.write(`POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nX: ${'x'.repeat(17_000)}\r\n\r\n`);
    expect(String((await once(socket, 'data'))[0])).to.match(/^HTTP\/1.1 431/);
    await once(socket, 'close');
  });

  it('ends the one that has been idle for the longest when a third comes where 2 are allowed', async () => {
    const { path } = await served(scripted(), { maxConnections: 2 });
    const dial = async () => {
      const socket = connect(path);
      await once(socket, 'connect');
      return socket;
    };
    const [first, second] = [await dial(), await dial()];
    first.write('POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n');
    expect(String((await once(first, 'data'))[0])).to.match(/^HTTP\/1.1 200/);
    second.resume();
    const ended = once(second, 'close');
    const third = await dial();
    await ended;
    third.write('POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n');
    expect(String((await once(third, 'data'))[0])).to.match(/^HTTP\/1.1 200/);
    expect(first.destroyed).to.equal(false);
    for (const socket of [first, third]) socket.destroy();
  });

  it('ends two whose calls are over when two more come at once', async () => {
    const { path } = await served(scripted(), { maxConnections: 2 });
    const activated = async () => {
      const socket = connect(path);
      socket.write('POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n');
      expect(String((await once(socket, 'data'))[0])).to.match(/^HTTP\/1.1 200/);
      return socket;
    };
    const olds = await Promise.all([activated(), activated()]);
    const ended = Promise.all(olds.map((socket) => once(socket.resume(), 'close')));
    const news = await Promise.all([activated(), activated()]);
    await ended;
    for (const socket of news) socket.destroy();
  });

  it('drops the third where both that are allowed have a call in hand, and answers those', async () => {
    const grant = deferred<AddressReply>();
    const asked: unknown[] = [];
    const requestAddress = (request: unknown) => {
      asked.push(request);
      return grant.promise;
    };
    const { path } = await served(scripted({ requestAddress }), { maxConnections: 2 });
    const clients = [clientOf({ socketPath: path }, 1), clientOf({ socketPath: path }, 1)];
    const answers = Promise.all(clients.map((client) => client.call(ADDRESS, ANY)));
    await eventually(() => asked.length === 2);
    const third = connect(path);
    third.on('error', () => {});
    third.resume();
    await once(third, 'close');
    grant.resolve(GRANT);
    expect((await answers).map(({ status }) => status)).to.deep.equal([200, 200]);
  });
});

describe('docker: closing', () => {
  afterEach(endAll);

  it('answers what is in hand, takes the socket away first, and ends idle connections', async () => {
    const grant = deferred<AddressReply>();
    const arrived = deferred();
    const { path, client, plugin, events } = await served(
      scripted({
        requestAddress: async () => {
          arrived.resolve();
          return grant.promise;
        },
      }),
    );
    const idle = clientOf({ socketPath: path }, 1);
    await idle.call('/Plugin.Activate');
    const silent = connect(path);
    await once(silent, 'connect');
    silent.resume();
    const answer = client.call(ADDRESS, ANY);
    await arrived.promise;

    const asked = performance.now();
    const closed = plugin.close();
    await eventually(() => !existsSync(path));
    const late = await idle.call('/Plugin.Activate');
    expect([late.status, late.reused, late.headers.connection]).to.deep.equal([200, true, 'close']);
    grant.resolve(GRANT);
    const { status, headers } = await answer;
    expect([status, headers.connection]).to.deep.equal([200, 'close']);
    await once(silent, 'close');
    await closed;
    expect(performance.now() - asked).to.be.below(9_000); // of the 10 s that it may take
    expect(events.at(-1)).to.include({ call: 'RequestAddress', outcome: 'answered' });
  });

  it('waits for undos under way', async () => {
    const undoing = deferred();
    let undone = false;
    const { client, plugin } = await served(
      scripted({
        requestAddress: async (_, call) => {
          call.onUndelivered(async () => {
            undoing.resolve();
            await pause(80);
            undone = true;
          });
          throw new Error('no');
        },
      }),
    );
    await client.call(ADDRESS, ANY);
    await undoing.promise;
    await plugin.close();
    expect(undone).to.equal(true);
  });

  it('cuts off after 100 ms what does not end, and what that one grants later is taken back', async () => {
    const grant = deferred<AddressReply>();
    const arrived = deferred();
    let undone = 0;
    const { client, plugin } = await served(
      scripted({
        requestAddress: async (_, call) => {
          call.onUndelivered(async () => void undone++);
          arrived.resolve();
          return grant.promise;
        },
      }),
    );
    const answer = client.call(ADDRESS, ANY).then(
      () => 'answered',
      (error: NodeJS.ErrnoException) => error.code,
    );
    await arrived.promise;
    const asked = performance.now();
    await plugin.close(100);
    expect(performance.now() - asked).to.be.within(95, 20_000);
    expect(await answer).to.equal('ECONNRESET');
    grant.resolve(GRANT);
    await eventually(() => undone === 1);
  });

  it('ends its connections also where its socket file cannot be looked at, and tells so', async () => {
    const directory = await tempDirectory();
    const path = join(directory, 'a.sock');
    const plugin = await serve(scripted()).serveUnix(path);
    const socket = connect(path);
    await once(socket, 'connect');
    socket.resume();
    await rm(directory, { recursive: true });
    await writeFile(directory, 'no directory any more');
    const ended = once(socket, 'close');
    expect(await plugin.close().catch((error: NodeJS.ErrnoException) => error.code)).to.equal('ENOTDIR');
    await ended;
  });

  it('may be asked twice', async () => {
    const { plugin } = await served(scripted());
    await Promise.all([plugin.close(), plugin.close()]);
  });
});

describe('docker: serveUnix', () => {
  afterEach(endAll);

  it('refuses a name that is neither plain nor an absolute path', async () => {
    for (const name of ['a/b', '../x', '', '.hidden', './x.sock']) {
      const error = await serveExample(name).catch((refused: Error) => refused.message);
      expect(error).to.contain(`plugin name "${name}" must be letters, digits`);
    }
  });

  it('replaces its own predecessor, and the predecessor ends without taking the path along', async () => {
    const directory = await tempDirectory();
    const path = join(directory, 'a.sock');
    const first = await serve(scripted()).serveUnix(path);
    const refusal = await serve(scripted())
      .serveUnix(path)
      .catch((error: Error) => error.message);
    expect(refusal).to.equal(`${path} is served by another process`);
    await first.close();
    const second = await serve(scripted()).serveUnix(path);
    atEnd(() => second.close());
    await first.close();
    expect(await readdir(directory)).to.deep.equal(['a.sock']);
  });
});
