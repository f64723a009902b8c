// The driver under an etcd user of its own, made by the shipped script: what the role must allow, what is said where it does
// not, and what happens when tokens, passwords and leases go.
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openClient } from '../../src/etcd/client.js';
import { withStore } from '../../src/operator.js';
import { evictNode } from '../../src/ops/evict.js';
import { listNodes } from '../../src/ops/nodes.js';
import { type EtcdFixture, keyspace, startEtcd } from '../support/etcd.js';
import { HostedDriver } from '../support/hosted-driver.js';
import { wide } from '../support/keyspace-view.js';
import { eventually, runOrFail, sleep } from '../support/process.js';
import { TcpProxy } from '../support/proxy.js';

const PASSWORD = 'Tr0ub4dor&3';
const ROOT = { username: 'root', password: 'r00t-of-etcd' };
const GATEWAY = { RequestAddressType: 'com.docker.network.gateway' };

describe('the driver with a user of etcd', function () {
  this.timeout(120_000);
  let etcd: EtcdFixture;
  let directory: string;
  let passwordFile: string;
  let printed: string;
  const drivers: HostedDriver[] = [];
  /** Everything that any driver here has logged, what it answered included. */
  const told: string[] = [];

  const start = async (env: Record<string, string> = {}, roundMs?: number): Promise<HostedDriver> => {
    const user = { ETCD_USERNAME: 'etcd-ipam', ETCD_PASSWORD_FILE: passwordFile };
    const driver = await HostedDriver.start({ ETCD_ENDPOINTS: etcd.url, ...user, ...env }, roundMs);
    drivers.push(driver);
    return driver;
  };
  const alive = async (env: Record<string, string> = {}, roundMs?: number): Promise<HostedDriver> => {
    const driver = await start(env, roundMs);
    await driver.says(/"msg":"session alive"/);
    return driver;
  };
  /** The shipped script, with an etcdctl before the real one that writes down what it was called with. */
  const makeUser = (...args: string[]): Promise<string> => {
    const environment = {
      PATH: `${directory}:${process.env.PATH}`,
      CALLS: join(directory, 'calls'),
      ETCDCTL_ENDPOINTS: etcd.url,
      ETCDCTL_USER: `${ROOT.username}:${ROOT.password}`,
    };
    return runOrFail('sh', ['-c', 'exec deploy/etcd-role.sh "$@" 2>&1', 'sh', ...args], { env: environment });
  };

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'auth-'));
    passwordFile = join(directory, 'password');
    await writeFile(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
    const spy = join(directory, 'etcdctl');
    const real = await runOrFail('sh', ['-c', 'command -v etcdctl']);
    await writeFile(spy, `#!/bin/sh\necho "$@" >> "$CALLS"\nexec ${real} "$@"\n`);
    await chmod(spy, 0o755);
    etcd = await startEtcd({ auth: ROOT, args: ['--auth-token-ttl=1', '--bcrypt-cost=4'] });
    printed = await makeUser('--password-file', passwordFile);
  });
  afterEach(async () => {
    for (const driver of drivers.splice(0)) {
      told.push(driver.text);
      await driver.stop();
    }
    await etcd.ctl('del', '/etcd-ipam/', '--prefix');
  });
  after(async () => {
    await etcd?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  describe('deploy/etcd-role.sh', () => {
    it('prints what it does, shows no password to ps, and allows the prefix alone', async () => {
      expect(printed.split('\n').filter((line) => line.startsWith('+ '))).to.deep.equal([
        '+ etcdctl role add etcd-ipam',
        '+ etcdctl role grant-permission etcd-ipam --prefix=true readwrite /etcd-ipam/',
        '+ etcdctl user add etcd-ipam --interactive=false',
        '+ etcdctl user grant-role etcd-ipam etcd-ipam',
        '+ etcdctl role get etcd-ipam',
      ]);
      expect(printed).to.match(
        /KV Read:\n\t\[\/etcd-ipam\/, \/etcd-ipam0\).*\nKV Write:\n\t\[\/etcd-ipam\/, \/etcd-ipam0\)/,
      );
      const calls = await readFile(join(directory, 'calls'), 'utf8');
      for (const text of [printed, calls]) expect(text).to.not.contain(PASSWORD).and.not.contain(ROOT.password);
    });

    it('may be run again, takes the password from standard input, and refuses what would be wrong', async () => {
      await runOrFail('sh', ['-c', `printf '%s\\n' '${PASSWORD}' | deploy/etcd-role.sh --password-file - `], {
        env: { ETCDCTL_ENDPOINTS: etcd.url, ETCDCTL_USER: `root:${ROOT.password}` },
      });
      const refused = (...args: string[]) => makeUser(...args).catch((error: Error) => error.message);
      expect(await refused()).to.contain('give --password-file FILE');
      expect(await refused('--prefix', '/', '--no-password')).to.contain('the prefix is empty');
      expect(await refused('--user', 'a:b', '--no-password')).to.contain('"a:b" is not a name');
      const spaced = join(directory, 'spaced');
      await writeFile(spaced, 'two words\n');
      expect(await refused('--password-file', spaced)).to.contain('must be one word');
    });
  });

  it('does all it ever does with that role: session, pools, claims, releases, the past, rounds, commands, watching', async () => {
    const driver = await alive({ IPAM_HISTORY: '7d' }, 2_000);
    const pool = await driver.pool('10.20.0.0/24', 'local', { aux: '10.20.0.9' });
    expect(await driver.address(pool, '10.20.0.1', GATEWAY)).to.equal('10.20.0.1');
    expect(await driver.address(pool, '10.20.0.9')).to.equal('10.20.0.9');
    const first = await driver.address(pool);
    const automatic = await driver.pool('');
    const overlay = await driver.pool('10.21.0.0/24', 'global');
    const task = await driver.address(overlay);
    await eventually('a round began', async () => '/etcd-ipam/tick' in (await keyspace(etcd)), 30_000);
    await etcd.ctl('put', '/etcd-ipam/nodes/dead', '{"machine":"m","boot":"b","silence":1,"since":"x","token":"t"}');
    await withStore(driver.settings, async (store, by, _, watching) => {
      for await (const first of watching({ signal: new AbortController().signal })) {
        expect(first).to.deep.include({ changed: [] });
        break;
      }
      const wanted = { force: false, dryRun: false, now: new Date() };
      expect((await evictNode(store, 'dead', wanted, by)).evicted).to.equal(true);
      expect((await listNodes(store, 100, by)).nodes.map(({ node }) => node)).to.deep.equal(['dead', 'web']);
    });
    const { plugin, etcd: answered, session } = await driver.status();
    expect([plugin.ok, answered.ok, session.ok]).to.deep.equal([true, true, true]);
    await driver.release(overlay, task);
    for (const address of [first, '10.20.0.9', '10.20.0.1']) await driver.release(pool, address);
    for (const PoolID of [overlay, automatic, pool]) await driver.must('ReleasePool', { PoolID });
    const left = Object.keys(await keyspace(etcd)).filter((key) => !/\/(tick|nodes|sessions)\b/.test(key));
    expect(left.map((key) => key.split('/').slice(2, 6).join('/'))).to.deep.equal([
      ...[task].map((address) => `history/global/v4/${wide(address)}`),
      ...['10.20.0.1', first, '10.20.0.9'].map((address) => `history/local/v4/${wide(address)}`),
    ]);
    expect(driver.text).to.not.contain('may not').and.not.contain('denied');
  });

  describe('says which key it may not touch', () => {
    const asUser = async (name: string, ...grants: [string, string][]): Promise<Record<string, string>> => {
      await etcd.ctl('role', 'add', name);
      for (const [kind, prefix] of grants)
        await etcd.ctl('role', 'grant-permission', name, '--prefix=true', kind, prefix);
      await etcd.ctl('user', 'add', `${name}:${PASSWORD}`);
      await etcd.ctl('user', 'grant-role', name, name);
      return { ETCD_USERNAME: name };
    };
    const POOL = { AddressSpace: 'local', Pool: '10.20.0.0/24', SubPool: '', Options: {}, V6: false };

    for (const [what, user, kind, denied] of [
      ['without read', 'writer', 'write', 'user writer may not read /etcd-ipam/nodes/web'],
      ['without write', 'reader', 'read', 'user reader may not write /etcd-ipam/nodes/web'],
    ] as const) {
      const all =
        kind === 'write'
          ? 'user writer may not read /etcd-ipam/sessions/web/*'
          : 'user reader may not write /etcd-ipam/*';
      it(`${what}: in the log, in \`status\` and to Docker's user`, async () => {
        const driver = await start({ ...(await asUser(user, [kind, '/etcd-ipam/'])), IPAM_DEADLINE: '1s' });
        const { reason } = await driver.says(/"msg":"session unreachable"/);
        expect(reason).to.equal(`etcd at ${etcd.url.slice(7)}: ${denied}`);
        // A pool is read first, and made only with a session.
        const asked = kind === 'write' ? 'user writer may not read /etcd-ipam/spaces/local' : denied;
        expect(await driver.refusal('RequestPool', POOL)).to.equal(`etcd at ${etcd.url.slice(7)}: ${asked}`);
        const status = await driver.status();
        expect(status.etcd).to.deep.equal({ ok: false, text: `${etcd.url}: ${all}` });
      });
    }

    it('with a narrower prefix: everything but addresses, so that the container that wants one reads it', async () => {
      const parts = [
        'nodes',
        'sessions',
        'spaces',
        'pools',
        'rules',
        'joins',
        'tick',
        'brake',
        'restored',
        'reconciled',
      ];
      const grants = parts.map((part): [string, string] => ['readwrite', `/etcd-ipam/${part}`]);
      const driver = await alive(await asUser('narrow', ...grants));
      const PoolID = await driver.pool('10.20.0.0/24');
      const refusal = await driver.refusal('RequestAddress', { PoolID, Address: '10.20.0.7', Options: null });
      const key = '/etcd-ipam/claims/local/v4/010.020.000.000-24/010.020.000.007';
      expect(refusal).to.equal(`etcd at ${etcd.url.slice(7)}: user narrow may not read ${key}`);
      expect((await driver.status()).etcd.text).to.match(/: user narrow may not write \/etcd-ipam\/\*$/);
      expect(driver.log.find(({ call }) => call === 'RequestAddress')?.error).to.equal(
        `${refusal}: ${refusal?.slice(-key.length - 25)}`,
      );
    });
  });

  describe('and its token', () => {
    it('logs in again by itself when it has expired: one call, refused, log-in, again', async () => {
      const proxy = await TcpProxy.to(etcd.url);
      const client = openClient({ endpoints: [proxy.url], username: 'etcd-ipam', password: PASSWORD });
      const read = { success: [{ request_range: { key: Buffer.from('/etcd-ipam/x') } }] };
      const requests = async () => {
        const before = proxy.requests;
        await client.read(read, performance.now() + 10_000);
        return proxy.requests - before;
      };
      try {
        expect(await requests()).to.equal(2);
        expect(await requests()).to.equal(1);
        // etcd throws idle tokens away every second or so.
        await eventually('the token expired', async () => (await requests()) === 3, 60_000, 2_500);
      } finally {
        client.close();
        await proxy.close();
      }
    });

    it('goes on after two restarts of etcd under load: no call hangs, and nothing is left over', async () => {
      const driver = await alive();
      const pool = await driver.pool('10.20.0.0/24');
      let [granted, refused, longest, stop] = [0, 0, 0, false];
      const worker = async () => {
        while (!stop) {
          const began = performance.now();
          const { status, json } = await driver.client.call('/IpamDriver.RequestAddress', {
            PoolID: pool,
            Address: '',
          });
          longest = Math.max(longest, performance.now() - began);
          if (status === 200) {
            granted++;
            await driver.release(pool, json.Address.split('/')[0]);
          } else {
            refused++;
            await sleep(50);
          }
        }
      };
      const workers = [worker(), worker(), worker(), worker()];
      for (let restart = 0; restart < 2; restart++) {
        const before = granted;
        await eventually('20 more are granted', () => granted >= before + 20, 30_000);
        await etcd.restart();
      }
      const before = granted;
      await eventually('and 20 after that', () => granted >= before + 20, 30_000);
      stop = true;
      await Promise.all(workers);
      console.log(`      granted ${granted}, refused ${refused}, longest ${Math.round(longest)} ms`);
      // A plugin's first 15 s are those in which calls wait for etcd.
      expect(longest).to.be.below(15_000 + 3_000);
      await eventually(
        'all is released',
        async () => !Object.keys(await keyspace(etcd)).some((key) => key.includes('/claims/')),
        30_000,
      );
    });
  });

  describe('and its password', () => {
    it('says that it is wrong, asks again every 5 s at most, and takes the right one from the file without a restart', async () => {
      const proxy = await TcpProxy.to(etcd.url);
      const file = join(directory, 'wrong');
      await writeFile(file, 'wr0ng-passw0rd\n');
      try {
        const driver = await start({ ETCD_ENDPOINTS: proxy.url, ETCD_PASSWORD_FILE: file, IPAM_DEADLINE: '500ms' });
        const { reason } = await driver.says(/"msg":"session unreachable"/);
        expect(reason).to.equal(`etcd at ${proxy.url.slice(7)}: wrong user name or password`);
        const [from, before] = [performance.now(), proxy.requests];
        for (let call = 0; call < 5; call++) await sleep(300);
        expect(proxy.requests - before).to.be.at.most(1 + Math.ceil((performance.now() - from) / 5_000));
        await writeFile(file, PASSWORD);
        await driver.says(/"msg":"session alive"/);
        expect(driver.text).to.not.contain('wr0ng');
        await driver.pool('10.20.0.0/24');
      } finally {
        await proxy.close();
      }
    });

    it('goes on when it is changed in etcd first and in the file later', async () => {
      const file = join(directory, 'changing');
      await writeFile(file, PASSWORD);
      const driver = await alive({ ETCD_PASSWORD_FILE: file, IPAM_DEADLINE: '1s' });
      const PoolID = await driver.pool('10.20.0.0/24');
      const changed = join(directory, 'changed');
      await writeFile(changed, 'an0ther-passw0rd');
      await makeUser('--password-file', changed);
      try {
        await eventually(
          'it is refused',
          async () =>
            (await driver.refusal('RequestAddress', { PoolID, Address: '' }))?.endsWith('wrong user name or password'),
          30_000,
          200,
        );
        await writeFile(file, 'an0ther-passw0rd\n');
        await eventually('an address is given', () => driver.address(PoolID).catch(() => undefined), 30_000, 200);
        expect(driver.text).to.not.contain('an0ther');
      } finally {
        await makeUser('--password-file', passwordFile);
      }
    });

    it('keeps the one it had while the file is gone', async () => {
      const file = join(directory, 'vanishing');
      await writeFile(file, PASSWORD);
      const driver = await alive({ ETCD_PASSWORD_FILE: file });
      await rm(file);
      const from = driver.said;
      await etcd.restart();
      const { msg } = await driver.says(/the password in .* is not used/, from, 60_000);
      expect(msg).to.match(/ENOENT.*; that of before stays in use$/);
      await eventually('a pool is given', () => driver.pool('10.20.0.0/24').catch(() => undefined), 30_000, 200);
    });
  });

  it('loses nothing when others revoke its leases and compact, which a role forbids only in part', async () => {
    await etcd.ctl('role', 'add', 'other');
    await etcd.ctl('role', 'grant-permission', 'other', '--prefix=true', 'readwrite', '/other/');
    await etcd.ctl('user', 'add', `other:${PASSWORD}`);
    await etcd.ctl('user', 'grant-role', 'other', 'other');
    const other = openClient({ endpoints: [etcd.url], username: 'other', password: PASSWORD });
    const driver = await alive();
    const pool = await driver.pool('10.20.0.0/24');
    const kept = new Set<string>();
    let [stop, twice] = [false, 0];
    const worker = async () => {
      while (!stop) {
        const address = await driver.address(pool).catch(() => undefined);
        if (address === undefined) continue;
        if (kept.has(address)) twice++;
        if (kept.size < 40) kept.add(address);
        else await driver.release(pool, address);
      }
    };
    const workers = [worker(), worker(), worker()];
    const sessions = () => driver.log.filter(({ msg }) => msg === 'session alive').length;
    try {
      await eventually('40 are held', () => kept.size === 40, 30_000);
      for (let time = 0; time < 3; time++) {
        const before = sessions();
        for (const id of (await etcd.ctl('lease', 'list')).match(/^[0-9a-f]{8,}$/gm) ?? []) {
          // Refused by etcd from 3.4.? on where its own keys are none of the lease's, but not of a lease without keys.
          await other.revoke(BigInt(`0x${id}`).toString(), performance.now() + 5_000).catch(() => undefined);
          await etcd.ctl('lease', 'revoke', id).catch(() => undefined);
        }
        await etcd.ctl('compact', String(JSON.parse(await etcd.ctl('get', 'x', '-w', 'json')).header.revision));
        await eventually('the session is back', () => sessions() > before, 30_000);
      }
    } finally {
      stop = true;
      await Promise.all(workers);
      other.close();
    }
    expect(twice).to.equal(0);
    const wide = (address: string) =>
      address
        .split('.')
        .map((part) => part.padStart(3, '0'))
        .join('.');
    await eventually(
      'exactly what is held is claimed',
      async () => {
        const claims = Object.keys(await keyspace(etcd, '/etcd-ipam/claims/')).map((key) => key.split('/').at(-1)!);
        return claims.length === kept.size && [...kept].every((address) => claims.includes(wide(address)));
      },
      30_000,
    );
  });

  describe('and its log', () => {
    it('has shown no password in all this, at LOG_LEVEL=trace', () => {
      expect(told.join('').length).to.be.greaterThan(10_000);
      for (const secret of [PASSWORD, ROOT.password, 'wr0ng-passw0rd', 'an0ther-passw0rd'])
        expect(told.join('')).to.not.contain(secret);
    });
  });
});
