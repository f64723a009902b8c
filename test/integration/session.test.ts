import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { type EtcdClient, openClient } from '../../src/etcd/client.js';
import { type SessionEvent, SessionKeeper, type SessionSettings } from '../../src/etcd/session.js';
import { IpamError } from '../../src/ipam/errors.js';
import { type EtcdFixture, entries, keyspace, startEtcd } from '../support/etcd.js';
import { TcpProxy } from '../support/proxy.js';

const PREFIX = '/etcd-ipam/';
const NODE = `${PREFIX}nodes/web`;
const soon = (ms = 5000) => performance.now() + ms;
const session = (instance = 'i1') => `${PREFIX}sessions/web/${instance}`;

async function errorOf(promise: Promise<unknown>): Promise<IpamError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof IpamError) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

describe('session', () => {
  let etcd: EtcdFixture;
  let direct: EtcdClient;
  let events: SessionEvent[];
  let closing: (() => unknown)[];

  const open = (url = etcd.url): EtcdClient => {
    const client = openClient({ endpoints: [url] });
    closing.push(() => client.close());
    return client;
  };
  const begin = (changed: Partial<SessionSettings> = {}, client = direct): SessionKeeper => {
    const settings = { prefix: PREFIX, node: 'web', instance: 'i1', machine: 'm1', boot: 'b1', ttl: 2 };
    const keeper = new SessionKeeper(client, { ...settings, report: (event) => events.push(event), ...changed });
    closing.push(() => keeper.stop(soon(1000)));
    keeper.start();
    return keeper;
  };
  const proxied = async (): Promise<TcpProxy> => {
    const proxy = await TcpProxy.to(etcd.url);
    closing.push(() => proxy.close());
    return proxy;
  };
  /** What a grant does: put a key on the condition that the session is the one handed out. */
  const grant = async (name: string, version: string, instance = 'i1'): Promise<boolean> => {
    const key = Buffer.from(session(instance));
    const reply = await direct.txn(
      {
        compare: [{ key, target: 'Mod', result: 'Equal', mod_revision: version }],
        success: [{ request_put: { key: Buffer.from(`${PREFIX}claims/${name}`), value: Buffer.from('{}') } }],
      },
      soon(),
    );
    return reply.succeeded;
  };
  const kinds = () => events.map((event) => event.kind);

  before(async () => {
    etcd = await startEtcd();
  });
  after(() => etcd?.stop());
  beforeEach(() => {
    events = [];
    closing = [];
    direct = open();
  });
  afterEach(async () => {
    etcd.thaw();
    for (const close of closing.reverse()) await close();
    await etcd.ctl('del', '', '--prefix');
  });

  it('stands in etcd as two records, is kept for more than 2 TTL, and ends with stop', async () => {
    const keeper = begin({ host: 'web.example' });
    const first = await keeper.current(soon());
    expect(String(first.key)).to.equal(session());
    const found = await entries(etcd, PREFIX);
    expect(found.map(({ key, leased }) => [key, leased])).to.deep.equal([
      [NODE, false],
      [session(), true],
    ]);
    expect(found[0]?.value).to.include({ machine: 'm1', boot: 'b1', silence: 0 });
    expect(found[1]?.value).to.include({ machine: 'm1', boot: 'b1', pid: process.pid, host: 'web.example' });
    expect(found[1]?.modified).to.equal(Number(first.version));
    await sleep(5000);
    expect(await keeper.current(soon(0))).to.deep.equal(first);
    expect(await grant('a', first.version)).to.equal(true);
    await keeper.stop(soon());
    expect(Object.keys(await keyspace(etcd, PREFIX))).to.deep.equal([`${PREFIX}claims/a`, NODE]);
    expect((await errorOf(keeper.current(soon()))).message).to.equal('the session of node web has ended');
    expect(kinds()).to.deep.equal(['alive']);
  });

  it('waits for etcd, and says at the deadline why there is none', async () => {
    const proxy = await proxied();
    await proxy.refuse();
    const keeper = begin({}, open(proxy.url));
    const began = performance.now();
    const error = await errorOf(keeper.current(soon(400)));
    expect(performance.now() - began).to.be.within(390, 10_000);
    const where = proxy.url.slice(7);
    expect([error.code, error.message]).to.deep.equal([
      'unavailable',
      `etcd at ${where} is not reachable: connection refused`,
    ]);
    await proxy.accept();
    await keeper.current(soon(3000));
    expect(kinds()).to.deep.equal(['unreachable', 'alive']);
  });

  it('is lost when etcd is frozen longer than the TTL, and is created again after the thaw', async () => {
    const keeper = begin();
    const first = await keeper.current(soon());
    etcd.freeze();
    await sleep(2500);
    expect((await errorOf(keeper.current(soon(100)))).code).to.equal('unavailable');
    etcd.thaw();
    const second = await keeper.current(soon(4000));
    expect(BigInt(second.version) > BigInt(first.version)).to.equal(true);
    expect(await grant('a', first.version)).to.equal(false);
    expect(await grant('b', second.version)).to.equal(true);
    expect(kinds()).to.include.members(['lost', 'unreachable']);
    expect(kinds().at(-1)).to.equal('alive');
  });

  it('survives a freeze of half a TTL with the same version', async () => {
    const keeper = begin({ ttl: 3 });
    const first = await keeper.current(soon());
    etcd.freeze();
    await sleep(1500);
    etcd.thaw();
    await sleep(1000);
    expect(await keeper.current(soon(0))).to.deep.equal(first);
    expect(kinds()).to.not.include('lost');
  });

  it('is created again with a new version within 1.5 s after its lease was revoked from outside', async () => {
    const keeper = begin();
    const first = await keeper.current(soon());
    const [id] = (await etcd.ctl('lease', 'list')).split('\n').filter((line) => /^[0-9a-f]{16}$/.test(line));
    await etcd.ctl('lease', 'revoke', id as string);
    expect(await grant('a', first.version)).to.equal(false);
    await sleep(1500);
    const second = await keeper.current(soon(0));
    expect(await grant('b', second.version)).to.equal(true);
    expect(await keyspace(etcd, `${PREFIX}sessions/`)).to.have.all.keys(session());
  });

  it('told of a mismatch, finds its key removed and is created again at once', async () => {
    const keeper = begin({ ttl: 30 });
    const first = await keeper.current(soon());
    await etcd.ctl('del', session());
    await keeper.mismatch(first.version, soon());
    const second = await keeper.current(soon());
    expect(await grant('a', second.version)).to.equal(true);
  });

  it('told of a mismatch, keeps the version when nothing had changed, and does not believe a stranger', async () => {
    const keeper = begin({ ttl: 30 });
    const first = await keeper.current(soon());
    await keeper.mismatch(first.version, soon());
    expect(await keeper.current(soon(0))).to.deep.equal(first);
    await etcd.ctl('put', session(), '{"machine":"m1","boot":"b1","token":"not ours"}');
    await keeper.mismatch(first.version, soon());
    const second = await keeper.current(soon());
    expect(await grant('a', second.version)).to.equal(true);
    expect(events.find((event) => event.kind === 'lost')).to.include({ reason: 'its key was written by someone else' });
  });

  describe('name', () => {
    it('is refused to another machine at once, naming both ways out, until the record is removed', async () => {
      await begin().current(soon());
      const second = begin({ instance: 'i2', machine: '0123456789abcdef0123456789abcdef', boot: 'b2' });
      const began = performance.now();
      const error = await errorOf(second.current(soon(60_000)));
      expect(performance.now() - began).to.be.below(30_000);
      expect(error.code).to.equal('node_name_taken');
      expect(error.message).to.match(
        /^node name web belongs to machine m1 since 20\S+Z: set IPAM_NODE to a name no other host has, or, if that machine is gone for good, etcd-ipam evict web$/,
      );
      expect((await keyspace(etcd, NODE))[NODE]).to.include({ machine: 'm1', boot: 'b1' });
      expect(await keyspace(etcd, `${PREFIX}sessions/`)).to.have.all.keys(session('i1'));
    });

    it('stays refused when the first machine is only silent, and is free once an operator removed its record', async () => {
      const first = begin();
      await first.current(soon());
      await first.stop(soon());
      const second = begin({ instance: 'i2', machine: 'm2', boot: 'b2' });
      expect((await errorOf(second.current(soon()))).code).to.equal('node_name_taken');
      await etcd.ctl('del', NODE);
      await sleep(1300);
      await second.current(soon());
      expect((await keyspace(etcd, NODE))[NODE]).to.include({ machine: 'm2', boot: 'b2' });
    });

    it('passes to another machine after the rounds of silence that make a node gone, not one before', async () => {
      await etcd.ctl('put', NODE, '{"machine":"m1","boot":"b1","silence":3,"since":"2024-01-01T00:00:00.000Z"}');
      const second = begin({ instance: 'i2', machine: 'm2', boot: 'b2', goneRounds: 4 });
      expect((await errorOf(second.current(soon()))).code).to.equal('node_name_taken');
      await etcd.ctl('put', NODE, '{"machine":"m1","boot":"b1","silence":4,"since":"2024-01-01T00:00:00.000Z"}');
      await sleep(1300);
      await second.current(soon());
      expect((await keyspace(etcd, NODE))[NODE]).to.include({ machine: 'm2', silence: 0 });
    });

    it('passes to another machine at once when an operator evicted the node, and is evicted no more', async () => {
      const evicted = { machine: 'm1', boot: 'b1', silence: 0, since: 'then', evicted: 'now' };
      await etcd.ctl('put', NODE, JSON.stringify(evicted));
      await begin({ instance: 'i2', machine: 'm2', boot: 'b2' }).current(soon());
      const record = (await keyspace(etcd, NODE))[NODE];
      expect(record).to.include({ machine: 'm2', silence: 0 });
      expect(record).to.not.have.property('evicted');
    });

    it('a node that was gone or evicted is told that it has returned, one that was silent is not', async () => {
      const told = [];
      for (const past of [{ silence: 3 }, { silence: 4 }, { silence: 0, evicted: 'now' }]) {
        await etcd.ctl('put', NODE, JSON.stringify({ machine: 'm1', boot: 'b1', since: 'then', ...past }));
        const keeper = begin({ goneRounds: 4 });
        await keeper.current(soon());
        const alive = events.findLast((event) => event.kind === 'alive');
        told.push(alive?.kind === 'alive' && (alive.returned ?? false));
        await keeper.stop(soon());
      }
      expect(told).to.deep.equal([false, true, true]);
    });

    it('is shared by two processes of one boot', async () => {
      const one = await begin().current(soon());
      const two = await begin({ instance: 'i2' }).current(soon());
      expect(await grant('a', one.version, 'i1')).to.equal(true);
      expect(await grant('b', two.version, 'i2')).to.equal(true);
    });

    it('is refused to another boot while the session of the first lives; who can wait has it when that has ended by its lease', async () => {
      const old = open();
      const { id } = await old.grant(4, soon());
      const value = Buffer.from('{"machine":"m1","boot":"b0","since":"2024-01-01T00:00:00.000Z","token":"t"}');
      await old.txn(
        {
          success: [
            { request_put: { key: Buffer.from(NODE), value } },
            { request_put: { key: Buffer.from(session('i0')), value, lease: id } },
          ],
        },
        soon(),
      );
      const keeper = begin();
      const error = await errorOf(keeper.current(soon(2000)));
      expect(error.code).to.equal('node_name_taken');
      expect(error.message).to.contain('in use by a session of another boot (b0) since 2024-01-01T00:00:00.000Z');
      expect((await keyspace(etcd, NODE))[NODE]).to.include({ boot: 'b0' });
      await keeper.current(soon(20_000));
      expect((await keyspace(etcd, NODE))[NODE]).to.include({ boot: 'b1' });
    });

    it('stays with a clone that has kept its session for longer than any outlives a reboot, until the record is removed', async () => {
      const original = begin({ boot: 'b0', instance: 'i0', host: 'db' });
      await original.current(soon());
      const clone = begin({ instance: 'i2', renewedMs: 2500 });
      const refusal = async (ms?: number) => (await errorOf(clone.current(soon(ms)))).message;
      expect(await refusal(1_000)).to.contain('in use by a session of another boot (b0)');
      const end = soon(15_000);
      while (performance.now() < end && !(await refusal()).includes('belongs to')) await sleep(50);
      expect(await refusal()).to.match(
        /^node name web belongs to a machine with the machine id of this one \(m1, in boot b0\) since 20\S+Z \(host db\): set IPAM_NODE and/,
      );
      // Its plugin is replaced, say. Its containers run.
      await original.stop(soon());
      await sleep(2500);
      expect(await refusal()).to.contain('belongs to a machine with the machine id of this one');
      expect((await keyspace(etcd, NODE))[NODE]).to.include({ boot: 'b0' });
      await etcd.ctl('del', NODE);
      const free = soon(15_000);
      while (performance.now() < free && (await clone.current(free).catch(() => undefined)) === undefined)
        await sleep(50);
      await clone.current(soon(0));
      expect((await keyspace(etcd, NODE))[NODE]).to.include({ boot: 'b1' });
    });

    it('is not taken for a clone’s because of a leftover that was there before an outage of etcd, and after it', async () => {
      const leftover = open();
      const { id } = await leftover.grant(60, soon());
      const value = Buffer.from('{"machine":"m1","boot":"b0","since":"2024-01-01T00:00:00.000Z","token":"t"}');
      const key = Buffer.from(session('i0'));
      await leftover.txn({ success: [{ request_put: { key, value, lease: id } }] }, soon());
      const proxy = await proxied();
      const keeper = begin({ renewedMs: 7000 }, open(proxy.url));
      expect((await errorOf(keeper.current(soon(1_000)))).message).to.contain(
        'in use by a session of another boot (b0)',
      );
      await proxy.refuse();
      proxy.cut();
      await sleep(9000);
      await proxy.accept();
      await sleep(2000);
      await leftover.revoke(id, soon());
      const end = soon(15_000);
      while (performance.now() < end && !keeper.alive) await sleep(50);
      await keeper.current(soon(0));
      expect(events.map((event) => ('reason' in event ? event.reason : '')).join()).to.not.contain('belongs to');
    });
  });

  describe('fence', () => {
    it('makes every version handed out before it fail, and the next one pass', async () => {
      const keeper = begin();
      const { version } = await keeper.current(soon());
      await keeper.fence(soon());
      expect(await grant('a', version)).to.equal(false);
      expect(await grant('b', (await keeper.current(soon())).version)).to.equal(true);
      expect(await keyspace(etcd, `${PREFIX}claims/`)).to.have.all.keys(`${PREFIX}claims/b`);
    });

    it('is one re-put for 50 callers at once', async () => {
      const keeper = begin();
      const first = await keeper.current(soon());
      await Promise.all(Array.from({ length: 50 }, () => keeper.fence(soon())));
      const second = await keeper.current(soon());
      expect(BigInt(second.version) - BigInt(first.version)).to.equal(1n);
    });

    it('recognises its own re-put when the answer is lost', async () => {
      const proxy = await proxied();
      const keeper = begin({ ttl: 10 }, open(proxy.url));
      const { version } = await keeper.current(soon());
      const cut = proxy.cutAfterCommit(
        async () => !String(JSON.stringify(await entries(etcd, session()))).includes(`"modified":${version},`),
      );
      await keeper.fence(soon());
      await cut;
      expect(await grant('a', version)).to.equal(false);
      expect(await grant('b', (await keeper.current(soon())).version)).to.equal(true);
      expect(kinds()).to.not.include('lost');
    });

    it('fails at its deadline while etcd is away, and passes once it is back', async () => {
      const proxy = await proxied();
      const keeper = begin({ ttl: 30 }, open(proxy.url));
      const { version } = await keeper.current(soon());
      proxy.pause();
      const began = performance.now();
      expect((await errorOf(keeper.fence(soon(500)))).code).to.equal('unavailable');
      expect(performance.now() - began).to.be.within(490, 10_000);
      proxy.resume();
      await keeper.fence(soon());
      expect(await grant('a', version)).to.equal(false);
      expect(await grant('b', (await keeper.current(soon())).version)).to.equal(true);
    });

    it('an operator evicts the node in between: the old version stays dead, the node is created anew', async () => {
      const proxy = await proxied();
      const keeper = begin({ ttl: 30 }, open(proxy.url));
      const { version } = await keeper.current(soon());
      const { since } = (await keyspace(etcd, NODE))[NODE] as { since: string };
      proxy.pause();
      const fence = keeper.fence(soon());
      await etcd.ctl('del', session());
      await etcd.ctl('del', NODE);
      proxy.resume();
      await fence;
      expect(await grant('a', version)).to.equal(false);
      const second = await keeper.current(soon());
      expect(await grant('b', second.version)).to.equal(true);
      const after = (await keyspace(etcd, NODE))[NODE] as { since: string };
      expect(after.since > since, 'went through the creating transaction').to.equal(true);
    });

    it('an operator evicts the node and another machine takes the name: refused, and fenced all the same', async () => {
      const keeper = begin({ ttl: 30 });
      const { version } = await keeper.current(soon());
      await etcd.ctl('del', session());
      await etcd.ctl('put', NODE, '{"machine":"m2","boot":"b2","silence":0,"since":"2024-01-01T00:00:00.000Z"}');
      await keeper.fence(soon());
      expect(await grant('a', version)).to.equal(false);
      expect((await errorOf(keeper.current(soon()))).code).to.equal('node_name_taken');
      expect(await keyspace(etcd, `${PREFIX}sessions/`)).to.deep.equal({});
    });

    it('twenty fences a second do not starve grants', async () => {
      const keeper = begin();
      await keeper.current(soon());
      let fenced = 0;
      let granted = 0;
      const end = performance.now() + 1000;
      const fencing = (async () => {
        while (performance.now() < end) {
          await keeper.fence(soon());
          fenced++;
        }
      })();
      while (performance.now() < end) {
        const { version } = await keeper.current(soon());
        if (await grant(`k${granted}`, version)) granted++;
        else await keeper.mismatch(version, soon());
      }
      await fencing;
      expect(fenced).to.be.above(10);
      expect(granted).to.be.above(5 * fenced);
    });
  });

  it('lets its process end by itself once it is stopped and the client closed', async () => {
    const source = (name: string) => new URL(`../../src/etcd/${name}.ts`, import.meta.url).href;
    const script = `
      const { openClient } = await import('${source('client')}');
      const { SessionKeeper } = await import('${source('session')}');
      const client = openClient({ endpoints: ['${etcd.url}'] });
      const who = { prefix: '${PREFIX}', node: 'web', instance: 'i1', machine: 'm1', boot: 'b1', ttl: 30 };
      const keeper = new SessionKeeper(client, { ...who, report: () => {} });
      keeper.start();
      await keeper.current(performance.now() + 5000);
      await keeper.stop(performance.now() + 1000);
      client.close();
      process.on('exit', () => console.log('after', Math.round(performance.now() - stopped)));
      const stopped = performance.now();`;
    const args = ['--import', 'tsx/esm', '--input-type=module', '--eval', script];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
    expect(Number(/after (\d+)/.exec(stdout)?.[1])).to.be.below(5_000);
    expect(await keyspace(etcd, `${PREFIX}sessions/`)).to.deep.equal({});
  });

  it('leaves nothing behind when it is stopped while etcd is away', async () => {
    const proxy = await proxied();
    const keeper = begin({}, open(proxy.url));
    await keeper.current(soon());
    proxy.pause();
    const began = performance.now();
    await keeper.stop(soon(500));
    expect(performance.now() - began).to.be.below(10_000);
    proxy.cut();
    const end = soon(5000);
    while (performance.now() < end && (await entries(etcd, `${PREFIX}sessions/`)).length > 0) await sleep(100);
    expect(await keyspace(etcd, `${PREFIX}sessions/`)).to.deep.equal({});
  });
});
