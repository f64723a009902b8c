// Every revision once and in order, whatever happens to the stream; and the word that some were missed where that is so.
import { expect } from 'chai';
import { type EtcdClient, openClient, type TxnRequest } from '../../src/etcd/client.js';
import { watchingOf } from '../../src/etcd/watching.js';
import type { Revised } from '../../src/ipam/watching.js';
import { type EtcdProcess, revision, startEtcdProcess } from '../support/etcd.js';
import { eventually } from '../support/process.js';
import { TcpProxy } from '../support/proxy.js';

const PREFIX = '/w/';
const soon = () => performance.now() + 10_000;
const put = (...names: string[]): TxnRequest => ({
  success: names.map((name) => ({ request_put: { key: Buffer.from(PREFIX + name), value: Buffer.from(`"${name}"`) } })),
});

describe('watching etcd', function () {
  this.timeout(120_000);
  let etcd: EtcdProcess;
  let opened: (() => unknown)[] = [];

  const open = (endpoint: string, user = {}): EtcdClient => {
    const client = openClient({ endpoints: [endpoint], ...user });
    opened.push(() => client.close());
    return client;
  };
  /** Collects what is told until the test ends. */
  const watch = (client: EtcdClient, after?: string) => {
    const seen: Revised[] = [];
    const problems: (string | undefined)[] = [];
    const stop = new AbortController();
    const report = (problem: string | undefined) => problems.push(problem);
    const options = { signal: stop.signal, report, ...(after !== undefined && { after }) };
    const done = (async () => {
      for await (const one of watchingOf(client, PREFIX)(options)) seen.push(one);
    })();
    done.catch(() => undefined);
    opened.push(() => stop.abort());
    const keys = () => seen.flatMap((one) => ('changed' in one ? one.changed.map(({ key }) => key) : []));
    return { seen, problems, stop, done, keys };
  };
  const standing = (watched: ReturnType<typeof watch>) =>
    eventually('the watch stands', () => watched.seen.length > 0 && watched.problems.includes(undefined));

  before(async () => {
    etcd = await startEtcdProcess();
  });
  after(() => etcd?.stop());
  afterEach(async () => {
    for (const close of opened.reverse()) await close();
    opened = [];
    await etcd.ctl('del', '', '--prefix');
  });

  it('says what was written, what was there before and what went, all of one revision together', async () => {
    const client = open(etcd.url);
    const watched = watch(client);
    await standing(watched);
    await client.txn(put('a', 'b'), soon());
    await client.txn(
      {
        success: [
          { request_put: { key: Buffer.from('/w/a'), value: Buffer.from('2') } },
          { request_delete_range: { key: Buffer.from('/w/b') } },
        ],
      },
      soon(),
    );
    await client.txn(
      { success: [{ request_put: { key: Buffer.from('/elsewhere'), value: Buffer.from('1') } }] },
      soon(),
    );
    await eventually('two revisions', () => watched.seen.length === 3);
    const [first, ...rest] = watched.seen;
    expect(first).to.include.keys('changed', 'version');
    expect(rest.map((one) => 'changed' in one && one.changed)).to.deep.equal([
      [
        { key: 'a', text: '"a"' },
        { key: 'b', text: '"b"' },
      ],
      [
        { key: 'a', text: '2', before: '"a"' },
        { key: 'b', before: '"b"' },
      ],
    ]);
    expect(rest.map(({ version }) => Number(version) - Number(first!.version))).to.deep.equal([1, 2]);
  });

  it('loses none of 3,000 revisions and tells none twice while its stream is cut 12 times', async () => {
    const proxy = await TcpProxy.to(etcd.url);
    opened.push(() => proxy.close());
    const writer = open(etcd.url);
    const watched = watch(open(proxy.url));
    await standing(watched);
    const names = Array.from({ length: 3_000 }, (_, i) => `k/${String(i).padStart(4, '0')}`);
    for (const [i, name] of names.entries()) {
      if (i % 250 === 100) proxy.cut();
      await writer.txn(put(name), soon());
    }
    await eventually('the last one', () => watched.keys().at(-1) === names.at(-1), 30_000);
    expect(watched.keys()).to.deep.equal(names);
    expect(proxy.connections).to.be.greaterThan(5);
  });

  it('goes on behind a revision that was told, with 6 MB in between', async () => {
    const client = open(etcd.url);
    const { header } = await client.txn(put('before'), soon());
    const value = Buffer.from(JSON.stringify('x'.repeat(60_000)));
    for (let i = 0; i < 5; i++) {
      const success = Array.from({ length: 20 }, (_, j) => ({
        request_put: { key: Buffer.from(`/w/${i}/${String(j).padStart(2, '0')}`), value },
      }));
      await client.txn({ success }, soon());
    }
    const watched = watch(client, header.revision);
    await eventually('all of them', () => watched.keys().length >= 100, 30_000);
    expect(watched.seen.map((one) => ('changed' in one ? one.changed.length : -1))).to.deep.equal([
      0, 20, 20, 20, 20, 20,
    ]);
  });

  it('says that something was missed when it was compacted meanwhile, and goes on', async () => {
    const proxy = await TcpProxy.to(etcd.url);
    opened.push(() => proxy.close());
    const writer = open(etcd.url);
    const watched = watch(open(proxy.url));
    await standing(watched);
    proxy.pause();
    proxy.cut();
    for (const name of ['a', 'b', 'c']) await writer.txn(put(name), soon());
    await etcd.ctl('compact', String(await revision(etcd)));
    proxy.cut();
    proxy.resume();
    await eventually('the word', () => watched.seen.some((one) => 'missed' in one), 30_000);
    await standing(watched);
    await writer.txn(put('d'), soon());
    await eventually('what came after', () => watched.keys().includes('d'), 30_000);
    expect(watched.seen.slice(1).map((one) => ('missed' in one ? one.missed : one.changed))).to.deep.equal([
      'what happened was compacted before it was read',
      [{ key: 'd', text: '"d"' }],
    ]);
  });

  it('says so when etcd was set back to a backup, though its revisions have come again', async () => {
    const client = open(etcd.url);
    const watched = watch(client);
    await standing(watched);
    const backup = await etcd.snapshot();
    for (const name of ['lost/1', 'lost/2']) await client.txn(put(name), soon());
    await eventually('both', () => watched.keys().length === 2);
    await etcd.restore(backup);
    await eventually('the word', () => watched.seen.some((one) => 'missed' in one), 30_000);
    await open(etcd.url).txn(put('new'), soon());
    await eventually('what came after', () => watched.keys().includes('new'), 30_000);
    expect(watched.seen.slice(3).map((one) => ('missed' in one ? one.missed : one.changed[0]!.key))).to.deep.equal([
      'etcd was set back to a backup',
      'new',
    ]);
  });

  it('says why nothing comes while etcd is away, and goes on when it is back', async () => {
    const client = open(etcd.url);
    const watched = watch(client);
    await standing(watched);
    await etcd.kill();
    await eventually('a problem', () => watched.problems.at(-1)?.includes('connection refused') === true, 30_000);
    await etcd.restart();
    await eventually('it stands again', () => watched.problems.at(-1) === undefined, 30_000);
    await open(etcd.url).txn(put('back'), soon());
    await eventually('what came after', () => watched.keys().includes('back'), 30_000);
    expect(watched.seen.every((one) => 'changed' in one)).to.equal(true);
  });

  it('ends at once when it is told to, and leaves the connection to others', async () => {
    const client = open(etcd.url);
    const watched = watch(client);
    await standing(watched);
    watched.stop.abort();
    await watched.done;
    await client.txn(put('still'), soon());
    expect(watched.keys()).to.deep.equal([]);
  });

  it('goes on with a new token after etcd has forgotten the one it had; throws only where its user may not read', async () => {
    const guarded = await startEtcdProcess({ auth: { username: 'root', password: 'pw' }, args: ['--bcrypt-cost=4'] });
    try {
      const user = { username: 'root', password: 'pw' };
      const watched = watch(open(guarded.url, user));
      await standing(watched);
      await guarded.restart();
      await open(guarded.url, user).txn(put('again'), soon());
      await eventually('what came after', () => watched.keys().includes('again'), 30_000);
      await guarded.ctl('user', 'add', 'guest:pw');
      const denied = await watch(open(guarded.url, { username: 'guest', password: 'pw' })).done.catch((error) => error);
      expect(denied).to.include({ code: 'denied' });
      opened.reverse();
      for (const close of opened.splice(0)) await close();
    } finally {
      await guarded.stop();
    }
  });
});
