import { expect } from 'chai';
import { openClient } from '../../src/etcd/client.js';
import { type SessionEvent, SessionKeeper } from '../../src/etcd/session.js';
import { EtcdStore } from '../../src/etcd/store.js';
import { InDoubtError } from '../../src/ipam/errors.js';
import type { Change, Key, Query, Version } from '../../src/ipam/store.js';
import { refusal } from '../support/allocator-fixture.js';
import { type EtcdFixture, entries, keyspace, revision, startEtcd } from '../support/etcd.js';
import { eventually } from '../support/process.js';
import { TcpProxy } from '../support/proxy.js';

const PREFIX = '/etcd-ipam/';
const SESSION = `${PREFIX}sessions/a/i1`;
const soon = (ms = 5_000) => performance.now() + ms;

interface Note {
  readonly token: string;
}
const at = (key: string): Key<Note> => ({ key, decode: (json) => json as Note });
const creation = (key: string, token: string): Change<readonly []> => ({
  when: [{ key: at(key), version: null }],
  write: [{ put: at(key), record: { token } }],
  otherwise: [],
});
const grant = (key: string, token: string): Change<readonly []> => ({
  ...creation(key, token),
  witness: { key: at(key), token },
});

/** What the suites of the port and of lost answers cannot see: one store whose line and whose session part company. */
describe('etcd store', () => {
  let etcd: EtcdFixture;
  let proxy: TcpProxy;
  let session: SessionKeeper;
  let store: EtcdStore;
  let events: SessionEvent[];
  let endings: (() => unknown)[];

  before(async () => {
    etcd = await startEtcd();
  });
  after(() => etcd?.stop());

  beforeEach(async () => {
    events = [];
    proxy = await TcpProxy.to(etcd.url);
    const direct = openClient({ endpoints: [etcd.url] });
    const client = openClient({ endpoints: [proxy.url], attemptMs: 400 });
    const identity = { node: 'a', instance: 'i1', machine: 'm', boot: 'boot-1' };
    const report = (event: SessionEvent) => events.push(event);
    session = new SessionKeeper(direct, { ...identity, prefix: PREFIX, ttl: 10, report });
    store = new EtcdStore(client, session, PREFIX);
    endings = [
      () => store.close(),
      () => client.close(),
      () => proxy.close(),
      () => session.stop(soon(1_000)),
      () => direct.close(),
    ];
    session.start();
    await session.current(soon());
    await store.read([], soon());
  });

  afterEach(async () => {
    for (const end of endings) await end();
    await etcd.ctl('del', '', '--prefix');
  });

  const records = async () =>
    Object.fromEntries(
      Object.entries(await keyspace(etcd, PREFIX))
        .filter(([key]) => !/\/(nodes|sessions)\//.test(key))
        .map(([key, value]) => [key.slice(PREFIX.length), value]),
    );
  const sessionVersion = async () => (await entries(etcd, SESSION))[0]?.modified;

  async function doubtOf(promise: Promise<unknown>): Promise<InDoubtError> {
    try {
      await promise;
    } catch (error) {
      if (error instanceof InDoubtError) return error;
      throw error;
    }
    throw new Error('there was no doubt');
  }

  it('a grant whose session key was removed waits for the next session and then commits, once', async () => {
    const before = await sessionVersion();
    await etcd.ctl('del', SESSION);
    const outcome = await store.commit(grant('x', 'mine'), soon());
    expect(outcome.done).to.equal(true);
    expect(await sessionVersion()).to.be.greaterThan(before!);
    expect(events.map(({ kind }) => kind)).to.deep.equal(['alive', 'lost', 'alive']);
    expect(await records()).to.deep.equal({ x: { token: 'mine' } });
  });

  it('a grant that loses its race and its session at once is told of the race only after it has a session', async () => {
    await store.commit(creation('x', 'theirs'), soon());
    await etcd.ctl('del', SESSION);
    const outcome = await store.commit({ ...grant('x', 'mine'), otherwise: [{ one: at('x') }] as const }, soon());
    if (outcome.done) throw new Error('won against a record that is there');
    expect(outcome.seen[0]?.record.token).to.equal('theirs');
    expect(await records()).to.deep.equal({ x: { token: 'theirs' } });
  });

  it('a grant under a name that another machine took is refused with its reason, and writes nothing', async () => {
    await etcd.ctl(
      'put',
      `${PREFIX}nodes/a`,
      JSON.stringify({ machine: 'other', boot: 'b', since: 'then', token: 't' }),
    );
    await etcd.ctl('del', SESSION);
    expect(await refusal(store.commit(grant('x', 'mine'), soon()))).to.match(
      /^node_name_taken: node name a belongs to machine other since then: set IPAM_NODE/,
    );
    expect((await store.commit(creation('y', 'no grant'), soon())).done).to.equal(true);
    expect(await records()).to.deep.equal({ y: { token: 'no grant' } });
  });

  it('a grant whose answer is cut off is known again by its token, with the version it was written at', async () => {
    const cut = proxy.cutAfterCommit(async () => 'x' in (await records()));
    const outcome = await store.commit(grant('x', 'mine'), soon());
    await cut;
    const [entry] = await entries(etcd, `${PREFIX}x`);
    expect(outcome).to.deep.equal({ done: true, version: String(entry!.modified) });
    expect(await records()).to.deep.equal({ x: { token: 'mine' } });
  });

  it('a lost race whose answer is cut off is a lost race', async () => {
    await store.commit(creation('x', 'theirs'), soon());
    const written = await sessionVersion();
    const waiting = store.commit({ ...grant('x', 'mine'), otherwise: [{ one: at('x') }] as const }, soon());
    proxy.swallowReplies();
    await eventually('the doubt is fenced', async () => (await sessionVersion()) !== written);
    proxy.cut();
    proxy.resume();
    const outcome = await waiting;
    if (outcome.done) throw new Error("took another one's token for its own");
    expect(outcome.seen[0]?.record.token).to.equal('theirs');
    expect(await records()).to.deep.equal({ x: { token: 'theirs' } });
  });

  it('a grant that landed unseen is in doubt at its deadline, and settled as committed later', async () => {
    proxy.swallowReplies();
    const began = performance.now();
    const doubt = await doubtOf(store.commit(grant('x', 'mine'), soon(800)));
    expect(performance.now() - began).to.be.lessThan(4_000);
    expect(doubt.code).to.equal('unavailable');
    proxy.cut();
    proxy.resume();
    expect(await doubt.settled).to.equal(true);
    expect(await records()).to.deep.equal({ x: { token: 'mine' } });
  });

  it('#25: a grant stuck in front of etcd cannot land after its doubt was settled', async () => {
    const written = await sessionVersion();
    proxy.pause();
    const doubt = await doubtOf(store.commit(grant('x', 'mine'), soon(800)));
    await eventually('the doubt is fenced', async () => (await sessionVersion()) !== written);
    expect(await records()).to.deep.equal({});
    // What was stuck goes on now, first of all.
    proxy.resume();
    expect(await doubt.settled).to.equal(false);
    expect(await records()).to.deep.equal({});
    expect((await store.commit(grant('x', 'again'), soon())).done).to.equal(true);
    expect(await records()).to.deep.equal({ x: { token: 'again' } });
  });

  it('a change that is no grant is decided anew from what there is, whichever way it went', async () => {
    const otherwise = [{ one: at('x') }] as const;
    const cut = proxy.cutAfterCommit(async () => 'x' in (await records()));
    const outcome = await store.commit({ ...creation('x', 'mine'), otherwise }, soon());
    await cut;
    if (outcome.done) throw new Error('nobody could know');
    expect(outcome.seen[0]?.record.token).to.equal('mine');
    expect(await records()).to.deep.equal({ x: { token: 'mine' } });
  });

  it('fails at once while etcd is known to be away, and serves again by itself', async () => {
    await store.read([{ one: at('x') }], soon());
    await proxy.refuse();
    proxy.cut();
    expect(await refusal(store.read([{ one: at('x') }], soon(3_600)))).to.match(/is not reachable/);
    const failing = async () => {
      const began = performance.now();
      await refusal(store.read([{ one: at('x') }], soon(5_000)));
      return performance.now() - began < 100;
    };
    await eventually('a call fails at once', failing, 20_000);
    expect(await refusal(store.commit(creation('y', 't'), soon()))).to.match(/is not reachable/);
    await proxy.accept();
    await eventually('it serves', async () => {
      return store.read([{ one: at('x') }], soon(500)).then(
        () => true,
        () => false,
      );
    });
  });

  it('keeps to its deadline while etcd is frozen: reads, changes and grants', async () => {
    etcd.freeze();
    try {
      const began = performance.now();
      const ends = await Promise.all([
        refusal(store.read([{ one: at('x') }], soon(700))),
        refusal(store.commit(creation('x', 'change'), soon(700))),
        refusal(store.commit(grant('y', 'grant'), soon(700))),
      ]);
      expect(performance.now() - began).to.be.lessThan(4_000);
      for (const end of ends) expect(end).to.match(/^(unavailable|deadline): etcd at 127\.0\.0\.1:\d+ /);
    } finally {
      etcd.thaw();
    }
  });

  it('a doubt that is open when store and client are closed counts as not committed, and ends within 4 s', async () => {
    proxy.swallowReplies();
    const doubt = await doubtOf(store.commit(grant('x', 'mine'), soon(600)));
    const closed = performance.now();
    for (const end of endings.splice(0)) await end();
    expect(await doubt.settled).to.equal(false);
    expect(performance.now() - closed).to.be.lessThan(4_000);
    expect(await records()).to.deep.equal({ x: { token: 'mine' } });
  });

  it('sends one transaction per call', async () => {
    const before = [proxy.requests, await revision(etcd)];
    await store.commit(grant('x', 'mine'), soon());
    const queries: Query[] = Array.from({ length: 64 }, (_, i) => ({ one: at(`x${i}`) }));
    await store.read(queries, soon());
    await store.commit(grant('x', 'mine'), soon());
    expect([proxy.requests, await revision(etcd)]).to.deep.equal([before[0]! + 3, before[1]! + 1]);
  });

  it('writes JSON under the prefix that etcdctl shows, and versions that are its mod_revision in decimal', async () => {
    const outcome = await store.commit(grant('claims/local/v4/010.066.000.000-24/010.066.000.007', 'mine'), soon());
    const printed = await etcd.ctl('get', `${PREFIX}claims/`, '--prefix');
    expect(printed).to.equal(`${PREFIX}claims/local/v4/010.066.000.000-24/010.066.000.007\n{"token":"mine"}\n`);
    const version: Version = outcome.done ? outcome.version : '';
    expect(version).to.equal(String(await revision(etcd)));
  });
});
