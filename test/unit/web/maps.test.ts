// What a map is drawn from: every claim once, wherever it lies, and no more of etcd's index walked than that takes.
import { expect } from 'chai';
import { claimKey } from '../../../src/ipam/keyspace.js';
import type { Query } from '../../../src/ipam/store.js';
import { parseAddress } from '../../../src/net/address.js';
import { parsePrefix } from '../../../src/net/prefix.js';
import { readAddresses } from '../../../src/web/maps.js';
import { MemoryStore } from '../../support/memory-store.js';

const by = () => performance.now() + 10_000;

for (const [text, start] of [
  ['10.66.0.0/16', 10n * 2n ** 24n + 66n * 2n ** 16n],
  ['fd00:66::/112', 0xfd00_0066n * 2n ** 96n],
] as const) {
  const prefix = parsePrefix(text);
  const subnet = { space: 'local', prefix };

  const addressAt = (offset: number) => ({ family: prefix.family, value: start + BigInt(offset) });

  async function read(offsets: readonly number[], after?: number) {
    const store = new MemoryStore();
    for (let i = 0; i < offsets.length; i += 100) {
      const put = (offset: number) => ({
        put: claimKey(subnet, addressAt(offset)),
        record: { kind: 'endpoint', node: `host-${offset % 3}` },
      });
      await store.commit({ when: [], write: offsets.slice(i, i + 100).map(put), otherwise: [] }, by());
    }
    const counted: number[] = [];
    const reading = {
      seen: () => store.seen(),
      commit: () => Promise.reject(new Error('a map changes nothing')),
      read: async <Q extends readonly Query[]>(queries: Q, until: number) => {
        for (const query of queries)
          if ('span' in query) counted.push((await store.read([{ count: query.span }], until))[0]);
        return store.read(queries, until);
      },
    };
    const found: number[] = [];
    let answers = 0;
    for (let next = after === undefined ? undefined : addressAt(after); ; ) {
      const page = await readAddresses(reading, subnet, prefix, next, by());
      let at = 0;
      for (const step of page.offset) {
        at += step;
        found.push(at);
      }
      answers++;
      if (page.next === null) return { found, counted, answers };
      next = parseAddress(page.next);
    }
  }

  describe(`the addresses of ${text}`, () => {
    it('are all there, whether they lie close or far apart, first and last one too', async () => {
      const dense = Array.from({ length: 5_000 }, (_, i) => i);
      const far = [20_000, 20_999, 21_000, 65_535];
      const second = Array.from({ length: 3_000 }, (_, i) => 40_000 + i);
      const all = [...dense, ...far.slice(0, 3), ...second, 65_535];
      expect((await read(all)).found).to.deep.equal(all);
      expect((await read(all, 4_998)).found).to.deep.equal(all.slice(4_999));
      expect((await read([0])).found).to.deep.equal([0]);
      expect((await read([65_535])).found).to.deep.equal([65_535]);
      expect((await read([])).found).to.deep.equal([]);
    });

    it('of a full pool are counted once, not anew with each thousand', async () => {
      const all = Array.from({ length: 20_000 }, (_, i) => i);
      const { found, counted, answers } = await read(all);
      expect(found).to.have.length(20_000);
      expect(counted.reduce((sum, count) => sum + count, 0)).to.be.at.most(21_000);
      expect(answers).to.equal(2);
    });

    it('of a pool with few of them take few reads', async () => {
      expect((await read([5, 30_000])).counted).to.have.length.at.most(5);
    });
  });
}
