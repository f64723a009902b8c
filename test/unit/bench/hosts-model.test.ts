import { expect } from 'chai';
import { type Cluster, coresOf, loadOf, most, type Units } from '../../bench/hosts-model.js';

const unit = { etcdUs: 100, bytes: 1_000, commits: 1, dbBytes: 500 };
const units: Units = {
  ...{ claim: unit, release: unit, restEnd: { ...unit, commits: 0 }, lease: { ...unit, commits: 2, dbBytes: 0 } },
  hostMinute: { etcdUs: 6_000, bytes: 6_000, commits: 0, dbBytes: 0 },
  keepalive: { etcdUs: 100, bytes: 100, commits: 0, dbBytes: 0 },
  claimAtOnce: unit,
  nodeRead: { etcdUs: 3, bytes: 300, commits: 0, dbBytes: 0 },
  claimRead: { etcdUs: 3, bytes: 300, commits: 0, dbBytes: 0 },
  ...{ keptClaim: 300, keptTenure: 300 },
};
const cluster: Cluster = {
  ...{ hosts: 1_000, containers: 100, lifeS: 10_000, ttlS: 15, cooldownS: 30, historyS: 1_000, retentionS: 100 },
  ...{ metrics: false, claimsSeen: 0 },
};

describe('model of many hosts', () => {
  it('100,000 containers that live for 10,000 s are 10 claims a second, each release on a lease of its own', () => {
    const load = loadOf(units, cluster);
    expect(load.claimsPerS).to.equal(10);
    // A claim, a release, and a lease granted and ended; 3 for a round.
    expect(load.commitsPerS).to.be.closeTo(10 + 10 + 20 + 0.1, 1e-9);
    expect(load.cores.idle).to.be.closeTo(0.1, 1e-9);
    expect(load.cores.churn).to.be.closeTo(0.004, 1e-9);
    expect(load.dbBytes).to.equal(100_000 * 300 + 10 * 1_000 * 300);
    expect(load.dbBytesAtMost - load.dbBytes).to.be.closeTo(100 * 10 * 1_500, 1e-6);
    expect(load.leases).to.equal(1_000 + 17_000 + 375);
  });

  it('hosts that release much share a lease within a quarter of the cool-down, or 500 keys', () => {
    const leases = (lifeS: number, cooldownS = 30) => {
      const load = loadOf(units, { ...cluster, lifeS, cooldownS });
      return (load.commitsPerS - 0.1 - 2 * load.claimsPerS) / 2 / 1_000;
    };
    expect(leases(10)).to.be.closeTo(4 / 30, 1e-9);
    expect(leases(10, 3_000)).to.be.closeTo(0.02, 1e-9);
    expect(leases(10, 0)).to.be.closeTo(0, 1e-9);
  });

  it('metrics of all hosts grow with the square of their number up to 100, reconciliation of one network is 100 claims a second a host', () => {
    const metrics = (hosts: number) => loadOf(units, { ...cluster, hosts, metrics: true }).cores.metrics;
    expect(metrics(50)).to.be.closeTo(0.00025, 1e-9);
    expect(metrics(100)).to.be.closeTo(0.001, 1e-9);
    expect(metrics(1_000)).to.be.closeTo(0.01, 1e-9);
    const looked = (claimsSeen: number) => loadOf(units, { ...cluster, claimsSeen }).cores.reconciliation;
    expect(looked(100)).to.be.closeTo(0.01, 1e-9);
    expect(looked(100_000)).to.be.closeTo(0.3, 1e-9);
  });

  it('a session of 5 s is kept 36 times a minute, one of 15 s 12 times', () => {
    const idle = (ttlS: number) => loadOf(units, { ...cluster, ttlS }).cores.idle;
    expect(idle(5) - idle(15)).to.be.closeTo((1_000 * 24 * 100) / 60e6, 1e-9);
    expect(idle(60)).to.be.lessThan(idle(15));
  });

  it('finds how many hosts keep one core busy', () => {
    const hosts = most((n) => coresOf(loadOf(units, { ...cluster, hosts: n })) <= 1, 1, 1e6);
    expect(hosts).to.be.closeTo(1 / 0.000104, 15);
    expect(most(() => true, 1, 8)).to.equal(8);
  });
});
