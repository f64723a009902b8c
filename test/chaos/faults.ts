// What goes wrong in a run, and when: drawn from the seed, so that it can be told and repeated. Refuses to know what it costs.
import type { EtcdMembers } from '../support/etcd-members.js';
import { eventually, sleep } from '../support/process.js';
import type { Draw } from './chance.js';
import type { ChaosDriver } from './drivers.js';
import type { Engine } from './engine.js';
import type { EtcdLog } from './etcd-log.js';
import type { History } from './history.js';
import { setBack } from './set-back.js';
import type { Swarm } from './swarm.js';

/** What faults act on. */
export interface World {
  /** What the drivers run. */
  readonly program: string;
  readonly history: History;
  readonly etcd: EtcdMembers;
  readonly log: EtcdLog;
  readonly drivers: readonly ChaosDriver[];
  readonly engines: readonly Engine[];
  readonly swarm: Swarm;
}

export interface Fault {
  readonly kind: Kind;
  readonly atMs: number;
  readonly forMs: number;
  /** Which driver, engine or member of those that there are. */
  readonly which: number;
}

interface Way {
  readonly least: number;
  readonly most: number;
  /** Of etcd's members one fails at a time; a driver has one fault at a time; where the world fails, nothing else does. */
  readonly on: 'member' | 'driver' | 'all' | 'world';
  /** What is lost with a process only reconciliation can free, so such a fault needs engines that can be asked. */
  readonly loses?: true;
  act(world: World, fault: Fault): Promise<unknown>;
}

const driverOf = ({ drivers }: World, { which }: Fault) => drivers[which % drivers.length]!;

const WAYS = {
  'driver killed': {
    ...{ least: 0, most: 1_500, on: 'driver', loses: true },
    async act(world, fault) {
      const driver = driverOf(world, fault);
      await driver.kill();
      await sleep(fault.forMs);
      await driver.start();
    },
  },
  'driver stopped': {
    ...{ least: 200, most: 6_000, on: 'driver' },
    async act(world, fault) {
      const driver = driverOf(world, fault);
      driver.freeze(true);
      await sleep(fault.forMs);
      driver.freeze(false);
    },
  },
  'driver cut off from etcd': {
    ...{ least: 500, most: 7_000, on: 'driver' },
    async act(world, fault) {
      const { way } = driverOf(world, fault);
      way.cut();
      await sleep(fault.forMs);
      way.heal();
    },
  },
  'answers of etcd swallowed': {
    ...{ least: 20, most: 400, on: 'driver' },
    async act(world, fault) {
      const { way } = driverOf(world, fault);
      // Several times, since what is under way in one moment is little.
      for (let time = 0; time < 4; time++) {
        way.swallowReplies();
        await sleep(fault.forMs);
        way.drop();
        way.heal();
        await sleep(fault.forMs);
      }
    },
  },
  'answers of etcd delayed': {
    ...{ least: 100, most: 2_500, on: 'driver' },
    async act(world, fault) {
      const { way } = driverOf(world, fault);
      way.swallowReplies();
      await sleep(fault.forMs);
      way.heal();
    },
  },
  'callers give up': {
    ...{ least: 500, most: 2_000, on: 'driver' },
    async act({ engines }, { which, forMs }) {
      const { caller } = engines[which % engines.length]!;
      caller.patience = () => 1 + ((which * 7 + Math.round(performance.now())) % 9);
      await sleep(forMs);
      caller.patience = undefined;
    },
  },
  'engine killed': {
    ...{ least: 0, most: 0, on: 'driver', loses: true },
    act: ({ engines }, { which }) => engines[which % engines.length]!.crash(),
  },
  "driver's clock stepped": {
    ...{ least: 500, most: 4_000, on: 'driver' },
    async act(world, fault) {
      const driver = driverOf(world, fault);
      // Forward not for longer than a run waits: what is dated in the future is not stale before that.
      await driver.stepClock(fault.which % 2 === 0 ? -3_600_000 : 20_000);
      await sleep(fault.forMs);
      await driver.stepClock(0);
    },
  },
  'member killed': {
    ...{ least: 300, most: 3_000, on: 'member' },
    async act({ etcd }, { which, forMs }) {
      await etcd.kill(which % 3);
      await sleep(forMs);
      await etcd.restart(which % 3);
    },
  },
  'member stopped': {
    ...{ least: 300, most: 3_500, on: 'member' },
    async act({ etcd }, { which, forMs }) {
      etcd.freeze(which % 3);
      await sleep(forMs);
      etcd.thaw(which % 3);
      await etcd.whole();
    },
  },
  'member cut off': {
    ...{ least: 300, most: 3_500, on: 'member' },
    async act({ etcd }, { which, forMs }) {
      etcd.cut(which % 3);
      await sleep(forMs);
      etcd.heal();
      await etcd.whole();
    },
  },
  'etcd away': {
    ...{ least: 1_000, most: 4_000, on: 'member' },
    async act({ etcd }, { which, forMs }) {
      etcd.freeze(which % 3, (which + 1) % 3);
      await sleep(forMs);
      etcd.thaw(which % 3, (which + 1) % 3);
      await etcd.whole();
    },
  },
  'leader of etcd moved': {
    ...{ least: 0, most: 0, on: 'member' },
    act: ({ etcd }) => insisted('the leader of etcd moves', () => etcd.moveLeader()),
  },
  'all leases revoked': {
    ...{ least: 0, most: 0, on: 'member' },
    act: ({ etcd }) => insisted('the leases go', () => etcd.revokeAllLeases()),
  },
  'history compacted': {
    ...{ least: 0, most: 0, on: 'member' },
    async act({ etcd, log }) {
      // What is not written down yet would be lost to the checker.
      const revision = await log.caughtUp();
      await insisted('etcd compacts', () => etcd.ctl('compact', String(revision)));
    },
  },
  'etcd restored from a backup': {
    ...{ least: 500, most: 2_000, on: 'world', loses: true },
    act: (world, { forMs }) => setBack(world, forMs),
  },
  'leader of the swarm moved': {
    ...{ least: 0, most: 0, on: 'all' },
    act: ({ swarm, engines }, { which }) => swarm.elect(which % engines.length),
  },
} as const satisfies Record<string, Way>;

export type Kind = keyof typeof WAYS;
export const ways: Readonly<Record<Kind, Way>> = WAYS;

export const KINDS = Object.keys(WAYS) as Kind[];
/** Kinds that leave nothing which only reconciliation could free. */
export const GENTLE = KINDS.filter((kind) => !ways[kind].loses);

/** Each kind at least once, in any order, spread over the time; the longer it is the more, but for what stops all else. */
export function plan(draw: Draw, kinds: readonly Kind[], forMs: number): Fault[] {
  const rounds = Math.max(1, Math.round(forMs / 50_000));
  const again = kinds.filter((kind) => ways[kind].on !== 'world');
  const drawn = Array.from({ length: rounds }, (_, round) => draw.shuffled(round === 0 ? kinds : again)).flat();
  const pace = forMs / drawn.length;
  return drawn.map((kind, index) => {
    const { least, most } = ways[kind];
    const atMs = Math.round(index * pace + draw.below(Math.max(1, Math.round(pace))));
    return { kind, atMs, forMs: draw.between(least, most), which: draw.below(1_000) };
  });
}

/** A busy etcd may not do at once what it is asked to. */
function insisted(what: string, act: () => Promise<unknown>): Promise<unknown> {
  const done = () =>
    act().then(
      () => true,
      // It had compacted already, and its answer was lost.
      (error) => String(error).includes('has been compacted'),
    );
  return eventually(what, done, 60_000, 200);
}

export function told({ kind, atMs, forMs, which }: Fault): string {
  return `${(atMs / 1_000).toFixed(1)} s ${kind} (${which}${forMs > 0 ? `, ${forMs} ms` : ''})`;
}
