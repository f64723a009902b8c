// What README shows of etcdctl and of the commands, typed as it stands: against a real etcd that two hosts have filled as its
// examples say.
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { DriverProcess } from '../support/driver-process.js';
import { type EtcdProcess, freePorts, startEtcdProcess } from '../support/etcd.js';
import { eventually, Program, run, runOrFail } from '../support/process.js';
import { PROGRAM } from '../support/program.js';
import { typedUnder } from '../support/readme.js';
import { needProgram } from '../support/skip.js';

const S = '10.66.0.0/24';

interface Typed {
  readonly command: string;
  readonly prints: string;
}

/** The console blocks of README between two headings, each the lines of one terminal. */
async function blocks(heading: string): Promise<Typed[][]> {
  const text = await readFile('README.md', 'utf8');
  const from = text.indexOf(`\n${heading}\n`) + 1;
  const to = text.indexOf('\n#', from + 1);
  return [...text.slice(from, to).matchAll(/^```console\n([\s\S]*?)^```/gm)].map(([, block]) =>
    block!
      .split(/^\$ /m)
      .slice(1)
      .map((one) => ({ command: one.split('\n')[0]!, prints: one.slice(one.indexOf('\n') + 1).trimEnd() })),
  );
}

/** What is random, or a time. */
function masked(text: string): string {
  return text
    .trimEnd()
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'BOOT')
    .replace(/"boot":"[^"]*"/g, '"boot":"BOOT"')
    .replace(/\b[0-9a-f]{16}\b/g, 'ID')
    .replace(/^("ModRevision" : )\d+$/gm, '$1N')
    .replace(/^\d+ records: \d+ are/gm, 'N records: N are');
}

describe('README, typed as it stands', function () {
  this.timeout(120_000);
  let etcd: EtcdProcess;
  let directory: string;
  let port: number;
  let hosts: DriverProcess[] = [];
  const pools = new Map<string, string>();

  const must = async (host: DriverProcess, call: string, body: object) => {
    const { status, json, text } = await host.client.call(`/IpamDriver.${call}`, body);
    if (status !== 200) throw new Error(text);
    return json;
  };
  const starts = (host: DriverProcess, name: string, Address: string) => {
    const Options = { 'com.docker.network.endpoint.name': name };
    return must(host, 'RequestAddress', { PoolID: pools.get(host.node), Address, Options });
  };
  const ends = (host: DriverProcess, Address: string) =>
    must(host, 'ReleaseAddress', { PoolID: pools.get(host.node), Address });

  beforeEach(async () => {
    etcd = await startEtcdProcess();
    directory = await mkdtemp(join(tmpdir(), 'recipes-'));
    const ours = PROGRAM.map((word) => (/\.(js|ts)$/.test(word) ? resolve(word) : word)).join(' ');
    await writeFile(join(directory, 'etcd-ipam'), `#!/bin/sh\nexec ${process.execPath} ${ours} "$@"\n`);
    await chmod(join(directory, 'etcd-ipam'), 0o755);
    [port] = (await freePorts(1)) as [number];
    const start = (node: string, IPAM_OPS_LISTEN: string) =>
      DriverProcess.start(etcd.url, node, 1, { IPAM_HISTORY: '7d', IPAM_OPS_LISTEN });
    hosts = await Promise.all([start('host-a', `127.0.0.1:${port}`), start('host-b', '')]);
    for (const host of hosts) {
      const ask = { AddressSpace: 'local', Pool: S, SubPool: '', Options: {}, V6: false };
      pools.set(host.node, (await must(host, 'RequestPool', ask)).PoolID);
      const Options = { RequestAddressType: 'com.docker.network.gateway' };
      await must(host, 'RequestAddress', { PoolID: pools.get(host.node), Address: '', Options });
    }
    const [a, b] = hosts as [DriverProcess, DriverProcess];
    await starts(a, 'web', '10.66.0.2');
    await starts(b, 'mail', '10.66.0.3');
    await ends(b, '10.66.0.3');
    await starts(b, 'db', '10.66.0.3');
  });
  afterEach(async () => {
    await Promise.all(hosts.map((host) => host.stop()));
    await etcd?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const environment = () => ({
    ...{ PATH: `${directory}:${process.env.PATH}`, HOME: directory, TZ: 'UTC', ETCDCTL_API: '3' },
    ...{ ETCDCTL_ENDPOINTS: etcd.url, ETCD_ENDPOINTS: etcd.url, IPAM_NODE: 'operator' },
  });

  /** All lines of a terminal, one after the other in one shell. */
  async function type(lines: readonly Typed[]): Promise<string[]> {
    const mark = '@@@@';
    const script = lines.map(({ command }) => `${command}\necho ${mark}`).join('\n');
    const { stdout, stderr } = await run('bash', ['-c', script], { env: environment(), cwd: directory });
    expect(stderr).to.equal('');
    return stdout.split(`${mark}\n`).slice(0, -1).map(masked);
  }

  it('etcdctl says what is allocated, to whom, who had it and how full a pool is; and frees by hand what is still so', async () => {
    const recipes = await blocks('## Reading etcd');
    expect(recipes.flat().length).to.be.greaterThan(11);
    for (const lines of recipes) {
      if (lines[0]!.command.startsWith('etcdctl watch')) continue;
      expect(await type(lines)).to.deep.equal(lines.map(({ prints }) => masked(prints)));
    }
    const left = await runOrFail('etcdctl', ['get', '--prefix', '/etcd-ipam/claims/', '--keys-only'], {
      env: environment(),
    });
    expect(left.split(/\n+/).map((key) => key.slice(-3))).to.deep.equal(['001', '002']);
  });

  it('etcdctl watches live', async () => {
    const [[watch]] = (await blocks('## Reading etcd')).filter(([one]) => one!.command.startsWith('etcdctl watch')) as [
      [Typed],
    ];
    await using program = await Program.start('bash', ['-c', `exec ${watch.command}`], { env: environment() });
    // It says nothing of when it stands.
    await eventually('it watches', async () => {
      await starts(hosts[0]!, 'probe', '10.66.0.9');
      await ends(hosts[0]!, '10.66.0.9');
      return program.output.includes('010.066.000.009');
    });
    await starts(hosts[0]!, 'cache', '10.66.0.4');
    await program.prints(/"name":"cache".*\n/);
    const told = program.output.slice(program.output.lastIndexOf('PUT'));
    expect(masked(told)).to.equal(masked(watch.prints));
  });

  it('the commands print what it shows', async () => {
    const shown = await blocks('### What is taken, and by whom');
    expect(shown.flat().length).to.be.greaterThan(6);
    for (const lines of shown) expect(await type(lines)).to.deep.equal(lines.map(({ prints }) => masked(prints)));
  });

  it('curl has the JSON of the page, and what happens', async function () {
    needProgram(this, 'curl');
    const lines = typedUnder('The page').map((line) => line.replaceAll('127.0.0.1:9475', `127.0.0.1:${port}`));
    const [pools, who, search, events] = lines as [string, string, string, string];
    expect(lines).to.have.length(4);
    // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
    const json = async (line: string): Promise<any> => JSON.parse(await runOrFail('bash', ['-c', line]));
    expect((await json(pools)).pools[0]).to.deep.include({ pool: S, used: 3, cooling: 0, nodes: 2 });
    expect((await json(who)).in[0].claim).to.deep.include({ node: 'host-b', name: 'db' });
    expect((await json(search)).claims).to.deep.equal([]);
    await starts(hosts[0]!, 'web-b', '10.66.0.8');
    expect((await json(search)).claims[0]).to.deep.include({ address: '10.66.0.8', name: 'web-b' });
    await using program = await Program.start('bash', ['-c', `exec ${events}`]);
    await eventually('it is told', async () => {
      await starts(hosts[0]!, 'probe', '10.66.0.9');
      await ends(hosts[0]!, '10.66.0.9');
      return /^event: changes\ndata: .*"name":"probe"/m.test(program.output);
    });
  });
});
