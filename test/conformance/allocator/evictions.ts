// Evictions: an operator's word, against a node that may come back at the same moment. Numbers are those of the
// counterexamples.
import { expect } from 'chai';
import { nodeKey } from '../../../src/ipam/keyspace.js';
import { evictNode, formatEviction } from '../../../src/ops/evict.js';
import { formatNodes, listNodes } from '../../../src/ops/nodes.js';
import { type Host, refusal, soon } from '../../support/allocator-fixture.js';
import { claim, holder, joined, LED, OPEN, S, type Scene } from './scene.js';

export function evictions(scene: Scene): void {
  const now = new Date('2030-01-01T00:00:00.000Z');
  const evict = (by: Host, node: string, { force = false, dryRun = false } = {}) =>
    evictNode(by.link, node, { force, dryRun, now }, soon());
  const left = claim(9, 'endpoint b boot-1 join=J1 name=web');

  /** Node b had .9 for its container web. */
  async function pair(): Promise<{ a: Host; b: Host }> {
    const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
    await (await b.network(S)).endpoint({ ip: '10.66.0.9', name: 'web' });
    return { a, b };
  }

  describe('evictions', () => {
    it('N19: a silent node is evicted: its address is to be had at once, by number', async () => {
      const { a, b } = await pair();
      await b.loseSession();
      const net = await a.network(S);
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.match(/^taken: /);
      expect(await evict(a, 'b')).to.deep.equal({
        ...{ node: 'b', evicted: true, forced: false },
        takeable: [{ space: 'local', pool: S, addresses: 1 }],
      });
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0 evicted']);
      expect((await net.endpoint({ ip: '10.66.0.9', name: 'db' })).from).to.equal('b');
      await scene.all(
        OPEN,
        joined('J1', 'b boot-1'),
        joined('J2'),
        claim(9, 'endpoint a boot-1 join=J2 name=db from=b'),
      );
    });

    it('a living node is refused, with and without a dry run, and nothing changes', async () => {
      const { a } = await pair();
      for (const dryRun of [true, false])
        expect(await refusal(evict(a, 'b', { dryRun }))).to.match(
          /^node_alive: node b is alive: stop its plugin first/,
        );
      expect(await refusal(evict(a, 'c'))).to.equal('unknown_node: there is no node c');
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      await scene.all(OPEN, joined('J1', 'b boot-1'), left);
    });

    it('a dry run counts what others could take by pool, not what b shares, is unsure of or leads, and changes nothing', async () => {
      const { a, b } = await pair();
      const more = await b.network('10.67.0.0/24', { space: 'local.blue' });
      await more.gateway('10.67.0.1');
      await more.unsure('10.67.0.5');
      for (const name of ['one', 'two']) await more.endpoint({ name });
      await (await b.network('10.68.0.0/24', { space: 'global' })).task();
      await b.loseSession();
      const before = await scene.world.records();
      expect(formatEviction(await evict(a, 'b', { dryRun: true })).split('\n')).to.deep.equal([
        'node b would be evicted',
        'others could take from it:',
        '  10.67.0.0/24 in local.blue: 2',
        '  10.66.0.0/24 in local: 1',
      ]);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      expect(await scene.world.records()).to.deep.equal(before);
    });

    it('the operator looks, b comes back, the operator evicts: refused, since b is alive', async () => {
      const { a, b } = await pair();
      await b.loseSession();
      a.link.beforeNext(() => scene.world.host('b'));
      expect(await refusal(evict(a, 'b'))).to.match(/^node_alive: /);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      await scene.all(OPEN, joined('J1', 'b boot-1'), left);
    });

    it('the operator looks, a session appears under the same record, the operator evicts: refused', async () => {
      const { a, b } = await pair();
      await b.loseSession();
      a.link.beforeNext(() => scene.world.plant('sessions/b/i99', { token: 't' }));
      expect(await refusal(evict(a, 'b'))).to.match(/^node_alive: /);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
    });

    it('the operator looks, a round is counted, the operator evicts: that round is kept', async () => {
      const { a, b } = await pair();
      const c = await scene.world.host('c');
      await b.loseSession();
      a.link.beforeNext(() => scene.world.silence(c));
      expect((await evict(a, 'b')).evicted).to.equal(true);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 1 evicted', 'c 0']);
      await scene.world.silence(c);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 2 evicted', 'c 0']);
    });

    it('its answer is lost: the eviction is known again, and not done twice', async () => {
      const { a, b } = await pair();
      await b.loseSession();
      const { commits } = a.link;
      a.link.loseAnswer();
      expect((await evict(a, 'b')).evicted).to.equal(true);
      expect(a.link.commits).to.equal(commits);
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0 evicted']);
    });

    it('#24: forced, a living node loses its session: what it was about to be granted it gets by a new one only, or not', async () => {
      const { a, b } = await pair();
      const net = await b.network('10.67.0.0/24');
      const before = await sessions(a, 'b');
      b.link.beforeNext(async () => {
        expect((await evict(a, 'b', { force: true })).forced).to.equal(true);
      });
      const granted = await net.endpoint({ ip: '10.67.0.9', name: 'late' }).then(
        () => true,
        () => false,
      );
      expect(await sessions(a, 'b')).to.not.include.members(before);
      // The double's process makes no new session, a real one does, and is alive with it.
      expect(await scene.world.nodes()).to.deep.equal(['a 0', granted ? 'b 0' : 'b 0 evicted']);
      const late = (await scene.world.records()).filter((line) => line.includes('name=late'));
      expect(late.length).to.equal(granted ? 1 : 0);
    });

    it('the operator looks, b boots anew, the operator forces its eviction: looked again, and the new boot is in the record', async () => {
      const { a, b } = await pair();
      a.link.beforeNext(() => scene.rebooted(b));
      expect((await evict(a, 'b', { force: true })).forced).to.equal(true);
      expect(a.link.lost).to.equal(1);
      expect(await sessions(a, 'b')).to.deep.equal([]);
      const [found] = await a.link.read([{ one: nodeKey('b') }], soon());
      expect(found?.record).to.include({ boot: 'boot-2', evicted: now.toISOString() });
      await scene.all(OPEN, joined('J1', 'b boot-1'), left);
    });

    it('an evicted node that comes back is alive at once, evicted no more, and keeps what nobody took', async () => {
      const { a, b } = await pair();
      await b.loseSession();
      await evict(a, 'b');
      await scene.world.host('b');
      expect(await scene.world.nodes()).to.deep.equal(['a 0', 'b 0']);
      const net = await a.network(S);
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.match(/^taken: /);
      await scene.all(OPEN, joined('J1', 'b boot-1'), joined('J2'), left);
    });

    it('its gateway and its networks stay until it is forgotten, 6 rounds after it fell silent', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      await (await b.network(S)).gateway('10.66.0.1');
      await b.loseSession();
      await evict(a, 'b');
      await scene.world.silence(a, 5);
      await scene.all(LED, joined('J1', 'b boot-1'), claim(1, 'shared'), holder(1, 'J1', 'gateway b boot-1'));
      await scene.world.silence(a);
      expect(scene.world.roundsTold).to.deep.equal(['forgotten b 6']);
      await scene.all();
    });
  });

  describe('the list of nodes', () => {
    it('says who is alive, silent, gone and evicted, and what holds the brake', async () => {
      const [a, b, c] = [await scene.world.host('a'), await scene.world.host('b'), await scene.world.host('c')];
      for (const host of [a, b, c]) await host.network(S);
      await b.loseSession();
      await scene.world.silence(a, 4);
      await c.loseSession();
      await evict(a, 'c');
      await (await scene.world.host('d')).loseSession();
      await scene.world.silence(a);
      await scene.world.plant('brake', { silent: 2, of: 3, since: 'then' });
      const seen = await listNodes(a.link, 4, soon());
      expect(seen.nodes.map(({ node, state, silence, joins }) => [node, state, silence, joins])).to.deep.equal([
        ['a', 'alive', 0, 1],
        ['b', 'gone', 5, 1],
        ['c', 'evicted', 1, 1],
        ['d', 'silent', 1, 0],
      ]);
      const lines = formatNodes({ ...seen, nodes: seen.nodes.slice(1) }, 30_000).split('\n');
      expect(lines).to.deep.equal([
        'NODE  STATE    SINCE                     SILENT FOR  JOINS  MACHINE',
        'b     gone                               2 min       1      m-b',
        'c     evicted  2030-01-01T00:00:00.000Z  30 s        1      m-c',
        'd     silent                             30 s        0      m-d',
        '',
        "2 of 3 nodes fell silent together, so since then nobody's silence counts:",
        'if they are gone for good, evict them',
      ]);
    });
  });

  async function sessions(host: Host, node: string): Promise<string[]> {
    const span = { from: `sessions/${node}/`, to: `sessions/${node}0`, decode: (json: unknown) => json };
    const [{ found }] = await host.link.read([{ span, limit: 0 }], soon());
    return found.map(({ key, version }) => `${key} ${version}`);
  }
}
