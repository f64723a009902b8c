// What processes remember of an etcd that is set back under them, on the double: revisions come again with other contents, and
// whatever was remembered must not take them for what it knew.
import { expect } from 'chai';
import { claimKey, poolKey } from '../../../src/ipam/keyspace.js';
import { parseAddress } from '../../../src/net/address.js';
import { claim, joined, OPEN, S } from '../../conformance/allocator/scene.js';
import { type Host, type Net, refusal, soon, World } from '../../support/allocator-fixture.js';
import { MemoryBackend } from '../../support/stores.js';

describe('a store that is set back', () => {
  let backend: MemoryBackend;
  let world: World;
  let a: Host;
  let net: Net;

  beforeEach(async () => {
    backend = new MemoryBackend();
    world = new World(backend);
    a = await world.host('a');
    net = await a.network(S);
  });

  const versionOf = async (ip: string) => {
    const [found] = await a.link.read([{ one: claimKey(net.ref, parseAddress(ip)) }], soon());
    return found!.version;
  };
  const all = async (...lines: string[]) => expect(await world.records()).to.deep.equal([...OPEN, ...lines].sort());

  it('names no revision as it had named one before, and compares each with its own history only', async () => {
    const before = backend.snapshot();
    await net.endpoint({ ip: '10.66.0.9', name: 'old' });
    const old = await versionOf('10.66.0.9');
    backend.restore(before);
    // As many writes as were lost.
    for (let i = 0; i < 5; i++)
      await world.plant('claims/local/v4/010.066.000.000-24/010.066.000.009', {
        kind: 'endpoint',
        node: 'b',
        since: 'x',
        token: `t${i}`,
      });
    expect(await versionOf('10.66.0.9')).to.not.equal(old);
    const removal = {
      when: [{ key: claimKey(net.ref, parseAddress('10.66.0.9')), version: old }],
      write: [{ remove: claimKey(net.ref, parseAddress('10.66.0.9')) }],
      otherwise: [],
    };
    expect((await a.link.commit(removal, soon())).done).to.equal(false);
    const [pool] = await a.link.read([{ one: poolKey(net.ref) }], soon());
    expect(
      (await a.link.commit({ ...removal, when: [{ key: poolKey(net.ref), version: pool!.version }] }, soon())).done,
    ).to.equal(true);
  });

  it('a release waits, the store is set back: it frees what was there, and nothing that was given since', async () => {
    await net.endpoint({ ip: '10.66.0.9', name: 'had' });
    const before = backend.snapshot();
    await net.endpoint({ ip: '10.66.0.10', name: 'lost' });
    for (let i = 0; i < 20; i++) await world.plant('filler', String(i));
    await world.plant('filler', undefined);
    const retries = world.holdRetries();
    a.link.away = true;
    expect(await Promise.all(['10.66.0.9', '10.66.0.10'].map((ip) => net.release(ip)))).to.deep.equal([
      'queued',
      'queued',
    ]);
    await retries.asleep(2);
    backend.restore(before);
    a.link.away = false;
    // Its number is far below what was known when the release was asked for.
    expect((await net.endpoint({ ip: '10.66.0.10', name: 'again' })).ip).to.equal('10.66.0.10');
    retries.end();
    await a.settled();
    await all(joined('J1'), claim(10, 'endpoint a boot-1 join=J1 name=again'));
  });

  it('a pool is gone with the store before: the network is to be made again, and nothing is given from memory', async () => {
    const lost = await a.network('10.67.0.0/24');
    const before = backend.snapshot();
    const since = await a.network('10.68.0.0/24');
    await since.endpoint({ name: 'web' });
    backend.restore(before);
    a.allocator.beginAnew();
    expect(await refusal(since.endpoint({ name: 'next' }))).to.match(
      /^unknown_pool: .* is not in etcd any more; re-create the network$/,
    );
    expect((await lost.endpoint({ name: 'next' })).ip).to.equal('10.67.0.1');
  });

  it('what was learnt of free and taken addresses is forgotten: a pool that was full has room', async () => {
    const small = await a.network('10.69.0.0/30');
    const before = backend.snapshot();
    for (const name of ['one', 'two']) await small.endpoint({ name });
    expect(await refusal(small.endpoint({ name: 'three' }))).to.match(/^pool_exhausted: /);
    backend.restore(before);
    a.allocator.beginAnew();
    expect((await small.endpoint({ name: 'three' })).ip).to.equal('10.69.0.1');
  });

  it('an undo finds its grant gone, or another in its place: it takes back neither', async () => {
    const before = backend.snapshot();
    const [gone, replaced] = [await net.endpoint({ ip: '10.66.0.9' }), await net.endpoint({ ip: '10.66.0.10' })];
    backend.restore(before);
    await net.endpoint({ ip: '10.66.0.10', name: 'again' });
    await Promise.all([gone.undo(soon()), replaced.undo(soon())]);
    await all(joined('J1'), claim(10, 'endpoint a boot-1 join=J1 name=again'));
  });

  it('has the rules that were in the backup, in the pool as in their own record, and takes new ones', async () => {
    const operator = await world.operator(S);
    await operator.exclude('10.66.0.1-10.66.0.9');
    const before = backend.snapshot();
    await operator.exclude('10.66.0.10');
    expect(await refusal(net.endpoint({ ip: '10.66.0.10', name: 'web' }))).to.match(/^excluded: /);
    backend.restore(before);
    expect((await net.endpoint({ ip: '10.66.0.10', name: 'web' })).ip).to.equal('10.66.0.10');
    expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'db' }))).to.match(/^excluded: /);
    expect(await refusal(operator.exclude('10.66.0.10'))).to.match(/^in_use: /);
    await operator.exclude('10.66.0.11');
    expect((await net.endpoint({ name: 'db' })).ip).to.equal('10.66.0.12');
    const rules = 'excluded=10.66.0.1-10.66.0.9,10.66.0.11-10.66.0.11 reserved=';
    expect(await world.records()).to.include.members([
      `pools/local/v4/010.066.000.000-24 open rules=${rules.replace(' ', ';')}`,
      `rules/local/v4/010.066.000.000-24 ${rules}`,
    ]);
  });

  it('an operator looks, the store is set back, he excludes: he looks again, at whoever has the address by then', async () => {
    const operator = await world.operator(S);
    await net.endpoint({ ip: '10.66.0.7', name: 'old' });
    const before = backend.snapshot();
    await net.release('10.66.0.7');
    for (let i = 0; i < 9; i++) await world.plant('nodes/other', { machine: 'm', boot: 'b', since: String(i) });
    operator.link.beforeNext(async () => backend.restore(before));
    expect(await refusal(operator.exclude('10.66.0.7'))).to.match(/^in_use: 10\.66\.0\.7 is held by old on a/);
  });
});
