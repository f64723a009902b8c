// The monitoring kit as it is meant to be used: a real Prometheus with the shipped configuration, rules and dashboard reads two
// real drivers. Only times are shorter: between readings, and until a condition counts as an alert.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, freePorts, startEtcd } from '../support/etcd.js';
import { FakeEngine, showing } from '../support/fake-engine.js';
import { Load } from '../support/load.js';
import { eventually, runOrFail } from '../support/process.js';
import { PROGRAM } from '../support/program.js';
import { Prometheus, promtool, type Rule } from '../support/prometheus.js';
import { groupingsIn, selectorsIn, seriesOf, valueIn } from '../support/promql.js';
import { needProgram } from '../support/skip.js';

const kit = (file: string) => readFileSync(`deploy/monitoring/${file}`, 'utf8');
const CALLERS = 4;
/** Of an address that is not the pool's: so many requests of each driver are refused. */
const REFUSED = 3;
/** What is the whole cluster's, and the same at each host. */
const COMMON = /^etcd_ipam_(allocated_ips|available_ips|pool_warning_ratio|nodes|brake|restored)$/;
/** That a busy machine's etcd is slow is no mistake of a rule. */
const OF_THE_MACHINE = ['EtcdIpamEtcdSlow'];

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

/** As Grafana fills in its variables, but for the step of subqueries: nothing here is five minutes old. */
function filledIn(expression: string): string {
  const values = { job: 'etcd-ipam', instance: '.+', space: '.+', pool: '.+', __rate_interval: '1m' };
  return expression
    .replace(/\$(\w+)/g, (_, name: string) => values[name as keyof typeof values] ?? `unknown variable ${name}`)
    .replace(':5m]', ':1s]');
}

const dashboard = JSON.parse(kit('dashboard.json')) as { panels: readonly Panel[] };
const queries = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));

describe('monitoring kit', () => {
  let etcd: EtcdFixture;
  let engine: FakeEngine;
  let load: Load;
  let ports: number[];
  let prometheus: Prometheus;
  const ended: (() => Promise<unknown>)[] = [];

  before(async function () {
    this.timeout(180_000);
    needProgram(this, 'promtool');
    needProgram(this, 'prometheus');
    etcd = await startEtcd();
    ended.push(() => etcd.stop());
    // Whatever is claimed has its network, so that nothing is doubtful.
    const subnets = ['10.66.0.0/22', '10.67.0.0/30', '10.68.0.0/24'];
    const net = { Id: 'n', Name: 'n', Scope: 'local' };
    const shown = { ...net, IPAM: { Driver: 'ipam', Config: subnets.map((Subnet) => ({ Subnet })) } };
    const env = { ETCD_ENDPOINTS: etcd.url };
    for (const [subnet, percent] of [
      ['10.66.0.0/22', '100'],
      ['10.68.0.0/24', '90'],
    ] as const)
      await runOrFail(process.execPath, [...PROGRAM, 'warn-at', subnet, percent], { env });
    engine = await FakeEngine.start(
      showing({ '/version': { Version: '29.0.0' }, '/networks': [shown], '/networks/n': shown }),
    );
    ended.push(() => engine[Symbol.asyncDispose]());
    ports = await freePorts(2);
    load = await Load.start({
      ...{ drivers: 2, callers: CALLERS, etcd: () => etcd.url },
      env: (nth) => ({
        IPAM_OPS_LISTEN: `127.0.0.1:${ports[nth]}`,
        ...(nth === 0 && { IPAM_ENGINE_SOCKET: engine.socket }),
      }),
    });
    ended.push(() => load[Symbol.asyncDispose]());
    const targets = ports.map((port) => `'127.0.0.1:${port}'`).join(', ');
    prometheus = await Prometheus.start({
      'prometheus.yml': kit('prometheus.yml')
        .replace(/targets: \[.*\]/, `targets: [${targets}]`)
        .replace('scrape_interval: 15s', 'scrape_interval: 3s')
        .replace('evaluation_interval: 15s', 'evaluation_interval: 1s'),
      'alerts.yml': kit('alerts.yml').replace(/for: \d+m/g, 'for: 1s'),
    });
    ended.push(() => prometheus[Symbol.asyncDispose]());
  });
  after(async function () {
    this.timeout(60_000);
    for (const end of ended.reverse()) await end();
  });

  const page = async (nth: number) => (await fetch(`http://127.0.0.1:${ports[nth]}/metrics`)).text();
  const pages = () => Promise.all([page(0), page(1)]);
  const join = async (driver: DriverProcess, Pool: string) => {
    const ask = { AddressSpace: 'local', Pool, SubPool: '', Options: {}, V6: false };
    return (await driver.client.call('/IpamDriver.RequestPool', ask)).json.PoolID as string;
  };
  const take = (driver: DriverProcess, PoolID: string, Address = '') =>
    driver.client.call('/IpamDriver.RequestAddress', { PoolID, Address, Options: {} });

  it('adds up, while two drivers give addresses at full speed and at the end, to what those who asked have got', async () => {
    const given = async () => {
      const found = (await pages()).map((text) =>
        valueIn(text, 'etcd_ipam_allocation_total{space="local",cidr="10.66.0.0/22",scope="dynamic"}'),
      );
      return found.reduce<number>((sum, value) => sum + (value ?? 0), 0);
    };
    for (let reading = 0; reading < 5; reading++) {
      const before = load.granted;
      const counted = await given();
      // An answer may be on its way to each caller.
      expect(counted).to.be.within(before, load.granted + CALLERS);
      await load.everyoneGrants();
    }
    await load.stop();
    expect(load.errors).to.deep.equal([]);
    for (const driver of load.drivers) {
      const PoolID = await join(driver, '10.66.0.0/22');
      for (let nth = 0; nth < REFUSED; nth++) expect((await take(driver, PoolID, '10.99.0.1')).status).to.equal(500);
    }
    expect(await given()).to.equal(load.granted);
    const summed = async (series: string) => {
      const values = await Promise.all([0, 1].map(async (nth) => valueIn(await page(nth), series)));
      return values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
    };
    const calls = (call: string, outcome: string) =>
      summed(`etcd_ipam_call_duration_seconds_count{call="${call}",outcome="${outcome}"}`);
    expect(await calls('RequestAddress', 'granted')).to.equal(load.granted);
    expect(await calls('ReleaseAddress', 'released')).to.equal(load.released);
    const refused = 'etcd_ipam_allocation_errors_total{space="local",cidr="10.66.0.0/22",scope="static"}';
    expect(await summed(refused)).to.equal(2 * REFUSED);
    await eventually('Prometheus has read as much', async () => {
      const [sum] = await prometheus.query('sum(etcd_ipam_allocation_total{cidr="10.66.0.0/22"})');
      return Number(sum?.value[1]) === load.granted;
    });
  });

  it('serves metrics that promtool finds nothing wrong with', async () => {
    for (const input of await pages()) {
      const { code, stdout, stderr } = await promtool(['check', 'metrics'], { input });
      expect(stdout + stderr).to.equal('');
      expect(code).to.equal(0);
    }
  });

  it('takes what is the whole cluster’s once: 2 hosts are 2, whichever host says so', async () => {
    const alive = queries.find(({ title }) => title === 'Hosts alive')!;
    await eventually(
      'both hosts show both',
      async () => {
        const shown = await prometheus.query('etcd_ipam_nodes{state="alive"} == 2');
        return shown.length === 2;
      },
      60_000,
    );
    const samples = await prometheus.query(filledIn(alive.expr));
    expect(samples.map(({ value }) => value[1])).to.deep.equal(['2']);
    const rules = await prometheus.rules();
    for (const expression of [...rules.map(({ query }) => query), ...queries.map(({ expr }) => expr)])
      for (const { metric } of selectorsIn(expression).filter(({ metric }) => COMMON.test(metric)))
        expect(expression, metric).to.match(new RegExp(`(max|min)(\\s*by\\s*\\([^)]*\\))?\\s*\\(\\s*${metric}`));
  });

  it('knows no metric and no label, in rules or dashboard, that is not served', async () => {
    const rules = await prometheus.rules();
    await eventually('the engine was looked at', async () => (await page(0)).includes('etcd_ipam_reconcile_findings{'));
    const served = seriesOf(...(await pages()));
    const recorded = new Set(rules.filter(({ type }) => type === 'recording').map(({ name }) => name));
    const unknown: string[] = [];
    for (const expression of [...rules.map(({ query }) => query), ...queries.map(({ expr }) => filledIn(expr))]) {
      const selectors = selectorsIn(expression).filter(({ metric }) => metric !== 'up' && !recorded.has(metric));
      const labels = new Set(['job', 'instance']);
      for (const { metric, matchers } of selectors) {
        const known = served.get(metric);
        if (!known) unknown.push(`${metric} in ${expression}`);
        for (const label of known?.keys() ?? []) labels.add(label);
        for (const { label, operator, value } of matchers) {
          if (label === 'job' || label === 'instance') continue;
          const values = known?.get(label);
          if (!values) unknown.push(`${metric}{${label}} in ${expression}`);
          // Each of several that are listed, as in kind=~"stale|lost".
          const named = operator === '=' ? [value] : value === '.+' ? [] : value.split('|');
          for (const one of named) if (!values?.has(one)) unknown.push(`${metric}{${label}="${one}"}`);
        }
      }
      if (selectors.length > 0)
        for (const label of groupingsIn(expression))
          if (!labels.has(label)) unknown.push(`the label ${label} in ${expression}`);
    }
    expect(unknown).to.deep.equal([]);
    expect(recorded.size).to.be.above(0);
  });

  it('is quiet while all is well, with every rule in force', async () => {
    const wellOf = ({ health, lastError = '' }: Rule) => health === 'ok' && lastError === '';
    await eventually('every rule was evaluated', async () => (await prometheus.rules()).every(wellOf));
    const alerts = await prometheus.alerts();
    expect(
      alerts.map(({ labels }) => labels.alertname).filter((name) => !OF_THE_MACHINE.includes(name!)),
    ).to.deep.equal([]);
  });

  it('fires for a pool that is full, one that fills up, and a host that is killed; its dashboard shows all of it', async function () {
    this.timeout(240_000);
    // The one with an engine stays.
    const [left, killed] = ['node-0', 'node-1'].map((name) => load.drivers.find(({ node }) => node === name)!) as [
      DriverProcess,
      DriverProcess,
    ];
    await killed.kill();
    const full = await join(left, '10.67.0.0/30');
    while ((await take(left, full)).status === 200);
    const filling = await join(left, '10.68.0.0/24');
    // 250 of 254, over some readings.
    let taken = 0;
    for (const upTo of [100, 180, 250]) {
      for (; taken < upTo; taken++) expect((await take(left, filling)).status).to.equal(200);
      const seen = `min(etcd_ipam_available_ips{cidr="10.68.0.0/24"}) <= ${254 - upTo}`;
      await eventually(seen, async () => (await prometheus.query(seen)).length > 0);
    }
    const expected = ['Down', 'HostSilent', 'PoolFillsUp', 'PoolFull', 'PoolAboveWarning'].map(
      (name) => `EtcdIpam${name}`,
    );
    const firing = await eventually(
      expected.join(', '),
      async () => {
        const names = await prometheus.firing();
        return expected.every((name) => names.includes(name)) && names;
      },
      120_000,
    );
    expect(firing.filter((name) => ![...expected, ...OF_THE_MACHINE].includes(name))).to.deep.equal([]);
    const alerts = await prometheus.alerts();
    const cidrs = (name: string) =>
      alerts.filter(({ labels }) => labels.alertname === name).map(({ labels }) => labels.cidr);
    expect(cidrs('EtcdIpamPoolFull')).to.deep.equal(['10.67.0.0/30']);
    expect(cidrs('EtcdIpamPoolFillsUp')).to.deep.equal(['10.68.0.0/24']);
    expect(cidrs('EtcdIpamPoolAboveWarning')).to.deep.equal(['10.68.0.0/24']);
    const words = alerts.flatMap(({ annotations }) => Object.values(annotations));
    expect(words).to.include('pool 10.67.0.0/30 (local) is full');
    expect(words.join('\n')).to.not.match(/\{\{|<no value>|<error/);

    const empty: string[] = [];
    for (const { title, expr } of queries)
      if ((await prometheus.query(filledIn(expr))).length === 0) empty.push(`${title}: ${expr}`);
    expect(empty).to.deep.equal([]);
  });

  it('fires while etcd is away, and no longer when it is back', async () => {
    etcd.freeze();
    try {
      await eventually('EtcdIpamEtcdUnreachable', async () =>
        (await prometheus.firing()).includes('EtcdIpamEtcdUnreachable'),
      );
    } finally {
      etcd.thaw();
    }
    await eventually('it is over', async () => {
      const alerts = await prometheus.alerts();
      return !alerts.some(({ labels }) => labels.alertname === 'EtcdIpamEtcdUnreachable');
    });
  });
});
