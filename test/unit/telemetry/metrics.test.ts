// What a decision counts as, in the words that Prometheus reads.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { EtcdRequests } from '../../../src/telemetry/etcd-requests.js';
import { type Decided, Metrics } from '../../../src/telemetry/metrics.js';

const pool = { space: 'local', pool: '10.66.0.0/24' };
const request = { call: 'RequestAddress', scope: 'dynamic', ms: 2, ...pool } as const;

/** The lines of ours, without comments and the buckets of times. */
async function lines(metrics: Metrics): Promise<string[]> {
  return (await metrics.text())
    .split('\n')
    .filter((line) => line.startsWith('etcd_ipam_') && !/_seconds_(bucket|sum)/.test(line));
}

function vitals(of: Partial<{ alive: boolean; refused: boolean; away: boolean; pending: number }> = {}) {
  return {
    sessionAlive: () => of.alive ?? true,
    sessionRefused: () => of.refused ?? false,
    etcdAway: () => of.away ?? false,
    pending: () => of.pending ?? 0,
  };
}

const rows: readonly [string, Decided, readonly string[]][] = [
  [
    'an address that the engine left to us',
    { ...request, outcome: 'granted', races: 0 },
    [
      'allocation_total{space="local",cidr="10.66.0.0/24",scope="dynamic"} 1',
      'call_duration_seconds_count{call="RequestAddress",outcome="granted"} 1',
    ],
  ],
  ['the races that a grant lost', { ...request, outcome: 'granted', races: 2 }, ['lost_races_total 2']],
  [
    'an address that is taken',
    { ...request, scope: 'static', outcome: 'refused' },
    ['allocation_errors_total{space="local",cidr="10.66.0.0/24",scope="static"} 1'],
  ],
  ['an address of a host that is gone', { ...request, outcome: 'granted', from: 'b' }, ['takeovers_total 1']],
  [
    'a release',
    { call: 'ReleaseAddress', ms: 1, ...pool, outcome: 'released' },
    ['call_duration_seconds_count{call="ReleaseAddress",outcome="released"} 1'],
  ],
  [
    'a release that fails at once, as of a record that cannot be read',
    { call: 'ReleaseAddress', ms: 1, ...pool, outcome: 'failed' },
    ['abandoned_releases_total 1'],
  ],
  [
    'a release that is refused, as while another boot has the node’s name',
    { call: 'ReleaseAddress', ms: 1, ...pool, outcome: 'refused' },
    ['abandoned_releases_total 1'],
  ],
  ['the same of a pool', { call: 'ReleasePool', ms: 1, ...pool, outcome: 'failed' }, ['abandoned_releases_total 1']],
];

describe('metrics', () => {
  for (const [what, decided, expected] of rows) {
    it(`count ${what}`, async () => {
      const metrics = new Metrics('1.2.3', vitals());
      const before = await lines(metrics);
      metrics.decided(decided);
      const now = (await lines(metrics)).filter((line) => !before.includes(line));
      expect(now).to.include.members(expected.map((line) => `etcd_ipam_${line}`));
    });
  }

  it('count an address that was taken over, and that nobody received, as one taken over', async () => {
    const metrics = new Metrics('1.2.3', vitals());
    metrics.decided({ ...request, outcome: 'granted', from: 'b' });
    metrics.decided({ ...request, outcome: 'undone', from: 'b' });
    expect(await lines(metrics)).to.include.members([
      'etcd_ipam_takeovers_total 1',
      'etcd_ipam_call_duration_seconds_count{call="RequestAddress",outcome="granted"} 1',
      'etcd_ipam_call_duration_seconds_count{call="RequestAddress",outcome="undone"} 1',
    ]);
  });

  it('do not count an undone grant, or a release, as an allocation', async () => {
    const metrics = new Metrics('1.2.3', vitals());
    metrics.decided({ ...request, outcome: 'undone' });
    metrics.decided({ call: 'ReleaseAddress', ms: 1, ...pool, outcome: 'released' });
    expect((await lines(metrics)).filter((line) => line.includes('allocation'))).to.deep.equal([]);
  });

  it('do not count a request that fails, or a release that waits, as a release given up', async () => {
    const metrics = new Metrics('1.2.3', vitals());
    metrics.decided({ ...request, outcome: 'failed' });
    metrics.decided({ call: 'ReleaseAddress', ms: 1, ...pool, outcome: 'queued' });
    expect(await lines(metrics)).to.include('etcd_ipam_abandoned_releases_total 0');
  });

  it('show what the process is asked at each reading', async () => {
    const now = { alive: false, refused: true, away: true, pending: 3 };
    const metrics = new Metrics('1.2.3', vitals(now));
    expect(await lines(metrics)).to.include.members([
      'etcd_ipam_session_alive 0',
      'etcd_ipam_session_refused 1',
      'etcd_ipam_etcd_up 0',
      'etcd_ipam_pending_releases 3',
      'etcd_ipam_build_info{version="1.2.3"} 1',
    ]);
    Object.assign(now, { alive: true, refused: false, away: false, pending: 0 });
    expect(await lines(metrics)).to.include.members([
      'etcd_ipam_session_alive 1',
      'etcd_ipam_session_refused 0',
      'etcd_ipam_etcd_up 1',
      'etcd_ipam_pending_releases 0',
    ]);
  });

  const pool = { space: 'local', pool: '10.66.0.0/24', size: 254, excluded: 0, reserved: 0 };

  it('tell what an operator has laid down, and no warning where he wants none', async () => {
    const metrics = new Metrics('1.2.3', vitals());
    metrics.filled([
      { ...pool, used: 4, excluded: 9, reserved: 2, free: 239, warnAt: 80, full: false },
      { ...pool, pool: '10.67.0.0/24', used: 1, free: 253 },
    ]);
    expect(
      (await lines(metrics)).filter((line) => /_pool_|available/.test(line) && !line.startsWith('#')),
    ).to.deep.equal([
      'etcd_ipam_available_ips{space="local",cidr="10.66.0.0/24"} 239',
      'etcd_ipam_available_ips{space="local",cidr="10.67.0.0/24"} 253',
      'etcd_ipam_pool_excluded_addresses{space="local",cidr="10.66.0.0/24"} 9',
      'etcd_ipam_pool_excluded_addresses{space="local",cidr="10.67.0.0/24"} 0',
      'etcd_ipam_pool_reserved_addresses{space="local",cidr="10.66.0.0/24"} 2',
      'etcd_ipam_pool_reserved_addresses{space="local",cidr="10.67.0.0/24"} 0',
      'etcd_ipam_pool_warning_ratio{space="local",cidr="10.66.0.0/24"} 0.8',
    ]);
  });

  it('forget a pool that is no longer there', async () => {
    const metrics = new Metrics('1.2.3', vitals());
    metrics.filled([
      { ...pool, used: 4, free: 250 },
      { ...pool, pool: '10.67.0.0/24', used: 1, free: 253 },
    ]);
    expect(await lines(metrics)).to.include.members([
      'etcd_ipam_allocated_ips{space="local",cidr="10.66.0.0/24"} 4',
      'etcd_ipam_available_ips{space="local",cidr="10.66.0.0/24"} 250',
    ]);
    metrics.filled([{ ...pool, used: 5, free: 249 }]);
    expect((await lines(metrics)).filter((line) => line.includes('_ips'))).to.deep.equal([
      'etcd_ipam_allocated_ips{space="local",cidr="10.66.0.0/24"} 5',
      'etcd_ipam_available_ips{space="local",cidr="10.66.0.0/24"} 249',
    ]);
  });

  it('show a counter before its first event, so that this one is an increase', async () => {
    const metrics = new Metrics('1.2.3', vitals(), new EtcdRequests());
    metrics.filled([{ ...pool, used: 4, free: 250 }]);
    expect(await lines(metrics)).to.include.members([
      'etcd_ipam_reconciled_total{outcome="left"} 0',
      'etcd_ipam_abandoned_releases_total 0',
      'etcd_ipam_etcd_request_errors_total{operation="txn",kind="unknown"} 0',
      'etcd_ipam_allocation_total{space="local",cidr="10.66.0.0/24",scope="dynamic"} 0',
      'etcd_ipam_allocation_errors_total{space="local",cidr="10.66.0.0/24",scope="static"} 0',
    ]);
  });

  it('show what all hosts say alike, and nothing of it once it could not be read for long', async () => {
    const metrics = new Metrics('1.2.3', vitals());
    const shared = (line: string) => /^etcd_ipam_(nodes|brake|restored|allocated_ips|available_ips)/.test(line);
    expect((await lines(metrics)).filter(shared), 'not read yet').to.deep.equal([]);
    metrics.filled([{ ...pool, used: 4, free: 250 }]);
    metrics.cluster.surveyed({ nodes: { alive: 3, silent: 1, gone: 0, evicted: 0 }, braked: true, restored: false });
    expect(await lines(metrics)).to.include.members([
      'etcd_ipam_nodes{state="alive"} 3',
      'etcd_ipam_nodes{state="silent"} 1',
      'etcd_ipam_nodes{state="gone"} 0',
      'etcd_ipam_brake 1',
      'etcd_ipam_restored 0',
    ]);
    metrics.forget();
    expect((await lines(metrics)).filter(shared)).to.deep.equal([]);
  });

  it('show how etcd answers: its errors by kind, and no time of what was never sent', async () => {
    const requests = new EtcdRequests();
    const metrics = new Metrics('1.2.3', vitals(), requests);
    requests.begun('txn')();
    requests.begun('txn')('unknown');
    requests.begun('txn')('not_sent');
    requests.begun('read');
    expect(await lines(metrics)).to.include.members([
      'etcd_ipam_etcd_request_duration_seconds_count{operation="txn"} 2',
      'etcd_ipam_etcd_request_errors_total{operation="txn",kind="unknown"} 1',
      'etcd_ipam_etcd_request_errors_total{operation="txn",kind="not_sent"} 1',
      'etcd_ipam_etcd_requests_in_flight 1',
    ]);
  });

  it('show what the latest look at the engine met, and when that was', async () => {
    const metrics = new Metrics('1.2.3', vitals());
    const none = { stale: 0, auxiliary: 0, container: 0, missing: 0, lost: 0, doubtful: 0 };
    metrics.looked({ ...none, stale: 2 });
    metrics.looked({ ...none, missing: 1 });
    expect(await lines(metrics)).to.include.members([
      'etcd_ipam_reconcile_findings{kind="stale"} 0',
      'etcd_ipam_reconcile_findings{kind="missing"} 1',
    ]);
    const [at] = /(?<=^etcd_ipam_reconcile_last_success_timestamp_seconds )\d+/m.exec(await metrics.text())!;
    expect(Number(at)).to.be.closeTo(Date.now() / 1_000, 60);
  });

  it('stand in README, and nothing else does', async () => {
    const metrics = new Metrics('1.2.3', vitals(), new EtcdRequests());
    const families = [...(await metrics.text()).matchAll(/^# TYPE etcd_ipam_(\w+) /gm)].map(([, name]) => name!);
    const [, table] = /^\| metric, `etcd_ipam_…`.*\n([\s\S]*?)\n\n/m.exec(readFileSync('README.md', 'utf8'))!;
    const rows = table!.split('\n').slice(1);
    const named = rows.flatMap((row) => [...row.split(' | ')[0]!.matchAll(/`(\w+)`/g)].map(([, name]) => name!));
    expect(named).to.have.members(families);
  });
});
