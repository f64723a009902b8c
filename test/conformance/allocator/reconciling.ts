// Reconciliation against all that can go on beside it: whatever a look was decided on is compared when it is acted on.
import { expect } from 'chai';
import type { Reconciler } from '../../../src/ipam/reconciler.js';
import { parseAddress } from '../../../src/net/address.js';
import { type Host, type Net, refusal, soon } from '../../support/allocator-fixture.js';
import { beside, foreign, network, SpokenEngine, shown } from '../../support/engine-shown.js';
import { claim, holder, joined, LED, OPEN, POOL, S, type Scene } from './scene.js';

const GRACE = 600_000;

export function reconciling(scene: Scene): void {
  describe('reconciling', () => {
    let a: Host;
    let net: Net;
    let engine: SpokenEngine;
    let reconciler: Reconciler;
    let told: string[];

    beforeEach(async () => {
      a = await scene.world.host('a');
      net = await a.network(S);
      engine = new SpokenEngine();
      engine.view = shown(network(S));
      told = [];
      reconciler = reconcilerOf(a);
    });

    function reconcilerOf(host: Host, oneOfSeveral = false): Reconciler {
      return host.allocator.reconciler({
        engine,
        oneOfSeveral,
        graceMs: GRACE,
        tell: (what) => {
          if (what.outcome === 'doubtful') told.push(what.text);
          else told.push(`${what.outcome} ${what.outcome === 'left' ? what.join : what.address}`);
        },
      });
    }

    /** Two looks, all claims being older than the grace at the second. */
    async function lookPastGrace(): Promise<void> {
      await reconciler.look();
      skip(GRACE + 1_000);
      await reconciler.look();
    }

    function skip(ms: number): void {
      scene.world.skippedMs += ms;
      scene.world.skippedWallMs += ms;
    }

    it('ends a claim without a container at the second look past the grace, and gives the address again', async () => {
      const limited = await a.network(S, { range: '10.66.0.8/32' });
      await limited.endpoint({ name: 'gone' });
      await lookPastGrace();
      expect(told).to.deep.equal(['ended 10.66.0.8']);
      await scene.all(OPEN, joined('J1'), joined('J2', 'a boot-1 range=10.66.0.8/32'));
      expect((await limited.endpoint({ name: 'next' })).ip).to.equal('10.66.0.8');
    });

    it('goes past keys that are none of ours, whatever they say', async () => {
      await net.endpoint({ ip: '10.66.0.9', name: 'gone' });
      const kept = { kind: 'endpoint', node: 'a', join: net.ref.join, since: 'then', token: 't' };
      await scene.world.plant('joins/local/note', 'no record');
      await scene.world.plant('joins/local/v4/010.066.000.000-24/x/y', { node: 'a', since: 'then', token: 't' });
      await scene.world.plant('claims/local/v4/010.066.000.000-24/010.066.000.009x', kept);
      await lookPastGrace();
      expect(told).to.deep.equal(['ended 10.66.0.9']);
    });

    it('ends nothing of a subnet with a join that cannot be read, which may be its own, says so once, and goes on elsewhere', async () => {
      const other = await a.network('10.67.0.0/24');
      engine.view = shown(network(S), network('10.67.0.0/24'));
      await net.endpoint({ ip: '10.66.0.9', name: 'gone' });
      await other.endpoint({ ip: '10.67.0.9', name: 'gone, too' });
      await scene.world.plant('joins/local/v4/010.067.000.000-24/00000000000000ff', { node: 7 });
      await lookPastGrace();
      await reconciler.look();
      expect(told).to.deep.equal([
        'ended 10.66.0.9',
        'the record joins/local/v4/010.067.000.000-24/00000000000000ff cannot be understood: nothing that this node has on 10.67.0.0/24 (space local) is ended before that is put right',
      ]);
      expect(await scene.world.records()).to.include(
        'claims/local/v4/010.067.000.000-24/010.067.000.009 endpoint a boot-1 join=J2 name=gone, too',
      );
    });

    it('puts right what else is due where a pool cannot be read, and fails with that', async () => {
      const other = await a.network('10.67.0.0/24');
      engine.view = shown(network(S, { containers: { web: '10.66.0.9' } }), network('10.67.0.0/24'));
      await other.endpoint({ ip: '10.67.0.9', name: 'gone' });
      await reconciler.look();
      await scene.world.plant(POOL, { state: 'no state' });
      skip(GRACE + 1_000);
      const text = await reconciler.look().then(String, ({ message }: Error) => message);
      expect(text).to.match(/^the record \S*pools\/local\/v4\/010\.066\.000\.000-24 cannot be understood/);
      expect(told).to.deep.equal(['ended 10.67.0.9']);
    });

    it('#14: follows a container that is renamed: another one with its former name is refused its address', async () => {
      await net.endpoint({ ip: '10.66.0.9', name: 'web', mac: '02:42:00:00:00:09' });
      engine.view = shown(network(S, { containers: { old: '10.66.0.9' } }));
      await reconciler.look();
      expect(told).to.deep.equal(['recognised 10.66.0.9']);
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=old mac=02:42:00:00:00:09'));
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(
        /^taken: address 10\.66\.0\.9 is held by old on a since /,
      );
      // An engine that was killed asks again under the name of today.
      await net.endpoint({ ip: '10.66.0.9', name: 'old' });
      expect(await net.release('10.66.0.9')).to.equal('released');
      await scene.all(OPEN, joined('J1'));
    });

    describe('a container that the engine shows', () => {
      const mac = '02:42:00:00:00:09';
      const TAKEN = /^taken: address 10\.66\.0\.9 is held by web on a since /;

      beforeEach(async () => {
        await net.endpoint({ ip: '10.66.0.9', name: 'web', mac });
        engine.view = shown(network(S, { containers: { web: '10.66.0.9' } }));
      });

      it('keeps its address: another one with its MAC is refused it, and given it once it is released', async () => {
        await reconciler.look();
        expect(await refusal(net.endpoint({ ip: '10.66.0.9', mac }))).to.match(TAKEN);
        expect(await net.release('10.66.0.9')).to.equal('released');
        await net.endpoint({ ip: '10.66.0.9', mac });
        // What was shown was the claim of before.
        await net.endpoint({ ip: '10.66.0.9', mac });
      });

      it('keeps what is reserved for its name', async () => {
        await (await scene.world.operator(S)).reserve('10.66.0.9', 'web', true);
        await reconciler.look();
        expect(await refusal(net.endpoint({ name: 'web' }))).to.match(TAKEN);
      });

      it('is given its address again by an engine that begins anew', async () => {
        await reconciler.look();
        a.allocator.beginTerm();
        await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      });

      it('is given its address again by an engine that begins anew while a look is under way', async () => {
        engine.meanwhile = async () => a.allocator.beginTerm();
        await reconciler.look();
        await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      });

      it('is shown no more once etcd was set back, where its claim may be another’s', async () => {
        await reconciler.look();
        a.allocator.beginAnew();
        await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      });

      it('is shown no more once a look has failed', async () => {
        await reconciler.look();
        engine.view = undefined;
        await reconciler.look().catch(() => undefined);
        await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      });
    });

    it('ends one of an earlier boot, whose containers are gone with it', async () => {
      await net.endpoint({ ip: '10.66.0.9', name: 'gone' });
      reconciler = reconcilerOf(await scene.rebooted(a));
      await lookPastGrace();
      expect(told).to.deep.equal(['ended 10.66.0.9']);
      await scene.all(OPEN, joined('J1'));
    });

    it('writes one of an earlier boot anew whose container lives, as where etcd was set back: nobody else is given it', async () => {
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const again = await scene.rebooted(a);
      engine.view = shown(network(S, { containers: { web: '10.66.0.9' } }));
      await reconcilerOf(again).look();
      expect(told).to.deep.equal(['recognised 10.66.0.9']);
      const other = await (await scene.world.host('b')).network(S, { range: '10.66.0.9/32' });
      expect(await refusal(other.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1 range=10.66.0.9/32'), [
        claim(9, 'endpoint a boot-2 join=J1 name=web mac=02:42:00:00:00:09'),
      ]);
    });

    it('ends one that an undo put back after this node, gone meanwhile, was back and had released the address', async () => {
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await a.loseSession();
      const b = await scene.world.host('b');
      await scene.world.silence(b, 4);
      const granted = await (await b.network(S)).endpoint({ ip: '10.66.0.9', name: 'db' });
      const back = await scene.world.host('a');
      expect(await back.allocator.releaseAddress(net.ref, parseAddress('10.66.0.9'), soon())).to.equal(
        'nothing to release',
      );
      await granted.undo(soon());
      const joins = [OPEN, joined('J1'), joined('J2', 'b boot-1')].flat();
      await scene.all(joins, claim(9, 'endpoint a boot-1 join=J1 name=web'));
      reconciler = reconcilerOf(back);
      await lookPastGrace();
      expect(told).to.deep.equal(['ended 10.66.0.9']);
      await scene.all(joins);
    });

    it('ends no claim of another node, no gateway, no auxiliary or reserved address, nothing of a swarm’s leader', async () => {
      const b = await scene.world.host('b');
      await (await b.network(S)).endpoint({ ip: '10.66.0.20', name: 'theirs' });
      await net.gateway('10.66.0.1');
      await net.aux('10.66.0.2');
      await scene.world.plant('claims/local/v4/010.066.000.000-24/010.066.000.003', {
        ...{ kind: 'reserved', node: 'a', since: '2020-01-01T00:00:00Z', token: 't' },
      });
      const led = await a.network('10.80.0.0/24', { space: 'global' });
      await led.gateway('10.80.0.1');
      await led.task('10.80.0.9');
      const before = await scene.world.records();
      engine.view = shown(network(S), network('10.80.0.0/24'));
      await lookPastGrace();
      expect(told).to.deep.equal([]);
      expect(await scene.world.records()).to.deep.equal(before);
    });

    it('ends nothing of a subnet that the engine does not show, and says so once', async () => {
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      engine.view = shown(network('10.67.0.0/24'), network(S, { space: 'local.blue' }));
      await lookPastGrace();
      await reconciler.look();
      expect(told).to.deep.equal([
        "the engine shows no network of this driver on 10.66.0.0/24 (space local), where this node has 1 of the pool's joins and 1 addresses: nothing of it was ended",
      ]);
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('ends nothing of a subnet on which another IPAM driver has a network, which may be this one, and says so once', async () => {
      const task = await a.network(S, { managed: true });
      await task.endpoint({ ip: '10.66.0.8', name: 'task.1' });
      await net.endpoint({ ip: '10.66.0.9', name: 'gone' });
      const before = await scene.world.records();
      engine.view = beside(shown(network(S)), foreign(S));
      await lookPastGrace();
      engine.view = beside(shown(), foreign(S, 'renamed'));
      await lookPastGrace();
      expect(told).to.deep.equal([
        'network lan of the engine is on 10.66.0.0/24 with the IPAM driver lan-ipam:latest: nothing that this node has there (space local) is ended; if that is this driver, networks have to call it by the file name of IPAM_SOCKET (a managed plugin: etcd-ipam)',
      ]);
      expect(await scene.world.records()).to.deep.equal(before);
    });

    it('the look sees no container, the same node asks again, the look acts: the new claim stays', async () => {
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await reconciler.look();
      skip(GRACE + 1_000);
      a.link.beforeNext(async () => {
        // Another process of the node, since this one's requests for the address wait for the look.
        const again = await scene.world.host('a');
        await again.allocator.releaseAddress(net.ref, parseAddress('10.66.0.9'), soon());
        const its = await again.network(S);
        await its.endpoint({ ip: '10.66.0.9', name: 'new' });
      });
      await reconciler.look();
      expect(told).to.deep.equal([]);
      await scene.all(OPEN, joined('J1'), joined('J2'), claim(9, 'endpoint a boot-1 join=J2 name=new'));
    });

    it('a container that is started while the engine is asked, after the records were read, keeps its claim', async () => {
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await reconciler.look();
      skip(GRACE + 1_000);
      engine.meanwhile = () => net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await reconciler.look();
      expect(told).to.deep.equal([]);
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('a process that has lost its session ends nothing: another machine may have the name', async () => {
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await reconciler.look();
      skip(GRACE + 1_000);
      await a.loseSession();
      let failed: unknown;
      await reconciler.look().catch((error: unknown) => {
        failed = error;
      });
      expect(failed).to.be.instanceOf(Error);
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('an engine that does not answer ends nothing, and its silence is no look', async () => {
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const { view } = engine;
      await reconciler.look();
      skip(GRACE + 1_000);
      engine.view = undefined;
      for (let i = 0; i < 3; i++) expect(await reconciler.look().catch(String)).to.equal('Error: the engine is away');
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
      engine.view = view;
      await reconciler.look();
      await scene.all(OPEN, joined('J1'));
    });

    describe('an unsure claim', () => {
      beforeEach(() => net.unsure('10.66.0.9'));

      it('that a network lists as auxiliary is shared at once, and a second node joins in', async () => {
        engine.view = shown(network(S, { aux: ['10.66.0.9'] }));
        await reconciler.look();
        expect(told).to.deep.equal(['shared 10.66.0.9']);
        await scene.all(OPEN, joined('J1'), claim(9, 'shared'), holder(9, 'J1', 'aux a boot-1'));
        const b = await scene.world.host('b');
        const other = await b.network(S);
        await other.unsure('10.66.0.9');
        await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(9, 'shared'), [
          holder(9, 'J1', 'aux a boot-1'),
          holder(9, 'J2', 'aux b boot-1'),
        ]);
        expect(await net.releasePool()).to.equal('released');
        expect(await other.releasePool()).to.equal('released');
        await scene.all();
      });

      it('that a container has is the container’s from then on, with its name and MAC', async () => {
        engine.view = shown(network(S, { containers: { web: '10.66.0.9' } }));
        await reconciler.look();
        expect(told).to.deep.equal(['recognised 10.66.0.9']);
        const line = claim(9, 'endpoint a boot-1 join=J1 name=web mac=02:42:00:00:00:09');
        await scene.all(OPEN, joined('J1'), line);
        expect(await net.release('10.66.0.9')).to.equal('released');
        await scene.all(OPEN, joined('J1'));
      });

      it('of an address that a node had which is gone still says so when it is a container’s', async () => {
        const b = await scene.world.host('b');
        await (await b.network(S)).endpoint({ ip: '10.66.0.8', name: 'lost' });
        await b.loseSession();
        await scene.world.silence(a, 4);
        expect((await net.unsure('10.66.0.8')).from).to.equal('b');
        engine.view = shown(network(S, { aux: ['10.66.0.9'], containers: { web: '10.66.0.8' } }));
        await reconciler.look();
        expect(told.sort()).to.deep.equal(['recognised 10.66.0.8', 'shared 10.66.0.9']);
        await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), [
          claim(8, 'endpoint a boot-1 join=J1 name=web mac=02:42:00:00:00:08 from=b'),
          claim(9, 'shared'),
          holder(9, 'J1', 'aux a boot-1'),
        ]);
      });

      it('that is neither ends like any other', async () => {
        await lookPastGrace();
        expect(told).to.deep.equal(['ended 10.66.0.9']);
        await scene.all(OPEN, joined('J1'));
      });

      it('that is released while it is being shared stays released, and its pool goes with its join', async () => {
        engine.view = shown(network(S, { aux: ['10.66.0.9'] }));
        engine.meanwhile = () => net.releasePool();
        await reconciler.look();
        expect(told).to.deep.equal([]);
        await scene.all();
      });

      it('whose join ends just before it is shared is not written any more: what the join held is being removed', async () => {
        await a.network(S);
        engine.view = shown(network(S, { aux: ['10.66.0.9'] }));
        a.link.beforeNext(() => scene.world.plant(`joins/local/v4/010.066.000.000-24/${net.ref.join}`, undefined));
        await reconciler.look();
        expect(told).to.deep.equal([]);
        await scene.all(OPEN, joined('J2'), claim(9, 'unsure a boot-1 join=J1'));
      });
    });

    describe('a container without a claim', () => {
      beforeEach(() => {
        engine.view = shown(network(S, { containers: { web: '10.66.0.9' } }));
      });

      it('gets it at the second look, and its release frees it', async () => {
        await reconciler.look();
        expect(told).to.deep.equal([]);
        await reconciler.look();
        expect(told).to.deep.equal(['claimed 10.66.0.9']);
        await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web mac=02:42:00:00:00:09'));
        expect(await net.release('10.66.0.9')).to.equal('released');
        await scene.all(OPEN, joined('J1'));
      });

      it('on a swarm’s own network is claimed so that the next worker can take it over', async () => {
        engine.view = shown(network(S, { managed: true, containers: { web: '10.66.0.9' } }));
        await reconciler.look();
        await reconciler.look();
        await scene.all(OPEN, joined('J1'), claim(9, 'swarm a boot-1 join=J1 name=web mac=02:42:00:00:00:09'));
      });

      it('by the newest of its node’s several joins, since an older one may be what a lost release left', async () => {
        await a.network(S);
        await (await scene.world.host('b')).network(S);
        await reconciler.look();
        await reconciler.look();
        await scene.all(OPEN, joined('J1'), joined('J2'), joined('J3', 'b boot-1'), [
          claim(9, 'endpoint a boot-1 join=J2 guessed=true name=web mac=02:42:00:00:00:09'),
        ]);
      });

      it('keeps it when the network goes whose join was taken for its own: another of the node’s joins has it then', async () => {
        const [newest, other] = [await a.network(S), await (await scene.world.host('b')).network(S)];
        await reconciler.look();
        await reconciler.look();
        expect(await newest.releasePool()).to.equal('released');
        await scene.all(OPEN, joined('J1'), joined('J3', 'b boot-1'), [
          claim(9, 'endpoint a boot-1 join=J1 guessed=true name=web mac=02:42:00:00:00:09'),
        ]);
        expect(await refusal(other.endpoint({ ip: '10.66.0.9' }))).to.match(/is held by web on a/);
        expect(await net.release('10.66.0.9')).to.equal('released');
        await scene.all(OPEN, joined('J1'), joined('J3', 'b boot-1'));
      });

      it('whose guessed join is the last of its node loses it with that', async () => {
        const newest = await a.network(S);
        const other = await (await scene.world.host('b')).network(S);
        await reconciler.look();
        await reconciler.look();
        for (const one of [net, newest]) expect(await one.releasePool()).to.equal('released');
        await scene.all(OPEN, joined('J3', 'b boot-1'));
        expect(await other.releasePool()).to.equal('released');
      });

      it('whose address another node claims just before: it is theirs, and that is said', async () => {
        const b = await scene.world.host('b');
        const other = await b.network(S);
        await reconciler.look();
        a.link.beforeNext(() => other.endpoint({ ip: '10.66.0.9', name: 'db' }));
        await reconciler.look();
        expect(told).to.deep.equal([]);
        await reconciler.look();
        await reconciler.look();
        await reconciler.look();
        expect(told.map((text) => text.replace(/since .*/, 'since …'))).to.deep.equal([
          'container web of network net uses 10.66.0.9, which is held by db on b since …',
        ]);
        await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(9, 'endpoint b boot-1 join=J2 name=db'));
      });

      it('on a network that this node has no part in is spoken of once, and nothing is made', async () => {
        engine.view = shown(network('10.67.0.0/24', { name: 'lost', containers: { web: '10.67.0.9' } }), network(S));
        for (let i = 0; i < 4; i++) await reconciler.look();
        expect(told).to.deep.equal([
          'network lost of the engine has containers on 10.67.0.0/24 (space local), and this node has no part in that pool: re-create the network',
        ]);
        await scene.all(OPEN, joined('J1'));
      });
    });

    describe('a part that a network of the swarm’s agent had, whose engine was killed', () => {
      let lost: Net;

      beforeEach(async () => {
        await net.releasePool();
        lost = await a.network(S, { managed: true });
        await lost.gateway('10.66.0.1');
        await lost.endpoint({ ip: '10.66.0.8', name: 'task.1' });
      });

      it('ends with all it held once the network made again has a container, and what that has stays', async () => {
        const again = await a.network(S, { managed: true });
        await again.gateway('10.66.0.1');
        await again.endpoint({ ip: '10.66.0.9', name: 'task.2' });
        engine.view = shown(network(S, { containers: { 'task.2': '10.66.0.9' } }));
        await lookPastGrace();
        expect(told.sort()).to.deep.equal(['ended 10.66.0.8', `left ${lost.ref.join}`]);
        await scene.all(LED, joined('J3', 'a boot-1 managed=true'), claim(1, 'shared'), [
          holder(1, 'J3', 'gateway a boot-1'),
          claim(9, 'endpoint a boot-1 join=J3 name=task.2'),
        ]);
      });

      it('ends at the second look past the grace where the engine shows no network, and its pool with it', async () => {
        engine.view = shown();
        await reconciler.look();
        await reconciler.look();
        expect(told).to.deep.equal([]);
        skip(GRACE + 1_000);
        await reconciler.look();
        expect(told).to.deep.equal([`left ${lost.ref.join}`]);
        await scene.all();
      });

      it('that turns out to be the network’s in the grace stays', async () => {
        engine.view = shown();
        await reconciler.look();
        engine.view = shown(network(S, { containers: { 'task.1': '10.66.0.8' } }));
        await lookPastGrace();
        expect(told).to.deep.equal([]);
        engine.view = shown();
        await reconciler.look();
        await reconciler.look();
        expect(told).to.deep.equal([]);
      });

      it('ends nobody’s by a process that has lost its session: another machine may have the name', async () => {
        engine.view = shown();
        await reconciler.look();
        skip(GRACE + 1_000);
        const before = await scene.world.records();
        await a.loseSession();
        expect(await reconciler.look().catch((error: unknown) => error)).to.be.instanceOf(Error);
        expect(await scene.world.records()).to.deep.equal(before);
      });
    });

    describe('with an engine that may be one of several which call the driver', () => {
      beforeEach(() => {
        reconciler = reconcilerOf(a, true);
      });

      it('ends no claim and no join, and says once of each what would have ended, past the grace', async () => {
        const task = await a.network(S, { managed: true });
        await task.endpoint({ ip: '10.66.0.8', name: 'task.1' });
        await net.endpoint({ ip: '10.66.0.9', name: 'web' });
        engine.view = shown(network(S, { containers: { web: '10.66.0.9' } }));
        const before = await scene.world.records();
        await reconciler.look();
        await reconciler.look();
        expect(told).to.deep.equal([]);
        skip(GRACE + 1_000);
        expect((await reconciler.look()).findings).to.include({ stale: 0, lost: 0, doubtful: 2 });
        await reconciler.look();
        const why = 'not ended, as with IPAM_LISTEN it may be of another engine';
        expect(told.map((text) => text.replace(/since [^ ,]*/, 'since …'))).to.deep.equal([
          `10.66.0.8 of 10.66.0.0/24 (space local) is held by task.1 on a since …, and no container that the engine shows has it: ${why}`,
          `this node has a part in 10.66.0.0/24 (space local) since … for a network of its swarm's, which the engine does not show: ${why}`,
        ]);
        expect(await scene.world.records()).to.deep.equal(before);
      });

      it('says it anew of a claim that was written anew', async () => {
        await net.endpoint({ ip: '10.66.0.9', name: 'web' });
        await lookPastGrace();
        await net.endpoint({ ip: '10.66.0.9', name: 'web' });
        await lookPastGrace();
        expect(told).to.have.length(2);
      });

      it('claims what is missing and settles what is unsure all the same', async () => {
        for (const ip of ['10.66.0.7', '10.66.0.8']) await net.unsure(ip);
        engine.view = shown(network(S, { aux: ['10.66.0.7'], containers: { db: '10.66.0.8', web: '10.66.0.9' } }));
        await reconciler.look();
        await reconciler.look();
        expect(told.sort()).to.deep.equal(['claimed 10.66.0.9', 'recognised 10.66.0.8', 'shared 10.66.0.7']);
      });

      it('has not seen all that lives, and so does not speak for its host to a restored etcd', async () => {
        expect((await reconcilerOf(a).look()).settled).to.equal(true);
        expect((await reconciler.look()).settled).to.equal(false);
      });
    });

    it('reads 2,300 claims of others page by page and ends its own among them', async () => {
      const wide = '10.70.0.0/16';
      const big = await a.network(wide);
      await net.releasePool();
      for (let i = 0; i < 2_300; i += 1) {
        const [third, fourth] = [String(i >> 8).padStart(3, '0'), String(i & 255).padStart(3, '0')];
        await scene.world.plant(`claims/local/v4/010.070.000.000-16/010.070.${third}.${fourth}`, {
          ...{ kind: 'endpoint', node: 'b', boot: 'x', join: 'y', since: '2020-01-01T00:00:00Z', token: 't' },
        });
      }
      await big.endpoint({ ip: '10.70.200.1', name: 'gone' });
      engine.view = shown(network(wide));
      expect((await reconciler.look()).claims).to.equal(2_301);
      skip(GRACE + 1_000);
      await reconciler.look();
      expect(told).to.deep.equal(['ended 10.70.200.1']);
      expect((await scene.world.records()).filter((line) => line.startsWith('claims/'))).to.have.length(2_300);
    }).timeout(60_000);
  });
}
