import { expect } from 'chai';
import type { TxnRequest } from '../../../src/etcd/client.js';
import { EtcdFault } from '../../../src/etcd/fault.js';
import { deniedAccess, probesOf } from '../../../src/etcd/permission.js';

const key = (text: string) => Buffer.from(text);
const request: TxnRequest = {
  compare: [
    { key: key('/p/sessions/a/1'), target: 'Mod', result: 'Equal', mod_revision: '7' },
    { key: key('/p/claims/'), range_end: key('/p/claims0'), target: 'Create', result: 'Equal' } as never,
  ],
  success: [
    { request_put: { key: key('/p/claims/x'), value: key('{}') } },
    { request_delete_range: { key: key('/p/holders/b'), range_end: key('/p/holders/d') } },
  ],
  failure: [{ request_range: { key: key('/p/pools/y') } }],
};
const fault = new EtcdFault('refused', 'permission denied', 'a:1', { final: true, elsewhere: false, denied: true });

describe('permissions in etcd', () => {
  it('are asked for one by one: conditions, writes, then reads', () => {
    const texts = probesOf(request).map(({ access }) => deniedAccess(fault, 'user u', access).message);
    expect(texts).to.deep.equal([
      'user u may not read /p/sessions/a/1',
      'user u may not read /p/claims/*',
      'user u may not write /p/claims/x',
      'user u may not write /p/holders/b to /p/holders/d',
      'user u may not read /p/pools/y',
    ]);
  });

  it('are asked for by transactions that could never do what they ask', () => {
    for (const { request: probe } of probesOf(request)) {
      expect(probe).to.have.all.keys('failure');
      expect(probe.failure).to.have.length(1);
    }
  });

  it('stay what they were but for the words', () => {
    const [first] = probesOf(request);
    const { kind, traits, endpoint } = deniedAccess(fault, 'user u', first!.access);
    expect({ kind, traits, endpoint }).to.deep.equal({ kind: 'refused', traits: fault.traits, endpoint: 'a:1' });
  });
});
