// Interleavings that broke earlier designs, one test each, over any record store; numbers are those of the list of
// counterexamples. Each ends by asserting every record there is. Knows no transaction, only who goes first.
import { expect } from 'chai';
import { parseAddress } from '../../src/net/address.js';
import { type Host, type Net, refusal, soon, World } from '../support/allocator-fixture.js';
import type { Backend } from '../support/stores.js';

const S = '10.66.0.0/24';
const POOL = 'pools/local/v4/010.066.000.000-24';
const OPEN = [`${POOL} open`, 'spaces/local'];
const LED = [`${POOL} open gateway=10.66.0.1`, 'spaces/local'];
const joined = (join: string, rest = 'a boot-1') => `joins/local/v4/010.066.000.000-24/${join} ${rest}`;
const claim = (last: number, rest: string) =>
  `claims/local/v4/010.066.000.000-24/010.066.000.${String(last).padStart(3, '0')} ${rest}`;
const holder = (last: number, join: string, rest: string) =>
  `holders/local/v4/010.066.000.000-24/010.066.000.${String(last).padStart(3, '0')}/${join} ${rest}`;

export function allocatorConformance(start: () => Promise<Backend>): void {
  let backend: Backend;
  let world: World;

  before(async () => {
    backend = await start();
  });
  after(() => backend?.close());
  beforeEach(() => {
    world = new World(backend);
  });
  afterEach(() => backend.clear());

  const all = async (...lines: readonly (string | readonly string[])[]) =>
    expect(await world.records()).to.deep.equal(lines.flat().sort());
  /** The number of the last octet. */
  const last = (ip: string) => Number(ip.split('.').at(-1));

  describe('joins', () => {
    it('#1: a second create on the same subnet that fails and rolls back twice takes nothing from the first', async () => {
      const a = await world.host('a');
      const first = await a.network(S);
      await first.gateway('10.66.0.1');
      await first.endpoint({ ip: '10.66.0.9', name: 'web' });
      for (let round = 0; round < 2; round++) {
        const second = await a.network(S);
        expect((await second.gateway('10.66.0.1')).ip).to.equal('10.66.0.1');
        for (let again = 0; again < 2; again++) {
          await second.release('10.66.0.1');
          await second.release('10.66.0.9');
          await second.releasePool();
        }
      }
      await all(LED, joined('J1'), claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'), [
        claim(9, 'endpoint a boot-1 join=J1 name=web'),
      ]);
    });

    it('#1: a second create whose gateway is not released, only its pool, gives its share back', async () => {
      const a = await world.host('a');
      const first = await a.network(S);
      await first.gateway('10.66.0.1');
      const second = await a.network(S);
      await second.gateway('10.66.0.1');
      await second.aux('10.66.0.5');
      expect(await second.releasePool()).to.equal('released');
      expect(await second.releasePool()).to.equal('nothing to release');
      await all(LED, joined('J1'), claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'));
    });

    it("a node's ReleasePool and ReleaseAddress with another node's PoolID do nothing", async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const net = await a.network(S);
      await net.gateway('10.66.0.1');
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const before = await world.records();
      for (const ip of ['10.66.0.1', '10.66.0.9', '10.66.0.77'])
        expect(await b.allocator.releaseAddress(net.ref, parseAddress(ip), soon())).to.equal('nothing to release');
      expect(await b.allocator.releasePool(net.ref, soon())).to.equal('nothing to release');
      expect(await world.records()).to.deep.equal(before);
    });

    it("a node that asks for an address with another node's PoolID is told whose network it is", async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const net = await a.network(S);
      const ask = { pool: net.ref, purpose: 'endpoint', name: 'web' } as const;
      for (const address of [{}, { address: parseAddress('10.66.0.9') }])
        expect(await refusal(b.allocator.requestAddress({ ...ask, ...address }, soon()))).to.equal(
          'unknown_pool: the network of pool 10.66.0.0/24 was made on node a, and this is node b; re-create the network, or set IPAM_NODE=a if the node was renamed',
        );
      await all(OPEN, joined('J1'));
    });

    it('repeated releases do nothing more, and none of them touches what came after', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      const { ip } = await net.endpoint({ name: 'web' });
      expect(await net.release(ip)).to.equal('released');
      expect(await net.release(ip)).to.equal('nothing to release');
      const other = await a.network(S);
      await other.endpoint({ ip, name: 'db' });
      expect(await net.release(ip)).to.equal('nothing to release');
      expect(await net.releasePool()).to.equal('released');
      expect(await net.releasePool()).to.equal('nothing to release');
      await all(OPEN, joined('J2'), claim(last(ip), 'endpoint a boot-1 join=J2 name=db'));
    });

    it('a request through a join that has ended is refused, and the words say what to do', async () => {
      const a = await world.host('a');
      const first = await a.network(S);
      const second = await a.network(S);
      await first.releasePool();
      expect(await refusal(first.endpoint({ name: 'web' }))).to.match(
        /^unknown_pool: the network's membership [0-9a-f]{16} in pool 10\.66\.0\.0\/24 of address space local is not in etcd any more; re-create the network$/,
      );
      await second.releasePool();
      await all();
    });

    it('a join that ends between the look and the claim: the claim is refused', async () => {
      const a = await world.host('a');
      const b = await world.host('a');
      const net = await a.network(S);
      const stays = await a.network(S);
      a.link.beforeNext(() => b.allocator.releasePool(net.ref, soon()));
      expect(await refusal(net.endpoint({ name: 'web' }))).to.match(/^unknown_pool: /);
      expect(stays.ref.join).not.to.equal(net.ref.join);
      await all(OPEN, joined('J2'));
    });

    it('ReleasePool with leftovers of its own and of another node frees its own only, and the last one takes the pool', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      await nb.gateway();
      await na.aux('10.66.0.5');
      const mine = await na.endpoint({ name: 'web' });
      const theirs = await nb.endpoint({ name: 'db' });
      expect(mine.ip).not.to.equal(theirs.ip);
      expect(await na.releasePool()).to.equal('released');
      await all(LED, joined('J2', 'b boot-1'), claim(1, 'shared'), holder(1, 'J2', 'gateway b boot-1'), [
        claim(last(theirs.ip), 'endpoint b boot-1 join=J2 name=db'),
      ]);
      expect(await nb.releasePool()).to.equal('released');
      await all();
    });

    it('two joins that leave at once, each seeing the other: the pool goes all the same', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.endpoint({ name: 'web' });
      await nb.endpoint({ name: 'db' });
      // Both decide on what they read while both joins are there.
      a.link.beforeNext(() => nb.releasePool());
      expect(await na.releasePool()).to.equal('released');
      await all();
    });

    it('the last join leaves, and between its look and its commit is given an address: the address goes as well', async () => {
      const a = await world.host('a');
      const b = await world.host('a');
      const net = await a.network(S);
      const ask = { pool: net.ref, purpose: 'endpoint', name: 'web' } as const;
      a.link.beforeNext(() => b.allocator.requestAddress(ask, soon()));
      expect(await net.releasePool()).to.equal('released');
      await all();
    });

    it('20 joins of 2 nodes that leave at the same time leave nothing', async () => {
      const hosts = [await world.host('a'), await world.host('b')];
      const nets = await Promise.all(Array.from({ length: 20 }, (_, i) => hosts[i % 2]!.network(S)));
      await Promise.all(nets.map((net, i) => net.endpoint({ name: `c${i}` })));
      await nets[0]!.gateway();
      await Promise.all(nets.map((net) => net.releasePool()));
      await all();
    });
  });

  describe('gateways and auxiliary addresses', () => {
    it('two nodes share the gateway; the last holder takes the claim along', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      expect((await na.gateway('10.66.0.254')).ip).to.equal('10.66.0.254');
      expect((await nb.gateway('10.66.0.254')).ip).to.equal('10.66.0.254');
      const pool = [`${POOL} open gateway=10.66.0.254`, 'spaces/local'];
      const joins = [joined('J1'), joined('J2', 'b boot-1')];
      await all(pool, joins, claim(254, 'shared'), holder(254, 'J1', 'gateway a boot-1'), [
        holder(254, 'J2', 'gateway b boot-1'),
      ]);
      expect(await na.release('10.66.0.254')).to.equal('released');
      await all(pool, joins, claim(254, 'shared'), holder(254, 'J2', 'gateway b boot-1'));
      expect(await nb.release('10.66.0.254')).to.equal('released');
      await all(pool, joins);
    });

    it('a gateway nobody named is the one the subnet has, on every node', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway('10.66.0.77');
      expect((await nb.gateway()).ip).to.equal('10.66.0.77');
      await all(
        [`${POOL} open gateway=10.66.0.77`, 'spaces/local', joined('J1'), joined('J2', 'b boot-1')],
        [claim(77, 'shared'), holder(77, 'J1', 'gateway a boot-1'), holder(77, 'J2', 'gateway b boot-1')],
      );
    });

    it('A and B create the subnet, A is given .1 as gateway, B asks with what it saw before: B is given .1', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      expect((await na.gateway()).ip).to.equal('10.66.0.1');
      expect((await nb.gateway()).ip).to.equal('10.66.0.1');
      await all(LED, joined('J1'), joined('J2', 'b boot-1'), claim(1, 'shared'), [
        holder(1, 'J1', 'gateway a boot-1'),
        holder(1, 'J2', 'gateway b boot-1'),
      ]);
    });

    it('B reads that .1 is free, A is given .1 as gateway, B commits .1: both share it', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      b.link.beforeNext(() => na.gateway());
      expect((await nb.gateway()).ip).to.equal('10.66.0.1');
      await all(LED, joined('J1'), joined('J2', 'b boot-1'), claim(1, 'shared'), [
        holder(1, 'J1', 'gateway a boot-1'),
        holder(1, 'J2', 'gateway b boot-1'),
      ]);
    });

    it('B reads that .1 is free, A is given .2 by name as gateway, B commits .1: B is given .2 as well', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      b.link.beforeNext(() => na.gateway('10.66.0.2'));
      expect((await nb.gateway()).ip).to.equal('10.66.0.2');
      await all(
        [`${POOL} open gateway=10.66.0.2`, 'spaces/local', joined('J1'), joined('J2', 'b boot-1')],
        [claim(2, 'shared'), holder(2, 'J1', 'gateway a boot-1'), holder(2, 'J2', 'gateway b boot-1')],
      );
    });

    it('A names a gateway of its own with what it saw before B was given one: the one of the subnet stays', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await nb.gateway();
      await na.gateway('10.66.0.254');
      await all(LED, joined('J1'), joined('J2', 'b boot-1'), [
        ...[claim(1, 'shared'), holder(1, 'J2', 'gateway b boot-1')],
        ...[claim(254, 'shared'), holder(254, 'J1', 'gateway a boot-1')],
      ]);
    });

    it('B asks for a gateway while a container of A has .1 and A is then given .2: B is given .2 as well', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.endpoint({ ip: '10.66.0.1', name: 'web' });
      b.link.beforeNext(() => na.gateway());
      expect((await nb.gateway()).ip).to.equal('10.66.0.2');
      await all(
        [`${POOL} open gateway=10.66.0.2`, 'spaces/local', joined('J1'), joined('J2', 'b boot-1')],
        [claim(1, 'endpoint a boot-1 join=J1 name=web'), claim(2, 'shared')],
        [holder(2, 'J1', 'gateway a boot-1'), holder(2, 'J2', 'gateway b boot-1')],
      );
    });

    it('N7: gateway and auxiliary addresses of an earlier boot are never taken, by number or from a full range', async () => {
      const old = await world.host('a');
      const before = await old.network(S);
      await before.gateway();
      await before.aux('10.66.0.2');
      await before.unsure('10.66.0.3');
      const a = await rebooted(old);
      const net = await a.network(S, { range: '10.66.0.0/30' });
      for (const [ip, why] of [
        ['10.66.0.1', 'is the gateway of the network and never given to a container'],
        ['10.66.0.2', 'is an auxiliary address of the network and never given to a container'],
      ]) {
        expect(await refusal(net.endpoint({ ip: ip!, name: 'web' }))).to.equal(`taken: address ${ip} ${why}`);
      }
      expect(await refusal(net.endpoint({ ip: '10.66.0.3', name: 'web' }))).to.match(
        /^taken: address 10\.66\.0\.3 is held on a since .* \(by a container's --ip, or as an auxiliary address\)$/,
      );
      expect(await refusal(net.endpoint({ name: 'web' }))).to.equal(
        'pool_exhausted: no address left in range 10.66.0.0/30 of pool 10.66.0.0/24: all 3 are in use',
      );
      await all(LED, joined('J1'), joined('J2', 'a boot-2 range=10.66.0.0/30'), [
        ...[claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1')],
        ...[claim(2, 'shared'), holder(2, 'J1', 'aux a boot-1')],
        claim(3, 'unsure a boot-1 join=J1'),
      ]);
    });

    it('#13: an address without a name is exclusive, and the refusal names the way out', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.unsure('10.66.0.5');
      expect(await refusal(nb.unsure('10.66.0.5'))).to.match(
        /^taken: address 10\.66\.0\.5 is held on a since \S+ \(by a container's --ip, or as an auxiliary address\); if it is an auxiliary address of both networks, create them with --ipam-opt aux=10\.66\.0\.5$/,
      );
      expect(await refusal(na.unsure('10.66.0.5'))).to.match(/^taken: /);
      expect(await nb.release('10.66.0.5')).to.equal('nothing to release');
      await all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(5, 'unsure a boot-1 join=J1'));
      expect(await na.release('10.66.0.5')).to.equal('released');
      await all(OPEN, joined('J1'), joined('J2', 'b boot-1'));
    });

    it('#13: an address without a name does not end with the boot', async () => {
      const old = await world.host('a');
      await (await old.network(S)).unsure('10.66.0.5');
      const a = await rebooted(old);
      const net = await a.network(S);
      expect(await refusal(net.unsure('10.66.0.5'))).to.match(/^taken: /);
      await all(OPEN, joined('J1'), joined('J2', 'a boot-2'), claim(5, 'unsure a boot-1 join=J1'));
    });

    it('#13: declared with --ipam-opt aux, it is shared by the nodes and given to no container', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S, { shared: ['10.66.0.5'] }), await b.network(S, { shared: ['10.66.0.5'] })];
      expect((await na.unsure('10.66.0.5')).ip).to.equal('10.66.0.5');
      expect((await nb.unsure('10.66.0.5')).ip).to.equal('10.66.0.5');
      expect(await refusal(nb.endpoint({ ip: '10.66.0.5', name: 'web' }))).to.equal(
        'taken: address 10.66.0.5 is an auxiliary address of the network and never given to a container',
      );
      await all([OPEN, joined('J1', 'a boot-1 shared=10.66.0.5'), joined('J2', 'b boot-1 shared=10.66.0.5')].flat(), [
        claim(5, 'shared'),
        holder(5, 'J1', 'aux a boot-1'),
        holder(5, 'J2', 'aux b boot-1'),
      ]);
    });

    it('#13: a container that asks for the declared address through a join which has it is refused, by number too', async () => {
      const a = await world.host('a');
      const net = await a.network(S, { shared: ['10.66.0.5'] });
      await net.unsure('10.66.0.5');
      expect(await refusal(net.unsure('10.66.0.5'))).to.equal(
        'taken: address 10.66.0.5 is an auxiliary address of the network and never given to a container',
      );
      await all(OPEN, joined('J1', 'a boot-1 shared=10.66.0.5'), claim(5, 'shared'), [holder(5, 'J1', 'aux a boot-1')]);
    });

    it('#13: already shared, it is shared with a network that did not declare it, but only once', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.aux('10.66.0.5');
      await nb.unsure('10.66.0.5');
      expect(await refusal(nb.unsure('10.66.0.5'))).to.match(/^taken: address 10\.66\.0\.5 is an auxiliary address/);
      await all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(5, 'shared'), [
        holder(5, 'J1', 'aux a boot-1'),
        holder(5, 'J2', 'aux b boot-1'),
      ]);
    });

    it('where MACs are required, an address without one is auxiliary on both nodes', async () => {
      const hosts = [await world.host('a', { requireMac: true }), await world.host('b', { requireMac: true })];
      for (const { driver } of hosts) {
        const request = { addressSpace: 'local', pool: S, subPool: '', options: new Map(), v6: false };
        const { poolId } = await driver.requestPool(request, call());
        world.join(poolId.slice(-16));
        const reply = await driver.requestAddress({ poolId, address: '10.66.0.5', options: null }, call());
        expect(reply).to.deep.equal({ address: '10.66.0.5/24' });
      }
      await all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(5, 'shared'), [
        holder(5, 'J1', 'aux a boot-1'),
        holder(5, 'J2', 'aux b boot-1'),
      ]);
    });

    it('A gives its share of the gateway back while B takes one: B keeps it', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      a.link.beforeNext(() => nb.gateway());
      expect(await na.release('10.66.0.1')).to.equal('released');
      await all(LED, joined('J1'), joined('J2', 'b boot-1'), claim(1, 'shared'), holder(1, 'J2', 'gateway b boot-1'));
    });

    it('A and B, the last two holders, give the gateway back at once, each seeing the other: its claim goes', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      await nb.gateway();
      a.link.beforeNext(() => nb.release('10.66.0.1'));
      expect(await na.release('10.66.0.1')).to.equal('released');
      await all(LED, joined('J1'), joined('J2', 'b boot-1'));
    });

    it('B takes a share of the gateway while A, its last holder, gives it back: B makes it anew', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      b.link.beforeNext(() => na.release('10.66.0.1'));
      expect((await nb.gateway('10.66.0.1')).ip).to.equal('10.66.0.1');
      await all(LED, joined('J1'), joined('J2', 'b boot-1'), claim(1, 'shared'), holder(1, 'J2', 'gateway b boot-1'));
    });

    it('the gateway goes to a container once nobody holds it, and then not to a network', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      await net.gateway();
      await net.release('10.66.0.1');
      await net.endpoint({ ip: '10.66.0.1', name: 'web' });
      expect(await refusal(net.gateway('10.66.0.1'))).to.match(
        /^taken: address 10\.66\.0\.1 is held by web on a since /,
      );
      expect((await net.gateway()).ip).to.equal('10.66.0.2');
      await all(
        [`${POOL} open gateway=10.66.0.2`, 'spaces/local', joined('J1')],
        [claim(1, 'endpoint a boot-1 join=J1 name=web'), claim(2, 'shared'), holder(2, 'J1', 'gateway a boot-1')],
      );
    });
  });

  describe('containers', () => {
    it('A reads, B claims .9, A claims .9: A is refused and told who has it', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      a.link.beforeNext(() => nb.endpoint({ ip: '10.66.0.9', name: 'db' }));
      expect(await refusal(na.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(
        /^taken: address 10\.66\.0\.9 is held by db on b since \S+Z$/,
      );
      await all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(9, 'endpoint b boot-1 join=J2 name=db'));
    });

    it('A tries .1, B claims .1 first: A is given another', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      a.link.beforeNext(() => nb.endpoint({ ip: '10.66.0.1', name: 'db' }));
      const { ip, attempts } = await na.endpoint({ name: 'web' });
      expect([ip, attempts]).to.deep.equal(['10.66.0.2', 2]);
      await all(OPEN, joined('J1'), joined('J2', 'b boot-1'), [
        claim(1, 'endpoint b boot-1 join=J2 name=db'),
        claim(2, 'endpoint a boot-1 join=J1 name=web'),
      ]);
    });

    it('100 containers of 2 nodes at once get 100 addresses', async () => {
      const hosts = [await world.host('a'), await world.host('b')];
      const nets = [await hosts[0]!.network(S), await hosts[1]!.network(S)];
      const given = await Promise.all(Array.from({ length: 100 }, (_, i) => nets[i % 2]!.endpoint({ name: `c${i}` })));
      const records = (await world.records()).filter((line) => line.startsWith('claims/'));
      expect(new Set(given.map(({ ip }) => ip)).size).to.equal(100);
      expect(records).to.deep.equal(
        given
          .map(({ ip }, i) => claim(last(ip), `endpoint ${i % 2 ? 'b' : 'a'} boot-1 join=J${(i % 2) + 1} name=c${i}`))
          .sort(),
      );
      await all(OPEN, joined('J1'), joined('J2', 'b boot-1'), records);
    });

    it('#10: asked again by the same name it is written anew, and the undo of the first grant takes nothing away', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      const first = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const second = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      expect(second.token).not.to.equal(first.token);
      await first.undo(soon());
      expect(await world.token('claims/local/v4/010.066.000.000-24/010.066.000.009')).to.equal(second.token);
      await all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('#10: the undo of a grant over an own claim restores what it replaced', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      const first = await net.endpoint({ ip: '10.66.0.9', name: 'web', mac: '02:42:0a:42:00:09' });
      const second = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await second.undo(soon());
      await second.undo(soon());
      expect(await world.token('claims/local/v4/010.066.000.000-24/010.066.000.009')).to.equal(first.token);
      await all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web mac=02:42:0a:42:00:09'));
    });

    it('#10: the undo of a second share restores the first one', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      const first = await net.gateway('10.66.0.1');
      const second = await net.gateway('10.66.0.1');
      await first.undo(soon());
      await all(LED, joined('J1'), claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'));
      const third = await net.gateway('10.66.0.1');
      await third.undo(soon());
      expect(await world.token(`holders/local/v4/010.066.000.000-24/010.066.000.001/${net.ref.join}`)).to.equal(
        second.token,
      );
      await second.undo(soon());
      await all(LED, joined('J1'));
    });

    it('N18: t1, its undo begins late, t2 over t1, undo of t1, undo of t2: t1 does not come back', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      const t1 = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const t2 = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await t1.undo(soon());
      await t2.undo(soon());
      await all(OPEN, joined('J1'));
    });

    it('N18: t1, t2 over t1, undo of t2, undo of t1: nothing stays', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      const t1 = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const t2 = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await t2.undo(soon());
      await t1.undo(soon());
      await all(OPEN, joined('J1'));
    });

    it('N18: t1, t2 over t1, t3 over t2, undone in every order: nothing stays', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      for (const order of [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
      ]) {
        const grants = [];
        for (let i = 0; i < 3; i++) grants.push(await net.endpoint({ ip: '10.66.0.9', name: 'web' }));
        for (const i of order) await grants[i]!.undo(soon());
        expect(await world.records(), `order ${order}`).to.deep.equal([...OPEN, joined('J1')].sort());
      }
    });

    it('N18: t1 in doubt and committed, t2 over t1, t2 is undone: t1, which nobody was told of, does not come back', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      const doubt = a.link.loseAnswer();
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^unavailable: /);
      const t2 = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      // The store looks for t1's token, and finds t2's.
      doubt.settle(false);
      await a.settled();
      await t2.undo(soon());
      await all(OPEN, joined('J1'));
    });

    it('a claim in doubt that was committed is undone once that is known', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      const byNumber = a.link.loseAnswer();
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^unavailable: /);
      const dynamic = a.link.loseAnswer();
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^unavailable: /);
      const gateway = a.link.loseAnswer();
      expect(await refusal(net.gateway('10.66.0.1'))).to.match(/^unavailable: /);
      expect(a.allocator.pending).to.equal(3);
      for (const doubt of [byNumber, dynamic, gateway]) doubt.settle(true);
      await a.settled();
      await all(OPEN.slice(1), joined('J1'), await poolLine());
    });

    it('a pool in doubt that was committed is undone once that is known', async () => {
      const a = await world.host('a');
      const doubt = a.link.loseAnswer();
      expect(await refusal(a.network(S))).to.match(/^unavailable: /);
      doubt.settle(true);
      await a.settled();
      await all();
    });

    it('#18: an address that was just released is granted by number at once, to the other node too', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      await nb.endpoint({ ip: '10.66.0.9', name: 'web' });
      await all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(9, 'endpoint b boot-1 join=J2 name=web'));
    });

    it('#18: a request that comes while the address is being released waits for that and is granted', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const [released, granted] = await Promise.all([
        net.release('10.66.0.9'),
        net.endpoint({ ip: '10.66.0.9', name: 'db' }),
      ]);
      expect([released, granted.attempts]).to.deep.equal(['released', 1]);
      await all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=db'));
    });

    it('#11: the undo of a grant waits for a request that came before it, and then takes nothing away', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      const first = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await Promise.all([net.endpoint({ ip: '10.66.0.9', name: 'web' }), first.undo(soon())]);
      await all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('#18: what another container released is not the next thing given', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      const given = [];
      for (let i = 0; i < 5; i++) {
        const { ip } = await net.endpoint({ name: 'web' });
        given.push(last(ip));
        await net.release(ip);
      }
      expect(given).to.deep.equal([1, 2, 3, 4, 5]);
      await all(OPEN, joined('J1'));
    });

    it('N8: on two networks of one subnet the same --ip is granted once', async () => {
      const a = await world.host('a');
      const [one, two] = [await a.network(S), await a.network(S)];
      await one.endpoint({ ip: '10.66.0.9', name: 'web', mac: '02:42:0a:42:00:09' });
      expect(await refusal(two.endpoint({ ip: '10.66.0.9', name: 'web', mac: '02:42:0a:42:00:09' }))).to.match(
        /^taken: address 10\.66\.0\.9 is held by web on a since /,
      );
      await all(OPEN, joined('J1'), joined('J2'), [
        claim(9, 'endpoint a boot-1 join=J1 name=web mac=02:42:0a:42:00:09'),
      ]);
    });

    it('N5, N12: a claim of one address space is nothing to another space on the same subnet', async () => {
      const a = await world.host('a');
      const [plain, blue] = [await a.network(S), await a.network(S, { space: 'local.blue' })];
      await plain.endpoint({ ip: '10.66.0.9', name: 'web' });
      await blue.endpoint({ ip: '10.66.0.9', name: 'db' });
      await blue.release('10.66.0.9');
      await blue.releasePool();
      await all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('a claim that this version cannot read is never given, asked for, released or listed away', async () => {
      const a = await world.host('a');
      const net = await a.network(S, { range: '10.66.0.8/31' });
      await world.plant('claims/local/v4/010.066.000.000-24/010.066.000.009', 'not JSON');
      expect((await net.endpoint({ name: 'web' })).ip).to.equal('10.66.0.8');
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.equal(
        'taken: address 10.66.0.9 has a record that this version cannot read, so it is taken for held',
      );
      expect(await net.release('10.66.0.9')).to.equal('nothing to release');
      await all(OPEN, joined('J1', 'a boot-1 range=10.66.0.8/31'), claim(8, 'endpoint a boot-1 join=J1 name=web'), [
        claim(9, '"not JSON"'),
      ]);
    });

    it('a process that lost its session grants nothing and still releases', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await a.loseSession();
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^unavailable: /);
      expect(await refusal(net.gateway())).to.match(/^unavailable: /);
      expect(await refusal(a.network('10.67.0.0/24'))).to.match(/^unavailable: /);
      expect(await net.release('10.66.0.9')).to.equal('released');
      await all(OPEN, joined('J1'));
    });
  });

  describe('boots', () => {
    it("#21: by number, an address of the node's own earlier boot is granted at once", async () => {
      const old = await world.host('a');
      await (await old.network(S)).endpoint({ ip: '10.66.0.9', name: 'web' });
      const a = await rebooted(old);
      const net = await a.network(S);
      expect((await net.endpoint({ ip: '10.66.0.9' })).attempts).to.equal(2);
      await all(OPEN, joined('J1'), joined('J2', 'a boot-2'), claim(9, 'endpoint a boot-2 join=J2'));
    });

    it("#21: another node's earlier boot gives nothing", async () => {
      const old = await world.host('a');
      await (await old.network(S)).endpoint({ ip: '10.66.0.9', name: 'web' });
      await rebooted(old);
      const b = await world.host('b', { boot: 'boot-9' });
      const net = await b.network(S, { range: '10.66.0.9/32' });
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^taken: /);
      expect(await refusal(net.endpoint({ name: 'web' }))).to.match(/^pool_exhausted: /);
      await all(OPEN, joined('J1'), joined('J2', 'b boot-9 range=10.66.0.9/32'), [
        claim(9, 'endpoint a boot-1 join=J1 name=web'),
      ]);
    });

    it('#21: dynamically, an earlier boot is last: only when the range of 2 has nothing else', async () => {
      const old = await world.host('a');
      await (await old.network(S)).endpoint({ ip: '10.66.0.8', name: 'web' });
      const a = await rebooted(old);
      const net = await a.network(S, { range: '10.66.0.8/31' });
      expect((await net.endpoint({ name: 'c1' })).ip).to.equal('10.66.0.9');
      expect((await net.endpoint({ name: 'c2' })).ip).to.equal('10.66.0.8');
      expect(await refusal(net.endpoint({ name: 'c3' }))).to.match(/^pool_exhausted: /);
      await all(OPEN, joined('J1'), joined('J2', 'a boot-2 range=10.66.0.8/31'), [
        claim(8, 'endpoint a boot-2 join=J2 name=c2'),
        claim(9, 'endpoint a boot-2 join=J2 name=c1'),
      ]);
    });

    it('#21: while the node record does not say so, no boot counts as an earlier one', async () => {
      const a = await world.host('a');
      await (await a.network(S)).endpoint({ ip: '10.66.0.9', name: 'web' });
      // A process that believes in another boot than the node record, as one frozen over a reboot does.
      const frozen = await world.host('a');
      Object.assign(frozen.self, { boot: 'boot-0' });
      const net = await frozen.network(S, { range: '10.66.0.9/32' });
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.match(/^taken: /);
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      await all(OPEN, joined('J1'), joined('J2', 'a boot-0 range=10.66.0.9/32'), [
        claim(9, 'endpoint a boot-1 join=J1 name=web'),
      ]);
    });

    it('#21: the old container asks again by number while the address is being given to a new one: one of them has it', async () => {
      const old = await world.host('a');
      await (await old.network(S)).endpoint({ ip: '10.66.0.9', name: 'web' });
      const a = await rebooted(old);
      const again = await world.host('a', { boot: 'boot-2' });
      const [na, nb] = [await a.network(S), await again.network(S, { range: '10.66.0.9/32' })];
      again.link.beforeCommit = async ({ when }) => {
        const taking = when.some((one) => 'key' in one && one.key.key.startsWith('nodes/'));
        if (!taking) return;
        again.link.beforeCommit = () => undefined;
        await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      };
      expect(await refusal(nb.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      await all(
        [OPEN, joined('J1'), joined('J2', 'a boot-2'), joined('J3', 'a boot-2 range=10.66.0.9/32')].flat(),
        claim(9, 'endpoint a boot-2 join=J2 name=web'),
      );
    });

    it('a claim of an earlier boot that an undo restores belongs to a join that is still there, or goes', async () => {
      const old = await world.host('a');
      const before = await old.network(S);
      await before.endpoint({ ip: '10.66.0.9', name: 'web' });
      const a = await rebooted(old);
      const net = await a.network(S);
      const taken = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await taken.undo(soon());
      await all(OPEN, joined('J1'), joined('J2', 'a boot-2'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
      const again = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      expect(await a.allocator.releasePool(before.ref, soon())).to.equal('released');
      await again.undo(soon());
      await all(OPEN, joined('J2', 'a boot-2'));
    });
  });

  describe('releases while the store is away', () => {
    it('#12: a queued release frees nothing that was granted after it', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      a.link.away = true;
      const hold = world.holdRetries();
      expect(await net.release('10.66.0.9')).to.equal('queued');
      await hold.asleep(1);
      // etcd is back, and the same container starts before the queue is tried again.
      a.link.away = false;
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      hold.end();
      await a.settled();
      await all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('#12: so does one that was queued by a process which had not seen any answer yet', async () => {
      const old = await world.host('a');
      const known = await old.network(S);
      await known.endpoint({ ip: '10.66.0.9', name: 'web' });
      // The plugin was restarted while etcd is away; its first call is the release.
      const a = await world.host('a');
      a.link.away = true;
      const hold = world.holdRetries();
      expect(await a.allocator.releaseAddress(known.ref, parseAddress('10.66.0.9'), soon())).to.equal('queued');
      await hold.asleep(1);
      a.link.away = false;
      const ask = { pool: known.ref, address: parseAddress('10.66.0.9'), purpose: 'endpoint', name: 'web' } as const;
      await a.allocator.requestAddress(ask, soon());
      hold.end();
      await a.settled();
      await all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('#12: the release of an earlier process of the node is done as soon as the store is there', async () => {
      const old = await world.host('a');
      const known = await old.network(S);
      await known.endpoint({ ip: '10.66.0.9', name: 'web' });
      const a = await world.host('a');
      expect(await a.allocator.releaseAddress(known.ref, parseAddress('10.66.0.9'), soon())).to.equal('released');
      await all(OPEN, joined('J1'));
    });

    it('#12: without a request in between the queued release frees the address', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      a.link.away = true;
      expect(await net.release('10.66.0.9')).to.equal('queued');
      expect(await net.releasePool()).to.equal('queued');
      expect(a.allocator.pending).to.equal(2);
      a.link.away = false;
      await a.settled();
      await all();
    });

    it('a release that is stuck on its way and lands after the address was given again removes nothing', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const stuck = a.link.stick();
      expect(await net.release('10.66.0.9')).to.equal('released');
      await net.endpoint({ ip: '10.66.0.9', name: 'db' });
      expect(await stuck.land()).to.equal(false);
      await all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=db'));
    });

    it('a release whose answer is lost frees nothing that the same join was given meanwhile', async () => {
      const a = await world.host('a');
      const b = await world.host('a');
      const net = await a.network(S, { range: '10.66.0.9/32' });
      await net.endpoint({ name: 'web' });
      a.link.loseAnswer();
      let looks = 0;
      a.link.beforeRead = async () => {
        if (++looks === 1) return;
        a.link.beforeRead = () => undefined;
        await b.allocator.requestAddress(
          { pool: net.ref, address: parseAddress('10.66.0.9'), purpose: 'endpoint', name: 'db' },
          soon(),
        );
      };
      await net.release('10.66.0.9');
      await all(OPEN, joined('J1', 'a boot-1 range=10.66.0.9/32'));
    });
  });

  describe('pools', () => {
    it('#16: A removes the pool in chunks, B joins meanwhile: B finishes the removal and makes it anew', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const na = await a.network(S);
      for (let i = 10; i < 15; i++) await na.endpoint({ ip: `10.66.0.${i}`, name: `c${i}` });
      let nb: Net | undefined;
      a.link.beforeCommit = async ({ write }) => {
        if (nb || !write.some((one) => 'removeAll' in one)) return;
        a.link.beforeCommit = () => undefined;
        nb = await b.network(S);
        await nb.endpoint({ ip: '10.66.0.10', name: 'new' });
      };
      expect(await na.releasePool()).to.equal('released');
      await all(OPEN, joined('J2', 'b boot-1'), claim(10, 'endpoint b boot-1 join=J2 name=new'));
    });

    it('#16: A dies between the chunks: the next RequestPool of the subnet, or of one that overlaps, finishes', async () => {
      for (const subnet of [S, '10.66.0.0/16']) {
        const [a, b] = [await world.host('a'), await world.host('b')];
        const na = await a.network(S);
        await na.endpoint({ ip: '10.66.0.10', name: 'web' });
        a.link.beforeCommit = ({ write }) => {
          if (write.some((one) => 'removeAll' in one)) a.link.away = true;
        };
        a.link.beforeRead = () => undefined;
        const closing = na.releasePool(200);
        expect(await closing).to.equal('queued');
        const nb = await b.network(subnet);
        await nb.releasePool();
        a.link.beforeCommit = () => undefined;
        a.link.away = false;
        await a.settled();
        expect(await world.records()).to.deep.equal([]);
      }
    });

    it('#16: a claim that was decided before the pool closed is refused', async () => {
      const a = await world.host('a');
      const b = await world.host('a');
      const net = await a.network(S);
      a.link.beforeNext(() => b.allocator.releasePool(net.ref, soon()));
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^unknown_pool: /);
      await all();
    });

    it('N14: a claim of the pool before does not live on in the next pool of that subnet', async () => {
      const a = await world.host('a');
      const b = await world.host('a');
      const net = await a.network(S);
      a.link.beforeNext(async () => {
        await b.allocator.releasePool(net.ref, soon());
        await b.network(S);
      });
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^unknown_pool: /);
      await all(OPEN, joined('J2'));
    });

    it('#16: the last join leaves, B joins between its look and its commit: the pool stays', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const na = await a.network(S);
      a.link.beforeNext(() => b.network(S));
      expect(await na.releasePool()).to.equal('released');
      await all(OPEN, joined('J2', 'b boot-1'));
    });

    it('#16: B decides to join, the last join leaves and the pool goes, B commits: B makes it anew', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      const na = await a.network(S);
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      b.link.beforeNext(() => na.releasePool());
      const nb = await b.network(S);
      expect(nb.grant.attempts).to.equal(2);
      await all(OPEN, joined('J2', 'b boot-1'));
    });

    it('N14: a claim that somebody writes by hand behind the chunks keeps the pool until it is cleaned up too', async () => {
      const a = await world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      a.link.beforeCommit = async ({ write }) => {
        if (!write.some((one) => 'remove' in one && one.remove.key === POOL)) return;
        a.link.beforeCommit = () => undefined;
        await world.plant('claims/local/v4/010.066.000.000-24/010.066.000.010', { kind: 'reserved' });
      };
      await net.releasePool();
      await a.settled();
      await all();
    });

    it('A finds the pool without a join, C joins, A closes it: C keeps it', async () => {
      const [a, c] = [await world.host('a'), await world.host('c')];
      const left = await a.network(S);
      const [atCommit, goOn] = [gate(), gate()];
      let na: Promise<Net> | undefined;
      c.link.beforeNext(async () => {
        await world.plant(`joins/local/v4/010.066.000.000-24/${left.ref.join}`, undefined);
        a.link.beforeNext(async () => {
          atCommit.open();
          await goOn.opened;
        });
        na = a.network(S);
        await atCommit.opened;
      });
      await c.network(S);
      goOn.open();
      await na;
      await all(OPEN, joined('J2', 'c boot-1'), joined('J3'));
    });

    it('10.1.0.0/16 on A and 10.0.0.0/8 on B at once: exactly one wins, the other is told of it', async () => {
      const [a, b] = [await world.host('a'), await world.host('b')];
      b.link.beforeNext(() => a.network('10.1.0.0/16'));
      expect(await refusal(b.network('10.0.0.0/8'))).to.equal(
        'overlap: pool 10.0.0.0/8 overlaps with 10.1.0.0/16 in address space local',
      );
      const one = await Promise.allSettled([a.network('10.128.0.0/9'), b.network('10.129.0.0/16')]);
      expect(one.filter(({ status }) => status === 'fulfilled')).to.have.length(1);
      const pools = (await world.records()).filter((line) => line.startsWith('pools/'));
      expect(pools).to.have.length(2);
      await all(
        pools,
        'spaces/local',
        (await world.records()).filter((line) => line.startsWith('joins/')),
      );
      expect((await world.records()).filter((line) => line.startsWith('joins/'))).to.have.length(2);
    });

    it('an overlap is refused from above, below and inside, and named', async () => {
      const a = await world.host('a');
      await a.network('10.1.0.0/16');
      for (const [other, name] of [
        ['10.0.0.0/8', '10.1.0.0/16'],
        ['10.1.0.0/24', '10.1.0.0/16'],
        ['10.1.255.0/24', '10.1.0.0/16'],
        ['10.0.0.0/15', '10.1.0.0/16'],
      ])
        expect(await refusal(a.network(other!))).to.equal(
          `overlap: pool ${other} overlaps with ${name} in address space local`,
        );
      await a.network('10.0.0.0/16');
      await a.network('10.2.0.0/16');
      await a.network('10.1.0.0/24', { space: 'local.blue' });
      const lines = (await world.records()).filter((line) => line.startsWith('pools/'));
      expect(lines).to.deep.equal([
        'pools/local.blue/v4/010.001.000.000-24 open',
        'pools/local/v4/010.000.000.000-16 open',
        'pools/local/v4/010.001.000.000-16 open',
        'pools/local/v4/010.002.000.000-16 open',
      ]);
    });

    it('50 automatic pools of 2 nodes at once are 50 different ones', async function () {
      this.timeout(30_000);
      const predefined = '10.208.0.0/18/24';
      const hosts = [await world.host('a', { predefined }), await world.host('b', { predefined })];
      const nets = await Promise.all(Array.from({ length: 50 }, (_, i) => hosts[i % 2]!.anyNetwork()));
      const prefixes = nets.map(({ ref }) => ref.prefix.first);
      expect(new Set(prefixes).size).to.equal(50);
      expect((await world.records()).filter((line) => line.startsWith('pools/'))).to.have.length(50);
      await Promise.all(nets.map((net) => net.releasePool(20_000)));
      await all();
    });

    it('100 automatic pools of one node at once are 100 different ones', async function () {
      this.timeout(30_000);
      const a = await world.host('a', { predefined: '10.208.0.0/17/24' });
      const nets = await Promise.all(Array.from({ length: 100 }, () => a.anyNetwork()));
      expect(new Set(nets.map(({ ref }) => ref.prefix.first)).size).to.equal(100);
      expect((await world.records()).filter((line) => line.startsWith('pools/'))).to.have.length(100);
    });

    it('4 predefined pools are given lowest first, a fifth is refused with the count, one released is given again', async () => {
      const a = await world.host('a', { predefined: '10.208.0.0/22/24,fd00:e7cd::/48/64' });
      const nets: Net[] = [];
      for (let i = 0; i < 4; i++) nets.push(await a.anyNetwork());
      expect(nets.map(({ ref }) => ref.prefix.first & 0xffffn)).to.deep.equal([0n, 256n, 512n, 768n]);
      expect(await refusal(a.anyNetwork())).to.equal(
        'no_pool_left: no predefined IPv4 pool left (4 /24 in 10.208.0.0/22); pass --subnet or widen IPAM_POOLS',
      );
      await nets[2]!.releasePool();
      const again = await a.anyNetwork();
      expect(again.ref.prefix.first).to.equal(nets[2]!.ref.prefix.first);
      expect((await a.anyNetwork(6)).ref.prefix.length).to.equal(64);
      const pools = (await world.records()).filter((line) => line.startsWith('pools/'));
      expect(pools).to.have.length(5);
    });

    it('automatic pools go round a subnet that somebody asked for, whatever its size', async () => {
      const a = await world.host('a', { predefined: '10.208.0.0/22/24' });
      await a.network('10.208.0.128/25');
      await a.network('10.208.2.0/23');
      const net = await a.anyNetwork();
      expect(net.ref.prefix).to.deep.equal({ family: 4, first: 0x0ad00100n, length: 24 });
      expect(await refusal(a.anyNetwork())).to.match(/^no_pool_left: /);
      expect((await a.anyNetwork(4, 26)).ref.prefix).to.deep.equal({ family: 4, first: 0x0ad00000n, length: 26 });
      const pools = (await world.records()).filter((line) => line.startsWith('pools/'));
      expect(pools).to.deep.equal([
        'pools/local/v4/010.208.000.000-26 open',
        'pools/local/v4/010.208.000.128-25 open',
        'pools/local/v4/010.208.001.000-24 open',
        'pools/local/v4/010.208.002.000-23 open',
      ]);
    });

    it('an automatic pool whose removal was cut short is given again when nothing else is left', async () => {
      const predefined = '10.208.0.0/24/24';
      const [a, b] = [await world.host('a', { predefined }), await world.host('b', { predefined })];
      const net = await a.anyNetwork();
      await net.endpoint({ name: 'web' });
      a.link.beforeCommit = ({ write }) => {
        if (write.some((one) => 'removeAll' in one)) a.link.away = true;
      };
      expect(await net.releasePool(200)).to.equal('queued');
      const again = await b.anyNetwork();
      expect(again.ref.prefix).to.deep.equal(net.ref.prefix);
      a.link.beforeCommit = () => undefined;
      a.link.away = false;
      await a.settled();
      await all('joins/local/v4/010.208.000.000-24/J2 b boot-1', 'pools/local/v4/010.208.000.000-24 open', [
        'spaces/local',
      ]);
    });

    it('the undo of a pool that nobody received removes it, and nothing of a later one', async () => {
      const a = await world.host('a');
      const first = await a.network(S);
      await first.grant.undo(soon());
      await all();
      const second = await a.network(S);
      await first.grant.undo(soon());
      await all(OPEN, joined('J2'));
      expect(second.ref.join).not.to.equal(first.ref.join);
    });
  });

  /** The node boots anew: the processes of the boot before have ended. */
  async function rebooted(old: Host): Promise<Host> {
    await old.loseSession();
    return world.host(old.self.node, { boot: 'boot-2' });
  }

  async function poolLine(): Promise<string[]> {
    return (await world.records()).filter((line) => line.startsWith('pools/'));
  }

  function gate(): { readonly opened: Promise<void>; open(): void } {
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    return { opened, open: () => open() };
  }

  function call() {
    return { deadline: soon(), signal: new AbortController().signal, onUndelivered: () => undefined };
  }
}
