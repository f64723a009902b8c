// Lives of swarms and bridges with mutated calls among them, against three driver processes over a real etcd.
import { expect } from 'chai';
import fc from 'fast-check';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { live, lives, NODES, type Tally, type World } from '../support/lives.js';
import { nodeOf } from '../support/referee.js';
import { Look } from '../support/whole-driver.js';
import { FAILURE, REPLIES } from '../support/wire-schema.js';

const LIVES = 30;
const MUTATIONS = 100;
const CONNECTIONS = 4;

describe('replays with mutated calls, on etcd', function () {
  this.timeout(240_000);
  let etcd: EtcdFixture;
  let look: Look;
  const drivers: DriverProcess[] = [];

  before(async () => {
    etcd = await startEtcd();
    look = new Look(etcd.url);
    // What is released rests, and not for longer than a life may last.
    for (let at = 0; at < NODES; at++)
      drivers.push(await DriverProcess.start(etcd.url, nodeOf(at), CONNECTIONS, { IPAM_COOLDOWN: '2s' }));
  });
  after(async () => {
    for (const driver of drivers) await driver.stop();
    look?.close();
    await etcd?.stop();
  });

  it(`take no address from its holder in ${LIVES} lives, and nothing is left of any`, async () => {
    const seed = Number(process.env.ETCD_IPAM_TEST_SEED ?? Date.now() & 0x7fffffff);
    console.log(`      seed ${seed} (ETCD_IPAM_TEST_SEED repeats it)`);
    const world: World = {
      async call(at, name, body) {
        const path = `/IpamDriver.${name}` as const;
        const { status, json } = await drivers[at]!.client.call(path, body);
        if (status !== 200) return { refused: FAILURE.parse(json).Err };
        REPLIES[path].parse(json);
        return { granted: json };
      },
      // A process takes seconds to start: here the engine only finds it anew, and asks for its capabilities.
      restart: async () => undefined,
      keyspace: () => look.keyspace(),
    };
    const tally: Tally = new Map();
    const property = fc.asyncProperty(lives(12, 30), (life) => live(world, life, tally));
    // What a failed life leaves would fail every shorter one.
    await fc.assert(property, { numRuns: LIVES, seed, endOnFailure: true });
    expect(tally.get('mutations sent')).to.be.at.least(MUTATIONS);
    // What failed, rather than was refused, would count for nothing above.
    const decisions = await Promise.all(drivers.map((driver) => driver.decisions()));
    expect(decisions.flat().filter(({ outcome }) => outcome === 'failed')).to.deep.equal([]);
  });
});
