// What `pool`, `exclude`, `reserve`, `note` and `warn-at` print, and their exit codes, beside a driver that serves.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { type Outcome, run } from '../support/process.js';
import { AS } from '../support/whole-driver.js';

const S = '10.66.0.0/27';

describe('commands that rule', function () {
  this.timeout(240_000);
  let etcd: EtcdFixture;
  let driver: DriverProcess;
  let PoolID: string;

  before(async () => {
    etcd = await startEtcd();
    driver = await DriverProcess.start(etcd.url, 'a', 4);
    const ask = { AddressSpace: 'local', Pool: S, SubPool: '', Options: {}, V6: false };
    PoolID = (await driver.client.call('/IpamDriver.RequestPool', ask)).json.PoolID as string;
  });
  after(async () => {
    await driver?.stop();
    await etcd?.stop();
  });

  const request = async (name: string, Address = '') => {
    const body = { PoolID, Address, Options: AS.named(name) };
    const { json, text } = await driver.client.call('/IpamDriver.RequestAddress', body);
    return (json.Address as string | undefined) ?? text;
  };
  const command = (...args: string[]): Promise<Outcome> =>
    run(process.execPath, ['dist/main.js', ...args], { env: { ETCD_ENDPOINTS: etcd.url } });
  /** Exit code and what was printed, without times. */
  const said = async (...args: string[]): Promise<[number, ...string[]]> => {
    const { code, stdout, stderr } = await command(...args);
    const text = (stdout + stderr).replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').trimEnd();
    return [code ?? -1, ...text.split('\n')];
  };

  it('exclude: tried, refused with who is in the way, kept, done again, and taken back', async () => {
    expect(await request('web')).to.equal('10.66.0.1/27');
    const range = '10.66.0.1-10.66.0.9';
    expect(await said('exclude', S, '10.66.0.2/31', '--dry-run')).to.deep.equal([
      0,
      '10.66.0.2-10.66.0.3 of pool 10.66.0.0/27 in local would be excluded',
    ]);
    expect(await said('exclude', S, range, '--comment', 'routers')).to.deep.equal([
      1,
      'etcd-ipam: 10.66.0.1-10.66.0.9 of pool 10.66.0.0/27 has addresses in use (1): 10.66.0.1 is held by web on a since TIME; stop them first, or add --keep, and they keep what they have until they give it back',
    ]);
    expect(await said('exclude', S, range, '--comment', 'routers', '--keep')).to.deep.equal([
      0,
      '10.66.0.1-10.66.0.9 of pool 10.66.0.0/27 in local is excluded',
      'who has one keeps it until it is given back:',
      '  10.66.0.1 is held by web on a since TIME',
    ]);
    expect(await request('db')).to.equal('10.66.0.10/27');
    expect(await request('db', '10.66.0.4')).to.contain(
      'address 10.66.0.4 is excluded from pool 10.66.0.0/27 (10.66.0.1-10.66.0.9): routers',
    );
    expect(await said('exclude', S, range, '--comment', 'routers')).to.deep.equal([
      0,
      'pool 10.66.0.0/27 in local: it is so already',
      'who has one keeps it until it is given back:',
      '  10.66.0.1 is held by web on a since TIME',
    ]);
    expect(await said('exclude', S, '10.66.0.20', '--json')).to.deep.equal([
      0,
      JSON.stringify({
        ...{
          space: 'local',
          pool: S,
          rules: {
            excluded: [
              { from: '10.66.0.1', to: '10.66.0.9', comment: 'routers' },
              { from: '10.66.0.20', to: '10.66.0.20' },
            ],
            reserved: [],
          },
        },
        ...{ inUse: true, changed: true, dryRun: false, keeping: [] },
      }),
    ]);
    expect(await said('exclude', S, '10.66.0.20', '--remove')).to.deep.equal([
      0,
      '10.66.0.20 of pool 10.66.0.0/27 in local is excluded no more',
    ]);
    expect(await said('exclude', S, '10.66.0.20', '--remove')).to.deep.equal([
      1,
      'etcd-ipam: 10.66.0.20 is no exclusion of pool 10.66.0.0/27: 10.66.0.1-10.66.0.9',
    ]);
  });

  it('reserve: for a name or a MAC; note and warn-at; and pool, pools and who show them', async () => {
    expect(await said('reserve', S, '10.66.0.7', '--name', 'mail', '--comment', 'in the firewall')).to.deep.equal([
      0,
      '10.66.0.7 of pool 10.66.0.0/27 in local is reserved for mail',
    ]);
    expect((await command('reserve', S, '10.66.0.30', '--mac', '02:42:0A:42:00:08')).code).to.equal(0);
    expect(await request('mail')).to.equal('10.66.0.7/27');
    expect(await request('db', '10.66.0.30')).to.contain('is reserved for 02:42:0a:42:00:08');
    expect(await said('note', S, 'second floor')).to.deep.equal([
      0,
      'the note of pool 10.66.0.0/27 in local is written',
    ]);
    expect(await said('warn-at', S, '10%')).to.deep.equal([0, 'pool 10.66.0.0/27 in local is too full from 10% on']);
    expect(await said('pool', S)).to.deep.equal([
      0,
      'pool 10.66.0.0/27 in local: second floor',
      'too full from 10% on',
      'RULE      ADDRESSES            FOR                COMMENT',
      'excluded  10.66.0.1-10.66.0.9                     routers',
      'reserved  10.66.0.7            mail               in the firewall',
      'reserved  10.66.0.30           02:42:0a:42:00:08',
    ]);
    // 30 addresses: web, db and mail have one; 7 of the exclusion, and one reservation, are nobody's.
    expect(await said('pools')).to.deep.equal([
      0,
      'SPACE  POOL          SIZE  USED  COOL  EXCL  RESV  FREE  USE%                GATEWAY  NODES',
      'local  10.66.0.0/27    30     3     0     7     1    19   14%  [#.........]               1  10% reached',
    ]);
    const [row] = JSON.parse((await command('pools', '--json')).stdout);
    expect(row).to.deep.equal({
      ...{ space: 'local', pool: S, size: 30, used: 3, cooling: 0, excluded: 7, reserved: 1, free: 19 },
      ...{ warnAt: 10, full: true, nodes: ['a'], note: 'second floor' },
    });
    expect(await said('who', '10.66.0.4')).to.deep.equal([1, '10.66.0.4 of 10.66.0.0/27 in local: excluded: routers']);
    const { stdout } = await command('who', '10.66.0.7');
    expect(stdout).to.contain('  rule    reserved for mail: in the firewall\n');
    expect(await said('check')).to.deep.include.members([
      0,
      '  10.66.0.0/27 (local): 1 held against its rules until given back: 10.66.0.1',
    ]);
    expect(await said('reserve', S, '10.66.0.30', '--remove')).to.deep.equal([
      0,
      '10.66.0.30 of pool 10.66.0.0/27 in local is reserved no more',
    ]);
    for (const name of ['note', 'warn-at']) expect((await command(name, S, '--remove')).code).to.equal(0);
    expect(JSON.parse((await command('pool', S, '--json')).stdout)).to.deep.equal({
      ...{ space: 'local', pool: S, inUse: true },
      rules: {
        excluded: [{ from: '10.66.0.1', to: '10.66.0.9', comment: 'routers' }],
        reserved: [{ address: '10.66.0.7', name: 'mail', comment: 'in the firewall' }],
      },
    });
  });

  it('print what README says of them', async () => {
    const settings = { IPAM_PREFIX: '/readme/' };
    await using other = await DriverProcess.start(etcd.url, 'b', 1, settings);
    const ask = { AddressSpace: 'local', Pool: '10.66.0.0/24', SubPool: '', Options: {}, V6: false };
    expect((await other.client.call('/IpamDriver.RequestPool', ask)).status).to.equal(200);
    const [, section = ''] = readFileSync('README.md', 'utf8').split('### Pools that are changed while in use');
    const block = section.split('```console\n')[1]!.split('```')[0]!;
    const dialogue = block.split(/^\$ etcd-ipam /m).slice(1);
    expect(dialogue).to.have.length(5);
    for (const part of dialogue) {
      const [typed, ...printed] = part.trimEnd().split('\n') as [string, ...string[]];
      const env = { ETCD_ENDPOINTS: etcd.url, NODE: process.execPath, ...settings };
      const { stdout } = await run('bash', ['-c', `"$NODE" dist/main.js ${typed}`], { env });
      expect(stdout.trimEnd().split('\n'), typed).to.deep.equal(printed);
    }
  });

  it('for a subnet without a network: the rules wait, and check says so', async () => {
    const waiting = 'no network has this subnet now: the rules wait for the next one';
    expect(await said('pool', '10.70.0.0/24')).to.deep.equal([
      ...[0, 'pool 10.70.0.0/24 in local', waiting, 'it has no rules'],
    ]);
    expect(await said('exclude', '10.70.0.0/24', '10.70.0.1')).to.deep.equal([
      ...[0, '10.70.0.1 of pool 10.70.0.0/24 in local is excluded', waiting],
    ]);
    const { stdout } = await command('check', '--json');
    expect(JSON.parse(stdout).notes.map(({ kind }: { kind: string }) => kind)).to.include('rules-waiting');
    const elsewhere = `space local has a pool of this subnet, with rules of its own (--space local)`;
    expect(await said('exclude', S, '10.66.0.3', '--space', 'local.blue')).to.deep.equal([
      ...[0, `10.66.0.3 of pool ${S} in local.blue is excluded`, waiting, elsewhere],
    ]);
    const blue = JSON.parse((await command('pool', S, '--space', 'local.blue', '--json')).stdout);
    expect(blue).to.deep.include({ inUse: false, elsewhere: ['local'] });
    expect((await said('pool', S, '--space', 'global')).slice(0, 4)).to.deep.equal([
      ...[0, `pool ${S} in global`, waiting, elsewhere],
    ]);
  });

  for (const [args, code, message] of [
    [
      ['pool', '10.66.0.0/24'],
      1,
      'etcd-ipam: 10.66.0.0/24 is no pool of space local: it overlaps with pool 10.66.0.0/27',
    ],
  ] as const) {
    it(`${args.join(' ')}: one line, and exit code ${code}`, async () => {
      const answer = await command(...args);
      expect([answer.code, answer.stdout]).to.deep.equal([code, '']);
      const lines = answer.stderr.trimEnd().split('\n');
      expect(lines).to.have.length(1);
      expect(lines[0]).to.contain(message);
    });
  }

  it('3 where etcd does not answer', async () => {
    const env = { ETCD_ENDPOINTS: 'http://127.0.0.1:1', IPAM_DEADLINE: '500ms' };
    const { code, stderr } = await run(process.execPath, ['dist/main.js', 'exclude', S, '10.66.0.1'], { env });
    expect([code, stderr.split('\n').length]).to.deep.equal([3, 2]);
  });
});
