// Lines of README's text and tables that are typed on bad days, pasted as written into a shell beside drivers that work: each does
// what README says. Its recipes are in readme.test.ts.
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { eventually, type Outcome, run } from '../support/process.js';
import { PROGRAM } from '../support/program.js';
import { inText } from '../support/readme.js';
import { needProgram } from '../support/skip.js';

const readme = readFileSync('README.md', 'utf8');
const GATEWAY = { RequestAddressType: 'com.docker.network.gateway' };
const named = (name: string) => ({ 'com.docker.network.endpoint.name': name });

/** The first line that is typed in README and begins so. */
function typed(beginning: string): string {
  const line = readme.split('\n').find((one) => one.startsWith(`$ ${beginning}`));
  if (line === undefined) throw new Error(`README has no such line: $ ${beginning}`);
  return line.slice(2);
}

/** What README shows below that line, up to the next one. */
function shownBelow(line: string): string {
  return readme.split(`$ ${line}\n`)[1]!.split(/^(?:\$ |```)/m)[0]!;
}

describe('README’s lines for bad days', function () {
  this.timeout(120_000);
  let directory: string;
  let etcd: EtcdFixture;
  const drivers: DriverProcess[] = [];

  before(async function () {
    needProgram(this, 'etcdctl');
    directory = await mkdtemp(join(tmpdir(), 'recipes-'));
    const command = [process.execPath, ...PROGRAM].map((word) => `'${word}'`).join(' ');
    await writeFile(join(directory, 'etcd-ipam'), `#!/bin/sh\ncd '${resolve('.')}' && exec ${command} "$@"\n`);
    await chmod(join(directory, 'etcd-ipam'), 0o755);
  });
  beforeEach(async () => {
    etcd = await startEtcd({ args: ['--quota-backend-bytes=4194304'] });
  });
  afterEach(async () => {
    await Promise.all(drivers.splice(0).map((driver) => driver.stop()));
    await etcd?.stop();
  });
  after(() => directory && rm(directory, { recursive: true, force: true }));

  const env = () => ({
    ...{ ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: etcd.url, ETCD_ENDPOINTS: etcd.url },
    PATH: `${directory}:${process.env.PATH}`,
  });
  const paste = (...lines: string[]): Promise<Outcome> => run('bash', ['-c', lines.join('\n')], { env: env() });
  const printed = async (...lines: string[]): Promise<string> => {
    const { code, stdout, stderr } = await paste(...lines);
    expect(code, `${lines.at(-1)}: ${stdout}${stderr}`).to.equal(0);
    return stdout;
  };
  const start = async (node: string, env: Record<string, string> = {}) => {
    const driver = await DriverProcess.start(etcd.url, node, 4, env);
    drivers.push(driver);
    return driver;
  };
  const call = async ({ client }: DriverProcess, name: string, body: object) =>
    (await client.call(`/IpamDriver.${name}`, body)).json;
  const joined = async (driver: DriverProcess, Pool: string): Promise<string> =>
    (await call(driver, 'RequestPool', { AddressSpace: 'local', Pool, SubPool: '', Options: {}, V6: false })).PoolID;
  const take = async (driver: DriverProcess, PoolID: string, Options: object = {}, Address = '') =>
    call(driver, 'RequestAddress', { PoolID, Address, Options });
  /** Host-a with the gateway and the six addresses behind it. */
  const seven = async (env?: Record<string, string>) => {
    const driver = await start('host-a', env);
    const PoolID = await joined(driver, '10.66.0.0/24');
    await take(driver, PoolID, GATEWAY);
    for (let nth = 2; nth <= 7; nth++) await take(driver, PoolID, named(`web-${nth}`));
    return { driver, PoolID };
  };

  it('etcd-ipam nodes and check print what README shows', async () => {
    await seven();
    const nodes = typed(inText('etcd-ipam nodes'));
    expect((await printed(nodes)).split(/ +/).slice(0, 3)).to.deep.equal(shownBelow(nodes).split(/ +/).slice(0, 3));
    expect(await printed(typed('etcd-ipam check'))).to.match(/^nothing is wrong|^no finding|^0 findings/);
  });

  it('etcdctl shows what rests after it was given back', async () => {
    const { driver, PoolID } = await seven({ IPAM_COOLDOWN: '10m' });
    await call(driver, 'ReleaseAddress', { PoolID, Address: '10.66.0.7' });
    const resting = await printed(inText('etcdctl get --prefix /etcd-ipam/claims/ | grep -B1 \'"cooling"\''));
    expect(resting).to.match(
      /^\/etcd-ipam\/claims\/local\/v4\/010\.066\.000\.000-24\/010\.066\.000\.007\n\{.*"cooling".*\}\n$/,
    );
  });

  it('etcd-ipam claims lists what rests', async () => {
    const { driver, PoolID } = await seven({ IPAM_COOLDOWN: '10m' });
    await call(driver, 'ReleaseAddress', { PoolID, Address: '10.66.0.7' });
    const [head, ...rows] = (await printed(inText('etcd-ipam claims 10.66.0.0/24 --kind cooling')))
      .trimEnd()
      .split('\n');
    expect(head).to.match(/^SPACE +ADDRESS +KIND/);
    expect(rows).to.have.length(1);
    expect(rows[0]).to.match(/^local +10\.66\.0\.7 +cooling/);
  });

  for (const [gone, there] of [
    ['host-b', 'host-a'],
    ['host-a', 'host-b'],
  ] as const) {
    it(`what ${gone} had is refused to others until etcd-ipam evict ${gone}`, async () => {
      const [left, taker] = [await start(gone), await start(there)];
      const [of, PoolID] = [await joined(left, '10.66.0.0/24'), await joined(taker, '10.66.0.0/24')];
      await take(left, of, named('web'), '10.66.0.9');
      await left.stop();
      const asked = () => take(taker, PoolID, named('web'), '10.66.0.9');
      expect((await asked()).Err).to.match(new RegExp(`^address 10\\.66\\.0\\.9 is held .* ${gone} since`));
      const evict = inText(gone === 'host-b' ? 'etcd-ipam evict host-b' : 'etcd-ipam evict host-a');
      expect(await printed(`${evict} --dry-run`)).to.match(/10\.66\.0\.0\/24/);
      expect((await asked()).Err).to.be.a('string');
      await printed(evict);
      expect((await asked()).Address).to.equal('10.66.0.9/24');
      expect(await taker.log()).to.match(new RegExp(`"from":"${gone}"`));
    });
  }

  it('etcd-ipam pool says which rules fill a pool, and exclude --remove gives back what was left out', async () => {
    const driver = await start('host-a');
    const PoolID = await joined(driver, '10.90.0.0/29');
    await printed(
      'etcd-ipam exclude 10.90.0.0/29 10.90.0.5-10.90.0.6',
      'etcd-ipam reserve 10.90.0.0/29 10.90.0.4 --name web',
    );
    for (let nth = 1; nth <= 3; nth++) await take(driver, PoolID, named(`c-${nth}`));
    const full = 'no address left in pool 10.90.0.0/29: of 6 addresses 2 excluded and 1 reserved, all others in use';
    expect((await take(driver, PoolID)).Err).to.equal(full);
    expect(readme).to.contain(full);
    expect(await printed(inText('etcd-ipam pool 10.90.0.0/29'))).to.match(
      /10\.90\.0\.5-10\.90\.0\.6[\s\S]*10\.90\.0\.4/,
    );

    const other = await joined(driver, '10.66.0.0/24');
    await printed('etcd-ipam exclude 10.66.0.0/24 10.66.0.1-10.66.0.9 --comment routers');
    const asked = () => take(driver, other, named('db'), '10.66.0.4');
    expect((await asked()).Err).to.match(/^address 10\.66\.0\.4 is excluded from pool 10\.66\.0\.0\/24 .*: routers$/);
    await printed(inText('etcd-ipam exclude 10.66.0.0/24 10.66.0.1-10.66.0.9 --remove'));
    expect((await asked()).Address).to.equal('10.66.0.4/24');
  });

  it('a join that was removed with etcdctl del leaves what etcd-ipam check --fix puts in order', async () => {
    await seven();
    const joins = (await printed('etcdctl get --prefix /etcd-ipam/joins/ --keys-only')).trim();
    await printed(`etcdctl del ${joins}`);
    const { code, stdout } = await paste('etcd-ipam check');
    expect([code, stdout.split(':')[0]!.split('\n').at(-1)], stdout).to.deep.equal([1, 'pool-without-join']);
    await paste(inText('etcd-ipam check --fix'));
    expect(await printed('etcd-ipam check')).to.match(/^nothing is wrong|^no finding|^0 findings/);
    expect((await printed('etcdctl get --prefix /etcd-ipam/claims/ --keys-only')).trim()).to.equal('');
  });

  it('etcdctl endpoint health tells an etcd that answers from one that does not', async () => {
    const health = inText('etcdctl endpoint health');
    expect((await paste(health)).code).to.equal(0);
    await etcd.kill();
    expect((await paste(health)).code).to.not.equal(0);
  });

  it('a mark that was put by hand holds grants back until etcd-ipam resume', async () => {
    const { driver, PoolID } = await seven();
    await printed(inText("etcdctl put /etcd-ipam/restored '{}'"));
    const refused = async () => (await take(driver, PoolID)).Err as string | undefined;
    expect(await refused()).to.match(/^etcd was restored from a backup/);
    expect(await printed(inText('etcd-ipam resume --dry-run'))).to.match(
      /^etcd was restored from a backup[\s\S]*host-a/,
    );
    expect(await refused()).to.match(/^etcd was restored/);
    await printed(inText('etcd-ipam resume'));
    expect(await refused()).to.equal(undefined);
  });

  it('an etcd without space takes writes again after the line of README’s table', async () => {
    const { driver, PoolID } = await seven();
    const filler = 'x'.repeat(100_000);
    await eventually(
      'the alarm is raised',
      async () => {
        await etcd.ctl('put', 'filler', filler).catch(() => undefined);
        return (await etcd.ctl('alarm', 'list')).includes('NOSPACE');
      },
      60_000,
      0,
    );
    expect((await take(driver, PoolID)).Err).to.include('NOSPACE');
    await printed(
      inText(
        'rev=$(etcdctl endpoint status -w json | grep -o \'"revision":[0-9]*\' | head -1 | cut -d: -f2); etcdctl compact $rev; etcdctl defrag --cluster; etcdctl alarm disarm',
      ),
    );
    await eventually('addresses are given', async () => (await take(driver, PoolID)).Address !== undefined);
  });
});
