import { once } from 'node:events';
import { connect } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import type { AddressReply, Call } from '../../../src/docker/index.js';
import { FAILURE, REPLIES } from '../../support/wire-schema.js';
import { clientOf, deferred, endAll, eventually, pause, scripted, served } from './served.js';

const ADDRESS = '/IpamDriver.RequestAddress';
const ANY = { PoolID: 'p', Address: '', Options: null };
const GRANT: AddressReply = { address: '10.0.0.5/24' };

describe('docker: a call', () => {
  afterEach(endAll);

  it('answers Activate and the two constant calls', async () => {
    const { client, events } = await served(scripted());
    const activated = await client.call('/Plugin.Activate');
    expect(activated.status).to.equal(200);
    expect(activated.headers['content-type']).to.equal('application/vnd.docker.plugins.v1.2+json');
    expect(activated.text).to.equal('{"Implements":["IpamDriver"]}');
    expect((await client.call('/IpamDriver.GetCapabilities')).text).to.equal(
      '{"RequiresMACAddress":false,"RequiresRequestReplay":false}',
    );
    expect((await client.call('/IpamDriver.GetDefaultAddressSpaces', '\n')).text).to.equal(
      '{"LocalDefaultAddressSpace":"here","GlobalDefaultAddressSpace":"everywhere"}',
    );
    expect(events.map(({ call, outcome }) => `${call} ${outcome}`)).to.deep.equal([
      'Activate answered',
      'GetCapabilities answered',
      'GetDefaultAddressSpaces answered',
    ]);
  });

  it('hands the typed request to the driver and its reply to the engine', async () => {
    const asked: unknown[] = [];
    const { client, events } = await served(
      scripted({
        requestPool: async (request) => {
          asked.push(request);
          return { poolId: 'id', pool: '10.0.0.0/24', data: { 'com.docker.network.gateway': '10.0.0.1/24' } };
        },
        releasePool: async (request) => void asked.push(request),
        requestAddress: async (request) => {
          asked.push(request);
          return GRANT;
        },
        releaseAddress: async (request) => void asked.push(request),
      }),
    );
    const pool = await client.call('/IpamDriver.RequestPool', { AddressSpace: 'here', Pool: '10.0.0.0/24' });
    expect(REPLIES['/IpamDriver.RequestPool'].parse(pool.json).Data).to.deep.equal({
      'com.docker.network.gateway': '10.0.0.1/24',
    });
    expect((await client.call(ADDRESS, { PoolID: 'id', Address: '10.0.0.5', Options: { a: 'b' } })).text).to.equal(
      '{"Address":"10.0.0.5/24","Data":{}}',
    );
    expect((await client.call('/IpamDriver.ReleaseAddress', { PoolID: '', Address: '10.0.0.5' })).text).to.equal('{}');
    expect((await client.call('/IpamDriver.ReleasePool', { PoolID: 'id' })).text).to.equal('{}');
    expect(asked).to.deep.equal([
      { addressSpace: 'here', pool: '10.0.0.0/24', subPool: '', options: null, v6: false },
      { poolId: 'id', address: '10.0.0.5', options: new Map([['a', 'b']]) },
      { poolId: '', address: '10.0.0.5' },
      { poolId: 'id' },
    ]);
    expect(events.map((event) => event.outcome)).to.deep.equal(Array(4).fill('answered'));
    expect(events[1]).to.deep.include({ call: 'RequestAddress', request: asked[1], reply: GRANT, error: undefined });
  });

  it('answers a refusal with 500 and one sentence', async () => {
    const refusal = Object.assign(new Error('10.0.0.5 is held by web.1\n  at somewhere'), { code: 'taken' });
    const { client, events } = await served(scripted({ requestAddress: () => Promise.reject(refusal) }));
    const answer = await client.call(ADDRESS, ANY);
    expect(answer.status).to.equal(500);
    expect(FAILURE.parse(answer.json).Err).to.equal('10.0.0.5 is held by web.1');
    expect(events[0]).to.include({ outcome: 'refused', error: refusal });
  });

  it('answers what is no Error with "internal error"', async () => {
    const { client } = await served(scripted({ requestAddress: () => Promise.reject({ secret: 1 }) }));
    expect((await client.call(ADDRESS, ANY)).text).to.equal('{"Err":"internal error"}');
  });

  it('gives the four state calls with an empty body no effect', async () => {
    const { client, events } = await served(scripted());
    for (const call of ['RequestPool', 'ReleasePool', 'RequestAddress', 'ReleaseAddress']) {
      const answer = await client.call(`/IpamDriver.${call}`);
      expect(answer.status).to.equal(500);
      expect(FAILURE.parse(answer.json).Err).to.match(
        new RegExp(`^${call} came with an empty body: .*nothing was done$`),
      );
    }
    expect(events.map((event) => event.outcome)).to.deep.equal(Array(4).fill('refused'));
  });

  it('refuses a body above 1 MiB by naming the limit, and serves the next call on that connection', async () => {
    const { path } = await served(scripted({ requestAddress: async () => GRANT }));
    const client = clientOf({ socketPath: path }, 1);
    const big = { ...ANY, PoolID: 'x'.repeat(3 * 1024 * 1024) };
    const answer = await client.call(ADDRESS, big);
    expect(answer.status).to.equal(500);
    expect(answer.json.Err).to.equal('RequestAddress: the body has more than 1048576 bytes, the limit');
    const next = await client.call(ADDRESS, ANY);
    expect([next.status, next.reused]).to.deep.equal([200, true]);
  });

  it('refuses a body that says it is longer before it has come, and one that does not say so once it is', async () => {
    const { path, events } = await served(scripted());
    const head = `POST ${ADDRESS} HTTP/1.1\r\nHost: plugin\r\n`;
    const size = 1024 * 1024 + 1;
    for (const request of [
      `${head}Content-Length: ${size}\r\n\r\n{`,
      `${head}Transfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`,
    ]) {
      const socket = connect(path);
      socket.write(request);
      expect(String((await once(socket, 'data'))[0])).to.contain('has more than 1048576 bytes, the limit');
      socket.destroy();
    }
    expect(events.map(({ outcome }) => outcome)).to.deep.equal(['refused', 'refused']);
  });

  it('takes a body of several parts, cut in the middle of a character too, of up to 1 MiB', async () => {
    const names: string[] = [];
    const { path } = await served(
      scripted({
        requestAddress: async ({ options }) => {
          names.push(options?.get('name') ?? '');
          return GRANT;
        },
      }),
    );
    const bare = Buffer.byteLength(JSON.stringify({ ...ANY, Options: { name: '' } }));
    const name = `${'ü'.repeat((1024 * 1024 - bare) / 2)}`.padEnd((1024 * 1024 - bare) / 2, 'x');
    const body = Buffer.from(JSON.stringify({ ...ANY, Options: { name } }));
    const socket = connect(path);
    socket.write(`POST ${ADDRESS} HTTP/1.1\r\nHost: plugin\r\nContent-Length: ${body.length}\r\n\r\n`);
    const middle = body.indexOf('ü') + 1;
    socket.write(body.subarray(0, middle));
    await pause(50);
    socket.write(body.subarray(middle));
    expect(String((await once(socket, 'data'))[0])).to.match(/^HTTP\/1.1 200 OK/);
    socket.destroy();
    expect(names).to.deep.equal([name]);
  });

  it('does nothing where the caller goes in the middle of its body', async () => {
    const { path, events, plugin } = await served(scripted());
    const socket = connect(path);
    socket.write(`POST ${ADDRESS} HTTP/1.1\r\nHost: plugin\r\nContent-Length: 100\r\n\r\n{"Pool`);
    await pause(50);
    socket.destroy();
    await eventually(() => events.length === 1);
    expect(events[0]).to.include({ outcome: 'undelivered', request: undefined });
    expect(events[0]?.error?.message).to.equal('the caller has gone before its request was whole');
    await plugin.close(1_000);
  });

  it('answers unknown paths with 404 and other methods with 405, both with Err', async () => {
    const { client } = await served(scripted());
    const unknown = await client.call('/VolumeDriver.Create', {});
    expect([unknown.status, FAILURE.parse(unknown.json).Err]).to.deep.equal([
      404,
      'POST /VolumeDriver.Create is not a call of an IPAM driver',
    ]);
    expect((await client.call('/ipamdriver.requestaddress', ANY)).status).to.equal(404);
    expect((await client.call(`${ADDRESS}/`, ANY)).status).to.equal(404);
    const read = await client.call(ADDRESS, undefined, { method: 'GET' });
    expect([read.status, read.headers.allow, FAILURE.parse(read.json).Err]).to.deep.equal([
      405,
      'POST',
      'GET /IpamDriver.RequestAddress is answered for POST only',
    ]);
  });

  it('takes a request without any Host header', async () => {
    const { path } = await served(scripted());
    const socket = connect(path);
    socket.end('POST /Plugin.Activate HTTP/1.1\r\nContent-Length: 0\r\n\r\n');
    expect(String((await once(socket, 'data'))[0])).to.match(/^HTTP\/1.1 200 OK/);
  });
});

describe('docker: a call past its deadline', () => {
  afterEach(endAll);

  it('is answered at 100 ms, and what the driver grants later is taken back, last first', async () => {
    const grant = deferred<AddressReply>();
    const undone: string[] = [];
    let lent: Call | undefined;
    const { client, events } = await served(
      scripted({
        requestAddress: async (_, call) => {
          lent = call;
          call.onUndelivered(async () => void undone.push('first'));
          const reply = await grant.promise;
          call.onUndelivered(async () => void undone.push('second'));
          return reply;
        },
      }),
      { deadlineMs: 100.4004 },
    );
    const asked = performance.now();
    const answer = await client.call(ADDRESS, ANY);
    expect(performance.now() - asked).to.be.within(95, 20_000);
    expect([answer.status, answer.json.Err]).to.deep.equal([500, 'RequestAddress did not finish within 0.1 s']);
    expect(lent?.signal.aborted).to.equal(true);
    expect(events.map((event) => event.outcome)).to.deep.equal(['late']);
    expect(undone).to.deep.equal([]);
    grant.resolve(GRANT);
    await eventually(() => undone.length === 2);
    expect(undone).to.deep.equal(['second', 'first']);
    expect(events).to.have.length(1);
  });

  it('is refused and taken back if the process was busy over the deadline and the grant came first', async () => {
    let undone = 0;
    const { client, events } = await served(
      scripted({
        requestAddress: async (_, call) => {
          call.onUndelivered(async () => void undone++);
          block(150);
          return GRANT;
        },
      }),
      { deadlineMs: 100.4004 },
    );
    expect((await client.call(ADDRESS, ANY)).status).to.equal(500);
    await eventually(() => undone === 1);
    expect(events.map((event) => event.outcome)).to.deep.equal(['late']);
  });

  it('is measured anew for each call where the deadline is a function', async () => {
    const windows = [50, 1000];
    const { client } = await served(
      scripted({
        requestAddress: async () => {
          await pause(150);
          return GRANT;
        },
      }),
      { deadlineMs: () => windows.shift() ?? 0 },
    );
    expect((await client.call(ADDRESS, ANY)).status).to.equal(500);
    expect((await client.call(ADDRESS, ANY)).status).to.equal(200);
  });
});

describe('docker: a reply that nobody takes', () => {
  afterEach(endAll);

  it('is taken back when the caller left before it', async () => {
    const grant = deferred<AddressReply>();
    const arrived = deferred<Call>();
    let undone = 0;
    const { client, events } = await served(
      scripted({
        requestAddress: async (_, call) => {
          call.onUndelivered(async () => void undone++);
          arrived.resolve(call);
          return grant.promise;
        },
      }),
    );
    const leaving = new AbortController();
    const answer = client.call(ADDRESS, ANY, { signal: leaving.signal }).catch((error: Error) => error.name);
    const { signal } = await arrived.promise;
    leaving.abort();
    expect(await answer).to.equal('AbortError');
    await eventually(() => signal.aborted);
    expect(undone).to.equal(0);
    grant.resolve(GRANT);
    await eventually(() => undone === 1);
    expect(events.map(({ outcome, reply }) => ({ outcome, reply }))).to.deep.equal([
      { outcome: 'undelivered', reply: GRANT },
    ]);
  });

  it('is taken back when the caller left in the very turn in which the driver answers', async () => {
    let undone = 0;
    const { path, events } = await served(
      scripted({
        requestAddress: async (_, call) => {
          call.onUndelivered(async () => void undone++);
          socket.destroy(); // the kernel knows of it now, this process reads it in its next poll
          return GRANT;
        },
      }),
    );
    const socket = connect(path);
    socket.write(raw(ANY));
    await eventually(() => events.length === 1);
    expect(events[0]?.outcome).to.equal('undelivered');
    expect(undone).to.equal(1);
  });

  it('is left alone once its first byte was written', async () => {
    let undone = 0;
    const { path, events } = await served(
      scripted({
        requestAddress: async (_, call) => {
          call.onUndelivered(async () => void undone++);
          return GRANT;
        },
      }),
    );
    const socket = connect(path);
    socket.write(raw(ANY));
    await once(socket, 'data');
    socket.destroy();
    await pause(50);
    expect(events.map((event) => event.outcome)).to.deep.equal(['answered']);
    expect(undone).to.equal(0);
  });

  it('does not reach the driver at all when the caller left while sending', async () => {
    const { path, events } = await served(scripted());
    const socket = connect(path);
    socket.write(raw(ANY).slice(0, -5));
    await pause(20);
    socket.destroy();
    await eventually(() => events.length === 1);
    expect(events[0]).to.include({ outcome: 'undelivered', request: undefined });
  });

  it('runs every undo though one fails, and reports that one', async () => {
    const undone: number[] = [];
    const { client, errors } = await served(
      scripted({
        requestAddress: async (_, call) => {
          call.onUndelivered(async () => void undone.push(1));
          call.onUndelivered(() => Promise.reject(new Error('etcd is away')));
          call.onUndelivered(async () => void undone.push(3));
          throw new Error('refused after all');
        },
      }),
    );
    expect((await client.call(ADDRESS, ANY)).json.Err).to.equal('refused after all');
    await eventually(() => undone.length === 2);
    expect(undone).to.deep.equal([3, 1]);
    expect(errors.map((error) => error.message)).to.deep.equal(['etcd is away']);
  });

  it('is taken back when the driver answers what an engine cannot read', async () => {
    let undone = 0;
    const { client } = await served(
      scripted({
        requestAddress: async (_, call) => {
          call.onUndelivered(async () => void undone++);
          return { address: '10.0.0.5' };
        },
      }),
    );
    expect((await client.call(ADDRESS, ANY)).status).to.equal(500);
    await eventually(() => undone === 1);
  });

  it('runs an undo that is registered after the taking back at once', async () => {
    let lent: Call | undefined;
    let undone = 0;
    const { client } = await served(
      scripted({
        requestAddress: async (_, call) => {
          lent = call;
          throw new Error('no');
        },
      }),
    );
    await client.call(ADDRESS, ANY);
    await turn();
    lent?.onUndelivered(async () => void undone++);
    expect(undone).to.equal(1);
  });

  it('does not end the process when a hook throws', async () => {
    const { client } = await served(scripted({ requestAddress: async () => GRANT }), {
      onCall: () => {
        throw new Error('log is full');
      },
      onError: () => {},
    });
    expect((await client.call(ADDRESS, ANY)).status).to.equal(200);
    expect((await client.call(ADDRESS, ANY)).status).to.equal(200);
  });
});

function raw(body: object): string {
  const text = JSON.stringify(body);
  return `POST ${ADDRESS} HTTP/1.1\r\nHost: \r\nContent-Length: ${text.length}\r\n\r\n${text}`;
}

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
