// "Install on a swarm" of README.md, typed as it stands there into terminals of three hosts; only addresses are replaced, and
// what a host has printed for the next one to type.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { type Engine, startEngine } from '../support/engine.js';
import { makeEtcdImage, makeImage, makeNodeBaseImage } from '../support/image.js';
import { Lan, type LanMachine } from '../support/lan.js';
import { addressesOf as configuredIn } from '../support/live-addresses.js';
import { here } from '../support/machine.js';
import { cloneTo } from '../support/newcomer.js';
import { openOutside } from '../support/outside.js';
import { eventually, runOrFail, tail } from '../support/process.js';
import { inText } from '../support/readme.js';
import { Shell } from '../support/shell.js';
import { needPrivateHost } from '../support/skip.js';
import { difference, type Step, stepsOf } from '../support/transcript.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const section = stepsOf(readFileSync(join(root, 'README.md'), 'utf8'), 'Install on a swarm');
const NAMES = ['host-a', 'host-b', 'host-c'];
/** What may be typed until it says what is shown. */
const LOOKS = /^docker (exec|inspect|network rm) /;
const STEP_MS = 240_000;
const LOOK_MS = 90_000;

interface Host {
  readonly machine: LanMachine;
  readonly engine: Engine;
  readonly shell: Shell;
}

describe('"Install on a swarm", as README has it', function () {
  this.timeout(300_000);
  const parts: AsyncDisposable[] = [];
  const hosts: Host[] = [];
  const typed = new Set<string>();
  let printedBefore = '';

  before(async function () {
    needPrivateHost(this);
    const lan = keep(await Lan.start());
    const home = await mkdtemp(join(tmpdir(), 'home-'));
    keep({ [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true }) });
    // The machines share their file system: what is here has been copied to all.
    const clone = join(home, 'etcd-ipam');
    await cloneTo(clone);
    for (const name of NAMES) {
      const machine = keep(await lan.machine(name));
      const engine = keep(await startEngine({ place: machine }));
      await machine.must('ln', ['-s', engine.host.replace('unix://', ''), '/run/docker.sock']);
      const variables = { PATH: process.env.PATH ?? '', HOME: home, TMPDIR: tmpdir() };
      hosts.push({ machine, engine, shell: keep(await Shell.open(machine, clone, variables)) });
    }
    await provideImages(home, keep(await openOutside(here, lan.address)).variables.HTTPS_PROXY!);
  });
  after(async () => {
    for (const part of parts) await part[Symbol.asyncDispose]();
  });

  it('three members of etcd are well', async () => {
    await follow('One etcd of three members');
    const { code, printed } = await hosts[0]!.shell.type(inText('docker logs etcd'), STEP_MS);
    expect(code).to.equal(0);
    expect(printed).to.match(/serving client requests|ready to serve client requests|serving client traffic/);
  });

  it('the plugin is built and enabled on each host, and each has its session', () => follow('The plugin on each host'));

  it('three engines are managers of one swarm', async () => {
    await follow('The swarm');
    const nodes = await hosts[0]!.engine.must('node', 'ls', '--format', '{{.Hostname}} {{.Status}} {{.ManagerStatus}}');
    expect(nodes.split('\n').sort()).to.deep.equal([
      'host-a Ready Leader',
      'host-b Ready Reachable',
      'host-c Ready Reachable',
    ]);
  });

  it('12 tasks on a macvlan network of all hosts have 12 addresses and 12 claims, and none failed', async () => {
    await follow('A macvlan network');
    await follow('A service of twelve');
    await expectNoneFailed('web', 12);
    const { printed } = await hosts[0]!.shell.type(inText('docker service ps --no-trunc web'), STEP_MS);
    expect(printed.match(/^\S+ +web\.\d+ .* Running /gm)).to.have.length(12);
    const addresses = await addressesOf('web', 'lan');
    expect(new Set(addresses).size, addresses.join(' ')).to.equal(12);
    expect((await claims('local')).sort()).to.deep.equal([...addresses, '10.66.0.1'].map(fixedWidth).sort());
  });

  it('3 tasks on an overlay network have 3 addresses of it, and a container on each host gets one', async () => {
    await follow('An overlay network');
    await expectNoneFailed('api', 3);
    const addresses = await addressesOf('api', 'over');
    expect(new Set(addresses).size, addresses.join(' ')).to.equal(3);
    expect(await claims('global')).to.include.members([...addresses, '10.80.0.1'].map(fixedWidth));
  });

  it('what is removed leaves the nodes in etcd, and then no plugin, no swarm and no container', async () => {
    await follow('To remove it');
    for (const { engine } of hosts) {
      expect(await engine.must('plugin', 'ls', '--quiet')).to.equal('');
      expect(await engine.must('ps', '--all', '--quiet')).to.equal('');
      expect(await engine.must('volume', 'ls', '--quiet')).to.equal('');
      expect(await engine.must('info', '--format', '{{.Swarm.LocalNodeState}}')).to.equal('inactive');
      const networks = await engine.must('network', 'ls', '--format', '{{.Name}}');
      expect(networks.split('\n').filter((name) => name.startsWith('lan'))).to.deep.equal([]);
    }
  });

  it('is followed to its end', () => {
    expect([...section.keys()]).to.deep.equal([...typed]);
  });

  function keep<T extends AsyncDisposable>(part: T): T {
    parts.unshift(part);
    return part;
  }

  /** What hosts with a registry in reach pull: made once, under the names in README and Dockerfile. */
  async function provideImages(folder: string, proxy: string): Promise<void> {
    const [{ engine }] = hosts as [Host];
    const node = readFileSync(join(root, 'deploy/Dockerfile'), 'utf8').match(/^ARG NODE_IMAGE=(\S+)$/m)![1]!;
    const etcd = [...section.values()].flat().flatMap(({ command }) => command.match(/\S+\/etcd:v\S+/) ?? [])[0]!;
    await makeImage(engine);
    await makeEtcdImage(engine, etcd);
    await makeNodeBaseImage(engine, node, { npmCache: true, proxy });
    const archive = join(folder, 'images.tar');
    await engine.must('save', '--output', archive, 'busybox:latest', etcd, node);
    await Promise.all(hosts.slice(1).map((other) => other.engine.must('load', '--input', archive)));
    await rm(archive);
  }

  async function follow(heading: string): Promise<void> {
    typed.add(heading);
    for (const step of section.get(heading) ?? []) {
      const those = hosts.filter(({ machine }) => [machine.name, 'each-host'].includes(step.prompt));
      expect(those, step.command).to.have.length(step.prompt === 'each-host' ? 3 : 1);
      const printed = await Promise.all(those.map((host) => take(host, step)));
      printedBefore += printed.join('');
    }
  }

  /** Resolves with what the step printed, once that has the form of what is shown. */
  async function take(host: Host, step: Step): Promise<string> {
    const command = withWords(withAddresses(step.command));
    const shown = step.shown.map(withAddresses);
    if (!LOOKS.test(command)) {
      const { code, printed } = await host.shell.type(command, STEP_MS);
      expect(code, `${host.machine.name}$ ${command}\n${tail(printed, 30)}`).to.equal(0);
      for (const line of shown)
        expect(
          printed.split(/[\r\n]+/).some((one) => isLike(one, line)),
          printed,
        ).to.equal(true);
      return printed;
    }
    let last = '';
    const says = async () => {
      const { code, printed } = await host.shell.type(command);
      const wrong = code === 0 ? shown.length > 0 && difference(printed, shown) : `ended with ${code}`;
      last = `${host.machine.name}$ ${command}\n${wrong}\n${printed}`;
      return wrong ? undefined : printed;
    };
    return eventually('a line says what README shows', says, LOOK_MS, 1_000).catch(() => {
      throw new Error(last);
    });
  }

  function isLike(printed: string, shown: string): boolean {
    return difference(printed, [shown]) === undefined;
  }

  function withAddresses(text: string): string {
    return text.replace(/\b10\.0\.0\.([123])\b/g, (_, host) => hosts[Number(host) - 1]!.machine.address);
  }

  /** A word that is cut short by `…` is the last such one that was printed. */
  function withWords(command: string): string {
    return command.replace(/(\S+)…/g, (_, begin: string) => {
      const word = printedBefore.split(/\s+/).findLast((one) => one.startsWith(begin));
      expect(word, `${begin}… was printed`).to.be.a('string');
      return word!;
    });
  }

  async function expectNoneFailed(service: string, tasks: number): Promise<void> {
    const states = await hosts[0]!.engine.must('service', 'ps', '--format', '{{.CurrentState}} {{.Error}}', service);
    expect(states.split('\n').map((state) => state.split(' ')[0])).to.deep.equal(Array(tasks).fill('Running'), states);
  }

  /** Of a service's tasks; fails where the kernel inside a container does not have what the engine says. */
  async function addressesOf(service: string, network: string): Promise<string[]> {
    const format = `{{.State.Pid}} {{.NetworkSettings.Networks.${network}.IPAddress}}`;
    const found: string[] = [];
    for (const { engine } of hosts) {
      const ids = await engine.must('ps', '--quiet', '--filter', `name=${service}`);
      if (ids === '') continue;
      for (const line of (await engine.must('inspect', '--format', format, ...ids.split('\n'))).split('\n')) {
        const [pid, address = ''] = line.split(' ');
        expect(configuredIn(Number(pid))).to.include(address);
        found.push(address);
      }
    }
    return found;
  }

  /** The addresses that have a key in a space, as they are written there. */
  async function claims(space: string): Promise<string[]> {
    const endpoints = `--endpoints=${hosts.map(({ machine }) => `http://${machine.address}:2379`).join(',')}`;
    const prefix = `/etcd-ipam/claims/${space}/`;
    const keys = await runOrFail('etcdctl', [endpoints, 'get', '--prefix', prefix, '--keys-only']);
    return keys.split('\n').flatMap((line) => (line === '' ? [] : line.split('/').at(-1)!));
  }
});

function fixedWidth(address: string): string {
  return address
    .split('.')
    .map((part) => part.padStart(3, '0'))
    .join('.');
}
