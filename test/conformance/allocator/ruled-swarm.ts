// An operator's rules over a swarm's pool: the leader chooses by them, and what it has given they take from nobody.
import { expect } from 'chai';
import { refusal } from '../../support/allocator-fixture.js';
import type { Scene } from './scene.js';

const S = '10.80.0.0/24';
const global = { space: 'global' };

export function ruledSwarm(scene: Scene): void {
  describe('rules of a swarm’s pool', () => {
    it('the leader gives nothing that is excluded, unasked or by number, nor a gateway', async () => {
      const [a, operator] = [await scene.world.host('a'), await scene.world.operator(S, 'global')];
      const net = await a.network(S, global);
      await operator.exclude('10.80.0.1-10.80.0.9');
      expect((await net.gateway()).ip).to.equal('10.80.0.10');
      expect((await net.task()).ip).to.equal('10.80.0.11');
      a.link.beforeNext(() => operator.exclude('10.80.0.12-10.80.0.19'));
      expect((await net.task()).ip).to.equal('10.80.0.20');
      expect(await refusal(net.task('10.80.0.5'))).to.match(/^excluded: /);
      expect(await refusal(operator.reserve('10.80.0.30', 'web'))).to.equal(
        'bad_rule: the leader of a swarm names nobody when it asks: an address of it can be excluded, not reserved',
      );
    });

    it('what a former epoch gave is the next leader’s, excluded since or not, until it is released', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const first = await a.network(S, global);
      await first.gateway();
      for (const ip of ['10.80.0.7', '10.80.0.8']) await first.task(ip);
      const operator = await scene.world.operator(S, 'global');
      expect(await refusal(operator.exclude('10.80.0.7'))).to.match(/^in_use: 10\.80\.0\.7 is held by a task/);
      expect((await operator.exclude('10.80.0.7-10.80.0.8', true)).keeping).to.have.length(2);
      b.allocator.beginTerm();
      const next = await b.network(S, global);
      await next.gateway('10.80.0.1');
      expect((await next.task('10.80.0.7')).ip).to.equal('10.80.0.7');
      await next.release('10.80.0.7');
      expect(await refusal(next.task('10.80.0.7'))).to.match(/^excluded: /);
      // Nor is what the former epoch gave, and nobody asked for again, when nothing else is left.
      expect((await next.task('10.80.0.8')).ip).to.equal('10.80.0.8');
    });

    it('an epoch that begins between the operator’s look and commit goes by the rules, as does one that goes back', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const first = await a.network(S, global);
      await first.gateway();
      await first.task();
      const operator = await scene.world.operator(S, 'global');
      let next = first;
      operator.link.beforeNext(async () => {
        b.allocator.beginTerm();
        next = await b.network(S, global);
      });
      await operator.exclude('10.80.0.3-10.80.0.9');
      await next.releasePool();
      expect((await first.task()).ip).to.equal('10.80.0.10');
    });

    it('a node is given what the leader has given, whatever is laid down for the nodes’ space', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const led = await a.network(S, global);
      await led.gateway();
      const { ip } = await led.task();
      const nodes = await scene.world.operator(S);
      await nodes.exclude('10.80.0.1-10.80.0.9');
      const net = await b.network(S, { managed: true });
      expect((await net.endpoint({ ip, name: 'web.1' })).ip).to.equal(ip);
      await led.release(ip);
      await net.release(ip);
      expect(await refusal(net.endpoint({ ip, name: 'web.1' }))).to.match(/^excluded: /);
    });
  });
}
