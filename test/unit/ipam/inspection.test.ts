// What an inspection finds in records that are not as drivers leave them, a row for each; and what becomes of them, and of
// all others, when what is safe is put right.
import { expect } from 'chai';
import { lasting } from '../../../src/ipam/inspection.js';
import { placed } from '../../../src/ipam/recorded.js';
import { remarks } from '../../../src/ipam/remarks.js';
import { repair } from '../../../src/ipam/repairs.js';
import type { Surroundings } from '../../../src/ipam/surroundings.js';
import { unverified } from '../../../src/ipam/unverified.js';
import { A, B, BLOCK, claim, GONE, of, pool, Records, ROWS, written } from './inspection.rows.js';

const soon = () => performance.now() + 10_000;
let tokens = 0;
const around: Surroundings = {
  now: () => new Date(0),
  millis: () => performance.now(),
  rounds: () => 0,
  token: () => `t${++tokens}`,
  below: () => 0n,
  pause: async () => undefined,
};

/** Puts right what is safe, until there is none; the kinds that are left. */
async function mend(records: Records): Promise<string[]> {
  for (let round = 0; round < 5; round++) {
    const safe = records.inspect().filter(({ remedy }) => remedy);
    if (safe.length === 0) break;
    for (const { remedy } of safe) await repair(remedy!, records.store, around, {}, soon());
  }
  return records.inspect().map(({ kind }) => kind);
}

describe('an inspection', () => {
  it('finds nothing in what drivers leave, a former epoch and a resting address included', () => {
    expect(new Records().inspect()).to.deep.equal([]);
  });

  for (const [what, { plant, found, fixed }] of Object.entries(ROWS)) {
    it(`finds ${what}, and ${fixed ? 'puts that right alone' : 'leaves it to people'}`, async () => {
      const records = new Records();
      plant(records);
      const findings = records.inspect().map(({ kind, text }) => `${kind}: ${text}`);
      expect(findings, findings.join('\n')).to.have.length(found.length);
      for (const [i, one] of found.entries()) {
        if (typeof one === 'string') expect(findings).to.include(one);
        else expect(findings[i]).to.match(one);
      }
      const before = records.versions();
      const left = await mend(records);
      expect(left).to.deep.equal(fixed ? [] : records.inspect().map(({ kind }) => kind));
      const after = records.versions();
      const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
      const changed = keys.filter((key) => before[key] !== after[key]);
      const named = Object.keys(fixed ?? {});
      expect(
        changed.filter((key) => !named.some((name) => key === name || key.includes(`${name}/`) || key.endsWith(name))),
      ).to.deep.equal([]);
      const stands = records.store.keyspace();
      for (const [key, record] of Object.entries(fixed ?? {})) {
        if (record === '*') expect(changed).to.include(key);
        else if (record === undefined) expect(Object.keys(stands).filter((one) => one.includes(key))).to.deep.equal([]);
        else expect(stands[key]).to.deep.equal(record);
      }
    });
  }

  it('finds again at a second look only what is of the same records, unchanged', () => {
    const records = new Records();
    for (const last of ['20', '21']) records.plant(`claims/${BLOCK}/010.066.000.0${last}`, claim('endpoint', GONE));
    const first = records.inspect();
    expect(lasting(first, records.inspect())).to.deep.equal(first);
    records.plant(`claims/${BLOCK}/010.066.000.020`, undefined);
    records.plant(`claims/${BLOCK}/010.066.000.022`, claim('endpoint', GONE));
    const rest = lasting(first, records.inspect()).map(({ records }) => records.map(({ key }) => key));
    expect(rest).to.deep.equal([[`claims/${BLOCK}/010.066.000.021`]]);
    records.plant(`claims/${BLOCK}/010.066.000.021`, claim('endpoint', GONE));
    expect(lasting(first, records.inspect())).to.deep.equal([]);
  });

  it('puts nothing right that has changed since it was judged', async () => {
    const untouched: string[] = [];
    for (const [what, { plant, fixed }] of Object.entries(ROWS)) {
      if (!fixed) continue;
      const records = new Records();
      plant(records);
      const findings = records.inspect().filter(({ remedy }) => remedy?.act === 'commit');
      if (findings.length === 0) continue;
      for (const { records: evidence } of findings)
        for (const { key } of evidence) records.plant(key, records.store.keyspace()[key]);
      const before = records.versions();
      for (const { remedy } of findings)
        expect(await repair(remedy!, records.store, around, {}, soon()), what).to.equal(false);
      expect(records.versions(), what).to.deep.equal(before);
      untouched.push(what);
    }
    expect(untouched).to.have.length.greaterThan(9);
  });

  it('does not end what a join left whose join is there again', async () => {
    const records = new Records();
    records.plant(`claims/${BLOCK}/010.066.000.020`, claim('endpoint', GONE));
    const [finding] = records.inspect();
    records.plant(`joins/${BLOCK}/${GONE}`, of('host-a'));
    const before = records.versions();
    expect(await repair(finding!.remedy!, records.store, around, {}, soon())).to.equal(false);
    expect(records.versions()).to.deep.equal(before);
  });
});

describe('what is good to know', () => {
  it('says who is silent, gone or evicted, what can be taken and why, and which gateway nobody has', () => {
    const records = new Records();
    for (const node of ['host-b', 'host-c', 'host-d'])
      records.plant(`nodes/${node}`, { machine: 'm', boot: 'boot-new', silence: 5, ...written });
    records.plant('nodes/host-c', { machine: 'm', boot: 'boot-host-c', silence: 12, ...written });
    records.plant('nodes/host-e', { machine: 'm', boot: 'boot-host-e', silence: 1, evicted: 'noon', ...written });
    records.plant('sessions/host-b/i2', undefined);
    records.plant('brake', { silent: 2, of: 3, since: '' });
    records.plant('restored', { node: 'host-b', what: '', ...written });
    records.plant('reconciled/host-a/i1', { mark: '00' });
    expect(records.inspect().filter(({ kind }) => kind === 'foreign-key')).to.deep.equal([]);
    records.plant(`claims/${BLOCK}/010.066.000.004`, claim('endpoint', B, 'host-b'));
    records.plant(`claims/${BLOCK}/010.066.000.005`, claim('endpoint', A, 'host-c'));
    records.plant(`claims/${BLOCK}/010.066.000.006`, claim('swarm', A, 'host-e'));
    records.plant(`pools/${BLOCK}`, { ...pool, gateway: '10.66.0.99' });
    const notes = remarks(placed(records.snapshot()), 10);
    expect(notes.flatMap(({ rounds }) => rounds ?? [])).to.deep.equal([5, 12, 5, 1]);
    expect(notes.map(({ kind, text }) => `${kind}: ${text}`)).to.deep.equal([
      'node-silent: node host-b is silent',
      'node-gone: node host-c is gone',
      'node-silent: node host-d is silent',
      'node-evicted: node host-e is evicted since noon',
      'brake: more than half of the nodes are silent together: no silence counts',
      'restored: etcd was restored from a backup: no address is given until that is settled',
      'takeable: 10.80.0.0/24 (global): 1 can be taken: of a former epoch, and not asked for again',
      'takeable: 10.66.0.0/24 (local): 1 can be taken: of an earlier boot of host-b, by that node itself',
      'takeable: 10.66.0.0/24 (local): 1 can be taken: of host-c, which is gone',
      'takeable: 10.66.0.0/24 (local): 1 can be taken: of host-e, which is evicted',
      'takeable: 10.66.0.0/24 (local): 1 can be taken: released, and resting',
      'gateway-unclaimed: 10.66.0.0/24 (local): its gateway 10.66.0.99 is not claimed: no network has it now',
    ]);
  });

  it('says of an unclaimed gateway which networks may use it, and nothing where their parts in it are a finding', () => {
    const records = new Records();
    records.plant(`pools/${BLOCK}`, { ...pool, gateway: '10.66.0.1' });
    const said = () =>
      remarks(placed(records.snapshot()), 10).flatMap(({ kind, text }) => (kind === 'gateway-unclaimed' ? text : []));
    records.plant(`claims/${BLOCK}/010.066.000.001`, undefined);
    expect(said()).to.deep.equal([]);
    records.plant(`holders/${BLOCK}/010.066.000.001/${A}`, undefined);
    records.plant(`holders/${BLOCK}/010.066.000.001/${B}`, undefined);
    expect(said()).to.deep.equal([
      '10.66.0.0/24 (local): its gateway 10.66.0.1 is not claimed: a container may get it, and networks of host-a, host-b, which hold no gateway, may use it',
    ]);
  });

  it('says what no look at etcd can tell, and why', () => {
    const all = placed(new Records().snapshot());
    expect(unverified(all).map(({ what }) => what)).to.deep.equal([
      'whether a container uses each of 2 addresses of host-a, host-b',
      "whether 1 of them are containers' or auxiliary addresses",
      'whether a network stands behind each of 2 joins',
      'whether a task or service has each of 2 addresses of a swarm',
    ]);
    expect(unverified(all, 'host-b').map(({ what }) => what)[0]).to.equal(
      'whether a container uses each of 1 addresses of host-a',
    );
    for (const { why } of unverified(all)) expect(why).to.not.equal('');
  });
});
