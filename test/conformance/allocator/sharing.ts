// Gateways and auxiliary addresses: shared by networks, given to no container. Numbers are those of the
// counterexamples.
import { expect } from 'chai';
import { freeByHand, standsBehind } from '../../../src/ipam/by-hand.js';
import { parseAddress } from '../../../src/net/address.js';
import { type Net, refusal, soon } from '../../support/allocator-fixture.js';
import { call, claim, had, holder, joined, LED, OPEN, POOL, S, type Scene } from './scene.js';

const POOL_REQUEST = { addressSpace: 'local', pool: S, subPool: '', options: new Map(), v6: false };

export function sharing(scene: Scene): void {
  describe('gateways and auxiliary addresses', () => {
    it('two nodes share the gateway; the last holder takes the claim along', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      expect((await na.gateway('10.66.0.254')).ip).to.equal('10.66.0.254');
      expect((await nb.gateway('10.66.0.254')).ip).to.equal('10.66.0.254');
      const pool = [`${POOL} open gateway=10.66.0.254`, 'spaces/local'];
      const joins = [joined('J1'), joined('J2', 'b boot-1')];
      await scene.all(pool, joins, claim(254, 'shared'), holder(254, 'J1', 'gateway a boot-1'), [
        holder(254, 'J2', 'gateway b boot-1'),
      ]);
      expect(await na.release('10.66.0.254')).to.equal('released');
      await scene.all(pool, joins, claim(254, 'shared'), holder(254, 'J2', 'gateway b boot-1'));
      expect(await nb.release('10.66.0.254')).to.equal('released');
      await scene.all(pool, joins);
    });

    it('a gateway nobody named is the one the subnet has, on every node', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway('10.66.0.77');
      expect((await nb.gateway()).ip).to.equal('10.66.0.77');
      await scene.all(
        [`${POOL} open gateway=10.66.0.77`, 'spaces/local', joined('J1'), joined('J2', 'b boot-1')],
        [claim(77, 'shared'), holder(77, 'J1', 'gateway a boot-1'), holder(77, 'J2', 'gateway b boot-1')],
      );
    });

    it('A and B create the subnet, A is given .1 as gateway, B asks with what it saw before: B is given .1', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      expect((await na.gateway()).ip).to.equal('10.66.0.1');
      expect((await nb.gateway()).ip).to.equal('10.66.0.1');
      await scene.all(LED, joined('J1'), joined('J2', 'b boot-1'), claim(1, 'shared'), [
        holder(1, 'J1', 'gateway a boot-1'),
        holder(1, 'J2', 'gateway b boot-1'),
      ]);
    });

    it('B reads that .1 is free, A is given .1 as gateway, B commits .1: both share it', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      b.link.beforeNext(() => na.gateway());
      expect((await nb.gateway()).ip).to.equal('10.66.0.1');
      await scene.all(LED, joined('J1'), joined('J2', 'b boot-1'), claim(1, 'shared'), [
        holder(1, 'J1', 'gateway a boot-1'),
        holder(1, 'J2', 'gateway b boot-1'),
      ]);
    });

    it('B reads that .1 is free, A is given .2 by name as gateway, B commits .1: B is given .2 as well', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      b.link.beforeNext(() => na.gateway('10.66.0.2'));
      expect((await nb.gateway()).ip).to.equal('10.66.0.2');
      await scene.all(
        [`${POOL} open gateway=10.66.0.2`, 'spaces/local', joined('J1'), joined('J2', 'b boot-1')],
        [claim(2, 'shared'), holder(2, 'J1', 'gateway a boot-1'), holder(2, 'J2', 'gateway b boot-1')],
      );
    });

    it('A names a gateway of its own with what it saw before B was given one: the one of the subnet stays', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await nb.gateway();
      await na.gateway('10.66.0.254');
      await scene.all(LED, joined('J1'), joined('J2', 'b boot-1'), [
        ...[claim(1, 'shared'), holder(1, 'J2', 'gateway b boot-1')],
        ...[claim(254, 'shared'), holder(254, 'J1', 'gateway a boot-1')],
      ]);
    });

    it('B asks for a gateway while a container of A has .1 and A is then given .2: B is given .2 as well', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.endpoint({ ip: '10.66.0.1', name: 'web' });
      b.link.beforeNext(() => na.gateway());
      expect((await nb.gateway()).ip).to.equal('10.66.0.2');
      await scene.all(
        [`${POOL} open gateway=10.66.0.2`, 'spaces/local', joined('J1'), joined('J2', 'b boot-1')],
        [claim(1, 'endpoint a boot-1 join=J1 name=web'), claim(2, 'shared')],
        [holder(2, 'J1', 'gateway a boot-1'), holder(2, 'J2', 'gateway b boot-1')],
      );
    });

    it('N7: gateway and auxiliary addresses of an earlier boot are never taken, by number or from a full range', async () => {
      const old = await scene.world.host('a');
      const before = await old.network(S);
      await before.gateway();
      await before.aux('10.66.0.2');
      await before.unsure('10.66.0.3');
      const a = await scene.rebooted(old);
      const net = await a.network(S, { range: '10.66.0.0/30' });
      for (const [ip, why] of [
        ['10.66.0.1', 'is the gateway of the network and never given to a container'],
        ['10.66.0.2', 'is an auxiliary address of the network and never given to a container'],
      ]) {
        expect(await refusal(net.endpoint({ ip: ip!, name: 'web' }))).to.equal(`taken: address ${ip} ${why}`);
      }
      expect(await refusal(net.endpoint({ ip: '10.66.0.3', name: 'web' }))).to.match(
        /^taken: address 10\.66\.0\.3 is held on a since .* \(by a container's --ip, or as an auxiliary address\)$/,
      );
      expect(await refusal(net.endpoint({ name: 'web' }))).to.equal(
        'pool_exhausted: no address left in range 10.66.0.0/30 of pool 10.66.0.0/24: all 3 are in use',
      );
      await scene.all(LED, joined('J1'), joined('J2', 'a boot-2 range=10.66.0.0/30'), [
        ...[claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1')],
        ...[claim(2, 'shared'), holder(2, 'J1', 'aux a boot-1')],
        claim(3, 'unsure a boot-1 join=J1'),
      ]);
    });

    it('#13: an address without a name is exclusive, and the refusal names the way out', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.unsure('10.66.0.5');
      expect(await refusal(nb.unsure('10.66.0.5'))).to.match(
        /^taken: address 10\.66\.0\.5 is held on a since \S+ \(by a container's --ip, or as an auxiliary address\); if it is an auxiliary address of both networks, create them with --ipam-opt aux=10\.66\.0\.5$/,
      );
      expect(await refusal(na.unsure('10.66.0.5'))).to.match(/^taken: /);
      expect(await nb.release('10.66.0.5')).to.equal('nothing to release');
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(5, 'unsure a boot-1 join=J1'));
      expect(await na.release('10.66.0.5')).to.equal('released');
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'));
    });

    it('#13: an address without a name does not end with the boot', async () => {
      const old = await scene.world.host('a');
      await (await old.network(S)).unsure('10.66.0.5');
      const a = await scene.rebooted(old);
      const net = await a.network(S);
      expect(await refusal(net.unsure('10.66.0.5'))).to.match(/^taken: /);
      await scene.all(OPEN, joined('J1'), joined('J2', 'a boot-2'), claim(5, 'unsure a boot-1 join=J1'));
    });

    it('#13: declared with --ipam-opt aux, it is shared by the nodes and given to no container', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S, { shared: ['10.66.0.5'] }), await b.network(S, { shared: ['10.66.0.5'] })];
      expect((await na.unsure('10.66.0.5')).ip).to.equal('10.66.0.5');
      expect((await nb.unsure('10.66.0.5')).ip).to.equal('10.66.0.5');
      expect(await refusal(nb.endpoint({ ip: '10.66.0.5', name: 'web' }))).to.equal(
        'taken: address 10.66.0.5 is an auxiliary address of the network and never given to a container',
      );
      await scene.all(
        [OPEN, joined('J1', 'a boot-1 shared=10.66.0.5'), joined('J2', 'b boot-1 shared=10.66.0.5')].flat(),
        [claim(5, 'shared'), holder(5, 'J1', 'aux a boot-1'), holder(5, 'J2', 'aux b boot-1')],
      );
    });

    it('a gateway that nobody named is none of the addresses the network declared as auxiliary', async () => {
      const a = await scene.world.host('a');
      const na = await a.network(S, { shared: ['10.66.0.1'] });
      expect((await na.gateway()).ip).to.equal('10.66.0.2');
      expect((await na.unsure('10.66.0.1')).ip).to.equal('10.66.0.1');
      await scene.all(
        [`${POOL} open gateway=10.66.0.2`, 'spaces/local', joined('J1', 'a boot-1 shared=10.66.0.1')],
        [claim(1, 'shared'), holder(1, 'J1', 'aux a boot-1')],
        [claim(2, 'shared'), holder(2, 'J1', 'gateway a boot-1')],
      );
    });

    it('#13: a container that asks for the declared address through a join which has it is refused, by number too', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S, { shared: ['10.66.0.5'] });
      await net.unsure('10.66.0.5');
      expect(await refusal(net.unsure('10.66.0.5'))).to.equal(
        'taken: address 10.66.0.5 is an auxiliary address of the network and never given to a container',
      );
      await scene.all(OPEN, joined('J1', 'a boot-1 shared=10.66.0.5'), claim(5, 'shared'), [
        holder(5, 'J1', 'aux a boot-1'),
      ]);
    });

    it('#13: already shared, it is shared with a network that did not declare it, but only once', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.aux('10.66.0.5');
      await nb.unsure('10.66.0.5');
      expect(await refusal(nb.unsure('10.66.0.5'))).to.match(/^taken: address 10\.66\.0\.5 is an auxiliary address/);
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(5, 'shared'), [
        holder(5, 'J1', 'aux a boot-1'),
        holder(5, 'J2', 'aux b boot-1'),
      ]);
    });

    it('where MACs are required, and the engines were told so, an address without one is auxiliary on both nodes', async () => {
      const hosts = [
        await scene.world.host('a', { requireMac: true }),
        await scene.world.host('b', { requireMac: true }),
      ];
      for (const { driver } of hosts) {
        driver.getCapabilities();
        const { poolId } = await driver.requestPool(POOL_REQUEST, call());
        scene.world.join(poolId.slice(-16));
        const reply = await driver.requestAddress({ poolId, address: '10.66.0.5', options: null }, call());
        expect(reply).to.deep.equal({ address: '10.66.0.5/24' });
      }
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claim(5, 'shared'), [
        holder(5, 'J1', 'aux a boot-1'),
        holder(5, 'J2', 'aux b boot-1'),
      ]);
    });

    const NAMED = new Map([['com.docker.network.endpoint.name', 'web']]);
    const MARKED = new Map([['com.docker.network.endpoint.macaddress', '02:42:0a:42:00:02']]);
    type Step = 'told' | ReadonlyMap<string, string>;
    for (const [title, requireMac, steps, shares] of [
      ['that was not told that MACs are required', true, [], false],
      ['that was not told so by this process, and gives MACs', true, [MARKED], true],
      ['that was told so, and gives one no MAC: it is another engine', true, ['told', new Map()], false],
      ['that names one', false, [NAMED], true],
      ['that names one, and another not: there are two engines', false, [NAMED, new Map()], false],
      ['that is asked for anew, perhaps by an older version', false, [NAMED, 'told'], false],
    ] as readonly [string, boolean, readonly Step[], boolean][])
      it(`#13: an address without a name from an engine ${title}: ${shares ? 'shared' : 'exclusive'}`, async () => {
        const { driver } = await scene.world.host('a', { requireMac });
        const { poolId } = await driver.requestPool(POOL_REQUEST, call());
        for (const step of steps)
          if (step === 'told') driver.getCapabilities();
          else await driver.requestAddress({ poolId, address: '', options: step }, call());
        const unnamed = { poolId, address: '10.66.0.99', options: null };
        await driver.requestAddress(unnamed, call());
        const again = driver.requestAddress(unnamed, call());
        if (shares) expect(await again).to.deep.equal({ address: '10.66.0.99/24' });
        else expect(await refusal(again)).to.match(/^taken: /);
      });

    it('A gives its share of the gateway back while B takes one: B keeps it', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      a.link.beforeNext(() => nb.gateway());
      expect(await na.release('10.66.0.1')).to.equal('released');
      await scene.all(
        LED,
        joined('J1'),
        joined('J2', 'b boot-1'),
        claim(1, 'shared'),
        holder(1, 'J2', 'gateway b boot-1'),
      );
    });

    it('A and B, the last two holders, give the gateway back at once, each seeing the other: its claim goes', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      await nb.gateway();
      a.link.beforeNext(() => nb.release('10.66.0.1'));
      expect(await na.release('10.66.0.1')).to.equal('released');
      await scene.all(LED, joined('J1'), joined('J2', 'b boot-1'));
    });

    it('B takes a share of the gateway while A, its last holder, gives it back: B makes it anew', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      b.link.beforeNext(() => na.release('10.66.0.1'));
      expect((await nb.gateway('10.66.0.1')).ip).to.equal('10.66.0.1');
      await scene.all(
        LED,
        joined('J1'),
        joined('J2', 'b boot-1'),
        claim(1, 'shared'),
        holder(1, 'J2', 'gateway b boot-1'),
      );
    });

    it('the gateway goes to a container once nobody holds it, and then not to a network', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.gateway();
      await net.release('10.66.0.1');
      await net.endpoint({ ip: '10.66.0.1', name: 'web' });
      expect(await refusal(net.gateway('10.66.0.1'))).to.match(
        /^taken: address 10\.66\.0\.1 is held by web on a since /,
      );
      expect((await net.gateway()).ip).to.equal('10.66.0.2');
      await scene.all(
        [`${POOL} open gateway=10.66.0.2`, 'spaces/local', joined('J1')],
        [claim(1, 'endpoint a boot-1 join=J1 name=web'), claim(2, 'shared'), holder(2, 'J1', 'gateway a boot-1')],
      );
    });
  });

  describe('a gateway that an operator frees', () => {
    const ONE = parseAddress('10.66.0.1');
    /** Looks, has that happen, and frees what it saw. */
    const free = async ({ host, ref }: Net, meanwhile: () => Promise<unknown> = async () => undefined) => {
      const seen = await standsBehind(host.link, ref, ONE, undefined, soon());
      await meanwhile();
      return freeByHand(host.link, ref, ONE, seen!, { keepMs: 600_000 }, scene.world.surroundings(), soon());
    };

    it('goes with all its holders, though they are more than a transaction has operations; all are told of', async () => {
      const na = await (await scene.world.host('a')).network(S);
      await na.gateway();
      const id = (n: number) => (0xf000 + n).toString(16).padStart(16, '0');
      const others = Array.from({ length: 200 }, (_, n) => n + 1);
      const since = '2026-01-01T00:00:00.000Z';
      for (const n of others) {
        await scene.world.plant(`nodes/n${n}`, { machine: `m${n}`, boot: 'b', since });
        await scene.world.plant(holder(1, id(n), '').trim(), { role: 'gateway', node: `n${n}`, since, token: id(n) });
      }
      let ops = 0;
      na.host.link.beforeCommit = ({ when, write }) => {
        ops = Math.max(ops, when.length, write.length);
      };
      expect(await free(na)).to.equal(true);
      expect(ops).to.be.at.most(128);
      const told = ['a', ...others.map((n) => `n${n}`)].map((node, n) =>
        had(1, `shared gateway join=${n === 0 ? 'J1' : id(n)} ${node} how=by hand`),
      );
      await scene.all(LED, joined('J1'), told);
    });

    it('stays with all that share it where one comes or goes after the look, or a host has a session anew', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      expect(await free(na, () => nb.gateway())).to.equal(false);
      expect(await free(na, () => nb.release('10.66.0.1'))).to.equal(false);
      await nb.gateway();
      await b.loseSession();
      expect(await free(na, () => scene.world.host('b'))).to.equal(false);
      await scene.all(LED, [joined('J1'), joined('J2', 'b boot-1')], claim(1, 'shared'), [
        ...[holder(1, 'J1', 'gateway a boot-1'), holder(1, 'J2', 'gateway b boot-1')],
      ]);
    });

    it('stays where a part in it moves without its claim, as a leader’s does, or a host’s record is written alone', async () => {
      const na = await (await scene.world.host('a')).network(S);
      await na.gateway();
      const since = '2026-01-01T00:00:00.000Z';
      const moved = { role: 'gateway', node: 'a', since, token: 'f000000000000002' };
      expect(await free(na, () => scene.world.plant(holder(1, 'J1', '').trim(), moved))).to.equal(false);
      const evicted = { machine: 'm', boot: 'boot-1', silence: 1, since, evicted: since };
      expect(await free(na, () => scene.world.plant('nodes/b', evicted))).to.equal(false);
      expect(await free(na)).to.equal(true);
    });

    it('whose answer is lost is freed, and stays freed where another has it by then', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      na.host.link.loseAnswer();
      expect(await free(na)).to.equal(true);
      await na.gateway();
      const stuck = na.host.link.stick();
      expect(await free(na)).to.equal(false);
      await nb.gateway();
      expect(await stuck.land()).to.equal(false);
      expect((await scene.world.records()).filter((line) => line.startsWith('holders/'))).to.have.length(2);
    });
  });
}
