// `npm start` and the command `etcd-ipam` as processes, on a real etcd: what survives which end, and the exit codes.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Releasers } from '../../src/process/releasers.js';
import { OwnEtcd } from '../../src/quickstart/own-etcd.js';
import { choosePort } from '../../src/quickstart/ports.js';
import { findProgram } from '../../src/quickstart/programs.js';
import { eventually, type Outcome, Program, run, sleep } from '../support/process.js';
import { PROGRAM, QUICKSTART } from '../support/program.js';
import { skip } from '../support/skip.js';

const READY = /etcd-ipam is ready/;

describe('the quickstart', () => {
  let folder: string;
  let programs: Program[];
  const at = (...parts: string[]) => join(folder, ...parts);

  before(function () {
    if (!findProgram('etcd', process.env.PATH)) skip(this, 'etcd is not installed');
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'etcd-ipam-start-'));
    programs = [];
  });
  afterEach(async () => {
    for (const program of programs) await program.stop();
    // What a killed start leaves behind is found by the pid that it wrote down.
    const left = etcdPid();
    if (left !== undefined) process.kill(left, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  const environment = (more: Record<string, string> = {}) => ({
    XDG_STATE_HOME: at('state'),
    IPAM_SOCKET: at('p.sock'),
    IPAM_NODE: 'host-a',
    IPAM_MACHINE_ID: 'machine-a',
    ETCD_ENDPOINTS: undefined,
    ...more,
  });
  const start = async (more?: Record<string, string>) => {
    const options = { env: environment(more), ready: READY, timeoutMs: 30_000 };
    const program = await Program.start(process.execPath, QUICKSTART, options);
    programs.push(program);
    return program;
  };
  const command = (args: string[], more?: Record<string, string>): Promise<Outcome> =>
    run(process.execPath, [...PROGRAM, ...args], { env: environment(more) });
  const etcdUrl = (program: Program) => /^etcd: (http:\S+?),/m.exec(program.output)![1]!;

  /** The pid in the pid file, while it is an etcd of this test. */
  function etcdPid(): number | undefined {
    try {
      const pid = Number(readFileSync(at('state/etcd-ipam/etcd.pid'), 'utf8').split(' ')[0]);
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) ? pid : undefined;
    } catch {
      return undefined;
    }
  }

  it('serves with an etcd of its own, and at SIGTERM ends both and takes the socket away', async () => {
    const program = await start();
    expect(etcdPid()).to.be.a('number');
    expect(await ask(at('p.sock'), 'RequestPool', pool)).to.include({ Pool: '10.67.0.0/24' });
    expect(await program.stop()).to.equal(0);
    expect(etcdPid()).to.equal(undefined);
    expect(existsSync(at('p.sock'))).to.equal(false);
  });

  it('prints curl commands that work as printed, with the claim between them', async () => {
    const program = await start();
    const printed = program.output.split('\n').filter((line) => line.startsWith('  $ '));
    const script = printed.map((line) => line.slice(4)).join('\n');
    const { code, stdout } = await run('sh', ['-e', '-c', script]);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^\{"PoolID":"[^"]+","Pool":"10\.67\.0\.0\/24"/);
    expect(stdout).to.match(/\n\{"Address":"10\.67\.0\.\d+\/24"/);
    expect(stdout).to.match(/\n\/etcd-ipam\/claims\/local\/\S*\n\{.*"node":"host-a"/);
    expect(stdout).to.match(/\n\{\}\n$/);
  });

  it('stopped while its etcd is starting ends that too', async () => {
    const program = await Program.start(process.execPath, QUICKSTART, { env: environment() });
    programs.push(program);
    await eventually('etcd has been started', etcdPid, 30_000, 5);
    program.signal('SIGINT');
    expect(await program.exited).to.equal(0);
    expect(program.output).not.to.match(READY);
    expect(etcdPid()).to.equal(undefined);
  });

  it('keeps what was given over a stop and a start', async () => {
    const first = await start();
    const { PoolID } = await ask(at('p.sock'), 'RequestPool', pool);
    const given = await ask(at('p.sock'), 'RequestAddress', { PoolID, Address: '', Options: {} });
    await first.stop();
    await start();
    const again = await ask(at('p.sock'), 'RequestAddress', { PoolID, Address: '', Options: {} });
    expect(again.Address).to.match(/^10\.67\.0\.\d+\/24$/);
    expect(again.Address).not.to.equal(given.Address);
  });

  it('killed with -9 leaves an etcd, which the next start replaces, with all that was in it', async () => {
    const first = await start();
    const { PoolID } = await ask(at('p.sock'), 'RequestPool', pool);
    first.signal('SIGKILL');
    await first.exited;
    const left = etcdPid();
    expect(left).to.be.a('number');
    const second = await start();
    expect(second.output).to.contain(`Stopping the etcd (pid ${left}) of an earlier start that was killed`);
    expect(etcdPid()).to.be.a('number').that.is.not.equal(left);
    const given = await ask(at('p.sock'), 'RequestAddress', { PoolID, Address: '', Options: {} });
    expect(given.Address).to.match(/^10\.67\.0\.\d+\/24$/);
  });

  it('starts its etcd again when that ends', async () => {
    const program = await start();
    const first = etcdPid()!;
    process.kill(first, 'SIGKILL');
    await program.prints(/etcd has ended and is started again/);
    for (let waited = 0; etcdPid() === first || etcdPid() === undefined; waited += 50) {
      expect(waited).to.be.below(5_000);
      await sleep(50);
    }
    // A call waits for the etcd that is starting, within its deadline of 5 s.
    expect(await ask(at('p.sock'), 'RequestPool', pool)).to.include({ Pool: '10.67.0.0/24' });
  });

  it('refuses to use the state of another that is running, and leaves it alone', async () => {
    const first = await start();
    const { code, stderr } = await run(process.execPath, QUICKSTART, { env: environment() });
    expect(code).to.equal(1);
    expect(stderr).to.contain(`another npm start (pid ${first.pid}) uses ${at('state/etcd-ipam')}: stop it, or give`);
    expect(await ask(at('p.sock'), 'RequestPool', pool)).to.include({ Pool: '10.67.0.0/24' });
  });

  it('with ETCD_ENDPOINTS serves from there, and starts and stops no etcd', async () => {
    const first = await start();
    const shared = { ETCD_ENDPOINTS: etcdUrl(first), XDG_STATE_HOME: at('other'), IPAM_SOCKET: at('q.sock') };
    const second = await start({ ...shared, IPAM_NODE: 'host-b', IPAM_MACHINE_ID: 'machine-b' });
    expect(existsSync(at('other'))).to.equal(false);
    expect(await ask(at('q.sock'), 'RequestPool', pool)).to.include({ Pool: '10.67.0.0/24' });
    expect(await second.stop()).to.equal(0);
    expect(etcdPid()).to.be.a('number');
  });

  it('checks all settings before it starts anything', async () => {
    const wrong = environment({ IPAM_DEADLINE: '5 minutes', LOG_LEVEL: 'loud' });
    const { code, stderr } = await run(process.execPath, QUICKSTART, { env: wrong });
    expect(code).to.equal(1);
    expect(stderr).to.equal(
      'etcd-ipam: 2 settings are wrong:\n' +
        '  IPAM_DEADLINE is "5 minutes": a duration between 500ms and 60s such as 5s\n' +
        '  LOG_LEVEL is "loud": one of trace, debug, info, warn, error, fatal, silent\n',
    );
    expect(existsSync(at('state'))).to.equal(false);
  });

  it('does not start over a socket that another process serves, and ends the etcd it started', async () => {
    const first = await start();
    const { code, stderr } = await run(process.execPath, QUICKSTART, {
      env: environment({ XDG_STATE_HOME: at('other') }),
    });
    expect(code).to.equal(1);
    expect(stderr).to.contain(`${at('p.sock')} is served by another process`);
    expect(existsSync(at('other/etcd-ipam/etcd.pid'))).to.equal(false);
    expect(first.running).to.equal(true);
  });

  describe('and the command etcd-ipam', () => {
    it('status exits 0 with three lines while all is well, and 1 once the plugin has stopped', async () => {
      const program = await start();
      const shared = { ETCD_ENDPOINTS: etcdUrl(program) };
      const well = await command(['status'], shared);
      expect(well.stdout).to.match(
        /^plugin {2}ok {6}\S+p\.sock\netcd {4}ok {6}http:\S+ in \d+ ms\nsession ok {6}node host-a since 20\S+Z\n$/,
      );
      expect(well.code).to.equal(0);

      const other = await command(['status', '--json'], { ...shared, IPAM_NODE: 'host-b', IPAM_SOCKET: at('no.sock') });
      const { plugin, etcd, session } = JSON.parse(other.stdout);
      expect(plugin).to.deep.equal({ ok: false, text: `${at('no.sock')}: ENOENT` });
      expect(etcd.ok).to.equal(true);
      expect(session).to.deep.equal({ ok: false, text: 'node host-b has none' });
      expect(other.code).to.equal(1);
    });

    it('status exits 1 when etcd is away, and does not wait for it', async () => {
      const began = performance.now();
      const { code, stdout } = await command(['status'], { ETCD_ENDPOINTS: 'http://127.0.0.1:1' });
      expect(code).to.equal(1);
      expect(stdout).to.match(/^etcd {4}FAILED {2}http:\/\/127\.0\.0\.1:1: /m);
      expect(performance.now() - began).to.be.below(20_000);
    });

    it('serve takes settings from a file, logs JSON lines on stdout, and answers while etcd is away', async () => {
      writeFileSync(at('settings.env'), 'IPAM_SWARM=blue\nETCD_ENDPOINTS=http://127.0.0.1:1\n');
      const env = environment();
      const args = [...PROGRAM, 'serve', '--env-file', at('settings.env')];
      const program = await Program.start(process.execPath, args, { env, ready: /"msg":"listening"/ });
      programs.push(program);
      expect(await ask(at('p.sock'), 'GetCapabilities', {})).to.have.property('RequiresMACAddress', false);
      expect(await program.stop()).to.equal(0);
      for (const line of program.output.trim().split('\n')) expect(JSON.parse(line)).to.include({ node: 'host-a' });
      expect(program.output).to.contain('"etcd":["http://127.0.0.1:1"]').and.contain('"msg":"stopping on SIGTERM"');
    });

    it('serve answers a call of its first 15 s once etcd has come, 2 s after it, with a deadline of 500 ms', async () => {
      const port = await choosePort(0, () => {});
      const env = environment({ ETCD_ENDPOINTS: `http://127.0.0.1:${port}`, IPAM_DEADLINE: '500ms' });
      const spawned = performance.now();
      const program = await Program.start(process.execPath, [...PROGRAM, 'serve'], { env, ready: /"msg":"listening"/ });
      programs.push(program);
      const asked = ask(at('p.sock'), 'RequestPool', pool);
      await sleep(2_000);
      const etcd = findProgram('etcd', process.env.PATH)!;
      const releasers = new Releasers();
      try {
        await OwnEtcd.start({ etcd, folder: at('late'), say: () => {}, preferredPort: port, releasers });
        expect(await asked).to.include({ Pool: '10.67.0.0/24' });
      } finally {
        await releasers.release();
      }
      // Those 15 s over, the deadline is what was set.
      await sleep(spawned + 16_000 - performance.now());
      const began = performance.now();
      expect(await ask(at('p.sock'), 'RequestPool', pool)).to.have.property('Err');
      expect(performance.now() - began).to.be.below(4_500);
    });

    it('serve with bad settings exits 1 with one message and no stack', async () => {
      const { code, stdout, stderr } = await command(['serve'], { IPAM_SESSION_TTL: '1s' });
      expect({ code, stdout, stderr }).to.deep.equal({
        code: 1,
        stdout: '',
        stderr:
          'etcd-ipam: 1 setting is wrong:\n' +
          '  IPAM_SESSION_TTL is "1s": a duration in whole seconds between 2s and 5m such as 15s\n',
      });
    });
  });
});

const pool = { AddressSpace: 'local', Pool: '10.67.0.0/24', SubPool: '', Options: {}, V6: false };

function ask(socketPath: string, call: string, body: object): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method: 'POST', path: `/IpamDriver.${call}`, agent: false }, (reply) => {
      let text = '';
      reply.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      reply.on('end', () => resolve(JSON.parse(text) as Record<string, unknown>));
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}
