// Three processes on two hosts over the in-memory double, against the brute-force oracle.
import { expect } from 'chai';
import fc from 'fast-check';
import { Driver } from '../../src/docker/driver.js';
import { Allocator } from '../../src/ipam/allocator.js';
import { parsePredefined } from '../../src/ipam/predefined.js';
import { Inspected } from '../support/inspected.js';
import { MemoryStore, uneven } from '../support/memory-store.js';
import { Pasts } from '../support/pasts.js';
import {
  bootOf,
  chance,
  PREDEFINED,
  PROCESSES,
  play,
  ruleOver,
  type Single,
  type Step,
  steps,
  surroundings,
  type Tally,
  type World,
} from '../support/sequences.js';

const SEQUENCES = 1_200;
const INSPECTED = 120;
const LEAST = 12;

/** What the generator must have reached, or the test says nothing about it. */
const REACHED = [
  ...['granted', 'overlap', 'no_pool_left', 'bad_pool', 'outside_pool'].map((what) => `RequestPool ${what}`),
  ...['granted', 'taken', 'pool_exhausted', 'not_assignable', 'outside_pool', 'unknown_pool'].map(
    (what) => `RequestAddress ${what}`,
  ),
  ...['ReleaseAddress released', 'ReleasePool released', 'took over a rest'],
  ...[
    'RequestAddress excluded',
    'RequestAddress reserved',
    'Rule released',
    'Rule in_use',
    'Rule bad_rule',
    'Rule overlap',
  ],
];

const REST_MS = 30_000;
/** Longer than any sequence takes. */
const KEEP_MS = 10_000_000;

function memoryWorld(rests = false, store = new MemoryStore()): World {
  const boots = new Map<string, string>();
  const clock = { skew: 0 };
  let started = 0;
  let commands = 0;
  const start = (at: number) => {
    const node = PROCESSES[at]!;
    const around = surroundings(`${at} ${started++}`, clock);
    const report = (what: string, error: unknown) => {
      throw new Error(`${what} failed for good`, { cause: error });
    };
    const self = { node, boot: boots.get(node)!, ...(rests && { restMs: REST_MS, keepMs: KEEP_MS }) };
    const allocator = new Allocator(
      uneven(store, chance(`way ${at} ${started}`)),
      self,
      around,
      parsePredefined(PREDEFINED),
      report,
    );
    return new Driver(allocator, false, () => undefined);
  };
  const reboot = (node: string, boot: string) => {
    boots.set(node, boot);
    store.plant(`nodes/${node}`, { machine: `machine-${node}`, boot, since: '' });
  };
  for (const node of new Set(PROCESSES)) reboot(node, bootOf(node, 1));
  const drivers = PROCESSES.map((_, at) => start(at));
  return {
    clock,
    ...(rests && { rests: () => store.elapse(REST_MS) }),
    driver: (at) => drivers[at]!,
    async restart(at) {
      drivers[at] = start(at);
    },
    async reboot(node, boot) {
      reboot(node, boot);
      for (const [at, name] of PROCESSES.entries()) if (name === node) drivers[at] = start(at);
    },
    rule: (asked) => ruleOver(uneven(store, chance(`rule ${++commands}`)), asked, `rule ${commands}`),
    keyspace: async () => store.present(),
  };
}

const join = (at: number) => {
  return { do: 'pool', at, pool: '10.0.0.0/28', range: '', aux: [], blue: false, v6: false } satisfies Single;
};
const gateway = (at: number, join: number) => {
  return { do: 'address', at, join, index: 'any', as: { gateway: true } } satisfies Single;
};

/** The steps together, after so many restarts of the first process: each changes its pace. */
async function atEveryPace(before: Single, steps: Single[], first: readonly Single[] = []): Promise<void> {
  for (let pace = 0; pace < 100; pace++) {
    const restarts = Array.from({ length: pace }, (): Step => ({ do: 'restart', at: 0 }));
    await play(memoryWorld(), [...restarts, ...first, before, { do: 'together', steps }]);
  }
}

describe('sequences that once went wrong', () => {
  it('A and B join, A is given gateway .1: B, which saw no gateway when it joined, is given .1 too', () =>
    play(memoryWorld(), [join(0), join(2), gateway(0, 1), gateway(2, 0)]));

  it('A looks for a gateway, B is given the only address as gateway: A is given it too', () =>
    atEveryPace({ ...join(0), pool: '10.0.0.9/32' }, [gateway(0, 0), { ...gateway(1, 0), index: 0 }]));

  it('A looks for a gateway, B is given the lowest address as an auxiliary one: A is given another', () =>
    atEveryPace({ ...join(0), aux: ['10.0.0.1'] }, [gateway(0, 0), { ...gateway(1, 0), index: 1, as: {} }]));

  it('a full pool where one address rests, and another that was excluded meanwhile: the first is given', () => {
    const any = { do: 'address', at: 0, join: 0, index: 'any', as: {} } as const;
    const rule = { do: 'rule', cidr: '10.0.0.0/29', more: 0, name: 'web', keep: false } as const;
    return play(memoryWorld(true), [
      { ...join(0), pool: '10.0.0.0/29' },
      ...Array(6).fill(any),
      { do: 'release', at: 1, join: 0, index: 1 },
      { do: 'release', at: 0, join: 0, index: 3 },
      { ...rule, kind: 'exclude', index: 3 },
      any,
    ]);
  });

  it('an operator reserves an address whoever has it, A is given it as an auxiliary one: one of them is refused', () => {
    const rule = { do: 'rule', cidr: '10.0.0.0/28', more: 0, name: 'web', keep: true } as const;
    const reserve = { ...rule, kind: 'reserve', index: 2 } as const;
    // Commands before it change the pace of this one.
    const note = { ...rule, kind: 'exclude', index: 9 } as const;
    const auxiliary = { ...gateway(0, 0), index: 2, as: {} } as const;
    return Promise.all(
      Array.from({ length: 3 }, (_, commands) =>
        atEveryPace({ ...join(0), aux: ['10.0.0.2'] }, [reserve, auxiliary], Array(commands).fill(note)),
      ),
    );
  });
});

describe('what is told of former holders', () => {
  it('is missed by the test where it is not written', async () => {
    const store = new MemoryStore();
    const pasts = new Pasts(store);
    store.leases = false;
    await play(memoryWorld(true, store), [
      join(0),
      gateway(0, 0),
      { do: 'address', at: 0, join: 0, index: 3, as: { name: 'web' } },
      { do: 'release', at: 0, join: 0, index: 3 },
    ]).catch(() => undefined);
    expect(() => pasts.look()).to.throw(/has ended, and nothing tells of it/);
  });
});

describe('random sequences on the double', function () {
  this.timeout(120_000);

  it(`agrees with the oracle on every answer and record of ${SEQUENCES} sequences of at least ${LEAST} calls, half with a cool-down`, async () => {
    const tally: Tally = new Map();
    const seed = Number(process.env.ETCD_IPAM_TEST_SEED ?? Date.now() & 0x7fffffff);
    console.log(`      seed ${seed} (ETCD_IPAM_TEST_SEED repeats it)`);
    const property = fc.asyncProperty(steps(LEAST, 36), fc.boolean(), (sequence, rests) =>
      play(memoryWorld(rests), sequence, tally),
    );
    await fc.assert(property, { numRuns: SEQUENCES, seed });
    for (const what of REACHED) expect(tally.get(what) ?? 0, what).to.be.greaterThan(3);
  });

  it(`holds at every revision of ${INSPECTED} sequences only what an inspection knows to be in passing, nothing at rest, and tells of all who had an address`, async () => {
    const met = new Map<string, number>();
    const ended = new Map<string, number>();
    const property = fc.asyncProperty(steps(LEAST, 36), fc.boolean(), async (sequence, rests) => {
      const store = new MemoryStore();
      const inspected = new Inspected(store);
      const pasts = rests ? new Pasts(store) : undefined;
      await play(memoryWorld(rests, store), sequence);
      inspected.atRest();
      pasts?.look();
      for (const [how, count] of pasts?.ended ?? []) ended.set(how, (ended.get(how) ?? 0) + count);
      for (const [kind, count] of inspected.met) met.set(kind, (met.get(kind) ?? 0) + count);
    });
    const seen = () => [...met.keys(), ...ended.keys()];
    const rare = ['claim-of-ended-join', 'pool-closing', 'released', 'left', 'renewed', 'taken'];
    // What chance has left out it may bring with the next ones.
    for (let batch = 0; batch < 8 && !rare.every((one) => seen().includes(one)); batch++)
      await fc.assert(property, { numRuns: INSPECTED });
    expect(seen()).to.include.members(rare);
  });
});
