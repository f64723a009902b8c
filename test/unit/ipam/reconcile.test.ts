// What one look finds, as a table: one claim of .9 in etcd, and what the engine shows.
import { expect } from 'chai';
import type { EngineView } from '../../../src/ipam/engine-view.js';
import { claimKey, joinKey, type Subnet } from '../../../src/ipam/keyspace.js';
import { compare, type Membership } from '../../../src/ipam/reconcile.js';
import type { ClaimRecord } from '../../../src/ipam/records.js';
import { parseAddress } from '../../../src/net/address.js';
import { parsePrefix } from '../../../src/net/prefix.js';
import { beside, foreign, network, shown } from '../../support/engine-shown.js';

const S = '10.66.0.0/24';
const SELF = { node: 'a', boot: 'b' };
const subnet: Subnet = { space: 'local', prefix: parsePrefix(S) };

function membership(claim?: Partial<ClaimRecord>, at = '10.66.0.9'): Membership {
  const join = { node: 'a', boot: 'b', since: 's', token: 't' };
  const record: ClaimRecord = { kind: 'endpoint', node: 'a', boot: 'b', join: 'J1', since: 's', token: 't', ...claim };
  const { key } = claimKey(subnet, parseAddress(at));
  return {
    subnet,
    joins: ['J1', 'J2'].map((id, index) => ({ ...joinKey(subnet, id), record: join, version: String(index + 2) })),
    claims: claim ? [{ key, record, version: '5' }] : [],
  };
}

function found(claim: Partial<ClaimRecord> | undefined, view: EngineView): string[] {
  return compare([membership(claim)], view, SELF).map((finding) => {
    switch (finding.kind) {
      case 'doubtful':
        return `doubtful: ${finding.text.slice(0, 40)}`;
      case 'missing':
        return `missing by ${finding.join.key.split('/').at(-1)}${finding.rest ? ', over a rest' : ''}`;
      default:
        return finding.kind;
    }
  });
}

const empty = shown(network(S));
const live = shown(network(S, { containers: { web: '10.66.0.9' } }));
const listed = shown(network(S, { aux: ['10.66.0.9'] }));
const both = shown(network(S, { aux: ['10.66.0.9'], containers: { web: '10.66.0.9' } }));
const twice = shown(network(S), network(S, { name: 'second', containers: { web: '10.66.0.9' } }));
const elsewhere = shown(network('10.66.0.0/16', { containers: { web: '10.66.0.9' } }));
const blue = shown(network(S, { space: 'local.blue', containers: { web: '10.66.0.9' } }));

const strange = (view: EngineView) => beside(view, foreign(S), foreign(S, 'second'));
const strangeElsewhere = beside(empty, foreign('10.66.0.0/16'));

const clash = ['doubtful: container web of network net uses 10.66.'];
const hidden = 'doubtful: the engine shows no network of this driver';
const lost = 'doubtful: network net of the engine has containers o';
const named = 'doubtful: network lan of the engine is on 10.66.0.';

describe('a look at the engine', () => {
  const rows: [string, Partial<ClaimRecord> | undefined, EngineView, string[]][] = [
    ['a claim without a container', {}, empty, ['stale']],
    ['a claim of a task', { kind: 'swarm' }, empty, ['stale']],
    ['an unsure claim that is nowhere', { kind: 'unsure' }, empty, ['stale']],
    ['a claim and its container', {}, live, []],
    ['a task and its container', { kind: 'swarm' }, live, []],
    ['a claim of an earlier boot, as a backup may have it, and a container', { boot: 'before' }, live, ['container']],
    ['a claim of a container that has another name by now', { name: 'before' }, live, ['container']],
    ['a task’s, whose name is the swarm’s', { kind: 'swarm', name: 'web.1.x' }, live, []],
    ['a claim and its container on another network of the subnet', {}, twice, []],
    ['an unsure claim with a container', { kind: 'unsure' }, live, ['container']],
    ['an unsure claim that is listed', { kind: 'unsure' }, listed, ['auxiliary']],
    [
      'an unsure claim that is both: the container is the one who must not share',
      { kind: 'unsure' },
      both,
      ['container'],
    ],
    ['a container’s claim that is listed as auxiliary', {}, listed, ['stale']],
    ['a claim of another node', { node: 'b' }, empty, []],
    ['an unsure claim of another node that is listed here', { kind: 'unsure', node: 'b' }, listed, []],
    ['a shared address', { kind: 'shared', node: undefined }, empty, []],
    ['a reserved address that names this node', { kind: 'reserved' }, empty, []],
    ['a record nobody can read', { kind: 'foreign', node: undefined }, empty, []],
    ['a container without a claim', undefined, live, ['missing by J2']],
    ['a container over what was released', { kind: 'cooling' }, live, ['missing by J2, over a rest']],
    ['a container with another node’s claim', { node: 'b' }, live, clash],
    ['a container with a reserved address', { kind: 'reserved' }, live, clash],
    ['a container with a gateway’s address', { kind: 'shared', node: undefined }, live, clash],
    ['a container with a record nobody can read', { kind: 'foreign', node: undefined }, live, clash],
    ['a claim of a subnet that is not shown', {}, shown(), [hidden.slice(0, 50)]],
    ['a claim when another size of its subnet is shown', {}, elsewhere, [hidden.slice(0, 50), lost.slice(0, 50)]],
    ['a claim when its subnet is shown in another space', {}, blue, [hidden.slice(0, 50), lost.slice(0, 50)]],
    ['a claim where only another driver’s networks are shown', {}, strange(shown()), [named]],
    ['a claim without a container, beside another driver’s networks', {}, strange(empty), [named]],
    ['a task without a container, beside them', { kind: 'swarm' }, strange(empty), [named]],
    ['a claim and its container, beside them', {}, strange(live), [named]],
    ['an unsure claim that is listed, beside them', { kind: 'unsure' }, strange(listed), ['auxiliary', named]],
    ['a container without a claim, beside them', undefined, strange(live), ['missing by J2', named]],
    ['a claim without a container, another driver’s network being on another subnet', {}, strangeElsewhere, ['stale']],
  ];
  for (const [what, claim, view, expected] of rows) {
    it(`finds ${expected.map((text) => text.split(':')[0]).join(' and ') || 'nothing'} in ${what}`, () => {
      expect(found(claim, view)).to.deep.equal(expected.map((text) => text.slice(0, 50)));
    });
  }

  describe('at joins of a swarm’s agent, of which an engine that was killed releases none', () => {
    const byHand = { node: 'a', boot: 'b', since: 's', token: 't' };
    /** S1 is the agent's, H1 one made by hand. `ips`: an address of a container's claim, and its join. */
    const joined = (ids: readonly string[], ips: Readonly<Record<string, string>>, guessed = false): Membership => ({
      subnet,
      joins: ids.map((id, index) => {
        const record = id.startsWith('H') ? byHand : { ...byHand, managed: true };
        return { ...joinKey(subnet, id), record, version: String(index + 2) };
      }),
      claims: Object.entries(ips).map(([ip, join]) => {
        const record: ClaimRecord = { kind: 'endpoint', node: 'a', boot: 'b', join, guessed, since: 's', token: 't' };
        return { key: claimKey(subnet, parseAddress(ip)).key, record, version: '9' };
      }),
    });
    type Containers = Readonly<Record<string, string>>;
    const lan = (containers: Containers = {}) => network(S, { containers });
    const hand = (containers: Containers = {}) => network(S, { name: 'hand', containers });
    const overlay = (containers: Containers = {}) => network(S, { name: 'over', managed: true, containers });
    const [web, db] = [{ web: '10.66.0.9' }, { db: '10.66.0.8' }];
    const of8 = (join: string) => ({ '10.66.0.8': join });
    const of9 = (join: string) => ({ '10.66.0.9': join });

    const cases: [string, string, Readonly<Record<string, string>>, EngineView, string][] = [
      ['the only one, of the network that is shown', 'S1', of9('S1'), shown(lan(web)), ''],
      ['an older one than the container’s', 'S1 S2', of9('S2'), shown(lan(web)), 'S1'],
      ['a newer one than the container’s', 'S1 S2', of9('S1'), shown(lan(web)), 'S2'],
      ['one with a container', 'S1 S2', { ...of8('S2'), ...of9('S1') }, shown(lan({ ...web, ...db })), ''],
      ['one whose own container is gone', 'S1 S2', { ...of8('S1'), ...of9('S2') }, shown(lan(web)), 'S1'],
      ['one where the network has no container', 'S1 S2', {}, shown(lan()), ''],
      ['one where nobody claims the container’s address', 'S1 S2', {}, shown(lan(web)), ''],
      ['one where one of two networks has no container', 'S1 S2', of9('S2'), shown(lan(web), hand()), ''],
      ['one beside a network made by hand', 'H1 S2', of9('H1'), shown(hand(web)), 'S2'],
      ['one made by hand', 'H1 H2', of9('H2'), shown(hand(web)), ''],
      ['all, where no network is shown', 'S1 S2 H3', of8('S1'), shown(), 'S1 S2'],
      ['one of an engine that is in no swarm', 'S1', {}, { ...shown(), swarm: false }, ''],
      ['one of an overlay that has no load balancer here', 'S1', {}, shown(overlay()), 'S1'],
      ['all, where only another driver’s network is shown', 'S1 S2', of8('S1'), strange(shown()), ''],
      ['an older one, beside another driver’s network', 'S1 S2', of9('S2'), strange(shown(lan(web))), ''],
      [
        'all, where another driver’s network is on another subnet',
        'S1',
        {},
        beside(shown(), foreign('10.67.0.0/24')),
        'S1',
      ],
      ['an older one of an overlay that has one', 'S1 S2', of9('S2'), shown(overlay({ lb: '10.66.0.9' })), 'S1'],
    ];
    for (const [what, ids, ips, view, expected] of cases) {
      it(`finds ${expected || 'none'} lost of ${ids}: ${what}`, () => {
        const lost = compare([joined(ids.split(' '), ips)], view, SELF).filter((finding) => finding.kind === 'lost');
        expect(lost.map(({ join }) => join.key.split('/').at(-1)).join(' ')).to.equal(expected);
      });
    }

    it('finds none lost of S1 S2 by a claim whose join was guessed', () => {
      const findings = compare([joined(['S1', 'S2'], of9('S2'), true)], shown(lan(web)), SELF);
      expect(findings).to.deep.equal([]);
    });

    it('tells of each other driver on the subnet, and what it has to be called if it is this one', () => {
      const view = beside(shown(), foreign(S), foreign(S, 'second'), foreign(S, 'blue', 'lab:5000/etcd-ipam:latest'));
      const texts = compare([joined(['S1', 'H2'], of9('H2'))], view, SELF).map((one) => 'text' in one && one.text);
      const rest =
        ': nothing that this node has there (space local) is ended; if that is this driver, networks have to call it by the file name of IPAM_SOCKET (a managed plugin: etcd-ipam)';
      expect(texts).to.deep.equal([
        `network lan of the engine is on ${S} with the IPAM driver lan-ipam:latest${rest}`,
        `network blue of the engine is on ${S} with the IPAM driver lab:5000/etcd-ipam:latest${rest}`,
      ]);
    });

    it('tells of a part in a subnet that is not shown, but for those', () => {
      const [lost, hidden, ...more] = compare([joined(['S1', 'H2'], of9('H2'))], shown(), SELF);
      expect([lost?.kind, more]).to.deep.equal(['lost', []]);
      expect(hidden).to.have.property('text').that.contains("1 of the pool's joins and 1 addresses");
    });
  });
});
