// The alert rules of the monitoring kit by themselves: each fires when it should and not when it should not, and says which of
// our commands comes next. promtool judges.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { promtool } from '../support/prometheus.js';
import { needProgram } from '../support/skip.js';
import { ROWS, type Row } from './monitoring.rows.js';

const RULES = resolve('deploy/monitoring/alerts.yml');
const text = readFileSync(RULES, 'utf8');
const alerts = [...text.matchAll(/^ +- alert: (\w+)$/gm)].map(([, name]) => name!);

describe('alert rules', () => {
  let directory: string;

  before(async function () {
    needProgram(this, 'promtool');
    directory = await mkdtemp(join(tmpdir(), 'rules-'));
  });
  after(() => directory && rm(directory, { recursive: true, force: true }));

  /** A file of promtool's, which takes JSON for the YAML that it is. */
  const testFile = async ({ alert, series, at, fires }: Row) => {
    const expr = `count by (alertname) (ALERTS{alertname="${alert}", alertstate="firing"})`;
    const exp_samples = fires === 0 ? [] : [{ labels: `{alertname="${alert}"}`, value: fires }];
    const input_series = Object.entries(series).map(([name, values]) => ({ series: name, values }));
    const promql_expr_test = at.map((eval_time) => ({ expr, eval_time, exp_samples }));
    const tests = [{ interval: '1m', input_series, promql_expr_test }];
    const file = join(directory, 'test.yml');
    await writeFile(file, JSON.stringify({ rule_files: [RULES], evaluation_interval: '1m', tests }));
    return file;
  };

  it('pass promtool’s check with all its lints, and so does the configuration that names them', async () => {
    for (const args of [
      ['check', 'rules', '--lint=all', '--lint-fatal', RULES],
      ['check', 'config', '--lint=all', '--lint-fatal', 'deploy/monitoring/prometheus.yml'],
    ]) {
      const { code, stdout, stderr } = await promtool(args);
      expect(code, stdout + stderr).to.equal(0);
    }
  });

  for (const row of ROWS) {
    const { alert, what, at, fires } = row;
    it(`${alert} ${fires > 0 ? 'fires' : 'is quiet'}: ${what} (at ${at.join(', ')})`, async () => {
      const { code, stdout, stderr } = await promtool(['test', 'rules', await testFile(row)]);
      expect(code, stdout + stderr).to.equal(0);
    });
  }

  it('are each shown firing and quiet above', () => {
    expect(alerts).to.have.length.above(10);
    const shown = (firing: boolean) =>
      new Set(ROWS.filter(({ fires }) => fires > 0 === firing).map(({ alert }) => alert));
    expect([...shown(true)]).to.have.members(alerts);
    expect([...shown(false)]).to.have.members(alerts);
  });

  it('say how bad it is, what it means and which command of ours comes next', async () => {
    const commands = [...readFileSync('src/main.ts', 'utf8').matchAll(/program\.command\('(\w+)'\)/g)].map(
      ([, one]) => one,
    );
    const blocks = text.split(/^ +- alert: /m).slice(1);
    expect(blocks).to.have.lengthOf(alerts.length);
    for (const block of blocks) {
      expect(block).to.match(/^ +severity: (critical|warning)$/m);
      expect(block).to.match(/^ +summary: ['"].{10,}['"]$/m);
      expect(block).to.match(/^ +description: ['"].{10,}['"]$/m);
      const [, first] = /runbook: >-\s+etcd-ipam (\w+)/.exec(block) ?? [];
      expect(commands, block).to.include(first);
    }
  });
});
