// Addresses of containers: who has one, who asks again, and what an undo puts back. Numbers are those of the
// counterexamples.
import { expect } from 'chai';
import { refusal, soon } from '../../support/allocator-fixture.js';
import { call, claim, holder, joined, LED, last, OPEN, S, type Scene } from './scene.js';

export function containers(scene: Scene): void {
  describe('containers', () => {
    it('A reads, B claims .9, A claims .9: A is refused and told who has it', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      a.link.beforeNext(() => nb.endpoint({ ip: '10.66.0.9', name: 'db' }));
      expect(await refusal(na.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(
        /^taken: address 10\.66\.0\.9 is held by db on b since \S+Z$/,
      );
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(9, 'endpoint b boot-1 join=J2 name=db'));
    });

    it('A tries .1, B claims .1 first: A is given another', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      a.link.beforeNext(() => nb.endpoint({ ip: '10.66.0.1', name: 'db' }));
      const { ip, attempts } = await na.endpoint({ name: 'web' });
      expect([ip, attempts]).to.deep.equal(['10.66.0.2', 2]);
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), [
        claim(1, 'endpoint b boot-1 join=J2 name=db'),
        claim(2, 'endpoint a boot-1 join=J1 name=web'),
      ]);
    });

    it('100 containers of 2 nodes at once get 100 addresses', async () => {
      const hosts = [await scene.world.host('a'), await scene.world.host('b')];
      const nets = [await hosts[0]!.network(S), await hosts[1]!.network(S)];
      const given = await Promise.all(Array.from({ length: 100 }, (_, i) => nets[i % 2]!.endpoint({ name: `c${i}` })));
      const records = (await scene.world.records()).filter((line) => line.startsWith('claims/'));
      expect(new Set(given.map(({ ip }) => ip)).size).to.equal(100);
      expect(records).to.deep.equal(
        given
          .map(({ ip }, i) => claim(last(ip), `endpoint ${i % 2 ? 'b' : 'a'} boot-1 join=J${(i % 2) + 1} name=c${i}`))
          .sort(),
      );
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), records);
    });

    it('#10: asked again by the same name it is written anew, and the undo of the first grant takes nothing away', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const first = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const second = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      expect(second.token).not.to.equal(first.token);
      await first.undo(soon());
      expect(await scene.world.token('claims/local/v4/010.066.000.000-24/010.066.000.009')).to.equal(second.token);
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('#10: the undo of a grant over an own claim restores what it replaced', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const first = await net.endpoint({ ip: '10.66.0.9', name: 'web', mac: '02:42:0a:42:00:09' });
      const second = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await second.undo(soon());
      await second.undo(soon());
      expect(await scene.world.token('claims/local/v4/010.066.000.000-24/010.066.000.009')).to.equal(first.token);
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web mac=02:42:0a:42:00:09'));
    });

    it('#10: the undo of a second share restores the first one', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const first = await net.gateway('10.66.0.1');
      const second = await net.gateway('10.66.0.1');
      await first.undo(soon());
      await scene.all(LED, joined('J1'), claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'));
      const third = await net.gateway('10.66.0.1');
      await third.undo(soon());
      expect(await scene.world.token(`holders/local/v4/010.066.000.000-24/010.066.000.001/${net.ref.join}`)).to.equal(
        second.token,
      );
      await second.undo(soon());
      await scene.all(LED, joined('J1'));
    });

    it('N18: t1, its undo begins late, t2 over t1, undo of t1, undo of t2: t1 does not come back', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const t1 = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const t2 = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await t1.undo(soon());
      await t2.undo(soon());
      await scene.all(OPEN, joined('J1'));
    });

    it('N18: t1, t2 over t1, undo of t2, undo of t1: nothing stays', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const t1 = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const t2 = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await t2.undo(soon());
      await t1.undo(soon());
      await scene.all(OPEN, joined('J1'));
    });

    it('N18: t1, t2 over t1, t3 over t2, undone in every order: nothing stays', async () => {
      const a = await scene.world.host('a');
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
        expect(await scene.world.records(), `order ${order}`).to.deep.equal([...OPEN, joined('J1')].sort());
      }
    });

    it('N18: t1 in doubt and committed, t2 over t1, t2 is undone: t1, which nobody was told of, does not come back', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const doubt = a.link.loseAnswer();
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^unavailable: /);
      const t2 = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      // The store looks for t1's token, and finds t2's.
      doubt.settle(false);
      await a.settled();
      await t2.undo(soon());
      await scene.all(OPEN, joined('J1'));
    });

    it('a claim in doubt that was committed is undone once that is known', async () => {
      const a = await scene.world.host('a');
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
      await scene.all(OPEN.slice(1), joined('J1'), await scene.pools());
    });

    it('a pool in doubt that was committed is undone once that is known', async () => {
      const a = await scene.world.host('a');
      const doubt = a.link.loseAnswer();
      expect(await refusal(a.network(S))).to.match(/^unavailable: /);
      doubt.settle(true);
      await a.settled();
      await scene.all();
    });

    it('what the driver could not deliver is taken back, last first: address, gateway, pool', async () => {
      const host = await scene.world.host('a');
      const { driver, told } = host;
      const undos: (() => Promise<void>)[] = [];
      const lent = { ...call(), onUndelivered: (undo: () => Promise<void>) => undos.unshift(undo) };
      const asked = { addressSpace: 'local', pool: S, subPool: '', options: null, v6: false };
      const { poolId } = await driver.requestPool(asked, lent);
      const gateway = new Map([['RequestAddressType', 'com.docker.network.gateway']]);
      await driver.requestAddress({ poolId, address: '', options: gateway }, lent);
      const name = new Map([['com.docker.network.endpoint.name', 'web']]);
      expect(await driver.requestAddress({ poolId, address: '', options: name }, lent)).to.deep.equal({
        address: '10.66.0.2/24',
      });
      for (const undo of undos) await undo();
      await host.settled();
      expect(told.map(({ call: which, outcome, address }) => [which, outcome, address ?? ''].join(' '))).to.deep.equal([
        'RequestPool granted ',
        'RequestAddress granted 10.66.0.1',
        'RequestAddress granted 10.66.0.2',
        'RequestAddress undone 10.66.0.2',
        'RequestAddress undone 10.66.0.1',
        'RequestPool undone ',
      ]);
      await scene.all();
    });

    it('#18: an address that was just released is granted by number at once, to the other node too', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      await nb.endpoint({ ip: '10.66.0.9', name: 'web' });
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(9, 'endpoint b boot-1 join=J2 name=web'));
    });

    it('#18: a request that comes while the address is being released waits for that and is granted', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const [released, granted] = await Promise.all([
        net.release('10.66.0.9'),
        net.endpoint({ ip: '10.66.0.9', name: 'db' }),
      ]);
      expect([released, granted.attempts]).to.deep.equal(['released', 1]);
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=db'));
    });

    it('#11: the undo of a grant waits for a request that came before it, and then takes nothing away', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const first = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await Promise.all([net.endpoint({ ip: '10.66.0.9', name: 'web' }), first.undo(soon())]);
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('#18: what another container released is not the next thing given', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const given = [];
      for (let i = 0; i < 5; i++) {
        const { ip } = await net.endpoint({ name: 'web' });
        given.push(last(ip));
        await net.release(ip);
      }
      expect(given).to.deep.equal([1, 2, 3, 4, 5]);
      await scene.all(OPEN, joined('J1'));
    });

    it('N8: on two networks of one subnet the same --ip is granted once', async () => {
      const a = await scene.world.host('a');
      const [one, two] = [await a.network(S), await a.network(S)];
      await one.endpoint({ ip: '10.66.0.9', name: 'web', mac: '02:42:0a:42:00:09' });
      expect(await refusal(two.endpoint({ ip: '10.66.0.9', name: 'web', mac: '02:42:0a:42:00:09' }))).to.match(
        /^taken: address 10\.66\.0\.9 is held by web on a since /,
      );
      await scene.all(OPEN, joined('J1'), joined('J2'), [
        claim(9, 'endpoint a boot-1 join=J1 name=web mac=02:42:0a:42:00:09'),
      ]);
    });

    it('N5, N12: a claim of one address space is nothing to another space on the same subnet', async () => {
      const a = await scene.world.host('a');
      const [plain, blue] = [await a.network(S), await a.network(S, { space: 'local.blue' })];
      await plain.endpoint({ ip: '10.66.0.9', name: 'web' });
      await blue.endpoint({ ip: '10.66.0.9', name: 'db' });
      await blue.release('10.66.0.9');
      await blue.releasePool();
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('a claim that this version cannot read is never given, asked for, released or listed away', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S, { range: '10.66.0.8/31' });
      await scene.world.plant('claims/local/v4/010.066.000.000-24/010.066.000.009', 'not JSON');
      expect((await net.endpoint({ name: 'web' })).ip).to.equal('10.66.0.8');
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.equal(
        'taken: address 10.66.0.9 has a record that this version cannot read, so it is taken for held',
      );
      expect(await net.release('10.66.0.9')).to.equal('nothing to release');
      await scene.all(
        OPEN,
        joined('J1', 'a boot-1 range=10.66.0.8/31'),
        claim(8, 'endpoint a boot-1 join=J1 name=web'),
        [claim(9, '"not JSON"')],
      );
    });

    it('a process that lost its session grants nothing, and keeps what it is to release until it has one', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await a.loseSession();
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^unavailable: /);
      expect(await refusal(net.gateway())).to.match(/^unavailable: /);
      expect(await refusal(a.network('10.67.0.0/24'))).to.match(/^unavailable: /);
      expect(await refusal(a.network(S))).to.match(/^unavailable: /);
      expect(await net.release('10.66.0.9', 500)).to.equal('queued');
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
      await a.allocator.close(0);
    });
  });
}
