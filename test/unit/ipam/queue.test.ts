import { expect } from 'chai';
import { KeyedQueue } from '../../../src/ipam/queue.js';

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

const turn = () => new Promise<void>((next) => setImmediate(next));

describe('queue', () => {
  it('runs three tasks of one key one at a time, in the order of arrival', async () => {
    const queue = new KeyedQueue();
    const gates = [gate(), gate(), gate()];
    const told: string[] = [];
    const all = gates.map(({ opened }, i) =>
      queue.run('x', async () => {
        told.push(`${i} begins`);
        await opened;
        told.push(`${i} ends`);
        return i;
      }),
    );
    gates[2]!.open();
    gates[1]!.open();
    await turn();
    expect(told).to.deep.equal(['0 begins']);
    gates[0]!.open();
    expect(await Promise.all(all)).to.deep.equal([0, 1, 2]);
    expect(told).to.deep.equal(['0 begins', '0 ends', '1 begins', '1 ends', '2 begins', '2 ends']);
  });

  it('lets other keys pass', async () => {
    const queue = new KeyedQueue();
    const blocked = gate();
    const first = queue.run('x', () => blocked.opened);
    expect(await queue.run('y', async () => 'passed')).to.equal('passed');
    blocked.open();
    await first;
  });

  it('goes on after a task that failed, and tells only its own caller', async () => {
    const queue = new KeyedQueue();
    const failing = queue.run('x', async () => {
      throw new Error('no');
    });
    const next = queue.run('x', async () => 'yes');
    expect(await failing.catch((error: Error) => error.message)).to.equal('no');
    expect(await next).to.equal('yes');
    expect(await queue.run('x', async () => 'again')).to.equal('again');
  });

  it('survives a task that throws before it returns a promise', async () => {
    const queue = new KeyedQueue();
    const failing = queue.run('x', () => {
      throw new Error('at once');
    });
    expect(await failing.catch((error: Error) => error.message)).to.equal('at once');
    expect(await queue.run('x', async () => 'yes')).to.equal('yes');
  });
});
