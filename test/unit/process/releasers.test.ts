// The order of stopping, and what a failure or a hang in it does to the rest.
import { expect } from 'chai';
import { Releasers } from '../../../src/process/releasers.js';

const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('releasers', () => {
  it('run last in, first out, each after the one before has ended', async () => {
    const seen: string[] = [];
    const releasers = new Releasers();
    for (const [name, ms] of [
      ['etcd', 0],
      ['session', 15],
      ['server', 5],
    ] as const) {
      releasers.push(name, async () => {
        seen.push(`${name} begins`);
        await after(ms);
        seen.push(`${name} ends`);
      });
    }
    expect(await releasers.release()).to.deep.equal([]);
    expect(seen).to.deep.equal([
      'server begins',
      'server ends',
      'session begins',
      'session ends',
      'etcd begins',
      'etcd ends',
    ]);
  });

  it('that throw or reject are told by name, and the rest still run', async () => {
    const seen: string[] = [];
    const releasers = new Releasers();
    releasers.push('first', () => seen.push('first'));
    releasers.push('second', () => Promise.reject(new Error('rejected')));
    releasers.push('third', () => {
      throw new Error('thrown');
    });
    const failures = await releasers.release();
    expect(failures.map(({ name, error }) => [name, (error as Error).message])).to.deep.equal([
      ['third', 'thrown'],
      ['second', 'rejected'],
    ]);
    expect(seen).to.deep.equal(['first']);
  });

  it('share one deadline: one that hangs fails at 40 ms, and the rest are still called', async () => {
    const seen: string[] = [];
    const releasers = new Releasers();
    releasers.push('first', () => seen.push('first'));
    releasers.push('hanging', () => new Promise(() => {}));
    const began = performance.now();
    const failures = await releasers.release(40);
    expect(performance.now() - began).to.be.within(35, 10_000);
    expect(seen).to.deep.equal(['first']);
    expect(failures.map(({ name, error }) => [name, (error as Error).message])).to.deep.equal([
      ['hanging', 'not stopped within 40 ms'],
    ]);
  });

  it('run once, however often they are asked to', async () => {
    let runs = 0;
    const releasers = new Releasers();
    releasers.push('only', () => {
      runs++;
      throw new Error('no');
    });
    const [first, second] = await Promise.all([releasers.release(), releasers.release()]);
    expect(runs).to.equal(1);
    expect(second).to.equal(first);
    expect(first).to.have.length(1);
  });

  it('pushed while stopping, by a start that was not done, run at once', async () => {
    const seen: string[] = [];
    const releasers = new Releasers();
    expect(releasers.stopping).to.equal(false);
    const released = releasers.release();
    expect(releasers.stopping).to.equal(true);
    releasers.push('late', () => seen.push('late'));
    await released;
    expect(seen).to.deep.equal(['late']);
  });
});
