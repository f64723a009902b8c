// Who had an address: what is told when a tenure ends, and that nothing is told of what has not ended, or was never heard of.
import { expect } from 'chai';
import { past as ended, isTenure } from '../../../src/ipam/tenures.js';
import { type Host, type Net, soon } from '../../support/allocator-fixture.js';
import { network, SpokenEngine, shown } from '../../support/engine-shown.js';
import { claim, had, holder, joined, LED, OPEN, S, type Scene } from './scene.js';

/** Longer than any test takes. */
const LONG = 600_000;

export function past(scene: Scene): void {
  const two = async (): Promise<[Net, Net, Host, Host]> => {
    scene.world.keepMs = LONG;
    const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
    return [await a.network(S), await b.network(S), a, b];
  };
  const both = [joined('J1'), joined('J2', 'b boot-1')];
  const WEB = 'endpoint join=J1 name=web a';

  describe('the past', () => {
    it('a release tells who had the address, and the next one has it in the order of time', async () => {
      const [na, nb] = await two();
      for (const [net, name] of [[na, 'web'] as const, [nb, 'db'] as const]) {
        await net.endpoint({ ip: '10.66.0.9', name });
        await net.release('10.66.0.9');
      }
      await na.endpoint({ ip: '10.66.0.9', name: 'third' });
      await scene.all(OPEN, both, claim(9, 'endpoint a boot-1 join=J1 name=third'), [
        had(9, `${WEB} how=released`),
        had(9, 'endpoint join=J2 name=db b how=released'),
      ]);
    });

    it('tells of what rests that it is nobody’s: neither when it is taken over nor when its time is over', async () => {
      scene.world.restMs = 1_000;
      const [na, nb] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.release('10.66.0.9');
      await nb.endpoint({ ip: '10.66.0.9', name: 'db' });
      await scene.all(OPEN, both, claim(9, 'endpoint b boot-1 join=J2 name=db'), had(9, `${WEB} how=released`));
    });

    it('a late release, the address being given anew through the same join meanwhile, tells nothing', async () => {
      const [na, , a] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      const held = scene.world.holdRetries();
      a.link.away = true;
      expect(await na.release('10.66.0.9', 50)).to.equal('queued');
      await held.asleep(1);
      a.link.away = false;
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      held.end();
      await a.settled();
      await scene.all(OPEN, both, claim(9, 'endpoint a boot-1 join=J1 name=web'), had(9, `${WEB} how=renewed`));
    });

    it('the undo of a grant over an own claim takes back what was told of it', async () => {
      const [na] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      const again = await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await again.undo(soon());
      await again.undo(soon());
      await scene.all(OPEN, both, claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('the undo of a grant that another had replaced takes back that somebody had it', async () => {
      const [na] = await two();
      const grants = [];
      for (let i = 0; i < 3; i++) grants.push(await na.endpoint({ ip: '10.66.0.9', name: 'web' }));
      await grants[1]!.undo(soon());
      await scene.all(OPEN, both, claim(9, 'endpoint a boot-1 join=J1 name=web'), had(9, `${WEB} how=renewed`));
      await grants[2]!.undo(soon());
      await scene.all(OPEN, both, claim(9, 'endpoint a boot-1 join=J1 name=web'));
      await grants[0]!.undo(soon());
      await scene.all(OPEN, both);
    });

    it('a node that is gone had its address until another took it; an undo gives it back', async () => {
      const [na, nb, a, b] = await two();
      await nb.endpoint({ ip: '10.66.0.9', name: 'db' });
      await b.loseSession();
      await scene.world.silence(a, 4);
      const taken = await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await scene.all(OPEN, both, claim(9, 'endpoint a boot-1 join=J1 name=web from=b'), [
        had(9, 'endpoint join=J2 name=db b how=taken'),
      ]);
      await taken.undo(soon());
      await scene.all(OPEN, both, claim(9, 'endpoint b boot-1 join=J2 name=db'));
      const shared = await na.aux('10.66.0.9');
      await scene.all(
        OPEN,
        both,
        [claim(9, 'shared from=b'), holder(9, 'J1', 'aux a boot-1')],
        [had(9, 'endpoint join=J2 name=db b how=taken')],
      );
      await shared.undo(soon());
      await scene.all(OPEN, both, claim(9, 'endpoint b boot-1 join=J2 name=db'));
    });

    it('a node that is forgotten had 130 addresses, and a part in the gateway', async () => {
      const [, nb, a, b] = await two();
      await nb.gateway('10.66.0.1');
      for (let i = 0; i < 130; i++) await nb.endpoint({ name: `c${i}` });
      await b.loseSession();
      await scene.world.silence(a, 6);
      const lines = await scene.world.records();
      expect(lines.filter((line) => line.startsWith('claims/'))).to.deep.equal([]);
      expect(lines.filter((line) => line.endsWith('b how=forgotten'))).to.have.length(131);
      expect(lines).to.include(had(1, 'shared gateway join=J2 b how=forgotten'));
    });

    it('the end of a join tells of 150 containers and of its part in what others share', async () => {
      const [na, nb] = await two();
      for (const net of [na, nb]) await net.gateway('10.66.0.1');
      for (let i = 0; i < 150; i++) await na.endpoint({ name: `c${i}` });
      await na.releasePool();
      const lines = await scene.world.records();
      expect(lines.filter((line) => line.startsWith('history/'))).to.have.length(151);
      expect(lines.filter((line) => !line.startsWith('history/'))).to.deep.equal(
        [LED, joined('J2', 'b boot-1'), claim(1, 'shared'), holder(1, 'J2', 'gateway b boot-1')].flat().sort(),
      );
      expect(lines).to.include(had(1, 'shared gateway join=J1 a how=left'));
    });

    it('the end of a pool with 250 containers and 300 addresses that rest tells of the containers', async () => {
      scene.world.keepMs = LONG;
      scene.world.restMs = LONG;
      const a = await scene.world.host('a');
      const net = await a.network('10.64.0.0/16');
      const ips = [];
      for (let i = 0; i < 550; i += 50)
        ips.push(
          ...(await Promise.all(Array.from({ length: 50 }, () => net.endpoint({ name: 'c' })))).map(({ ip }) => ip),
        );
      const released = ips.filter((_, i) => i % 11 < 6);
      for (const ip of released) await net.release(ip);
      await net.releasePool();
      const lines = await scene.world.records();
      expect(lines.filter((line) => !line.startsWith('history/'))).to.deep.equal([]);
      expect(lines.filter((line) => line.endsWith('how=released'))).to.have.length(300);
      expect(lines.filter((line) => line.endsWith('how=left'))).to.have.length(250);
    });

    it('100 releases at once tell of 100 containers', async () => {
      const [na] = await two();
      const grants = await Promise.all(Array.from({ length: 100 }, (_, i) => na.endpoint({ name: `c${i}` })));
      await Promise.all(grants.map(({ ip }) => na.release(ip)));
      const lines = (await scene.world.records()).filter((line) => line.startsWith('history/'));
      expect(lines).to.have.length(100);
      expect(new Set(lines.map((line) => / name=(\S+) /.exec(line)![1]))).to.have.length(100);
    });

    it('what the engine shows no more had its address; one that turns out to be auxiliary had it as that', async () => {
      const [na, , a] = await two();
      await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      await na.unsure('10.66.0.10');
      const engine = new SpokenEngine();
      engine.view = shown(network(S, { aux: ['10.66.0.10'] }));
      const reconciler = a.allocator.reconciler({ engine, graceMs: LONG, tell: () => undefined });
      for (let look = 0; look < 3; look++) {
        await reconciler.look();
        scene.world.skippedMs += LONG;
        scene.world.skippedWallMs += LONG;
      }
      const lines = await scene.world.records();
      expect(lines.filter((line) => line.startsWith('history/'))).to.deep.equal([
        had(9, `${WEB} how=reconciled`),
        had(10, 'unsure join=J1 a how=reconciled'),
      ]);
    });

    it('goes with its leases when all are revoked, and the next release tells again', async () => {
      const [na] = await two();
      for (const ip of ['10.66.0.9', '10.66.0.10']) await na.endpoint({ ip, name: 'web' });
      await na.release('10.66.0.9');
      await scene.world.loseLeases();
      await scene.all(OPEN, both, claim(10, 'endpoint a boot-1 join=J1 name=web'));
      await na.release('10.66.0.10');
      await scene.all(OPEN, both, had(10, `${WEB} how=released`));
    });

    it('nothing is told where nothing is to be kept', async () => {
      const net = await (await scene.world.host('a')).network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await net.release('10.66.0.9');
      await scene.all(OPEN, joined('J1'));
    });

    it('of a record that somebody else has written nothing is told', async () => {
      const record = { kind: 'endpoint', node: 'a', since: 'yesterday', token: 'x/../y' } as const;
      const keep = { keepMs: LONG };
      const around = { now: () => new Date() };
      const key = 'claims/local/v4/010.066.000.000-24/010.066.000.009';
      expect(ended({ key, record }, 'released', keep, around)).to.deep.equal([]);
      const dated = { ...record, since: new Date(0).toISOString(), token: '0123456789abcdef' };
      const [write] = ended({ key, record: dated }, 'released', keep, around);
      expect(write && 'put' in write && isTenure(write.put.key)).to.equal(true);
    });
  });
}
