// README's recipes for etcdctl and the commands that it shows, pasted as written into a shell beside drivers that work: each says, or
// does, what README says that it does.
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { eventually, type Outcome, Program, run } from '../support/process.js';
import { PROGRAM } from '../support/program.js';
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

/** Words in README's text that are to be typed. */
function quoted(pattern: RegExp): string {
  return pattern.exec(readme)![1]!.replaceAll('\\|', '|').replaceAll('\n', ' ');
}

/** Without times and ids. */
function plain(text: string): string {
  return text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').replace(/\b[0-9a-f]{16}\b/g, 'ID');
}

describe('README’s recipes', function () {
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

  it('etcd-ipam pools, who and claims print what README shows', async () => {
    for (const node of ['a', 'b']) {
      const driver = await start(node);
      const PoolID = await joined(driver, '10.66.0.0/29');
      await take(driver, PoolID, GATEWAY);
      await take(driver, PoolID, named(`web-${node}`));
    }
    for (const line of [typed('etcd-ipam pools'), typed('etcd-ipam who ')])
      expect(plain(await printed(line))).to.equal(plain(shownBelow(line)));
    expect(await printed(typed('etcd-ipam claims '))).to.match(/^SPACE.*\n.*10\.66\.0\.3 .* web-b .*\n$/);
    const nodes = typed('etcd-ipam nodes');
    expect((await printed(nodes)).split(/ +/).slice(0, 3)).to.deep.equal(shownBelow(nodes).split(/ +/).slice(0, 3));
    expect(await printed(typed('etcd-ipam check'))).to.match(/^nothing is wrong|^no finding|^0 findings/);
  });

  it('etcdctl lists what is taken, by whom, how full, who shares it and who is alive, and shows what changes', async () => {
    const { driver, PoolID } = await seven();
    const keys = await printed(typed('etcdctl get --prefix /etcd-ipam/claims/ '));
    expect(
      keys.match(/^\/etcd-ipam\/claims\/local\/v4\/010\.066\.000\.000-24\/010\.066\.000\.00[1-7]$/gm),
    ).to.have.length(7);
    const who = await printed(typed('etcdctl get /etcd-ipam/claims/'));
    expect(JSON.parse(who.split('\n')[1]!)).to.include({ kind: 'endpoint', node: 'host-a', name: 'web-7' });
    expect(await printed(typed('etcdctl get --prefix /etcd-ipam/claims/local/'))).to.equal('7\n');
    expect(await printed(typed('etcdctl get --prefix /etcd-ipam/joins/'))).to.match(
      /010\.066\.000\.000-24\/[\s\S]*"node":"host-a"/,
    );
    expect(await printed(typed('etcdctl get --prefix /etcd-ipam/sessions/'))).to.match(
      /^\/etcd-ipam\/sessions\/host-a\//,
    );
    const watch = typed('etcdctl watch ').replace(/ +#.*/, '');
    await using watching = await Program.start('bash', ['-c', `exec ${watch}`], { env: env() });
    await eventually('a change is shown', async () => {
      const { Address } = await take(driver, PoolID);
      await call(driver, 'ReleaseAddress', { PoolID, Address: Address.split('/')[0] });
      return /^PUT\n\/etcd-ipam\/claims\/local\/v4\/010\.066\.000\.000-24\/010\.066\.000\.\d+$/m.test(watching.output);
    });
  });

  it('etcdctl shows what rests after it was given back', async () => {
    const { driver, PoolID } = await seven({ IPAM_COOLDOWN: '10m' });
    await call(driver, 'ReleaseAddress', { PoolID, Address: '10.66.0.7' });
    const resting = await printed(quoted(/`(etcdctl get --prefix \/etcd-ipam\/claims\/ \| grep [^`]*)`/));
    expect(resting).to.match(
      /^\/etcd-ipam\/claims\/local\/v4\/010\.066\.000\.000-24\/010\.066\.000\.007\n\{.*"cooling".*\}\n$/,
    );
  });

  it('etcdctl frees an address by hand, but not if another has it by then', async () => {
    const { driver, PoolID } = await seven();
    const key = typed('key=');
    const look = typed('etcdctl get $key');
    const free = typed('printf ');
    const [version] = /(?<="ModRevision" : )\d+/.exec(await printed(key, look))!;
    expect(shownBelow(look)).to.match(/^"ModRevision" : 48213\n"Value" : /);
    const now = free.replace('48213', version);
    expect(now).to.not.equal(free);
    await call(driver, 'ReleaseAddress', { PoolID, Address: '10.66.0.7' });
    expect(await take(driver, PoolID, named('other'), '10.66.0.7')).to.have.property('Address');
    expect(await printed(key, now)).to.match(/^FAILURE/);
    const [latest] = /(?<="ModRevision" : )\d+/.exec(await printed(key, look))!;
    expect(await printed(key, free.replace('48213', latest))).to.match(/^SUCCESS/);
    expect((await paste('etcd-ipam who 10.66.0.7')).code).to.equal(1);
    expect(await take(driver, PoolID, named('new'), '10.66.0.7')).to.have.property('Address', '10.66.0.7/24');
  });

  it('a mark that was put by hand holds grants back until etcd-ipam resume', async () => {
    const { driver, PoolID } = await seven();
    await printed(quoted(/`(etcdctl put\s+\/etcd-ipam\/restored '\{\}')`/));
    const refused = async () => (await take(driver, PoolID)).Err as string | undefined;
    expect(await refused()).to.match(/^etcd was restored from a backup/);
    expect(await printed(typed('etcd-ipam resume --dry-run'))).to.match(
      /^etcd was restored from a backup[\s\S]*host-a/,
    );
    expect(await refused()).to.match(/^etcd was restored/);
    await printed('etcd-ipam resume');
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
    await printed(quoted(/`(rev=\$\(etcdctl [^`]*)`/));
    await eventually('addresses are given', async () => (await take(driver, PoolID)).Address !== undefined);
  });
});
