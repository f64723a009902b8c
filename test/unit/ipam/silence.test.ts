import { expect } from 'chai';
import { isBraked, isGone, type NodeSeen, roundsIn, type Standing, standingOf } from '../../../src/ipam/silence.js';

const node = (record: { silence?: number; evicted?: string }, living = false): NodeSeen => ({
  ...{ name: 'b', living },
  found: { key: 'nodes/b', version: '5', record: { machine: 'm', boot: 'boot-1', since: 'then', ...record } },
});

describe('silence', () => {
  it('24 h are 2880 rounds of 30 s, 45 s are 2, and never is no number of them', () => {
    expect([86_400_000, 45_000, 30_000].map((ms) => roundsIn(ms, 30_000))).to.deep.equal([2880, 2, 1]);
    expect(roundsIn(Number.POSITIVE_INFINITY, 30_000)).to.equal(Number.POSITIVE_INFINITY);
  });

  it('a node is gone at its number of rounds or by eviction, and never otherwise', () => {
    expect([3, 4, 5].map((silence) => isGone({ silence }, 4))).to.deep.equal([false, true, true]);
    expect(isGone({}, 4)).to.equal(false);
    expect(isGone({ silence: 1e9 })).to.equal(false);
    expect(isGone({ silence: 1e9 }, Number.POSITIVE_INFINITY)).to.equal(false);
    expect(isGone({ evicted: 'now' })).to.equal(true);
  });

  it('a session makes it alive, whatever its record says', () => {
    expect(standingOf(node({ silence: 9, evicted: 'now' }, true), 4)).to.equal('alive');
    expect(standingOf(node({ silence: 9, evicted: 'now' }), 4)).to.equal('evicted');
    expect(standingOf(node({ silence: 4 }), 4)).to.equal('gone');
    expect(standingOf(node({ silence: 0 }), 4)).to.equal('silent');
    expect(standingOf(node({}), 4)).to.equal('silent');
  });
});

describe('the brake', () => {
  const inUse = (alive: number, silent: number, gone = 0): Standing[] => [
    ...Array<Standing>(alive).fill('alive'),
    ...Array<Standing>(silent).fill('silent'),
    ...Array<Standing>(gone).fill('gone'),
    ...Array<Standing>(gone).fill('evicted'),
  ];

  it('holds where more than half of at least three are silent', () => {
    for (const [alive, silent] of [
      [1, 2],
      [0, 3],
      [2, 3],
      [49, 51],
    ] as const)
      expect(isBraked(inUse(alive, silent)), `${alive} alive, ${silent} silent`).to.equal(true);
    for (const [alive, silent] of [
      [0, 0],
      [1, 1],
      [0, 2],
      [2, 1],
      [2, 2],
      [50, 50],
    ] as const)
      expect(isBraked(inUse(alive, silent)), `${alive} alive, ${silent} silent`).to.equal(false);
  });

  it('takes no account of those that are gone or evicted', () => {
    expect(isBraked(inUse(10, 1, 90))).to.equal(false);
    expect(isBraked(inUse(1, 1, 90))).to.equal(false);
    expect(isBraked(inUse(1, 2, 90))).to.equal(true);
  });
});
