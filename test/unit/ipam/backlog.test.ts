import { expect } from 'chai';
import { Backlog } from '../../../src/ipam/backlog.js';
import { IpamError } from '../../../src/ipam/errors.js';
import type { Surroundings } from '../../../src/ipam/surroundings.js';

const away = () => new IpamError('unavailable', 'the store is away');
const turn = () => new Promise<void>((next) => setImmediate(next));

describe('backlog', () => {
  let now: number;
  let pauses: number[];
  let failed: string[];
  let sleeping: (() => void)[];
  let backlog: Backlog;

  beforeEach(() => {
    now = 1_000;
    pauses = [];
    failed = [];
    sleeping = [];
    const around = {
      millis: () => now,
      pause: (ms: number) => {
        pauses.push(ms);
        return new Promise<void>((wake) => sleeping.push(wake));
      },
    } as Partial<Surroundings> as Surroundings;
    backlog = new Backlog(around, (what, error) => failed.push(`${what}: ${(error as Error).message}`));
  });

  async function wakeAll(): Promise<void> {
    for (const wake of sleeping.splice(0)) wake();
    await turn();
  }

  it('does what it is given at once, with 5 s for it', async () => {
    let until = 0;
    void backlog.add('release', async (by) => {
      until = by;
    });
    expect(backlog.pending).to.equal(1);
    await turn();
    expect([until, backlog.pending, pauses, failed]).to.deep.equal([6_000, 0, [], []]);
  });

  it('tries again after 100, 200, 400, 800, 1600 and then every 2000 ms, as long as the store is away', async () => {
    let tries = 0;
    void backlog.add('release', async () => {
      if (++tries < 9) throw away();
    });
    await turn();
    for (let i = 0; i < 8; i++) await wakeAll();
    expect(pauses).to.deep.equal([100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
    expect([tries, backlog.pending, failed]).to.deep.equal([9, 0, []]);
  });

  it('gives what needed all of its time twice as long at the next attempt, so that a long list comes to its end', async () => {
    const given: number[] = [];
    void backlog.add('release of pool', async (by) => {
      given.push(by - now);
      const ended = Math.min(by, now + 18_000);
      now = ended;
      // As the store does: it gave up a little before, with the last read cut short, or was asked too late.
      if (ended === by) throw given.length === 1 ? away() : new IpamError('deadline', 'too late');
    });
    await turn();
    for (let i = 0; i < 3; i++) await wakeAll();
    expect([given, backlog.pending, failed]).to.deep.equal([[5_000, 10_000, 20_000], 0, []]);
  });

  it('and no longer what failed before its time was over', async () => {
    const given: number[] = [];
    void backlog.add('release', async (by) => {
      given.push(by - now);
      now += 1_000;
      if (given.length < 4) throw away();
    });
    await turn();
    for (let i = 0; i < 3; i++) await wakeAll();
    expect(given).to.deep.equal([5_000, 5_000, 5_000, 5_000]);
  });

  it('tries for a minute while the node’s name is the boot before’s, and then reports that it is another’s', async () => {
    const taken = () => new IpamError('node_name_taken', 'another has the name');
    void backlog.add('release', async () => {
      throw taken();
    });
    await turn();
    now += 59_999;
    await wakeAll();
    expect([pauses, failed]).to.deep.equal([[100, 200], []]);
    now += 1;
    await wakeAll();
    expect([backlog.pending, failed]).to.deep.equal([0, ['release: another has the name']]);
  });

  it('tries again what others won or etcd denies, and reports what cannot succeed', async () => {
    const errors = [
      new IpamError('deadline', 'too late'),
      new IpamError('contended', 'lost'),
      new IpamError('denied', 'wrong user name or password'),
      new IpamError('bad_record', 'unreadable'),
    ];
    let tries = 0;
    void backlog.add('release of x', async () => {
      throw errors[tries++]!;
    });
    await turn();
    for (let i = 0; i < 3; i++) await wakeAll();
    expect([tries, backlog.pending, failed]).to.deep.equal([4, 0, ['release of x: unreadable']]);
  });

  it('reports a fault of the program at once', async () => {
    void backlog.add('release', async () => {
      throw new TypeError('x is undefined');
    });
    await turn();
    expect([backlog.pending, failed]).to.deep.equal([0, ['release: x is undefined']]);
  });

  it('waits for a doubt: done if there was a commit, not if there was none', async () => {
    const done: string[] = [];
    for (const committed of [true, false])
      backlog.addIf(Promise.resolve(committed), 'undo', async () => void done.push(String(committed)));
    await turn();
    expect([done, backlog.pending]).to.deep.equal([['true'], 0]);
  });

  it('drains: waits for what is pending, at most as long as it is told', async () => {
    expect(await backlog.drain(500)).to.equal(0);
    expect(pauses).to.deep.equal([]);
    let finish: () => void = () => undefined;
    void backlog.add('release', () => new Promise<void>((resolve) => (finish = resolve)));
    const draining = backlog.drain(500);
    finish();
    expect(await draining).to.equal(0);
    void backlog.add('release', () => new Promise<void>(() => undefined));
    const late = backlog.drain(500);
    await turn();
    await wakeAll();
    expect(await late).to.equal(1);
    expect([pauses, backlog.pending]).to.deep.equal([[500, 500], 1]);
  });

  it('waits for what a caller still waits for too, and counts it as left', async () => {
    let finish: () => void = () => undefined;
    const answered = backlog.attend(new Promise<void>((resolve) => (finish = resolve)));
    expect(backlog.pending).to.equal(0);
    const first = backlog.drain(500);
    await turn();
    await wakeAll();
    expect(await first).to.equal(1);
    const second = backlog.drain(500);
    finish();
    await answered;
    expect(await second).to.equal(0);
  });

  it('gives up and reports once it was drained', async () => {
    void backlog.add('release', async () => {
      throw away();
    });
    await turn();
    const draining = backlog.drain(500);
    await turn();
    await wakeAll();
    expect(await draining).to.equal(1);
    await wakeAll();
    expect([backlog.pending, failed]).to.deep.equal([0, ['release: the store is away']]);
  });
});
