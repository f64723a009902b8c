// A newcomer's first minutes: a fresh clone, `npm start`, the commands that it prints, `npm test`, Ctrl-C, and again.
import { appendFileSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { findProgram } from '../../src/quickstart/programs.js';
import { type Engine, startEngine } from '../support/engine.js';
import { makeImage } from '../support/image.js';
import { processesNaming } from '../support/kill.js';
import { identity, Newcomer } from '../support/newcomer.js';
import { PluginClient } from '../support/plugin-client.js';
import { eventually, type Program, sleep, tail } from '../support/process.js';
import { typedUnder } from '../support/readme.js';
import { needPrivateHost, skip } from '../support/skip.js';

const READY = /Ctrl-C stops/;
const [START, ...TRIED] = typedUnder('Try it') as [string, ...string[]];
const UNIT = 'test/unit/quickstart/ports.test.ts';

describe('a fresh clone', function () {
  this.timeout(300_000);
  let newcomer: Newcomer | undefined;
  let engine: Engine | undefined;
  let clone: string;
  let job: Program;
  let mayInstall = true;

  before(async function () {
    needPrivateHost(this);
    newcomer = await Newcomer.arrive();
    mayInstall = await newcomer.outside.registryAnswers();
  });
  after(async () => {
    await engine?.[Symbol.asyncDispose]();
    await newcomer?.[Symbol.asyncDispose]();
  });

  const npmStart = (variables = {}) => newcomer!.job(clone, START, variables);
  /** The driver ends with 0; npm, which a terminal's Ctrl-C reaches too, with 130 or that. */
  const pressCtrlC = async () => {
    process.kill(-job.pid, 'SIGINT');
    await eventually('driver and etcd end', () => driverPids().length + etcdPids().length === 0, 10_000);
    expect(await job.exited).to.be.oneOf([0, 130]);
  };
  const driverPids = () => processesNaming('dist/quickstart/index.js').filter((pid) => command(pid).startsWith('node'));
  const etcdPids = () => processesNaming(`--data-dir=${join(newcomer!.state, 'etcd')}`);
  const ask = (call: string, body: object = {}) =>
    new PluginClient({ socketPath: join(newcomer!.machine.pluginSockets, 'etcd-ipam.sock') }).call(call, body);
  const type = async (line: string) => {
    const { code, stdout, stderr } = await newcomer!.shell(clone, line);
    if (code !== 0) throw new Error(`${line} ended with ${code}: ${tail(stdout + stderr, 20)}`);
    return stdout.trim();
  };
  const claims = () => type(printed(job).find((line) => line.includes('get --prefix'))!);

  for (const NODE_ENV of [undefined, 'production'])
    it(`serves within 3 minutes of npm start with NODE_ENV ${NODE_ENV ?? 'unset'}, and ends within 10 s of Ctrl-C`, async function () {
      clone = await newcomer!.clone(`clone-${NODE_ENV ?? 'unset'}`);
      expect(existsSync(join(clone, 'node_modules'))).to.equal(false);
      job = await npmStart(NODE_ENV && { NODE_ENV });
      await job.prints(READY, 180_000).catch((cause: Error) => {
        if (mayInstall || process.env.CI || !/npm ci failed/.test(job.output)) throw cause;
        skip(this, "no package registry within reach, and npm's cache does not hold what is needed");
      });
      expect(job.output).to.contain('prepare: installing packages (npm ci)').and.contain('etcd-ipam is ready');
      expect((await ask('/IpamDriver.GetCapabilities')).status).to.equal(200);
      await pressCtrlC();
      expect(existsSync(join(newcomer!.machine.pluginSockets, 'etcd-ipam.sock'))).to.equal(false);
    });

  describe('that has been started once', () => {
    before(async () => {
      engine = await startEngine({ place: newcomer!.machine });
      await newcomer!.machine.must('ln', ['-s', engine.host.replace('unix://', ''), '/run/docker.sock']);
      job = await npmStart({ NODE_ENV: 'production' });
      await job.prints(READY, 120_000);
    });

    it('starts again without an install or a build', () => {
      expect(job.output).not.to.contain('prepare:');
    });

    it('prints commands that work in one shell: containers get addresses, etcdctl shows them, and none stays', async () => {
      await type(/^(tar .*busybox)\)$/m.exec(job.output)![1]!);
      const lines = printed(job);
      const cleanUp = lines.findIndex((line) => line.startsWith('docker rm'));
      const inspect =
        "echo demo-1 has $(docker inspect --format '{{.NetworkSettings.Networks.demo.IPAddress}}' demo-1)";
      const said = await type(['set -e', ...lines.slice(0, cleanUp), inspect, ...lines.slice(cleanUp)].join('\n'));
      expect(said).to.match(/^ +inet 10\.66\.0\.\d+\/24/m);
      const last = /^demo-1 has 10\.66\.0\.(\d+)$/m.exec(said)![1]!.padStart(3, '0');
      expect(said).to.match(
        new RegExp(`^/etcd-ipam/claims/\\S*010\\.066\\.000\\.000-24/010\\.066\\.000\\.${last}$`, 'm'),
      );
      expect(said).to.match(/^\{"Address":"10\.67\.0\.\d+\/24"/m);
      expect(await claims()).to.equal('');
    });

    it('does what README shows behind it', async () => {
      const [, endpoint] = /--endpoints (\S+)/.exec(printed(job).find((line) => line.includes('get --prefix'))!)!;
      const lines = TRIED.map((line) => line.replace('http://127.0.0.1:2379', endpoint!));
      // One that has `ip`, as the registry's has.
      await makeImage(engine!);
      const said = await type(['set -e', ...lines].join('\n'));
      expect(said).to.match(/^ {4}inet 10\.66\.0\.\d+\/24 brd 10\.66\.0\.255 scope global eth0$/m);
      const claim = (kind: string) =>
        new RegExp(`^/etcd-ipam/claims/local/v4/010\\.066\\.000\\.000-24/[\\d.]+\n\\{"kind":"${kind}",.*"token":`, 'm');
      for (const kind of ['shared', 'endpoint']) expect(said).to.match(claim(kind));
      await type('docker rm --force demo-1; docker network rm demo');
      expect(await claims()).to.equal('');
    });

    it('is left alone by prepare, a second npm start and npm test, while the server answers every call', async () => {
      const laid = () =>
        ['node_modules', 'node_modules/.etcd-ipam-lock', 'dist/main.js'].map((p) => identity(join(clone, p)));
      const before = [laid(), driverPids(), etcdPids()];
      await using calls = callAllTheTime(() => ask('/IpamDriver.GetCapabilities'));

      expect(await type('node deploy/prepare.mjs')).to.equal('');
      const second = await newcomer!.shell(clone, 'npm start');
      expect(second.code, second.stdout).to.equal(1);
      expect(second.stderr).to.match(/^etcd-ipam: another npm start \(pid \d+\) uses \S+: stop it, or/m);
      const tested = await newcomer!.shell(clone, `npm test -- ${UNIT}`, { NODE_ENV: 'production' });
      expect(tested.code, tested.stdout + tested.stderr).to.equal(0);
      expect(tested.stdout).to.match(/^[1-9]\d* passed, 0 failed$/m);

      expect(await calls.end()).to.deep.equal([]);
      expect(calls.answered).to.be.above(10);
      expect([laid(), driverPids(), etcdPids()]).to.deep.equal(before);
    });

    it('builds a changed source beside the running server, which answers every call', async () => {
      const before = [identity(join(clone, 'node_modules')), driverPids()];
      await using calls = callAllTheTime(() => ask('/IpamDriver.GetCapabilities'));
      appendFileSync(join(clone, 'src/net/address.ts'), "\nexport const changed = 'by a newcomer';\n");
      expect(await type('node deploy/prepare.mjs')).to.equal('prepare: building (tsc)');
      expect(readFileSync(join(clone, 'dist/net/address.js'), 'utf8')).to.contain('by a newcomer');
      expect(await calls.end()).to.deep.equal([]);
      expect([identity(join(clone, 'node_modules')), driverPids()]).to.deep.equal(before);
    });

    it('holds what containers have over Ctrl-C, over kill -9, and over the next starts', async () => {
      await type('docker network create --ipam-driver etcd-ipam --subnet 10.66.0.0/29 kept');
      const run = (name: string) => type(`docker run --detach --name ${name} --network kept busybox sleep 3600`);
      const keys = async () => (await claims()).split('\n').filter((line) => line.startsWith('/'));
      await run('one');
      expect(await keys()).to.have.length(2);

      await pressCtrlC();
      job = await npmStart();
      await job.prints(READY, 120_000);
      await run('two');
      expect(await keys()).to.have.length(3);

      for (const pid of driverPids()) process.kill(pid, 'SIGKILL');
      await job.exited;
      expect(etcdPids()).to.have.length(1);
      job = await npmStart();
      await job.prints(READY, 120_000);
      expect(job.output).to.contain('of an earlier start that was killed');
      expect(etcdPids()).to.have.length(1);
      await run('three');
      expect(await keys()).to.have.length(4);

      await type('docker rm --force one two three; docker network rm kept');
      expect(await claims()).to.equal('');
      await pressCtrlC();
    });

    it('without etcd, apt-get and Docker ends with 1 and says what to install', async () => {
      const bin = join(clone, 'bin');
      mkdirSync(bin);
      for (const name of ['node', 'npm', 'sh', 'env'])
        symlinkSync(findProgram(name, process.env.PATH)!, join(bin, name));
      const { code, stderr } = await newcomer!.shell(clone, 'npm start', { PATH: bin });
      expect(code).to.equal(1);
      expect(stderr).to.contain('as root: apt-get update && apt-get install etcd-server etcd-client');
      expect(etcdPids()).to.deep.equal([]);
    });
  });
});

const printed = ({ output }: Program) =>
  output
    .split('\n')
    .filter((line) => line.startsWith('  $ '))
    .map((line) => line.slice(4));

function command(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** Calls one after the other, 20 ms apart, until `end`, which resolves with what went wrong. */
function callAllTheTime(call: () => Promise<{ readonly status: number }>) {
  const wrong: string[] = [];
  let ending = false;
  const calls = { answered: 0, end, [Symbol.asyncDispose]: async () => void (await end()) };
  const done = (async () => {
    for (; !ending; await sleep(20))
      await call().then(
        ({ status }) => (status === 200 ? calls.answered++ : wrong.push(`status ${status}`)),
        (cause: Error) => wrong.push(cause.message),
      );
  })();
  async function end(): Promise<readonly string[]> {
    ending = true;
    await done;
    return wrong;
  }
  return calls;
}
