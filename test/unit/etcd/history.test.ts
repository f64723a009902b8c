// Which answers show that etcd was set back, and which only come late; and how revisions are named afterwards.
import { expect } from 'chai';
import fc from 'fast-check';
import { History } from '../../../src/etcd/history.js';

const header = (revision: number | bigint, cluster_id = '1') => ({ cluster_id, revision: String(revision) });

/** Asked and answered at once. */
function told(history: History, revision: number, { cluster = '1', written = false } = {}): void {
  history.answered(header(revision, cluster), history.known, written);
}

describe('the history of an etcd', () => {
  let history: History;
  let breaks: string[];

  beforeEach(() => {
    history = new History();
    breaks = [];
    history.onBreak(({ what }) => breaks.push(what));
  });

  it('#17: an answer below what was seen before its question was sent: set back, once', () => {
    told(history, 1000);
    told(history, 900);
    told(history, 901);
    expect(breaks).to.deep.equal(['revision 1000 fell to 900']);
    expect(history.number).to.equal(1);
  });

  it('N1: answers that overtake each other are no sign', () => {
    told(history, 10);
    const [first, second] = [history.known, history.known];
    history.answered(header(20), second, false);
    history.answered(header(15), first, false);
    expect(breaks).to.deep.equal([]);
    expect(history.seen()).to.equal('20');
  });

  it('what was written is newer than all that was seen before it was sent: as high is too low', () => {
    told(history, 10);
    told(history, 10);
    expect(breaks).to.deep.equal([]);
    told(history, 10, { written: true });
    expect(breaks).to.deep.equal(['revision 10 fell to 10']);
  });

  it('another cluster, however high its revision', () => {
    told(history, 10, { cluster: '255' });
    told(history, 5000, { cluster: '4096' });
    expect(breaks).to.deep.equal(['cluster ff is cluster 1000 now, at revision 5000']);
  });

  it('many calls were under way: the first that is answered shows it, the others of the time before show nothing', () => {
    told(history, 1000);
    const under = Array.from({ length: 5 }, () => history.known);
    for (const [i, sent] of under.entries()) history.answered(header(900 + i), sent, true);
    history.answered(header(1001), under[0]!, false);
    expect(breaks).to.have.length(1);
    told(history, 905);
    expect(breaks).to.have.length(1);
  });

  it('a linearizable etcd is never taken for one that was set back, in whatever order 30 calls are answered', () => {
    const call = fc.record({ from: fc.nat(100), takes: fc.nat(100), at: fc.nat(100), writes: fc.boolean() });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 30 }), (calls) => {
        const one = new History();
        one.onBreak(() => expect.fail('set back'));
        // Executed at an instant between question and answer, in the order of these instants.
        const all = calls.map((each) => ({ ...each, executed: each.from + (each.at / 100) * each.takes, revision: 0 }));
        let revision = 1;
        for (const each of [...all].sort((x, y) => x.executed - y.executed))
          each.revision = each.writes ? ++revision : revision;
        const steps = all.flatMap((each) => {
          let sent = one.known;
          const take = () => {
            sent = one.known;
          };
          return [
            { when: each.from, order: 0, run: () => take() },
            {
              when: each.from + each.takes,
              order: 1,
              run: () => one.answered(header(each.revision), sent, each.writes),
            },
          ];
        });
        for (const { run } of steps.sort((x, y) => x.when - y.when || x.order - y.order)) run();
      }),
    );
  });

  describe('names of revisions', () => {
    it('are the revisions themselves until it is set back', () => {
      told(history, 1000);
      expect([history.version('1'), history.version('1000'), history.seen()]).to.deep.equal(['1', '1000', '1000']);
      expect(history.revision('7')).to.equal('7');
    });

    it('are never one of those before; what was there at first is older than all that was known, the rest newer', () => {
      const before = ['1', '900', '950', '1000'];
      told(history, 1000);
      told(history, 900);
      const [there, since] = [history.version('900'), history.version('901')];
      for (const old of before) {
        expect(BigInt(there) < BigInt(old)).to.equal(true);
        expect(BigInt(since) > BigInt(old)).to.equal(true);
        expect(history.revision(old)).to.equal(undefined);
      }
      expect([history.revision(there), history.revision(since)]).to.deep.equal(['900', '901']);
      told(history, 800);
      expect([there, since].map((old) => history.revision(old))).to.deep.equal([undefined, undefined]);
      const again = [history.version('800'), history.version('801'), history.version('950')];
      expect(again.map((one) => history.revision(one))).to.deep.equal(['800', '801', '950']);
      expect(BigInt(again[0]!) < BigInt(there) && BigInt(again[1]!) > BigInt(since)).to.equal(true);
      expect(new Set([...before, there, since, ...again]).size).to.equal(9);
    });
  });
});
