// Which transactions travel together, and that each gets its own answer; a client by hand stands for etcd.
import { expect } from 'chai';
import type { TxnRequest, TxnResponse } from '../../../src/etcd/client.js';
import { Company } from '../../../src/etcd/company.js';
import { EtcdFault } from '../../../src/etcd/fault.js';

interface Sent {
  readonly request: TxnRequest;
  readonly by: number;
  readonly answer: (reply: TxnResponse) => void;
  readonly fail: (error: unknown) => void;
}

class ByHand {
  readonly sent: Sent[] = [];
  readonly company = new Company(this);

  txn(request: TxnRequest, by: number): Promise<TxnResponse> {
    return new Promise((answer, fail) => this.sent.push({ request, by, answer, fail }));
  }

  describe(): string {
    return 'etcd by hand';
  }

  /** Under way from here on, so that what follows waits: answers them in this order. */
  occupy(): readonly [Sent, Sent] {
    for (const name of ['x', 'y']) void this.company.txn(claim(name), soon()).catch(() => {});
    return [this.sent.at(-2)!, this.sent.at(-1)!];
  }

  /** A group of which a part was lost, as where others are: the next ones go in parts. */
  async lose(): Promise<void> {
    const [first, second] = this.occupy();
    for (const name of ['l', 'm']) void this.company.txn(claim(name), soon());
    first.answer(reply());
    await turn();
    this.sent.at(-1)!.answer(reply([], false));
    await turn();
    this.sent.at(-1)!.answer(nestedReply(true, false));
    second.answer(reply());
    await turn();
    this.sent.length = 0;
  }
}

const soon = (ms = 5_000) => performance.now() + ms;
const turn = () => new Promise((resolve) => setImmediate(resolve));
const key = (name: string) => Buffer.from(name);
const header = { revision: '7' } as TxnResponse['header'];
const reply = (responses: object[] = [], succeeded = true) => ({ header, succeeded, responses }) as TxnResponse;
const nestedReply = (...succeeded: boolean[]) =>
  reply(succeeded.map((own, i) => ({ response_txn: { succeeded: own, responses: [{ at: i }] } })));

function claim(name: string, compared: readonly string[] = ['session', 'pool'], written = name): TxnRequest {
  const absent = [name, ...compared].map((each) => ({ key: key(each), target: 'Create', result: 'Equal' }) as const);
  return { compare: [...absent], success: [{ request_put: { key: key(written), value: key('v') } }] };
}

/** Equal keys are the same object, as those of a pool are for all claims of it. */
function withOneKeyEach(requests: readonly TxnRequest[]): TxnRequest[] {
  const keys = new Map<string, Buffer>();
  const one = (bytes: unknown) => {
    const text = String(bytes);
    if (!keys.has(text)) keys.set(text, key(text));
    return keys.get(text)!;
  };
  return requests.map(({ compare = [], success = [] }) => ({
    compare: compare.map((each) => ({ ...each, key: one(each.key) })),
    success: success.map(({ request_put: put }) => ({ request_put: { ...put, key: one(put!.key) } })),
  }));
}

/** Compares the session at one version, and that its own key is absent; reads both when it loses. */
function guarded(name: string): TxnRequest {
  const session = { key: key('session'), target: 'Mod', result: 'Equal', mod_revision: '5' } as const;
  const { compare = [], success = [] } = claim(name, []);
  return {
    compare: [session, ...compare],
    success,
    failure: ['session', name].map((one) => ({ request_range: { key: key(one) } })),
  };
}

interface Keyed {
  readonly key?: unknown;
  readonly request_range?: { readonly key?: unknown } | null;
  readonly request_put?: { readonly key?: unknown } | null;
  readonly request_txn?: TxnRequest | null;
}

const keyOf = (op: Keyed): string =>
  String(op.key ?? op.request_range?.key ?? op.request_put?.key ?? op.request_txn?.compare?.[0]?.key);

const names = ({ request }: Sent) =>
  request.success!.map(({ request_txn: nested }) => String(nested?.success?.[0]?.request_put?.key ?? 'not nested'));

const fault = (kind: 'not_sent' | 'unknown' | 'refused') =>
  new EtcdFault(kind, 'on purpose', 'etcd', { final: false, elsewhere: false });

describe('transactions in company', () => {
  it('are sent at once and as they are while fewer than 2 are under way', async () => {
    const etcd = new ByHand();
    const request = claim('a');
    const answer = etcd.company.txn(request, soon());
    expect(etcd.sent[0]?.request).to.equal(request);
    etcd.sent[0]!.answer(reply());
    expect((await answer).succeeded).to.equal(true);
  });

  it('do not wait for those that go alone, however many of these are under way', async () => {
    const etcd = new ByHand();
    const range = { key: key('a'), range_end: key('b'), target: 'Create', result: 'Equal' } as const;
    for (let i = 0; i < 8; i++) void etcd.company.txn({ compare: [range], success: [] }, soon());
    for (const name of ['a', 'b', 'c']) void etcd.company.txn(claim(name), soon());
    expect(etcd.sent).to.have.length(10);
    etcd.sent[0]!.answer(reply());
    await turn();
    expect(etcd.sent).to.have.length(10);
    etcd.sent[8]!.answer(reply());
    await turn();
    expect(keyOf(etcd.sent[10]!.request.success![0]!)).to.equal('c');
  });

  it('wait when 2 are under way, then go as one, and each gets its own answer with the header of all', async () => {
    const etcd = new ByHand();
    const [first] = etcd.occupy();
    const two = guarded('b');
    const requests = [guarded('a'), { ...two, success: [...two.success!, ...claim('b2').success!] }, guarded('c')];
    const answers = requests.map((request) => etcd.company.txn(request, soon()));
    expect(etcd.sent).to.have.length(2);
    first.answer(reply());
    await turn();
    const { compare, success, failure } = etcd.sent[2]!.request;
    expect([compare, success].map((part) => part!.map(keyOf))).to.deep.equal([
      ['session', 'a', 'b', 'c'],
      ['a', 'b', 'b2', 'c'],
    ]);
    expect(failure).to.equal(undefined);
    etcd.sent[2]!.answer(reply([{ at: 'a' }, { at: 'b' }, { at: 'b2' }, { at: 'c' }]));
    expect(await Promise.all(answers)).to.deep.equal(
      [['a'], ['b', 'b2'], ['c']].map((own) => ({ header, succeeded: true, responses: own.map((at) => ({ at })) })),
    );
  });

  it('go once more, in parts, when one of them would have been lost and so nothing was done', async () => {
    const etcd = new ByHand();
    const [first] = etcd.occupy();
    const answers = ['a', 'b', 'c'].map((name) => etcd.company.txn(claim(name), soon()));
    first.answer(reply());
    await turn();
    expect(etcd.sent[2]!.request.success!.map(keyOf)).to.deep.equal(['a', 'b', 'c']);
    etcd.sent[2]!.answer(reply([], false));
    await turn();
    expect(etcd.sent.slice(3).map(names)).to.deep.equal([['a', 'b', 'c']]);
    etcd.sent[3]!.answer(nestedReply(true, false, true));
    expect((await Promise.all(answers)).map(({ succeeded }) => succeeded)).to.deep.equal([true, false, true]);
  });

  it('go in parts from then on, until 64 times in a row none of them was lost', async () => {
    const etcd = new ByHand();
    await etcd.lose();
    const inParts: boolean[] = [];
    for (let i = 0; i < 66; i++) {
      const [first, second] = etcd.occupy();
      for (const name of ['a', 'b']) void etcd.company.txn(claim(name), soon());
      first.answer(reply());
      await turn();
      const { request, answer } = etcd.sent.at(-1)!;
      inParts.push(request.success!.some((op) => op.request_txn));
      answer(inParts[i] ? nestedReply(true, true) : reply([{}, {}]));
      second.answer(reply());
      await turn();
    }
    expect(inParts).to.deep.equal([...Array(64).fill(true), false, false]);
  });

  it('go in parts when they compare or write more than the 128 that etcd takes at once', async () => {
    const many = (each: number, write: boolean) => {
      const etcd = new ByHand();
      etcd.occupy();
      for (let i = 0; i < 32; i++) {
        const { compare, success } = claim(
          `a${i}`,
          write ? [] : Array.from({ length: each - 1 }, (_, n) => `p${i}.${n}`),
        );
        const more = Array.from({ length: write ? each - 1 : 0 }, (_, n) => claim(`w${i}.${n}`).success!).flat();
        void etcd.company.txn({ compare: compare!, success: [...success!, ...more] }, soon());
      }
      return etcd.sent[2]!.request.success!.some((op) => op.request_txn);
    };
    expect([many(4, false), many(5, false)]).to.deep.equal([false, true]);
    expect([many(4, true), many(5, true)]).to.deep.equal([false, true]);
  });

  it('go as nested ones of one where some were lost before, and each gets its own answer with the header of all', async () => {
    const etcd = new ByHand();
    await etcd.lose();
    const [first] = etcd.occupy();
    const answers = ['a', 'b', 'c'].map((name) => etcd.company.txn(claim(name), soon()));
    expect(etcd.sent).to.have.length(2);
    first.answer(reply());
    await turn();
    expect(etcd.sent.slice(2).map(names)).to.deep.equal([['a', 'b', 'c']]);
    etcd.sent[2]!.answer(nestedReply(true, false, true));
    expect(await Promise.all(answers)).to.deep.equal(
      [true, false, true].map((succeeded, at) => ({ header, succeeded, responses: [{ at }] })),
    );
  });

  it('go as it is when one waits alone', async () => {
    const etcd = new ByHand();
    const [first] = etcd.occupy();
    const request = claim('a');
    const answer = etcd.company.txn(request, soon());
    first.answer(reply());
    await turn();
    expect(etcd.sent[2]?.request).to.equal(request);
    etcd.sent[2]!.answer(reply([], false));
    expect((await answer).succeeded).to.equal(false);
  });

  it('go beside those that are under way once 32 wait, 64 in one at most, and fewer wait for the end of all', async () => {
    const etcd = new ByHand();
    const [first, second] = etcd.occupy();
    let asked = 0;
    const ask = (count: number) => {
      for (const upTo = asked + count; asked < upTo; asked++) void etcd.company.txn(claim(`a${asked}`, []), soon());
      return etcd.sent.slice(2).map((sent) => names(sent).length);
    };
    const answered = async (sent: Sent | undefined) => {
      sent!.answer(nestedReply(...Array(64).fill(true)));
      await turn();
      return ask(0);
    };
    expect(ask(31)).to.deep.equal([]);
    expect(ask(1)).to.deep.equal([32]);
    expect(ask(90)).to.deep.equal([32]);
    expect(await answered(first)).to.deep.equal([32, 64]);
    expect(await answered(second)).to.deep.equal([32, 64]);
    expect(await answered(etcd.sent[2])).to.deep.equal([32, 64]);
    expect(await answered(etcd.sent[3])).to.deep.equal([32, 64, 26]);
  });

  it('compare and read once what all of them compare first, and those that lose get that read too', async () => {
    const etcd = new ByHand();
    await etcd.lose();
    const [first] = etcd.occupy();
    const answers = ['a', 'b'].map((name) => etcd.company.txn(guarded(name), soon()));
    first.answer(reply());
    await turn();
    const { compare, success } = etcd.sent[2]!.request;
    expect([compare, success].map((part) => part!.map(keyOf))).to.deep.equal([['session'], ['session', 'a', 'b']]);
    const [shared, own] = [{ at: 'session' }, { at: 'b' }];
    const [won, lost] = [true, false].map((succeeded) => ({ response_txn: { succeeded, responses: [own] } }));
    etcd.sent[2]!.answer(reply([shared, won!, lost!]));
    expect((await Promise.all(answers)).map(({ responses }) => responses)).to.deep.equal([[own], [shared, own]]);
  });

  it('say everything each when what they share does not hold: all were sent, and nothing was done', async () => {
    const etcd = new ByHand();
    await etcd.lose();
    const [first] = etcd.occupy();
    const requests = ['a', 'b'].map(guarded);
    const answers = requests.map((request) => etcd.company.txn(request, soon()));
    first.answer(reply());
    await turn();
    etcd.sent[2]!.answer(reply([], false));
    await turn();
    expect(etcd.sent[3]!.request).to.deep.equal({
      compare: [],
      success: requests.map((request) => ({ request_txn: request })),
    });
    etcd.sent[3]!.answer(nestedReply(false, false));
    expect((await Promise.all(answers)).map(({ succeeded }) => succeeded)).to.deep.equal([false, false]);
  });

  const apart: readonly [string, TxnRequest, TxnRequest][] = [
    ['write one key', claim('a'), claim('a')],
    ['compare what the one before writes', claim('a'), claim('b', ['a'])],
    ['write what the one before compares', claim('b', ['a']), claim('a', [])],
    ['compare first what the one before compares first and writes', claim('a'), claim('a', ['b'], 'b')],
    ['compare and write what the one before compares in the same place', claim('b', ['a']), claim('c', ['a'], 'a')],
  ];
  for (const [what, ...both] of apart) {
    it(`do not travel together when they ${what}`, async () => {
      const [one, other] = withOneKeyEach(both) as [TxnRequest, TxnRequest];
      const etcd = new ByHand();
      const [first, second] = etcd.occupy();
      for (const request of [one, other]) void etcd.company.txn(request, soon());
      first.answer(reply());
      await turn();
      expect(etcd.sent[2]?.request).to.equal(one);
      second.answer(reply());
      await turn();
      expect(etcd.sent[3]?.request).to.equal(other);
    });
  }

  it('wait for nobody when they compare or remove a range, or have more than 16 operations', () => {
    const range = { key: key('a'), range_end: key('b') };
    const many = Array.from({ length: 17 }, (_, i) => ({ request_delete_range: { key: key(`k${i}`) } }));
    const alone: TxnRequest[] = [
      { compare: [{ ...range, target: 'Create', result: 'Equal' }] },
      { success: [{ request_delete_range: range }] },
      { success: many },
    ];
    const etcd = new ByHand();
    etcd.occupy();
    for (const request of alone) void etcd.company.txn(request, soon());
    expect(etcd.sent.slice(2).map(({ request }) => request)).to.deep.equal(alone);
  });

  for (const kind of ['refused', 'not_sent'] as const) {
    it(`are sent one by one when the whole was ${kind}`, async () => {
      const etcd = new ByHand();
      const [first] = etcd.occupy();
      const requests = ['a', 'b'].map((name) => claim(name));
      const answers = requests.map((request) => etcd.company.txn(request, soon()));
      first.answer(reply());
      await turn();
      etcd.sent[2]!.fail(fault(kind));
      await turn();
      expect(etcd.sent.slice(3).map(({ request }) => request)).to.deep.equal(requests);
      for (const sent of etcd.sent.slice(3)) sent.answer(reply());
      expect((await Promise.all(answers)).map(({ succeeded }) => succeeded)).to.deep.equal([true, true]);
    });
  }

  it('are all in doubt, and sent no second time, when the answer to the whole was lost', async () => {
    const etcd = new ByHand();
    const [first] = etcd.occupy();
    const answers = ['a', 'b'].map((name) => etcd.company.txn(claim(name), soon()).catch(({ kind }) => kind));
    first.answer(reply());
    await turn();
    etcd.sent[2]!.fail(fault('unknown'));
    expect(await Promise.all(answers)).to.deep.equal(['unknown', 'unknown']);
    expect(etcd.sent).to.have.length(3);
  });

  it('that wait until their deadline were never sent, and are not sent later', async () => {
    const etcd = new ByHand();
    const [first, second] = etcd.occupy();
    const failed = await etcd.company.txn(claim('a'), soon(20)).catch((error) => error);
    expect(failed).to.include({ kind: 'not_sent' });
    for (const sent of [first, second]) sent.answer(reply());
    await turn();
    expect(etcd.sent).to.have.length(2);
  });

  it('that travel with more patient ones are in doubt at their own deadline', async () => {
    const etcd = new ByHand();
    const [first] = etcd.occupy();
    const hasty = etcd.company.txn(claim('a'), soon(100)).catch((error) => error);
    const patient = etcd.company.txn(claim('b'), soon());
    first.answer(reply());
    await turn();
    expect(await hasty).to.include({ kind: 'unknown' });
    etcd.sent[2]!.answer(nestedReply(true, true));
    expect((await patient).succeeded).to.equal(true);
  });

  it('are not sent again, in parts, for a call that has ended meanwhile', async () => {
    const etcd = new ByHand();
    const [first] = etcd.occupy();
    const hasty = etcd.company.txn(claim('a'), soon(50)).catch((error) => error);
    const patient = ['b', 'c'].map((name) => etcd.company.txn(claim(name), soon()));
    first.answer(reply());
    await turn();
    expect(await hasty).to.include({ kind: 'unknown' });
    etcd.sent[2]!.answer(reply([], false));
    await turn();
    expect(etcd.sent.slice(3).map(names)).to.deep.equal([['b', 'c']]);
    etcd.sent[3]!.answer(nestedReply(true, false));
    expect((await Promise.all(patient)).map(({ succeeded }) => succeeded)).to.deep.equal([true, false]);
  });

  it('are not sent again, when the whole was refused, for a call that has ended meanwhile', async () => {
    const etcd = new ByHand();
    const [first] = etcd.occupy();
    const hasty = etcd.company.txn(claim('a'), soon(50)).catch((error) => error);
    const patient = etcd.company.txn(claim('b'), soon());
    first.answer(reply());
    await turn();
    expect(await hasty).to.include({ kind: 'unknown' });
    etcd.sent[2]!.fail(fault('refused'));
    await turn();
    expect(etcd.sent.slice(3).map(({ request }) => request.success?.[0]?.request_put?.key)).to.deep.equal([key('b')]);
    etcd.sent[3]!.answer(reply());
    expect((await patient).succeeded).to.equal(true);
  });
});
