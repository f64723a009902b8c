// Keys that are none of ours, or ours in another spelling, among those that are: whoever comes upon one goes past it. And parts in
// shared addresses that nobody can read. Both are told of by `etcd-ipam check` alone.
import { expect } from 'chai';
import { type Host, refusal } from '../../support/allocator-fixture.js';
import { claim, holder, joined, LED, S, type Scene } from './scene.js';

export function strays(scene: Scene): void {
  const CLAIMS = 'claims/local/v4/010.066.000.000-24';
  const said = { since: '2026-11-29T12:00:00.000Z', token: '00000000000000aa' };
  const web = (node: string) => ({ kind: 'endpoint', node, boot: 'boot-1', join: 'J9', name: 'x', ...said });

  /** Node b has been silent until it is to be forgotten. */
  async function withoutB(a: Host, b: Host): Promise<void> {
    await b.loseSession();
    await scene.world.silence(a, 6);
    expect(await scene.world.nodes()).to.deep.equal(['a 0']);
  }

  describe('keys that are none of ours', () => {
    it('between two claims keep nobody from the addresses beside them', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S, { range: '10.66.0.16/29' }), await b.network(S, { range: '10.66.0.16/29' })];
      for (const ip of [17, 19, 20]) await nb.endpoint({ ip: `10.66.0.${ip}`, name: `b${ip}` });
      for (const stray of ['010.066.000.019x', '010.066.000.20', '010.066.000.020x', '010.066.000.020/y', '10.66.0.18'])
        await scene.world.plant(`${CLAIMS}/${stray}`, web('b'));
      const given: string[] = [];
      for (let i = 0; i < 5; i++) given.push((await na.endpoint({ name: `a${i}` })).ip);
      expect(given.sort()).to.deep.equal([16, 18, 21, 22, 23].map((one) => `10.66.0.${one}`));
      expect(await refusal(na.endpoint({ name: 'more' }))).to.match(/^pool_exhausted: /);
      expect((await na.gateway()).ip).to.equal('10.66.0.1');
    });

    it('are not taken over when nothing is free, whether they seem to rest or to be of a node that is gone', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      await b.loseSession();
      await scene.world.silence(a, 4);
      const net = await a.network(S, { range: '10.66.0.16/31' });
      for (const name of ['c1', 'c2']) await net.endpoint({ name });
      await scene.world.plant(`${CLAIMS}/010.066.000.016x`, web('b'));
      await scene.world.plant(`${CLAIMS}/010.066.000.16`, { kind: 'cooling', ...said });
      expect(await refusal(net.endpoint({ name: 'c3' }))).to.match(/^pool_exhausted: /);
    });

    it('among pools refuse nobody a network, named or not, and hide no pool that is in the way', async () => {
      const a = await scene.world.host('a', { predefined: '10.208.0.0/14/24' });
      for (const [key, value] of [
        ['x', 'a note'],
        ['010.208.000.000-24x', {}],
        ['010.208.000.000-33', {}],
        ['010.208.000.000-24/y', {}],
        ['010.211.000.000', 'text'],
      ] as const)
        await scene.world.plant(`pools/local/v4/${key}`, value);
      await scene.world.plant('pools/local/note', 'remember');
      const nets = [await a.anyNetwork(), await a.anyNetwork()];
      expect(nets.map(({ ref }) => ref.prefix.first)).to.deep.equal([0x0ad00000n, 0x0ad00100n]);
      await a.network('10.211.0.0/16');
      for (const last of [240, 241, 242, 243])
        for (let i = 0; i < 5; i++) await scene.world.plant(`pools/local/v4/010.211.${last}.000-24x${i}`, '{}');
      expect(await refusal(a.network('10.211.243.0/24'))).to.match(/^overlap: .* overlaps with 10\.211\.0\.0\/16 /);
      await a.network('10.212.0.0/24');
      const operator = await scene.world.operator('10.211.243.0/24');
      expect(await refusal(operator.exclude('10.211.243.7'))).to.match(/^overlap: .* with pool 10\.211\.0\.0\/16$/);
    });

    it('that name a node which is forgotten stay, and do not hold that up; the pool goes with them', async () => {
      scene.world.keepMs = 60_000;
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const net = await b.network(S);
      await net.gateway();
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await scene.world.plant(`${CLAIMS}/010.066.000.009x`, web('b'));
      await scene.world.plant(`${holder(1, 'x/y', '').trim()}`, {
        role: 'gateway',
        node: 'b',
        boot: 'boot-1',
        ...said,
      });
      await scene.world.plant('joins/local/note', { node: 'b', boot: 'boot-1', ...said });
      await withoutB(a, b);
      const left = (await scene.world.records()).filter((line) => !/^history/.test(line));
      expect(left).to.deep.equal(['joins/local/note b boot-1']);
    });

    it('among joins and claims keep no host from its own network', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await scene.world.plant('joins/local/v4/010.066.000.000-24/x/y', 'no record');
      await scene.world.plant(`${CLAIMS}/010.066.000.009x`, { ...web('a'), join: net.ref.join });
      await net.release('10.66.0.9');
      await net.releasePool();
      expect(await scene.pools()).to.have.length(1);
    });
  });

  describe('a part in a shared address that nobody can read', () => {
    const unread = holder(1, '00000000000000ff', '').trim();

    it('stays, keeps the address, and holds up neither who gives its part back nor who forgets another node', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(S), await b.network(S)];
      await na.gateway();
      await nb.gateway();
      await scene.world.plant(unread, 'no JSON');
      await withoutB(a, b);
      const kept = [`${unread} "no JSON"`, claim(1, 'shared')];
      await scene.all(LED, joined('J1'), holder(1, 'J1', 'gateway a boot-1'), kept);
      await na.release('10.66.0.1');
      await scene.all(LED, joined('J1'), kept);
      await na.releasePool();
      await scene.all();
    });

    it('goes with a pool whose last network was of a node that is forgotten', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      await (await b.network(S)).gateway();
      await scene.world.plant(unread, { role: 'router' });
      await withoutB(a, b);
      await scene.all();
    });

    it('may be the gateway, so that its address is given to no container', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await scene.world.plant(claim(9, '').trim(), { kind: 'shared', ...said });
      await scene.world.plant(holder(9, '00000000000000ff', '').trim(), 'no JSON');
      expect(await refusal(net.unsure('10.66.0.9'))).to.match(/^bad_record: .*00000000000000ff/);
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^bad_record: /);
    });
  });
}
