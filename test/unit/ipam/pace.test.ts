import { expect } from 'chai';
import { Pace } from '../../../src/ipam/pace.js';

describe('pace', () => {
  /** Time passes only while somebody pauses. */
  const paced = () => {
    const clock = { ms: 0, looks: [] as number[], until: [] as number[] };
    const around = {
      millis: () => clock.ms,
      pause: async (ms: number) => {
        await Promise.resolve();
        clock.ms += ms;
      },
    };
    const pace = new Pace(around, async (until) => {
      clock.looks.push(clock.ms);
      clock.until.push(until);
      return clock.looks.length;
    });
    return { clock, pace };
  };
  const by = 1e9;

  it('looks at once, and after 1, 2, 4 ms and so on up to 250 ms', async () => {
    const { clock, pace } = paced();
    for (let i = 0; i < 10; i++) await pace.look(by);
    expect(clock.looks).to.deep.equal([0, 1, 3, 7, 15, 31, 63, 127, 255, 505]);
  });

  it('20 who ask while a look is due share that one, and none that had begun', async () => {
    const { clock, pace } = paced();
    const first = pace.look(by);
    const others = Array.from({ length: 20 }, () => pace.look(by));
    expect(await first).to.equal(1);
    expect(await Promise.all(others)).to.deep.equal(Array(20).fill(2));
    expect(clock.looks).to.deep.equal([0, 1]);
  });

  it('a look that is shared has the time of whoever has most, and the next one has none of it', async () => {
    const { clock, pace } = paced();
    await pace.look(by);
    await Promise.all([10, 5_000, 20].map((ms) => pace.look(ms)));
    await Promise.all([30, 40].map((ms) => pace.look(ms)));
    expect(clock.until).to.deep.equal([by, 5_000, 40]);
  });

  it('looks at once again after a second, and whenever a deadline is near', async () => {
    const { clock, pace } = paced();
    for (let i = 0; i < 9; i++) await pace.look(by);
    await pace.look(clock.ms + 150);
    expect(clock.looks.at(-1)).to.equal(clock.looks.at(-2));
    clock.ms += 1_300;
    const now = clock.ms;
    for (let i = 0; i < 3; i++) await pace.look(by);
    expect(clock.looks.slice(-3)).to.deep.equal([now, now + 1, now + 3]);
  });
});
