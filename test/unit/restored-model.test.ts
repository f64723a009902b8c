// All orders of what can happen when etcd is set back under two nodes; each clause of the rules is left out once.
import { expect } from 'chai';
import { explore } from '../model/explore.js';
import { RESTORED_RULES, type RestoredBudget, type RestoredRules, restored } from '../model/restored.js';

const NONE = { snapshot: 1, restore: 1, start: 2, stop: 0, others: 0, marked: false };
const SCENES = {
  'one address, asked for three times': { ...NONE, start: 3 },
  'a mark of an earlier restore stands': { ...NONE, marked: true },
  'a release waits': { ...NONE, start: 3, stop: 1, others: 1 },
} satisfies Record<string, RestoredBudget>;
type Scene = keyof typeof SCENES;

/** Where leaving a clause out shows. */
const CLAUSES: Readonly<Record<keyof RestoredRules, Scene>> = {
  mark: 'one address, asked for three times',
  alarm: 'one address, asked for three times',
  strict: 'one address, asked for three times',
  renew: 'a mark of an earlier restore stands',
  claimed: 'one address, asked for three times',
  everyNode: 'one address, asked for three times',
  ofThisMark: 'a mark of an earlier restore stands',
  tagged: 'a release waits',
  first: 'one address, asked for three times',
};

describe('model: an etcd that is set back', function () {
  this.timeout(180_000);

  for (const [scene, budget] of Object.entries(SCENES)) {
    it(`${scene}: the address has no two containers in any order`, () => {
      const { states, trace } = explore(restored(RESTORED_RULES, budget));
      expect(trace?.join('\n')).to.equal(undefined);
      expect(states).to.be.greaterThan(500);
      console.log(`        ${states} states`);
    });
  }

  for (const [clause, scene] of Object.entries(CLAUSES)) {
    it(`without "${clause}" two containers have the address: ${scene}`, () => {
      const { trace = [] } = explore(restored({ ...RESTORED_RULES, [clause]: false }, SCENES[scene]));
      expect(trace.at(-1)).to.match(/two containers/);
    });
  }
});
