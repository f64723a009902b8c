// What is said of a pool that is not there, and of which it is not said.
import { expect } from 'chai';
import { parseAddress } from '../../../src/net/address.js';
import { parsePrefix } from '../../../src/net/prefix.js';
import { listClaims } from '../../../src/ops/claims.js';
import { rulePool, showRules } from '../../../src/ops/rules.js';
import { type Host, refusal, soon, World } from '../../support/allocator-fixture.js';

const S = '10.66.0.0/24';

describe('a pool that is asked for and is not there', () => {
  let world: World;
  let a: Host;

  beforeEach(async () => {
    world = new World();
    a = await world.host('a');
    await a.network(S, { space: 'local.blue' });
  });

  const claims = async (pool: string, space = 'local') => {
    const found = [];
    for await (const page of listClaims(a.link, { space, prefix: parsePrefix(pool) }, {}, soon())) found.push(...page);
    return found.map(({ address }) => address);
  };

  it('is no empty list of claims: which spaces have it is named, or the pool that it overlaps with', async () => {
    expect(await claims(S, 'local.blue')).to.deep.equal([]);
    expect(await refusal(claims('10.67.0.0/24'))).to.equal('unknown_pool: there is no pool 10.67.0.0/24 in local');
    expect(await refusal(claims(S))).to.equal(`unknown_pool: there is no pool ${S} in local; local.blue has one`);
    await a.network(S, { space: 'global' });
    expect(await refusal(claims(S))).to.equal(
      `unknown_pool: there is no pool ${S} in local; global, local.blue have one`,
    );
    for (const pool of ['10.66.0.0/25', '10.66.0.0/16'])
      expect(await refusal(claims(pool, 'local.blue'))).to.equal(
        `unknown_pool: ${pool} is no pool of space local.blue: it overlaps with pool ${S}`,
      );
  });

  it('has its claims listed, where some are left of it', async () => {
    await world.plant('claims/local/v4/010.067.000.000-24/010.067.000.009', { kind: 'endpoint', since: '', token: '' });
    expect(await claims('10.67.0.0/24')).to.deep.equal(['10.67.0.9']);
  });

  it('may have rules, and the spaces that have it are named beside them; but for the swarm’s, of which that is said', async () => {
    await a.network(S, { space: 'global' });
    const subnet = { space: 'local', prefix: parsePrefix(S) };
    expect(await showRules(a.link, subnet, '', soon())).to.deep.include({
      ...{ inUse: false, swarm: 'global', elsewhere: ['local.blue'] },
    });
    const change = { kind: 'reserve', address: parseAddress('10.66.0.7'), name: 'web' } as const;
    const options = { keep: false, dryRun: false, now: new Date(), token: 't', swarm: '' };
    expect((await rulePool(a.link, subnet, change, options, soon())).elsewhere).to.deep.equal(['local.blue']);
    const there = { space: 'local.blue', prefix: parsePrefix(S) };
    expect(await showRules(a.link, there, '', soon())).to.not.have.property('elsewhere');
  });
});
