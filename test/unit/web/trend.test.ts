// What is remembered of how full pools were, and what is foretold of it.
import { expect } from 'chai';
import { type Point, Samples, trendOf } from '../../../src/web/trend.js';

const START = 1_800_000_000;
const at = (seconds: number) => new Date((START + seconds) * 1_000);
const series = (count: number, gap: number, used: (i: number) => number): Point[] =>
  Array.from({ length: count }, (_, i) => [START + i * gap, used(i)]);

describe('a trend', () => {
  it('of 10 addresses a minute leaves 100 free ones for 10 minutes', () => {
    const { perHour, fullAt } = trendOf(
      series(30, 60, (i) => 100 + 10 * i),
      490,
    );
    expect(perHour).to.equal(600);
    expect(fullAt).to.equal(at(29 * 60 + 600).toISOString());
  });

  it('is not told of 3 points, nor of less than a minute', () => {
    expect(
      trendOf(
        series(3, 60, (i) => i),
        254,
      ),
    ).to.include({ perHour: null, fullAt: null });
    expect(
      trendOf(
        series(10, 5, (i) => i),
        254,
      ),
    ).to.include({ perHour: null, fullAt: null });
    expect(trendOf([], 254)).to.deep.equal({ points: [], perHour: null, fullAt: null });
  });

  it('of two minutes is told, and its end is not: of half an hour, no farther off than 12 hours', () => {
    const rising = (count: number, gap: number, size: number) =>
      trendOf(
        series(count, gap, (i) => i),
        size,
      );
    expect(rising(13, 10, 20)).to.include({ perHour: 360, fullAt: null });
    expect(rising(31, 60, 600).fullAt).to.equal(at(600 * 60).toISOString());
    expect(rising(31, 60, 800)).to.include({ perHour: 60, fullAt: null });
  });

  it('that falls, is level, or is of a /64 ends nowhere', () => {
    expect(
      trendOf(
        series(30, 60, (i) => 100 - i),
        254,
      ),
    ).to.include({ perHour: -60, fullAt: null });
    expect(
      trendOf(
        series(30, 60, () => 100),
        254,
      ),
    ).to.include({ perHour: 0, fullAt: null });
    expect(
      trendOf(
        series(30, 60, (i) => i),
        2 ** 64,
      ),
    ).to.include({ perHour: 60, fullAt: null });
  });

  it('goes by the last hour: what rose a day ago and is level since is level', () => {
    const points = [
      ...series(60, 1_440, (i) => 10 * i),
      ...series(30, 60, () => 600).map(([t, n]): Point => [t + 100_000, n]),
    ];
    expect(trendOf(points, 1_000)).to.include({ perHour: 0, fullAt: null });
  });
});

describe('samples', () => {
  it('of a quick series are one every 10 s, the last one being the latest', () => {
    const samples = new Samples();
    for (let i = 0; i <= 100; i++) samples.add([{ space: 'local', pool: '10.66.0.0/24', used: i }], at(i));
    const points = samples.of('local', '10.66.0.0/24');
    expect(points).to.have.length(11);
    expect(points.at(-1)).to.deep.equal([START + 100, 100]);
    for (let i = 2; i < points.length; i++) expect(points[i]![0] - points[i - 2]![0]).to.be.at.least(10);
  });

  it('of two days, one a minute, are 204 at most, a day long and in order', () => {
    const samples = new Samples();
    for (let i = 0; i < 2_880; i++) samples.add([{ space: 'local', pool: '10.66.0.0/24', used: i }], at(60 * i));
    const points = samples.of('local', '10.66.0.0/24');
    expect(points.length).to.be.at.most(204);
    expect(points.at(-1)![0] - points[0]![0]).to.be.closeTo(86_400, 1_200);
    for (let i = 1; i < points.length; i++) expect(points[i]![0]).to.be.greaterThan(points[i - 1]![0]);
  });

  it('of 1,500 pools are those of the 1,000 that were counted last', () => {
    const samples = new Samples();
    const fill = (i: number) => ({ space: 'local', pool: `10.${i >> 8}.${i & 255}.0/24`, used: 1 });
    samples.add(
      Array.from({ length: 1_500 }, (_, i) => fill(i)),
      at(0),
    );
    expect(samples.of('local', fill(499).pool)).to.deep.equal([]);
    expect(samples.of('local', fill(500).pool)).to.have.length(1);
    samples.add([fill(500)], at(60));
    samples.add([fill(2_000)], at(60));
    expect(samples.of('local', fill(500).pool)).to.have.length(2);
    expect(samples.of('local', fill(501).pool)).to.deep.equal([]);
  });
});
