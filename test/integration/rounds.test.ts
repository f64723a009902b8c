// Rounds in real time: the key that paces them, and two drivers of which one does not come back. Everything that waits,
// waits for what it is to see.
import { expect } from 'chai';
import { type EtcdClient, openClient } from '../../src/etcd/client.js';
import { Ticks } from '../../src/etcd/tick.js';
import { type EtcdFixture, entries, keyspace, startEtcd } from '../support/etcd.js';
import { eventually, run } from '../support/process.js';
import { PROGRAM } from '../support/program.js';
import { QuickNode, ROUND_MS } from '../support/quick-node.js';

const PREFIX = '/etcd-ipam/';
const POOL = '10.66.0.0/30';
const soon = (ms = 30_000) => performance.now() + ms;

describe('rounds of silence', function () {
  this.timeout(180_000);
  let etcd: EtcdFixture;
  let closing: (() => unknown)[];

  before(async () => {
    etcd = await startEtcd();
  });
  after(() => etcd?.stop());
  beforeEach(() => {
    closing = [];
  });
  afterEach(async () => {
    for (const close of closing.reverse()) await close();
    await etcd.ctl('del', '', '--prefix');
  });

  function client(): EtcdClient {
    const opened = openClient({ endpoints: [etcd.url] });
    closing.push(() => opened.close());
    return opened;
  }

  interface Ran {
    readonly node: string;
    readonly tick: string;
  }

  function ticks(node: string, ran: Ran[], { alive = true, roundMs = ROUND_MS } = {}): Ticks {
    const made = new Ticks(client(), {
      ...{ prefix: PREFIX, node, roundMs, alive: () => alive },
      round: async (tick) => void ran.push({ node, tick }),
      report: () => undefined,
    });
    closing.push(() => made.stop());
    return made;
  }

  it('one of 5 that begin a round at once begins it, by a key on a lease, and the others leave no lease behind', async () => {
    const begin = (node: string) => ticks(node, [], { roundMs: 60_000 }).begin(soon());
    const begun = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(begin));
    const [found] = await entries(etcd, `${PREFIX}tick`);
    expect(begun.filter((tick) => tick !== undefined)).to.deep.equal([String(found!.modified)]);
    expect(found!.leased).to.equal(true);
    expect(await begin('f')).to.equal(undefined);
    const leases = (await etcd.ctl('lease', 'list')).split('\n').filter((line) => /^[0-9a-f]{16}$/.test(line));
    expect(leases).to.have.length(1);
    await etcd.ctl('lease', 'revoke', leases[0]!);
    expect(await begin('f')).to.not.equal(undefined);
  });

  it('each is run by one process, once, and by none without a session', async () => {
    const ran: Ran[] = [];
    for (const node of ['a', 'b']) ticks(node, ran).start();
    ticks('dead', ran, { alive: false }).start();
    await eventually('4 rounds', () => ran.length >= 4, 120_000);
    expect(new Set(ran.map(({ tick }) => tick)).size).to.equal(ran.length);
    expect(ran.map(({ node }) => node)).to.not.include('dead');
  });

  it('go on after etcd did not answer for a while', async () => {
    const ran: Ran[] = [];
    ticks('a', ran).start();
    await eventually('a round', () => ran.length >= 1, 60_000);
    etcd.freeze();
    try {
      await new Promise((thaw) => setTimeout(thaw, 2 * ROUND_MS));
    } finally {
      etcd.thaw();
    }
    const before = ran.length;
    await eventually('another round', () => ran.length > before, 60_000);
  });

  /** What an operator types. */
  const command = (...args: string[]) =>
    run(process.execPath, [...PROGRAM, ...args], {
      env: { ETCD_ENDPOINTS: etcd.url, IPAM_NODE: 'operator', IPAM_HOLD: '24h' },
    });

  it('that count nothing, since too many nodes are silent together, are told of by `nodes` and `status`', async () => {
    const nodes = { a: '', b: ',"silence":3', c: ',"silence":2880' };
    for (const [name, silence] of Object.entries(nodes))
      await etcd.ctl('put', `${PREFIX}nodes/${name}`, `{"machine":"m","boot":"b","since":"then"${silence}}`);
    await etcd.ctl('put', `${PREFIX}brake`, '{"silent":2,"of":3,"since":"then"}');
    const { stdout } = await command('nodes');
    expect(stdout.trim().split('\n')).to.deep.equal([
      'NODE  STATE   SINCE  SILENT FOR  JOINS  MACHINE',
      'a     silent                     0      m',
      'b     silent         1 min       0      m',
      'c     gone           1 d 0 h     0      m',
      '',
      "2 of 3 nodes fell silent together, so since then nobody's silence counts:",
      'if they are gone for good, evict them',
    ]);
    // It gives etcd 2.5 s.
    const status = async () => (await command('status')).stdout.includes('are silent together, so no silence counts');
    await eventually('the status says so', status, 60_000);
  });

  describe('of two drivers on one full subnet', () => {
    async function node(name: string, pool?: string): Promise<QuickNode> {
      const started = await QuickNode.start(etcd.url, name, { subnet: POOL, ...(pool && { pool }) });
      closing.push(() => started.stop());
      return started;
    }

    it('one never comes back: after its hold its address serves the other, which says whose it was', async () => {
      const [a, b] = [await node('a'), await node('b')];
      const had = [(await b.address()).json.Address, (await b.address('', 'db')).json.Address];
      expect(had).to.deep.equal(['10.66.0.1/30', '10.66.0.2/30']);
      expect((await a.address()).json.Err).to.equal('no address left in pool 10.66.0.0/30: all 2 are in use');
      await b.stop();
      const taken = await eventually('an address of b', async () => (await a.address()).json.Address, 90_000, 500);
      expect(had).to.include(taken);
      expect(a.log.filter((line) => line.includes('node b is gone: others may take its addresses'))).to.have.length(1);
      const line = await eventually('the log tells', () =>
        a.log.map((text) => JSON.parse(text)).find(({ from }) => from === 'b'),
      );
      expect(line).to.include({ call: 'RequestAddress', outcome: 'granted', address: taken!.split('/')[0] });
      expect(line.msg).to.match(/ granted from b, which is gone$/);

      const back = await node('b', b.pool);
      const told = await eventually(
        'the log of b says what it lost',
        () => back.log.find((text) => text.includes(' while this node was gone')),
        60_000,
      );
      const given = { pool: POOL, address: taken!.split('/')[0], to: 'a' };
      expect(JSON.parse(told)).to.include(given);
      const rest = had.find((one) => one !== taken)!;
      expect((await back.address(taken!.split('/')[0], 'db')).json.Err).to.match(/is held by web on a since /);
      expect((await a.address()).json.Err).to.match(/^no address left /);
      expect(Object.keys(await keyspace(etcd, `${PREFIX}claims/`)).map((key) => key.slice(-3))).to.deep.equal([
        ...['001', '002'],
      ]);
      expect(rest).to.match(/^10\.66\.0\.[12]\/30$/);
    });

    it('one is evicted: refused while it lives, and when it does not, its address serves the other at once', async () => {
      const [a, b] = [await node('a'), await node('b')];
      await b.address('10.66.0.2');
      const alive = await command('evict', 'b');
      expect([alive.code, alive.stderr.trim()]).to.deep.equal([
        1,
        'etcd-ipam: node b is alive: stop its plugin first, or add --force if it can be reached no more and its session still lives',
      ]);
      const missing = await command('evict', 'nobody');
      expect([missing.code, missing.stderr.trim()]).to.deep.equal([1, 'etcd-ipam: there is no node nobody']);
      await b.stop();
      const dry = await command('evict', 'b', '--dry-run', '--json');
      const takeable = [{ space: 'local', pool: POOL, addresses: 1 }];
      expect(JSON.parse(dry.stdout)).to.deep.equal({ node: 'b', evicted: false, forced: false, takeable });
      const real = await command('evict', 'b');
      expect([real.code, real.stdout.trim().split('\n')]).to.deep.equal([
        0,
        [
          'node b is evicted',
          'others may take from it now:',
          '  10.66.0.0/30 in local: 1',
          'what nobody has taken is its own again when it comes back',
        ],
      ]);
      expect((await a.address('10.66.0.2')).json.Address).to.equal('10.66.0.2/30');
      const listed = await command('nodes');
      expect(listed.stdout).to.match(
        /^NODE +STATE +SINCE +SILENT FOR +JOINS +MACHINE\na +alive +20\S+ +1 +machine-a\nb +evicted +20/,
      );
      const { nodes } = JSON.parse((await command('nodes', '--json')).stdout);
      expect(nodes[1]).to.include({ node: 'b', state: 'evicted', joins: 1, machine: 'machine-b' });
    });
  });
});
