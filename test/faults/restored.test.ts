// A real etcd that is set back to a snapshot under drivers that have given addresses since: who notices, who is refused, and
// how it goes on. An ordinary restart raises no alarm.
import { expect } from 'chai';
import { type EtcdProcess, entries, keyspace, startEtcdProcess } from '../support/etcd.js';
import { FakeEngine, showing } from '../support/fake-engine.js';
import { eventually, run } from '../support/process.js';
import { PROGRAM } from '../support/program.js';
import { askOf, Serving } from '../support/serving.js';

const PREFIX = '/etcd-ipam/';
const SUBNET = '10.66.0.0/24';
const CLAIMS = `${PREFIX}claims/local/v4/010.066.000.000-24/`;
const WITHIN_MS = 60_000;
const REFUSED =
  /^etcd was restored from a backup \(seen by [ab] at 20\S+: .*\) and may not know of addresses given since: /;

describe('an etcd that was restored from a snapshot', function () {
  this.timeout(240_000);
  let etcd: EtcdProcess;
  let closing: AsyncDisposable[];

  beforeEach(async () => {
    closing = [];
    etcd = await startEtcdProcess();
  });
  afterEach(async () => {
    for (const one of closing.reverse()) await one[Symbol.asyncDispose]();
    await etcd?.stop();
  });

  async function driver(node: string, env: Record<string, string> = {}): Promise<Serving> {
    const one = await Serving.start(etcd.url, node, { IPAM_SESSION_TTL: '2s', ...env });
    closing.push(one);
    return one;
  }

  /** What an operator types. */
  const command = (...args: string[]) =>
    run(process.execPath, [...PROGRAM, ...args], {
      env: { ETCD_ENDPOINTS: etcd.url, IPAM_NODE: 'operator', IPAM_SOCKET: '/nowhere' },
    });

  /** Address to the container's name. */
  async function claims(): Promise<Record<string, unknown>> {
    const all = Object.entries(await keyspace(etcd, CLAIMS));
    return Object.fromEntries(
      all.map(([key, value]) => [Number(key.slice(-3)), (value as { name?: string; node?: string }).name]),
    );
  }

  const marked = () =>
    eventually(
      'the mark stands',
      async () => (await keyspace(etcd, `${PREFIX}restored`))[`${PREFIX}restored`],
      WITHIN_MS,
    );
  const refused = (by: Serving, pool: string) =>
    eventually(
      `${by.node} refuses`,
      async () => {
        const text = await by.refusal('RequestAddress', askOf(pool, 'asks'));
        return text?.startsWith('etcd was restored') ? text : undefined;
      },
      WITHIN_MS,
    );

  for (const [what, token, lost] of [
    ['at the same cluster', undefined, /: revision \d+ fell to \d+\)/],
    ['as another cluster', 'another', /: cluster [0-9a-f]+ is cluster [0-9a-f]+ now, at revision \d+\)/],
  ] as const) {
    it(`${what}: all drivers refuse by themselves, one that starts afterwards too; resume lets them go on`, async () => {
      const [a, b] = [await driver('a'), await driver('b')];
      const [ofA, ofB] = [await a.pool(SUBNET), await b.pool(SUBNET)];
      await a.address(ofA, 'before', '10.66.0.10');
      const file = await etcd.snapshot();
      await a.address(ofA, 'since', '10.66.0.20');
      for (let i = 0; i < 20; i++) await b.address(ofB, `b${i}`);
      await etcd.restore(file, token);
      expect(await marked()).to.include.keys('node', 'what', 'since', 'token');
      expect(Object.keys(await claims())).to.deep.equal(['10']);
      const c = await driver('c');
      expect(await c.refusal('RequestPool', { AddressSpace: 'local', Pool: SUBNET, Options: {} })).to.match(REFUSED);
      for (const [one, pool] of [
        [a, ofA],
        [b, ofB],
      ] as const)
        expect(await refused(one, pool))
          .to.match(REFUSED)
          .and.match(lost);

      // A release goes on.
      await a.must('ReleaseAddress', { PoolID: ofA, Address: '10.66.0.10' });
      await eventually('it is released', async () => Object.keys(await claims()).length === 0, WITHIN_MS);
      const status = await command('status');
      expect([status.code, status.stdout]).to.deep.equal([1, status.stdout]);
      expect(status.stdout).to.match(/\netcd {4}FAILED .*; etcd was restored from a backup \(seen by /);
      expect((await command('nodes')).stdout).to.match(
        /etcd was restored from a backup .*; etcd-ipam resume --dry-run lists them\n$/,
      );

      // They look every few seconds.
      for (const one of [a, b])
        await eventually(
          `${one.node} has said so`,
          () => one.log.some((message) => message.startsWith('etcd was restored from a backup')),
          WITHIN_MS,
        );
      const before = await keyspace(etcd, `${PREFIX}restored`);
      const dry = await command('resume', '--dry-run');
      expect(dry.stdout.split('\n').slice(1, 4)).to.deep.equal(
        ['a', 'b', 'c'].map(
          (one) => `  ${one}: alive, has not reconciled: its engine is not asked (IPAM_ENGINE_SOCKET), or see its log`,
        ),
      );
      expect(dry.stdout.trim().split('\n').at(-1)).to.equal(
        'addresses would be given again, 3 of 3 hosts not having reconciled',
      );
      expect(await keyspace(etcd, `${PREFIX}restored`)).to.deep.equal(before);
      const done = await command('resume');
      expect([done.code, done.stdout.trim().split('\n').at(-1)]).to.deep.equal([0, 'addresses are given again']);
      expect(await keyspace(etcd, `${PREFIX}restored`)).to.deep.equal({});
      expect((await command('resume')).stdout).to.equal('no mark of a restored backup stands: addresses are given\n');
      expect(await a.address(ofA, 'after', '10.66.0.30')).to.equal('10.66.0.30');
      expect(await b.address(ofB, 'after', '10.66.0.31')).to.equal('10.66.0.31');
      expect(await c.pool(SUBNET)).to.be.a('string');
      for (const one of [a, b])
        await eventually(
          `${one.node} says so`,
          () => one.log.includes('etcd counts as complete again: addresses are given'),
          WITHIN_MS,
        );
    });
  }

  it('is another cluster with a higher revision: noticed all the same', async () => {
    const a = await driver('a');
    const pool = await a.pool(SUBNET);
    await a.address(pool, 'since');
    for (let i = 0; i < 50; i++) await etcd.ctl('put', 'other', String(i));
    await etcd.restore(await etcd.snapshot(), 'another');
    expect(await refused(a, pool)).to.match(/: cluster [0-9a-f]+ is cluster [0-9a-f]+ now, at revision \d+\)/);
  });

  it('where every driver has its engine, what lives is claimed again, nothing twice, and no operator is needed', async () => {
    const live: Record<string, Record<string, string>> = { a: {}, b: {} };
    const engines = { a: await engineOf(() => live.a!), b: await engineOf(() => live.b!) };
    closing.push(engines.a, engines.b);
    const env = (engine: FakeEngine) => ({ IPAM_ENGINE_SOCKET: engine.socket, IPAM_RECONCILE_GRACE: '1s' });
    const [a, b] = [await driver('a', env(engines.a)), await driver('b', env(engines.b))];
    const pools = { a: await a.pool(SUBNET), b: await b.pool(SUBNET) };
    const run = async (one: Serving, name: string) => {
      live[one.node]![name] = await one.address(pools[one.node as 'a'], name);
    };
    await run(a, 'a-before');
    await run(b, 'b-before');
    const file = await etcd.snapshot();
    for (let i = 0; i < 10; i++) {
      await run(a, `a${i}`);
      await run(b, `b${i}`);
    }
    const given = { ...live.a, ...live.b };
    await etcd.restore(file);
    await marked();
    const name = async () => await a.address(pools.a, 'after').catch(() => undefined);
    const after = await eventually('an address is given again', name, 120_000, 500);
    const byAddress = (all: Record<string, string>) =>
      Object.fromEntries(Object.entries(all).map(([container, ip]) => [Number(ip.split('.').at(-1)), container]));
    expect(await claims()).to.deep.equal(byAddress({ ...given, after: after! }));
    expect(Object.keys(await keyspace(etcd, `${PREFIX}re`))).to.deep.equal([]);
    expect([...a.log, ...b.log].filter((line) => line.startsWith('all hosts have reconciled'))).to.have.length(1);
  });

  it('was only restarted, over and over, with calls under way: nobody takes it for restored', async () => {
    const [a, b] = [await driver('a'), await driver('b')];
    const pools = { a: await a.pool('10.66.0.0/16'), b: await b.pool('10.66.0.0/16') };
    let over = false;
    const busy = [a, b].flatMap((one) =>
      Array.from({ length: 8 }, async (_, i) => {
        for (let turn = 0; !over; turn++)
          await one.address(pools[one.node as 'a'], `${one.node}${i}-${turn}`).catch(() => undefined);
      }),
    );
    try {
      for (let i = 0; i < 5; i++) {
        await etcd.restart();
        const before = (await entries(etcd, CLAIMS.replace('-24', '-16'))).length;
        await eventually(
          'it goes on',
          async () => (await entries(etcd, CLAIMS.replace('-24', '-16'))).length > before,
          WITHIN_MS,
        );
      }
    } finally {
      over = true;
      await Promise.all(busy);
    }
    expect(await keyspace(etcd, `${PREFIX}restored`)).to.deep.equal({});
    expect([...a.log, ...b.log].filter((line) => line.includes('restored'))).to.deep.equal([]);
  });

  /** An engine with one network on the subnet, and what the test says lives there. */
  function engineOf(live: () => Record<string, string>): Promise<FakeEngine> {
    const net = () => ({
      ...{ Name: 'net', Scope: 'local', IPAM: { Driver: 'ipam', Config: [{ Subnet: SUBNET }] } },
      Containers: Object.fromEntries(
        Object.entries(live()).map(([name, ip]) => [
          name,
          { Name: name, MacAddress: '', IPv4Address: `${ip}/24`, IPv6Address: '' },
        ]),
      ),
    });
    return FakeEngine.start((req, res) =>
      showing({ '/version': { Version: '20.10.24' }, '/networks': [{ Id: 'n1', ...net() }], '/networks/n1': net() })(
        req,
        res,
      ),
    );
  }
});
