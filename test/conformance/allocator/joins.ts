// Joins: what one network of a subnet may do to another of it. Numbers are those of the
// counterexamples.
import { expect } from 'chai';
import { parseAddress } from '../../../src/net/address.js';
import { refusal, soon } from '../../support/allocator-fixture.js';
import { claim, holder, joined, LED, last, OPEN, S, type Scene } from './scene.js';

export function joins(scene: Scene): void {
  describe('joins', () => {
    it('#1: a second create on the same subnet that fails and rolls back twice takes nothing from the first', async () => {
      const a = await scene.world.host('a');
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
      await scene.all(LED, joined('J1'), claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'), [
        claim(9, 'endpoint a boot-1 join=J1 name=web'),
      ]);
    });

    it('#1: a second create whose gateway is not released, only its pool, gives its share back', async () => {
      const a = await scene.world.host('a');
      const first = await a.network(S);
      await first.gateway('10.66.0.1');
      const second = await a.network(S);
      await second.gateway('10.66.0.1');
      await second.aux('10.66.0.5');
      expect(await second.releasePool()).to.equal('released');
      expect(await second.releasePool()).to.equal('nothing to release');
      await scene.all(LED, joined('J1'), claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'));
    });

    it("a node's ReleasePool and ReleaseAddress with another node's PoolID do nothing", async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const net = await a.network(S);
      await net.gateway('10.66.0.1');
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const before = await scene.world.records();
      for (const ip of ['10.66.0.1', '10.66.0.9', '10.66.0.77'])
        expect(await b.allocator.releaseAddress(net.ref, parseAddress(ip), soon())).to.equal('nothing to release');
      expect(await b.allocator.releasePool(net.ref, soon())).to.equal('nothing to release');
      expect(await scene.world.records()).to.deep.equal(before);
    });

    it("a node that asks for an address with another node's PoolID is told whose network it is", async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const net = await a.network(S);
      const ask = { pool: net.ref, purpose: 'endpoint', name: 'web' } as const;
      for (const address of [{}, { address: parseAddress('10.66.0.9') }])
        expect(await refusal(b.allocator.requestAddress({ ...ask, ...address }, soon()))).to.equal(
          'unknown_pool: the network of pool 10.66.0.0/24 was made on node a, and this is node b; re-create the network, or set IPAM_NODE=a if the node was renamed',
        );
      await scene.all(OPEN, joined('J1'));
    });

    it('repeated releases do nothing more, and none of them touches what came after', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const { ip } = await net.endpoint({ name: 'web' });
      expect(await net.release(ip)).to.equal('released');
      expect(await net.release(ip)).to.equal('nothing to release');
      const other = await a.network(S);
      await other.endpoint({ ip, name: 'db' });
      expect(await net.release(ip)).to.equal('nothing to release');
      expect(await net.releasePool()).to.equal('released');
      expect(await net.releasePool()).to.equal('nothing to release');
      await scene.all(OPEN, joined('J2'), claim(last(ip), 'endpoint a boot-1 join=J2 name=db'));
    });

    it('a request through a join that has ended is refused, and the words say what to do', async () => {
      const a = await scene.world.host('a');
      const first = await a.network(S);
      const second = await a.network(S);
      await first.releasePool();
      expect(await refusal(first.endpoint({ name: 'web' }))).to.match(
        /^unknown_pool: the network's membership [0-9a-f]{16} in pool 10\.66\.0\.0\/24 of address space local is not in etcd any more; re-create the network$/,
      );
      await second.releasePool();
      await scene.all();
    });

    it('a join that ends between the look and the claim: the claim is refused', async () => {
      const a = await scene.world.host('a');
      const b = await scene.world.host('a');
      const net = await a.network(S);
      const stays = await a.network(S);
      a.link.beforeNext(() => b.allocator.releasePool(net.ref, soon()));
      expect(await refusal(net.endpoint({ name: 'web' }))).to.match(/^unknown_pool: /);
      expect(stays.ref.join).not.to.equal(net.ref.join);
      await scene.all(OPEN, joined('J2'));
    });

    it('ReleasePool with leftovers of its own and of another node frees its own only, and the last one takes the pool', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      await nb.gateway();
      await na.aux('10.66.0.5');
      const mine = await na.endpoint({ name: 'web' });
      const theirs = await nb.endpoint({ name: 'db' });
      expect(mine.ip).not.to.equal(theirs.ip);
      expect(await na.releasePool()).to.equal('released');
      await scene.all(LED, joined('J2', 'b boot-1'), claim(1, 'shared'), holder(1, 'J2', 'gateway b boot-1'), [
        claim(last(theirs.ip), 'endpoint b boot-1 join=J2 name=db'),
      ]);
      expect(await nb.releasePool()).to.equal('released');
      await scene.all();
    });

    it('two joins that leave at once, each seeing the other: the pool goes all the same', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.endpoint({ name: 'web' });
      await nb.endpoint({ name: 'db' });
      // Both decide on what they read while both joins are there.
      a.link.beforeNext(() => nb.releasePool());
      expect(await na.releasePool()).to.equal('released');
      await scene.all();
    });

    it('the last join leaves, and between its look and its commit is given an address: the address goes as well', async () => {
      const a = await scene.world.host('a');
      const b = await scene.world.host('a');
      const net = await a.network(S);
      const ask = { pool: net.ref, purpose: 'endpoint', name: 'web' } as const;
      a.link.beforeNext(() => b.allocator.requestAddress(ask, soon()));
      expect(await net.releasePool()).to.equal('released');
      await scene.all();
    });

    it('20 joins of 2 nodes that leave at the same time leave nothing', async () => {
      const hosts = [await scene.world.host('a'), await scene.world.host('b')];
      const nets = await Promise.all(Array.from({ length: 20 }, (_, i) => hosts[i % 2]!.network(S)));
      await Promise.all(nets.map((net, i) => net.endpoint({ name: `c${i}` })));
      await nets[0]!.gateway();
      await Promise.all(nets.map((net) => net.releasePool()));
      await scene.all();
    });
  });
}
