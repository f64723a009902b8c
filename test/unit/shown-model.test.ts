// All orders in which two containers that look alike, their engine and a look at it can come; each clause is left out once.
import { expect } from 'chai';
import { explore } from '../model/explore.js';
import { SHOWN_RULES, type ShownBudget, type ShownRules, shownContainers } from '../model/shown.js';

const SCENES = {
  'two containers start and stop': { start: 3, stop: 2, lost: 1, look: 2, crash: 0, unheard: 0 },
  'the engine is killed': { start: 3, stop: 1, lost: 0, look: 2, crash: 1, unheard: 0 },
  'a release never arrives': { start: 3, stop: 1, lost: 0, look: 2, crash: 0, unheard: 1 },
} satisfies Record<string, ShownBudget>;
type Scene = keyof typeof SCENES;

/** Where leaving a clause out shows, and as what. */
const CLAUSES: Readonly<Record<keyof ShownRules, readonly [Scene, RegExp]>> = {
  refuses: ['two containers start and stop', /was shown is another’s/],
  version: ['two containers start and stop', /no container has/],
  recordsFirst: ['two containers start and stop', /no container has/],
  forgets: ['the engine is killed', /no container has/],
  begins: ['the engine is killed', /no container has/],
  fails: ['a release never arrives', /no container has/],
};

describe('model: a container that the engine shows', () => {
  for (const [scene, budget] of Object.entries(SCENES)) {
    it(`${scene}: it keeps its address, and nobody is refused one that no container has, in any order`, () => {
      const { states, trace } = explore(shownContainers(SHOWN_RULES, budget));
      expect(trace?.join('\n')).to.equal(undefined);
      expect(states).to.be.greaterThan(200);
      console.log(`        ${states} states`);
    });
  }

  for (const [clause, [scene, wrong]] of Object.entries(CLAUSES)) {
    it(`not without "${clause}": ${scene}`, () => {
      const { trace = [] } = explore(shownContainers({ ...SHOWN_RULES, [clause]: false }, SCENES[scene]));
      expect(trace.at(-1)).to.match(wrong);
    });
  }
});
