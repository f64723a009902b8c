// When `etcd-ipam check` takes what it finds for lasting, what it does about it, and what it prints.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { Finding } from '../../../src/ipam/findings.js';
import { type Checked, type CheckOptions, check } from '../../../src/ops/check.js';
import { format, toJson, WORDS } from '../../../src/ops/check-words.js';
import { ROUND_MS } from '../../../src/rounds.js';
import { network, SpokenEngine, shown } from '../../support/engine-shown.js';
import { snapshotOf } from '../../support/inspected.js';
import { MemoryStore } from '../../support/memory-store.js';

const PREFIX = '/etcd-ipam/';
const BLOCK = 'local/v4/010.066.000.000-24';
const [JOIN, OLD] = ['aaaaaaaaaaaaaaaa', 'dddddddddddddddd'];
const written = { since: '2020-01-01T00:00:00.000Z', token: '00' };
const of = { node: 'host-a', boot: 'b', ...written };
const left = (at: string) => `claims/${BLOCK}/010.066.000.${at}`;

/** The double, a clock that only pauses move, and what happens during the n-th pause. */
class Scene {
  readonly store = new MemoryStore();
  readonly pauses: number[] = [];
  looks = 0;
  during: (pause: number) => void = () => undefined;
  /** What all pauses took. */
  millis = 0;

  /** The double counts deadlines by the process's own clock. */
  readonly #began = performance.now();

  constructor() {
    const records = {
      'nodes/host-a': { machine: 'm', boot: 'b', silence: 0, ...written },
      'sessions/host-a/i1': written,
      'spaces/local': { token: '00' },
      [`pools/${BLOCK}`]: { state: 'open', ...written },
      [`joins/${BLOCK}/${JOIN}`]: of,
      [left('002')]: { kind: 'endpoint', ...of, join: JOIN },
    };
    for (const [key, record] of Object.entries(records)) this.store.plant(key, record);
  }

  leave(...last: string[]): void {
    for (const one of last) this.store.plant(left(one), { kind: 'endpoint', ...of, join: OLD });
  }

  check(options: Partial<CheckOptions> = {}): Promise<Checked> {
    const around = {
      ...{
        now: () => new Date('2020-01-01T01:00:00Z'),
        millis: () => this.#began + this.millis,
        rounds: () => 0,
        below: () => 0n,
      },
      token: () => 'token',
      pause: async (ms: number) => {
        this.millis += ms;
        this.during(this.pauses.push(ms));
      },
    };
    const snapshot = async () => {
      this.looks++;
      return snapshotOf(this.store);
    };
    return check(this.store, snapshot, around, {
      ...{ fix: false, dryRun: false, goneRounds: 10, settleMs: 5_000 },
      ...options,
    });
  }
}

describe('a check', () => {
  let scene: Scene;
  beforeEach(() => {
    scene = new Scene();
  });
  const kinds = ({ findings }: Checked) => findings.map(({ kind }) => kind);

  it('that finds nothing looks once, and waits for nothing', async () => {
    expect(kinds(await scene.check())).to.deep.equal([]);
    expect([scene.looks, scene.pauses]).to.deep.equal([1, []]);
  });

  it('of nothing says that another prefix or etcd is likely meant, and that nothing is wrong', async () => {
    for (const { key } of scene.store.entries()) scene.store.plant(key, undefined);
    const checked = await scene.check();
    expect([checked.records, kinds(checked)]).to.deep.equal([0, []]);
    expect(format(checked, '/elsewhere/', ROUND_MS).split('\n').slice(-2)).to.deep.equal([
      'nothing wrong, but good to know:',
      '  no record is there at all: IPAM_PREFIX or ETCD_ENDPOINTS are likely not those of the plugins',
    ]);
    expect(checked.notes.map(({ kind }) => kind)).to.deep.equal(['no-records']);
  });

  it('finds what stands unchanged for as long as a call may take, in looks that get rarer', async () => {
    scene.leave('020');
    expect(kinds(await scene.check())).to.deep.equal(['claim-of-ended-join']);
    expect(scene.pauses.map(Math.round)).to.deep.equal([250, 500, 1_000, 2_000, 1_250]);
  });

  it('finds nothing that is gone at the second look, nor what has come meanwhile', async () => {
    scene.leave('020');
    scene.during = () => {
      scene.store.plant(left('020'), undefined);
      scene.leave('021');
    };
    expect(kinds(await scene.check())).to.deep.equal([]);
    expect(scene.pauses).to.deep.equal([250]);
  });

  it('goes on looking while a driver still removes, and finds nothing when that has ended', async () => {
    const all = Array.from({ length: 8 }, (_, i) => `10${i}`);
    scene.leave(...all);
    // One every 2 s: none has stood for 5 s without another having gone.
    scene.during = () => {
      while (scene.millis > 2_000 * (9 - all.length)) scene.store.plant(left(all.pop()!), undefined);
    };
    expect(kinds(await scene.check())).to.deep.equal([]);
    expect(scene.millis).to.be.greaterThan(10_000);
  });

  it('with --fix puts it right and looks again; with --dry-run says so and changes nothing', async () => {
    scene.leave('020');
    const before = scene.store.entries();
    const dry = await scene.check({ fix: true, dryRun: true });
    expect(dry.repairs.map(({ outcome }) => outcome)).to.deep.equal(['would']);
    expect(scene.store.entries()).to.deep.equal(before);
    const { repairs, findings } = await scene.check({ fix: true });
    expect([repairs.map(({ outcome }) => outcome), findings]).to.deep.equal([['done'], []]);
    expect(scene.store.entries()).to.deep.equal(before.filter(({ key }) => key !== left('020')));
  });

  it('with --fix changes nothing that is only in passing', async () => {
    scene.leave('020');
    scene.during = () => scene.store.plant(left('020'), { kind: 'endpoint', ...of, join: JOIN });
    const { repairs, findings } = await scene.check({ fix: true });
    expect([repairs, findings]).to.deep.equal([[], []]);
    expect(scene.store.has(left('020'))).to.equal(true);
  });

  it('goes on to what shows only once something else is put right: a pool, then its old joins, then its shares', async () => {
    scene.store.plant(`pools/${BLOCK}`, undefined);
    scene.store.plant('spaces/local', undefined);
    scene.leave('020');
    scene.store.plant(left('001'), { kind: 'shared', ...written });
    const { repairs, findings } = await scene.check({ fix: true });
    expect(findings).to.deep.equal([]);
    expect(repairs.map(({ finding, outcome }) => `${finding.kind} ${outcome}`)).to.deep.equal([
      'pool-missing done',
      'claim-of-ended-join done',
      'shared-without-holder done',
    ]);
  });

  it('says of what could not be put right why, and tries it once', async () => {
    scene.leave('020');
    scene.store.before = () => {
      throw new Error('permission denied');
    };
    const { repairs, findings } = await scene.check({ fix: true });
    expect(repairs.map(({ outcome, why }) => [outcome, why])).to.deep.equal([['failed', 'permission denied']]);
    expect(findings).to.have.length(1);
  });

  describe('that may ask the engine of its host', () => {
    const spoken = new SpokenEngine();
    const engine = { node: 'host-a', asked: spoken, graceMs: 600_000 };

    it('finds claims without a container that are older than the grace, and containers without a claim', async () => {
      scene.store.plant(left('004'), { kind: 'endpoint', ...of, join: JOIN, since: '2020-01-01T00:59:00.000Z' });
      scene.store.plant(left('005'), { kind: 'endpoint', ...of, node: 'host-b', join: OLD });
      scene.store.plant(`joins/${BLOCK}/${OLD}`, { ...of, node: 'host-b' });
      scene.store.plant('nodes/host-b', { machine: 'm', boot: 'b', silence: 0, ...written });
      spoken.view = shown(network('10.66.0.0/24', { containers: { web: '10.66.0.7', db: '10.66.0.5' } }));
      const { findings } = await scene.check({ engine });
      expect(findings.map(({ kind, text }) => `${kind}: ${text}`)).to.deep.equal([
        'claim-without-container: 10.66.0.2 of 10.66.0.0/24 (local) is held by a container on host-a since 2020-01-01T00:00:00.000Z',
        'container-without-claim: 10.66.0.7 of 10.66.0.0/24 (local): container web of network net has it',
        'container-without-claim: container db of network net uses 10.66.0.5, which is held by a container on host-b since 2020-01-01T00:00:00.000Z',
      ]);
      expect(findings.filter(({ remedy }) => remedy)).to.deep.equal([]);
    });

    it('cannot verify what no container stands behind where other engines may call, past the grace', async () => {
      scene.store.plant(left('004'), { kind: 'endpoint', ...of, join: JOIN, since: '2020-01-01T00:59:00.000Z' });
      spoken.view = shown(network('10.66.0.0/24'));
      const checked = await scene.check({ engine: { ...engine, oneOfSeveral: true } });
      expect([kinds(checked), checked.unverified.map(({ what }) => what).slice(1)]).to.deep.equal([
        [],
        [
          '10.66.0.2 of 10.66.0.0/24 (space local) is held by a container on host-a since 2020-01-01T00:00:00.000Z, and no container that the engine shows has it: not ended, as with IPAM_LISTEN it may be of another engine',
        ],
      ]);
    });

    it('finds nothing by a container whose claim comes, or that goes, before the second look', async () => {
      spoken.view = shown(network('10.66.0.0/24', { containers: { web: '10.66.0.2', db: '10.66.0.9' } }));
      scene.during = () => scene.store.plant(left('009'), { kind: 'endpoint', ...of, join: JOIN });
      expect(kinds(await scene.check({ engine }))).to.deep.equal([]);
    });

    it('says what is not verified where it shows no such network, or does not answer', async () => {
      spoken.view = shown();
      const unshown = await scene.check({ engine });
      expect([kinds(unshown), unshown.unverified.map(({ what }) => what)]).to.deep.equal([
        [],
        [
          'whether a network stands behind each of 1 joins',
          "the engine shows no network of this driver on 10.66.0.0/24 (space local), where this node has 1 of the pool's joins and 1 addresses: nothing of it was ended",
        ],
      ]);
      spoken.view = undefined;
      const { unverified } = await scene.check({ engine });
      expect(unverified[0]).to.deep.equal({ what: 'what the engine of this host shows', why: 'the engine is away' });
      expect(unverified[1]!.what).to.equal('whether a container uses each of 1 addresses of host-a');
    });
  });

  describe('as printed', () => {
    const finding = (kind: Finding['kind'], text: string, says?: string): Finding => ({
      ...{ kind, subject: 's', text, records: [{ key: 'k', version: '1' }] },
      ...(says !== undefined && { remedy: { says, act: 'commit' as const, changes: () => [] } }),
    });

    it('is what README shows', () => {
      const readme = readFileSync('README.md', 'utf8');
      const { begin, text } = example(finding);
      expect(readme).to.contain(`$ ${begin}\n${text}\n`);
    });

    it('as JSON says of each finding what it means, what to do, and its keys', async () => {
      scene.leave('020');
      const json = toJson(await scene.check({ dryRun: true }));
      expect(json).to.deep.equal({
        ...{ revision: scene.store.seen(), records: 7, notes: [] },
        findings: [
          {
            ...{ kind: 'claim-of-ended-join', subject: `joins/${BLOCK}/${OLD}` },
            text: `10.66.0.0/24 (local): 1 of join ${OLD} of host-a: 10.66.0.20`,
            ...WORDS['claim-of-ended-join'],
            ...{ fix: 'releases what it left', keys: [left('020')] },
          },
        ],
        repairs: [
          {
            ...{ kind: 'claim-of-ended-join', subject: `joins/${BLOCK}/${OLD}` },
            ...{ fix: 'releases what it left', outcome: 'would' },
          },
        ],
        unverified: [
          {
            what: 'whether a container uses each of 2 addresses of host-a',
            why: 'only a plugin with IPAM_ENGINE_SOCKET can ask its own engine',
          },
          {
            what: 'whether a network stands behind each of 1 joins',
            why: 'engines do not show which join a network has',
          },
        ],
      });
    });

    it('README has a row for each kind of finding, and says which of them --fix can put right', () => {
      const readme = readFileSync('README.md', 'utf8');
      for (const kind of Object.keys(WORDS)) expect(readme).to.contain(`| \`${kind}\` |`);
    });

    it('says what was fixed, what was not and why', () => {
      const some = [
        finding('leased', 'k1', 'takes it off the lease'),
        finding('unleased', 'k2', 'removes it'),
      ] as const;
      const text = format(
        {
          ...{ revision: '7', records: 3, findings: [some[1]], notes: [], unverified: [] },
          repairs: [
            { finding: some[0], outcome: 'done' },
            { finding: some[1], outcome: 'changed' },
            { finding: some[1], outcome: 'failed', why: 'permission denied' },
          ],
        },
        PREFIX,
        ROUND_MS,
      );
      expect(text.split('\n')).to.deep.equal([
        'fixed: leased: k1: takes it off the lease',
        'changed meanwhile, not fixed: unleased: k2: removes it',
        'not fixed: unleased: k2: permission denied',
        '',
        '1 finding left in 3 records under /etcd-ipam/ at revision 7',
        '',
        'unleased: a record that should end by itself and never will',
        '  k2',
        '  to do: etcd-ipam check --fix, which removes it',
      ]);
    });
  });
});

function example(finding: (kind: Finding['kind'], text: string, says?: string) => Finding) {
  const checked: Checked = {
    ...{ revision: '48211', records: 1_214, repairs: [] },
    findings: [
      finding('pool-closing', '10.70.0.0/24 (local): its removal was begun', 'removes it with what is left in it'),
      finding(
        'claim-of-ended-join',
        '10.66.0.0/24 (local): 3 of join 9f3c5a7e11d00b42 of host-b: 10.66.0.7, 10.66.0.8, 10.66.0.12',
        'releases what it left',
      ),
      finding('foreign-key', 'notes/todo: no record has such a name'),
    ],
    notes: [
      { kind: 'node-gone', subject: 'host-c', text: 'node host-c is gone', rounds: 3_120 },
      { kind: 'takeable', subject: 't', text: '10.66.0.0/24 (local): 12 can be taken: of host-c, which is gone' },
    ],
    unverified: [
      {
        what: 'whether a container uses each of 412 addresses of host-a, host-b, host-c',
        why: 'only a plugin with IPAM_ENGINE_SOCKET can ask its own engine',
      },
      { what: 'whether a network stands behind each of 9 joins', why: 'engines do not show which join a network has' },
    ],
  };
  return { begin: 'etcd-ipam check', text: format(checked, PREFIX, ROUND_MS) };
}
