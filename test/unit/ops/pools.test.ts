// `pools`: how many of a pool's claims rest, and what is read to know it.
import { expect } from 'chai';
import { listPools, type PoolRow } from '../../../src/ops/pools.js';
import { MemoryStore } from '../../support/memory-store.js';

const wide = (...octets: number[]) => octets.map((octet) => String(octet).padStart(3, '0')).join('.');

describe('the list of pools', () => {
  let store: MemoryStore;
  beforeEach(() => {
    store = new MemoryStore();
  });

  /** 10.`nth`.0.0/16 with so many containers, and then addresses that rest. */
  function plant(nth: number, containers: number, resting: number): void {
    const path = `local/v4/${wide(10, nth, 0, 0)}-16`;
    store.plant(`pools/${path}`, { state: 'open', since: 'then', token: 't' });
    for (let i = 1; i <= containers + resting; i++)
      store.plant(`claims/${path}/${wide(10, nth, i >> 8, i & 255)}`, {
        ...(i <= containers ? { kind: 'endpoint', node: 'a' } : { kind: 'cooling' }),
        ...{ since: 'then', token: 't' },
      });
  }
  async function listed(): Promise<PoolRow[]> {
    const rows: PoolRow[] = [];
    for await (const page of listPools(store, performance.now() + 60_000)) rows.push(...page);
    return rows;
  }
  const brief = (rows: readonly PoolRow[]) => rows.map(({ pool, used, cooling }) => [pool, used, cooling]);

  it('says of each how many of those used rest', async () => {
    plant(1, 3, 2);
    plant(2, 0, 0);
    plant(3, 0, 4);
    plant(4, 5, 0);
    store.plant(`pools/local.blue/v4/${wide(10, 1, 0, 0)}-16`, { state: 'open', since: 'then', token: 't' });
    expect(brief(await listed())).to.deep.equal([
      ['10.1.0.0/16', 0, 0],
      ...[
        ['10.1.0.0/16', 5, 2],
        ['10.2.0.0/16', 0, 0],
        ['10.3.0.0/16', 4, 4],
        ['10.4.0.0/16', 5, 0],
      ],
    ]);
  });

  it('counts 30,000 that rest in one pool', async () => {
    plant(1, 0, 30_000);
    expect(brief(await listed())).to.deep.equal([['10.1.0.0/16', 30_000, 30_000]]);
  });

  it('does not say it of a pool that would make it more than 32,768 claims to read, and reads none of those', async () => {
    plant(1, 20_000, 1);
    plant(2, 1, 1);
    plant(3, 20_001, 1);
    plant(4, 1, 2);
    const before = store.reads;
    expect(brief(await listed())).to.deep.equal([
      ['10.1.0.0/16', 20_001, 1],
      ['10.2.0.0/16', 2, 1],
      ['10.3.0.0/16', 20_002, null],
      ['10.4.0.0/16', 3, 2],
    ]);
    // Pools, joins, four counts, 21 pages of the first two pools' claims and one of the last.
    expect(store.reads - before).to.be.at.most(2 + 4 + 21 + 1);
  });
});
