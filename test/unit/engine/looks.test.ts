// When looks happen, with an interval of a few milliseconds: one at a time, soon after a start, never after a stop.
import { expect } from 'chai';
import { Looks } from '../../../src/engine/looks.js';
import { eventually } from '../../support/process.js';

/** Whoever starts looks ends them, also where the test fails. */
function looking(graceMs: number, look: (count: number) => Promise<number>) {
  const seen = { looks: 0, atOnce: 0, most: 0, reports: [] as string[] };
  const looks = new Looks({
    graceMs,
    look: async () => {
      seen.most = Math.max(seen.most, ++seen.atOnce);
      try {
        return await look(++seen.looks);
      } finally {
        seen.atOnce--;
      }
    },
    report: (error) => seen.reports.push(error === undefined ? 'works' : (error as Error).message),
  });
  return { looks, seen, [Symbol.dispose]: () => looks.stop() };
}

const HOUR = 3_600_000;

describe('looks at the engine', () => {
  it('happen at the start and again by a third of the grace', async () => {
    using run = looking(3, async () => 0);
    expect(run.seen.looks).to.equal(0);
    run.looks.start();
    await eventually('five looks', () => run.seen.looks >= 5);
    expect(run.seen.most).to.equal(1);
  });

  it('wait 10 ms for each claim that the last one read', async () => {
    using run = looking(3, async (count) => (count === 3 ? 1_000_000 : 0));
    run.looks.start();
    await eventually('three looks', () => run.seen.looks === 3);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(run.seen.looks).to.equal(3);
  });

  it('happen once more when the engine has begun anew, though the interval is long, and also when one is under way', async () => {
    let finish: () => void = () => undefined;
    using run = looking(HOUR, async (count) => {
      if (count === 2) await new Promise<void>((resolve) => (finish = resolve));
      return 0;
    });
    run.looks.start();
    await eventually('the first look', () => run.seen.looks === 1);
    run.looks.soon();
    await eventually('the second', () => run.seen.looks === 2, 20_000);
    run.looks.soon();
    run.looks.soon();
    finish();
    await eventually('the third', () => run.seen.looks === 3, 20_000);
    expect(run.seen.most).to.equal(1);
  }).timeout(60_000);

  it('end with a stop, which waits for none, and a failure after it is not reported', async () => {
    let fail: (error: Error) => void = () => undefined;
    using run = looking(3, () => new Promise<number>((_, reject) => (fail = reject)));
    run.looks.start();
    await eventually('the first look', () => run.seen.looks === 1);
    run.looks.stop();
    fail(new Error('cut'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(run.seen).to.include({ looks: 1, atOnce: 0 });
    expect(run.seen.reports).to.deep.equal([]);
  });

  it('report the first failure of a row, and the first success after it', async () => {
    using run = looking(3, async (count) => {
      if (count === 2 || count === 3 || count === 6) throw new Error(`look ${count} failed`);
      return 0;
    });
    run.looks.start();
    await eventually('eight looks', () => run.seen.looks >= 8);
    expect(run.seen.reports).to.deep.equal(['look 2 failed', 'works', 'look 6 failed', 'works']);
  });
});
