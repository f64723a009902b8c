// A pool and a join that nobody can read, as a damaged disk or a newer version leaves them: lists go on with the others.
import { expect } from 'chai';
import { fillOf } from '../../../src/ipam/fill.js';
import { parseAddress } from '../../../src/net/address.js';
import { parsePrefix } from '../../../src/net/prefix.js';
import { listNodes } from '../../../src/ops/nodes.js';
import { listPools, type PoolRow, poolLines } from '../../../src/ops/pools.js';
import { PIPE } from '../../../src/ops/table.js';
import { whoHas } from '../../../src/ops/who.js';
import { readPool, readPools } from '../../../src/web/pools.js';
import { search } from '../../../src/web/search.js';
import { Samples } from '../../../src/web/trend.js';
import { MemoryStore } from '../../support/memory-store.js';

const soon = () => performance.now() + 5_000;

describe('records that cannot be read', () => {
  let store: MemoryStore;
  beforeEach(() => {
    store = new MemoryStore();
    const said = { since: 'then', token: 't' };
    const open = { state: 'open', ...said };
    for (const [nth, pool, join] of [
      [1, open, { node: 'a', boot: 'b', ...said }],
      [2, '{"state":', { node: 'a', boot: 'b', ...said }],
      [3, { state: 'shrinking', ...said }, { node: 'b', boot: 'b', ...said }],
      [4, { ...open, rules: { excluded: [{ from: '10.4.300', to: '10.4.0.9' }], reserved: [] } }, 'no JSON'],
      [5, { ...open, rules: { excluded: 'all' } }, { node: 'b', boot: 'b', ...said }],
    ] as const) {
      const path = `local/v4/010.00${nth}.000.000-24`;
      store.plant(`pools/${path}`, pool);
      store.plant(`joins/${path}/j${nth}`, join);
      store.plant(`claims/${path}/010.00${nth}.000.005`, { kind: 'endpoint', node: 'a', name: `c${nth}`, ...said });
    }
    for (const node of ['a', 'b']) store.plant(`nodes/${node}`, { machine: `m-${node}`, boot: 'b', since: 'then' });
  });

  it('are named in the list of pools, with what is known besides', async () => {
    const rows: PoolRow[] = [];
    for await (const page of listPools(store, soon())) rows.push(...page);
    expect(rows.map(({ pool, used, nodes, unreadable = false }) => [pool, used, nodes, unreadable])).to.deep.equal([
      ['10.1.0.0/24', 1, ['a'], false],
      ['10.2.0.0/24', 1, ['a'], true],
      ['10.3.0.0/24', 1, ['b'], true],
      ['10.4.0.0/24', 1, ['unknown'], true],
      ['10.5.0.0/24', 1, ['b'], true],
    ]);
    const lines = poolLines(PIPE)(rows);
    expect(
      lines.filter((line) => line.endsWith('its record cannot be read')).map((line) => line.split(/ +/)[1]),
    ).to.deep.equal(['10.2.0.0/24', '10.3.0.0/24', '10.4.0.0/24', '10.5.0.0/24']);
  });

  it('keep neither the page’s list nor one pool from being shown', async () => {
    const pools = await readPools(store, new Samples(), new Date(), soon());
    expect(pools.map(({ pool, used, nodes }) => [pool, used, nodes])).to.deep.equal(
      [1, 2, 3, 4, 5].map((nth) => [`10.${nth}.0.0/24`, 1, 1]),
    );
    for (const nth of [2, 4]) {
      const subnet = { space: 'local', prefix: parsePrefix(`10.${nth}.0.0/24`) };
      expect((await readPool(store, subnet, new Samples(), new Date(), soon()))?.used).to.equal(1);
    }
  });

  it('keep no pool out of the metrics', async () => {
    const subnets = [1, 2, 3, 4, 5].map((nth) => ({ space: 'local', prefix: parsePrefix(`10.${nth}.0.0/24`) }));
    expect((await fillOf(store, subnets, soon())).map(({ used, free }) => [used, free])).to.deep.equal(
      subnets.map(() => [1, 253]),
    );
  });

  it('keep nobody from finding who has an address, in another pool or in that one', async () => {
    for (const nth of [1, 2, 3, 4, 5]) {
      const [answer] = await whoHas(store, parseAddress(`10.${nth}.0.5`), 4, soon());
      expect(answer?.claim?.name).to.equal(`c${nth}`);
      const { claims, pools } = await search(store, `10.${nth}.0.5`, undefined, 10, soon());
      expect([claims.length, pools.length]).to.deep.equal([1, 1]);
    }
  });

  it('keep no node out of the list of nodes', async () => {
    const { nodes } = await listNodes(store, 4, soon());
    expect(nodes.map(({ node, joins }) => [node, joins])).to.deep.equal([
      ['a', 2],
      ['b', 2],
    ]);
  });
});
