// Who listens to what changes: one watch for all while there is somebody, what those that come back have missed, and those
// that do not read.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import type { Revised, Watching, WatchOptions } from '../../../src/ipam/watching.js';
import { Listeners, MOST_LISTENERS } from '../../../src/web/events.js';
import { EventStream } from '../../support/event-stream.js';
import { eventually } from '../../support/process.js';

/** A watch whose revisions the test writes. */
class Written {
  readonly begun: WatchOptions[] = [];
  #queue: Revised[] = [];
  #wake = () => {};
  seen = '10';

  readonly watching: Watching = (options) => {
    this.begun.push(options);
    this.#queue = [];
    return this.#read(options);
  };

  get running(): boolean {
    return this.begun.length > 0 && !this.begun.at(-1)!.signal.aborted;
  }

  push(...revised: Revised[]): void {
    this.#queue.push(...revised);
    this.#wake();
  }

  async *#read({ signal, after }: WatchOptions): AsyncGenerator<Revised, void, undefined> {
    signal.addEventListener('abort', () => this.#wake());
    yield { version: after ?? this.seen, changed: [] };
    while (!signal.aborted) {
      const one = this.#queue.shift();
      if (one) yield one;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

const claim = (revision: number, octet: number, text?: string): Revised => ({
  version: String(revision),
  changed: [
    {
      key: `claims/local/v4/010.066.000.000-24/010.066.000.${String(octet).padStart(3, '0')}`,
      ...(text === undefined
        ? { before: JSON.stringify({ kind: 'endpoint', node: 'a', since: '', token: '' }) }
        : { text: JSON.stringify({ kind: 'endpoint', node: 'a', name: text, since: '', token: '' }) }),
    },
  ],
});

describe('listeners', () => {
  let written: Written;
  let away: string | undefined;
  let listeners: Listeners;
  let server: Server;
  let port: number;
  const open: EventStream[] = [];

  beforeEach(async () => {
    written = new Written();
    away = undefined;
    const store = { seen: () => written.seen };
    listeners = new Listeners({ watching: written.watching, store, etcdAway: () => away });
    server = createServer((request, response) => {
      const last = request.headers['last-event-id'];
      if (!listeners.add(response, typeof last === 'string' ? last : undefined)) response.writeHead(503).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterEach(() => {
    for (const one of open.splice(0)) one.close();
    listeners.close();
    server.close();
  });

  async function connect(last?: string, read = true) {
    const stream = await EventStream.open(`http://127.0.0.1:${port}/`, last, read);
    open.push(stream);
    return stream;
  }

  it('there are none: nothing is watched; the last one gone: no more', async () => {
    expect(written.begun).to.have.length(0);
    const one = await connect();
    const other = await connect();
    await eventually('a watch', () => written.running);
    one.close();
    await eventually('one left', () => listeners.count === 1);
    expect(written.running).to.equal(true);
    other.close();
    await eventually('no watch', () => !written.running);
    expect(written.begun).to.have.length(1);
  });

  it('hear who was given what, and what is free again, with the revision up to which that is all', async () => {
    const one = await connect();
    await eventually('the first word', () => one.events[0]);
    expect(one.events[0]).to.deep.include({ id: '10', event: 'changes' });
    written.push(claim(11, 2, 'web.1'), claim(12, 2));
    await eventually('both', () => one.changes.length === 2);
    expect(one.changes).to.deep.equal([
      {
        ...{ what: 'claim', gone: false, fresh: true, space: 'local', pool: '10.66.0.0/24', address: '10.66.0.2' },
        ...{ kind: 'endpoint', node: 'a', name: 'web.1' },
      },
      {
        ...{ what: 'claim', gone: true, fresh: false, space: 'local', pool: '10.66.0.0/24', address: '10.66.0.2' },
        ...{ kind: 'endpoint', node: 'a' },
      },
    ]);
    expect(one.last).to.equal('12');
  });

  it('that come back are told what they missed, by the watch when they are the first', async () => {
    const one = await connect('7');
    await eventually('a watch', () => written.begun[0]);
    expect(written.begun[0]!.after).to.equal('7');
    written.push(claim(8, 2, 'web.1'));
    await eventually('it', () => one.changes.length === 1);
  });

  it('that come back to others get what is kept, or are told to read anew', async () => {
    const first = await connect();
    for (const [revision, octet] of [
      [11, 2],
      [12, 3],
      [13, 4],
    ] as const) {
      written.push(claim(revision, octet, `web.${octet}`));
      await eventually(`${revision}`, () => first.events.at(-1)?.id === String(revision));
    }
    const second = await connect('11');
    await eventually('the rest', () => second.changes.length === 2);
    expect(second.changes.map(({ name }) => name)).to.deep.equal(['web.3', 'web.4']);
    const current = await connect('13');
    const stranger = await connect('3');
    await eventually('a reset', () => stranger.named('reset')[0]);
    expect(stranger.named('reset')[0]!.id).to.equal('13');
    expect(stranger.changes).to.deep.equal([]);
    expect(current.named('reset')).to.deep.equal([]);
    expect(written.begun).to.have.length(1);
  });

  it('are told to read anew where the watch has missed something, or where their revision is still to come', async () => {
    const one = await connect();
    await eventually('the first word', () => one.events[0]);
    written.push({ version: '400', missed: 'it was compacted' });
    await eventually('a reset', () => one.named('reset')[0]);
    expect(one.named('reset')[0]).to.deep.include({ id: '400', data: { why: 'it was compacted' } });
    one.close();
    await eventually('no watch', () => !written.running);

    const early = await connect('999');
    await eventually('a reset', () => early.named('reset')[0]);
    expect(early.named('reset')[0]!.id).to.equal('10');
    expect(written.begun.map(({ after }) => after)).to.deep.equal([undefined, '999', undefined]);
  });

  it('hear once that etcd is away and once that it is back', async () => {
    const one = await connect();
    await eventually('a watch', () => written.begun[0]);
    const { report } = written.begun[0]!;
    report?.('connection refused');
    report?.('connection refused again');
    away = 'nobody answers';
    report?.(undefined);
    await eventually('away', () => one.named('etcd').length === 1);
    const late = await connect();
    await eventually('away for the late one', () => late.named('etcd')[0]);
    away = undefined;
    await eventually('back', () => one.named('etcd').length === 2);
    expect(one.named('etcd').map(({ data }) => data.away)).to.deep.equal(['connection refused', null]);
  });

  it(`are ${MOST_LISTENERS} at most`, async () => {
    for (let i = 0; i < MOST_LISTENERS; i++) await connect();
    expect((await connect()).response.statusCode).to.equal(503);
    open[0]!.close();
    await eventually('room', () => listeners.count < MOST_LISTENERS);
    expect((await connect()).response.statusCode).to.equal(200);
  });

  it('that do not read are dropped, and the others hear on', async () => {
    const good = await connect();
    await connect(undefined, false);
    let revision = 10;
    const name = 'x'.repeat(2_000);
    await eventually('the slow one is dropped', async () => {
      for (let i = 0; i < 1_500; i++) written.push(claim(++revision, 2 + (i % 200), name));
      await eventually('heard', () => good.events.at(-1)?.id === String(revision));
      return listeners.count === 1;
    });
    expect(good.ended).to.equal(false);
    expect(written.begun).to.have.length(1);
  });
});
