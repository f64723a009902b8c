// All leases revoked at once, as an old etcd did by mistake and another user of it may do: under load, and while nothing
// is asked. Sessions end with them; what the nodes hold does not.
import { expect } from 'chai';
import { ClaimLog } from '../support/claim-log.js';
import { type Entry, entries } from '../support/etcd.js';
import { EtcdMembers } from '../support/etcd-members.js';
import { Load } from '../support/load.js';
import { eventually } from '../support/process.js';

const DRIVERS = 8;
const TTL_MS = 15_000;
const CLAIMS = '/etcd-ipam/claims/';

describe('all leases revoked at once', function () {
  this.timeout(240_000);
  let etcd: EtcdMembers;
  let load: Load;
  let log: ClaimLog;

  before(async () => {
    etcd = await EtcdMembers.start();
    log = await ClaimLog.start(etcd, CLAIMS);
    load = await Load.start({ drivers: DRIVERS, callers: 2 * DRIVERS, etcd: () => etcd.url });
  });
  after(async () => {
    await load?.[Symbol.asyncDispose]();
    await etcd?.[Symbol.asyncDispose]();
  });

  const sessions = () => entries(etcd, '/etcd-ipam/sessions/');
  const nodes = (all: readonly Entry[]) => all.map(({ key }) => key.split('/')[3]).sort();
  const everyone = Array.from({ length: DRIVERS }, (_, nth) => `node-${nth}`);

  /** Resolves with how long it took until each node had another session. */
  async function revoked(): Promise<number> {
    const before = new Set((await sessions()).map(({ created }) => created));
    expect(nodes(await sessions())).to.deep.equal(everyone);
    const since = performance.now();
    expect(await etcd.revokeAllLeases()).to.be.at.least(DRIVERS);
    await eventually(
      'every node is alive again',
      async () => {
        const fresh = (await sessions()).filter(({ created }) => !before.has(created));
        return nodes(fresh).join() === everyone.join();
      },
      2 * TTL_MS,
    );
    return performance.now() - since;
  }

  it('under load: all nodes are alive again within 2 session TTLs and grant, three times', async () => {
    for (let nth = 0; nth < 3; nth++) {
      const held = load.granted;
      const ms = await revoked();
      await load.everyoneGrants();
      console.log(
        `      fault: all leases revoked, ${DRIVERS} drivers, ${2 * DRIVERS} callers: all alive again after ` +
          `${(ms / 1_000).toFixed(1)} s, ${load.granted - held} grants meanwhile`,
      );
    }
  });

  it('no address changed hands, by the replies and by etcd’s log, and all calls work', async () => {
    await load.stop();
    await eventually('what was given back is free', async () => (await entries(etcd, CLAIMS)).length === 0, 30_000);
    expect(load.twice).to.deep.equal([]);
    expect((await log.tenures()).length).to.be.at.least(load.granted);
    console.log(`      ${load.granted} grants, ${load.errors.length} errors`);
  });

  it('while nothing is asked: all nodes notice by themselves, within 2 session TTLs', async () => {
    const ms = await revoked();
    console.log(
      `      fault: all leases revoked, no calls: all ${DRIVERS} alive again after ${(ms / 1_000).toFixed(1)} s`,
    );
  });
});
