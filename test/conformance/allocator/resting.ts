// Addresses that were released and rest: whom they are given to, when, and what they hold up, which is nothing.
import { expect } from 'chai';
import { parseAddress } from '../../../src/net/address.js';
import { type Host, type Net, refusal, soon } from '../../support/allocator-fixture.js';
import { network, SpokenEngine, shown } from '../../support/engine-shown.js';
import { claim, holder, joined, LED, OPEN, S, type Scene } from './scene.js';

/** Longer than any test takes: what is to end it is the test's to say. */
const LONG = 600_000;

export function resting(scene: Scene): void {
  const two = async (): Promise<[Net, Net, Host, Host]> => {
    scene.world.restMs = LONG;
    const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
    return [await a.network(S), await b.network(S), a, b];
  };
  /** Two hosts in a range of two addresses, which a has for c1 and c2. */
  const full = async () => {
    scene.world.restMs = LONG;
    const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
    const nets = [await a.network(S, { range: RANGE }), await b.network(S, { range: RANGE })] as const;
    for (const name of ['c1', 'c2']) await nets[0].endpoint({ name });
    return { a, b, nets, joins: [joined('J1', `a boot-1 range=${RANGE}`), joined('J2', `b boot-1 range=${RANGE}`)] };
  };
  const RANGE = '10.66.0.8/31';
  const both = [joined('J1'), joined('J2', 'b boot-1')];

  describe('resting', () => {
    it('a released address is not given while others are free, and by number at once, to another node too', async () => {
      const [na, nb] = await two();
      expect((await na.endpoint({ name: 'web' })).ip).to.equal('10.66.0.1');
      expect(await na.release('10.66.0.1')).to.equal('released');
      await scene.all(OPEN, both, claim(1, 'cooling'));
      expect((await nb.endpoint({ name: 'db' })).ip).to.equal('10.66.0.2');
      expect((await nb.endpoint({ ip: '10.66.0.1', name: 'web' })).attempts).to.equal(2);
      await scene.all(OPEN, both, [
        claim(1, 'endpoint b boot-1 join=J2 name=web'),
        claim(2, 'endpoint b boot-1 join=J2 name=db'),
      ]);
    });

    it('it goes when its time is over, and nothing else does', async () => {
      const [na] = await two();
      await na.endpoint({ ip: '10.66.0.8', name: 'stays' });
      scene.world.restMs = 1_000;
      const net = await (await scene.world.host('c')).network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await net.release('10.66.0.9');
      await scene.world.rested();
      await scene.all(OPEN, both, joined('J3', 'c boot-1'), claim(8, 'endpoint a boot-1 join=J1 name=stays'));
    });

    it('whoever takes it over keeps it when all leases are revoked, and what rests still goes', async () => {
      const [na, nb] = await two();
      for (const ip of ['10.66.0.8', '10.66.0.9']) {
        await na.endpoint({ ip, name: 'web' });
        await na.release(ip);
      }
      await nb.endpoint({ ip: '10.66.0.9', name: 'db' });
      await scene.world.loseLeases();
      await scene.all(OPEN, both, claim(9, 'endpoint b boot-1 join=J2 name=db'));
    });

    it('of unsure and swarm claims too, and not of what is shared', async () => {
      const [na] = await two();
      const managed = await na.host.network(S, { managed: true });
      await na.gateway('10.66.0.1');
      await na.aux('10.66.0.3');
      await na.unsure('10.66.0.8');
      await scene.world.plant('claims/local/v4/010.066.000.000-24/010.066.000.009', {
        ...{ kind: 'swarm', node: 'a', boot: 'boot-1', join: managed.ref.join, since: 'then', token: 't' },
      });
      for (const ip of ['10.66.0.1', '10.66.0.3', '10.66.0.8']) expect(await na.release(ip)).to.equal('released');
      expect(await managed.release('10.66.0.9')).to.equal('released');
      await scene.all(LED, both, joined('J3', 'a boot-1 managed=true'), [claim(8, 'cooling'), claim(9, 'cooling')]);
    });

    it('a repeated release does not lay it to rest anew', async () => {
      const [na, nb] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      const key = 'claims/local/v4/010.066.000.000-24/010.066.000.009';
      const token = await scene.world.token(key);
      for (const net of [na, nb, na]) expect(await net.release('10.66.0.9')).to.equal('nothing to release');
      expect(await scene.world.token(key)).to.equal(token);
      await scene.all(OPEN, both, claim(9, 'cooling'));
    });

    it('in a full range it is given at once: the one that has rested longest, then the other, then none', async () => {
      const { a, nets, joins } = await full();
      expect(await refusal(nets[0].endpoint({ name: 'c3' }))).to.match(/^pool_exhausted: /);
      for (const ip of ['10.66.0.9', '10.66.0.8']) await nets[0].release(ip);
      let listings = 0;
      a.link.beforeRead = (queries) => {
        if (queries.some((query) => 'span' in query && query.span.from.startsWith('claims/'))) listings++;
      };
      expect((await nets[0].endpoint({ name: 'c4' })).ip).to.equal('10.66.0.9');
      expect((await nets[0].endpoint({ name: 'c5' })).ip).to.equal('10.66.0.8');
      expect(listings).to.equal(0);
      expect(await refusal(nets[0].endpoint({ name: 'c6' }))).to.match(/^pool_exhausted: /);
      await scene.all(OPEN, joins, [
        claim(8, 'endpoint a boot-1 join=J1 name=c5'),
        claim(9, 'endpoint a boot-1 join=J1 name=c4'),
      ]);
    });

    it('3 that ask at once get what their own host released, and what another one did', async () => {
      scene.world.restMs = LONG;
      const range = { range: '10.66.0.8/30' };
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S, range), await b.network(S, range)];
      for (const net of [na, na, nb, nb]) await net.endpoint({ name: 'before' });
      await na.release('10.66.0.8');
      for (const ip of ['10.66.0.10', '10.66.0.11']) await nb.release(ip);
      const given = await Promise.all(['c1', 'c2', 'c3'].map((name) => na.endpoint({ name })));
      expect(given.map(({ ip }) => ip).sort()).to.deep.equal(['10.66.0.10', '10.66.0.11', '10.66.0.8']);
      expect(await refusal(na.endpoint({ name: 'c4' }))).to.match(/^pool_exhausted: /);
      const claims = (await scene.world.records()).filter((line) => /^claims.* endpoint a /.test(line));
      expect(claims).to.have.length(4);
      const joins = ['J1', 'J2'].map((join, i) => joined(join, `${'ab'[i]} boot-1 range=10.66.0.8/30`));
      await scene.all(OPEN, joins, claims);
    });

    it('another node that found the range full finds what rests within a second', async () => {
      const { nets, joins } = await full();
      expect(await refusal(nets[1].endpoint({ name: 'd1' }))).to.match(/^pool_exhausted: /);
      await nets[0].release('10.66.0.9');
      scene.world.skippedMs += 1_001;
      expect((await nets[1].endpoint({ name: 'd2' })).ip).to.equal('10.66.0.9');
      await scene.all(OPEN, joins, [
        claim(8, 'endpoint a boot-1 join=J1 name=c1'),
        claim(9, 'endpoint b boot-1 join=J2 name=d2'),
      ]);
    });

    it('what rests is taken before what a node left that is gone', async () => {
      const { a, b, nets, joins } = await full();
      await nets[0].release('10.66.0.8');
      await nets[1].endpoint({ ip: '10.66.0.8', name: 'left' });
      await nets[0].release('10.66.0.9');
      await b.loseSession();
      await scene.world.silence(a, 4);
      const given = [await nets[0].endpoint({ name: 'c3' }), await nets[0].endpoint({ name: 'c4' })];
      expect(given.map(({ ip, from }) => [ip, from])).to.deep.equal([
        ['10.66.0.9', undefined],
        ['10.66.0.8', 'b'],
      ]);
      await scene.all(OPEN, joins, [
        claim(8, 'endpoint a boot-1 join=J1 name=c4 from=b'),
        claim(9, 'endpoint a boot-1 join=J1 name=c3'),
      ]);
    });

    it('B looks for what rests, its time ends before B claims it: B is given it all the same', async () => {
      const { b, nets, joins } = await full();
      await nets[0].release('10.66.0.9');
      // The first candidate is .8, which is taken; the one after that is what rests.
      b.link.beforeCommit = async ({ when }) => {
        const rests = when.some((one) => 'key' in one && /^claims/.test(one.key.key) && one.version !== null);
        if (rests) await scene.world.loseLeases();
      };
      expect((await nets[1].endpoint({ name: 'd1' })).ip).to.equal('10.66.0.9');
      await scene.all(OPEN, joins, [
        claim(8, 'endpoint a boot-1 join=J1 name=c1'),
        claim(9, 'endpoint b boot-1 join=J2 name=d1'),
      ]);
    });

    it('A and B take the only one that rests: one gets it, the other is told that the range is full', async () => {
      const { b, nets, joins } = await full();
      await nets[0].release('10.66.0.9');
      b.link.beforeCommit = async ({ when }) => {
        if (!when.some((one) => 'key' in one && /^claims/.test(one.key.key) && one.version !== null)) return;
        b.link.beforeCommit = () => undefined;
        await nets[0].endpoint({ name: 'c3' });
      };
      expect(await refusal(nets[1].endpoint({ name: 'd1' }))).to.match(/^pool_exhausted: /);
      await scene.all(OPEN, joins, [
        claim(8, 'endpoint a boot-1 join=J1 name=c1'),
        claim(9, 'endpoint a boot-1 join=J1 name=c3'),
      ]);
    });

    it('N18: the undo of a grant puts it back to rest, on a lease that ends', async () => {
      const [na, nb] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      const { undo } = await nb.endpoint({ ip: '10.66.0.9', name: 'db' });
      await scene.world.loseLeases();
      await undo(soon());
      await scene.all(OPEN, both, claim(9, 'cooling'));
      await scene.world.loseLeases();
      await scene.all(OPEN, both);
    });

    it('N18: t1 over what rests, t2 over t1, undone in either order: it rests', async () => {
      const [na] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      for (const order of [
        [0, 1],
        [1, 0],
      ]) {
        const grants = [];
        for (let i = 0; i < 2; i++) grants.push(await na.endpoint({ ip: '10.66.0.9', name: 'web' }));
        for (const i of order) await grants[i]!.undo(soon());
        await scene.all(OPEN, both, claim(9, 'cooling'));
      }
    });

    it('N18: the undo of a gateway that rested puts it back to rest, unless others share it by then', async () => {
      const [na, nb] = await two();
      await na.endpoint({ ip: '10.66.0.1', name: 'web' });
      await na.release('10.66.0.1');
      const gateway = await na.gateway('10.66.0.1');
      await scene.world.loseLeases();
      await gateway.undo(soon());
      await scene.all(LED, both, claim(1, 'cooling'));
      const again = await na.gateway('10.66.0.1');
      await nb.gateway('10.66.0.1');
      await again.undo(soon());
      await scene.all(LED, both, claim(1, 'shared'), holder(1, 'J2', 'gateway b boot-1'));
      await nb.release('10.66.0.1');
      await scene.all(LED, both);
    });

    it('the undo by a process with IPAM_COOLDOWN=0s leaves it free', async () => {
      const [na] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      const net = await (await scene.world.host('c', { restMs: 0 })).network(S);
      await (await net.endpoint({ ip: '10.66.0.9', name: 'db' })).undo(soon());
      await scene.all(OPEN, both, joined('J3', 'c boot-1'));
    });

    it('a release that was queued while the store was away lays it to rest, once', async () => {
      const [na, , a] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      a.link.away = true;
      expect(await na.release('10.66.0.9', 200)).to.equal('queued');
      a.link.away = false;
      await a.settled();
      await scene.all(OPEN, both, claim(9, 'cooling'));
    });

    it('A looks to release .9, and it is taken over meanwhile: what B has does not rest', async () => {
      const [na, nb, a] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      const other = await scene.world.host('a');
      a.link.beforeNext(async () => {
        await other.allocator.releaseAddress(na.ref, parseAddress('10.66.0.9'), soon());
        await nb.endpoint({ ip: '10.66.0.9', name: 'db' });
      });
      expect(await na.release('10.66.0.9')).to.equal('nothing to release');
      await scene.all(OPEN, both, claim(9, 'endpoint b boot-1 join=J2 name=db'));
    });

    it('a gateway that is not named comes from what rests only where nothing is free', async () => {
      scene.world.restMs = LONG;
      const a = await scene.world.host('a');
      const net = await a.network('10.66.0.0/30');
      for (const ip of ['10.66.0.1', '10.66.0.2']) await net.endpoint({ ip, name: 'web' });
      await net.release('10.66.0.1');
      expect((await (await a.network('10.66.0.0/30')).gateway()).ip).to.equal('10.66.0.1');
      const wide = await a.network('10.67.0.0/29');
      await wide.endpoint({ ip: '10.67.0.1', name: 'web' });
      await wide.release('10.67.0.1');
      expect((await wide.gateway()).ip).to.equal('10.67.0.2');
    });

    it('the gateway of the subnet is given again, should it rest after a container had it', async () => {
      const [na, nb] = await two();
      await na.gateway();
      await na.release('10.66.0.1');
      await nb.endpoint({ ip: '10.66.0.1', name: 'web' });
      await nb.release('10.66.0.1');
      expect((await nb.gateway()).ip).to.equal('10.66.0.1');
      await scene.all(LED, both, claim(1, 'shared'), holder(1, 'J2', 'gateway b boot-1'));
    });

    it('a container that the engine shows has it again', async () => {
      const [na, , a] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      const engine = new SpokenEngine();
      engine.view = shown(network(S, { containers: { web: '10.66.0.9' } }));
      const told: string[] = [];
      const tell = ({ outcome }: { outcome: string }) => void told.push(outcome);
      const reconciler = a.allocator.reconciler({ engine, graceMs: LONG, tell });
      for (let look = 0; look < 2; look++) await reconciler.look();
      expect(told).to.deep.equal(['claimed']);
      await scene.all(OPEN, both, claim(9, 'endpoint a boot-1 join=J1 name=web mac=02:42:00:00:00:09'));
    });

    it('the last ReleasePool takes 99 along in one transaction', async () => {
      scene.world.restMs = LONG;
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const given = await Promise.all(Array.from({ length: 99 }, (_, i) => net.endpoint({ name: `c${i}` })));
      for (const { ip } of given) await net.release(ip);
      const { commits } = a.link;
      expect(await net.releasePool()).to.equal('released');
      expect(a.link.commits - commits).to.equal(1);
      await scene.all();
    });

    it('and 120 in chunks', async () => {
      scene.world.restMs = LONG;
      const net = await (await scene.world.host('a')).network(S);
      const given = await Promise.all(Array.from({ length: 120 }, (_, i) => net.endpoint({ name: `c${i}` })));
      for (const { ip } of given) await net.release(ip);
      await net.releasePool();
      await scene.all();
    });

    it('A ends its pool, B joins in between: what rests stays, and B has its pool', async () => {
      const [na, nb, a, b] = await two();
      await nb.releasePool();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      a.link.beforeNext(() => b.network(S));
      await na.releasePool();
      await scene.all(OPEN, joined('J3', 'b boot-1'), claim(9, 'cooling'));
    });

    it('A ends its pool, a request of its own comes in between: nothing is left', async () => {
      const [na, nb, a] = await two();
      await nb.releasePool();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      a.link.beforeNext(() => na.endpoint({ ip: '10.66.0.10', name: 'late' }));
      await na.releasePool();
      await scene.all();
    });
  });

  describe('resting, in the global space', () => {
    const GLOBAL = { space: 'global' };
    const at = (lastOctet: number) => `claims/global/v4/010.066.000.000-24/010.066.000.00${lastOctet}`;
    /** A network of the swarm, made by a, whose task at .2 has ended. */
    const led = async () => {
      scene.world.restMs = LONG;
      const a = await scene.world.host('a');
      const net = await a.network(S, GLOBAL);
      await net.gateway();
      await net.task();
      await net.release('10.66.0.2');
      return net;
    };
    const claims = async () => (await scene.world.records()).filter((line) => line.startsWith('claims/'));

    it('the next leader has it by number, and any other address first', async () => {
      await led();
      expect(await claims()).to.deep.equal([`${at(1)} shared`, `${at(2)} cooling`]);
      const net = await (await scene.world.host('b')).network(S, GLOBAL);
      await net.gateway('10.66.0.1');
      expect((await net.task()).ip).to.equal('10.66.0.3');
      expect((await net.task('10.66.0.2')).ip).to.equal('10.66.0.2');
      expect(await claims()).to.deep.equal([
        `${at(1)} shared`,
        ...[2, 3].map((octet) => `${at(octet)} swarm join=J2 epoch=2`),
      ]);
    });

    it('a full pool gives it without waiting for 30 rounds', async () => {
      scene.world.restMs = LONG;
      const net = await (await scene.world.host('a')).network('10.66.0.0/30', GLOBAL);
      await net.gateway();
      await net.task();
      await net.release('10.66.0.2');
      expect((await net.task()).ip).to.equal('10.66.0.2');
      expect(await refusal(net.task())).to.match(/^pool_exhausted: /);
    });

    it('is no claim of a former epoch: the network’s removal by a leader that gave nothing leaves nothing', async () => {
      await led();
      const net = await (await scene.world.host('b')).network(S, GLOBAL);
      await net.gateway('10.66.0.1');
      await net.release('10.66.0.1');
      await net.releasePool();
      await scene.all();
    });

    it('a node whose network is the swarm’s takes over what rests there, as the swarm’s', async () => {
      await led();
      const net = await (await scene.world.host('b')).network(S, { managed: true });
      await net.unsure('10.66.0.9');
      await net.release('10.66.0.9');
      await net.unsure('10.66.0.9');
      expect((await claims()).at(-1)).to.equal(claim(9, 'swarm b boot-1 join=J2'));
    });
  });
}
