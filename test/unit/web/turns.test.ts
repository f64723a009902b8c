// Readers of the operators' port: few at once, and none before an engine.
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { politely, Turns } from '../../../src/web/turns.js';

const never = new AbortController().signal;

describe('turns', () => {
  it('are two at once, in the order in which they were asked for, and 64 that wait', async () => {
    const turns = new Turns();
    const begun: number[] = [];
    const ends: (() => void)[] = [];
    const works = Array.from({ length: 66 }, (_, i) =>
      turns.run(never, () => {
        begun.push(i);
        return new Promise<void>((resolve) => ends.push(resolve));
      }),
    );
    await turn();
    expect(begun).to.deep.equal([0, 1]);
    const refused = await turns.run(never, async () => 'had').catch((error: Error) => error.message);
    expect(refused).to.equal('too many ask at once; try again');
    for (let i = 0; i < 66; i++) {
      ends[i]!();
      await works[i];
      await turn();
    }
    expect(begun).to.deep.equal(Array.from({ length: 66 }, (_, i) => i));
  });

  it('of those that have gone meanwhile are not taken, and hold up nobody', async () => {
    const turns = new Turns();
    const gone = new AbortController();
    let end = () => {};
    const first = [0, 1].map(() => turns.run(never, () => new Promise<void>((resolve) => (end = resolve))));
    const left = turns.run(gone.signal, async () => 'read').catch(() => 'not read');
    const next = turns.run(never, async () => 'read');
    gone.abort();
    end();
    expect([await left, await next]).to.deep.equal(['not read', 'read']);
    void first;
  });

  it('wait while an engine waits, but not for ever, and write nothing', async () => {
    let busy = true;
    let reads = 0;
    const store = {
      seen: () => undefined,
      read: async () => {
        reads++;
        return [] as never;
      },
    };
    const polite = politely(store, () => busy, never);
    const first = polite.read([], 0);
    await turn();
    await turn();
    expect(reads).to.equal(0);
    busy = false;
    await first;
    expect(reads).to.equal(1);
    busy = true;
    await polite.read([], 0);
    expect(reads).to.equal(2);
    const written = await polite
      .commit({ when: [], write: [], otherwise: [] }, 0)
      .catch((error: Error) => error.message);
    expect(written).to.equal('the page and its API change nothing');
  });
});
