// Boots of a node: what its containers of before leave to it, and last to others. Numbers are those of the
// counterexamples.
import { expect } from 'chai';
import { type Host, refusal, soon } from '../../support/allocator-fixture.js';
import { claim, joined, OPEN, S, type Scene } from './scene.js';

export function boots(scene: Scene): void {
  describe('boots', () => {
    it("#21: by number, an address of the node's own earlier boot is granted at once", async () => {
      const old = await scene.world.host('a');
      await (await old.network(S)).endpoint({ ip: '10.66.0.9', name: 'web' });
      const a = await scene.rebooted(old);
      const net = await a.network(S);
      expect((await net.endpoint({ ip: '10.66.0.9' })).attempts).to.equal(2);
      await scene.all(OPEN, joined('J1'), joined('J2', 'a boot-2'), claim(9, 'endpoint a boot-2 join=J2'));
    });

    /** Node a had .9 for its container web before it booted anew; b has no address but that. */
    const another = async () => {
      const old = await scene.world.host('a');
      await (await old.network(S)).endpoint({ ip: '10.66.0.9', name: 'web' });
      const a = await scene.rebooted(old);
      const b = await scene.world.host('b', { boot: 'boot-9' });
      return { a, b, net: await b.network(S, { range: '10.66.0.9/32' }) };
    };
    const BOTH = [OPEN, joined('J1'), joined('J2', 'b boot-9 range=10.66.0.9/32')].flat();
    const left = claim(9, 'endpoint a boot-1 join=J1 name=web');
    /** Before b commits what rests on a's record. */
    const beforeTaking = (b: Host, first: () => Promise<unknown>) => {
      b.link.beforeCommit = async ({ when }) => {
        if (!when.some((one) => 'key' in one && one.key.key === 'nodes/a')) return;
        b.link.beforeCommit = () => undefined;
        await first();
      };
    };

    it("#21: another node's earlier boot gives nothing by number, and dynamically what it left is last", async () => {
      const { b, net } = await another();
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^taken: /);
      await scene.all(BOTH, left);
      const wide = await b.network(S, { range: '10.66.0.8/31' });
      expect([(await wide.endpoint({ name: 'c1' })).ip, (await wide.endpoint({ name: 'c2' })).ip]).to.deep.equal([
        '10.66.0.8',
        '10.66.0.9',
      ]);
      expect(await refusal(wide.endpoint({ name: 'c3' }))).to.match(/^pool_exhausted: /);
      await scene.all(BOTH, joined('J3', 'b boot-9 range=10.66.0.8/31'), [
        claim(8, 'endpoint b boot-9 join=J3 name=c1'),
        claim(9, 'endpoint b boot-9 join=J3 name=c2 from=a'),
      ]);
    });

    it('the node asks for its own again while another is being given it: it has it', async () => {
      const { a, b, net } = await another();
      beforeTaking(b, async () => (await a.network(S)).endpoint({ ip: '10.66.0.9', name: 'web' }));
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      await scene.all(BOTH, joined('J3', 'a boot-2'), claim(9, 'endpoint a boot-2 join=J3 name=web'));
    });

    it('the node asks for its own again, and another is given it meanwhile: the node is told who has it', async () => {
      const { a, net } = await another();
      const na = await a.network(S);
      const before = a.link.commits;
      a.link.beforeCommit = async ({ when }) => {
        if (!when.some((one) => 'key' in one && one.key.key === 'nodes/a')) return;
        a.link.beforeCommit = () => undefined;
        const granted = await net.endpoint({ name: 'db' });
        expect([granted.ip, granted.from]).to.deep.equal(['10.66.0.9', 'a']);
      };
      expect(await refusal(na.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^taken: .* is held by db on b /);
      expect(a.link.commits - before).to.equal(2);
      await scene.all(BOTH, joined('J3', 'a boot-2'), claim(9, 'endpoint b boot-9 join=J2 name=db from=a'));
    });

    it('the node boots once more, or back into the boot of the claim, between look and commit: looked at again', async () => {
      const { b, net } = await another();
      const since = '2026-01-01T00:00:00.000Z';
      const says = (boot: string) => () =>
        scene.world.plant('nodes/a', { machine: 'machine-a', boot, silence: 0, since });
      beforeTaking(b, says('boot-1'));
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      await scene.all(BOTH, left);
      await says('boot-2')();
      scene.world.skippedMs += 300_000;
      beforeTaking(b, says('boot-3'));
      expect((await net.endpoint({ name: 'db' })).from).to.equal('a');
      await scene.all(BOTH, claim(9, 'endpoint b boot-9 join=J2 name=db from=a'));
    });

    it('while nobody can read the node’s record nothing counts as of an earlier boot', async () => {
      const { net } = await another();
      await scene.world.plant('nodes/a', { machine: 7 });
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      await scene.all(BOTH, left);
    });

    it('what is shared, unsure or reserved is given on by no boot', async () => {
      const old = await scene.world.host('a');
      const theirs = await old.network(S);
      await theirs.aux('10.66.0.8');
      await theirs.unsure('10.66.0.9');
      await scene.rebooted(old);
      const net = await (await scene.world.host('b', { boot: 'boot-9' })).network(S, { range: '10.66.0.8/31' });
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
    });

    it('#21: dynamically, an earlier boot is last: only when the range of 2 has nothing else', async () => {
      const old = await scene.world.host('a');
      await (await old.network(S)).endpoint({ ip: '10.66.0.8', name: 'web' });
      const a = await scene.rebooted(old);
      const net = await a.network(S, { range: '10.66.0.8/31' });
      expect((await net.endpoint({ name: 'c1' })).ip).to.equal('10.66.0.9');
      expect((await net.endpoint({ name: 'c2' })).ip).to.equal('10.66.0.8');
      expect(await refusal(net.endpoint({ name: 'c3' }))).to.match(/^pool_exhausted: /);
      await scene.all(OPEN, joined('J1'), joined('J2', 'a boot-2 range=10.66.0.8/31'), [
        claim(8, 'endpoint a boot-2 join=J2 name=c2'),
        claim(9, 'endpoint a boot-2 join=J2 name=c1'),
      ]);
    });

    it('#21: while the node record does not say so, no boot counts as an earlier one', async () => {
      const a = await scene.world.host('a');
      await (await a.network(S)).endpoint({ ip: '10.66.0.9', name: 'web' });
      // A process that believes in another boot than the node record, as one frozen over a reboot does.
      const frozen = await scene.world.host('a');
      Object.assign(frozen.self, { boot: 'boot-0' });
      const net = await frozen.network(S, { range: '10.66.0.9/32' });
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.match(/^taken: /);
      expect(await refusal(net.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      await scene.all(OPEN, joined('J1'), joined('J2', 'a boot-0 range=10.66.0.9/32'), [
        claim(9, 'endpoint a boot-1 join=J1 name=web'),
      ]);
    });

    it('#21: the old container asks again by number while the address is being given to a new one: one of them has it', async () => {
      const old = await scene.world.host('a');
      await (await old.network(S)).endpoint({ ip: '10.66.0.9', name: 'web' });
      const a = await scene.rebooted(old);
      const again = await scene.world.host('a', { boot: 'boot-2' });
      const [na, nb] = [await a.network(S), await again.network(S, { range: '10.66.0.9/32' })];
      again.link.beforeCommit = async ({ when }) => {
        const taking = when.some((one) => 'key' in one && one.key.key.startsWith('nodes/'));
        if (!taking) return;
        again.link.beforeCommit = () => undefined;
        await na.endpoint({ ip: '10.66.0.9', name: 'web' });
      };
      expect(await refusal(nb.endpoint({ name: 'db' }))).to.match(/^pool_exhausted: /);
      await scene.all(
        [OPEN, joined('J1'), joined('J2', 'a boot-2'), joined('J3', 'a boot-2 range=10.66.0.9/32')].flat(),
        claim(9, 'endpoint a boot-2 join=J2 name=web'),
      );
    });

    it('a claim of an earlier boot that an undo restores belongs to a join that is still there, or goes', async () => {
      const old = await scene.world.host('a');
      const before = await old.network(S);
      await before.endpoint({ ip: '10.66.0.9', name: 'web' });
      const a = await scene.rebooted(old);
      const net = await a.network(S);
      const taken = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await taken.undo(soon());
      await scene.all(OPEN, joined('J1'), joined('J2', 'a boot-2'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
      await (await net.aux('10.66.0.9')).undo(soon());
      await scene.all(OPEN, joined('J1'), joined('J2', 'a boot-2'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
      const again = await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      expect(await a.allocator.releasePool(before.ref, soon())).to.equal('released');
      await again.undo(soon());
      await scene.all(OPEN, joined('J2', 'a boot-2'));
    });
  });
}
