// Transactions that go together to a real etcd: what becomes of each when one of them loses, to somebody who was there before or
// comes between two attempts.
import { expect } from 'chai';
import { type EtcdClient, openClient, type TxnRequest } from '../../src/etcd/client.js';
import { Company } from '../../src/etcd/company.js';
import { type EtcdFixture, entries, startEtcd } from '../support/etcd.js';

const soon = () => performance.now() + 10_000;
const key = (name: string) => Buffer.from(name);
const absent = (name: string) => ({ key: key(name), target: 'Create', result: 'Equal', create_revision: '0' }) as const;
const put = (name: string, value: string) => ({ request_put: { key: key(name), value: Buffer.from(value) } });

/** Takes what nobody has yet, while the session stands; reads what is there when it loses. */
const claim = (name: string, session: string): TxnRequest => ({
  compare: [{ key: key('session'), target: 'Mod', result: 'Equal', mod_revision: session }, absent(name)],
  success: [put(name, 'ours')],
  failure: ['session', name].map((one) => ({ request_range: { key: key(one) } })),
});

describe('transactions that go together', () => {
  let etcd: EtcdFixture;
  let client: EtcdClient;
  let session: string;
  let sent: TxnRequest[];
  /** Run before the one of that number goes to etcd. */
  let meanwhile: Map<number, () => Promise<unknown>>;
  let company: Company;

  before(async () => {
    etcd = await startEtcd();
    client = openClient({ endpoints: [etcd.url] });
  });
  after(async () => {
    client?.close();
    await etcd?.stop();
  });
  beforeEach(async () => {
    await etcd.ctl('del', '', '--prefix');
    session = (await client.txn({ success: [put('session', '1')] }, soon())).header.revision;
    sent = [];
    meanwhile = new Map();
    company = new Company({
      describe: () => client.describe(),
      txn: async (request, by) => {
        sent.push(request);
        await meanwhile.get(sent.length)?.();
        return client.txn(request, by);
      },
    });
  });

  const theirs = (name: string) => client.txn({ success: [put(name, 'theirs')] }, soon());
  const ask = async (count: number) => {
    const names = Array.from({ length: count }, (_, i) => `a${i}`);
    const replies = await Promise.all(names.map((name) => company.txn(claim(name, session), soon())));
    const won = names.filter((_, i) => replies[i]!.succeeded);
    const found = await entries(etcd, 'a');
    expect(found.filter(({ value }) => value === 'ours').map((one) => one.key)).to.have.members(won);
    return { names, replies, won, found };
  };
  const kinds = () =>
    sent.map(({ success = [] }) => (success.some((op) => op.request_txn) ? 'in parts' : `${success.length} put`));

  it('are written as one, at one revision', async () => {
    const { names, replies, won, found } = await ask(22);
    expect(won).to.deep.equal(names);
    expect(kinds()).to.deep.equal(['1 put', '1 put', '20 put']);
    const written = replies.slice(2).map(({ header }) => header.revision);
    expect(new Set(written).size).to.equal(1);
    for (const reply of replies) expect(reply.responses).to.have.length(1);
    expect(found.filter(({ modified }) => String(modified) === written[0])).to.have.length(20);
  });

  it('lose to who was there before, each for itself, and hear what is there', async () => {
    for (const name of ['a5', 'a9']) await theirs(name);
    const { names, replies, won } = await ask(22);
    expect(won).to.deep.equal(names.filter((name) => name !== 'a5' && name !== 'a9'));
    expect(kinds()).to.deep.equal(['1 put', '1 put', '20 put', 'in parts']);
    const [own, there] = replies[5]!.responses.map((one) => one.response_range.kvs[0]!);
    expect([own!.value.toString(), there!.value.toString()]).to.deep.equal(['1', 'theirs']);
  });

  it('lose to who comes between the two attempts', async () => {
    await theirs('a5');
    meanwhile.set(4, () => theirs('a7'));
    const { names, won } = await ask(22);
    expect(won).to.deep.equal(names.filter((name) => name !== 'a5' && name !== 'a7'));
  });

  it('win what was given back between the two attempts', async () => {
    await theirs('a5');
    meanwhile.set(4, () => client.txn({ success: [{ request_delete_range: { key: key('a5') } }] }, soon()));
    const { names, won } = await ask(22);
    expect(won).to.deep.equal(names);
  });

  for (const attempt of [3, 4])
    it(`are none of them done when the session goes before attempt ${attempt - 2}`, async () => {
      await theirs('a5');
      meanwhile.set(attempt, () => client.txn({ success: [put('session', '2')] }, soon()));
      const { replies, won } = await ask(22);
      expect(won).to.deep.equal(['a0', 'a1']);
      expect(kinds()).to.deep.equal(['1 put', '1 put', '20 put', 'in parts', 'in parts']);
      for (const { responses } of replies.slice(2))
        expect(responses[0]!.response_range.kvs[0]!.value.toString()).to.equal('2');
    });
});
