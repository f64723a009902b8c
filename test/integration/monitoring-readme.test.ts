// README's section on the monitoring kit: its commands, pasted as written, and what it says there is.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { DriverProcess } from '../support/driver-process.js';
import { startEtcd } from '../support/etcd.js';
import { eventually, Program, runOrFail } from '../support/process.js';
import { needPrivateHost, needProgram } from '../support/skip.js';

const readme = readFileSync('README.md', 'utf8');
const section = /^### Monitoring kit\n([\s\S]*?)(?=^#)/m.exec(readme)![1]!;
const pasted = [...section.matchAll(/^\$ (.*)$/gm)].map(([, line]) => line!);
const beginning = (word: string) => pasted.filter((line) => line.startsWith(word));

describe('README’s monitoring kit', () => {
  before(function () {
    needPrivateHost(this);
    needProgram(this, 'promtool');
  });

  it('checks the configuration, runs it, and is answered what README shows, pasted as written', async function () {
    this.timeout(120_000);
    // The first of the hosts in prometheus.yml: this one, for a while.
    const host = ['10.0.0.1/32', 'dev', 'lo'];
    await runOrFail('ip', ['address', 'add', ...host]);
    try {
      const [check, taken, wrong] = beginning('promtool') as [string, string, string];
      await runOrFail('bash', ['-c', check]);
      const etcd = await startEtcd();
      await using _stopped = { [Symbol.asyncDispose]: () => etcd.stop() };
      await using driver = await DriverProcess.start(etcd.url, 'a', 1, { IPAM_OPS_LISTEN: '10.0.0.1:9475' });
      const call = async (name: string, body: object) => (await driver.client.call(`/IpamDriver.${name}`, body)).json;
      const pool = { AddressSpace: 'local', Pool: '10.66.0.0/24', SubPool: '', Options: {}, V6: false };
      const { PoolID } = await call('RequestPool', pool);
      for (let nth = 0; nth < 13; nth++) await call('RequestAddress', { PoolID, Address: '', Options: {} });
      const [serve] = beginning('prometheus');
      const ready = /Server is ready to receive web requests/;
      await using _serving = await Program.start('bash', ['-c', `exec ${serve}`], { ready });
      const [shown] = /^\{.*\} => 13 /m.exec(section)!;
      await eventually(shown, async () => (await runOrFail('bash', ['-c', taken])).startsWith(shown), 60_000, 500);
      await runOrFail('bash', ['-c', wrong]);
    } finally {
      await runOrFail('ip', ['address', 'del', ...host]);
    }
  });

  it('installs the dashboard where the provider that it installs looks for it, below another root', async () => {
    const installed = beginning('sudo install');
    expect(installed).to.have.lengthOf(2);
    const root = await mkdtemp(join(tmpdir(), 'grafana-'));
    try {
      const below = installed.map((line) => line.replace(/ (\/\S+)$/, ` '${root}$1'`));
      await runOrFail('bash', ['-e', '-c', ['sudo() { "$@"; }', ...below].join('\n')]);
      for (const line of installed) {
        const [, file, place] = /(deploy\/\S+) (\S+)$/.exec(line)!;
        expect(readFileSync(join(root, place!), 'utf8')).to.equal(readFileSync(file!, 'utf8'));
      }
    } finally {
      await rm(root, { recursive: true, force: true });
    }
    const provider = readFileSync('deploy/monitoring/grafana.yml', 'utf8');
    expect(installed[0]).to.include(/path: (\S+)/.exec(provider)![1]);
  });

  it('names every alert, with its severity', () => {
    const rules = readFileSync('deploy/monitoring/alerts.yml', 'utf8')
      .split(/^ +- alert: /m)
      .slice(1);
    for (const rule of rules) {
      const [, name] = /^EtcdIpam(\w+)/.exec(rule)!;
      const [, severity] = /severity: (\w+)/.exec(rule)!;
      const row = section.split('\n').find((line) => line.includes(`\`${name}\``));
      expect(row, name).to.match(new RegExp(`\\| ${severity} \\|$`));
    }
    const named = [...section.matchAll(/^\| (`.*) \| \w+ \|$/gm)].flatMap(([, cell]) => cell!.match(/\w+/g));
    expect(named).to.have.lengthOf(rules.length);
  });
});
