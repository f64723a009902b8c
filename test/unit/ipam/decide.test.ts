import { expect } from 'chai';
import {
  findTakeable,
  isOfFormerEpoch,
  judge,
  leftByBoot,
  type Purpose,
  type Seen,
  type Wanted,
} from '../../../src/ipam/decide.js';
import { IpamError } from '../../../src/ipam/errors.js';
import { type ClaimRecord, type HolderRecord, type NodeRecord, UNREADABLE } from '../../../src/ipam/records.js';
import type { NodeSeen } from '../../../src/ipam/silence.js';
import type { Condition, Found } from '../../../src/ipam/store.js';
import { parseAddress } from '../../../src/net/address.js';

const self = { node: 'a', boot: 'boot-2', goneRounds: 4 };
const address = parseAddress('10.66.0.9');
const since = '2030-01-01T00:00:00.000Z';

const claimOf = (record: Partial<ClaimRecord> & Pick<ClaimRecord, 'kind'>): Found<ClaimRecord> => ({
  key: 'claims/local/v4/010.066.000.000-24/010.066.000.009',
  version: '7',
  record: { since, token: 't', ...record },
});
const holderOf = (join: string, role: HolderRecord['role'], node = 'a'): Found<HolderRecord> => ({
  key: `holders/local/v4/010.066.000.000-24/010.066.000.009/${join}`,
  version: '8',
  record: { role, node, boot: 'boot-2', since, token: 't' },
});
const nodeOf = (boot: string) => ({
  key: 'nodes/a',
  version: '5',
  record: { machine: 'm', boot, since, token: 't' },
});
const mine = (kind: ClaimRecord['kind'], rest: Partial<ClaimRecord> = {}) =>
  claimOf({ kind, node: 'a', boot: 'boot-2', join: 'J1', ...rest });

/** The verdict in one word, or the refusal as "code: message". */
function verdict(
  asked: { purpose?: Purpose; join?: string; name?: string; mac?: string; declared?: boolean },
  seen: Partial<Seen>,
): string {
  const wanted: Wanted = { address, purpose: 'endpoint', join: 'J1', ...asked };
  const given = judge(wanted, { claim: undefined, holders: [], node: nodeOf('boot-2'), ...seen }, self);
  switch (given.kind) {
    case 'free':
      return 'free';
    case 'share':
      return `share as ${given.role}`;
    case 'take':
      return given.evidence ? `take while ${given.evidence.map(conditionText).join(' and ')}` : 'take';
    case 'refuse':
      expect(given.error).to.be.instanceOf(IpamError);
      return `${given.error.code}: ${given.error.message}`;
  }
}

function conditionText(condition: Condition): string {
  return 'none' in condition
    ? `nothing is in ${condition.none.from}`
    : `${condition.key.key} is as of ${condition.version}`;
}

describe('verdicts', () => {
  it('free: no claim, whatever it is wanted for', () => {
    for (const purpose of ['endpoint', 'unsure', 'gateway', 'aux'] as const)
      expect(verdict({ purpose }, {})).to.equal('free');
  });

  describe('of a claim of our own', () => {
    it('taken over by the same join with the same name or the same MAC', () => {
      const held = mine('endpoint', { name: 'web', mac: '02:42:0a:42:00:09' });
      expect(verdict({ name: 'web' }, { claim: held })).to.equal('take');
      expect(verdict({ mac: '02:42:0a:42:00:09' }, { claim: held })).to.equal('take');
      expect(verdict({ name: 'web', mac: '02:42:00:00:00:01' }, { claim: held })).to.equal('take');
    });

    it('refused while the engine shows a container with it, of whatever boot it is', () => {
      const held = mine('endpoint', { name: 'web' });
      expect(verdict({ name: 'web' }, { claim: held, shown: true })).to.match(/^taken: /);
      expect(verdict({}, { claim: mine('endpoint', { boot: 'boot-1' }), shown: true })).to.match(/^taken: /);
    });

    it('refused to the same join with another name or none, to another join with the same name', () => {
      const held = mine('endpoint', { name: 'web' });
      const no = `taken: address 10.66.0.9 is held by web on a since ${since}`;
      expect(verdict({ name: 'db' }, { claim: held })).to.equal(no);
      expect(verdict({}, { claim: held })).to.equal(no);
      expect(verdict({ name: 'web', join: 'J2' }, { claim: held })).to.equal(no);
      expect(verdict({ purpose: 'unsure' }, { claim: held })).to.equal(no);
      expect(verdict({ purpose: 'gateway' }, { claim: held })).to.equal(no);
      expect(verdict({ purpose: 'aux' }, { claim: held })).to.equal(no);
    });

    it('refused where neither has a name: two unnamed containers are not one', () => {
      expect(verdict({}, { claim: mine('endpoint') })).to.equal(
        `taken: address 10.66.0.9 is held by a container on a since ${since}`,
      );
    });

    it('an unsure one is refused with a name and without; to another join with the way out', () => {
      const held = mine('unsure');
      const no = `taken: address 10.66.0.9 is held on a since ${since} (by a container's --ip, or as an auxiliary address)`;
      expect(verdict({ purpose: 'unsure' }, { claim: held })).to.equal(no);
      expect(verdict({ purpose: 'unsure', join: 'J2' }, { claim: held })).to.equal(
        `${no}; if it is an auxiliary address of both networks, create them with --ipam-opt aux=10.66.0.9`,
      );
      expect(verdict({ name: 'web' }, { claim: held })).to.equal(no);
      expect(verdict({ purpose: 'aux' }, { claim: held })).to.equal(no);
    });
  });

  describe('of a claim of an earlier boot', () => {
    const earlier = mine('endpoint', { boot: 'boot-1', name: 'web' });

    it('taken by number by its node through any join, while the node record stays as it is', () => {
      for (const asked of [{ name: 'db' }, {}, { join: 'J2', name: 'web' }, { purpose: 'unsure' as const }])
        expect(verdict({ join: 'J9', ...asked }, { claim: earlier })).to.equal('take while nodes/a is as of 5');
    });

    it('refused while the node record says another boot, or is not there', () => {
      for (const node of [nodeOf('boot-1'), nodeOf('boot-3'), undefined])
        expect(verdict({ join: 'J9' }, { claim: earlier, node })).to.equal(
          `taken: address 10.66.0.9 is held by web on a since ${since}`,
        );
    });

    it('refused to another node', () => {
      const claim = claimOf({ kind: 'endpoint', node: 'b', boot: 'boot-1', join: 'J1', name: 'web' });
      expect(verdict({ name: 'web' }, { claim })).to.equal(
        `taken: address 10.66.0.9 is held by web on b since ${since}`,
      );
    });

    it('left to another node that has nothing else, while the node record says another boot that can be read', () => {
      const left = (boot: string, rest: Partial<ClaimRecord> = {}) => {
        const claim = claimOf({ kind: 'endpoint', node: 'a', boot: 'boot-1', join: 'J1', ...rest });
        const taken = leftByBoot(claim, { name: 'a', found: nodeOf(boot), living: true }, { ...self, node: 'b' });
        const [evidence] = taken?.evidence ?? [];
        return (
          evidence && 'key' in evidence && `from ${taken?.from} while ${evidence.key.key} is as of ${evidence.version}`
        );
      };
      for (const kind of ['endpoint', 'swarm'] as const)
        expect(left('boot-2', { kind })).to.equal('from a while nodes/a is as of 5');
      for (const boot of ['boot-1', UNREADABLE]) expect(left(boot), boot).to.equal(undefined);
      const others = [
        { kind: 'unsure' },
        { kind: 'reserved' },
        { node: 'b' },
        { node: 'c' },
        { boot: undefined },
      ] as const;
      for (const rest of others) expect(left('boot-2', rest), JSON.stringify(rest)).to.equal(undefined);
    });

    it('refused where it is unsure, shared, reserved, or cannot be read', () => {
      for (const kind of ['unsure', 'shared', 'reserved', 'foreign'] as const)
        expect(verdict({ join: 'J9' }, { claim: mine(kind, { boot: 'boot-1' }) }), kind).to.match(/^taken: /);
    });
  });

  describe('of an address that rests', () => {
    const claim = claimOf({ kind: 'cooling' });

    it('taken by anybody who asks for it by number, on nothing but that claim', () => {
      for (const purpose of ['endpoint', 'unsure', 'gateway', 'aux', 'swarm'] as const)
        for (const join of ['J1', 'J9']) expect(verdict({ purpose, join }, { claim }), purpose).to.equal('take');
    });

    it('a worker takes it on the leader’s word as if there were no claim', () => {
      const swarm = { ...claimOf({ kind: 'swarm', join: 'J9', epoch: 1 }), key: 'claims/global/x', version: '9' };
      const given = (seen: Partial<Seen>) =>
        judge({ address, purpose: 'unsure', join: 'J1' }, { claim, holders: [], node: undefined, ...seen }, self);
      expect(given({ swarm })).to.deep.equal({
        ...{ kind: 'take', claim, onSwarm: true },
        evidence: [{ key: swarm, version: '9' }],
      });
      expect(given({ ruled: true })).to.deep.equal({ kind: 'take', claim, onSwarm: true });
      expect(given({})).to.deep.equal({ kind: 'take', claim });
    });

    it('what rests in the swarm’s space is no word of its leader', () => {
      const swarm = { ...claim, key: 'claims/global/x', version: '9' };
      expect(verdict({ purpose: 'unsure' }, { swarm })).to.equal('free');
      expect(
        verdict({ purpose: 'unsure' }, { claim: claimOf({ kind: 'swarm', node: 'b', join: 'J7' }), swarm }),
      ).to.match(/^taken: /);
    });

    it('is no claim of a former epoch', () => {
      expect(isOfFormerEpoch(claim, 'J2')).to.equal(false);
    });
  });

  describe('of a shared address', () => {
    const claim = claimOf({ kind: 'shared' });
    const aux = [holderOf('J1', 'aux')];
    const gateway = [holderOf('J1', 'gateway'), holderOf('J2', 'aux')];

    it('shared as gateway and as auxiliary address with any network, again too', () => {
      for (const holders of [aux, gateway, []])
        for (const purpose of ['gateway', 'aux'] as const)
          for (const join of ['J1', 'J3'])
            expect(verdict({ purpose, join }, { claim, holders })).to.equal(`share as ${purpose}`);
    });

    it('shared once with each join that asks without a name, as auxiliary address', () => {
      expect(verdict({ purpose: 'unsure', join: 'J3' }, { claim, holders: aux })).to.equal('share as aux');
      expect(verdict({ purpose: 'unsure', join: 'J1' }, { claim, holders: aux })).to.equal(
        'taken: address 10.66.0.9 is an auxiliary address of the network and never given to a container',
      );
      expect(verdict({ purpose: 'unsure', declared: true, join: 'J1' }, { claim, holders: aux })).to.equal(
        'taken: address 10.66.0.9 is an auxiliary address of the network and never given to a container',
      );
    });

    it('a gateway is shared without a name only with a network that declared it', () => {
      expect(verdict({ purpose: 'unsure', join: 'J3' }, { claim, holders: gateway })).to.equal(
        'taken: address 10.66.0.9 is the gateway of the network and never given to a container',
      );
      expect(verdict({ purpose: 'unsure', declared: true, join: 'J3' }, { claim, holders: gateway })).to.equal(
        'share as aux',
      );
    });

    it('never given to a container, whoever holds it', () => {
      expect(verdict({ name: 'web' }, { claim, holders: gateway })).to.equal(
        'taken: address 10.66.0.9 is the gateway of the network and never given to a container',
      );
      expect(verdict({ name: 'web' }, { claim, holders: aux })).to.equal(
        'taken: address 10.66.0.9 is an auxiliary address of the network and never given to a container',
      );
      expect(verdict({ name: 'web', join: 'J9' }, { claim, holders: [] })).to.match(/^taken: /);
    });
  });

  describe('of an address of the swarm', () => {
    const leader = { purpose: 'swarm' as const, join: 'J2' };
    const global = (join: string) => claimOf({ kind: 'swarm', join, epoch: 1 });

    it('a leader takes what a former epoch gave, and not what its own gave or what is shared', () => {
      expect(verdict(leader, {})).to.equal('free');
      expect(verdict(leader, { claim: global('J1') })).to.equal('take');
      expect(verdict(leader, { claim: global('J2') })).to.equal(
        `taken: address 10.66.0.9 is held by a task, service or load balancer of the swarm since ${since}`,
      );
      expect(verdict(leader, { claim: claimOf({ kind: 'shared' }) })).to.match(/is the gateway of the network/);
      for (const kind of ['endpoint', 'unsure', 'reserved', 'foreign'] as const)
        expect(verdict(leader, { claim: claimOf({ kind, join: 'J1' }) }), kind).to.match(/^taken: /);
    });

    it('a worker takes on the leader’s word what any node had on it, itself included, and nothing else', () => {
      const swarm = { ...global('J9'), key: 'claims/global/x', version: '9' };
      for (const purpose of ['unsure', 'endpoint'] as const) {
        for (const node of ['a', 'b'])
          expect(verdict({ purpose }, { claim: claimOf({ kind: 'swarm', node, join: 'J7' }), swarm })).to.equal(
            'take while claims/global/x is as of 9',
          );
        expect(verdict({ purpose }, { claim: claimOf({ kind: 'swarm', node: 'b', join: 'J7' }) })).to.equal(
          `taken: address 10.66.0.9 is held by a task of the swarm on b since ${since}`,
        );
        expect(verdict({ purpose, join: 'J2' }, { claim: mine('endpoint'), swarm })).to.match(/^taken: /);
        expect(verdict({ purpose, join: 'J2' }, { claim: mine('unsure'), swarm })).to.match(/^taken: /);
        expect(
          verdict({ purpose }, { claim: claimOf({ kind: 'shared' }), swarm, holders: [holderOf('J1', 'gateway')] }),
        ).to.match(/is the gateway of the network/);
      }
      const given = judge(
        { address, purpose: 'unsure', join: 'J1' },
        { claim: undefined, holders: [], node: nodeOf('boot-2'), swarm },
        self,
      );
      expect(given).to.deep.equal({ kind: 'free', onSwarm: true, evidence: [{ key: swarm, version: '9' }] });
    });

    it('what an earlier boot had on the leader’s word is its node’s', () => {
      expect(verdict({ join: 'J9' }, { claim: mine('swarm', { boot: 'boot-1' }) })).to.equal(
        'take while nodes/a is as of 5',
      );
    });
  });

  describe('of a claim of another node', () => {
    const theirs = (kind: ClaimRecord['kind']) => claimOf({ kind, node: 'b', boot: 'boot-7', join: 'J7' });
    const owner = (record: Partial<NodeRecord>, living = false): NodeSeen => ({
      name: 'b',
      found: { key: 'nodes/b', version: '6', record: { machine: 'm-b', boot: 'boot-7', since, ...record } },
      living,
    });
    const take = 'take while nodes/b is as of 6 and nothing is in sessions/b/';

    it('taken over once that node is gone, after 4 rounds of silence and not one before, for whatever purpose', () => {
      for (const purpose of ['endpoint', 'unsure', 'gateway', 'aux'] as const)
        for (const kind of ['endpoint', 'swarm'] as const) {
          const claim = theirs(kind);
          expect(verdict({ purpose }, { claim, owner: owner({ silence: 4 }) })).to.equal(take);
          expect(verdict({ purpose }, { claim, owner: owner({ silence: 3 }) })).to.match(/^taken: /);
          expect(verdict({ purpose }, { claim, owner: owner({}) })).to.match(/^taken: /);
          expect(verdict({ purpose }, { claim, owner: undefined })).to.match(/^taken: /);
        }
    });

    it('taken over when that node was evicted, unless it has a session', () => {
      const claim = theirs('endpoint');
      expect(verdict({}, { claim, owner: owner({ evicted: since }) })).to.equal(take);
      expect(verdict({}, { claim, owner: owner({ evicted: since, silence: 9 }, true) })).to.match(/^taken: /);
    });

    it('never for silence where IPAM_HOLD is `never`', () => {
      const wanted: Wanted = { address, purpose: 'endpoint', join: 'J1' };
      const seen = { claim: theirs('endpoint'), holders: [], node: undefined };
      const never = { node: 'a', boot: 'boot-2' };
      expect(judge(wanted, { ...seen, owner: owner({ silence: 1e9 }) }, never).kind).to.equal('refuse');
      expect(judge(wanted, { ...seen, owner: owner({ evicted: since }) }, never).kind).to.equal('take');
    });

    it('not what that node shares, is unsure of, or what is nobody’s or of a kind that ends otherwise', () => {
      for (const kind of ['unsure', 'reserved', 'foreign'] as const)
        expect(verdict({}, { claim: theirs(kind), owner: owner({ silence: 9 }) })).to.match(/^taken: /);
      const holders = [holderOf('J7', 'gateway', 'b')];
      expect(verdict({}, { claim: theirs('shared'), holders, owner: owner({ silence: 9 }) })).to.match(/^taken: /);
    });
  });

  it('name the holder of every kind of claim', () => {
    const of = (kind: ClaimRecord['kind'], rest: Partial<ClaimRecord> = {}) =>
      verdict({ join: 'J9' }, { claim: claimOf({ kind, node: 'b', ...rest }) });
    expect(of('endpoint', { name: 'web' })).to.equal(`taken: address 10.66.0.9 is held by web on b since ${since}`);
    expect(of('endpoint')).to.equal(`taken: address 10.66.0.9 is held by a container on b since ${since}`);
    expect(verdict({}, { claim: claimOf({ kind: 'swarm' }) })).to.equal(
      `taken: address 10.66.0.9 is held by a task, service or load balancer of the swarm since ${since}`,
    );
    expect(of('unsure')).to.equal(
      `taken: address 10.66.0.9 is held on b since ${since} (by a container's --ip, or as an auxiliary address)`,
    );
    expect(of('reserved')).to.equal('taken: address 10.66.0.9 is reserved');
    expect(of('foreign')).to.equal(
      'taken: address 10.66.0.9 has a record that this version cannot read, so it is taken for held',
    );
  });

  it('nothing is takeable for somebody without join, name and MAC but what an earlier boot left', () => {
    const nobody = { join: '' };
    expect(findTakeable(nobody, mine('endpoint', { name: 'web' }), nodeOf('boot-2'), self)).to.equal(undefined);
    expect(findTakeable(nobody, mine('endpoint', { boot: 'boot-1' }), nodeOf('boot-2'), self)?.kind).to.equal('take');
  });
});
