// The global address space as a swarm uses it: an overlay network of three managers, each with the managed plugin and a member
// of one etcd. What etcd says is compared with what the swarm, its engines and the kernel say, through the ends of two leaders.
import { expect } from 'chai';
import { entries } from '../support/etcd.js';
import { lingering } from '../support/image.js';
import { guard, type Keyspace, KeyspaceView, NodeRecords, pool, wholeOf, wide } from '../support/keyspace-view.js';
import { eventually, run, sleep } from '../support/process.js';
import { needPrivateHost } from '../support/skip.js';
import { type Manager, type Member, Swarm } from '../support/swarm.js';

const DRIVER = 'etcd-ipam:latest';
const SUBNET = 'v4/010.080.000.000-24';
const [GLOBAL, LOCAL] = [`global/${SUBNET}`, `local/${SUBNET}`];
const GATEWAY = '10.80.0.1';
const CHOSEN = '10.80.0.77';
const OVERTAKEN = 'another leader of the swarm has taken over pool 10.80.0.0/24 (epoch ';
const SERIAL = { 'com.docker.network.ipam.serial': 'true' };
/** The session of a killed plugin outlives it by the first, and released addresses are to be gone at once. */
const SETTINGS = ['IPAM_SESSION_TTL=4s', 'IPAM_COOLDOWN=0s', 'IPAM_HISTORY=0s', 'IPAM_OPS_LISTEN='];

/** The present epoch of the network's pool. */
interface Epoch {
  readonly epoch: number;
  readonly leader: string;
}

describe('an overlay network of three managers', function () {
  this.timeout(300_000);
  let swarm: Swarm;
  let view: KeyspaceView;
  const records = new Map(['a', 'b', 'c'].map((name) => [name, new NodeRecords(name)]));
  /** The join of the killed node, of which nobody has released anything. */
  let lost: string | undefined;

  before(async function () {
    needPrivateHost(this);
    swarm = await Swarm.start([...records.keys()], SETTINGS);
    view = new KeyspaceView(swarm.etcd);
  });
  after(() => swarm?.[Symbol.asyncDispose]());

  const onLeader = async (...args: string[]) => (await swarm.leader()).engine.must(...args);
  const vip = async (): Promise<string | undefined> => {
    const [service] = ((await swarm.ask('/services')) ?? []) as { Endpoint: { VirtualIPs?: { Addr: string }[] } }[];
    return service?.Endpoint.VirtualIPs?.[0]?.Addr.split('/')[0];
  };
  const start = ({ engine }: Manager, ...args: string[]) =>
    engine.docker('run', '--detach', '--name', 'box', '--network', 'net', ...args, 'busybox', ...lingering);

  /** All of etcd but the nodes' own records, and but what the killed node left. */
  const now = async (): Promise<Keyspace> => {
    const all = await view.now();
    const left = Object.entries(all).filter(([key, record]) => !isOf(lost, key, record));
    const rest = Object.fromEntries(left.filter(([key]) => !/^(nodes|sessions)\//.test(key)));
    if (lost === undefined || Object.keys(rest).some((key) => key.startsWith(`joins/${LOCAL}/`))) return rest;
    // What it has left has kept these alive.
    const { [`pools/${LOCAL}`]: _pool, [`claims/${LOCAL}/${wide(GATEWAY)}`]: _gateway, ...others } = rest;
    if (Object.keys(others).join() === 'spaces/local') return {};
    return others;
  };
  const epochIn = (all: Keyspace) => all[`pools/${GLOBAL}`] as Epoch | undefined;

  /** What the swarm's leader has in etcd once it has given these addresses. */
  const given = (all: Keyspace, node: string, addresses: readonly string[], stage = 'served'): Keyspace => {
    const written = { since: '*', token: '*' };
    const { epoch, leader: join } = epochIn(all)!;
    const { replaces } = (all[`joins/${GLOBAL}/${join}`] ?? {}) as { replaces?: object };
    const before = epoch === 1 ? {} : { replaces };
    const claim = { kind: 'swarm', join, epoch, ...written };
    return {
      ...guard(),
      [`pools/${GLOBAL}`]: {
        ...{ state: 'open', gateway: GATEWAY, epoch, leader: join, stage, incarnation: '*' },
        ...written,
      },
      [`joins/${GLOBAL}/${join}`]: { node, boot: 'boot-1', epoch, ...before, ...written },
      [`holders/${GLOBAL}/${wide(GATEWAY)}/${join}`]: { role: 'gateway', epoch, ...written },
      [`claims/${GLOBAL}/${wide(GATEWAY)}`]: { kind: 'shared', ...written },
      ...Object.fromEntries(addresses.map((address) => [`claims/${GLOBAL}/${wide(address)}`, claim])),
    };
  };

  /** What the nodes have in etcd that have the network: each a join, a share of the gateway and its addresses. */
  const mirrored = (all: Keyspace, addresses: ReadonlyMap<string, readonly string[]>): Keyspace => {
    const parts: Keyspace[] = addresses.size > 0 ? [pool(LOCAL, GATEWAY)] : [];
    for (const [name, its] of addresses) {
      const node = records.get(name)!;
      const join = Number(joinOf(all, name)?.slice('join-'.length));
      parts.push(node.join(LOCAL, join, { managed: true }), node.shared(LOCAL, GATEWAY, 'gateway', join));
      for (const address of its) parts.push(node.endpoint(LOCAL, address, join, { kind: 'swarm' }));
    }
    return wholeOf(...parts);
  };

  /** So many containers are on the network, and etcd has them, the service's address, the load balancers and nothing more. */
  const settles = async (containers: number) => {
    let difference: unknown;
    const asRunning = async () => {
      const [members, balancers, service] = [await swarm.members('net'), await swarm.balancers('net'), await vip()];
      const addresses = new Map([...balancers].map(([name, address]) => [name, [address]]));
      for (const { node, address } of members) addresses.get(node)?.push(address);
      const { name } = await swarm.leader();
      const all = await now();
      try {
        expect(members).to.have.length(containers);
        const ofLeader = given(all, name, [...(service ? [service] : []), ...[...addresses.values()].flat()]);
        expect(all).to.deep.equal(wholeOf(ofLeader, mirrored(all, addresses)));
        return true;
      } catch (cause) {
        difference = cause;
        return false;
      }
    };
    await eventually('etcd has what runs', asRunning, 120_000, 500).catch((cause) => {
      throw difference ?? cause;
    });
  };

  it('costs a pool, the leader’s join and a gateway as long as nothing is on it', async () => {
    await swarm.form();
    const options = ['--attachable', '--ipam-driver', DRIVER, '--subnet', '10.80.0.0/24'];
    await onLeader('network', 'create', '--driver', 'overlay', ...options, 'net');
    await eventually('the network has a gateway', async () => Object.keys(await now()).length === 5, 120_000);
    const all = await now();
    expect(epochIn(all)?.epoch).to.equal(1);
    expect(all).to.deep.equal(given(all, 'a', [], 'asked'));
  });

  it('a service of 6 has 6 addresses, its own and a load balancer’s for each node; the leader gives them, the nodes claim them', async () => {
    const service = ['--name', 'web', '--replicas', '6', '--network', 'net', '--restart-delay', '500ms'];
    const image = ['--no-resolve-image', 'busybox:latest', ...lingering];
    await onLeader('service', 'create', '--detach', ...service, ...image);
    await settles(6);
    const tasks = await swarm.members('net');
    expect((await swarm.balancers('net')).size).to.equal(3);
    expect(new Set(tasks.map(({ address }) => address)).size).to.equal(6);
    for (const { name } of swarm.all) expect(tasks.filter(({ node }) => node === name)).to.have.length(2);
    expect(await vip()).to.match(/^10\.80\.0\.\d+$/);
  });

  it('`docker run` on each node has an address of the leader’s, and the one that it asks for', async () => {
    for (const manager of swarm.all) {
      const { code, stderr } = await start(manager, ...(manager.name === 'c' ? ['--ip', CHOSEN] : []));
      expect(code, stderr).to.equal(0);
    }
    await settles(9);
    const chosen = (await swarm.members('net')).filter(({ address }) => address === CHOSEN);
    expect(chosen.map(({ node }) => node)).to.deep.equal(['c']);
  });

  it('containers of each node reach all those of the others', async () => {
    await expectReach(await swarm.members('net'));
  });

  it('an --ip that a task has is refused, for a reason that the leader’s log tells', async () => {
    const [a, b] = swarm.all as [Manager, Manager];
    const [theirs] = await swarm.members('net', [a]);
    const began = performance.now();
    const args = ['--name', 'refused', '--network', 'net', '--ip', theirs!.address];
    const { code, stderr } = await b.engine.docker('run', '--detach', ...args, 'busybox', ...lingering);
    console.log(`overlay: an --ip that is taken is refused after ${Math.round(performance.now() - began)} ms`);
    expect(code).to.equal(125);
    expect(stderr).to.contain('attaching to network failed, make sure your network options are correct');
    const words = `IpamDriver.RequestAddress: address ${theirs!.address} is held by a task, service or load balancer of the swarm`;
    expect((await swarm.leader()).engine.log).to.contain(words);
    await b.engine.must('rm', 'refused');
    await settles(9);
  });

  for (const [how, end] of [
    ['stopped', ({ engine }: Manager) => engine.stop()],
    ['killed', ({ engine }: Manager) => engine.crash()],
  ] as const) {
    let former: Epoch & { readonly manager: Manager; readonly poolId: string };
    let others: Manager[];
    let stays: { vip: string | undefined; balancers: Map<string, string>; members: Member[] };

    const expectSame = async () => {
      expect(await vip()).to.equal(stays.vip);
      expect(await swarm.balancers('net', others)).to.deep.equal(stays.balancers);
      expect(await swarm.members('net', others)).to.include.deep.members(stays.members);
    };

    it(`with the leader’s engine ${how}, another manager claims every address again, and what runs on it and the third stays as it is`, async () => {
      former = { manager: await swarm.leader(), ...(await presentEpoch()) };
      others = swarm.all.filter((manager) => manager !== former.manager);
      stays = {
        vip: await vip(),
        balancers: await swarm.balancers('net', others),
        members: await swarm.members('net', others),
      };
      expect(stays.members).to.have.length.at.least(4);
      if (how === 'killed') lost = joinOf(await view.now(), former.manager.name);
      await end(former.manager);
      const began = performance.now();
      const { name } = await swarm.leader();
      expect(name).to.not.equal(former.manager.name);
      const needed = [stays.vip!, ...stays.balancers.values(), ...stays.members.map(({ address }) => address)];
      const reclaimed = async () => {
        const all = await now();
        const { leader, epoch } = epochIn(all)!;
        if (epoch === former.epoch) return false;
        const claims = Object.entries(all).filter(([key]) => key.startsWith(`claims/${GLOBAL}/`));
        const its = claims.filter(([, claim]) => (claim as { join?: string }).join === leader).map(([key]) => key);
        // All but the gateway.
        if (its.length !== claims.length - 1) return false;
        return needed.every((address) => its.includes(`claims/${GLOBAL}/${wide(address)}`));
      };
      await eventually('the new leader has claimed all', reclaimed, 120_000, 200);
      console.log(`overlay: leader ${how}, all claimed again after ${Math.round(performance.now() - began)} ms`);
      await expectSame();
    });

    it(`the ${how} engine comes back, 6 tasks run, and etcd has what runs`, async () => {
      await former.manager.engine.start();
      await swarm.ready(...swarm.all);
      await settles(8);
      await expectSame();
      await expectReach(await swarm.members('net'));
      // It ended with its engine.
      await former.manager.engine.must('rm', '--force', 'box');
      const { code, stderr } = await start(former.manager);
      expect(code, stderr).to.equal(0);
      await settles(9);
    });

    it(`the ${how} leader neither claims nor frees anything in its former epoch`, () =>
      swarm.askPlugin(former.manager, async (plugin) => {
        const { poolId: PoolID } = former;
        const ask = (call: string, body: object) => plugin.call(`/IpamDriver.${call}`, { PoolID, ...body });
        const before = await quiet();
        for (const Address of ['', '10.80.0.200', stays.vip!, stays.members[0]!.address]) {
          const { status, json } = await ask('RequestAddress', { Address, Options: SERIAL });
          expect([status, json.Err.slice(0, OVERTAKEN.length)]).to.deep.equal([500, OVERTAKEN]);
        }
        const gateway = { ...SERIAL, RequestAddressType: 'com.docker.network.gateway' };
        const { status, json } = await ask('RequestAddress', { Address: GATEWAY, Options: gateway });
        expect([status, json.Err.slice(0, OVERTAKEN.length)]).to.deep.equal([500, OVERTAKEN]);
        for (const Address of [stays.vip!, stays.members[0]!.address, GATEWAY])
          expect((await ask('ReleaseAddress', { Address })).json).to.deep.equal({});
        for (const _ of [1, 2]) expect((await ask('ReleasePool', {})).json).to.deep.equal({});
        expect(await revisions()).to.deep.equal(before);
      }));
  }

  it('leaves nothing once service, containers and network are removed, but what a killed node had', async () => {
    for (const { engine } of swarm.all) await engine.must('rm', '--force', 'box');
    await settles(6);
    await onLeader('service', 'rm', 'web');
    await settles(0);
    await onLeader('network', 'rm', 'net');
    await eventually('nothing is left', async () => Object.keys(await now()).length === 0, 120_000, 200);
  });

  async function expectReach(members: readonly Member[]): Promise<void> {
    const pings = 'for to in "$@"; do busybox ping -c 1 -W 5 "$to" >/dev/null || exit 1; done';
    const one = new Map(members.map((member) => [member.node, member]));
    expect(one.size).to.be.at.least(2);
    for (const from of one.values()) {
      const to = members.filter(({ node }) => node !== from.node).map(({ address }) => address);
      const args = ['--target', String(from.pid), '--net', '--', 'sh', '-c', pings, 'sh', ...to];
      const reached = async () => (await run('nsenter', args)).code === 0;
      // Nodes tell each other where a container is, which takes its time.
      await eventually(`${from.address} on ${from.node} reaches ${to.join()}`, reached, 120_000, 500);
    }
  }

  /** With its PoolID as the leader's engine has it. */
  async function presentEpoch(): Promise<Epoch & { poolId: string }> {
    const [found] = await entries(swarm.etcd, `/etcd-ipam/pools/${GLOBAL}`);
    const { epoch, leader } = found!.value as Epoch;
    return { epoch, leader, poolId: `global/10.80.0.0/24?epoch=${epoch}&join=${leader}` };
  }

  /** When each record but those of nodes, and of the rounds that count them, was written last. */
  async function revisions(): Promise<Record<string, number>> {
    const all = (await entries(swarm.etcd)).filter(({ key }) => !/\/(nodes|sessions|tick|brake)(\/|$)/.test(key));
    return Object.fromEntries(all.map(({ key, modified }) => [key, modified]));
  }

  /** The same, once nothing was written for 2 s. */
  function quiet(): Promise<Record<string, number>> {
    return eventually(
      'nobody writes',
      async () => {
        const before = await revisions();
        await sleep(2_000);
        return JSON.stringify(await revisions()) === JSON.stringify(before) && before;
      },
      60_000,
    );
  }

  /** The join of the node's network, that of its killed engine left out. */
  function joinOf(all: Keyspace, name: string): string | undefined {
    const its = Object.entries(all).find(
      ([key, join]) =>
        key.startsWith(`joins/${LOCAL}/`) && (join as { node: string }).node === name && !key.endsWith(`/${lost}`),
    );
    return its?.[0].split('/').at(-1);
  }
});

function isOf(join: string | undefined, key: string, record: unknown): boolean {
  return join !== undefined && (key.endsWith(`/${join}`) || (record as { join?: string }).join === join);
}
