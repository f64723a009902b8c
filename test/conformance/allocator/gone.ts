// Nodes that are gone: what others may take from them, and what is still theirs when they come back. A node is gone after 4
// rounds of silence. Numbers are those of the counterexamples.
import { expect } from 'chai';
import { type Host, type Net, refusal, soon } from '../../support/allocator-fixture.js';
import { claim, holder, joined, LED, OPEN, POOL, S, type Scene } from './scene.js';

export function gone(scene: Scene): void {
  const RANGE = '10.66.0.8/31';

  /** Node b had .9 for its container web, and has been silent for so many rounds that a counted. */
  async function without(rounds = 4): Promise<{ a: Host; theirs: Net }> {
    const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
    const theirs = await b.network(S);
    await theirs.endpoint({ ip: '10.66.0.9', name: 'web' });
    await b.loseSession();
    await scene.world.silence(a, rounds);
    return { a, theirs };
  }
  const left = claim(9, 'endpoint b boot-1 join=J1 name=web');
  const taken = claim(9, 'endpoint a boot-1 join=J2 name=db from=b');

  describe('nodes that are gone', () => {
    it('N19: by number, its address is granted while the pool has room, and the grant says from whom it is', async () => {
      const { a } = await without();
      const net = await a.network(S);
      const granted = await net.endpoint({ ip: '10.66.0.9', name: 'db' });
      expect([granted.ip, granted.from, granted.attempts]).to.deep.equal(['10.66.0.9', 'b', 2]);
      await scene.all(OPEN, joined('J1', 'b boot-1'), joined('J2'), taken);
    });

    it('one that has been silent for 3 rounds of 4 has its address, and after the fourth no more', async () => {
      const { a } = await without(3);
      const net = await a.network(S, { range: '10.66.0.9/32' });
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.match(
        /^taken: .* held by web on b since /,
      );
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      await scene.world.silence(a);
      scene.world.skippedMs += 5_000;
      expect((await net.endpoint({ name: 'db' })).from).to.equal('b');
      await scene.all(OPEN, joined('J1', 'b boot-1'), joined('J2', 'a boot-1 range=10.66.0.9/32'), taken);
    });

    it('#8: dynamically, its address is last: only when the range of 2 has nothing else', async () => {
      const { a } = await without();
      const net = await a.network(S, { range: RANGE });
      const given = [await net.endpoint({ name: 'c1' }), await net.endpoint({ name: 'c2' })];
      expect(given.map(({ ip, from }) => [ip, from])).to.deep.equal([
        ['10.66.0.8', undefined],
        ['10.66.0.9', 'b'],
      ]);
      expect(await refusal(net.endpoint({ name: 'c3' }))).to.match(/^pool_exhausted: /);
      await scene.all(OPEN, joined('J1', 'b boot-1'), joined('J2', `a boot-1 range=${RANGE}`), [
        claim(8, 'endpoint a boot-1 join=J2 name=c1'),
        claim(9, 'endpoint a boot-1 join=J2 name=c2 from=b'),
      ]);
    });

    it('#8: a looks, b comes back, a claims .9 by number: b keeps it', async () => {
      const { a } = await without();
      const net = await a.network(S);
      a.link.beforeCommit = async ({ when }) => {
        if (!when.some((one) => 'none' in one)) return;
        a.link.beforeCommit = () => undefined;
        await scene.world.host('b');
      };
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.match(/^taken: /);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      await scene.all(OPEN, joined('J1', 'b boot-1'), joined('J2'), left);
    });

    it('#8: a looks, b has a session though its record is the same, a claims .9: b keeps it', async () => {
      const { a } = await without();
      const net = await a.network(S, { range: '10.66.0.9/32' });
      for (const ask of [{ ip: '10.66.0.9', name: 'db' }, { name: 'db' }]) {
        a.link.beforeCommit = async ({ when }) => {
          if (when.some((one) => 'none' in one)) await scene.world.plant('sessions/b/i99', { token: 't' });
        };
        expect(await refusal(net.endpoint(ask))).to.match(/^(taken|pool_exhausted): /);
        await scene.world.plant('sessions/b/i99', undefined);
      }
      await scene.all(OPEN, joined('J1', 'b boot-1'), joined('J2', 'a boot-1 range=10.66.0.9/32'), left);
    });

    it('a looks, another round is counted, a claims .9: it looks again and has it', async () => {
      const { a } = await without();
      const c = await scene.world.host('c');
      const net = await a.network(S);
      a.link.beforeCommit = async ({ when }) => {
        if (!when.some((one) => 'none' in one)) return;
        a.link.beforeCommit = () => undefined;
        await scene.world.silence(c);
      };
      expect((await net.endpoint({ ip: '10.66.0.9', name: 'db' })).attempts).to.equal(3);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 5', 'c 0']);
      await scene.all(OPEN, joined('J1', 'b boot-1'), joined('J2'), taken);
    });

    it('a and c both look at .9 and claim it: one has it, the other is told who', async () => {
      const { a } = await without();
      const c = await scene.world.host('c');
      const [na, nc] = [await a.network(S), await c.network(S)];
      a.link.beforeCommit = async ({ when }) => {
        if (!when.some((one) => 'none' in one)) return;
        a.link.beforeCommit = () => undefined;
        await nc.endpoint({ ip: '10.66.0.9', name: 'first' });
      };
      expect(await refusal(na.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.match(/^taken: .* held by first on c /);
      await scene.all([OPEN, joined('J1', 'b boot-1'), joined('J2'), joined('J3', 'c boot-1')].flat(), [
        claim(9, 'endpoint c boot-1 join=J3 name=first from=b'),
      ]);
    });

    it('#23: its gateway, auxiliary addresses and what it was unsure of stay, also where nothing else is left', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const theirs = await b.network(S);
      await theirs.gateway('10.66.0.1');
      await theirs.aux('10.66.0.8');
      await theirs.unsure('10.66.0.9');
      await b.loseSession();
      await scene.world.silence(a, 5);
      const net = await a.network(S, { range: RANGE });
      for (const ip of ['10.66.0.1', '10.66.0.8', '10.66.0.9'])
        expect(await refusal(net.endpoint({ ip, name: 'db' }))).to.match(/^taken: /);
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      await scene.all(
        [LED, joined('J1', 'b boot-1'), joined('J2', `a boot-1 range=${RANGE}`)].flat(),
        [claim(1, 'shared'), holder(1, 'J1', 'gateway b boot-1')],
        [claim(8, 'shared'), holder(8, 'J1', 'aux b boot-1'), claim(9, 'unsure b boot-1 join=J1')],
      );
    });

    it('#20: what its engine asked for as the leader of a swarm is the swarm’s, however long it is gone', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const led = await b.network(S, { space: 'global' });
      await led.task('10.66.0.9');
      const before = await scene.world.records();
      await b.loseSession();
      await scene.world.silence(a, 7);
      expect(await scene.world.nodes()).to.deep.equal(['a 0']);
      expect(await scene.world.records()).to.deep.equal(before);
    });

    it('what it had on the word of a swarm’s leader is taken like a container’s; what the leader gave is not', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const led = await a.network(S, { space: 'global' });
      await led.task('10.66.0.8');
      const theirs = await b.network(S, { managed: true });
      for (const ip of ['10.66.0.8', '10.66.0.9']) await theirs.unsure(ip);
      await b.loseSession();
      const claims = async (space: string) =>
        (await scene.world.records()).filter((line) => line.startsWith(`claims/${space}/`));
      const given = await claims('global');
      expect(given).to.have.length(1);
      expect(await claims('local')).to.deep.equal([8, 9].map((last) => claim(last, 'swarm b boot-1 join=J2')));
      const net = await a.network(S);
      await scene.world.silence(a, 3);
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.match(/^taken: .* of the swarm on b /);
      await scene.world.silence(a);
      for (const ip of ['10.66.0.8', '10.66.0.9']) expect((await net.endpoint({ ip, name: 'db' })).from).to.equal('b');
      expect(await claims('local')).to.deep.equal(
        [8, 9].map((last) => claim(last, 'endpoint a boot-1 join=J3 name=db from=b')),
      );
      await scene.world.silence(a, 3);
      expect(await scene.world.nodes()).to.deep.equal(['a 0']);
      expect(await claims('global')).to.deep.equal(given);
    });

    it('a grant that nobody received gives the address back to the node that is gone', async () => {
      const { a } = await without();
      const net = await a.network(S);
      const granted = await net.endpoint({ ip: '10.66.0.9', name: 'db' });
      await granted.undo(soon());
      await scene.all(OPEN, joined('J1', 'b boot-1'), joined('J2'), left);
    });

    it('b comes back, its container still has .9, and only then is the grant to a taken back: the address is b’s again', async () => {
      const { a } = await without();
      const granted = await (await a.network(S)).endpoint({ ip: '10.66.0.9', name: 'db' });
      await scene.world.host('b');
      await granted.undo(soon());
      await scene.all(OPEN, joined('J1', 'b boot-1'), joined('J2'), left);
    });

    /** A network of a's has b's .9 as its gateway, which nobody has received. */
    const led = async () => {
      const { a, theirs } = await without();
      const net = await a.network(S);
      return { a, net, theirs, gateway: await net.gateway('10.66.0.9') };
    };
    /** The same, the answer to a's transaction being lost. */
    const doubtful = async () => {
      const { a } = await without();
      const net = await a.network(S);
      let lost: ReturnType<typeof a.link.loseAnswer>;
      a.link.beforeCommit = ({ when }) => {
        if (!when.some((one) => 'none' in one)) return;
        a.link.beforeCommit = () => undefined;
        lost = a.link.loseAnswer();
      };
      expect(await refusal(net.gateway('10.66.0.9'))).to.match(/^unavailable: /);
      return { a, net, doubt: () => lost };
    };
    const LED_BY_9 = [`${POOL} open gateway=10.66.0.9`, 'spaces/local', joined('J1', 'b boot-1'), joined('J2')];

    it('a gateway or an auxiliary address that nobody received goes back to the node that is gone', async () => {
      const { net, gateway } = await led();
      await scene.all(LED_BY_9, claim(9, 'shared from=b'), holder(9, 'J2', 'gateway a boot-1'));
      await gateway.undo(soon());
      await scene.all(LED_BY_9, left);
      await (await net.aux('10.66.0.9')).undo(soon());
      await scene.all(LED_BY_9, left);
    });

    it('b comes back, and only then is a’s gateway taken back: the address is b’s again', async () => {
      const { net, gateway } = await led();
      await scene.world.host('b');
      await gateway.undo(soon());
      await scene.all(LED_BY_9, left);
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.match(
        /^taken: .* held by web on b since /,
      );
    });

    it('c shares the gateway before a’s is taken back: it stays shared, and goes with c, as if c had taken it over', async () => {
      const { gateway } = await led();
      const nc = await (await scene.world.host('c')).network(S);
      await nc.gateway('10.66.0.9');
      await gateway.undo(soon());
      const joins = [LED_BY_9, joined('J3', 'c boot-1')].flat();
      await scene.all(joins, claim(9, 'shared'), holder(9, 'J3', 'gateway c boot-1'));
      await nc.release('10.66.0.9');
      await scene.all(joins);
    });

    it('c shares the gateway and leaves between a’s look and its undo: a looks again, and it goes back to b', async () => {
      const { a, gateway } = await led();
      const nc = await (await scene.world.host('c')).network(S);
      await nc.gateway('10.66.0.9');
      a.link.beforeNext(() => nc.release('10.66.0.9'));
      await gateway.undo(soon());
      await scene.all(LED_BY_9, joined('J3', 'c boot-1'), left);
    });

    it('c shares the gateway between a’s look and its undo: a looks again, and it stays shared', async () => {
      const { a, gateway } = await led();
      const nc = await (await scene.world.host('c')).network(S);
      a.link.beforeNext(() => nc.gateway('10.66.0.9'));
      await gateway.undo(soon());
      await scene.all(LED_BY_9, joined('J3', 'c boot-1'), claim(9, 'shared'), [holder(9, 'J3', 'gateway c boot-1')]);
    });

    it('a gateway in doubt that was committed goes back to b once that is known', async () => {
      const { a, doubt } = await doubtful();
      await scene.all(LED_BY_9, claim(9, 'shared from=b'), holder(9, 'J2', 'gateway a boot-1'));
      doubt().settle(true);
      await a.settled();
      await scene.all(LED_BY_9, left);
    });

    it('a gateway in doubt that was committed goes back to b, though the engine gives its pool back before that is known', async () => {
      const { a, net, doubt } = await doubtful();
      expect(await net.releasePool()).to.equal('released');
      const rest = [`${POOL} open gateway=10.66.0.9`, 'spaces/local', joined('J1', 'b boot-1')];
      await scene.all(rest, left);
      doubt().settle(true);
      await a.settled();
      await scene.all(rest, left);
    });

    it('N18: a gateway asked for twice, or by two networks of a, undone in either order: it goes back to b', async () => {
      const { a } = await without();
      const [one, two] = [await a.network(S), await a.network(S)];
      for (const [first, second] of [
        [one, one],
        [one, two],
      ] as const)
        for (const order of [
          [0, 1],
          [1, 0],
        ]) {
          const grants = [await first.gateway('10.66.0.9'), await second.gateway('10.66.0.9')];
          for (const i of order) await grants[i]!.undo(soon());
          await scene.all(LED_BY_9, joined('J3'), left);
        }
    });

    it('b’s network is gone by the time that a’s gateway is taken back: nobody has the address', async () => {
      const { theirs, gateway } = await led();
      const back = await scene.world.host('b');
      expect(await back.allocator.releasePool(theirs.ref, soon())).to.equal('released');
      await gateway.undo(soon());
      await scene.all(LED_BY_9.filter((line) => line !== joined('J1', 'b boot-1')));
    });

    it('one that comes back keeps what nobody took; what was taken it is refused, and its late release frees nothing', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const theirs = await b.network(S);
      for (const [ip, name] of [
        ['10.66.0.8', 'one'],
        ['10.66.0.9', 'web'],
      ] as const)
        await theirs.endpoint({ ip, name });
      await b.loseSession();
      await scene.world.silence(a, 4);
      await (await a.network(S)).endpoint({ ip: '10.66.0.9', name: 'db' });
      const back = await scene.world.host('b');
      expect(await back.allocator.releaseAddress(theirs.ref, { family: 4, value: 0x0a420009n }, soon())).to.equal(
        'nothing to release',
      );
      const ask = { pool: theirs.ref, purpose: 'endpoint', name: 'web' } as const;
      const asked = back.allocator.requestAddress({ ...ask, address: { family: 4, value: 0x0a420009n } }, soon());
      expect(await refusal(asked)).to.match(/^taken: .* held by db on a /);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      await scene.all(
        OPEN,
        joined('J1', 'b boot-1'),
        joined('J2'),
        taken,
        claim(8, 'endpoint b boot-1 join=J1 name=one'),
      );
    });

    it('N21: a full range is listed once while the same nodes are gone, and anew when another one is', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const theirs = await b.network(S, { range: RANGE });
      await theirs.endpoint({ name: 'one' });
      await theirs.endpoint({ name: 'two' });
      const net = await a.network(S, { range: RANGE });
      let listings = 0;
      a.link.beforeRead = (queries) => {
        if (queries.some((query) => 'span' in query && query.span.from.startsWith('claims/'))) listings++;
      };
      const full = async () => {
        scene.world.skippedMs += 5_000;
        expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      };
      for (let i = 0; i < 5; i++) await full();
      expect(listings).to.equal(1);
      await b.loseSession();
      await scene.world.silence(a, 4);
      scene.world.skippedMs += 5_000;
      const given = [await net.endpoint({ name: 'c1' }), await net.endpoint({ name: 'c2' })];
      expect(given.map(({ ip, from }) => [ip, from])).to.deep.equal([
        ['10.66.0.8', 'b'],
        ['10.66.0.9', 'b'],
      ]);
      expect(listings).to.equal(2);
    });
  });
}
