// What happens to the driver's own process: it is stopped in the middle of a call, its clock steps, another one of the
// same node is killed beside it.
import { expect } from 'chai';
import { ClaimLog } from '../support/claim-log.js';
import { DriverProcess } from '../support/driver-process.js';
import { entries, keyspace } from '../support/etcd.js';
import { EtcdMembers } from '../support/etcd-members.js';
import type { Way } from '../support/etcd-way.js';
import { Load } from '../support/load.js';
import { eventually } from '../support/process.js';

const CLAIMS = '/etcd-ipam/claims/';
const SESSIONS = '/etcd-ipam/sessions/';
/** Two addresses. */
const SUBNET = '10.66.0.0/30';
const STEPPED = { NODE_OPTIONS: `--import ${new URL('../support/clock-step.mjs', import.meta.url)}` };

type Body = Record<string, unknown>;

async function call(driver: DriverProcess, name: string, body: Body) {
  return driver.client.call(`/IpamDriver.${name}`, body);
}

async function join(driver: DriverProcess): Promise<string> {
  const ask = { AddressSpace: 'local', Pool: SUBNET, SubPool: '', Options: {}, V6: false };
  return (await call(driver, 'RequestPool', ask)).json.PoolID;
}

const address = (driver: DriverProcess, PoolID: string) =>
  call(driver, 'RequestAddress', { PoolID, Address: '', Options: null });

describe('a driver’s process', function () {
  this.timeout(240_000);
  let etcd: EtcdMembers;
  before(async () => {
    etcd = await EtcdMembers.start();
  });
  after(() => etcd?.[Symbol.asyncDispose]());
  afterEach(() => etcd.ctl('del', '', '--prefix'));

  const claims = () => keyspace(etcd, CLAIMS);
  const sessionsOf = async (node: string) => await entries(etcd, `${SESSIONS}${node}/`);

  const MIDDLES: Record<string, (way: Way, begin: () => void) => Promise<unknown>> = {
    'once its claim is committed and before it knows': async (way, begin) => {
      way.swallowReplies();
      begin();
      await eventually('the claim is in etcd', async () => Object.keys(await claims()).length === 1, 10_000, 10);
    },
    'while its transaction is on its way': async (way, begin) => {
      way.cut();
      const sent = way.requests.reduce((sum, one) => sum + one);
      begin();
      await eventually('it is sent', () => way.requests.reduce((sum, one) => sum + one) > sent, 10_000, 5);
    },
  };

  for (const [when, reach] of Object.entries(MIDDLES))
    it(`is stopped for longer than its session lasts, ${when}: the call fails, and leaves no claim`, async () => {
      const log = await ClaimLog.start(etcd, CLAIMS);
      const way = await etcd.way();
      await using a = await DriverProcess.start(way.url, 'a', 2, { IPAM_SESSION_TTL: '5s' });
      await using b = await DriverProcess.start(etcd.url, 'b', 2);
      const [poolA, poolB] = [await join(a), await join(b)];
      // Not in the first 15 s of the process, in which a call may take longer.
      const late = performance.now() + 15_000;
      await eventually('it is old enough', () => performance.now() > late, 20_000, 500);

      let answer: Promise<{ status: number; text: string }> | undefined;
      await reach(way, () => {
        answer = address(a, poolA);
      });
      a.signal('SIGSTOP');
      way.heal();
      const stopped = performance.now();
      await eventually('its session has ended', async () => (await sessionsOf('a')).length === 0, 60_000);
      await eventually('its deadline has passed', () => performance.now() > stopped + 6_000);
      const meanwhile = (await address(b, poolB)).json.Address;
      expect(meanwhile).to.match(/^10\.66\.0\.[12]\/30$/);

      a.signal('SIGCONT');
      const { status, text } = await answer!;
      expect(status, text).to.equal(500);
      await eventually('what it had claimed is free again', async () => Object.keys(await claims()).length === 1);
      await eventually('it is alive again', async () => (await sessionsOf('a')).length === 1, 60_000);
      const later = (await address(a, poolA)).json.Address;
      expect([meanwhile, later].sort()).to.deep.equal(['10.66.0.1/30', '10.66.0.2/30']);
      await log.tenures();
    });

  it('has its clock stepped by hours, forth and back, under load: sessions stay, nothing is given twice', async () => {
    const log = await ClaimLog.start(etcd, CLAIMS);
    await using load = await Load.start({ drivers: 2, callers: 8, etcd: () => etcd.url, env: STEPPED });
    const sessions = async () => (await entries(etcd, SESSIONS)).map(({ key, created }) => `${key} ${created}`);
    const before = await sessions();
    for (let nth = 1; nth <= 4; nth++) {
      for (const driver of load.drivers) driver.signal('SIGUSR2');
      const said = async (driver: DriverProcess) => (await driver.log()).split('clock: stepped').length > nth;
      for (const driver of load.drivers) await eventually('its clock is another', () => said(driver));
      // Timers and time-outs that were set before the step have run out after it.
      for (const until = performance.now() + 6_000; performance.now() < until; ) await load.everyoneGrants();
    }
    expect(await sessions()).to.deep.equal(before);
    await load.stop();
    await eventually('all is free', async () => Object.keys(await claims()).length === 0, 30_000);
    expect(load.twice).to.deep.equal([]);
    expect((await log.tenures()).length).to.be.at.least(load.granted);
    console.log(
      `      fault: clocks stepped by an hour or two, four times: ${load.granted} grants, ${load.errors.length} errors, ` +
        `longest call ${Math.round(load.longestCall)} ms`,
    );
  });

  it('is killed beside another one of its node: the other goes on, with all that the first had given', async () => {
    const same = { IPAM_MACHINE_ID: 'one-machine', IPAM_SESSION_TTL: '2s' };
    await using first = await DriverProcess.start(etcd.url, 'web', 1, same);
    await using second = await DriverProcess.start(etcd.url, 'web', 1, same);
    expect(await sessionsOf('web')).to.have.length(2);
    const PoolID = await join(first);
    const given = (await address(first, PoolID)).json.Address as string;
    first.signal('SIGKILL');
    const other = (await address(second, PoolID)).json.Address as string;
    expect([given, other].sort()).to.deep.equal(['10.66.0.1/30', '10.66.0.2/30']);
    await eventually(
      'the session of the killed one has ended',
      async () => (await sessionsOf('web')).length === 1,
      30_000,
    );
    expect(Object.keys(await claims()), 'nothing ends with a session').to.have.length(2);
    expect((await address(second, PoolID)).json.Err).to.match(/^no address left /);
    const [ip] = given.split('/');
    expect((await call(second, 'ReleaseAddress', { PoolID, Address: ip })).text).to.equal('{}');
    expect((await address(second, PoolID)).json.Address).to.equal(given);

    second.signal('SIGKILL');
    await eventually('nobody is there', async () => (await sessionsOf('web')).length === 0, 30_000);
    await using third = await DriverProcess.start(etcd.url, 'web', 1, same);
    expect(Object.keys(await claims()), 'the same boot of the same machine: nothing is anybody else’s').to.have.length(
      2,
    );
    for (const one of [given, other]) await call(third, 'ReleaseAddress', { PoolID, Address: one.split('/')[0] });
    expect(await claims()).to.deep.equal({});
  });
});
