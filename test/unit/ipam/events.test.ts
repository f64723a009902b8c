// What a revision means to an operator: one row for each kind of change, and nothing for what says nothing.
import { expect } from 'chai';
import { EVENTS, type Event, eventsOf } from '../../../src/ipam/events.js';

const at = '2026-11-29T14:03:12.120Z';
const claim = (rest: object) => JSON.stringify({ kind: 'endpoint', since: at, token: 't', ...rest });
const web = { node: 'a', join: 'j1', name: 'web' };
const CLAIM = 'claims/local/v4/010.066.000.000-24/010.066.000.007';
const HOLDER = 'holders/local/v4/010.066.000.000-24/010.066.000.001/j1';
const POOL = 'pools/local.blue/v6/fd00:0000:0000:0000:0000:0000:0000:0000-64';
const JOIN = 'joins/local/v4/010.066.000.000-24/j1';
const pool = (rest: object = {}) => JSON.stringify({ state: 'open', since: at, token: 't', ...rest });
const node = (rest: object) => JSON.stringify({ machine: 'm', boot: 'b', since: at, ...rest });
const place = { space: 'local', pool: '10.66.0.0/24' };
const seven = { ...place, address: '10.66.0.7' };
const holder = JSON.stringify({ role: 'gateway', node: 'a', since: at, token: 't' });
const join = JSON.stringify({ node: 'a', boot: 'b', since: at, token: 't' });
const blue = { space: 'local.blue', pool: 'fd00::/64' };

const ROWS: readonly (readonly [string, string, string | undefined, string | undefined, Event | undefined])[] = [
  ['a claim', CLAIM, undefined, claim(web), { event: 'allocated', ...seven, kind: 'endpoint', ...web, since: at }],
  [
    ...(['a claim over what rests', CLAIM, claim({ kind: 'cooling' }), claim(web)] as const),
    { event: 'allocated', ...seven, kind: 'endpoint', ...web, since: at },
  ],
  [
    ...(['the same container again', CLAIM, claim({ ...web, since: 'then' }), claim(web)] as const),
    { event: 'renewed', ...seven, kind: 'endpoint', ...web, since: at },
  ],
  [
    ...(['another host', CLAIM, claim({ node: 'b', join: 'j2', since: 'then' }), claim(web)] as const),
    { event: 'taken', ...seven, kind: 'endpoint', ...web, since: at, from: 'b' },
  ],
  ['what is recognised and stays', CLAIM, claim({ ...web, kind: 'unsure' }), claim(web), undefined],
  [
    ...(['a release that rests', CLAIM, claim(web), claim({ kind: 'cooling' })] as const),
    { event: 'released', ...seven, kind: 'endpoint', ...web, since: at },
  ],
  [
    ...(['a removal', CLAIM, claim(web), undefined] as const),
    { event: 'released', ...seven, kind: 'endpoint', ...web, since: at },
  ],
  ['the end of a rest', CLAIM, claim({ kind: 'cooling' }), undefined, { event: 'free', ...seven }],
  [
    'a shared claim that is touched',
    CLAIM,
    claim({ kind: 'shared' }),
    claim({ kind: 'shared', token: 'u' }),
    undefined,
  ],
  [
    'a claim that nobody can read',
    CLAIM,
    undefined,
    'no JSON',
    { event: 'allocated', ...seven, kind: 'foreign', since: '' },
  ],
  [
    ...(['a part in a gateway', HOLDER, undefined, holder] as const),
    { event: 'shared', ...place, address: '10.66.0.1', role: 'gateway', node: 'a', join: 'j1', since: at },
  ],
  [
    ...(['its end', HOLDER, holder, undefined] as const),
    { event: 'unshared', ...place, address: '10.66.0.1', role: 'gateway', node: 'a', join: 'j1', since: at },
  ],
  ['a pool', POOL, undefined, pool(), { event: 'pool-made', ...blue }],
  ['its gateway', POOL, pool(), pool({ gateway: 'fd00::1', token: 'u' }), undefined],
  [
    'what an operator lays down',
    POOL,
    pool(),
    pool({ rules: { excluded: [], reserved: [], note: 'n' } }),
    { event: 'pool-changed', ...blue },
  ],
  ['its end', POOL, pool(), undefined, { event: 'pool-removed', ...blue }],
  ['a pool that nobody can read', POOL, undefined, '{}', undefined],
  ['a network', JOIN, undefined, join, { event: 'joined', ...place, node: 'a', join: 'j1', since: at }],
  ['its end', JOIN, join, undefined, { event: 'left', ...place, node: 'a', join: 'j1', since: at }],
  ['a session', 'sessions/a/i1', undefined, '{}', { event: 'alive', node: 'a' }],
  ['one that is put anew', 'sessions/a/i1', '{}', '{"n":1}', undefined],
  ['its end', 'sessions/a/i1', '{}', undefined, { event: 'ended', node: 'a' }],
  ['the first round of silence', 'nodes/a', node({ silence: 0 }), node({ silence: 1 }), { event: 'silent', node: 'a' }],
  ['the second', 'nodes/a', node({ silence: 1 }), node({ silence: 2 }), undefined],
  ['a return', 'nodes/a', node({ silence: 2 }), node({ silence: 0 }), { event: 'returned', node: 'a' }],
  ['an eviction', 'nodes/a', node({}), node({ evicted: at }), { event: 'evicted', node: 'a' }],
  ['a node that is forgotten', 'nodes/a', node({}), undefined, { event: 'forgotten', node: 'a' }],
  [
    ...(['the brake', 'brake', undefined, JSON.stringify({ silent: 2, of: 3, since: at })] as const),
    { event: 'braked', text: '2 of 3 nodes fell silent together', since: at },
  ],
  ['its end', 'brake', '{}', undefined, { event: 'unbraked' }],
  [
    ...(['the mark', 'restored', undefined, JSON.stringify({ node: 'a', what: 'w', since: at, token: 't' })] as const),
    { event: 'restored', node: 'a', text: 'w', since: at },
  ],
  ['its end', 'restored', '{}', undefined, { event: 'resumed' }],
  ['the past', 'history/local/v4/010.066.000.007/x', undefined, '{}', undefined],
  ['a round', 'tick', undefined, '{}', undefined],
  ['a key of somebody else', 'claims/what/is/this', undefined, 'no JSON', undefined],
];

describe('events', () => {
  for (const [what, key, before, text, event] of ROWS)
    it(`${what}: ${event ? event.event : 'nothing'}`, () => {
      const changed = { key, ...(before !== undefined && { before }), ...(text !== undefined && { text }) };
      expect(eventsOf([changed])).to.deep.equal(event ? [event] : []);
    });

  it('are all of those that have a name', () => {
    expect([...new Set(ROWS.flatMap(([, , , , event]) => event?.event ?? []))].sort()).to.deep.equal(
      [...EVENTS].sort(),
    );
  });
});
