// When each alert fires and when it does not: series a minute apart, as promtool writes them, and when to look.

export interface Row {
  readonly alert: string;
  /** What goes on, as the title goes on after "fires: " or "is quiet: ". */
  readonly what: string;
  readonly series: Readonly<Record<string, string>>;
  readonly at: readonly string[];
  /** How many alerts of that name fire then. */
  readonly fires: number;
}

const on = (host: string) => `job="etcd-ipam",instance="${host}"`;
const both = (name: string, labels: string, values: string) =>
  Object.fromEntries(['a', 'b'].map((host) => [`${name}{${on(host)}${labels && `,${labels}`}}`, values]));
const POOL = 'space="local",cidr="10.66.0.0/24"';
/** As both hosts show it. */
const pool = (available: string, allocated: string) => ({
  ...both('etcd_ipam_available_ips', POOL, available),
  ...both('etcd_ipam_allocated_ips', POOL, allocated),
});
/** An operator wants to be warned from 80 % on. */
const warned = (available: string, allocated: string) => ({
  ...pool(available, allocated),
  ...both('etcd_ipam_pool_warning_ratio', POOL, '0.8x60'),
});
const errors = (scope: string, values: string) => ({
  [`etcd_ipam_allocation_errors_total{${on('a')},${POOL},scope="${scope}"}`]: values,
});
const races = (lost: string, granted: string) => ({
  [`etcd_ipam_lost_races_total{${on('a')}}`]: lost,
  [`etcd_ipam_allocation_total{${on('a')},${POOL},scope="dynamic"}`]: granted,
});
const session = (alive: string, up: string, refused: string) => ({
  [`etcd_ipam_session_alive{${on('a')}}`]: alive,
  [`etcd_ipam_etcd_up{${on('a')}}`]: up,
  [`etcd_ipam_session_refused{${on('a')}}`]: refused,
});
/** A hundred requests a minute, of which so many take longer than 0.25 s and all less than 0.5 s. */
const times = (slow: number) =>
  Object.fromEntries(
    Object.entries({ '0.1': 100 - slow, '0.25': 100 - slow, '0.5': 100, '+Inf': 100 }).map(([le, count]) => [
      `etcd_ipam_etcd_request_duration_seconds_bucket{${on('a')},operation="txn",le="${le}"}`,
      `0+${count}x60`,
    ]),
  );
const faults = (values: string, up = '1x60') => ({
  [`etcd_ipam_etcd_request_errors_total{${on('a')},operation="txn",kind="refused"}`]: values,
  [`etcd_ipam_etcd_up{${on('a')}}`]: up,
});
const waiting = (values: string, up = '1x60') => ({
  [`etcd_ipam_pending_releases{${on('a')}}`]: values,
  [`etcd_ipam_etcd_up{${on('a')}}`]: up,
});
const findings = (kind: string, values: string) => ({
  [`etcd_ipam_reconcile_findings{${on('a')},kind="${kind}"}`]: values,
});
const looked = (values: string) => ({
  [`etcd_ipam_reconcile_last_success_timestamp_seconds{${on('a')}}`]: values,
});
const hosts = (state: string, values: string) => both('etcd_ipam_nodes', `state="${state}"`, values);

/** Alert, what goes on, series, when, how many. */
const table: readonly (readonly [string, string, Row['series'], string, number])[] = [
  ['PoolFillsUp', '104 left of 254, 6 fewer each hour', pool('104-0.1x600', '150+0.1x600'), '8h', 1],
  ['PoolFillsUp', 'the same, begun an hour ago', pool('104-0.1x600', '150+0.1x600'), '1h', 0],
  ['PoolFillsUp', 'an empty pool that is filled to half', pool('254-1x120 134x300', '0+1x120 120x300'), '1h 2h 3h', 0],
  [
    'PoolFillsUp',
    'one deployment that takes 190 addresses in 10 min',
    pool('254x60 235-19x9 64x600', '0x60 19+19x9 190x600'),
    '1h5m 1h30m 2h 2h20m 2h30m 4h',
    0,
  ],
  ['PoolFillsUp', '100 left, one fewer each hour', pool('100-0.0166x600', '154+0.0166x600'), '9h', 0],
  ['PoolFillsUp', 'a full one, of which another alert tells', pool('150-1x149 0x300', '104+1x149 254x300'), '5h', 0],
  ['PoolFull', 'no address left for 3 min, as two hosts say', pool('1x5 0x10', '253x5 254x10'), '9m', 1],
  ['PoolFull', 'full for a minute, while what was released rests', pool('0x1 3x10', '254x1 251x10'), '1m 2m 5m', 0],
  ['PoolFull', 'one address left', pool('1x20', '253x20'), '15m', 0],
  ['PoolAboveWarning', '204 of 254 for 3 min, as two hosts say', warned('54x5 50x10', '200x5 204x10'), '9m', 1],
  [
    'PoolAboveWarning',
    'as many for a minute, while what was released rests',
    warned('54x5 50 54x10', '200x5 204 200x10'),
    '6m 7m 8m 10m',
    0,
  ],
  ['PoolAboveWarning', '203 of 254', warned('51x20', '203x20'), '15m', 0],
  ['PoolAboveWarning', '204 of 254, where nobody wants to be warned', pool('50x20', '204x20'), '15m', 0],
  ['AllocationsFail', 'three requests in ten minutes', errors('dynamic', '0x5 1 2 3x20'), '10m', 1],
  ['AllocationsFail', 'two requests in ten minutes', errors('dynamic', '0x5 1 2x20'), '10m', 0],
  ['AllocationsFail', 'named addresses that others have', errors('static', '0+5x30'), '10m 20m', 0],
  ['RacesLost', '3 races for 4 addresses, 2 a second', races('0+90x60', '0+120x60'), '40m', 1],
  ['RacesLost', '1 race for 10 addresses, 2 a second', races('0+12x60', '0+120x60'), '40m', 0],
  ['RacesLost', '3 races for 4 addresses, 4 in a minute', races('0+3x60', '0+4x60'), '40m', 0],
  ['Down', 'no answer for 6 min', { [`up{${on('a')}}`]: '1x5 0x20' }, '12m', 1],
  [
    'Down',
    'no answer for 3 min, and another job’s host',
    { [`up{${on('a')}}`]: '1x5 0x2 1x20', 'up{job="x"}': '0x30' },
    '8m 20m',
    0,
  ],
  ['HostSilent', 'for 11 min, as two hosts say', hosts('silent', '0x5 1x20'), '17m', 1],
  ['HostSilent', 'a reboot of 5 min', hosts('silent', '0x5 1x4 0x20'), '9m 15m 25m', 0],
  ['HostGone', 'for 2 min, as two hosts say', hosts('gone', '0x5 1x20'), '8m', 1],
  ['HostGone', 'evicted ones, of which somebody knows', hosts('evicted', '2x30'), '10m', 0],
  ['BrakeOn', 'for 2 min, as two hosts say', both('etcd_ipam_brake', '', '0x5 1x20'), '8m', 1],
  ['BrakeOn', 'off', both('etcd_ipam_brake', '', '0x20'), '8m', 0],
  ['Restored', 'for 2 min, as two hosts say', both('etcd_ipam_restored', '', '0x5 1x20'), '8m', 1],
  ['Restored', 'no mark', both('etcd_ipam_restored', '', '0x20'), '8m', 0],
  ['SessionRefused', 'for 3 min', session('0x20', '1x20', '0x2 1x20'), '7m', 1],
  [
    'SessionRefused',
    'the session of the boot before, for a minute',
    session('0x20', '1x20', '1x1 0x20'),
    '1m 2m 3m',
    0,
  ],
  ['NoSession', 'etcd answers, for 3 min', session('0x20', '1x20', '0x20'), '4m', 1],
  ['NoSession', 'etcd is away', session('0x20', '0x20', '0x20'), '4m', 0],
  ['NoSession', 'the name is refused', session('0x20', '1x20', '1x20'), '4m', 0],
  ['NoSession', 'a start', session('0x1 1x20', '1x20', '0x20'), '1m 2m 4m', 0],
  ['EtcdUnreachable', 'for 2 min', session('0x20', '1x5 0x20', '0x20'), '8m', 1],
  ['EtcdUnreachable', 'for one reading', session('0x20', '1x5 0 1x20', '0x20'), '6m 7m 8m', 0],
  ['EtcdSlow', '2 of 100 requests take more than 0.25 s', times(2), '20m', 1],
  ['EtcdSlow', '1 of 200 requests takes more than 0.25 s', times(0.5), '20m', 0],
  ['EtcdErrors', '12 in a minute', faults('0+12x60'), '20m', 1],
  ['EtcdErrors', '3 in a minute', faults('0+3x60'), '20m', 0],
  ['EtcdErrors', '60 in a minute, of an etcd that is away', faults('0+60x60', '0x60'), '20m', 0],
  ['ReleasesWait', 'for 16 min', waiting('0x2 3x60'), '20m', 1],
  ['ReleasesWait', 'taken and new ones, with none between', waiting('3x8 0x2 3x8 0x2'), '9m 15m 20m', 0],
  ['ReleasesWait', 'while etcd is away', waiting('3x60', '0x60'), '20m', 0],
  [
    'ReleasesAbandoned',
    'one, half an hour ago',
    { [`etcd_ipam_abandoned_releases_total{${on('a')}}`]: '0x5 1x60' },
    '35m',
    1,
  ],
  [
    'ReleasesAbandoned',
    'one, yesterday',
    { [`etcd_ipam_abandoned_releases_total{${on('a')}}`]: '0x5 1x1500' },
    '25h',
    0,
  ],
  ['Leaks', 'a claim without a container for 31 min', findings('stale', '0x5 1x60'), '37m', 1],
  ['Leaks', 'a doubt for people for 31 min', findings('doubtful', '0x5 1x60'), '37m', 1],
  ['Leaks', 'a claim that reconciliation frees', findings('stale', '0x5 1x1 0x60'), '6m 37m', 0],
  ['ContainerUnclaimed', 'for 6 min', findings('missing', '0x5 1x60'), '12m', 1],
  ['ContainerUnclaimed', 'claimed by the next look', findings('missing', '0x5 1x1 0x60'), '6m 12m', 0],
  ['ReconciliationStands', 'for 35 min', looked('0x1 60x60'), '37m', 1],
  ['ReconciliationStands', 'a look every minute', looked('0+60x60'), '50m', 0],
  ['ReconciliationStands', 'a host without the engine’s socket', looked('0x60'), '50m', 0],
];

export const ROWS: readonly Row[] = table.map(([alert, what, series, at, fires]) => ({
  ...{ alert: `EtcdIpam${alert}`, what, series, at: at.split(' '), fires },
}));
