// The Grafana dashboard of the monitoring kit, as a file that can be provisioned: what Grafana would only show as an empty panel
// is found here. Its queries are asked of a real Prometheus in integration/monitoring.test.ts.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';

interface Target {
  readonly refId: string;
  readonly datasource: unknown;
  readonly expr: string;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: unknown;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
}

const text = readFileSync('deploy/monitoring/dashboard.json', 'utf8');
const dashboard = JSON.parse(text) as {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
};
const { panels } = dashboard;
const shown = panels.filter(({ type }) => type !== 'row');

describe('the dashboard', () => {
  it('has a uid and a title, and for each row of panels a heading', () => {
    expect(dashboard).to.include({ uid: 'etcd-ipam', title: 'etcd-ipam' });
    expect(panels[0]?.type).to.equal('row');
    expect(shown.length).to.be.above(20);
  });

  it('names each panel once, and lets none lie on another or leave the 24 columns', () => {
    expect(new Set(panels.map(({ id }) => id)).size).to.equal(panels.length);
    expect(new Set(panels.map(({ title }) => title)).size).to.equal(panels.length);
    const taken = new Map<string, string>();
    for (const { title, gridPos } of panels) {
      expect(gridPos.x + gridPos.w, title).to.be.at.most(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.get(`${x} ${y}`), title).to.equal(undefined);
          taken.set(`${x} ${y}`, title);
        }
    }
  });

  it('asks the Prometheus that is chosen, with every panel, and with variables that there are', () => {
    const variables = new Set([...dashboard.templating.list.map(({ name }) => name), '__rate_interval']);
    expect([...variables]).to.include.members(['datasource', 'job', 'instance', 'pool']);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own
    const chosen = { type: 'prometheus', uid: '${datasource}' };
    for (const { title, datasource, targets = [] } of shown) {
      expect(targets, title).to.not.deep.equal([]);
      for (const one of [{ datasource }, ...targets]) expect(one.datasource, title).to.deep.equal(chosen);
      expect(new Set(targets.map(({ refId }) => refId)).size, title).to.equal(targets.length);
    }
    const used = [...text.matchAll(/\$\{?(\w+)/g)].map(([, name]) => name).filter((name) => name !== '__all');
    expect(used.filter((name) => !variables.has(name!))).to.deep.equal([]);
  });

  it('shows of each panel only the cluster that is chosen', () => {
    for (const { title, targets = [] } of shown)
      for (const { expr } of targets)
        for (const [selector] of expr.matchAll(/(?:etcd_ipam|process|nodejs)_\w+(?:\{[^}]*\})?/g))
          expect(selector, title).to.include('job=~"$job"');
  });
});
