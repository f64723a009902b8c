// The global space: leaders and their epochs, and the nodes that act on their word. Numbers are those of the
// counterexamples.
import { expect } from 'chai';
import { type Host, type Net, refusal, soon } from '../../support/allocator-fixture.js';
import type { Scene } from './scene.js';

const S = '10.80.0.0/24';
const AT = 'v4/010.080.000.000-24';
const wide = (last: number) => `010.080.000.${String(last).padStart(3, '0')}`;
const joined = (join: string, rest: string) => `joins/global/${AT}/${join} ${rest}`;
const claim = (last: number, rest: string) => `claims/global/${AT}/${wide(last)} ${rest}`;
const holder = (last: number, join: string, rest: string) => `holders/global/${AT}/${wide(last)}/${join} ${rest}`;
const pool = (rest: string) => [`pools/global/${AT} open ${rest}`, 'spaces/local'];
const global = { space: 'global' };
const TAKEN_OVER = (epoch: number) =>
  `superseded: another leader of the swarm has taken over pool 10.80.0.0/24 (epoch ${epoch}); what an earlier one asks for is refused`;
const IN_USE =
  'overlap: pool 10.80.0.0/24 is in use by another network of the swarm, and two overlay networks cannot share it; ' +
  'if there is no such network any more, name its gateway with --gateway to take the subnet over';

export function swarm(scene: Scene): void {
  const leading = async (node = 'a') => {
    const host = await scene.world.host(node);
    const net = await host.network(S, global);
    return { host, net };
  };
  /** The network made by a, with one task at .2. */
  const withTask = async () => {
    const { host, net } = await leading();
    await net.gateway();
    expect((await net.task()).ip).to.equal('10.80.0.2');
    return { host, net };
  };
  /** As a new leader does: pool, gateway, then what it knows. */
  const follow = async (host: Host): Promise<Net> => {
    host.allocator.beginTerm();
    const net = await host.network(S, global);
    await net.gateway('10.80.0.1');
    return net;
  };
  const served = (epoch: number, join: string) => pool(`gateway=10.80.0.1 epoch=${epoch} leader=${join} stage=served`);

  describe('the global space', () => {
    it('belongs to the swarm: what the first leader makes, gives and takes back leaves nothing', async () => {
      const { net } = await leading();
      await scene.all(pool('epoch=1 leader=J1 stage=new'), joined('J1', 'a boot-1 epoch=1'));
      expect((await net.gateway()).ip).to.equal('10.80.0.1');
      expect((await net.task()).ip).to.equal('10.80.0.2');
      expect((await net.task('10.80.0.9')).ip).to.equal('10.80.0.9');
      await scene.all(served(1, 'J1'), joined('J1', 'a boot-1 epoch=1'), [
        ...[claim(1, 'shared'), holder(1, 'J1', 'gateway epoch=1')],
        ...[claim(2, 'swarm join=J1 epoch=1'), claim(9, 'swarm join=J1 epoch=1')],
      ]);
      for (const ip of ['10.80.0.2', '10.80.0.9', '10.80.0.1']) expect(await net.release(ip)).to.equal('released');
      expect(await net.releasePool()).to.equal('released');
      await scene.all();
    });

    it('an address that a task has is refused to the same leader, and the gateway to everybody', async () => {
      const { net } = await withTask();
      expect(await refusal(net.task('10.80.0.2'))).to.match(
        /^taken: address 10\.80\.0\.2 is held by a task, service or/,
      );
      expect(await refusal(net.task('10.80.0.1'))).to.match(/^taken: address 10\.80\.0\.1 is the gateway/);
    });

    it('a new leader asks for pool, gateway and task again, each once; the old one is fenced', async () => {
      const { net: old } = await withTask();
      const net = await follow(await scene.world.host('b'));
      expect((await net.task('10.80.0.2')).ip).to.equal('10.80.0.2');
      const lines = [
        ...[served(2, 'J2'), joined('J2', 'b boot-1 epoch=2 replaces=J1')].flat(),
        ...[claim(1, 'shared'), holder(1, 'J2', 'gateway epoch=2'), claim(2, 'swarm join=J2 epoch=2')],
      ];
      await scene.all(lines);
      expect(await refusal(net.task('10.80.0.2'))).to.match(/^taken: /);
      expect(await refusal(old.task())).to.equal(TAKEN_OVER(2));
      expect(await refusal(old.task('10.80.0.7'))).to.equal(TAKEN_OVER(2));
      expect(await refusal(old.gateway())).to.equal(TAKEN_OVER(2));
      expect(await old.release('10.80.0.2')).to.equal('nothing to release');
      expect(await old.release('10.80.0.1')).to.equal('nothing to release');
      expect(await old.releasePool()).to.equal('nothing to release');
      await scene.all(lines);
    });

    it('#4: a release of the old leader that waited while the new one asked again frees nothing', async () => {
      const { host, net: old } = await withTask();
      const next = await scene.world.host('b');
      host.link.beforeNext(async () => {
        const net = await follow(next);
        await net.task('10.80.0.2');
      });
      expect(await old.release('10.80.0.2')).to.equal('nothing to release');
      expect((await scene.world.records()).filter((line) => line.startsWith('claims'))).to.deep.equal([
        claim(1, 'shared'),
        claim(2, 'swarm join=J2 epoch=2'),
      ]);
    });

    it('#3: a second network of the subnet is refused by the leader that has one, until that is released', async () => {
      const { host, net } = await withTask();
      expect(await refusal(host.network(S, global))).to.equal(IN_USE);
      await net.release('10.80.0.2');
      await net.release('10.80.0.1');
      await net.releasePool();
      const again = await host.network(S, global);
      expect((await again.gateway()).ip).to.equal('10.80.0.1');
    });

    it('N4: a second network that a restarted plugin lets pass is taken back at its gateway, and the first lives on', async () => {
      const { host, net } = await withTask();
      host.allocator.beginTerm();
      const second = await host.network(S, global);
      expect(await refusal(second.gateway())).to.equal(IN_USE);
      await scene.all(pool('gateway=10.80.0.1 epoch=2 leader=J1 stage=served'), joined('J1', 'a boot-1 epoch=1'), [
        ...[claim(1, 'shared'), holder(1, 'J1', 'gateway epoch=1'), claim(2, 'swarm join=J1 epoch=1')],
      ]);
      expect((await net.task()).ip).to.equal('10.80.0.3');
      expect(await net.release('10.80.0.2')).to.equal('released');
    });

    it('#5: a leader whose start fails after the pool or the gateway takes nothing from the tasks', async () => {
      await withTask();
      const b = await scene.world.host('b');
      const failing = await b.network(S, global);
      expect(await failing.releasePool()).to.equal('released');
      const other = await follow(b);
      expect(await other.releasePool()).to.equal('released');
      await scene.all(pool('gateway=10.80.0.1 epoch=3 leader=J1 stage=served'), joined('J1', 'a boot-1 epoch=1'), [
        ...[claim(1, 'shared'), holder(1, 'J1', 'gateway epoch=1'), claim(2, 'swarm join=J1 epoch=1')],
      ]);
      const net = await follow(b);
      expect((await net.task('10.80.0.2')).ip).to.equal('10.80.0.2');
      await scene.all(served(4, 'J4'), joined('J4', 'b boot-1 epoch=4 replaces=J1'), [
        ...[claim(1, 'shared'), holder(1, 'J4', 'gateway epoch=4'), claim(2, 'swarm join=J4 epoch=4')],
      ]);
    });

    it('a start that fails at the second of two subnets, whose engine then gives the first gateway back, takes nothing', async () => {
      await withTask();
      const net = await follow(await scene.world.host('b'));
      expect(await net.release('10.80.0.1')).to.equal('released');
      expect(await net.release('10.80.0.1')).to.equal('nothing to release');
      await net.releasePool();
      await scene.all(pool('gateway=10.80.0.1 epoch=2 leader=J1 stage=served'), joined('J1', 'a boot-1 epoch=1'), [
        ...[claim(1, 'shared'), holder(1, 'J1', 'gateway epoch=1'), claim(2, 'swarm join=J1 epoch=1')],
      ]);
    });

    it('`network rm` of a network that no task was ever in leaves nothing, after a leader change too', async () => {
      const { net: old } = await leading();
      await old.gateway();
      const net = await follow(await scene.world.host('b'));
      expect(await net.release('10.80.0.1')).to.equal('released');
      expect(await net.releasePool()).to.equal('released');
      await scene.all();
    });

    it('a leader that took a quiet network over rules on after a second network was refused it', async () => {
      await withTask();
      const b = await scene.world.host('b');
      const net = await follow(b);
      b.allocator.beginTerm();
      const second = await b.network(S, global);
      expect(await refusal(second.gateway())).to.equal(IN_USE);
      expect((await net.task('10.80.0.2')).ip).to.equal('10.80.0.2');
      await scene.all(served(3, 'J2'), joined('J2', 'b boot-1 epoch=2 replaces=J1'), [
        ...[claim(1, 'shared'), holder(1, 'J2', 'gateway epoch=2'), claim(2, 'swarm join=J2 epoch=2')],
      ]);
    });

    it('an epoch that has nothing to go back to removes nothing that a former one gave', async () => {
      await withTask();
      const b = await scene.world.host('b');
      const [second, third, fourth] = [await follow(b), await follow(b), await follow(b)];
      expect(await fourth.releasePool()).to.equal('released');
      expect(await third.releasePool()).to.equal('released');
      expect(await second.releasePool()).to.equal('nothing to release');
      expect((await scene.world.records()).filter((line) => line.startsWith('claims'))).to.deep.equal([
        claim(1, 'shared'),
        claim(2, 'swarm join=J1 epoch=1'),
      ]);
      const again = await follow(await scene.world.host('c'));
      expect((await again.task('10.80.0.2')).ip).to.equal('10.80.0.2');
    });

    it('an epoch that is gone back to before it has served still has what it goes back to itself', async () => {
      await withTask();
      const b = await scene.world.host('b');
      const net = await follow(b);
      b.allocator.beginTerm();
      await (await b.network(S, global)).releasePool();
      expect(await net.release('10.80.0.1')).to.equal('released');
      expect(await net.releasePool()).to.equal('released');
      await scene.all(pool('gateway=10.80.0.1 epoch=3 leader=J1 stage=served'), joined('J1', 'a boot-1 epoch=1'), [
        ...[claim(1, 'shared'), holder(1, 'J1', 'gateway epoch=1'), claim(2, 'swarm join=J1 epoch=1')],
      ]);
    });

    it('the end of a network waits for the gateway’s release that the store did not take', async () => {
      const { net: old } = await leading();
      await old.gateway();
      const b = await scene.world.host('b');
      const net = await follow(b);
      b.link.away = true;
      expect(await net.release('10.80.0.1', 100)).to.equal('queued');
      b.link.away = false;
      expect(await net.releasePool()).to.equal('queued');
      await b.settled();
      await scene.all();
    });

    it('a pool that was removed and made again meanwhile is another, though its epoch has the same number', async () => {
      const { net: first } = await leading();
      const [b, c] = [await scene.world.host('b'), await scene.world.host('c')];
      let looks = 0;
      b.link.beforeRead = async () => {
        if (++looks !== 2) return;
        await first.releasePool();
        await c.network(S, global);
      };
      expect(await refusal(b.network(S, global))).to.equal(TAKEN_OVER(1));
    });

    it('a network that is made again waits for what was released while the store was away', async () => {
      const { host, net } = await withTask();
      host.link.away = true;
      for (const ip of ['10.80.0.2', '10.80.0.1']) expect(await net.release(ip, 100)).to.equal('queued');
      expect(await net.releasePool(100)).to.equal('queued');
      host.link.away = false;
      const again = await host.network(S, global);
      expect((await again.gateway()).ip).to.equal('10.80.0.1');
      await scene.all(pool('gateway=10.80.0.1 epoch=1 leader=J2 stage=asked'), joined('J2', 'a boot-1 epoch=1'), [
        ...[claim(1, 'shared'), holder(1, 'J2', 'gateway epoch=1')],
      ]);
    });

    it('N2: after a leader change `network rm` leaves nothing, what the old leader alone knew included', async () => {
      const { net: old } = await withTask();
      await old.task();
      const net = await follow(await scene.world.host('b'));
      await net.task('10.80.0.2');
      await net.release('10.80.0.2');
      await net.release('10.80.0.1');
      expect(await net.releasePool()).to.equal('released');
      await scene.all();
    });

    it('N13: A asks for the pool, B asks and is granted it, A commits: A is refused and does not try again', async () => {
      await withTask();
      const [b, c] = [await scene.world.host('b'), await scene.world.host('c')];
      // The first look is at the arrival, the second belongs to the attempt.
      let looks = 0;
      b.link.beforeRead = async () => void (++looks === 2 && (await follow(c)));
      expect(await refusal(b.network(S, global))).to.equal(TAKEN_OVER(2));
    });

    it('N13: A asks for the pool and waits for its own release, B asks and is granted it: A is refused', async () => {
      const { host, net } = await withTask();
      const held = scene.world.holdRetries();
      host.link.away = true;
      expect(await net.release('10.80.0.2', 50)).to.equal('queued');
      await held.asleep(1);
      host.link.away = false;
      host.allocator.beginTerm();
      const asked = host.network(S, global);
      await held.asleep(2);
      const next = await follow(await scene.world.host('b'));
      held.end();
      expect(await refusal(asked)).to.equal(TAKEN_OVER(2));
      expect((await next.task()).ip).to.equal('10.80.0.3');
    });

    it('an undelivered re-claim gives the address back to the epoch that had it', async () => {
      await withTask();
      const net = await follow(await scene.world.host('b'));
      const again = await net.task('10.80.0.2');
      await again.undo(performance.now() + 5_000);
      await scene.all(served(2, 'J2'), joined('J2', 'b boot-1 epoch=2 replaces=J1'), [
        ...[claim(1, 'shared'), holder(1, 'J2', 'gateway epoch=2'), claim(2, 'swarm join=J1 epoch=1')],
      ]);
      expect((await net.task('10.80.0.2')).ip).to.equal('10.80.0.2');
    });

    it('two undelivered re-claims, undone in the order of the calls, leave the task what it had', async () => {
      await withTask();
      const b = await scene.world.host('b');
      const first = await (await follow(b)).task('10.80.0.2');
      const net = await follow(b);
      const second = await net.task('10.80.0.2');
      await first.undo(performance.now() + 5_000);
      await second.undo(performance.now() + 5_000);
      const claims = (await scene.world.records()).filter((line) => line.startsWith('claims'));
      expect(claims).to.deep.equal([claim(1, 'shared'), claim(2, 'swarm join=J1 epoch=1')]);
    });

    it('an undelivered gateway goes back to the epoch before, which the pool goes back to', async () => {
      await withTask();
      const b = await scene.world.host('b');
      const net = await b.network(S, global);
      const gateway = await net.gateway('10.80.0.1');
      await gateway.undo(performance.now() + 5_000);
      await net.releasePool();
      await scene.all(pool('gateway=10.80.0.1 epoch=2 leader=J1 stage=served'), joined('J1', 'a boot-1 epoch=1'), [
        ...[claim(1, 'shared'), holder(1, 'J1', 'gateway epoch=1'), claim(2, 'swarm join=J1 epoch=1')],
      ]);
    });

    it('a full pool gives what a former epoch had only after 30 rounds, and not while a node has it', async () => {
      const small = { ...global, range: '10.80.0.0/30' };
      const a = await scene.world.host('a');
      const old = await a.network(S, small);
      await old.gateway();
      await old.task();
      await old.task();
      const b = await scene.world.host('b');
      const net = await b.network(S, small);
      await net.gateway('10.80.0.1');
      const worker = await a.network(S, { managed: true });
      await worker.unsure('10.80.0.2');
      expect(await refusal(net.task())).to.match(/^pool_exhausted: /);
      scene.world.rounds += 29;
      scene.world.skippedMs += 10_000;
      expect(await refusal(net.task())).to.match(/^pool_exhausted: /);
      scene.world.rounds += 1;
      scene.world.skippedMs += 10_000;
      expect((await net.task()).ip).to.equal('10.80.0.3');
      scene.world.skippedMs += 10_000;
      expect(await refusal(net.task())).to.match(/^pool_exhausted: /);
      await worker.release('10.80.0.2');
      scene.world.skippedMs += 10_000;
      expect((await net.task()).ip).to.equal('10.80.0.2');
    });

    it('64 tasks low in a full pool that nodes have hide none of what a former epoch gave above them', async () => {
      const small = { ...global, range: '10.80.0.0/25' };
      const a = await scene.world.host('a');
      const old = await a.network(S, small);
      await old.gateway();
      const worker = await a.network(S, { managed: true });
      for (let at = 2; at < 128; at++) {
        const { ip } = await old.task();
        if (at < 66) await worker.unsure(ip);
      }
      const b = await scene.world.host('b');
      const net = await b.network(S, small);
      await net.gateway('10.80.0.1');
      expect(await refusal(net.task())).to.match(/^pool_exhausted: /);
      scene.world.rounds += 30;
      scene.world.skippedMs += 10_000;
      expect([(await net.task()).ip, (await net.task()).ip]).to.deep.equal(['10.80.0.66', '10.80.0.67']);
    });

    it('N16: an address of another pool of the leader is claimed there if a former epoch gave it, and released through either', async () => {
      const two = '10.81.0.0/24';
      const a = await scene.world.host('a');
      const [, old] = [await a.network(S, global), await a.network(two, global)];
      await old.gateway();
      await old.task();
      const b = await scene.world.host('b');
      const [first, second] = [await b.network(S, global), await b.network(two, global)];
      await first.gateway();
      await second.gateway('10.81.0.1');
      const again = await first.task('10.81.0.2');
      expect([again.ip, again.within?.length]).to.deep.equal(['10.81.0.2', 24]);
      const at = `claims/global/v4/010.081.000.000-24/010.081.000.002`;
      const now = async () => (await scene.world.records()).filter((line) => line.startsWith(at));
      expect(await now()).to.deep.equal([`${at} swarm join=J4 epoch=2 through=J3`]);
      expect(await refusal(first.task('10.81.0.2'))).to.equal('outside_pool: 10.81.0.2 is outside pool 10.80.0.0/24');
      expect(await refusal(first.task('10.81.0.3'))).to.equal('outside_pool: 10.81.0.3 is outside pool 10.80.0.0/24');
      expect(await first.release('10.81.0.3')).to.equal('nothing to release');
      expect(await first.release('10.81.0.2')).to.equal('released');
      expect(await now()).to.deep.equal([]);
    });

    it('swarms that share a prefix have scopes of their own, and no automatic pool in common', async () => {
      const predefined = '10.208.0.0/22/24';
      const [x, y] = [
        await scene.world.host('x', { predefined, swarm: 'x' }),
        await scene.world.host('y', { predefined, swarm: 'y' }),
      ];
      await x.network(S, { space: 'global@x' });
      await y.network(S, { space: 'global@y' });
      const cidr = (net: Net) => Number((net.ref.prefix.first >> 8n) & 3n);
      const drawn = [
        cidr(await x.anyNetwork(4, 24, 'global@x')),
        cidr(await y.anyNetwork(4, 24, 'global@y')),
        cidr(await x.anyNetwork(4, 24, 'local')),
        cidr(await y.anyNetwork(4, 24, 'global')),
      ];
      expect(drawn).to.deep.equal([0, 1, 2, 3]);
      expect(await refusal(x.anyNetwork(4, 24, 'global@x'))).to.match(/^no_pool_left: /);
      // A space with a name is a world of its own.
      expect(cidr(await x.anyNetwork(4, 24, 'global.blue@x'))).to.equal(0);
    });
  });

  describe('nodes of a swarm', () => {
    const L = `claims/local/${AT}`;
    const local = async () => (await scene.world.records()).filter((line) => line.startsWith('claims/local'));

    it('share the gateway, and have what the leader gave each task, twice recorded and never refused', async () => {
      const { net } = await withTask();
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S, { managed: true }), await b.network(S, { managed: true })];
      await na.gateway('10.80.0.1');
      await nb.gateway('10.80.0.1');
      await na.unsure('10.80.0.2');
      expect(await local()).to.deep.equal([`${L}/${wide(1)} shared`, `${L}/${wide(2)} swarm a boot-1 join=J2`]);
      // The task has ended and another one on b was given its address, before a has released it.
      await net.release('10.80.0.2');
      await net.task('10.80.0.2');
      await nb.unsure('10.80.0.2');
      expect(await na.release('10.80.0.2')).to.equal('nothing to release');
      expect(await local()).to.deep.equal([`${L}/${wide(1)} shared`, `${L}/${wide(2)} swarm b boot-1 join=J3`]);
      expect(await nb.release('10.80.0.2')).to.equal('released');
    });

    it('#19: --ipam-opt space=blue names a space of the leader and one of the nodes, and a task has its address in both', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [led, plain] = [await a.network(S, { space: 'global.blue' }), await a.network(S, global)];
      for (const net of [led, plain]) await net.gateway('10.80.0.1');
      expect((await led.task()).ip).to.equal('10.80.0.2');
      const blue = { space: 'local.blue', managed: true };
      const [na, nb] = [await a.network(S, blue), await b.network(S, blue)];
      await na.unsure('10.80.0.2');
      await nb.unsure('10.80.0.2');
      // In the spaces without a name that address is nobody's.
      await (await b.network(S)).endpoint({ ip: '10.80.0.2', name: 'web' });
      const claims = (await scene.world.records()).filter((line) => /^claims\/.*\.002 /.test(line));
      expect(claims).to.deep.equal([
        `claims/global.blue/${AT}/${wide(2)} swarm join=J1 epoch=1`,
        `claims/local.blue/${AT}/${wide(2)} swarm b boot-1 join=J4`,
        `claims/local/${AT}/${wide(2)} endpoint b boot-1 join=J5 name=web`,
      ]);
      expect(await plain.task('10.80.0.2').then(({ ip }) => ip)).to.equal('10.80.0.2');
      expect(await na.release('10.80.0.2')).to.equal('nothing to release');
      expect(await nb.release('10.80.0.2')).to.equal('released');
    });

    it('N6: a join after an engine’s crash has the address of the one before it', async () => {
      await withTask();
      const b = await scene.world.host('b');
      await (await b.network(S, { managed: true })).unsure('10.80.0.2');
      await (await b.network(S, { managed: true })).unsure('10.80.0.2');
      expect(await local()).to.deep.equal([`${L}/${wide(2)} swarm b boot-1 join=J3`]);
    });

    it('N5: an engine’s own network neither gives a container a task’s address nor loses a container’s to a task', async () => {
      const { net } = await withTask();
      const b = await scene.world.host('b');
      const [bridge, overlay] = [await b.network(S), await b.network(S, { managed: true })];
      await overlay.unsure('10.80.0.2');
      expect(await refusal(bridge.unsure('10.80.0.2'))).to.match(
        /^taken: address 10\.80\.0\.2 is held by a task of the swarm on b since /,
      );
      await bridge.endpoint({ ip: '10.80.0.7', name: 'box' });
      await net.task('10.80.0.7');
      expect(await refusal(overlay.unsure('10.80.0.7'))).to.match(/^taken: address 10\.80\.0\.7 is held by box on b/);
      expect(await local()).to.deep.equal([
        `${L}/${wide(2)} swarm b boot-1 join=J3`,
        `${L}/${wide(7)} endpoint b boot-1 join=J2 name=box`,
      ]);
    });

    it('what the swarm’s leader has taken back meanwhile is recorded as the swarm’s, so that the next task is not refused it', async () => {
      const { net } = await withTask();
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S, { managed: true }), await b.network(S, { managed: true })];
      await net.release('10.80.0.2');
      await na.unsure('10.80.0.2');
      expect(await local()).to.deep.equal([`${L}/${wide(2)} swarm a boot-1 join=J2`]);
      expect(await refusal(nb.unsure('10.80.0.2'))).to.match(/^taken: /);
      await net.task('10.80.0.2');
      await nb.unsure('10.80.0.2');
      expect(await local()).to.deep.equal([`${L}/${wide(2)} swarm b boot-1 join=J3`]);
    });

    it('a had it, b has it, a gives it back, b’s is undone: it is a’s again, and so is in the way of no task', async () => {
      await withTask();
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S, { managed: true }), await b.network(S, { managed: true })];
      await na.unsure('10.80.0.2');
      const moved = await nb.unsure('10.80.0.2');
      expect(await na.release('10.80.0.2')).to.equal('nothing to release');
      await moved.undo(soon());
      expect(await local()).to.deep.equal([`${L}/${wide(2)} swarm a boot-1 join=J2`]);
      await nb.unsure('10.80.0.2');
      expect(await local()).to.deep.equal([`${L}/${wide(2)} swarm b boot-1 join=J3`]);
    });

    it('N12: what the leader of another swarm gave counts for nothing', async () => {
      const [x, y] = [await scene.world.host('x', { swarm: 'x' }), await scene.world.host('y', { swarm: 'y' })];
      const leader = await x.network(S, { space: 'global@x' });
      await leader.task('10.80.0.2');
      await (await x.network(S, { managed: true })).unsure('10.80.0.2');
      expect(await refusal((await y.network(S, { managed: true })).unsure('10.80.0.2'))).to.match(/^taken: /);
      expect(await local()).to.deep.equal([`${L}/${wide(2)} swarm x boot-1 join=J2`]);
    });

    it('the leader takes the address for another task while a node looks: the node looks again', async () => {
      const { net } = await withTask();
      const b = await scene.world.host('b');
      const nb = await b.network(S, { managed: true });
      b.link.beforeNext(async () => {
        await net.release('10.80.0.2');
        await net.task('10.80.0.2');
      });
      const { attempts } = await nb.unsure('10.80.0.2');
      expect(attempts).to.equal(2);
      expect(await local()).to.deep.equal([`${L}/${wide(2)} swarm b boot-1 join=J2`]);
    });
  });
}
