// The three members that the other tests here lose: what each fault does to a cluster, and that it passes.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openClient } from '../../src/etcd/client.js';
import { keyspace } from '../support/etcd.js';
import { EtcdMembers } from '../support/etcd-members.js';
import { eventually } from '../support/process.js';

describe('three members of etcd', function () {
  this.timeout(120_000);
  let etcd: EtcdMembers;
  before(async () => {
    etcd = await EtcdMembers.start();
  });
  after(() => etcd?.[Symbol.asyncDispose]());

  const put = (value: string) => etcd.ctl('put', 'k', value);

  it('go on without their leader, whether it is killed, frozen or cut off, and take it back', async () => {
    const faults: [string, (at: number) => unknown, (at: number) => unknown][] = [
      ['killed', (at) => etcd.kill(at), (at) => etcd.restart(at)],
      ['frozen', (at) => etcd.freeze(at), (at) => etcd.thaw(at)],
      ['cut', (at) => etcd.cut(at), () => etcd.heal()],
    ];
    for (const [name, begin, end] of faults) {
      const lost = await etcd.leader();
      await begin(lost);
      await eventually('another one leads', async () => (await etcd.leader()) !== lost, 30_000);
      await eventually('writes pass', () => put(name).catch(() => false), 30_000);
      await end(lost);
      await etcd.whole();
      expect(await keyspace(etcd, 'k'), name).to.deep.equal({ k: name });
    }
  });

  it('have another leader when told to', async () => {
    const before = await etcd.leader();
    const named = await etcd.moveLeader();
    await eventually('it leads', async () => (await etcd.leader()) === named);
    expect(named).to.not.equal(before);
  });

  it('lose all leases with their keys, and history by compaction', async () => {
    const { id } = /lease (?<id>[0-9a-f]+) granted/.exec(await etcd.ctl('lease', 'grant', '600'))?.groups ?? {};
    await etcd.ctl('put', 'leased', 'x', `--lease=${id}`);
    expect(await etcd.revokeAllLeases()).to.equal(1);
    expect(await keyspace(etcd, 'leased')).to.deep.equal({});
    const old = await etcd.revision();
    await put('newer');
    await etcd.compact();
    const refused = await etcd.ctl('get', 'k', `--rev=${old}`).catch((cause: Error) => cause.message);
    expect(refused).to.match(/compacted/);
  });

  it('come back from a snapshot without what was written after it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'snapshot-'));
    try {
      await put('kept');
      await etcd.snapshot(join(folder, 'db'));
      await put('forgotten');
      await etcd.restore(join(folder, 'db'));
      expect(await keyspace(etcd, 'k')).to.deep.equal({ k: 'kept' });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('are out of reach of a client whose way is cut, and of no other', async () => {
    const [one, other] = await Promise.all([etcd.way(), etcd.way()]);
    const [cut, free] = [one, other].map((way) => openClient({ endpoints: way.url.split(',') })) as [never, never];
    const read = (client: ReturnType<typeof openClient>, ms: number) =>
      client.read({ success: [{ request_range: { key: Buffer.from('k') } }] }, performance.now() + ms).then(
        () => 'answered',
        () => 'failed',
      );
    try {
      expect(await read(cut, 5_000)).to.equal('answered');
      one.cut();
      expect(await Promise.all([read(cut, 1_000), read(free, 5_000)])).to.deep.equal(['failed', 'answered']);
      one.heal();
      expect(await read(cut, 10_000)).to.equal('answered');
    } finally {
      for (const client of [cut, free] as ReturnType<typeof openClient>[]) client.close();
    }
  });
});
