// `npm start` beside a real engine: the commands that it prints, run as they are printed; and its etcd in a container.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Engine, startEngine } from '../support/engine.js';
import { makeEtcdImage } from '../support/image.js';
import { Machine } from '../support/machine.js';
import type { Program } from '../support/process.js';
import { QUICKSTART } from '../support/program.js';
import { needPrivateHost } from '../support/skip.js';

const READY = /Ctrl-C stops/;

describe('the quickstart beside a real engine', function () {
  this.timeout(240_000);
  let folder: string;
  let machine: Machine | undefined;
  let engine: Engine;
  let program: Program | undefined;

  before(async function () {
    needPrivateHost(this);
    folder = mkdtempSync(join(tmpdir(), 'quickstart-'));
    machine = await Machine.start('newcomer');
    engine = await startEngine({ place: machine });
  });
  afterEach(async () => void (await program?.stop()));
  after(async () => {
    await engine?.[Symbol.asyncDispose]();
    await machine?.[Symbol.asyncDispose]();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  const environment = () => ({ XDG_STATE_HOME: join(folder, 'state'), DOCKER_HOST: engine.host });
  /** A PATH of its own is given by `env`, since what enters the machine is found on the test's. */
  const start = (env: Record<string, string>, path = process.env.PATH) =>
    machine!.start('env', [`PATH=${path}`, process.execPath, ...QUICKSTART], { env, ready: READY, timeoutMs: 60_000 });
  const printedBy = ({ output }: Program) =>
    output
      .split('\n')
      .filter((line) => line.startsWith('  $ '))
      .map((line) => line.slice(4));

  it('prints a recipe for an image and commands that lead to a claim and back, and they all work', async () => {
    program = await start(environment());
    const recipe = /^(tar .*busybox)\)$/m.exec(program.output)![1]!;
    await machine!.must('sh', ['-e', '-c', recipe], { env: environment() });
    const script = printedBy(program).join('\n');
    const { code, stdout, stderr } = await machine!.run('sh', ['-e', '-c', script], { env: environment() });
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/inet 10\.66\.0\.\d+\/24/);
    const claims = [...stdout.matchAll(/^\/etcd-ipam\/claims\/local\/\S*010\.066\.000\.000-24\/(\S+)$/gm)];
    expect(claims.length, stdout).to.be.at.least(1);
    // All is given back: the same commands work once more.
    const again = await machine!.run('sh', ['-e', '-c', script], { env: environment() });
    expect(again.code, again.stderr).to.equal(0);
  });

  it('without etcd and apt runs etcd in a container, whose volume keeps what was given', async () => {
    const path = join(folder, 'bin');
    mkdirSync(path);
    symlinkSync(await machine!.must('sh', ['-c', 'command -v docker']), join(path, 'docker'));
    await makeEtcdImage(engine, 'etcd:here');
    const env = {
      ...environment(),
      XDG_STATE_HOME: join(folder, 'none'),
      ETCD_IPAM_ETCD_IMAGE: 'etcd:here',
    };
    program = await start(env, path);
    expect(program.output).to.contain('running etcd:here as container etcd-ipam-etcd');
    const reading = printedBy(program).find((line) => line.includes('claims/'))!;
    expect(reading).to.equal('docker exec etcd-ipam-etcd etcdctl get --prefix /etcd-ipam/claims/');
    await engine.must('network', 'create', '--ipam-driver', 'etcd-ipam', '--subnet', '10.68.0.0/24', 'kept');
    const claims = await machine!.must('sh', ['-c', reading], { env: environment() });
    expect(claims).to.contain('010.068.000.000-24');
    expect(await program.stop()).to.equal(0);
    expect(await engine.must('ps', '--all', '--quiet', '--filter', 'name=etcd-ipam-etcd')).to.equal('');

    program = await start(env, path);
    expect(await machine!.must('sh', ['-c', reading], { env: environment() })).to.equal(claims);
    await engine.must('network', 'rm', 'kept');
  });
});
