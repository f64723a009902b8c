// Pools whose rules change while they are in use: what an operator leaves out or keeps for somebody is so for the next
// address on every node, whoever had looked before. A command and a claim meet in each order.
import { expect } from 'chai';
import { parseAddress } from '../../../src/net/address.js';
import { type Net, refusal } from '../../support/allocator-fixture.js';
import { claim, holder, joined, LED, last, POOL, S, type Scene } from './scene.js';

const RULES = 'rules/local/v4/010.066.000.000-24';
/** The pool and its rules, which say the same. */
const open = (rules: string, before = '') => [
  `${POOL} open${before} rules=${rules.replaceAll(' ', ';')}`,
  `${RULES} ${rules}`,
  'spaces/local',
];
const reserved = (...who: string[]) => `excluded= reserved=${who.join(',')}`;
const excluded = (...ranges: string[]) => `excluded=${ranges.join(',')} reserved=`;

export function ruled(scene: Scene): void {
  /** A network on each of two nodes, both of which have seen the pool, and an operator. */
  const three = async (range?: string): Promise<[Net, Net, Awaited<ReturnType<typeof scene.world.operator>>]> => {
    const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
    const options = range === undefined ? {} : { range };
    return [await a.network(S, options), await b.network(S, options), await scene.world.operator(S)];
  };
  const both = [joined('J1'), joined('J2', 'b boot-1')];
  const container = (at: number, name: string, node = 'a', join = 'J1') =>
    claim(at, `endpoint ${node} boot-1 join=${join} name=${name}`);

  describe('exclusions', () => {
    it('hold for the next address of every node, though all had seen the pool without them', async () => {
      const [na, nb, operator] = await three();
      expect((await na.endpoint({ name: 'c1' })).ip).to.equal('10.66.0.1');
      await operator.exclude('10.66.0.2-10.66.0.9');
      expect((await nb.endpoint({ name: 'c2' })).ip).to.equal('10.66.0.10');
      expect((await na.endpoint({ name: 'c3' })).ip).to.equal('10.66.0.11');
      expect(await refusal(na.endpoint({ ip: '10.66.0.4', name: 'c4' }))).to.equal(
        'excluded: address 10.66.0.4 is excluded from pool 10.66.0.0/24 (10.66.0.2-10.66.0.9)',
      );
      await scene.all(open(excluded('10.66.0.2-10.66.0.9')), both, [
        ...[container(1, 'c1'), container(10, 'c2', 'b', 'J2'), container(11, 'c3')],
      ]);
    });

    it('a looks, the operator excludes, a claims: a gets another, and by number is refused', async () => {
      const [na, , operator] = await three();
      na.host.link.beforeNext(() => operator.exclude('10.66.0.1-10.66.0.9'));
      const granted = await na.endpoint({ name: 'web' });
      // One lost without the reason, one with it.
      expect([granted.ip, granted.attempts]).to.deep.equal(['10.66.0.10', 3]);
      na.host.link.beforeNext(() => operator.exclude('10.66.0.20'));
      expect(await refusal(na.endpoint({ ip: '10.66.0.20', name: 'db' }))).to.equal(
        'excluded: address 10.66.0.20 is excluded from pool 10.66.0.0/24',
      );
      await scene.all(open(excluded('10.66.0.1-10.66.0.9', '10.66.0.20-10.66.0.20')), both, container(10, 'web'));
    });

    it('the operator looks, a claims, the operator excludes: refused with whose it is, unless that one keeps it', async () => {
      const [na, , operator] = await three();
      operator.link.beforeNext(() => na.endpoint({ ip: '10.66.0.7', name: 'web' }));
      expect(await refusal(operator.exclude('10.66.0.1-10.66.0.9'))).to.match(
        /^in_use: 10\.66\.0\.1-10\.66\.0\.9 of pool 10\.66\.0\.0\/24 has addresses in use \(1\): 10\.66\.0\.7 is held by web on a since \S+; stop them first, or add --keep, and they keep what they have until they give it back$/,
      );
      operator.link.beforeNext(() => na.endpoint({ ip: '10.66.0.8', name: 'db' }));
      const { keeping, changed } = await operator.exclude('10.66.0.1-10.66.0.9', true);
      expect([changed, keeping.map(({ record }) => record.name)]).to.deep.equal([true, ['web', 'db']]);
      await scene.all(open(excluded('10.66.0.1-10.66.0.9')), both, [container(7, 'web'), container(8, 'db')]);
    });

    it('who keeps an address may ask for it again, and nobody has it after that', async () => {
      const [na, nb, operator] = await three();
      await na.endpoint({ ip: '10.66.0.7', name: 'web' });
      await operator.exclude('10.66.0.7', true);
      expect((await na.endpoint({ ip: '10.66.0.7', name: 'web' })).ip).to.equal('10.66.0.7');
      await na.release('10.66.0.7');
      for (const net of [na, nb])
        expect(await refusal(net.endpoint({ ip: '10.66.0.7', name: 'web' }))).to.match(/^excluded: /);
      await scene.all(open(excluded('10.66.0.7-10.66.0.7')), both);
    });

    it('what rests is in nobody’s way, is not given by number, nor where nothing else is left', async () => {
      scene.world.restMs = 600_000;
      const [na, nb, operator] = await three('10.66.0.8/31');
      for (const name of ['c1', 'c2']) await na.endpoint({ name });
      await na.release('10.66.0.8');
      operator.link.beforeNext(() => na.release('10.66.0.9').then(() => na.endpoint({ ip: '10.66.0.9', name: 'c3' })));
      await operator.exclude('10.66.0.8');
      expect(await refusal(nb.endpoint({ name: 'c4' }))).to.equal(
        'pool_exhausted: no address left in range 10.66.0.8/31 of pool 10.66.0.0/24: of 2 addresses 1 excluded, all others in use',
      );
      expect(await refusal(nb.endpoint({ ip: '10.66.0.8', name: 'c4' }))).to.match(/^excluded: /);
      // Nothing is remembered of a full range once the rules are others.
      await operator.include('10.66.0.8');
      expect((await nb.endpoint({ name: 'c4' })).ip).to.equal('10.66.0.8');
      const joins = [joined('J1', 'a boot-1 range=10.66.0.8/31'), joined('J2', 'b boot-1 range=10.66.0.8/31')];
      await scene.all([`${POOL} open`, 'spaces/local'], joins, [
        ...[container(8, 'c4', 'b', 'J2'), container(9, 'c3')],
      ]);
    });

    it('what comes free by a command is given at once, though the range was known to be full', async () => {
      const [na, nb, operator] = await three('10.66.0.8/31');
      await operator.exclude('10.66.0.8');
      await na.endpoint({ name: 'c1' });
      for (const net of [na, nb]) expect(await refusal(net.endpoint({ name: 'c2' }))).to.match(/^pool_exhausted: /);
      await operator.include('10.66.0.8');
      expect((await nb.endpoint({ name: 'c2' })).ip).to.equal('10.66.0.8');
      await nb.release('10.66.0.8');
      await operator.reserve('10.66.0.8', 'c4');
      expect(await refusal(na.endpoint({ name: 'c3' }))).to.match(/: of 2 addresses 1 reserved, all others in use$/);
      expect((await na.endpoint({ name: 'c4' })).ip).to.equal('10.66.0.8');
    });

    it('what rests while a release and another claim pass is no reason to refuse', async () => {
      scene.world.restMs = 600_000;
      const [na, , operator] = await three();
      await na.endpoint({ ip: '10.66.0.5', name: 'web' });
      await na.release('10.66.0.5');
      let releases = 0;
      operator.link.beforeCommit = async () => {
        if (++releases > 2) return;
        await na.endpoint({ ip: '10.66.0.6', name: 'db' });
        await na.release('10.66.0.6');
      };
      expect((await operator.exclude('10.66.0.5-10.66.0.6')).changed).to.equal(true);
      expect(operator.link.commits).to.equal(3);
    });

    it('of a node that is gone: refused as in use; kept, nobody takes it, neither unasked nor by number', async () => {
      const [na, nb, operator] = await three('10.66.0.8/31');
      for (const name of ['c1', 'c2']) await nb.endpoint({ name });
      await nb.host.loseSession();
      await scene.world.silence(na.host, 4);
      expect(await refusal(operator.exclude('10.66.0.8/31'))).to.match(
        /^in_use: .* has addresses in use \(2\): .*10\.66\.0\.9 is held by c2/,
      );
      await operator.exclude('10.66.0.8', true);
      expect((await na.endpoint({ name: 'c3' })).ip).to.equal('10.66.0.9');
      expect(await refusal(na.endpoint({ name: 'c4' }))).to.match(/^pool_exhausted: /);
      expect(await refusal(na.endpoint({ ip: '10.66.0.8', name: 'c4' }))).to.match(/^excluded: /);
    });

    it('are about containers: a gateway and declared auxiliary addresses may lie in them, one that is picked does not', async () => {
      const [na, nb, operator] = await three();
      await operator.exclude('10.66.0.1-10.66.0.9');
      expect((await na.gateway()).ip).to.equal('10.66.0.10');
      expect((await nb.aux('10.66.0.3')).ip).to.equal('10.66.0.3');
      expect(await refusal(na.unsure('10.66.0.4'))).to.equal(
        'excluded: address 10.66.0.4 is excluded from pool 10.66.0.0/24 (10.66.0.1-10.66.0.9); if it is an auxiliary address of the network, say so with --ipam-opt aux=10.66.0.4',
      );
      const declared = await na.host.network(S, { shared: ['10.66.0.4'] });
      expect((await declared.unsure('10.66.0.4')).ip).to.equal('10.66.0.4');
      expect((await declared.gateway('10.66.0.5')).ip).to.equal('10.66.0.5');
    });

    for (const [subnet, most, ip] of [
      ['10.0.0.0/8', '10.0.0.0/9', '10.128.0.0'],
      ['fd00:66::/64', 'fd00:66::/96', 'fd00:66::1:0:0'],
    ] as const)
      it(`of ${most}: a gateway that is not named is picked behind it with two looks`, async () => {
        const operator = await scene.world.operator(subnet);
        await operator.exclude(most);
        const a = await scene.world.host('a');
        const net = await a.network(subnet);
        const { reads } = a.link;
        expect((await net.gateway()).ip).to.equal(ip);
        expect(a.link.reads - reads).to.equal(2);
      });

    it('of 4 million, all but 255: what rests there is found without a look at the others', async () => {
      scene.world.restMs = 600_000;
      const subnet = '10.64.0.0/10';
      const operator = await scene.world.operator(subnet);
      await operator.exclude('10.64.0.0-10.127.254.255');
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      const [na, nb] = [await a.network(subnet), await b.network(subnet)];
      const given: string[] = [];
      for (let at = 0; at < 255; at++) given.push((await nb.endpoint({ name: `c${at}` })).ip);
      for (const ip of given.slice(0, 2)) await nb.release(ip);
      const { reads } = a.link;
      expect((await na.endpoint({ name: 'web' })).ip).to.equal(given[0]);
      expect(a.link.reads - reads).to.be.at.most(9);
    });

    it('the gateway that networks have already stays theirs, for later networks too', async () => {
      const [na, nb, operator] = await three();
      expect((await na.gateway()).ip).to.equal('10.66.0.1');
      await operator.exclude('10.66.0.1-10.66.0.9');
      expect((await nb.gateway()).ip).to.equal('10.66.0.1');
      await scene.all(open(excluded('10.66.0.1-10.66.0.9'), ' gateway=10.66.0.1'), both, claim(1, 'shared'), [
        ...[holder(1, 'J1', 'gateway a boot-1'), holder(1, 'J2', 'gateway b boot-1')],
      ]);
    });

    it('a picks a gateway, the operator excludes it, a claims: it picks another', async () => {
      const [na, , operator] = await three();
      na.host.link.beforeNext(() => operator.exclude('10.66.0.1-10.66.0.9'));
      expect((await na.gateway()).ip).to.equal('10.66.0.10');
    });

    it('an answer that is lost, and one that another command overtakes: each does what it was asked', async () => {
      const [, , operator] = await three();
      operator.link.loseAnswer();
      expect((await operator.exclude('10.66.0.5')).changed).to.equal(true);
      const other = await scene.world.operator(S);
      operator.link.beforeNext(() => other.reserve('10.66.0.7', 'web'));
      await operator.exclude('10.66.0.6');
      expect((await operator.exclude('10.66.0.6')).changed).to.equal(false);
      await scene.all(open('excluded=10.66.0.5-10.66.0.5,10.66.0.6-10.66.0.6 reserved=10.66.0.7-web'), both);
    });

    it('taken back, as reservations and notes are, with the answer lost: done, also where no rule is left', async () => {
      const [, , operator] = await three();
      await operator.exclude('10.66.0.5');
      await operator.reserve('10.66.0.7', 'web');
      await operator.rule({ kind: 'note', text: 'printers' });
      const takenBack = [
        () => operator.include('10.66.0.5'),
        () => operator.unreserve('10.66.0.7'),
        () => operator.rule({ kind: 'note' }),
      ];
      for (const takeBack of takenBack) {
        operator.link.loseAnswer();
        expect((await takeBack()).changed).to.equal(true);
      }
      await scene.all([`${POOL} open`, 'spaces/local'], both);
      expect(await refusal(operator.include('10.66.0.5'))).to.equal(
        'bad_rule: 10.66.0.5 is no exclusion of pool 10.66.0.0/24: it has none',
      );
      expect(await refusal(operator.unreserve('10.66.0.7'))).to.equal(
        'bad_rule: 10.66.0.7 of pool 10.66.0.0/24 is not reserved',
      );
    });

    it('taken back by two operators at once: the later one is told that it is none any more', async () => {
      const [, , operator] = await three();
      const other = await scene.world.operator(S);
      await operator.exclude('10.66.0.5');
      operator.link.beforeNext(() => other.include('10.66.0.5'));
      expect(await refusal(operator.include('10.66.0.5'))).to.match(/^bad_rule: 10\.66\.0\.5 is no exclusion/);
    });

    it('a removal that is stuck on its way lands between the next look and commit: done all the same', async () => {
      const [, , operator] = await three();
      await operator.exclude('10.66.0.5');
      const stuck = operator.link.stick();
      let commits = 0;
      operator.link.beforeCommit = async () => {
        if (++commits === 2) expect(await stuck.land()).to.equal(true);
      };
      expect((await operator.include('10.66.0.5')).changed).to.equal(true);
      await scene.all([`${POOL} open`, 'spaces/local'], both);
    });
  });

  describe('reservations', () => {
    it('are for that name on whichever node, whenever it asks for any; nobody else has the address', async () => {
      const [na, nb, operator] = await three();
      await operator.reserve('10.66.0.7', 'web');
      expect((await na.endpoint({ name: 'web' })).ip).to.equal('10.66.0.7');
      await na.release('10.66.0.7');
      expect((await nb.endpoint({ name: 'web' })).ip).to.equal('10.66.0.7');
      await nb.release('10.66.0.7');
      expect(await refusal(nb.endpoint({ ip: '10.66.0.7', name: 'db' }))).to.equal(
        'reserved: address 10.66.0.7 of pool 10.66.0.0/24 is reserved for web',
      );
      for (const refused of [nb.gateway('10.66.0.7'), nb.aux('10.66.0.7')])
        expect(await refusal(refused)).to.match(/^reserved: /);
      expect(await refusal(nb.unsure('10.66.0.7'))).to.equal(
        'reserved: address 10.66.0.7 of pool 10.66.0.0/24 is reserved for web; this engine names neither: with IPAM_REQUIRE_MAC=true it names the MAC, and from version 29 on the name',
      );
      expect((await nb.endpoint({ ip: '10.66.0.7', name: 'web' })).ip).to.equal('10.66.0.7');
      expect((await na.endpoint({ ip: '10.66.0.9', name: 'web' })).ip).to.equal('10.66.0.9');
      await scene.all(open(reserved('10.66.0.7-web')), both, [
        ...[container(7, 'web', 'b', 'J2'), container(9, 'web')],
      ]);
    });

    it('for a MAC come before one for the name; also outside the range of the network, and in an exclusion', async () => {
      const [na, , operator] = await three('10.66.0.128/25');
      const mac = '02:42:0a:42:00:07';
      await operator.rule({ kind: 'reserve', address: parseAddress('10.66.0.7'), mac });
      await operator.reserve('10.66.0.8', 'web');
      await operator.exclude('10.66.0.1-10.66.0.20');
      expect((await na.endpoint({ name: 'web', mac })).ip).to.equal('10.66.0.7');
      expect((await na.endpoint({ name: 'web', mac: '02:42:0a:42:00:09' })).ip).to.equal('10.66.0.8');
      expect(last((await na.endpoint({ name: 'db' })).ip)).to.be.at.least(128);
    });

    it('a looks, the operator reserves, moves or takes back, a claims: it has what is so by then', async () => {
      const [na, nb, operator] = await three();
      na.host.link.beforeNext(() => operator.reserve('10.66.0.7', 'c1'));
      expect((await na.endpoint({ name: 'c1' })).ip).to.equal('10.66.0.7');
      await operator.reserve('10.66.0.8', 'c2');
      await nb.endpoint({ name: 'other' });
      nb.host.link.beforeNext(async () => {
        await operator.unreserve('10.66.0.8');
        await operator.reserve('10.66.0.9', 'c2');
      });
      expect((await nb.endpoint({ name: 'c2' })).ip).to.equal('10.66.0.9');
      await nb.release('10.66.0.9');
      nb.host.link.beforeNext(() => operator.unreserve('10.66.0.9'));
      expect(last((await nb.endpoint({ name: 'c2' })).ip)).to.be.below(7);
    });

    it('another container of that name is told who has the address, and gets no other', async () => {
      const [na, nb, operator] = await three();
      await operator.reserve('10.66.0.7', 'web');
      await na.endpoint({ name: 'web' });
      expect(await refusal(nb.endpoint({ name: 'web' }))).to.match(
        /^taken: address 10\.66\.0\.7 is held by web on a since \S+$/,
      );
      await na.host.loseSession();
      await scene.world.silence(nb.host, 4);
      const moved = await nb.endpoint({ name: 'web' });
      expect([moved.ip, moved.from]).to.deep.equal(['10.66.0.7', 'a']);
    });

    it('over an address that is in use are refused, but for the one that has it; over a gateway always', async () => {
      const [na, nb, operator] = await three();
      await na.gateway();
      await na.endpoint({ ip: '10.66.0.7', name: 'web' });
      expect(await refusal(operator.reserve('10.66.0.7', 'db'))).to.match(
        /^in_use: 10\.66\.0\.7 is held by web on a since \S+; stop them first, or add --keep/,
      );
      expect(await refusal(operator.reserve('10.66.0.1', 'db', true))).to.equal(
        'in_use: 10.66.0.1 is the gateway or an auxiliary address of the network',
      );
      operator.link.beforeNext(() => nb.endpoint({ ip: '10.66.0.8', name: 'c1' }));
      expect(await refusal(operator.reserve('10.66.0.8', 'db'))).to.match(/^in_use: 10\.66\.0\.8 is held by c1 on b/);
      expect((await operator.reserve('10.66.0.7', 'web')).keeping).to.deep.equal([]);
      expect((await operator.reserve('10.66.0.8', 'db', true)).keeping).to.have.length(1);
      expect(await refusal(nb.endpoint({ name: 'db' }))).to.match(/^taken: .* held by c1 on b/);
      await nb.release('10.66.0.8');
      expect((await nb.endpoint({ name: 'db' })).ip).to.equal('10.66.0.8');
      await scene.all(open(reserved('10.66.0.7-web', '10.66.0.8-db'), ' gateway=10.66.0.1'), both, claim(1, 'shared'), [
        ...[holder(1, 'J1', 'gateway a boot-1'), container(7, 'web'), container(8, 'db', 'b', 'J2')],
      ]);
    });

    it('a gateway is not picked where one is reserved, nor is one that the subnet had', async () => {
      const [na, nb, operator] = await three();
      na.host.link.beforeNext(() => operator.reserve('10.66.0.1', 'web'));
      expect((await na.gateway()).ip).to.equal('10.66.0.2');
      await na.release('10.66.0.2');
      await operator.reserve('10.66.0.2', 'db');
      expect((await nb.gateway()).ip).to.equal('10.66.0.3');
    });
  });

  describe('rules', () => {
    it('outlive the networks of the subnet, and are there before the first', async () => {
      const operator = await scene.world.operator(S);
      expect((await operator.exclude('10.66.0.1-10.66.0.9')).inUse).to.equal(false);
      await scene.all(`${RULES} ${excluded('10.66.0.1-10.66.0.9')}`);
      const a = await scene.world.host('a');
      for (let round = 0; round < 2; round++) {
        const net = await a.network(S);
        expect((await net.endpoint({ name: 'web' })).ip).to.equal('10.66.0.10');
        await net.releasePool();
      }
      await scene.all(`${RULES} ${excluded('10.66.0.1-10.66.0.9')}`);
      await operator.include('10.66.0.1-10.66.0.9');
      await scene.all();
    });

    it('a looks, the operator excludes, a makes the pool: it looks again, and the pool goes by them', async () => {
      const [a, operator] = [await scene.world.host('a'), await scene.world.operator(S)];
      a.link.beforeNext(() => operator.exclude('10.66.0.1-10.66.0.9'));
      const net = await a.network(S);
      expect(a.link.lost).to.equal(1);
      expect((await net.endpoint({ name: 'web' })).ip).to.equal('10.66.0.10');
      await scene.all(open(excluded('10.66.0.1-10.66.0.9')), joined('J1'), container(10, 'web'));
    });

    it('the operator looks, a makes the pool, the operator excludes: the pool has them', async () => {
      const [a, operator] = [await scene.world.host('a'), await scene.world.operator(S)];
      let net: Net | undefined;
      operator.link.beforeNext(async () => {
        net = await a.network(S);
      });
      expect((await operator.exclude('10.66.0.1-10.66.0.9')).inUse).to.equal(true);
      expect((await net!.endpoint({ name: 'web' })).ip).to.equal('10.66.0.10');
      await scene.all(open(excluded('10.66.0.1-10.66.0.9')), joined('J1'), container(10, 'web'));
    });

    it('an automatic pool goes by what is laid down for the subnet that it gets', async () => {
      const operator = await scene.world.operator(S);
      await operator.exclude('10.66.0.1-10.66.0.9');
      const a = await scene.world.host('a', { predefined: '10.66.0.0/16/24' });
      const net = await a.anyNetwork();
      expect((await net.endpoint({ name: 'web' })).ip).to.equal('10.66.0.10');
    });

    it('b joins a pool whose rules change between its look and its join: it joins by the new ones', async () => {
      const [a, b] = [await scene.world.host('a'), await scene.world.host('b')];
      await a.network(S);
      const operator = await scene.world.operator(S);
      b.link.beforeNext(() => operator.exclude('10.66.0.1-10.66.0.9'));
      expect((await (await b.network(S)).endpoint({ name: 'web' })).ip).to.equal('10.66.0.10');
    });

    it('a pool that is being removed is left alone by a command, and is made anew by its rules', async () => {
      const [na, nb, operator] = await three();
      await nb.releasePool();
      await na.endpoint({ name: 'web' });
      // The removal stops when the pool is closing, and the command comes in between.
      let commits = 0;
      na.host.link.beforeCommit = async () => {
        if (++commits === 2) await operator.exclude('10.66.0.1-10.66.0.9');
      };
      await na.releasePool();
      await scene.all(`${RULES} ${excluded('10.66.0.1-10.66.0.9')}`);
      expect((await (await nb.host.network(S)).endpoint({ name: 'web' })).ip).to.equal('10.66.0.10');
    });

    it('a gateway that is chosen leaves the rules in the pool’s record as they are', async () => {
      const [na, , operator] = await three();
      await operator.exclude('10.66.0.20');
      await na.gateway();
      await scene.all(open(excluded('10.66.0.20-10.66.0.20'), ' gateway=10.66.0.1'), both, claim(1, 'shared'), [
        holder(1, 'J1', 'gateway a boot-1'),
      ]);
      await operator.include('10.66.0.20');
      await scene.all(LED, both, claim(1, 'shared'), holder(1, 'J1', 'gateway a boot-1'));
    });

    it('are refused for what is no pool beside one that overlaps, and change nothing when tried', async () => {
      const [, , operator] = await three();
      const half = await scene.world.operator('10.66.0.0/25');
      expect(await refusal(half.exclude('10.66.0.5'))).to.equal(
        'overlap: 10.66.0.0/25 is no pool of space local: it overlaps with pool 10.66.0.0/24',
      );
      const { changed, rules } = await operator.rule({ kind: 'note', text: 'printers' }, false, true);
      expect([changed, rules.note]).to.deep.equal([true, 'printers']);
      await scene.all([`${POOL} open`, 'spaces/local'], both);
    });
  });
}
