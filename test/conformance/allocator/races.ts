// What a grant counts as lost to somebody else: only what had been seen free, or otherwise to be had, and was another's when it
// was claimed.
import { expect } from 'chai';
import { claim, holder, joined, LED, OPEN, S, type Scene } from './scene.js';

export function races(scene: Scene): void {
  const both = [joined('J1'), joined('J2', 'b boot-1')];

  describe('races', () => {
    it('a host alone loses none: not to its gateways, nor by a container that is restarted with its --ip', async () => {
      scene.world.restMs = 600_000;
      const a = await scene.world.host('a');
      const net = await a.network(S);
      const gateway = await net.gateway();
      const first = await net.endpoint({ name: 'first' });
      const web = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await net.release('10.66.0.9');
      const again = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const second = await a.network(S);
      const shared = await second.gateway();
      expect([gateway, first, web, again, shared].map(({ ip, races }) => [ip, races])).to.deep.equal([
        ['10.66.0.1', 0],
        ['10.66.0.2', 0],
        ['10.66.0.9', 0],
        ['10.66.0.9', 0],
        ['10.66.0.1', 0],
      ]);
      await scene.all(
        [LED, joined('J1'), joined('J2')].flat(),
        [claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'), holder(1, 'J2', 'gateway a boot-1')],
        [claim(2, 'endpoint a boot-1 join=J1 name=first'), claim(9, 'endpoint a boot-1 join=J1 name=web')],
      );
    });

    it('the first container of a network is not tried at its gateway, which the next free one is behind', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.gateway('10.66.0.1');
      expect((await net.endpoint({ name: 'web' })).attempts).to.equal(1);
      await scene.all(LED, joined('J1'), claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'), [
        claim(2, 'endpoint a boot-1 join=J1 name=web'),
      ]);
    });

    it('a walks into what b has: none. It sees .2 free, b claims .2, a claims .2: one', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await nb.endpoint({ ip: '10.66.0.1', name: 'db' });
      const commits = a.link.commits;
      a.link.beforeCommit = async () => {
        if (a.link.commits === commits + 1) await nb.endpoint({ ip: '10.66.0.2', name: 'mail' });
      };
      const { ip, attempts, races } = await na.endpoint({ name: 'web' });
      expect([attempts, races]).to.deep.equal([3, 1]);
      a.link.beforeCommit = () => undefined;
      await na.release(ip);
      await scene.all(OPEN, both, [
        claim(1, 'endpoint b boot-1 join=J2 name=db'),
        claim(2, 'endpoint b boot-1 join=J2 name=mail'),
      ]);
    });

    it('a sees .2 and .3 free, and gives both, .3 by number: none where it comes upon that', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await nb.endpoint({ ip: '10.66.0.1', name: 'db' });
      expect((await na.endpoint({ name: 'web' })).ip).to.equal('10.66.0.2');
      await na.endpoint({ ip: '10.66.0.3', name: 'own' });
      const { ip, attempts, races } = await na.endpoint({ name: 'mail' });
      expect([attempts, races]).to.deep.equal([2, 0]);
      await na.release(ip);
      await scene.all(OPEN, both, [
        claim(1, 'endpoint b boot-1 join=J2 name=db'),
        claim(2, 'endpoint a boot-1 join=J1 name=web'),
        claim(3, 'endpoint a boot-1 join=J1 name=own'),
      ]);
    });

    it('a sees that .9 rests, b has it meanwhile and gives it back, a claims .9: one, and a has it', async () => {
      scene.world.restMs = 600_000;
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      const commits = a.link.commits;
      a.link.beforeCommit = async () => {
        if (a.link.commits !== commits + 1) return;
        a.link.beforeCommit = () => undefined;
        await nb.endpoint({ ip: '10.66.0.9', name: 'db' });
        await nb.release('10.66.0.9');
      };
      const { ip, attempts, races } = await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      expect([ip, attempts, races]).to.deep.equal(['10.66.0.9', 3, 1]);
      await scene.all(OPEN, both, claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });
  });
}
