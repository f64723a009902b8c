// Bad input through the real server and over a real etcd: its sender is told what is wrong, and nothing is written.
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type EtcdFixture, startEtcd } from '../support/etcd.js';
import { run } from '../support/process.js';
import { PROGRAM } from '../support/program.js';
import { Serving } from '../support/serving.js';
import { AS, Look, WholeDriver } from '../support/whole-driver.js';
import { rows } from './bad-input.rows.js';

describe('bad input', () => {
  let etcd: EtcdFixture;
  let look: Look;
  let driver: WholeDriver;
  let known: { four: string; six: string; gone: string };

  before(async () => {
    etcd = await startEtcd();
    look = new Look(etcd.url);
    driver = await WholeDriver.start({ etcd: etcd.url, pools: '10.9.0.0/27/29' });
    const gone = await driver.pool('10.67.0.0/24');
    known = {
      four: await driver.pool('10.66.0.0/24', {}, '10.66.0.128/25'),
      six: await driver.pool('fd00:66::/64'),
      gone,
    };
    await driver.drop(gone);
    await driver.address(known.four, '10.66.0.129', AS.named('web'));
  });
  after(async () => {
    await driver?.stop();
    look?.close();
    await etcd?.stop();
  });

  const placeholder = '0'.repeat(16);
  const shape = rows({
    four: `local/10.66.0.0/24?range=10.66.0.128/25&join=${placeholder.replace('0', '1')}`,
    six: `local/fd00:66::/64?join=${placeholder}`,
    gone: `local/10.67.0.0/24?join=${placeholder}`,
  });

  it('has at least 40 rows, all different', () => {
    expect(shape.length).to.be.at.least(40);
    expect(new Set(shape.map(({ call, title }) => `${call} ${title}`)).size).to.equal(shape.length);
  });

  for (const [i, { title, call, err }] of shape.entries()) {
    it(`${call}: ${title.slice(0, 80)} → ${err === undefined ? '{}' : err.slice(0, 60)}`, async () => {
      const row = rows(known)[i]!;
      const before = await look.revision();
      const method = row.method ? { method: row.method } : {};
      const answer = await driver.call(row.call, row.body, method);
      if (row.err === undefined) expect([answer.status, answer.json]).to.deep.equal([200, {}]);
      else expect([answer.json, answer.status]).to.deep.equal([{ Err: row.err }, row.status ?? 500]);
      expect(await look.revision(), 'the revision of etcd').to.equal(before);
    });
  }

  it('masks host bits away, and grants what only looks odd', async () => {
    const pool = await driver.must('RequestPool', { AddressSpace: 'local', Pool: '10.92.0.77/24', Options: null });
    expect(pool.Pool).to.equal('10.92.0.0/24');
    const body = `{"poolid":"${pool.PoolID}","ADDRESS":"","Options":{"__proto__":"x","constructor":"y"},"Unknown":[1]}\n`;
    expect((await driver.call('RequestAddress', body)).json.Address).to.equal('10.92.0.1/24');
    expect(await driver.address(pool.PoolID, '10.92.0.9', AS.mac('02:42:0A:5C:00:09'))).to.equal('10.92.0.9');
    await driver.drop(pool.PoolID);
    expect(await look.keys('claims/local/v4/010.092')).to.deep.equal([]);
  });
});

describe('bad settings', () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'settings-'));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  const serve = (env: Record<string, string>, ...args: string[]) =>
    run(process.execPath, [...PROGRAM, 'serve', ...args], {
      env: { ETCD_ENDPOINTS: undefined, IPAM_NODE: 'web', IPAM_SOCKET: join(directory, 'ipam.sock'), ...env },
    });

  it('names each of 14 bad settings, its value and what is allowed, and does not start', async () => {
    const { code, stdout, stderr } = await serve({
      ETCD_ENDPOINTS: 'etcd:2379',
      ETCD_CA_FILE: '/nowhere/ca.pem',
      ETCD_PASSWORD: 'secret',
      IPAM_PREFIX: '/a b/',
      IPAM_NODE: '-web',
      IPAM_SOCKET: 'ipam.sock',
      IPAM_LISTEN: '9474',
      IPAM_POOLS: '10.0.0.0/8/31',
      IPAM_SESSION_TTL: '1500ms',
      IPAM_HOLD: 'forever',
      IPAM_COOLDOWN: '-1s',
      IPAM_DEADLINE: '5',
      IPAM_REQUIRE_MAC: 'maybe',
      LOG_LEVEL: 'loud',
    });
    expect(code).to.equal(1);
    expect(stdout).to.equal('');
    expect(stderr.trimEnd().split('\n')).to.deep.equal([
      'etcd-ipam: 14 settings are wrong:',
      '  ETCD_ENDPOINTS is "etcd:2379": comma-separated http://host:port, or https://host:port for all, without user or path',
      '  ETCD_CA_FILE is "/nowhere/ca.pem": a file that can be read (ENOENT)',
      '  ETCD_PASSWORD (not shown): needs ETCD_USERNAME too',
      '  IPAM_PREFIX is "/a b/": names of letters, digits, ".", "_" and "-" between slashes such as /etcd-ipam/',
      '  IPAM_NODE is "-web": 1 to 253 letters, digits or . _ -, beginning with a letter or digit',
      '  IPAM_SOCKET is "ipam.sock": an absolute path of at most 107 bytes',
      '  IPAM_LISTEN is "9474": host:port such as 192.0.2.1:9474',
      '  IPAM_POOLS is "10.0.0.0/8/31": "10.0.0.0/8/31" cuts networks of /31; the size must be between /8 and /30',
      '  IPAM_SESSION_TTL is "1500ms": a duration in whole seconds between 2s and 5m such as 15s',
      '  IPAM_HOLD is "forever": never, or a duration between 30s and 3650d such as 24h',
      '  IPAM_COOLDOWN is "-1s": a duration in whole seconds between 0s and 24h such as 30s',
      '  IPAM_DEADLINE is "5": a duration between 500ms and 60s such as 5s',
      '  IPAM_REQUIRE_MAC is "maybe": true or false (1 or 0)',
      '  LOG_LEVEL is "loud": one of trace, debug, info, warn, error, fatal, silent',
    ]);
  });

  it('refuses a line of the settings file that is none, naming its number', async () => {
    const file = join(directory, 'etcd-ipam.env');
    await writeFile(file, '# comment\nIPAM_NODE=web\nIPAM_HOLD 24h\n');
    const { code, stderr } = await serve({}, `--env-file=${file}`);
    const said = `etcd-ipam: 1 setting is wrong:\n  --env-file is "${file}": line 3 is not KEY=value\n`;
    expect([code, stderr]).to.deep.equal([1, said]);
  });

  it('refuses a settings file that is not there', async () => {
    // Node 20 looks for files of that option wherever it stands, and ends the process before a line of ours has run.
    const { code, stderr } = await serve({}, '--env-file=/nowhere/etcd-ipam.env');
    expect(code).to.be.greaterThan(0);
    expect(stderr).to.match(/\/nowhere\/etcd-ipam\.env.*(not found|ENOENT)/);
  });

  it('says what to do where it has no right to make its socket', async () => {
    const socket = join(directory, 'docker', 'plugins', 'ipam.sock');
    await chmod(directory, 0o500);
    const asNobody = process.geteuid?.() === 0;
    if (asNobody) process.seteuid!(65_534);
    const started = await Serving.start('http://127.0.0.1:1', 'web', { IPAM_SOCKET: socket })
      .then(
        () => 'started',
        (error: Error) => error.message,
      )
      .finally(() => asNobody && process.seteuid!(0));
    await chmod(directory, 0o700);
    expect(started).to.equal(`no right to make the socket ${socket}: run as root, or set IPAM_SOCKET`);
  });

  it('refuses a command that it does not know in one line, and names the nearest', async () => {
    const { code, stderr } = await run(process.execPath, [...PROGRAM, 'server']);
    expect([code, stderr]).to.deep.equal([2, "error: unknown command 'server' (Did you mean serve?)\n"]);
  });
});
