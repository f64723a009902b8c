// Three processes on two hosts over a real etcd, each with its session, against the brute-force oracle.
import { expect } from 'chai';
import fc from 'fast-check';
import { Driver } from '../../src/docker/driver.js';
import { type EtcdClient, openClient } from '../../src/etcd/client.js';
import { SessionKeeper } from '../../src/etcd/session.js';
import { EtcdStore } from '../../src/etcd/store.js';
import { Allocator } from '../../src/ipam/allocator.js';
import { parsePredefined } from '../../src/ipam/predefined.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import {
  bootOf,
  PREDEFINED,
  PROCESSES,
  play,
  ruleOver,
  steps,
  surroundings,
  type Tally,
  type World,
} from '../support/sequences.js';
import { Look } from '../support/whole-driver.js';

const SEQUENCES = 100;
const LEAST = 30;

interface Running {
  readonly driver: Driver;
  readonly store: EtcdStore;
  stop(): Promise<void>;
}

describe('random sequences on etcd', function () {
  this.timeout(180_000);
  let etcd: EtcdFixture;
  let clients: EtcdClient[] = [];
  let played = 0;

  before(async () => {
    etcd = await startEtcd();
    clients = PROCESSES.map(() => openClient({ endpoints: [etcd.url] }));
  });
  after(async () => {
    for (const client of clients) client.close();
    await etcd?.stop();
  });

  /** Under a prefix of its own, so that sequences know nothing of each other. */
  async function withWorld(rests: boolean, act: (world: World) => Promise<void>): Promise<void> {
    const prefix = `/sequence-${++played}/`;
    const look = new Look(etcd.url, prefix);
    const boots = new Map(PROCESSES.map((node) => [node as string, bootOf(node, 1)]));
    const clock = { skew: 0 };
    let started = 0;
    let commands = 0;
    const start = async (at: number): Promise<Running> => {
      const node = PROCESSES[at]!;
      const self = { node, boot: boots.get(node)! };
      const settings = { prefix, machine: `machine-${node}`, instance: `i${started++}`, ttl: 15 };
      const session = new SessionKeeper(clients[at]!, { ...self, ...settings, report: () => undefined });
      session.start();
      await session.current(performance.now() + 5_000);
      const store = new EtcdStore(clients[at]!, session, prefix);
      const report = (what: string, error: unknown) => {
        throw new Error(`${what} failed for good`, { cause: error });
      };
      const around = surroundings(`${played} ${at} ${started}`, clock);
      // Longer than any sequence takes.
      const resting = { ...self, restMs: rests ? 600_000 : 0 };
      const allocator = new Allocator(store, resting, around, parsePredefined(PREDEFINED), report);
      return {
        store,
        driver: new Driver(allocator, false, () => undefined),
        async stop() {
          store.close();
          await session.stop(performance.now() + 2_000);
        },
      };
    };
    const running = await Promise.all(PROCESSES.map((_, at) => start(at)));
    const restart = async (at: number) => {
      await running[at]!.stop();
      running[at] = await start(at);
    };
    try {
      await act({
        clock,
        rests,
        driver: (at) => running[at]!.driver,
        restart,
        async reboot(node, boot) {
          boots.set(node, boot);
          const here = PROCESSES.flatMap((name, at) => (name === node ? [at] : []));
          for (const at of here) await running[at]!.stop();
          for (const at of here) running[at] = await start(at);
        },
        rule: (asked) => ruleOver(running[0]!.store, asked, `rule ${++commands}`),
        keyspace: () => look.keyspace(),
      });
    } finally {
      await Promise.all(running.map((one) => one.stop()));
      look.close();
    }
  }

  it('agrees with the oracle on every answer and record of at least 3,000 calls, half with a cool-down', async () => {
    const tally: Tally = new Map();
    const seed = Number(process.env.ETCD_IPAM_TEST_SEED ?? Date.now() & 0x7fffffff);
    console.log(`      seed ${seed} (ETCD_IPAM_TEST_SEED repeats it)`);
    const property = fc.asyncProperty(steps(LEAST, 50), fc.boolean(), (sequence, rests) =>
      withWorld(rests, (world) => play(world, sequence, tally)),
    );
    await fc.assert(property, {
      numRuns: SEQUENCES,
      seed,
      interruptAfterTimeLimit: 120_000,
      markInterruptAsFailure: true,
    });
    expect([...tally.values()].reduce((sum, count) => sum + count)).to.be.at.least(3_000);
    expect(tally.get('took over a rest') ?? 0).to.be.greaterThan(3);
    for (const what of ['granted', 'taken', 'pool_exhausted', 'unknown_pool'])
      expect(tally.get(`RequestAddress ${what}`) ?? 0, what).to.be.greaterThan(3);
  });
});
