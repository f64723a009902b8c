// Pools: made, joined, removed and overlapped by several at once. Numbers are those of the
// counterexamples.
import { expect } from 'chai';
import { type Net, refusal, soon } from '../../support/allocator-fixture.js';
import { call, claim, gate, joined, OPEN, POOL, S, type Scene } from './scene.js';

export function pools(scene: Scene): void {
  describe('pools', () => {
    it('#16: A removes the pool in chunks, B joins meanwhile: B finishes the removal and makes it anew', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
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
      await scene.all(OPEN, joined('J2', 'b boot-1'), claim(10, 'endpoint b boot-1 join=J2 name=new'));
    });

    it('#16: A dies between the chunks: the next RequestPool of the subnet, or of one that overlaps, finishes', async () => {
      for (const subnet of [S, '10.66.0.0/16']) {
        const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
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
        expect(await scene.world.records()).to.deep.equal([]);
      }
    });

    it('no revision removes more than 1,000 keys, however many a pool has', async () => {
      const a = await scene.world.host('a');
      const net = await a.network('10.66.0.0/21');
      await Promise.all(Array.from({ length: 1_200 }, (_, i) => net.endpoint({ name: `c${i}` })));
      const removed: number[] = [];
      a.link.beforeCommit = async ({ write }) => {
        for (const one of write)
          if ('removeAll' in one) removed.push((await a.link.read([{ count: one.removeAll }], soon()))[0]);
      };
      expect(await net.releasePool(30_000)).to.equal('released');
      expect(removed.reduce((sum, keys) => sum + keys, 0)).to.equal(1_200);
      expect(Math.max(...removed)).to.be.at.most(1_000);
      await scene.all();
    });

    it('#16: a claim that was decided before the pool closed is refused', async () => {
      const a = await scene.world.host('a');
      const b = await scene.world.host('a');
      const net = await a.network(S);
      a.link.beforeNext(() => b.allocator.releasePool(net.ref, soon()));
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^unknown_pool: /);
      await scene.all();
    });

    it('N14: a claim of the pool before does not live on in the next pool of that subnet', async () => {
      const a = await scene.world.host('a');
      const b = await scene.world.host('a');
      const net = await a.network(S);
      a.link.beforeNext(async () => {
        await b.allocator.releasePool(net.ref, soon());
        await b.network(S);
      });
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^unknown_pool: /);
      await scene.all(OPEN, joined('J2'));
    });

    it('#16: the last join leaves, B joins between its look and its commit: the pool stays', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const na = await a.network(S);
      a.link.beforeNext(() => b.network(S));
      expect(await na.releasePool()).to.equal('released');
      await scene.all(OPEN, joined('J2', 'b boot-1'));
    });

    it('#16: B decides to join, the last join leaves and the pool goes, B commits: B makes it anew', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const na = await a.network(S);
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      b.link.beforeNext(() => na.releasePool());
      const nb = await b.network(S);
      expect(nb.grant.attempts).to.equal(2);
      await scene.all(OPEN, joined('J2', 'b boot-1'));
    });

    it('N14: a claim that somebody writes by hand behind the chunks keeps the pool until it is cleaned up too', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      a.link.beforeCommit = async ({ write }) => {
        if (!write.some((one) => 'remove' in one && one.remove.key === POOL)) return;
        a.link.beforeCommit = () => undefined;
        await scene.world.plant('claims/local/v4/010.066.000.000-24/010.066.000.010', { kind: 'reserved' });
      };
      await net.releasePool();
      await a.settled();
      await scene.all();
    });

    it('A finds the pool without a join, C joins, A closes it: C keeps it', async () => {
      const [a, c] = [await scene.world.host('a'), await scene.world.host('c')];
      const left = await a.network(S);
      const [atCommit, goOn] = [gate(), gate()];
      let na: Promise<Net> | undefined;
      c.link.beforeNext(async () => {
        await scene.world.plant(`joins/local/v4/010.066.000.000-24/${left.ref.join}`, undefined);
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
      await scene.all(OPEN, joined('J2', 'c boot-1'), joined('J3'));
    });

    it('10.1.0.0/16 on A and 10.0.0.0/8 on B at once: exactly one wins, the other is told of it', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      b.link.beforeNext(() => a.network('10.1.0.0/16'));
      expect(await refusal(b.network('10.0.0.0/8'))).to.equal(
        'overlap: pool 10.0.0.0/8 overlaps with 10.1.0.0/16 in address space local',
      );
      const one = await Promise.allSettled([a.network('10.128.0.0/9'), b.network('10.129.0.0/16')]);
      expect(one.filter(({ status }) => status === 'fulfilled')).to.have.length(1);
      const pools = await scene.pools();
      expect(pools).to.have.length(2);
      await scene.all(
        pools,
        'spaces/local',
        (await scene.world.records()).filter((line) => line.startsWith('joins/')),
      );
      expect((await scene.world.records()).filter((line) => line.startsWith('joins/'))).to.have.length(2);
    });

    it('an overlap is refused from above, below and inside, and named', async () => {
      const a = await scene.world.host('a');
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
      const lines = await scene.pools();
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
      const hosts = [await scene.world.host('a', { predefined }), await scene.world.host('b', { predefined })];
      const nets = await Promise.all(Array.from({ length: 50 }, (_, i) => hosts[i % 2]!.anyNetwork()));
      const prefixes = nets.map(({ ref }) => ref.prefix.first);
      expect(new Set(prefixes).size).to.equal(50);
      expect(await scene.pools()).to.have.length(50);
      await Promise.all(nets.map((net) => net.releasePool(20_000)));
      await scene.all();
    });

    it('100 automatic pools of one node at once are 100 different ones', async function () {
      this.timeout(30_000);
      const a = await scene.world.host('a', { predefined: '10.208.0.0/17/24' });
      const nets = await Promise.all(Array.from({ length: 100 }, () => a.anyNetwork()));
      expect(new Set(nets.map(({ ref }) => ref.prefix.first)).size).to.equal(100);
      expect(await scene.pools()).to.have.length(100);
    });

    it('4 predefined pools are given lowest first, a fifth is refused with the count, one released is given again', async () => {
      const a = await scene.world.host('a', { predefined: '10.208.0.0/22/24,fd00:e7cd::/48/64' });
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
      const pools = await scene.pools();
      expect(pools).to.have.length(5);
    });

    it('automatic pools go round a subnet that somebody asked for, whatever its size', async () => {
      const a = await scene.world.host('a', { predefined: '10.208.0.0/22/24' });
      await a.network('10.208.0.128/25');
      await a.network('10.208.2.0/23');
      const net = await a.anyNetwork();
      expect(net.ref.prefix).to.deep.equal({ family: 4, first: 0x0ad00100n, length: 24 });
      expect(await refusal(a.anyNetwork())).to.match(/^no_pool_left: /);
      expect((await a.anyNetwork(4, 26)).ref.prefix).to.deep.equal({ family: 4, first: 0x0ad00000n, length: 26 });
      const pools = await scene.pools();
      expect(pools).to.deep.equal([
        'pools/local/v4/010.208.000.000-26 open',
        'pools/local/v4/010.208.000.128-25 open',
        'pools/local/v4/010.208.001.000-24 open',
        'pools/local/v4/010.208.002.000-23 open',
      ]);
    });

    it('an automatic pool whose removal was cut short is given again when nothing else is left', async () => {
      const predefined = '10.208.0.0/24/24';
      const [a, b] = [await scene.world.host('a', { predefined }), await scene.world.host('b', { predefined })];
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
      await scene.all('joins/local/v4/010.208.000.000-24/J2 b boot-1', 'pools/local/v4/010.208.000.000-24 open', [
        'spaces/local',
      ]);
    });

    it('one that holds IPv4-mapped addresses, which would have two texts each, is refused; its neighbours are not', async () => {
      const { driver } = await scene.world.host('a');
      const request = (pool: string) =>
        driver.requestPool({ addressSpace: 'local', pool, subPool: '', options: null, v6: true }, call());
      for (const pool of ['::fffe:0:0/95', '::8000:0:0/81'])
        expect(await refusal(request(pool))).to.equal(
          `bad_pool: pool ${pool} holds addresses that no host can have: IPv4-mapped (RFC 4291)`,
        );
      await scene.all();
      for (const pool of ['::fffe:0:0/96', '::1:0:0:0/96']) await request(pool);
      expect(await scene.pools()).to.have.length(2);
    });

    it('the undo of a pool that nobody received removes it, and nothing of a later one', async () => {
      const a = await scene.world.host('a');
      const first = await a.network(S);
      await first.grant.undo(soon());
      await scene.all();
      const second = await a.network(S);
      await first.grant.undo(soon());
      await scene.all(OPEN, joined('J2'));
      expect(second.ref.join).not.to.equal(first.ref.join);
    });
  });
}
