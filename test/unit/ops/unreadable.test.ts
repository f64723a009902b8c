// Records that nobody can read, as a damaged disk or a newer version leaves them, and keys that are none of ours: lists go on with
// the others.
import { expect } from 'chai';
import { fillOf } from '../../../src/ipam/fill.js';
import { parseAddress } from '../../../src/net/address.js';
import { parsePrefix } from '../../../src/net/prefix.js';
import { type ClaimRow, listClaims } from '../../../src/ops/claims.js';
import { whoHadAt } from '../../../src/ops/had.js';
import { beside } from '../../../src/ops/no-pool.js';
import { listNodes } from '../../../src/ops/nodes.js';
import { listPools, type PoolRow, poolLines } from '../../../src/ops/pools.js';
import { release } from '../../../src/ops/release.js';
import { PIPE } from '../../../src/ops/table.js';
import { formatWho, whoHas } from '../../../src/ops/who.js';
import { readAddresses, readBlocks } from '../../../src/web/maps.js';
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

describe('a part in a shared address that nobody can read', () => {
  it('is named as one, and hides neither the others nor the claim', async () => {
    const store = new MemoryStore();
    const said = { since: '2026-11-29T12:00:00.000Z', token: '00000000000000aa' };
    const path = 'local/v4/010.001.000.000-24';
    store.plant(`pools/${path}`, { state: 'open', ...said });
    store.plant(`claims/${path}/010.001.000.001`, { kind: 'shared', ...said });
    store.plant(`holders/${path}/010.001.000.001/00000000000000aa`, { role: 'gateway', node: 'a', boot: 'b', ...said });
    store.plant(`holders/${path}/010.001.000.001/00000000000000bb`, 'no JSON');
    const address = parseAddress('10.1.0.1');
    expect(
      formatWho(address, await whoHas(store, address, 4, soon()))
        .split('\n')
        .slice(-2),
    ).to.deep.equal(['  gateway of a since 2026-11-29T12:00:00.000Z', '  aux     of unknown']);
    const [then] = await whoHadAt(store, address, new Date(), soon());
    expect(then!.had.map(({ node }) => node)).to.deep.equal(['a']);
    const options = { space: 'local', yes: false, force: false, goneRounds: 4, keepMs: 0, now: () => new Date() };
    const { against } = await release(store, address, options, soon());
    expect(against).to.deep.equal(['networks of a and unknown have it as gateway, and a container may be given it']);
  });
});

describe('keys that are none of ours', () => {
  const said = { since: '2026-11-29T12:00:00.000Z', token: '00000000000000aa' };
  const path = 'local/v4/010.001.000.000-24';
  const subnet = { space: 'local', prefix: parsePrefix('10.1.0.0/24') };
  let store: MemoryStore;
  beforeEach(() => {
    store = new MemoryStore();
    store.plant(`pools/${path}`, { state: 'open', ...said });
    store.plant(`joins/${path}/j1`, { node: 'a', boot: 'b', ...said });
    store.plant('nodes/a', { machine: 'm-a', boot: 'b', since: 'then' });
    store.plant(`claims/${path}/010.001.000.005`, { kind: 'endpoint', node: 'a', name: 'c5', ...said });
    const stray = { kind: 'endpoint', node: 'a', name: 'stray', mac: '02:42', ...said };
    for (const key of [
      ...[
        'pools/note',
        'pools/local/note',
        'pools/local/v4/x',
        'pools/local/v4/010.001.000.000',
        'pools/elsewhere/v4/x',
      ],
      ...['24x', '33', '24/x', '+4', '024'].map((one) => `pools/local/v4/010.001.000.000-${one}`),
      ...[
        'pools/local/v4/010.001.000.007-24',
        'pools/local/v6/010.001.000.000-24',
        'pools/Local/v4/010.001.000.000-24',
      ],
      ...['joins/x', `joins/${path}`, `joins/${path}/x/y`, 'joins/local/v4/010.001.000.000/x'],
      ...['000', '005x', '005/x', '20', '256', ''].map((one) => `claims/${path}/010.001.000.${one}`),
      ...[`claims/${path}`, `claims/${path}/10.1.0.20`, `claims/${path}/fd00::1`, 'claims/local/v4/x/010.001.000.009'],
      ...[`holders/${path}/010.001.000.005x/j1`, `holders/${path}/010.001.000.005`, 'nodes/a/b'],
    ])
      if (key !== `claims/${path}/010.001.000.000`) store.plant(key, stray);
  });

  it('are in no list of pools, claims or nodes, whose counts they may make larger', async () => {
    const rows: PoolRow[] = [];
    for await (const page of listPools(store, soon())) rows.push(...page);
    expect(rows.map(({ pool, nodes }) => [pool, nodes])).to.deep.equal([['10.1.0.0/24', ['a']]]);
    for (const of of [undefined, subnet]) {
      const claims: ClaimRow[] = [];
      for await (const page of listClaims(store, of, {}, soon())) claims.push(...page);
      expect(claims.map(({ address }) => address)).to.deep.equal(['10.1.0.5']);
    }
    const { nodes } = await listNodes(store, 4, soon());
    expect(nodes.map(({ node }) => node)).to.deep.equal(['a']);
    expect(await beside(store, subnet, soon())).to.deep.equal({ spaces: [], overlapping: subnet });
  });

  it('keep nobody from finding who has, or had, an address, and are not found', async () => {
    const address = parseAddress('10.1.0.5');
    expect((await whoHas(store, address, 4, soon())).map(({ claim }) => claim?.name)).to.deep.equal(['c5']);
    expect((await whoHadAt(store, address, new Date(), soon())).map(({ pool }) => pool)).to.deep.equal(['10.1.0.0/24']);
    expect((await search(store, '10.1.0.', undefined, 10, soon())).claims.map(({ name }) => name)).to.deep.equal([
      'c5',
    ]);
    expect((await search(store, 'stray', undefined, 10, soon())).claims).to.deep.equal([]);
  });

  it('keep neither the page’s lists nor its map from being shown', async () => {
    const pools = await readPools(store, new Samples(), new Date(), soon());
    expect(pools.map(({ pool, nodes }) => [pool, nodes])).to.deep.equal([['10.1.0.0/24', 1]]);
    const { offset } = await readAddresses(store, subnet, subnet.prefix, undefined, soon());
    expect(offset).to.deep.equal([5]);
    const { used } = await readBlocks(store, subnet, subnet.prefix, soon());
    expect(used.flatMap((count, i) => (count > 0 ? [i] : []))).to.include(5);
  });
});
