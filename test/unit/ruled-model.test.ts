// All orders in which a command, claims, releases and networks of a subnet can come; each clause is left out once.
import { expect } from 'chai';
import { explore } from '../model/explore.js';
import { RULED_RULES, type RuledBudget, type RuledRules, ruledPool } from '../model/ruled.js';

const SCENES = {
  'two nodes ask while commands run': { ask: 3, release: 1, command: 2, make: 0 },
  'the pool ends and is made anew': { ask: 1, release: 0, command: 3, make: 2 },
  'an address is given back and rests': { ask: 2, release: 2, command: 1, make: 0 },
} satisfies Record<string, RuledBudget>;
type Scene = keyof typeof SCENES;

/** Where leaving a clause out shows. */
const CLAUSES: Readonly<Record<keyof RuledRules, Scene>> = {
  pool: 'two nodes ask while commands run',
  rewrites: 'two nodes ask while commands run',
  claims: 'two nodes ask while commands run',
  seen: 'the pool ends and is made anew',
  making: 'the pool ends and is made anew',
  outlive: 'the pool ends and is made anew',
  resting: 'an address is given back and rests',
};

describe('model: an address that is excluded', () => {
  for (const [scene, budget] of Object.entries(SCENES)) {
    it(`${scene}: no container has it once the command has ended, in any order`, () => {
      const { states, trace } = explore(ruledPool(RULED_RULES, budget));
      expect(trace?.join('\n')).to.equal(undefined);
      expect(states).to.be.greaterThan(200);
      console.log(`        ${states} states`);
    });
  }

  for (const [clause, scene] of Object.entries(CLAUSES)) {
    it(`without "${clause}" a container has it: ${scene}`, () => {
      const { trace = [] } = explore(ruledPool({ ...RULED_RULES, [clause]: false }, SCENES[scene]));
      expect(trace.at(-1)).to.match(/a container has what is excluded/);
    });
  }
});
