// The mark of a restored backup: what it holds back and what goes on, who stamps, and who takes it away.
import { expect } from 'chai';
import { RESTORED, SESSIONS } from '../../../src/ipam/keyspace.js';
import { Resumption, readRestoration } from '../../../src/ipam/restoration.js';
import { formatResumed, resume } from '../../../src/ops/resume.js';
import { type Host, type Net, refusal, soon } from '../../support/allocator-fixture.js';
import { beside, foreign, network, SpokenEngine, shown } from '../../support/engine-shown.js';
import { claim, holder, joined, LED, OPEN, S, type Scene } from './scene.js';

const WAIT = 600_000;
const REFUSED =
  'restored: etcd was restored from a backup (seen by a at then: revision 9 fell to 5) and may not know of addresses given ' +
  'since: none is given until all hosts have reconciled, or etcd-ipam resume was run';
const MARK = 'restored a what=revision 9 fell to 5';

export function restored(scene: Scene): void {
  const mark = (token = 'mark-1') =>
    scene.world.plant('restored', { node: 'a', what: 'revision 9 fell to 5', since: 'then', token });

  async function instanceOf(host: Host): Promise<string> {
    const [{ keys }] = await host.link.read([{ keys: SESSIONS, limit: 0 }], soon());
    return keys
      .filter((key) => key.startsWith(`sessions/${host.self.node}/`))
      .at(-1)!
      .split('/')[2]!;
  }

  /** A host with an engine, and the looks of its reconciliation. */
  class Asked {
    readonly engine = new SpokenEngine();
    #around: (() => Promise<boolean>) | undefined;

    constructor(readonly host: Host) {
      this.engine.view = shown(network(S));
    }

    /** True if it took the mark away. */
    async look(): Promise<boolean> {
      this.#around ??= await this.#made();
      return this.#around();
    }

    async #made(): Promise<() => Promise<boolean>> {
      const { host, engine } = this;
      const { node } = host.self;
      const reconciler = host.allocator.reconciler({ engine, graceMs: WAIT, tell: () => undefined });
      const options = { node, instance: await instanceOf(host), waitMs: WAIT };
      const resumption = new Resumption(host.link, scene.world.surroundings(), options);
      return () =>
        resumption.around(
          (marked) => reconciler.look(marked),
          () => soon() + scene.world.skippedMs,
        );
    }
  }

  const pass = () => {
    scene.world.skippedMs += WAIT;
    scene.world.skippedWallMs += WAIT;
  };

  /** What `resume` would say of the hosts. */
  async function waited(by: Host): Promise<string[]> {
    const { nodes = [] } = (await readRestoration(by.link, soon())) ?? {};
    return nodes.map(({ node, reconciled }) => `${node} ${reconciled ? 'has' : 'has not'}`);
  }

  describe('an etcd that was restored', () => {
    let a: Host;
    let net: Net;

    beforeEach(async () => {
      a = await scene.world.host('a');
      net = await a.network(S);
    });

    it('gives no pool and no address, in one sentence; releases and undos go on', async () => {
      await net.gateway('10.66.0.1');
      const undone = await net.endpoint({ ip: '10.66.0.9', name: 'undone' });
      await net.endpoint({ ip: '10.66.0.10', name: 'web' });
      await mark();
      const asked = [
        ...[a.network('10.67.0.0/24'), a.network(S), net.endpoint({ name: 'x' }), net.endpoint({ ip: '10.66.0.11' })],
        ...[net.gateway(), net.unsure('10.66.0.12')],
      ];
      for (const said of await Promise.all(asked.map(refusal))) expect(said).to.equal(REFUSED);
      await undone.undo(soon());
      expect(await net.release('10.66.0.10')).to.equal('released');
      await scene.all(LED, MARK, joined('J1'), claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'));
      expect(await net.releasePool()).to.equal('released');
      await scene.all(MARK);
    });

    it('the mark is put between look and claim: refused, and nothing is written', async () => {
      a.link.beforeNext(() => mark());
      expect(await refusal(net.endpoint({ name: 'web' }))).to.equal(REFUSED);
      await scene.all(OPEN, MARK, joined('J1'));
    });

    it('a mark that an operator puts by hand, as `{}`, holds back as well', async () => {
      await scene.world.plant('restored', '{}');
      expect(await refusal(net.endpoint({ name: 'web' }))).to.match(
        /^restored: .*\(seen by an operator: a mark by hand\)/,
      );
    });

    it('two hosts: each claims what lives there, stamps when it has waited, and the last to do so takes the mark away', async () => {
      const b = await scene.world.host('b');
      await b.network(S);
      const [one, two] = [new Asked(a), new Asked(b)];
      one.engine.view = shown(network(S, { containers: { web: '10.66.0.9' } }));
      two.engine.view = shown(network(S, { containers: { db: '10.66.0.10' } }));
      await mark();
      // Seen twice, what lives is claimed; seen again after the wait, the host has reconciled.
      for (const each of [one, one, two, two]) expect(await each.look()).to.equal(false);
      const claims = [
        claim(9, 'endpoint a boot-1 join=J1 name=web mac=02:42:00:00:00:09'),
        claim(10, 'endpoint b boot-1 join=J2 name=db mac=02:42:00:00:00:10'),
      ];
      await scene.all(OPEN, MARK, joined('J1'), joined('J2', 'b boot-1'), claims);
      pass();
      expect(await one.look()).to.equal(false);
      expect(await waited(a)).to.deep.equal(['a has', 'b has not']);
      expect(await refusal(net.endpoint({ name: 'x' }))).to.equal(REFUSED);
      expect(await two.look()).to.equal(true);
      await scene.all(OPEN, joined('J1'), joined('J2', 'b boot-1'), claims);
      expect((await net.endpoint({ name: 'x' })).ip).to.equal('10.66.0.2');
    });

    it('the backup has the address for a container that is gone: the one that lives keeps it, whichever network goes', async () => {
      const second = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'old' });
      await net.endpoint({ ip: '10.66.0.10', name: 'same' });
      const one = new Asked(a);
      const containers = { web: '10.66.0.9', same: '10.66.0.10' };
      one.engine.view = shown(network(S), network(S, { name: 'second', containers }));
      await one.look();
      await mark();
      await one.look();
      const same = claim(10, 'endpoint a boot-1 join=J1 name=same');
      const web = (join: string) =>
        claim(9, `endpoint a boot-1 join=${join} guessed=true name=web mac=02:42:00:00:00:09`);
      await scene.all(OPEN, MARK, joined('J1'), joined('J2'), web('J1'), same);
      expect(await net.releasePool()).to.equal('released');
      await scene.all(OPEN, MARK, joined('J2'), web('J2'));
      expect(await second.release('10.66.0.9')).to.equal('released');
    });

    it('a stamps, c notices as well and renews the mark: the stamp counts for nothing, and a waits anew', async () => {
      const one = new Asked(a);
      await mark();
      a.link.beforeCommit = async ({ write }) => {
        const [first] = write;
        if (first && 'remove' in first && first.remove.key === RESTORED.key) {
          a.link.beforeCommit = () => undefined;
          await mark('mark-2');
        }
      };
      await one.look();
      pass();
      expect(await one.look()).to.equal(false);
      expect(await waited(a)).to.deep.equal(['a has not']);
      expect(await one.look()).to.equal(false);
      pass();
      expect(await one.look()).to.equal(true);
      await scene.all(OPEN, joined('J1'));
    });

    for (const [what, view] of [
      [
        'a container on a subnet in which the host has no part',
        shown(network(S), network('10.67.0.0/24', { containers: { lost: '10.67.0.9' } })),
      ],
      ['a container with an address that another has', shown(network(S, { containers: { db: '10.66.0.20' } }))],
      [
        'a network of a swarm, of which its leader alone knows what it gave',
        shown(network(S), network('10.80.0.0/24', { managed: true })),
      ],
      ['a network on its subnet that may have this driver by another name', beside(shown(network(S)), foreign(S))],
    ] as const) {
      it(`${what}: never stamps by itself`, async () => {
        const b = await scene.world.host('b');
        await (await b.network(S)).endpoint({ ip: '10.66.0.20', name: 'theirs' });
        const one = new Asked(a);
        one.engine.view = view;
        await mark();
        for (let turn = 0; turn < 4; turn++, pass()) expect(await one.look()).to.equal(false);
        expect(await waited(a)).to.deep.equal(['a has not', 'b has not']);
      });
    }

    it('the engine does not answer: the wait begins anew', async () => {
      const one = new Asked(a);
      await mark();
      await one.look();
      pass();
      const { view } = one.engine;
      one.engine.view = undefined;
      await one.look().catch(() => undefined);
      one.engine.view = view;
      expect(await one.look()).to.equal(false);
      pass();
      expect(await one.look()).to.equal(true);
    });

    it('a host without an engine, alive or not, is waited for; one that an operator gave up is not, until it lives again', async () => {
      const b = await scene.world.host('b');
      const one = new Asked(a);
      await mark();
      await one.look();
      for (let turn = 0; turn < 2; turn++) {
        pass();
        expect(await one.look()).to.equal(false);
        await b.loseSession();
      }
      await scene.world.plant('nodes/b', { machine: 'm-b', boot: 'boot-1', evicted: 'then', since: 'then' });
      const again = await scene.world.host('b');
      await scene.world.plant('nodes/b', { machine: 'm-b', boot: 'boot-1', evicted: 'then', since: 'then' });
      expect(await one.look()).to.equal(false);
      await again.loseSession();
      expect(await one.look()).to.equal(true);
      await scene.all(OPEN, joined('J1'));
    });

    it('a swarm has a pool: all hosts have reconciled, and the mark stays for an operator', async () => {
      await a.network('10.80.0.0/24', { space: 'global.blue' });
      const one = new Asked(a);
      await mark();
      await one.look();
      pass();
      expect(await one.look()).to.equal(false);
      expect(await waited(a)).to.deep.equal(['a has']);
      expect(formatResumed(await resume(a.link, true, soon()))).to.equal(
        [
          'etcd was restored from a backup: seen by a at then, revision 9 fell to 5',
          '  a: has reconciled',
          'what the leader of a swarm gave since the backup no engine shows: restart its engine after this',
          'addresses would be given again, all hosts having reconciled',
        ].join('\n'),
      );
    });

    it('`resume` takes it away whoever has not reconciled, once, also when it is renewed meanwhile', async () => {
      await mark();
      const records = await scene.world.records();
      expect(await resume(a.link, true, soon())).to.include({ resumed: false, swarm: false });
      expect(await scene.world.records()).to.deep.equal(records);
      a.link.beforeNext(() => mark('mark-2'));
      const done = await resume(a.link, false, soon());
      expect(done).to.deep.include({
        resumed: true,
        nodes: [{ node: 'a', living: true, evicted: false, reconciled: false }],
      });
      await scene.all(OPEN, joined('J1'));
      expect(await resume(a.link, false, soon())).to.deep.equal({ resumed: false, nodes: [], swarm: false });
      expect((await net.endpoint({ name: 'x' })).ip).to.equal('10.66.0.1');
    });

    it('the answer to its removal is lost: `resume` says that it is done', async () => {
      await mark();
      a.link.loseAnswer();
      expect(await resume(a.link, false, soon())).to.include({ resumed: true });
      await scene.all(OPEN, joined('J1'));
    });

    it('no round counts silence while the mark stands', async () => {
      const b = await scene.world.host('b');
      await b.loseSession();
      await mark();
      await scene.world.silence(a, 3);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      await resume(a.link, false, soon());
      await scene.world.silence(a, 1);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 1']);
    });

    it('a counts, the mark is put, a goes on: nobody is forgotten', async () => {
      const b = await scene.world.host('b');
      await b.loseSession();
      await scene.world.silence(a, 5);
      a.link.beforeNext(async () => {
        a.link.beforeRead = async () => {
          a.link.beforeRead = () => undefined;
          await mark();
        };
      });
      await scene.world.silence(a);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 6']);
    });
  });
}
