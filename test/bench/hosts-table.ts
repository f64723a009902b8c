// What the model says, as tables for the README: some clusters, and where each limit is. Measures nothing.
import { type Cluster, coresOf, type Load, loadOf, most, type Units } from './hosts-model.js';

const HOUR = 3_600;
const DAY = 24 * HOUR;
const CLUSTER: Cluster = {
  hosts: 1_000,
  containers: 100,
  lifeS: DAY,
  ttlS: 15,
  cooldownS: 30,
  historyS: 7 * DAY,
  retentionS: HOUR,
  metrics: true,
  claimsSeen: 100,
};
const CLUSTERS: readonly [what: string, cluster: Cluster][] = [
  ['each lives a day', CLUSTER],
  ['each lives a day, one network of all hosts', { ...CLUSTER, claimsSeen: 100_000 }],
  ['each lives an hour', { ...CLUSTER, lifeS: HOUR }],
  ['each lives an hour, IPAM_HISTORY=0', { ...CLUSTER, lifeS: HOUR, historyS: 0 }],
  ['each lives a day, IPAM_SESSION_TTL=5s', { ...CLUSTER, ttlS: 5 }],
];
const GB = 1e9;

type Column = readonly [head: string, text: (load: Load) => string];
const COLUMNS: readonly Column[] = [
  ['claims/s', ({ claimsPerS }) => rounded(claimsPerS)],
  ['commits/s', ({ commitsPerS }) => rounded(commitsPerS)],
  ['MB/s', ({ bytesPerS }) => rounded(bytesPerS / 1e6)],
  ['cores of etcd', (load) => coresOf(load).toFixed(2)],
  ['of which idle', ({ cores }) => cores.idle.toFixed(2)],
  ['churn', ({ cores }) => cores.churn.toFixed(2)],
  ['metrics', ({ cores }) => cores.metrics.toFixed(2)],
  ['reconciliation', ({ cores }) => cores.reconciliation.toFixed(2)],
  ['leases', ({ leases }) => rounded(leases)],
  ['database MB', ({ dbBytes }) => rounded(dbBytes / 1e6)],
  ['before it compacts', ({ dbBytesAtMost }) => rounded(dbBytesAtMost / 1e6)],
];

export function tableOfLoads(units: Units): string {
  const rows = CLUSTERS.map(([what, cluster]) => [what, ...COLUMNS.map(([, text]) => text(loadOf(units, cluster)))]);
  const head = ['1,000 hosts, 100 containers each', ...COLUMNS.map(([name]) => name)];
  const rule = head.map((_, i) => (i === 0 ? '---' : '---:'));
  return [...[head, rule, ...rows].map((row) => `| ${row.join(' | ')} |`), '', ...limitsOf(units), ''].join('\n');
}

function limitsOf(units: Units): string[] {
  const hosts = (cluster: Partial<Cluster>) =>
    rounded(most((n) => coresOf(loadOf(units, { ...CLUSTER, hosts: n, ...cluster })) <= 1, 1, 1e6));
  const churn = (cluster: Partial<Cluster>, fits: (load: Load) => boolean) => {
    const rate = most(
      (r) => fits(loadOf(units, { ...CLUSTER, lifeS: (CLUSTER.hosts * CLUSTER.containers) / r, ...cluster })),
      1e-3,
      1e6,
    );
    return rounded(rate);
  };
  const within = (bytes: number) => (load: Load) => load.dbBytesAtMost <= bytes;
  const { hosts: all, containers } = CLUSTER;
  return [
    `* ${rounded(all * containers)} claims at once, as after a power cut: ${rounded((all * containers * units.claimAtOnce.etcdUs) / 1e6)} s of one core of etcd`,
    `* hosts that keep one core of etcd busy: ${hosts({})}; without metrics ${hosts({ metrics: false })}; one network of all hosts ${hosts({ claimsSeen: 1e5 })}`,
    `* containers a second that do so, of 1,000 hosts: ${churn({}, (load) => coresOf(load) <= 1)}`,
    `* containers a second until 2 GB are full: ${churn({}, within(2 * GB))}; 8 GB ${churn({}, within(8 * GB))}; with IPAM_HISTORY=1d ${churn({ historyS: DAY }, within(2 * GB))} and ${churn({ historyS: DAY }, within(8 * GB))}; IPAM_HISTORY=0 ${churn({ historyS: 0 }, within(2 * GB))} and ${churn({ historyS: 0 }, within(8 * GB))}; that, and compaction every 5 minutes ${churn({ historyS: 0, retentionS: 300 }, within(2 * GB))} and ${churn({ historyS: 0, retentionS: 300 }, within(8 * GB))}`,
  ];
}

function rounded(value: number): string {
  return value >= 1_000
    ? Math.round(value).toLocaleString('en')
    : value >= 10
      ? value.toFixed(0)
      : value.toPrecision(2);
}
