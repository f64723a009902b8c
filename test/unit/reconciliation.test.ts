// The whole of reconciliation but etcd and dockerd: settings and an engine's answers in, records and log lines out.
import { expect } from 'chai';
import type { Listen } from '../../src/config/kinds.js';
import type { Looked } from '../../src/ipam/reconciler.js';
import { openLog } from '../../src/log.js';
import { driverNamed, reconciliation } from '../../src/reconciliation.js';
import { type Host, World } from '../support/allocator-fixture.js';
import { FakeEngine, showing } from '../support/fake-engine.js';
import { eventually } from '../support/process.js';

const NET = {
  Name: 'net',
  Scope: 'local',
  IPAM: {
    Driver: 'etcd-ipam:latest',
    Config: [{ Subnet: '10.66.0.0/24', AuxiliaryAddresses: { printer: '10.66.0.9' } }],
  },
};

function answers(version: string) {
  return showing({ '/version': { Version: version }, '/networks': [{ Id: 'n1', ...NET }], '/networks/n1': NET });
}

interface Seen {
  readonly log: string[];
  named: number;
  readonly outcomes: string[];
  readonly findings: Looked['findings'][];
}

/** Looks until `until` holds; resolves with the messages of the log, and how often the driver was told of names. */
async function run(engine: FakeEngine, host: Host, until: (seen: Seen) => boolean, listen?: Listen) {
  const seen: Seen = { log: [], named: 0, outcomes: [], findings: [] };
  const log = openLog({
    ...{ level: 'info', node: 'a' },
    to: { write: (line) => void seen.log.push((JSON.parse(line) as { msg: string }).msg) },
  });
  const driver = { engineNamesEndpoints: () => void seen.named++ };
  const settings = { engineSocket: engine.socket, reconcileGrace: 30, ...(listen && { listen }) };
  const looks = reconciliation(settings, ['etcd-ipam'], {
    ...{ allocator: host.allocator, driver, log },
    count: (outcome) => seen.outcomes.push(outcome),
    looked: (findings) => seen.findings.push(findings),
  });
  looks?.start();
  await eventually('what the engine shows has been taken in', () => until(seen)).finally(() => looks?.stop());
  return seen;
}

describe('reconciliation', () => {
  it('is off without the engine’s socket', async () => {
    const { allocator, driver } = await new World().host('a');
    const log = openLog({ level: 'silent', node: 'a' });
    const deaf = { count: () => {}, looked: () => {} };
    expect(reconciliation({ reconcileGrace: 30 }, ['etcd-ipam'], { allocator, driver, log, ...deaf })).to.equal(
      undefined,
    );
  });

  it('acts by the engine’s word and says each act in the log, with its address', async () => {
    await using engine = await FakeEngine.start(answers('20.10.24'));
    const host = await new World().host('a');
    const net = await host.network('10.66.0.0/24');
    await net.unsure('10.66.0.9');
    await net.endpoint({ ip: '10.66.0.7', name: 'gone' });
    const seen = await run(engine, host, ({ log }) => log.length === 2);
    expect(seen.log).to.deep.equal([
      'reconciliation shared, as an auxiliary address of its network, 10.66.0.9',
      'reconciliation ended the claim, which no container stands behind, of 10.66.0.7',
    ]);
    expect(seen.outcomes).to.deep.equal(['shared', 'ended']);
    const met = seen.findings.map(({ auxiliary, stale }) => [auxiliary, stale]);
    expect(met).to.deep.include([1, 0], 'before the grace nothing counts as stale');
    expect(seen.named).to.equal(0);
  });

  it('only tells what it would have ended where engines may call over TCP, and says at the start why', async () => {
    await using engine = await FakeEngine.start(answers('20.10.24'));
    const world = new World();
    const host = await world.host('a');
    await (await host.network('10.66.0.0/24')).endpoint({ ip: '10.66.0.7', name: 'elsewhere' });
    const before = await world.records();
    const tcp = { host: '127.0.0.1', port: 9474 };
    const seen = await run(engine, host, ({ findings }) => (findings.at(-1)?.doubtful ?? 0) > 0, tcp);
    const [start, told, ...more] = seen.log;
    expect([start, more]).to.deep.equal([
      'IPAM_LISTEN lets engines call that IPAM_ENGINE_SOCKET does not show: reconciliation ends nothing, and says what it would',
      [],
    ]);
    expect(told).to.match(
      /^10\.66\.0\.7 of .* is held by elsewhere on a since .*: not ended, as with IPAM_LISTEN it may be /,
    );
    expect(seen.outcomes).to.deep.equal(['doubtful']);
    expect(await world.records()).to.deep.equal(before);
  });

  it('says of which pool it left a part that a network of the swarm had', async () => {
    const ingress = { ...NET, Name: 'ingress', Scope: 'swarm', IPAM: { Driver: 'default' } };
    const all = {
      '/version': { Version: '20.10.24' },
      '/networks': [{ Id: 'n1', ...ingress }],
      '/networks/n1': ingress,
    };
    await using engine = await FakeEngine.start(showing(all));
    const host = await new World().host('a');
    await host.network('10.66.0.0/24', { managed: true });
    const seen = await run(engine, host, ({ log }) => log.length === 1);
    expect(seen.log).to.deep.equal([
      'reconciliation ended a part in 10.66.0.0/24 that a network of the swarm had and never gave back',
    ]);
  });

  it('ends no part of a network with a task that calls the driver by a name that it does not know', async () => {
    const lan = {
      ...{ ...NET, Name: 'lan', Scope: 'swarm', IPAM: { ...NET.IPAM, Driver: 'lan-ipam:latest' } },
      Containers: { x: { Name: 'task.1', MacAddress: '', IPv4Address: '10.66.0.1/24', IPv6Address: '' } },
    };
    const all = { '/version': { Version: '28.5.2' }, '/networks': [{ Id: 'n1', ...lan }], '/networks/n1': lan };
    await using engine = await FakeEngine.start(showing(all));
    const world = new World();
    const host = await world.host('a');
    await (await host.network('10.66.0.0/24', { managed: true })).endpoint({ ip: '10.66.0.1', name: 'task.1' });
    const before = await world.records();
    const seen = await run(engine, host, ({ findings }) => findings.length > 6);
    expect(seen.log).to.have.length(1);
    expect(seen.log[0]).to.match(
      /^network lan of the engine is on 10\.66\.0\.0\/24 with the IPAM driver lan-ipam:latest: /,
    );
    expect(await world.records()).to.deep.equal(before);
  });

  for (const [version, names] of [
    ['28.5.2', false],
    ['29.0.0', true],
    ['29.7.2+deb', true],
    ['30.1', true],
    ['dev', false],
  ] as const) {
    it(`has the driver ${names ? 'know' : 'not believe'} that engine ${version} names its endpoints`, async () => {
      await using engine = await FakeEngine.start(answers(version));
      const seen = await run(engine, await new World().host('a'), () => engine.asked.length >= 6);
      expect(seen.named > 0).to.equal(names);
    });
  }

  it('calls the driver as its socket’s file is called', () => {
    expect(driverNamed('/run/docker/plugins/etcd-ipam.sock')).to.equal('etcd-ipam');
    expect(driverNamed('/run/docker/plugins/blue/blue.sock')).to.equal('blue');
  });
});
