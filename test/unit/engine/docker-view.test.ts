// What is made of a real engine's answers (20.10.24, recorded), and of those that cannot be understood.
import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { expect } from 'chai';
import { DockerEngine } from '../../../src/engine/docker-view.js';
import type { EngineNetwork, EngineView } from '../../../src/ipam/engine-view.js';
import { formatAddress } from '../../../src/net/address.js';
import { formatPrefix } from '../../../src/net/prefix.js';
import { FakeEngine, showing } from '../../support/fake-engine.js';

const recorded: Readonly<Record<string, unknown>> = Object.fromEntries(
  readFileSync(new URL('../../captures/engine-api-20.10.jsonl', import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { path: string; reply: unknown })
    .map(({ path, reply }) => [path, reply]),
);

interface Shown {
  readonly Name: string;
  readonly IPAM: { Driver: string; Options?: object | null; Config?: object[] | null };
  readonly Containers?: Record<string, object> | null;
}

/** The recording, every object of one network changed. */
function changed(name: string, change: (network: Shown) => unknown): Record<string, unknown> {
  const all = structuredClone(recorded);
  for (const shown of Object.values(all).flat() as Shown[]) if (shown.Name === name) change(shown);
  return all;
}

function inWords({ name, space, managed, subnets, auxiliary, endpoints }: EngineNetwork): string {
  return [
    `${name} in ${space}${managed ? ', managed' : ''}:`,
    subnets.map(formatPrefix).join(' ') || 'no subnet',
    ...auxiliary.map((address) => `aux ${formatAddress(address)}`),
    ...endpoints.map((one) => `${one.name} ${one.mac ?? 'no MAC'} ${one.addresses.map(formatAddress).join(' ')}`),
  ].join(' | ');
}

async function viewOf(answer: RequestListener, drivers = ['etcd-ipam'], timeoutMs = 10_000): Promise<EngineView> {
  await using engine = await FakeEngine.start(answer);
  return await new DockerEngine(engine.socket, drivers, timeoutMs).look();
}

async function failure(answer: RequestListener, timeoutMs?: number): Promise<string> {
  return viewOf(answer, ['etcd-ipam'], timeoutMs).then(
    () => 'none',
    (error: Error) => error.message,
  );
}

describe('what an engine shows', () => {
  it('is its version and the networks of our driver, those that are only a configuration left out', async () => {
    const { version, networks } = await viewOf(showing(recorded));
    expect(version).to.equal('20.10.24+dfsg1');
    expect(networks.map(inWords).sort()).to.deep.equal(
      [
        'auto in local: | 10.208.0.0/24',
        'fromconf in local: | 10.69.0.0/24',
        'net in local.blue: | 10.66.0.0/24 | aux 10.66.0.9 | c1 02:42:0a:42:00:07 10.66.0.7',
        'six in local: | 10.68.0.0/24 fd00:68::/64 | c2 02:42:0a:44:00:02 10.68.0.2 fd00:68::2',
        'sized in local: | 10.208.1.0/26 | c3 02:42:0a:d0:01:02 10.208.1.2',
      ].sort(),
    );
  });

  it('names a managed plugin with its tag, and another driver of a longer name is not ours', async () => {
    const tagged = (tag: string) => showing(changed('auto', ({ IPAM }) => Object.assign(IPAM, { Driver: tag })));
    const names = async (driver: string, ours?: string[]) =>
      (await viewOf(tagged(driver), ours)).networks.map(({ name }) => name).includes('auto');
    expect(await names('etcd-ipam:latest')).to.equal(true);
    expect(await names('etcd-ipam:1.2')).to.equal(true);
    expect(await names('etcd-ipam-2')).to.equal(false);
    expect(await names('lab:5000/etcd-ipam')).to.equal(false);
    expect(await names('lab:5000/etcd-ipam:latest', ['lab:5000/etcd-ipam'])).to.equal(true);
  });

  it('tells networks of other drivers apart by name, driver and subnets, but for those of the engine itself', async () => {
    const foreign = async (name: string, driver: string) => {
      const all = changed(name, ({ IPAM }) => Object.assign(IPAM, { Driver: driver }));
      return (await viewOf(showing(all))).foreign.map((one) => ({ ...one, subnets: one.subnets.map(formatPrefix) }));
    };
    const driver = 'lan-ipam:latest';
    expect(await foreign('net', driver)).to.deep.equal([{ name: 'net', driver, subnets: ['10.66.0.0/24'] }]);
    expect(await foreign('sized', driver)).to.deep.equal([{ name: 'sized', driver, subnets: ['10.208.1.0/26'] }]);
    expect(await foreign('ov', driver)).to.deep.equal([{ name: 'ov', driver, subnets: ['10.0.1.0/24'] }]);
    expect(await foreign('conf', driver), 'only a configuration').to.deep.equal([]);
    for (const own of ['default', 'null', 'windows', '']) expect(await foreign('ov', own), own).to.deep.equal([]);
  });

  it('counts the load balancer of a swarm’s network, whose addresses its leader has given', async () => {
    const { networks } = await viewOf(
      showing(changed('ov', ({ IPAM }) => Object.assign(IPAM, { Driver: 'etcd-ipam' }))),
    );
    expect(networks.filter(({ name }) => name === 'ov').map(inWords)).to.deep.equal([
      'ov in local, managed: | 10.0.1.0/24 | c6 02:42:0a:00:01:02 10.0.1.2 | ov-endpoint 02:42:0a:00:01:03 10.0.1.3',
    ]);
  });

  it('counts a network of the swarm that the list shows without a driver, as managers do for `--config-from`', async () => {
    const all = changed('ov', ({ IPAM }) => Object.assign(IPAM, { Driver: 'etcd-ipam' }));
    const listed = all['/networks'] as Shown[];
    Object.assign(listed.find(({ Name }) => Name === 'ov')!.IPAM, { Driver: '', Config: null });
    expect((await viewOf(showing(all))).networks.map(({ name }) => name)).to.include('ov');
  });

  it('says that it is in a swarm by any network of the swarm, and only then', async () => {
    expect((await viewOf(showing(recorded))).swarm).to.equal(true);
    const list = (recorded['/networks'] as (Shown & { Scope: string })[]).filter(({ Scope }) => Scope !== 'swarm');
    expect((await viewOf(showing({ ...recorded, '/networks': list }))).swarm).to.equal(false);
  });

  it('may be null where nothing is', async () => {
    const bare = changed('auto', (network) => {
      Object.assign(network, { Containers: null });
      Object.assign(network.IPAM, { Config: null, Options: null });
    });
    expect((await viewOf(showing(bare))).networks.map(inWords)).to.include('auto in local: | no subnet');
  });

  it('is asked for its version, its list, and each network of the swarm or of a driver that is not its own', async () => {
    const all = changed('auto', ({ IPAM }) => Object.assign(IPAM, { Driver: 'other' }));
    await using engine = await FakeEngine.start(showing(all));
    await new DockerEngine(engine.socket, ['etcd-ipam']).look();
    const [first, second, ...rest] = engine.asked;
    expect([first, second]).to.deep.equal(['/version', '/networks']);
    const listed = recorded['/networks'] as { Id: string; Name: string }[];
    const names = rest.map((path) => listed.find(({ Id }) => path === `/networks/${Id}`)?.Name);
    expect(names).to.have.members(['ov', 'net', 'conf', 'fromconf', 'auto', 'sized', 'six']);
  });
});

describe('an engine that does not answer as it should fails the whole look', () => {
  it('when there is no socket', async () => {
    const look = new DockerEngine('/nowhere/docker.sock', ['etcd-ipam']).look();
    expect(await look.catch((error: Error) => error.message)).to.equal(
      'GET /version of the engine failed: connect ENOENT /nowhere/docker.sock',
    );
  });

  it('when it accepts and says nothing, or stops in the middle, after the time it has', async () => {
    const late = 'GET /version of the engine was not answered within 100 ms';
    expect(await failure(() => undefined, 100)).to.equal(late);
    const half: RequestListener = (_, res) => void res.writeHead(200).write('{"Version":');
    expect(await failure(half, 100)).to.equal(late);
  });

  it('when it closes in the middle of an answer', async () => {
    const cut: RequestListener = (_, res) => {
      res.writeHead(200, { 'content-length': '100' });
      res.write('{"Version":', () => res.destroy());
    };
    expect(await failure(cut)).to.equal('GET /version of the engine failed: aborted');
  });

  it('when it answers 500, in its own words', async () => {
    const broken: RequestListener = (_, res) => void res.writeHead(500).end('{"message":"out of order"}');
    expect(await failure(broken)).to.equal('GET /version of the engine answered 500: {"message":"out of order"}');
  });

  it('when it answers what is no JSON', async () => {
    const page: RequestListener = (_, res) => void res.writeHead(200).end('<html>');
    expect(await failure(page)).to.equal('GET /version of the engine answered what is no JSON: <html>');
  });

  it('when a network goes between the list and the look at it', async () => {
    const { Id } = (recorded['/networks'] as (Shown & { Id: string })[]).find(({ Name }) => Name === 'net')!;
    const { [`/networks/${Id}`]: _, ...rest } = recorded;
    expect(await failure(showing(rest))).to.match(new RegExp(`^GET /networks/${Id} of the engine answered 404`));
  });

  it('when an address, a subnet or a container is not what it should be', async () => {
    const odd: ((network: Shown) => unknown)[] = [
      ({ Containers }) => Object.assign(Object.values(Containers ?? {})[0] ?? {}, { IPv4Address: 'ten' }),
      ({ Containers }) => Object.assign(Object.values(Containers ?? {})[0] ?? {}, { IPv4Address: undefined }),
      ({ IPAM }) => Object.assign(IPAM.Config?.[0] ?? {}, { Subnet: 'all' }),
      ({ IPAM }) => Object.assign(IPAM.Config?.[0] ?? {}, { AuxiliaryAddresses: { printer: '' } }),
    ];
    for (const change of odd) expect(await failure(showing(changed('net', change)))).to.not.equal('none');
  });
});
