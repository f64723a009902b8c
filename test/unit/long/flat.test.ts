// The judge of a soak's samples finds leaks in noise, and none where there is none.
import { expect } from 'chai';
import { judge, type Sample } from '../../long/flat.js';
import { chance } from '../../support/sequences.js';

const MINUTES = 30;
/** One every 10 s of 30 minutes. */
const samples = (value: (second: number, nth: number) => number): Sample[] =>
  Array.from({ length: MINUTES * 6 + 1 }, (_, nth) => ({ at: nth * 10, value: value(nth * 10, nth) }));
const noise = (part: number) => {
  const next = chance('flat');
  return (value: number) => value * (1 + part * (next() / 2 ** 31 - 1));
};

describe('the judge of a soak', () => {
  it('takes a constant for flat, also at 0', () => {
    expect(
      judge(
        samples(() => 4),
        { share: 0.1 },
      ),
    ).to.deep.equal({ level: 4, slope: 0, growth: 0, flat: true });
    expect(
      judge(
        samples(() => 0),
        { share: 0.1 },
      ).flat,
    ).to.equal(true);
  });

  it('takes 2,000 with 5 % of noise for flat, and finds a growth of 20 % in 20 minutes in that noise', () => {
    const rough = noise(0.05);
    expect(
      judge(
        samples(() => rough(2_000)),
        { share: 0.1 },
      ).flat,
    ).to.equal(true);
    const leak = judge(
      samples((second) => rough(2_000 * (1 + (0.2 * second) / 1_200))),
      { share: 0.1 },
    );
    expect(leak.flat).to.equal(false);
    expect(leak.growth).to.be.within(320, 480);
  });

  it('judges the last 20 of 30 minutes: what fills up in the first 10 is flat', () => {
    const { level, growth, flat } = judge(
      samples((second) => Math.min(second, 500)),
      { share: 0.01 },
    );
    expect([level, growth, flat]).to.deep.equal([500, 0, true]);
  });

  it('finds what begins to grow in the last 20 minutes only', () => {
    expect(
      judge(
        samples((second) => 100 + Math.max(0, second - 700) / 10),
        { share: 0.1 },
      ).flat,
    ).to.equal(false);
  });

  it('is not tilted by a saw of 60 s whose teeth are half of the level, nor by one burst', () => {
    expect(
      judge(
        samples((_, nth) => 100 + 10 * (nth % 6)),
        { share: 0.1 },
      ).flat,
    ).to.equal(true);
    expect(
      judge(
        samples((_, nth) => (nth === 179 ? 10_000 : 100)),
        { share: 0.1 },
      ).growth,
    ).to.equal(0);
  });

  it('takes what shrinks for flat, and a handful more of few things', () => {
    expect(
      judge(
        samples((second) => 4_000 - second),
        { share: 0.1 },
      ).flat,
    ).to.equal(true);
    const few = samples((second) => 4 + second / 600);
    expect(judge(few, { share: 0.1, slack: 4 }).flat).to.equal(true);
    expect(judge(few, { share: 0.1, slack: 1 }).flat).to.equal(false);
  });

  it('tells the slope in a second', () => {
    const { slope, growth } = judge(
      samples((second) => 1_000 + second / 4),
      { share: 0.1 },
    );
    expect([slope, growth]).to.deep.equal([0.25, 300]);
  });

  it('refuses fewer than 6 samples, which say nothing', () => {
    expect(() => judge(samples(() => 1).slice(0, 7), { share: 0.1 })).to.throw('5 samples in the last two thirds');
    expect(() => judge([], { share: 0.1 })).to.throw('0 samples');
  });
});
