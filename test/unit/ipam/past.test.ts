// The past where etcd was set back to a backup: what it tells is of the backup, and what ends again is told once.
import { expect } from 'chai';
import { tenuresBehind } from '../../../src/ipam/keyspace.js';
import { isTenure } from '../../../src/ipam/tenures.js';
import { parseAddress } from '../../../src/net/address.js';
import { whoHadAt } from '../../../src/ops/had.js';
import { soon, World } from '../../support/allocator-fixture.js';
import { MemoryBackend } from '../../support/stores.js';

const S = '10.66.0.0/24';
const NINE = parseAddress('10.66.0.9');

describe('the past, after etcd was restored from a backup', () => {
  it('a container that was released since has its address until it is released once more, and is told of once', async () => {
    const backend = new MemoryBackend();
    const world = new World(backend);
    world.keepMs = 600_000;
    const a = await world.host('a');
    const net = await a.network(S);
    await net.endpoint({ ip: '10.66.0.9', name: 'web' });
    const backup = backend.snapshot();
    world.skippedWallMs += 60_000;
    await net.release('10.66.0.9');
    world.skippedWallMs += 60_000;
    await net.endpoint({ ip: '10.66.0.9', name: 'db' });
    const had = async () => {
      const at = new Date(Date.now() + world.skippedWallMs);
      const [then] = await whoHadAt(a.link, NINE, at, soon());
      return then!.had.map(({ name, until }) => `${name}${until === undefined ? '' : ' past'}`);
    };
    world.skippedWallMs += 60_000;
    expect(await had()).to.deep.equal(['db']);
    backend.restore(backup);
    a.allocator.beginAnew();
    expect(await had()).to.deep.equal(['web']);
    expect((await world.records()).filter((line) => line.startsWith('history/'))).to.deep.equal([]);
    await net.release('10.66.0.9');
    world.skippedWallMs += 60_000;
    expect(await had()).to.deep.equal([]);
    expect((await world.records()).filter((line) => line.startsWith('history/'))).to.deep.equal([
      'history/local/v4/010.066.000.009 pool=10.66.0.0/24 endpoint join=J1 name=web a how=released',
    ]);
  });

  it('of an IPv6 address, in a space with a name, is under a key that a check knows', async () => {
    const world = new World(new MemoryBackend());
    world.keepMs = 600_000;
    const a = await world.host('a');
    const net = await a.network('fd00:66::/64', { space: 'local.blue' });
    await net.endpoint({ ip: 'fd00:66::9', name: 'web' });
    await net.release('fd00:66::9');
    const [{ keys }] = await a.link.read([{ keys: tenuresBehind(undefined), limit: 0 }], soon());
    expect(keys).to.have.length(1);
    expect(keys[0]).to.match(/^history\/local\.blue\/v6\/fd00:0066:0000:0000:0000:0000:0000:0009\//);
    expect(isTenure(keys[0]!)).to.equal(true);
    expect(isTenure(keys[0]!.replace('0066', '66'))).to.equal(false);
    expect(isTenure(keys[0]!.replace('v6/fd', 'v6/fg'))).to.equal(false);
    const [then] = await whoHadAt(a.link, parseAddress('fd00:66::9'), new Date(0), soon());
    expect(then).to.deep.include({ space: 'local.blue', pool: 'fd00:66::/64', had: [] });
    expect(then!.after).to.include({ name: 'web', how: 'released' });
  });

  it('two at the very same instant are both told, and one that has ended then is not', async () => {
    const backend = new MemoryBackend();
    const world = new World(backend);
    world.keepMs = 600_000;
    const [a, b] = [await world.host('a'), await world.host('b')];
    const [na, nb] = [await a.network(S), await b.network(S)];
    await na.gateway('10.66.0.1');
    await nb.gateway('10.66.0.1');
    const at = new Date(Date.now() + 1_000);
    const ask = async (instant: Date) => {
      const [then] = await whoHadAt(a.link, parseAddress('10.66.0.1'), instant, soon());
      return then!.had.map(({ node, role }) => `${role} ${node}`).sort();
    };
    expect(await ask(at)).to.deep.equal(['gateway a', 'gateway b']);
    world.skippedWallMs += 60_000;
    await nb.releasePool();
    expect(await ask(at)).to.deep.equal(['gateway a', 'gateway b']);
    expect(await ask(new Date(Date.now() + 120_000))).to.deep.equal(['gateway a']);
  });
});
