// Conditions as etcd has them, where the history of the store decides what they are; and queries, since no answer shows what
// was read in vain.
import { expect } from 'chai';
import { History } from '../../../src/etcd/history.js';
import { Words } from '../../../src/etcd/words.js';

describe('the words of a transaction', () => {
  const span = { from: 'claims/a', to: 'claims/b', decode: (json: unknown) => json };
  const comparing = (history: History, newerThan: string) =>
    new Words('/etcd-ipam/', history).compare({ none: span, newerThan });

  it('nothing newer than revision 10 is all of the span below 11', () => {
    const history = new History();
    history.answered({ cluster_id: '1', revision: '10' }, history.known, false);
    const { key, range_end, ...rest } = comparing(history, history.seen()!);
    expect([key, range_end].map(String)).to.deep.equal(['/etcd-ipam/claims/a', '/etcd-ipam/claims/b']);
    expect(rest).to.deep.equal({ target: 'Mod', result: 'Less', mod_revision: '11' });
  });

  it('nothing newer than a revision of the history before is never so, not even of an empty span', () => {
    const history = new History();
    history.answered({ cluster_id: '1', revision: '10' }, history.known, false);
    const before = history.seen()!;
    history.answered({ cluster_id: '1', revision: '7' }, history.known, false);
    expect(comparing(history, before)).to.include({ result: 'Less', mod_revision: '0' });
    expect(comparing(history, history.seen()!)).to.include({ result: 'Less', mod_revision: '8' });
  });

  it('a query asks for no more than it wants to know', () => {
    const words = new Words('/etcd-ipam/', new History());
    const single = { ...span, to: `${span.from}\0` };
    const asked = [
      { one: { key: 'claims/a', decode: span.decode } },
      { count: span },
      { count: single },
      { keys: span, limit: 3 },
      { span, limit: 0 },
      { span, limit: 1, last: true },
    ].map((query) => {
      const { key, range_end, ...rest } = words.readOp(query).request_range;
      return [String(key), range_end && String(range_end), rest];
    });
    const [from, to] = ['/etcd-ipam/claims/a', '/etcd-ipam/claims/b'];
    expect(asked).to.deep.equal([
      [from, undefined, {}],
      [from, to, { count_only: true }],
      [from, undefined, { count_only: true }],
      [from, to, { limit: 3, keys_only: true }],
      [from, to, { limit: 0 }],
      [from, to, { limit: 1, sort_order: 'Descend', sort_target: 'Key' }],
    ]);
  });
});
