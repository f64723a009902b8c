// The operators' port by itself: what many who ask at once cost, and that they keep nobody else out.
import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import type { Middleware } from 'koa';
import { type OpsServer, serveOps } from '../../../src/telemetry/server.js';
import { eventually } from '../../support/process.js';

const BYTES = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';

describe('the operators’ port', () => {
  let server: OpsServer;
  let port: number;
  let asked: number;
  let renderings: number;
  let rendered: () => Promise<void>;

  beforeEach(async () => {
    asked = renderings = 0;
    rendered = async () => {};
    const metrics = async () => {
      const text = String(++renderings);
      await rendered();
      return { type: 'text/plain', text };
    };
    const count: Middleware = (_, next) => {
      asked++;
      return next();
    };
    server = await serveOps({ problem: () => undefined, metrics }, { host: '127.0.0.1', port: 0 }, [count]);
    port = Number(server.address.split(':').at(-1));
  });
  afterEach(() => server.close());

  const ask = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  const dial = async () => {
    const socket = connect(port, '127.0.0.1').resume();
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };

  it('renders the metrics twice for 100 who ask while it does', async () => {
    rendered = async () => void (await eventually('all have asked', () => asked === 100));
    const texts = await Promise.all(Array.from({ length: 100 }, () => ask('/metrics')));
    expect([...new Set(texts)].sort()).to.deep.equal(['1', '2']);
    expect(renderings).to.equal(2);
  });

  it('renders them anew for whoever asks later, and is asked for health meanwhile', async () => {
    let end = () => {};
    rendered = () => new Promise((resolve) => (end = resolve));
    const first = ask('/metrics');
    while (renderings === 0) await ask('/healthz');
    const later = [ask('/metrics'), ask('/metrics')];
    expect(await ask('/readyz')).to.equal('{"status":"ok"}');
    rendered = async () => {};
    end();
    expect(await first).to.equal('1');
    expect(await Promise.all(later)).to.deep.equal(['2', '2']);
  });

  it('ends the oldest of 129 connections, and answers the newest', async () => {
    const oldest = await dial();
    const ended = once(oldest, 'close');
    const others = [];
    for (let nth = 1; nth < 128; nth++) others.push(await dial());
    expect(await ask('/healthz')).to.equal('{"status":"ok"}');
    await ended;
    expect(others.filter(({ destroyed }) => destroyed)).to.deep.equal([]);
    for (const socket of others) socket.destroy();
  });

  it('ends a connection that asks again before it has its answer, and answers one that asks after it', async () => {
    const patient = await dial();
    for (let nth = 0; nth < 2; nth++) {
      patient.write(BYTES);
      expect(String((await once(patient, 'data'))[0])).to.match(/^HTTP\/1.1 200/);
    }
    patient.destroy();
    const hasty = await dial();
    const ended = once(hasty, 'close');
    hasty.write(BYTES.repeat(2));
    await ended;
  });
});
