// What is released rests in etcd: as another process finds it, when its lease ends, and where there is no lease to be had.
import { expect } from 'chai';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, entries, startEtcd } from '../support/etcd.js';
import { eventually } from '../support/process.js';
import { AS, Look, WholeDriver } from '../support/whole-driver.js';
import type { REPLIES } from '../support/wire-schema.js';

const CLAIMS = 'claims/local/v4/010.066.000.000-24/';
const keyOf = (last: number) => `${CLAIMS}010.066.000.00${last}`;

/** All leases there are, as etcdctl prints them. */
async function leases(etcd: EtcdFixture): Promise<string[]> {
  return (await etcd.ctl('lease', 'list')).split('\n').filter((line) => /^[0-9a-f]{16}$/.test(line));
}

describe('resting addresses, among driver processes', function () {
  this.timeout(180_000);
  let etcd: EtcdFixture;
  let look: Look;
  /** Two whose addresses rest for as long as the test lasts, and one of 1 s. */
  let a: DriverProcess;
  let b: DriverProcess;
  let quick: DriverProcess;

  before(async () => {
    etcd = await startEtcd();
    look = new Look(etcd.url);
    const start = (node: string, IPAM_COOLDOWN: string) =>
      DriverProcess.start(etcd.url, node, 1, { IPAM_COOLDOWN, IPAM_SESSION_TTL: '5s' });
    [a, b, quick] = await Promise.all([start('a', '600s'), start('b', '600s'), start('quick', '1s')]);
  });
  after(async () => {
    for (const driver of [a, b, quick]) await driver?.stop();
    look?.close();
    await etcd?.stop();
  });

  async function must(
    driver: DriverProcess,
    call: keyof typeof REPLIES,
    body: object,
  ): Promise<Record<string, string>> {
    const { status, json, text } = await driver.client.call(call, body);
    if (status !== 200) throw new Error(text);
    return json as Record<string, string>;
  }
  const pool = async (driver: DriverProcess, Pool: string, SubPool = '') => {
    const ask = { AddressSpace: 'local', Pool, SubPool, Options: {}, V6: false };
    return (await must(driver, '/IpamDriver.RequestPool', ask)).PoolID!;
  };
  const address = async (driver: DriverProcess, PoolID: string, name: string, Address = '') => {
    const ask = { PoolID, Address, Options: AS.named(name) };
    return (await must(driver, '/IpamDriver.RequestAddress', ask)).Address!.split('/')[0]!;
  };
  const release = (driver: DriverProcess, PoolID: string, Address: string) =>
    must(driver, '/IpamDriver.ReleaseAddress', { PoolID, Address });
  const drop = (driver: DriverProcess, PoolID: string) => must(driver, '/IpamDriver.ReleasePool', { PoolID });
  const kinds = async () =>
    Object.fromEntries(
      Object.entries(await look.keyspace(CLAIMS)).map(([key, { kind }]) => [Number(key.split('.').at(-1)), kind]),
    );

  it('what A released B gives only by number while others are free, and at once where nothing is', async () => {
    const S = '10.66.0.0/24';
    const [pa, pb] = [await pool(a, S), await pool(b, S)];
    expect(await address(a, pa, 'web')).to.equal('10.66.0.1');
    await release(a, pa, '10.66.0.1');
    expect(await kinds()).to.deep.equal({ 1: 'cooling' });
    expect(await address(b, pb, 'db')).to.equal('10.66.0.2');
    expect(await address(b, pb, 'web', '10.66.0.1')).to.equal('10.66.0.1');
    const [na, nb] = [await pool(a, S, '10.66.0.8/32'), await pool(b, S, '10.66.0.8/32')];
    expect(await address(a, na, 'one')).to.equal('10.66.0.8');
    await release(a, na, '10.66.0.8');
    expect(await address(b, nb, 'two')).to.equal('10.66.0.8');
    expect(await kinds()).to.deep.equal({ 1: 'endpoint', 2: 'endpoint', 8: 'endpoint' });
    for (const ip of ['10.66.0.1', '10.66.0.2']) await release(b, pb, ip);
    await release(b, nb, '10.66.0.8');
    expect(await kinds()).to.deep.equal({ 1: 'cooling', 2: 'cooling', 8: 'cooling' });
    for (const [driver, id] of [...[[a, pa] as const, [a, na] as const], ...[[b, pb] as const, [b, nb] as const]])
      await drop(driver, id);
    expect(await look.keys('pools/')).to.deep.equal([]);
    expect(await kinds()).to.deep.equal({});
  });

  it('it is gone once its lease has ended, whether the process that released it runs or was killed', async () => {
    const id = await pool(quick, '10.66.0.0/24');
    await address(quick, id, 'web', '10.66.0.9');
    await release(quick, id, '10.66.0.9');
    await eventually('the end of the rest', async () => (await look.keys(CLAIMS)).length === 0, 60_000);
    for (const name of ['stays', 'goes']) await address(quick, id, name);
    await release(quick, id, '10.66.0.2');
    await quick.kill();
    await eventually('the end of the rest', async () => (await look.keys(CLAIMS)).length === 1, 60_000);
    expect(await kinds()).to.deep.equal({ 1: 'endpoint' });
  });

  it('all leases revoked at once: what rests is gone, and nothing else but sessions, which come back', async () => {
    const id = await pool(a, '10.66.0.0/24');
    for (const last of [5, 6, 7]) await address(a, id, `c${last}`, `10.66.0.${last}`);
    await release(a, id, '10.66.0.7');
    const lasting = async () => {
      const all = await entries(etcd, '/etcd-ipam/');
      const records = all.filter(({ key }) => !/\/(sessions|nodes|tick)/.test(key));
      return records.map(({ key, modified }) => `${key} ${modified}`);
    };
    const before = await lasting();
    for (const lease of await leases(etcd)) await etcd.ctl('lease', 'revoke', lease);
    expect(await lasting()).to.deep.equal(before.filter((line) => !line.includes(keyOf(7))));
    await eventually('both sessions', async () => (await look.keys('sessions/')).length === 2, 60_000);
    // The first release finds that its lease is gone and does without, the next one has a new lease.
    for (const last of [5, 6]) await release(a, id, `10.66.0.${last}`);
    const { 5: first, 6: second } = await kinds();
    expect([first, second]).to.deep.equal([undefined, 'cooling']);
  });
});

describe('a release without a lease', function () {
  this.timeout(120_000);
  const restMs = 600_000;

  it('whose lease is revoked before it lands frees the address at once', async () => {
    const etcd = await startEtcd();
    const look = new Look(etcd.url);
    await using web = await WholeDriver.start({ etcd: etcd.url, restMs });
    try {
      const id = await web.pool('10.66.0.0/24');
      for (const last of [7, 8, 9]) await web.address(id, `10.66.0.${last}`, AS.named(`c${last}`));
      await web.release(id, '10.66.0.7');
      let sent = 0;
      web.beforeWrite = async ({ success = [] }) => {
        const lease = success[0]?.request_put?.lease;
        if (lease === undefined) return;
        sent++;
        if (sent === 1) await etcd.ctl('lease', 'revoke', BigInt(lease).toString(16));
      };
      await web.release(id, '10.66.0.8');
      expect(await look.keys(CLAIMS)).to.deep.equal([keyOf(9)]);
      await web.release(id, '10.66.0.9');
      expect(sent).to.equal(2);
      expect((await look.keyspace(CLAIMS))[keyOf(9)]).to.include({ kind: 'cooling' });
    } finally {
      look.close();
      await etcd.stop();
    }
  });

  it('into a database without space frees the address at once, be there a lease already or not', async () => {
    const etcd = await startEtcd({ args: ['--quota-backend-bytes=16777216'] });
    const look = new Look(etcd.url);
    await using web = await WholeDriver.start({ etcd: etcd.url, restMs });
    await using late = await WholeDriver.start({ etcd: etcd.url, node: 'late', restMs });
    try {
      const [id, other] = [await web.pool('10.66.0.0/24'), await late.pool('10.66.0.0/24')];
      for (const last of [7, 8]) await web.address(id, `10.66.0.${last}`, AS.named(`c${last}`));
      await late.address(other, '10.66.0.9', AS.named('c9'));
      await web.release(id, '10.66.0.7');
      const filled = async () => {
        for (let i = 0; i < 64; i++) await look.put(`filling/${i}`, { text: 'x'.repeat(1_000_000) });
      };
      await filled().then(
        () => expect.fail('64 MB went into 16'),
        () => undefined,
      );
      await web.release(id, '10.66.0.8');
      await late.release(other, '10.66.0.9');
      expect(await look.keys(CLAIMS)).to.deep.equal([keyOf(7)]);
      expect([...web.told, ...late.told].filter(({ outcome }) => outcome === 'queued')).to.deep.equal([]);
    } finally {
      look.close();
      await etcd.stop();
    }
  });
});
