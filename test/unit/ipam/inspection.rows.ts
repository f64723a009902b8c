// The records of an inspection's tests: what drivers leave, and a row for each way in which records can be otherwise.
import type { Finding } from '../../../src/ipam/findings.js';
import { inspect } from '../../../src/ipam/inspection.js';
import { placed, type Snapshot } from '../../../src/ipam/recorded.js';
import { MemoryStore } from '../../support/memory-store.js';

export const [A, B, L, GONE] = ['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb', 'cccccccccccccccc', 'dddddddddddddddd'];
export const BLOCK = 'local/v4/010.066.000.000-24';
const GLOBAL = 'global/v4/010.080.000.000-24';
export const written = { since: '2026-11-23T19:06:57.431Z', token: '00' };
export const of = (node: string) => ({ node, boot: `boot-${node}`, ...written });
export const claim = (kind: string, join: string, node = 'host-a') => ({ kind, ...of(node), join });
const task = (join: string, epoch: number) => ({ kind: 'swarm', join, epoch, ...written });
const shared = { kind: 'shared', ...written };
export const pool = { state: 'open', ...written };

const leading = { ...pool, epoch: 3, leader: L, stage: 'served', incarnation: 'i', gateway: '10.80.0.1' };
/** Of 10.66.0.0/24. */
const rules = {
  excluded: [{ from: '10.66.0.200', to: '10.66.0.254' }],
  reserved: [{ address: '10.66.0.7', name: 'web' }],
};

/** What drivers would leave: two hosts on one subnet, and a swarm that has had another leader. */
const SOUND: Readonly<Record<string, unknown>> = {
  'nodes/host-a': { machine: 'm-a', boot: 'boot-host-a', silence: 0, ...written },
  'nodes/host-b': { machine: 'm-b', boot: 'boot-host-b', silence: 0, ...written },
  'sessions/host-a/i1': { ...written },
  'sessions/host-b/i2': { ...written },
  tick: { node: 'host-a' },
  'spaces/local': { token: '00' },
  [`pools/${BLOCK}`]: { ...pool, gateway: '10.66.0.1' },
  [`joins/${BLOCK}/${A}`]: of('host-a'),
  [`joins/${BLOCK}/${B}`]: of('host-b'),
  [`claims/${BLOCK}/010.066.000.001`]: shared,
  [`holders/${BLOCK}/010.066.000.001/${A}`]: { role: 'gateway', ...of('host-a') },
  [`holders/${BLOCK}/010.066.000.001/${B}`]: { role: 'gateway', ...of('host-b') },
  [`claims/${BLOCK}/010.066.000.002`]: claim('endpoint', A),
  [`claims/${BLOCK}/010.066.000.003`]: claim('unsure', B, 'host-b'),
  [`claims/${BLOCK}/010.066.000.009`]: { kind: 'cooling', ...written },
  [`pools/${GLOBAL}`]: leading,
  [`joins/${GLOBAL}/${L}`]: { ...of('host-a'), epoch: 3 },
  [`claims/${GLOBAL}/010.080.000.001`]: shared,
  [`holders/${GLOBAL}/010.080.000.001/${GONE}`]: { role: 'gateway', epoch: 2, ...written },
  [`claims/${GLOBAL}/010.080.000.002`]: task(L, 3),
  [`claims/${GLOBAL}/010.080.000.003`]: task(GONE, 2),
};

export class Records {
  readonly store = new MemoryStore();
  /** By key, the version that hangs on a lease. */
  readonly #leases = new Map<string, string>();

  constructor() {
    for (const [key, record] of Object.entries(SOUND)) this.plant(key, record, /^(sessions|tick)|000\.009$/.test(key));
  }

  plant(key: string, record: unknown, leased = false): void {
    this.store.plant(key, record);
    if (leased) this.#leases.set(key, this.store.seen());
  }

  snapshot(): Snapshot {
    const entries = this.store.entries().map((entry) => {
      return { ...entry, leased: this.#leases.get(entry.key) === entry.version };
    });
    return { revision: this.store.seen(), entries };
  }

  inspect(): Finding[] {
    return inspect(placed(this.snapshot()));
  }

  /** Key and version of each record. */
  versions(): Record<string, string> {
    return Object.fromEntries(this.store.entries().map(({ key, version }) => [key, version]));
  }
}

type Plant = (records: Records) => void;

interface Row {
  readonly plant: Plant;
  /** "kind: text" of all findings. */
  readonly found: readonly (string | RegExp)[];
  /** What `--fix` changes, by key; undefined: it was removed. Absent where nothing is safe. */
  readonly fixed?: Readonly<Record<string, unknown>>;
}

const NEXT = 'local/v4/010.067.000.000-24';
const put = (key: string, record: unknown, leased?: boolean) => (records: Records) =>
  records.plant(key, record, leased);
const all =
  (...plants: Plant[]): Plant =>
  (records) => {
    for (const plant of plants) plant(records);
  };

/** Fixed keys are those that the row planted or that stood; '*' stands for any record. */
export const ROWS: Readonly<Record<string, Row>> = {
  'two pools that overlap': {
    plant: all(
      put('pools/local/v4/010.066.000.128-25', pool),
      put(`joins/local/v4/010.066.000.128-25/${GONE}`, of('host-a')),
    ),
    found: ['pool-overlap: 10.66.0.0/24 and 10.66.0.128/25 (local)'],
  },
  'a pool without a join': {
    plant: all(
      put(`pools/${NEXT}`, pool),
      put(`claims/${NEXT}/010.067.000.002`, claim('endpoint', GONE)),
      put(`claims/${NEXT}/010.067.000.001`, shared),
    ),
    found: ['pool-without-join: 10.67.0.0/24 (local): 2 addresses are taken in it'],
    fixed: {
      [`pools/${NEXT}`]: undefined,
      [`claims/${NEXT}/010.067.000.001`]: undefined,
      [`claims/${NEXT}/010.067.000.002`]: undefined,
      'spaces/local': '*',
    },
  },
  'a pool left closing, with 600 claims and a holder': {
    plant: (records) => {
      records.plant('pools/local/v4/010.068.000.000-16', { ...pool, state: 'closing' });
      records.plant(`holders/local/v4/010.068.000.000-16/010.068.000.001/${GONE}`, { role: 'aux', ...of('host-a') });
      for (let i = 0; i < 600; i++) {
        const [high, low] = [String(i >> 8).padStart(3, '0'), String(i & 255).padStart(3, '0')];
        if (i > 0) records.plant(`claims/local/v4/010.068.000.000-16/010.068.${high}.${low}`, claim('endpoint', GONE));
      }
    },
    found: ['pool-closing: 10.68.0.0/16 (local): its removal was begun'],
    fixed: { 'local/v4/010.068.000.000-16': undefined, 'spaces/local': '*' },
  },
  'a closing pool that has a join': {
    plant: all(put(`pools/${NEXT}`, { ...pool, state: 'closing' }), put(`joins/${NEXT}/${GONE}`, of('host-a'))),
    found: ['pool-closing: 10.67.0.0/24 (local): its removal was begun, and it has 1 joins'],
  },
  'joins without their pool': {
    plant: put(`pools/${BLOCK}`, undefined),
    found: ['pool-missing: 10.66.0.0/24 (local): 2 joins and 4 claims are left of it'],
    fixed: { [`pools/${BLOCK}`]: '*', 'spaces/local': '*' },
  },
  'joins without their pool, which another one overlaps': {
    plant: all(
      put(`pools/${BLOCK}`, undefined),
      put('pools/local/v4/010.066.000.000-16', pool),
      put(`joins/local/v4/010.066.000.000-16/${GONE}`, of('host-a')),
    ),
    found: ['pool-missing: 10.66.0.0/24 (local): 2 joins and 4 claims are left of it'],
  },
  "a swarm's joins without their pool": {
    plant: put(`pools/${GLOBAL}`, undefined),
    found: ['pool-missing: 10.80.0.0/24 (global): 1 joins and 3 claims are left of it'],
  },
  'pools without a guard': {
    plant: put('spaces/local', undefined),
    found: ['guard-missing: spaces/local, though there is pools/global/v4/010.080.000.000-24'],
    fixed: { 'spaces/local': '*' },
  },
  'a guard without pools': {
    plant: put('spaces/local.blue', { token: '00' }),
    found: ['guard-without-pool: spaces/local.blue'],
    fixed: { 'spaces/local.blue': undefined },
  },
  'a claim of a subnet that has no pool and no join': {
    plant: put(`claims/${NEXT}/010.067.000.002`, claim('endpoint', GONE)),
    found: [/^claim-without-pool: 10\.67\.0\.0\/24 \(local\): 1 records, and neither pool nor join: claims/],
    fixed: { [`claims/${NEXT}/010.067.000.002`]: undefined },
  },
  "a swarm's claim without a pool": {
    plant: put('claims/global/v4/010.081.000.000-24/010.081.000.002', task(L, 3)),
    found: [/^claim-without-pool: 10\.81\.0\.0\/24 \(global\): 1 records/],
  },
  'a claim outside its pool, and one of the broadcast address': {
    plant: all(
      put(`claims/${BLOCK}/010.067.000.002`, claim('endpoint', A)),
      put(`claims/${BLOCK}/010.066.000.255`, claim('endpoint', A)),
    ),
    found: [
      'claim-outside-pool: 10.66.0.255 of 10.66.0.0/24 (local): the broadcast address',
      'claim-outside-pool: 10.67.0.2 of 10.66.0.0/24 (local): outside',
    ],
    fixed: {
      [`claims/${BLOCK}/010.067.000.002`]: undefined,
      [`claims/${BLOCK}/010.066.000.255`]: undefined,
    },
  },
  'claims and holders of a join that has ended': {
    plant: all(
      put(`claims/${BLOCK}/010.066.000.020`, claim('endpoint', GONE)),
      put(`claims/${BLOCK}/010.066.000.021`, claim('swarm', GONE)),
      put(`holders/${BLOCK}/010.066.000.001/${GONE}`, { role: 'gateway', ...of('host-a') }),
    ),
    found: [
      `claim-of-ended-join: 10.66.0.0/24 (local): 2 of join ${GONE} of host-a: 10.66.0.20, 10.66.0.21`,
      `holder-of-ended-join: 10.66.0.0/24 (local): 1 of join ${GONE} of host-a: 10.66.0.1`,
    ],
    fixed: {
      [`claims/${BLOCK}/010.066.000.020`]: undefined,
      [`claims/${BLOCK}/010.066.000.021`]: undefined,
      [`holders/${BLOCK}/010.066.000.001/${GONE}`]: undefined,
      [`claims/${BLOCK}/010.066.000.001`]: '*',
    },
  },
  'a claim through the join of another node': {
    plant: put(`claims/${BLOCK}/010.066.000.020`, claim('endpoint', A, 'host-b')),
    found: ['claim-of-another-join: 10.66.0.20 of 10.66.0.0/24 (local): of host-b, through a join of host-a'],
  },
  'a shared claim without a holder': {
    plant: put(`claims/${BLOCK}/010.066.000.030`, shared),
    found: ['shared-without-holder: 10.66.0.30 of 10.66.0.0/24 (local): since 2026-11-23T19:06:57.431Z'],
    fixed: {
      [`claims/${BLOCK}/010.066.000.030`]: '*',
      [`holders/${BLOCK}/010.066.000.030/${A}`]: '*',
      [`holders/${BLOCK}/010.066.000.030/${B}`]: '*',
    },
  },
  'holders of an address that is not claimed': {
    plant: put(`claims/${BLOCK}/010.066.000.001`, undefined),
    found: [`holder-without-claim: 10.66.0.1 of 10.66.0.0/24 (local): gateway of join ${A}`],
    fixed: { [`claims/${BLOCK}/010.066.000.001`]: '*' },
  },
  'a holder of an ended join, of an address that is not claimed': {
    plant: put(`holders/${BLOCK}/010.066.000.031/${GONE}`, { role: 'aux', ...of('host-a') }),
    found: [`holder-without-claim: 10.66.0.31 of 10.66.0.0/24 (local): aux of join ${GONE}`],
    fixed: { [`holders/${BLOCK}/010.066.000.031/${GONE}`]: undefined },
  },
  "a holder of a container's address": {
    plant: put(`holders/${BLOCK}/010.066.000.002/${B}`, { role: 'aux', ...of('host-b') }),
    found: [`holder-without-claim: 10.66.0.2 of 10.66.0.0/24 (local): aux of join ${B}, and claimed as endpoint`],
  },
  'a global pool whose leader has no join': {
    plant: put(`joins/${GLOBAL}/${L}`, undefined),
    found: [`leader-missing: 10.80.0.0/24 (global): join ${L}, which leads epoch 3`],
  },
  'a second join in a global pool': {
    plant: put(`joins/${GLOBAL}/${A}`, { ...of('host-b'), epoch: 2 }),
    found: [`join-not-leader: 10.80.0.0/24 (global): join ${A}, while ${L} leads`],
    fixed: { [`joins/${GLOBAL}/${A}`]: undefined },
  },
  'a claim of an epoch that has not begun, and one of another than its join': {
    plant: all(
      put(`claims/${GLOBAL}/010.080.000.020`, task(GONE, 4)),
      put(`claims/${GLOBAL}/010.080.000.021`, task(L, 2)),
    ),
    found: [
      'epoch-disagrees: 10.80.0.0/24 (global): 10.80.0.20 is of epoch 4, the pool of 3',
      'epoch-disagrees: 10.80.0.0/24 (global): 10.80.0.21 is of epoch 2, its join of 3',
    ],
  },
  'a leader of a later epoch than its pool': {
    plant: put(`joins/${GLOBAL}/${L}`, { ...of('host-a'), epoch: 5 }),
    found: [/^epoch-disagrees: .*: its leader is of epoch 5, the pool of 3$/, /^epoch-disagrees: .*10\.80\.0\.2 is of/],
  },
  'a global pool that says no epoch': {
    plant: put(`pools/${GLOBAL}`, pool),
    found: ['epoch-disagrees: 10.80.0.0/24 (global): the pool does not say which epoch it is in'],
  },
  'records of a node that has none': {
    plant: put('nodes/host-b', undefined),
    found: [/^node-unknown: nodes\/host-b, named by 4 records: sessions\/host-b\/i2, joins\/.*\/b{16}, claims/],
  },
  'a claim on a lease': {
    plant: put(`claims/${BLOCK}/010.066.000.002`, claim('endpoint', A), true),
    found: [`leased: claims/${BLOCK}/010.066.000.002`],
    fixed: { [`claims/${BLOCK}/010.066.000.002`]: claim('endpoint', A) },
  },
  'a session, the pace of rounds and a resting address without a lease': {
    plant: all(
      put('sessions/host-a/i1', { ...written }),
      put('tick', { node: 'host-a' }),
      put(`claims/${BLOCK}/010.066.000.009`, { kind: 'cooling', ...written }),
    ),
    found: ['unleased: sessions/host-a/i1', 'unleased: tick', `unleased: claims/${BLOCK}/010.066.000.009`],
    fixed: { 'sessions/host-a/i1': undefined, tick: undefined, [`claims/${BLOCK}/010.066.000.009`]: undefined },
  },
  'rules that the pool does not have, or has otherwise': {
    plant: all(
      put(`rules/${BLOCK}`, { ...rules, ...written }),
      put(`pools/${GLOBAL}`, { ...leading, rules: { excluded: [], reserved: [], note: 'tasks' } }),
    ),
    found: [
      `rules-disagree: 10.66.0.0/24 (local): not as in rules/${BLOCK}`,
      `rules-disagree: 10.80.0.0/24 (global): there is no rules/${GLOBAL}`,
    ],
    fixed: { [`pools/${BLOCK}`]: '*', [`pools/${GLOBAL}`]: '*' },
  },
  'rules that nobody can follow': {
    plant: all(
      put(`rules/${BLOCK}`, { excluded: [{ from: '10.66.0.250', to: '10.66.1.9' }], reserved: [], ...written }),
      put(`rules/${NEXT}`, { excluded: [{ from: '10.67.0.300', to: '10.67.0.9' }], reserved: [], ...written }),
      put(`rules/${GLOBAL}`, { excluded: [{ from: '10.80.0.9' }], reserved: [], ...written }),
    ),
    found: [
      'rules-astray: 10.66.0.0/24 (local): 10.66.0.250-10.66.1.9 is excluded, and no address of the pool',
      'rules-astray: 10.67.0.0/24 (local): the rules of the pool cannot be understood: "10.67.0.300" is not an IP address',
      /^undecodable: rules\/.*: excluded\.0\.to: /,
    ],
  },
  'a pool without which its networks are left, and rules for it': {
    plant: all(
      put(`joins/${NEXT}/${GONE}`, of('host-a')),
      put(`rules/${NEXT}`, {
        excluded: [],
        reserved: [{ address: '10.67.0.7', mac: '02:42:0a:42:00:02' }],
        ...written,
      }),
    ),
    found: ['pool-missing: 10.67.0.0/24 (local): 1 joins and 0 claims are left of it'],
    fixed: { [`pools/${NEXT}`]: '*', 'spaces/local': '*' },
  },
  'records that cannot be read': {
    plant: all(
      put(`claims/${BLOCK}/010.066.000.040`, '{"kind":"endp'),
      put(`claims/${BLOCK}/010.066.000.041`, { kind: 'quantum', ...written }),
      put(`holders/${BLOCK}/010.066.000.001/${A}`, { role: 'king' }),
      put('nodes/host-c', 'null'),
      put(`claims/${BLOCK}/010.066.000.042`, { kind: 'endpoint', ...written }),
    ),
    found: [
      `undecodable: claims/${BLOCK}/010.066.000.042: it does not say which join of which node it is of`,
      `undecodable: claims/${BLOCK}/010.066.000.040: it is no JSON`,
      `undecodable: claims/${BLOCK}/010.066.000.041: it says nothing that this version knows`,
      /^undecodable: holders\/.*: role: /,
      'undecodable: nodes/host-c: it says nothing that this version knows',
    ],
  },
  'a pool and a join that cannot be read, whose claims stand': {
    plant: all(put(`pools/${BLOCK}`, '{}'), put(`joins/${BLOCK}/${A}`, 'x')),
    found: [/^undecodable: joins\/.*: it is no JSON$/, /^undecodable: pools\/.*: state: /],
  },
  "keys that are nobody's": {
    plant: all(put('notes/todo', 'x'), put('claims/mars/v4/010.066.000.000-24/010.066.000.002', {}), put('ticks', 'x')),
    found: ['claims/mars/v4/010.066.000.000-24/010.066.000.002', 'notes/todo', 'ticks'].map(
      (key) => `foreign-key: ${key}: no record has such a name`,
    ),
  },
  'keys in another spelling': {
    plant: all(
      put(`claims/${BLOCK}/10.66.0.50`, claim('endpoint', A)),
      put('pools/local/v4/010.090.000.007-24', pool),
      put('claims/local/v6/fd00::-64/fd00:0000:0000:0000:0000:0000:0000:0002', claim('endpoint', A)),
    ),
    found: [
      `key-not-canonical: claims/${BLOCK}/10.66.0.50: it should be claims/${BLOCK}/010.066.000.050`,
      /^key-not-canonical: claims\/local\/v6\/.* it should be claims\/local\/v6\/fd00:0000:0000:0000:0000:0000:0000:0000-64\//,
      'key-not-canonical: pools/local/v4/010.090.000.007-24: it should be pools/local/v4/010.090.000.000-24',
    ],
  },
};
