// Explores the models of the rules to their ends, and sees that they would notice if a clause were missing.
import { expect } from 'chai';
import { explore } from '../model/explore.js';
import { RULES, type Rules } from '../model/global.js';
import { leaders } from '../model/leaders.js';
import { WORKER_RULES, type WorkerRules, workers } from '../model/workers.js';

const SCENES = {
  'two leaders, a network that ends': { elect: 2, task: 1, end: 1, remove: 1 },
  'a start or a create that fails for its other subnet': { elect: 1, task: 1, half: 1, retry: 1, remove: 1, end: 1 },
  'a deposed leader whose start fails late': { elect: 2, task: 1, half: 1, gone: 1 },
  'an answer that is not delivered': { elect: 1, task: 1, gone: 1, retry: 1 },
  'etcd that does not answer': { elect: 1, task: 1, doubt: 1, retry: 1 },
  'releases that are queued': { create: 2, task: 1, end: 1, remove: 1, doubt: 1 },
  'releases that are queued after a change of leaders': { elect: 1, remove: 1, doubt: 1 },
  'a second network': { elect: 1, task: 1, second: 1, gone: 1 },
  'a second network, and a plugin that forgets': { elect: 1, task: 1, second: 1, kill: 1, end: 1 },
  'addresses by number': { elect: 1, task: 1, end: 1, number: 3 },
  'a late leader and a pool made anew': { elect: 2, create: 2, remove: 1 },
  'a full pool': { elect: 1, task: 3, gone: 1, age: 1 },
  'an address that rests': { elect: 1, task: 1, end: 1, number: 1, gone: 1 },
};

/** The clause that is left out, and where that shows. */
const CLAUSES: Record<keyof Rules, keyof typeof SCENES> = {
  term: 'a second network',
  base: 'a late leader and a pool made anew',
  baseIncarnation: 'a late leader and a pool made anew',
  standing: 'a late leader and a pool made anew',
  once: 'addresses by number',
  sharedStays: 'addresses by number',
  nodesAsked: 'a full pool',
  secondNetwork: 'a second network, and a plugin that forgets',
  bareGateway: 'two leaders, a network that ends',
  leaderFrees: 'addresses by number',
  gatewayStays: 'a start or a create that fails for its other subnet',
  goBack: 'an answer that is not delivered',
  left: 'two leaders, a network that ends',
  asked: 'an answer that is not delivered',
  nested: 'a deposed leader whose start fails late',
  restores: 'an answer that is not delivered',
  fence: 'etcd that does not answer',
  waits: 'releases that are queued',
  ordered: 'releases that are queued after a change of leaders',
  nobodys: 'two leaders, a network that ends',
  restsAnew: 'an address that rests',
};

const WORKER_SCENES = {
  'two workers, a bridge and a boot': { tasks: 2, bridges: 1, boots: 1, gone: 1 },
  'one worker whose answers are lost': { tasks: 1, gone: 2, alone: true },
  'a boot, and another host that has no address left': { bridges: 2, others: 1, boots: 1, gone: 1 },
};

const WORKER_CLAUSES: Record<keyof WorkerRules, keyof typeof WORKER_SCENES> = {
  moves: 'two workers, a bridge and a boot',
  onlySwarm: 'two workers, a bridge and a boot',
  ruled: 'two workers, a bridge and a boot',
  ownJoin: 'two workers, a bridge and a boot',
  ownToken: 'two workers, a bridge and a boot',
  chain: 'one worker whose answers are lost',
  boots: 'two workers, a bridge and a boot',
  earlierOnly: 'a boot, and another host that has no address left',
  restsByNumber: 'one worker whose answers are lost',
  detaches: 'two workers, a bridge and a boot',
  restsAnew: 'two workers, a bridge and a boot',
};

describe('the model of the global space', function () {
  this.timeout(120_000);

  for (const [scene, budget] of Object.entries(SCENES)) {
    it(`${scene}: nothing goes wrong in any order`, () => {
      const { states, trace } = explore(leaders(RULES, budget));
      expect(trace?.join('\n')).to.equal(undefined);
      expect(states).to.be.greaterThan(50);
      console.log(`        ${states} states`);
    });
  }

  for (const [clause, scene] of Object.entries(CLAUSES)) {
    it(`without "${clause}" something goes wrong: ${scene}`, () => {
      const { trace = [] } = explore(leaders({ ...RULES, [clause]: false }, SCENES[scene]));
      expect(trace.length).to.be.greaterThan(0);
    });
  }
});

describe('the model of the local space with workers of a swarm', function () {
  this.timeout(120_000);

  for (const [scene, budget] of Object.entries(WORKER_SCENES)) {
    it(`${scene}: nothing goes wrong in any order`, () => {
      const { states, trace } = explore(workers(WORKER_RULES, budget));
      expect(trace?.join('\n')).to.equal(undefined);
      expect(states).to.be.greaterThan(50);
      console.log(`        ${states} states`);
    });
  }

  for (const [clause, scene] of Object.entries(WORKER_CLAUSES)) {
    it(`without "${clause}" something goes wrong: ${scene}`, () => {
      const { trace = [] } = explore(workers({ ...WORKER_RULES, [clause]: false }, WORKER_SCENES[scene]));
      expect(trace.length).to.be.greaterThan(0);
    });
  }
});
