// Releases that were asked for while the store was away, and those that land late. Numbers are those of the
// counterexamples.
import { expect } from 'chai';
import { IpamError } from '../../../src/ipam/errors.js';
import { claimKey } from '../../../src/ipam/keyspace.js';
import { parseAddress } from '../../../src/net/address.js';
import { refusal, soon } from '../../support/allocator-fixture.js';
import { eventually } from '../../support/process.js';
import { claim, joined, OPEN, S, type Scene } from './scene.js';

export function outages(scene: Scene): void {
  describe('releases while the store is away', () => {
    it('#12: a queued release frees nothing that was granted after it', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      a.link.away = true;
      const hold = scene.world.holdRetries();
      expect(await net.release('10.66.0.9')).to.equal('queued');
      await hold.asleep(1);
      // etcd is back, and the same container starts before the queue is tried again.
      a.link.away = false;
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      hold.end();
      await a.settled();
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('#12: so does one that was queued by a process which had not seen any answer yet', async () => {
      const old = await scene.world.host('a');
      const known = await old.network(S);
      await known.endpoint({ ip: '10.66.0.9', name: 'web' });
      // The plugin was restarted while etcd is away; its first call is the release.
      const a = await scene.world.host('a');
      a.link.away = true;
      const hold = scene.world.holdRetries();
      expect(await a.allocator.releaseAddress(known.ref, parseAddress('10.66.0.9'), soon())).to.equal('queued');
      await hold.asleep(1);
      a.link.away = false;
      const ask = { pool: known.ref, address: parseAddress('10.66.0.9'), purpose: 'endpoint', name: 'web' } as const;
      await a.allocator.requestAddress(ask, soon());
      hold.end();
      await a.settled();
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('#12: the release of an earlier process of the node is done as soon as the store is there', async () => {
      const old = await scene.world.host('a');
      const known = await old.network(S);
      await known.endpoint({ ip: '10.66.0.9', name: 'web' });
      const a = await scene.world.host('a');
      expect(await a.allocator.releaseAddress(known.ref, parseAddress('10.66.0.9'), soon())).to.equal('released');
      await scene.all(OPEN, joined('J1'));
    });

    it('a release that comes to another process of the node, which has not looked since the grant, frees the address', async () => {
      const [old, young] = [await scene.world.host('a'), await scene.world.host('a')];
      const net = await old.network(S);
      expect(await young.allocator.releaseAddress(net.ref, parseAddress('10.66.0.9'), soon())).to.equal(
        'nothing to release',
      );
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      expect(await young.allocator.releaseAddress(net.ref, parseAddress('10.66.0.9'), soon())).to.equal('released');
      await scene.all(OPEN, joined('J1'));
    });

    it('#12: without a request in between the queued release frees the address', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      a.link.away = true;
      expect(await net.release('10.66.0.9')).to.equal('queued');
      expect(await net.releasePool()).to.equal('queued');
      expect(a.allocator.pending).to.equal(2);
      a.link.away = false;
      await a.settled();
      await scene.all();
    });

    it('what is released while etcd denies us, as for a password that is being changed, is freed afterwards', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      for (const ip of ['10.66.0.8', '10.66.0.9']) await net.endpoint({ ip, name: ip });
      a.link.away = true;
      const hold = scene.world.holdRetries();
      expect(await net.release('10.66.0.8')).to.equal('queued');
      await hold.asleep(1);
      a.link.away = false;
      let refused = 0;
      a.link.beforeCommit = () => {
        refused++;
        throw new IpamError('denied', 'wrong user name or password');
      };
      expect(await net.release('10.66.0.9')).to.equal('queued');
      expect(await net.releasePool()).to.equal('queued');
      await hold.asleep(3);
      hold.end();
      await eventually('what waits is tried again', () => refused >= 8);
      a.link.beforeCommit = () => undefined;
      await a.settled();
      expect(a.failed).to.deep.equal([]);
      await scene.all();
    });

    it('what is released under a name that another machine or boot has is not queued: it may be that one’s', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      a.link.beforeCommit = () => {
        throw new IpamError('node_name_taken', 'another has the name');
      };
      expect(await refusal(net.release('10.66.0.9'))).to.match(/^node_name_taken: /);
      a.link.beforeCommit = () => undefined;
      await a.settled();
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=web'));
    });

    it('one that is still under way when the process ends is told, and not taken for done', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const lands: (() => void)[] = [];
      a.link.beforeCommit = () => new Promise((land) => void lands.push(land));
      const releasing = net.release('10.66.0.9');
      await eventually('it is under way', () => lands.length === 1);
      expect(await a.allocator.close(100)).to.equal(1);
      lands[0]!();
      expect(await releasing).to.equal('released');
      expect(await a.allocator.close(100)).to.equal(0);
    });

    it('a request that finds its address taken by what is to be released does not wait for the queue: the release comes first', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.unsure('10.66.0.9');
      a.link.away = true;
      const hold = scene.world.holdRetries();
      expect(await net.release('10.66.0.9')).to.equal('queued');
      await hold.asleep(1);
      a.link.away = false;
      // As engines up to 28 start a container with --ip: nothing says that it is the same one.
      await net.unsure('10.66.0.9');
      hold.end();
      await a.settled();
      await scene.all(OPEN, joined('J1'), claim(9, 'unsure a boot-1 join=J1'));
    });

    it('so does one that finds a pool full of what is to be released', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S, { range: '10.66.0.8/31' });
      for (const name of ['web', 'db']) await net.endpoint({ name });
      a.link.away = true;
      const hold = scene.world.holdRetries();
      for (const ip of ['10.66.0.8', '10.66.0.9']) expect(await net.release(ip)).to.equal('queued');
      await hold.asleep(2);
      a.link.away = false;
      await net.endpoint({ name: 'new' });
      hold.end();
      await a.settled();
      const left = (await scene.world.records()).filter((line) => line.startsWith('claims/'));
      expect(left.map((line) => line.split(' ').slice(1).join(' '))).to.deep.equal([
        'endpoint a boot-1 join=J1 name=new',
      ]);
    });

    it('what this process gave is given back by one commit and no look', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const { commits, reads } = a.link;
      expect(await net.release('10.66.0.9')).to.equal('released');
      expect([a.link.commits - commits, a.link.reads - reads]).to.deep.equal([1, 0]);
      expect(await net.release('10.66.0.9')).to.equal('nothing to release');
      await scene.all(OPEN, joined('J1'));
    });

    it('also where another grant over it was taken back, be it in doubt or not: what it had put back is given back', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      await (await net.endpoint({ ip: '10.66.0.9', name: 'web' })).undo(soon());
      expect(await net.release('10.66.0.9')).to.equal('released');
      await scene.all(OPEN, joined('J1'));

      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const doubt = a.link.loseAnswer();
      expect(await refusal(net.endpoint({ ip: '10.66.0.9', name: 'web' }))).to.match(/^unavailable: /);
      expect(await net.release('10.66.0.9')).to.equal('released');
      doubt.settle(true);
      await a.settled();
      await scene.all(OPEN, joined('J1'));
    });

    it('and where another process of the node gave it since, through the same join', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('a')];
      const net = await a.network(S, { range: '10.66.0.9/32' });
      await net.endpoint({ name: 'web' });
      await b.allocator.releaseAddress(net.ref, parseAddress('10.66.0.9'), soon());
      await b.allocator.requestAddress({ pool: net.ref, purpose: 'endpoint', name: 'db' }, soon());
      expect(await net.release('10.66.0.9')).to.equal('released');
      await scene.all(OPEN, joined('J1', 'a boot-1 range=10.66.0.9/32'));
    });

    it('and where an operator had the record written anew as it was', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const key = claimKey(net.ref, parseAddress('10.66.0.9'));
      const [found] = await b.link.read([{ one: key }], soon());
      const write = [{ put: key, record: found!.record }];
      expect((await b.link.commit({ when: [], write, otherwise: [] }, soon())).done).to.equal(true);
      expect(await net.release('10.66.0.9')).to.equal('released');
      await scene.all(OPEN, joined('J1'));
    });

    it('a release that is stuck on its way and lands after the address was given again removes nothing', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S);
      await net.endpoint({ ip: '10.66.0.9', name: 'web' });
      const stuck = a.link.stick();
      expect(await net.release('10.66.0.9')).to.equal('released');
      await net.endpoint({ ip: '10.66.0.9', name: 'db' });
      expect(await stuck.land()).to.equal(false);
      await scene.all(OPEN, joined('J1'), claim(9, 'endpoint a boot-1 join=J1 name=db'));
    });

    it('a release whose answer is lost frees nothing that the same join was given meanwhile', async () => {
      const a = await scene.world.host('a');
      const net = await a.network(S, { range: '10.66.0.9/32' });
      await net.endpoint({ name: 'web' });
      a.link.loseAnswer(() => net.endpoint({ name: 'db' }));
      await net.release('10.66.0.9');
      await scene.all(OPEN, joined('J1', 'a boot-1 range=10.66.0.9/32'), claim(9, 'endpoint a boot-1 join=J1 name=db'));
    });

    it('nor does one that loses its race to a change of the same claim, though another process of the node made it', async () => {
      const [old, a, b] = [await scene.world.host('a'), await scene.world.host('a'), await scene.world.host('a')];
      const net = await old.network(S, { range: '10.66.0.9/32' });
      await net.endpoint({ name: 'web' });
      a.link.beforeNext(async () => {
        await b.allocator.releaseAddress(net.ref, parseAddress('10.66.0.9'), soon());
        await b.allocator.requestAddress({ pool: net.ref, purpose: 'endpoint', name: 'db' }, soon());
      });
      await a.allocator.releaseAddress(net.ref, parseAddress('10.66.0.9'), soon());
      await scene.all(OPEN, joined('J1', 'a boot-1 range=10.66.0.9/32'), claim(9, 'endpoint a boot-1 join=J1 name=db'));
    });
  });
}
