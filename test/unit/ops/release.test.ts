// What speaks against freeing an address by hand, and that --force is needed where something does.
import { expect } from 'chai';
import { parseAddress } from '../../../src/net/address.js';
import { formatRelease, type Release, release } from '../../../src/ops/release.js';
import { formatWho, whoHas } from '../../../src/ops/who.js';
import { type Host, LIMITS, soon, World } from '../../support/allocator-fixture.js';

const S = '10.66.0.0/24';
const CLAIM = 'claims/local/v4/010.066.000.000-24/010.066.000.009';
const UNREADABLE = 'this version cannot read who has it: upgrade, or look at it with etcdctl get';

describe('a release by hand', () => {
  let world: World;
  let [a, b]: Host[] = [];

  beforeEach(async () => {
    world = new World();
    [a, b] = [await world.host('a'), await world.host('b')];
  });

  const ask = (ip: string, force: boolean): Promise<Release> => {
    const options = { space: 'local', yes: true, force, goneRounds: LIMITS.gone, keepMs: 0, now: () => new Date() };
    return release(a!.link, parseAddress(ip), options, soon());
  };
  const lines = (done: Release) => formatRelease(done, { yes: true }).split('\n');
  const claims = async () => (await world.records()).filter((line) => line.startsWith('claims/'));

  it('of what a newer version has written needs --force, since nobody can tell whose it is', async () => {
    await a!.network(S);
    await world.plant(CLAIM, { kind: 'service', node: 'b', owner: 'web', since: '2026-11-29', token: 't' });
    const refused = await ask('10.66.0.9', false);
    expect([refused.released, refused.against]).to.deep.equal([false, [UNREADABLE]]);
    expect(lines(refused)).to.deep.equal([
      '10.66.0.9 of 10.66.0.0/24 in local: a record that this version cannot read',
      `not released: ${UNREADABLE}; if it is unused all the same, add --force`,
    ]);
    expect(await claims()).to.have.length(1);
    const answers = await whoHas(a!.link, parseAddress('10.66.0.9'), LIMITS.gone, soon());
    expect(formatWho(parseAddress('10.66.0.9'), answers)).to.equal(
      '10.66.0.9 of 10.66.0.0/24 in local: a record that this version cannot read',
    );
    expect(await ask('10.66.0.9', true)).to.include({ released: true });
    expect(await claims()).to.deep.equal([]);
  });

  it('of a gateway names whose networks have it, and that a container may be given it; also of hosts that are gone', async () => {
    const [na, nb] = [await a!.network(S), await b!.network(S)];
    await na.gateway();
    await nb.gateway();
    await nb.aux('10.66.0.2');
    const consequence = 'as gateway, and a container may be given it';
    expect((await ask('10.66.0.1', false)).against).to.deep.equal([
      'a and b are alive',
      `networks of a and b have it ${consequence}`,
    ]);
    await b!.loseSession();
    await world.silence(a!, LIMITS.gone);
    const aux = 'networks of b have it as auxiliary address, and a container may be given it';
    expect((await ask('10.66.0.2', false)).against).to.deep.equal([aux]);
    await na.releasePool();
    const refused = await ask('10.66.0.1', false);
    expect(lines(refused).slice(1)).to.deep.equal([
      '  gateway   of b, which is gone',
      `not released: networks of b have it ${consequence}; if it is unused all the same, add --force`,
    ]);
    expect(await ask('10.66.0.1', true)).to.include({ released: true });
    expect((await claims()).join()).to.match(/010\.066\.000\.002 shared$/);
  });

  it('of a gateway that nobody shares any more needs no --force', async () => {
    await a!.network(S);
    await world.plant(CLAIM, { kind: 'shared', since: '2026-11-29T00:00:00.000Z', token: 't' });
    expect(await ask('10.66.0.9', false)).to.deep.include({ released: true, against: [] });
  });
});
