// Whatever README shows as typed is typed by a test: which one, by heading.
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { typedInReadme } from '../support/readme.js';

const TYPED: Readonly<Record<string, string>> = {
  'Try it': 'e2e/first-run.test.ts',
  systemd: 'e2e/systemd.test.ts',
  'Managed plugin': 'e2e/plugin.test.ts',
  Compose: 'e2e/compose.test.ts',
  'etcd with TLS and a user of its own': 'integration/secured-etcd.test.ts',
  'What is taken, and by whom': 'integration/readme.test.ts',
  'Pools that are changed while in use': 'integration/rule-commands.test.ts',
  'The page': 'integration/readme.test.ts',
  'Monitoring kit': 'integration/monitoring-readme.test.ts',
  'One etcd of three members': 'machines/install.test.ts',
  'The plugin on each host': 'machines/install.test.ts',
  'The swarm': 'machines/install.test.ts',
  'A macvlan network': 'machines/install.test.ts',
  'A service of twelve': 'machines/install.test.ts',
  'An overlay network': 'machines/install.test.ts',
  'To remove it': 'machines/install.test.ts',
  'When a host dies': 'integration/pasted.test.ts',
  'When etcd was restored': 'integration/pasted.test.ts',
  'Checking the records': 'integration/pasted.test.ts',
  'Reading etcd': 'integration/readme.test.ts',
};

/** The few lines that are not typed, and why. */
const NOT_TYPED: Readonly<Record<string, string>> = {
  'npm ci && npm run build': 'each run of the tests begins with it (deploy/prepare.mjs)',
  'sudo systemctl restart etcd-ipam.service': 'no systemd runs where the tests do',
  'sudoedit /etc/etcd-ipam/etcd-ipam.env': 'an editor; the file is written instead',
  'sudo systemctl restart grafana-server': 'no Grafana is to be had where the tests run',
};

describe('what README has typed', () => {
  const shown = typedInReadme();
  const lines = [...shown.values()].flat(2);

  it('is under headings of which each has a test, and no other', () => {
    expect([...shown.keys()]).to.deep.equal(Object.keys(TYPED));
  });

  for (const [heading, file] of Object.entries(TYPED))
    it(`under ${heading} is named by ${file}, as a section or line by line`, () => {
      expect(existsSync(`test/${file}`)).to.equal(true);
      const text = readFileSync(`test/${file}`, 'utf8');
      if (text.includes(`'${heading}'`) || text.includes(`# ${heading}`)) return;
      for (const line of shown.get(heading)!.flat()) expect(text).to.include(`'${line}'`);
    });

  it('is not left out but for lines that it has', () => {
    for (const line of Object.keys(NOT_TYPED)) expect(lines).to.include(line);
  });
});
