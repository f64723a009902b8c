// Rounds: when silence is counted and when it is not, and what becomes of a node that was silent for good. A node is gone
// after 4 rounds and forgotten after 6. Numbers are those of the counterexamples.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { EVERY_CLAIM } from '../../../src/ipam/keyspace.js';
import type { Query } from '../../../src/ipam/store.js';
import { type Host, refusal } from '../../support/allocator-fixture.js';
import { claim, holder, joined, LED, OPEN, S, type Scene } from './scene.js';

export function rounds(scene: Scene): void {
  /** Hosts a, b … with a network each. */
  async function hosts(count: number): Promise<Host[]> {
    const all: Host[] = [];
    for (const node of 'abcdefghijkl'.slice(0, count)) {
      const host = await scene.world.host(node);
      await host.network(S);
      all.push(host);
    }
    return all;
  }

  describe('rounds', () => {
    it('count the silence of nodes without a session, and write nothing of others', async () => {
      const [a, b] = await hosts(2);
      const { commits } = a!.link;
      await scene.world.silence(a!);
      expect(a!.link.commits - commits).to.equal(0);
      await b!.loseSession();
      await scene.world.silence(a!, 3);
      expect(a!.link.commits - commits).to.equal(3);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 3']);
      await scene.world.host('b');
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      expect(scene.world.roundsTold).to.deep.equal([]);
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'));
    });

    it('N20: a begins one and freezes, c begins the next, a goes on: b was silent for one round, not two', async () => {
      const [a, b] = await hosts(2);
      const c = await scene.world.host('c');
      await b!.loseSession();
      a!.link.beforeNext(() => scene.world.silence(c));
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 1', 'c 0']);
      const old = await scene.world.tick(a!);
      await scene.world.silence(c);
      await scene.world.round(a!, old);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 2', 'c 0']);
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'));
    });

    it('the runner looks, b comes back, the runner counts: b was never silent', async () => {
      const [a, b] = await hosts(2);
      await b!.loseSession();
      a!.link.beforeNext(() => scene.world.host('b'));
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'));
    });

    it('a runner without a session counts nothing', async () => {
      const [a, b] = await hosts(2);
      await b!.loseSession();
      a!.link.beforeNext(() => a!.loseSession());
      expect(await refusal(scene.world.silence(a!))).to.match(/^unavailable: /);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'));
    });

    it('a node whose record cannot be read is left as it is, and the others are counted', async () => {
      const [a, b] = await hosts(2);
      await b!.loseSession();
      await scene.world.plant('nodes/aa', { machine: 7 });
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'aa undefined', 'b 1']);
    });

    it('a join whose record cannot be read, damaged or of a newer version, keeps nobody from being counted', async () => {
      const [a, b] = await hosts(2);
      await b!.loseSession();
      await scene.world.plant('joins/local/v4/010.066.000.000-24/J8', 'no record');
      await scene.world.plant('joins/local/v4/010.066.000.000-24/J9', { host: 'a' });
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 1']);
    });

    it('#7: all sessions end and all but b return at once: b was silent for no more than its rounds', async () => {
      const [a, b, c] = await hosts(3);
      for (const host of [a, b, c]) await host!.loseSession();
      const back = await scene.world.host('a');
      await scene.world.host('c');
      await scene.world.silence(back);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 1', 'c 0']);
      const net = await back.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await scene.all(
        [OPEN, joined('J1'), joined('J2', 'b boot-1'), joined('J3', 'c boot-1'), joined('J4')].flat(),
        claim(9, 'endpoint a boot-1 join=J4 name=web'),
      );
    });
  });

  describe('the brake', () => {
    const braked = 'brake silent=3 of=4';

    it('holds while 3 of 4 are silent, is told once, and ends when one returns', async () => {
      const [a, ...others] = await hosts(4);
      for (const host of others) await host.loseSession();
      await scene.world.silence(a!, 5);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0', 'c 0', 'd 0']);
      expect(scene.world.roundsTold).to.deep.equal(['braked 3 4']);
      expect(await scene.world.records()).to.include(braked);
      const b = await scene.world.host('b');
      await scene.world.silence(b, 2);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0', 'c 2', 'd 2']);
      expect(scene.world.roundsTold).to.deep.equal(['braked 3 4', 'unbraked']);
      await scene.all(OPEN, ...['a', 'b', 'c', 'd'].map((node, i) => joined(`J${i + 1}`, `${node} boot-1`)));
    });

    it('ends although its record cannot be read', async () => {
      const [a] = await hosts(1);
      await scene.world.plant('brake', 'not JSON');
      await scene.world.silence(a!);
      expect(scene.world.roundsTold).to.deep.equal(['unbraked']);
      await scene.all(OPEN, joined('J1'));
    });

    it('does not hold where 1 of 2, or 2 of 4 are silent, nor for nodes without a network', async () => {
      const [a, b] = await hosts(2);
      await b!.loseSession();
      for (const node of ['x', 'y', 'z']) await (await scene.world.host(node)).loseSession();
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 1', 'x 1', 'y 1', 'z 1']);
      await (await scene.world.host('y')).network(S);
      const x = await scene.world.host('x');
      await x.network(S);
      await x.loseSession();
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 2', 'x 1', 'y 0', 'z 2']);
      expect(scene.world.roundsTold).to.deep.equal([]);
    });

    it('N10, #27: 8 of 3 hosts are replaced one after the other: those that are gone weigh in no more, nothing brakes', async () => {
      const [a, ...living] = await hosts(3);
      for (let i = 1; i <= 8; i++) {
        await living.shift()!.loseSession();
        const next = await scene.world.host(`n${i}`);
        await next.network(S);
        living.push(next);
        await scene.world.silence(a!, 4);
      }
      expect(scene.world.roundsTold.filter((told) => told.startsWith('gone'))).to.have.length(8);
      expect(scene.world.roundsTold.filter((told) => told.startsWith('braked'))).to.deep.equal([]);
    });

    it('stops only what could make a node gone: one that is gone goes on towards being forgotten', async () => {
      const [a, b, c, d] = await hosts(4);
      await b!.loseSession();
      await scene.world.silence(a!, 4);
      await c!.loseSession();
      await d!.loseSession();
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 5', 'c 0', 'd 0']);
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'c 0', 'd 0']);
      expect(scene.world.roundsTold).to.deep.equal(['gone b 4', 'braked 2 3', 'forgotten b 6']);
    });

    it('an operator evicts one of 2 silent of 3: it weighs in no more, and the other is counted', async () => {
      const [a, b, c] = await hosts(3);
      await b!.loseSession();
      await c!.loseSession();
      await scene.world.silence(a!, 2);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0', 'c 0']);
      await scene.world.plant('nodes/b', { machine: 'm-b', boot: 'boot-1', silence: 0, evicted: 'now', since: 'then' });
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 1 evicted', 'c 1']);
      expect(scene.world.roundsTold).to.deep.equal(['braked 2 3', 'unbraked']);
    });
  });

  describe('forgetting', () => {
    it('a node that was silent for 6 rounds loses claims, shares, joins and record; others lose nothing', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      for (const net of [na, nb]) await net.gateway('10.66.0.1');
      await na.endpoint({ ip: '10.66.0.7', name: 'web' });
      await nb.endpoint({ ip: '10.66.0.8', name: 'db' });
      await nb.unsure('10.66.0.9');
      await nb.aux('10.66.0.10');
      await (await b.network('10.99.0.0/24', { space: 'local.blue' })).endpoint({ name: 'other' });
      await b.loseSession();
      const before = await scene.world.records();
      await scene.world.silence(a, 5);
      expect(await scene.world.records()).to.deep.equal(before);
      await scene.world.silence(a);
      expect(await scene.world.nodes()).to.deep.equal(['a 0']);
      expect(scene.world.roundsTold).to.deep.equal(['gone b 4', 'forgotten b 6']);
      await scene.all(LED, joined('J1'), claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'), [
        claim(7, 'endpoint a boot-1 join=J1 name=web'),
      ]);
    });

    it('250 claims of an ended join go as well, in transactions that etcd takes', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      await a.network(S);
      await b.loseSession();
      for (let last = 2; last < 252; last++)
        await scene.world.plant(`claims/local/v4/010.066.000.000-24/010.066.000.${String(last).padStart(3, '0')}`, {
          ...{ kind: 'endpoint', node: 'b', boot: 'boot-1', join: 'J9', since: 'then', token: 't' },
        });
      await scene.world.silence(a, 6);
      expect(await scene.world.nodes()).to.deep.equal(['a 0']);
      await scene.all(OPEN, joined('J1'));
    });

    it('takes the time that all claims take: it outlasts its round, and the next one, whose runner dies in it', async () => {
      const [a, b, c] = await hosts(3);
      const net = await b!.network('10.67.0.0/24');
      await net.endpoint({ ip: '10.67.0.9', name: 'web' });
      await b!.loseSession();
      await scene.world.silence(a!, 5);
      const ofClaims = (queries: readonly Query[]) =>
        queries.some((query) => 'span' in query && query.span.from === EVERY_CLAIM.from);
      c!.link.beforeRead = (queries) => {
        c!.link.away ||= ofClaims(queries);
      };
      let next: Promise<string> | undefined;
      a!.link.beforeRead = async (queries) => {
        if (next || !ofClaims(queries)) return;
        next = refusal(scene.world.silence(c!));
        await next;
        await sleep(500);
      };
      await scene.world.round(a!, await scene.world.tick(a!), 500);
      expect(await next).to.match(/^unavailable: /);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'c 0']);
      expect(scene.world.roundsTold).to.deep.equal(['gone b 4', 'forgotten b 6']);
      await scene.all(OPEN, joined('J1'), joined('J3', 'c boot-1'));
    });

    it('a counts and freezes, b comes back and is silent anew, a goes on: b is not forgotten', async () => {
      const [a, b] = await hosts(2);
      await b!.loseSession();
      await scene.world.silence(a!, 5);
      a!.link.beforeNext(async () => {
        a!.link.beforeRead = async () => {
          a!.link.beforeRead = () => undefined;
          await (await scene.world.host('b')).loseSession();
        };
      });
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'));
    });

    it('a looks, c takes one of 2 that an ended join left, a removes both: the other one goes in the next round', async () => {
      const [a, b, c] = [await scene.world.host('a'), await scene.world.host('b'), await scene.world.host('c')];
      const net = await c.network(S);
      await b.loseSession();
      for (const last of [8, 9])
        await scene.world.plant(`claims/local/v4/010.066.000.000-24/010.066.000.00${last}`, {
          ...{ kind: 'endpoint', node: 'b', boot: 'boot-1', join: 'J9', since: 'then', token: 't' },
        });
      await scene.world.silence(a, 5);
      a.link.beforeNext(async () => {
        a.link.beforeNext(() => net.endpoint({ ip: '10.66.0.8', name: 'db' }));
      });
      await scene.world.silence(a);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 6', 'c 0']);
      await scene.world.silence(a);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'c 0']);
      await scene.all(OPEN, joined('J1', 'c boot-1'), claim(8, 'endpoint c boot-1 join=J1 name=db from=b'));
    });

    it('the node comes back after its claims were removed: its joins and its record stay', async () => {
      const [a, b] = await hosts(2);
      const net = await b!.network('10.67.0.0/24');
      await net.endpoint({ ip: '10.67.0.9', name: 'web' });
      await b!.loseSession();
      await scene.world.silence(a!, 5);
      a!.link.beforeCommit = async ({ write }) => {
        if (!write.some((one) => 'remove' in one && one.remove.key.startsWith('joins/'))) return;
        a!.link.beforeCommit = () => undefined;
        await scene.world.host('b');
      };
      await scene.world.silence(a!);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      expect(scene.world.roundsTold).to.deep.equal(['gone b 4']);
      await scene.all(OPEN, 'pools/local/v4/010.067.000.000-24 open', joined('J1'), joined('J2', 'b boot-1'), [
        'joins/local/v4/010.067.000.000-24/J3 b boot-1',
      ]);
    });
  });
}
