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
  let a: Host;

  beforeEach(async () => {
    world = new World();
    a = await world.host('a');
  });

  const ask = (ip: string, force: boolean): Promise<Release> => {
    const options = { space: 'local', yes: true, force, goneRounds: LIMITS.gone, keepMs: 0, now: () => new Date() };
    return release(a.link, parseAddress(ip), options, soon());
  };
  const lines = (done: Release) => formatRelease(done, { yes: true }).split('\n');
  const claims = async () => (await world.records()).filter((line) => line.startsWith('claims/'));

  it('of what a newer version has written needs --force, since nobody can tell whose it is', async () => {
    await a.network(S);
    await world.plant(CLAIM, { kind: 'service', node: 'b', owner: 'web', since: '2026-11-29', token: 't' });
    const refused = await ask('10.66.0.9', false);
    expect([refused.released, refused.against]).to.deep.equal([false, [UNREADABLE]]);
    expect(lines(refused)).to.deep.equal([
      '10.66.0.9 of 10.66.0.0/24 in local: a record that this version cannot read',
      `not released: ${UNREADABLE}; if it is unused all the same, add --force`,
    ]);
    expect(await claims()).to.have.length(1);
    const answers = await whoHas(a.link, parseAddress('10.66.0.9'), LIMITS.gone, soon());
    expect(formatWho(parseAddress('10.66.0.9'), answers)).to.equal(
      '10.66.0.9 of 10.66.0.0/24 in local: a record that this version cannot read',
    );
    expect(await ask('10.66.0.9', true)).to.include({ released: true });
    expect(await claims()).to.deep.equal([]);
  });
});
