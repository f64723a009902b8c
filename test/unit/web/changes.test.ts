// What a revision changed, in the words of events.
import { expect } from 'chai';
import { changeOf } from '../../../src/web/changes.js';

const POOL = 'local/v4/010.066.000.000-24';
const claim = JSON.stringify({
  kind: 'endpoint',
  node: 'a',
  name: 'web.1',
  mac: '02:42:00:00:00:01',
  since: '',
  token: '',
});

describe('a change', () => {
  it('of a claim says whose it is, and when it goes, whose it was', () => {
    const key = `claims/${POOL}/010.066.000.002`;
    const what = { what: 'claim', space: 'local', pool: '10.66.0.0/24', address: '10.66.0.2', kind: 'endpoint' };
    const who = { node: 'a', name: 'web.1', mac: '02:42:00:00:00:01' };
    expect(changeOf({ key, text: claim })).to.deep.equal({ ...what, ...who, gone: false, fresh: true });
    expect(changeOf({ key, text: claim, before: claim })).to.deep.equal({ ...what, ...who, gone: false, fresh: false });
    expect(changeOf({ key, before: claim })).to.deep.equal({ ...what, ...who, gone: true, fresh: false });
    expect(changeOf({ key, text: 'no JSON' })).to.deep.equal({ ...what, kind: 'foreign', gone: false, fresh: true });
  });

  it('of pools, joins, nodes, sessions and marks names them', () => {
    const fresh = { gone: false, fresh: true };
    const pool = { space: 'local', pool: '10.66.0.0/24', ...fresh };
    const join = JSON.stringify({ node: 'a' });
    expect(changeOf({ key: `pools/${POOL}`, text: '{}' })).to.deep.equal({ what: 'pool', ...pool });
    expect(changeOf({ key: `rules/${POOL}`, text: '{}' })).to.deep.equal({ what: 'rules', ...pool });
    expect(changeOf({ key: `joins/${POOL}/00ff`, text: join })).to.deep.equal({ what: 'join', ...pool, node: 'a' });
    expect(changeOf({ key: 'nodes/a', text: '{}' })).to.deep.equal({ what: 'node', ...fresh, node: 'a' });
    expect(changeOf({ key: 'sessions/a/00ff', text: '{}' })).to.deep.equal({ what: 'session', ...fresh, node: 'a' });
    expect(changeOf({ key: 'brake', text: '{}' })).to.deep.equal({ what: 'brake', ...fresh });
    expect(changeOf({ key: 'restored', before: '{}' })).to.deep.equal({ what: 'restored', gone: true, fresh: false });
  });

  it('of anything else is none', () => {
    for (const key of [
      'tick',
      'spaces/local',
      `holders/${POOL}/010.066.000.001/00ff`,
      'claims/x',
      'pools/local',
      `claims/${POOL}/010.066.000.2`,
      `claims/${POOL}/010.066.000.002x`,
      'nodes/a/b',
      'else/x',
    ])
      expect(changeOf({ key, text: '{}' })).to.equal(undefined);
  });
});
