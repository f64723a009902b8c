// One lease for many releases, and none where it would have to be waited for.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { KEEPING, RESTING, Rests } from '../../../src/etcd/rests.js';

const soon = () => performance.now() + 5_000;

/** An etcd that grants what it is asked for, or at least 2 s, as a real one does. */
function granting(grant?: () => Promise<{ id: string; ttl: number }>, manner = RESTING) {
  const asked: number[] = [];
  const client = {
    grant: async (ttl: number) => {
      asked.push(ttl);
      return grant ? grant() : { id: `${asked.length}`, ttl: Math.max(ttl, 2) };
    },
  };
  return { asked, rests: new Rests(client, manner) };
}

describe('leases of what rests', () => {
  it('30 s rest on one of 38 s, all that is released at once on the same', async () => {
    const { asked, rests } = granting();
    const leases = await Promise.all(Array.from({ length: 20 }, () => rests.lease(30_000, 1, soon())));
    expect(new Set(leases)).to.deep.equal(new Set(['1']));
    expect(asked).to.deep.equal([38]);
  });

  it('takes 500 keys, and the next one for the 501st', async () => {
    const { asked, rests } = granting();
    const leases = await Promise.all(Array.from({ length: 501 }, () => rests.lease(30_000, 1, soon())));
    expect(leases.filter((lease) => lease === '1')).to.have.length(500);
    expect(leases.at(-1)).to.equal('2');
    expect(asked).to.deep.equal([38, 38]);
  });

  it('is not used where it would end before the rest does', async () => {
    const { asked, rests } = granting(async () => ({ id: '1', ttl: 29 }));
    for (let i = 0; i < 3; i++) expect(await rests.lease(30_000, 1, soon())).to.equal(undefined);
    expect(asked).to.have.length(1);
  });

  it('is not used again after etcd refused it', async () => {
    const { rests } = granting();
    expect(await rests.lease(1_000, 1, soon())).to.equal('1');
    rests.refused('1');
    expect(await rests.lease(1_000, 1, soon())).to.equal('2');
    rests.refused('1');
    expect(await rests.lease(1_000, 1, soon())).to.equal('2');
  });

  it('is done without for 2 s after none was granted: 50 releases ask once', async () => {
    const { asked, rests } = granting(async () => {
      throw new Error('NOSPACE');
    });
    for (let i = 0; i < 50; i++) expect(await rests.lease(30_000, 1, soon())).to.equal(undefined);
    expect(asked).to.have.length(1);
  });

  it('is asked for half a second at most, and a call waits no longer than it has time', async () => {
    const until: number[] = [];
    const rests = new Rests({
      grant: async (_, by) => {
        until.push(by);
        await sleep(100);
        if (by < performance.now()) throw new Error('no answer');
        return { id: '1', ttl: 38 };
      },
    });
    const began = performance.now();
    const leases = [rests.lease(30_000, 1, began + 20), rests.lease(30_000, 1, began + 5_000)];
    expect(await Promise.all(leases)).to.deep.equal([undefined, '1']);
    expect(until).to.have.length(1);
    expect(until[0]).to.be.within(began + 500, performance.now() + 500);
  });
});

describe('leases of what is kept', () => {
  const WEEK = 7 * 86_400_000;

  it('a week is kept on one that lasts a sixteenth longer', async () => {
    const { asked, rests } = granting(undefined, KEEPING);
    await rests.lease(WEEK, 1, soon());
    expect(asked).to.deep.equal([642_600]);
  });

  it('the next one is granted when half of the keys are left, so that of 2,000 only the first waits', async () => {
    const { asked, rests } = granting(undefined, KEEPING);
    const waited: number[] = [];
    for (let i = 0; i < 2_000; i++) {
      let done = false;
      const lease = rests.lease(WEEK, 1, soon()).finally(() => {
        done = true;
      });
      // What has it at hand says so in a turn or two; a grant of this double takes as many again.
      await undefined;
      await undefined;
      if (!done) waited.push(i);
      await lease;
      await new Promise(setImmediate);
    }
    expect(waited).to.deep.equal([0]);
    expect(asked.length).to.be.within(5, 9);
  });

  it('where no other is to be had the one that there is serves on, and none is asked for anew within 2 s', async () => {
    let granted = 0;
    const { asked, rests } = granting(async () => {
      if (granted++ > 0) throw new Error('NOSPACE');
      return { id: '1', ttl: 642_600 };
    }, KEEPING);
    for (let i = 0; i < 400; i++) {
      expect(await rests.lease(WEEK, 1, soon())).to.equal('1');
      await new Promise(setImmediate);
    }
    expect(asked).to.have.length(2);
  });
});
