// Endpoints that move and die under a driver: a name with another address, members that come and go, one left of four.
import { promises as dns } from 'node:dns';
import { expect } from 'chai';
import { openClient } from '../../src/etcd/client.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { eventually } from '../support/process.js';
import { TcpProxy } from '../support/proxy.js';
import { WholeDriver } from '../support/whole-driver.js';

const read = { success: [{ request_range: { key: Buffer.from('x') } }] };
const soon = (ms = 5_000) => performance.now() + ms;

describe('etcd endpoints', function () {
  this.timeout(120_000);
  let etcd: EtcdFixture;
  let opened: (() => unknown)[] = [];
  const proxied = async (at?: { host: string; port: number }): Promise<TcpProxy> => {
    const proxy = await TcpProxy.to(etcd.url, at);
    opened.push(() => proxy.close());
    return proxy;
  };

  before(async () => {
    etcd = await startEtcd();
  });
  after(() => etcd?.stop());
  afterEach(async () => {
    for (const close of opened.reverse()) await close();
    opened = [];
  });

  it('are looked up again while a name does not answer: one that moved to 127.0.0.2 is found there within 10 s', async () => {
    const old = await proxied();
    const port = Number(new URL(old.url).port);
    let address = '127.0.0.1';
    let lookups = 0;
    const lookup = dns.lookup;
    dns.lookup = (async (name: string) => {
      expect(name).to.equal('etcd.moving.example');
      lookups++;
      return [{ address, family: 4 }];
    }) as unknown as typeof dns.lookup;
    opened.push(() => {
      dns.lookup = lookup;
    });
    const client = openClient({ endpoints: [`http://etcd.moving.example:${port}`] });
    opened.push(() => client.close());
    await client.read(read, soon());
    expect(old.connections).to.equal(1);
    await old.close();
    // Looked up again, and still where it was.
    await eventually(
      'it is gone',
      () =>
        client.read(read, soon(300)).then(
          () => false,
          () => lookups > 1,
        ),
      20_000,
    );
    const moved = await proxied({ host: '127.0.0.2', port });
    address = '127.0.0.2';
    const began = performance.now();
    await eventually(
      'it answers at its new address',
      () =>
        client.read(read, soon(1_000)).then(
          () => true,
          () => false,
        ),
      60_000,
    );
    expect(performance.now() - began).to.be.below(10_000);
    expect(moved.connections).to.equal(1);
  });

  it('are replaced one by one while addresses are claimed: every call is answered, the session is kept', async () => {
    const proxies = [await proxied(), await proxied(), await proxied(), await proxied()];
    const claimed: string[] = [];
    const driver = await WholeDriver.start({ etcd: proxies.map(({ url }) => url), ttl: 5 });
    opened.push(() => driver.stop());
    const pool = await driver.pool('10.50.0.0/24');
    const claim = async () => {
      for (let i = 0; i < 5; i++) claimed.push(await driver.address(pool));
    };
    await claim();
    // A member goes and another comes in turn, then all but one are gone: two refuse, one swallows everything.
    for (const proxy of proxies) {
      await proxy.refuse();
      proxy.cut();
      await claim();
      await proxy.accept();
    }
    for (const last of proxies) {
      const others = proxies.filter((proxy) => proxy !== last);
      for (const gone of others.slice(1)) {
        await gone.refuse();
        gone.cut();
      }
      others[0]!.pause();
      await claim();
      others[0]!.resume();
      for (const gone of others.slice(1)) await gone.accept();
    }
    expect(new Set(claimed).size).to.equal(45);
    expect(driver.sessions.filter(({ kind }) => kind === 'lost')).to.deep.equal([]);
  });

  it('all gone but for the last of five, four of which swallow everything: a call needs their attempts, the next one not', async () => {
    const proxies = await Promise.all(Array.from({ length: 5 }, () => proxied()));
    const client = openClient({ endpoints: proxies.map(({ url }) => url), attemptMs: 500 });
    opened.push(() => client.close());
    await client.read(read, soon());
    const used = proxies.find(({ requests }) => requests > 0)!;
    const last = proxies[(proxies.indexOf(used) + 4) % 5]!;
    for (const proxy of proxies) if (proxy !== last) proxy.pause();
    await client.read(read, soon(20_000));
    const began = performance.now();
    await client.read(read, soon());
    expect(performance.now() - began).to.be.below(500);
    for (const proxy of proxies) proxy.resume();
  });
});
