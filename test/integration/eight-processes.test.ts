// Eight hosts ask for addresses of one subnet at the same moment, through processes as operators run them.
import { expect } from 'chai';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { AS, Look } from '../support/whole-driver.js';

const PROCESSES = 8;
const EACH = 500;
const SUBNET = '10.66.0.0/20';
/** Eight processes and etcd may share two busy cores: how long a call takes is not what is tested. */
const SLOW = { IPAM_DEADLINE: '30s' };
/** Calls an engine has under way at once. */
const AT_ONCE = 16;

describe('eight processes', function () {
  this.timeout(180_000);
  let etcd: EtcdFixture;
  let look: Look;
  let drivers: DriverProcess[] = [];

  before(async () => {
    etcd = await startEtcd();
    look = new Look(etcd.url);
    const starts = Array.from({ length: PROCESSES }, (_, i) =>
      DriverProcess.start(etcd.url, `node-${i}`, AT_ONCE, SLOW),
    );
    drivers = await Promise.all(starts);
  });
  after(async () => {
    await Promise.all(drivers.map((driver) => driver.stop()));
    look?.close();
    await etcd?.stop();
  });

  /** The call's reply; a refusal rejects with its text. */
  const must = async (driver: DriverProcess, call: string, body: object) => {
    const { status, json, text } = await driver.client.call(`/IpamDriver.${call}`, body);
    if (status !== 200) throw new Error(`${driver.node}: ${text}`);
    return json;
  };
  const everyone = async <T>(act: (driver: DriverProcess, i: number) => Promise<T>) => {
    const started = performance.now();
    const results = await Promise.all(drivers.map(act));
    return { results, ms: performance.now() - started };
  };

  it(`give ${PROCESSES * EACH} different addresses of a /20, as etcd has them, and all of them back`, async () => {
    const ask = { AddressSpace: 'local', Pool: SUBNET, SubPool: '', Options: {}, V6: false };
    const pools = await everyone(async (driver) => (await must(driver, 'RequestPool', ask)).PoolID as string);
    expect(await look.keys('joins/')).to.have.length(PROCESSES);

    const granting = await everyone((driver, i) =>
      Promise.all(
        Array.from({ length: EACH }, async (_, n) => {
          const body = { PoolID: pools.results[i], Address: '', Options: AS.named(`c${n}.${driver.node}`) };
          const { Address } = await must(driver, 'RequestAddress', body);
          expect(Address).to.match(/^10\.66\.\d+\.\d+\/20$/);
          return (Address as string).split('/')[0]!;
        }),
      ),
    );
    const given = granting.results.flatMap((addresses, i) => addresses.map((address) => `${address} node-${i}`));
    expect(new Set(granting.results.flat()).size).to.equal(PROCESSES * EACH);

    const claims = Object.entries(await look.keyspace('claims/')).map(([key, { node }]) => {
      const wide = key.split('/').at(-1)!;
      return `${wide.split('.').map(Number).join('.')} ${node}`;
    });
    expect(claims.sort()).to.deep.equal(given.sort());

    const decisions = (await Promise.all(drivers.map((driver) => driver.decisions()))).flat();
    const grants = decisions.filter(({ call, outcome }) => call === 'RequestAddress' && outcome === 'granted');
    const attempts = grants.map((grant) => grant.attempts!);
    const mean = attempts.reduce((sum, one) => sum + one, 0) / attempts.length;
    const rate = (PROCESSES * EACH * 1_000) / granting.ms;
    console.log(
      `      ${grants.length} grants in ${Math.round(granting.ms)} ms (${Math.round(rate)}/s); ` +
        `attempts per grant: mean ${mean.toFixed(2)}, most ${Math.max(...attempts)}`,
    );
    expect(decisions.filter(({ outcome }) => ['refused', 'failed', 'late', 'undone'].includes(outcome))).to.deep.equal(
      [],
    );

    const releasing = await everyone(async (driver, i) => {
      const PoolID = pools.results[i];
      const releases = granting.results[i]!.map((Address) => must(driver, 'ReleaseAddress', { PoolID, Address }));
      await Promise.all(releases);
      await must(driver, 'ReleasePool', { PoolID });
    });
    console.log(`      ${PROCESSES * EACH} releases in ${Math.round(releasing.ms)} ms`);
    const left = (await look.keys()).filter((key) => !/^(nodes\/|sessions\/|tick$)/.test(key));
    expect(left).to.deep.equal([]);
    expect(await look.keys('sessions/')).to.have.length(PROCESSES);
  });
});
