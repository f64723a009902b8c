// What etcd itself may do to running drivers: compact, run full, refuse what is too large. None of it may stop them for good.
import { expect } from 'chai';
import { type EtcdFixture, entries, keyspace, revision, startEtcd } from '../support/etcd.js';
import { HostedDriver } from '../support/hosted-driver.js';
import { eventually } from '../support/process.js';

const GATEWAY = { RequestAddressType: 'com.docker.network.gateway' };

describe('etcd compacts', function () {
  this.timeout(120_000);

  it('40 times, and defragments, under two drivers: no call fails, no session is lost', async () => {
    const etcd = await startEtcd();
    const drivers = await Promise.all(
      ['one', 'two'].map((node) => HostedDriver.start({ ETCD_ENDPOINTS: etcd.url, IPAM_NODE: node }, 2_000)),
    );
    let stop = false;
    let calls = 0;
    const worker = async (driver: HostedDriver, pool: string) => {
      while (!stop) {
        await driver.release(pool, await driver.address(pool));
        calls++;
      }
    };
    try {
      for (const driver of drivers) await driver.says(/"msg":"session alive"/);
      const pools = await Promise.all(drivers.map((driver) => driver.pool('10.40.0.0/28')));
      const workers = drivers.flatMap((driver, i) => [worker(driver, pools[i]!), worker(driver, pools[i]!)]);
      for (let time = 0; time < 40; time++) {
        await etcd.ctl('compact', String(await revision(etcd)), '--physical');
        if (time % 10 === 0) await etcd.ctl('--command-timeout=20s', 'defrag');
      }
      stop = true;
      await Promise.all(workers);
      expect(calls).to.be.greaterThan(40);
      const said = drivers.flatMap(({ log }) =>
        log.filter(({ msg }) => /session (lost|unreachable)|failed$/.test(msg)),
      );
      expect(said).to.deep.equal([]);
      expect(Object.keys(await keyspace(etcd, '/etcd-ipam/claims/'))).to.deep.equal([]);
    } finally {
      stop = true;
      for (const driver of drivers) await driver.stop();
      await etcd.stop();
    }
  });
});

describe('etcd is full (NOSPACE)', function () {
  this.timeout(120_000);
  const sentence = (url: string) =>
    `etcd at ${url.slice(7)} takes no writes: the database is out of space (NOSPACE alarm); ` +
    'compact and defragment it, then etcdctl alarm disarm';
  let etcd: EtcdFixture;
  let driver: HostedDriver;
  let newcomer: HostedDriver;
  let pool: string;

  before(async () => {
    etcd = await startEtcd({ args: ['--quota-backend-bytes=4194304'] });
    driver = await HostedDriver.start({ ETCD_ENDPOINTS: etcd.url, IPAM_SESSION_TTL: '30s' });
    await driver.says(/"msg":"session alive"/);
    pool = await driver.pool('10.41.0.0/24');
    await driver.address(pool, '10.41.0.1', GATEWAY);
    for (let i = 0; i < 3; i++) await driver.address(pool);
    const value = 'x'.repeat(100_000);
    await eventually(
      'the alarm is raised',
      async () => {
        await etcd.ctl('put', 'filler', value).catch(() => undefined);
        return (await etcd.ctl('alarm', 'list')).includes('NOSPACE');
      },
      60_000,
      0,
    );
  });
  after(async () => {
    await driver?.stop();
    await newcomer?.stop();
    await etcd?.stop();
  });

  it('refuses addresses and pools at once, with a sentence that says what to do', async () => {
    const began = performance.now();
    const asks: [string, object][] = [
      ['RequestAddress', { PoolID: pool, Address: '', Options: null }],
      ['RequestAddress', { PoolID: pool, Address: '10.41.0.77', Options: null }],
      ['RequestPool', { AddressSpace: 'local', Pool: '10.42.0.0/24', SubPool: '', Options: {}, V6: false }],
    ];
    for (const [call, body] of asks) expect(await driver.refusal(call, body)).to.equal(sentence(etcd.url));
    expect(performance.now() - began).to.be.below(asks.length * 5_000);
    expect((await driver.status()).etcd.text).to.equal(`${etcd.url}: the database is out of space (NOSPACE alarm)`);
  });

  it('goes on to free addresses', async () => {
    await driver.release(pool, '10.41.0.3');
    const keys = Object.keys(await keyspace(etcd, '/etcd-ipam/claims/')).map((key) => key.slice(-3));
    expect(keys).to.deep.equal(['001', '002', '004']);
    expect(driver.log.filter(({ outcome }) => outcome === 'released')).to.have.length(1);
  });

  it('keeps the session, since keepalives are no writes', async () => {
    const [session] = await entries(etcd, '/etcd-ipam/sessions/');
    // Not the first of all leases, which may be one that soon ends.
    const [, id] = (await etcd.ctl('get', session!.key, '-w', 'json')).match(/"lease":(\d+)/)!;
    const lease = BigInt(id!).toString(16);
    let [renewed, before] = [0, Number.POSITIVE_INFINITY];
    await eventually(
      'its lease is renewed twice',
      async () => {
        const left = Number((await etcd.ctl('lease', 'timetolive', lease)).match(/remaining\((\d+)s\)/)![1]);
        if (left > before) renewed++;
        before = left;
        return renewed === 2;
      },
      60_000,
      200,
    );
    expect(await entries(etcd, '/etcd-ipam/sessions/')).to.deep.equal([session]);
  });

  it('lets no new host in, and tells it and its engine why', async () => {
    newcomer = await HostedDriver.start({ ETCD_ENDPOINTS: etcd.url, IPAM_NODE: 'new', IPAM_DEADLINE: '1s' });
    const { reason } = await newcomer.says(/"msg":"session unreachable"/);
    expect(reason).to.equal(sentence(etcd.url));
  });

  it('queues what cannot be removed without a write, and all goes on by itself once the alarm is off', async () => {
    await driver.must('ReleasePool', { PoolID: pool });
    expect(driver.log.filter(({ outcome }) => outcome === 'queued')).to.have.length(1);
    const from = newcomer.said;
    await etcd.ctl('del', 'filler');
    await etcd.ctl('compact', String(await revision(etcd)), '--physical');
    await etcd.ctl('--command-timeout=20s', 'defrag');
    await etcd.ctl('alarm', 'disarm');
    await eventually(
      'the pool is removed',
      async () => {
        const left = Object.keys(await keyspace(etcd, '/etcd-ipam/'));
        return !left.some((key) => /\/(claims|joins|holders|pools)\//.test(key));
      },
      30_000,
    );
    expect(await driver.address(await driver.pool('10.43.0.0/24'))).to.equal('10.43.0.1');
    await newcomer.says(/"msg":"session alive"/, from);
    expect((await driver.status()).etcd.ok).to.equal(true);
    expect(driver.log.filter(({ msg }) => msg === 'session lost')).to.deep.equal([]);
  });
});

describe('etcd takes only small requests', function () {
  this.timeout(60_000);

  it('says so to the engine, within the deadline, and serves what is small enough', async () => {
    const etcd = await startEtcd({ args: ['--max-request-bytes=750'] });
    const driver = await HostedDriver.start({ ETCD_ENDPOINTS: etcd.url });
    try {
      await driver.says(/"msg":"session alive"/);
      const pool = await driver.pool('10.44.0.0/24');
      const long = { 'com.docker.network.endpoint.name': 'n'.repeat(250) };
      expect(await driver.refusal('RequestAddress', { PoolID: pool, Address: '', Options: long })).to.equal(
        `etcd at ${etcd.url.slice(7)} refused the request: the request is too large for etcd`,
      );
      expect(await driver.address(pool)).to.equal('10.44.0.2');
    } finally {
      await driver.stop();
      await etcd.stop();
    }
  });
});
