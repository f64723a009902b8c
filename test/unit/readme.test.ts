// Whatever README shows as typed is typed by a test: which one, by heading.
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { commandsInText, typedInReadme } from '../support/readme.js';

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
  'npm ci --ignore-scripts && npm run build': 'each run of the tests begins with it (deploy/prepare.mjs)',
  'sudo systemctl restart etcd-ipam.service':
    'no systemd runs where the tests do: typed by hand where it was the first process',
  'sudoedit /etc/etcd-ipam/etcd-ipam.env': 'an editor; the file is written instead',
  'sudo systemctl restart grafana-server': 'no Grafana is to be had where the tests run',
};

const BY_HAND = 'no systemd runs where the tests do: typed by hand where it was the first process';
const SPOKEN_OF = 'speaks of the command, or of a part of one';

/** Commands in its text and tables: what types each, or why none does. */
const IN_TEXT: Readonly<Record<string, string>> = {
  'etcdctl get --prefix /etcd-ipam/claims/ | grep -B1 \'"cooling"\'': 'integration/pasted.test.ts',
  'etcd-ipam claims 10.66.0.0/24 --kind cooling': 'integration/pasted.test.ts',
  'etcd-ipam nodes': 'integration/pasted.test.ts',
  'etcd-ipam evict host-b': 'integration/pasted.test.ts',
  'etcd-ipam evict host-a': 'integration/pasted.test.ts',
  'etcd-ipam resume --dry-run': 'integration/pasted.test.ts',
  'etcd-ipam resume': 'integration/pasted.test.ts',
  "etcdctl put /etcd-ipam/restored '{}'": 'integration/pasted.test.ts',
  'etcd-ipam check --fix': 'integration/pasted.test.ts',
  'etcd-ipam pool 10.90.0.0/29': 'integration/pasted.test.ts',
  'etcd-ipam exclude 10.66.0.0/24 10.66.0.1-10.66.0.9 --remove': 'integration/pasted.test.ts',
  'etcdctl endpoint health': 'integration/pasted.test.ts',
  'rev=$(etcdctl endpoint status -w json | grep -o \'"revision":[0-9]*\' | head -1 | cut -d: -f2); etcdctl compact $rev; etcdctl defrag --cluster; etcdctl alarm disarm':
    'integration/pasted.test.ts',
  'etcdctl role get etcd-ipam': 'integration/secured-etcd.test.ts',
  'etcd-ipam status': 'e2e/compose.test.ts',
  'docker compose exec plugin etcd-ipam status': 'e2e/compose.test.ts',
  'docker compose exec plugin etcd-ipam nodes': 'e2e/compose.test.ts',
  'docker run --rm --user 65534 --read-only --cap-drop ALL --network host --env ETCD_ENDPOINTS=… etcd-ipam nodes':
    'e2e/compose.test.ts',
  'docker run --rm --network host --env ETCD_ENDPOINTS=… etcd-ipam nodes': 'e2e/plugin.test.ts',
  'docker plugin inspect etcd-ipam': 'e2e/plugin.test.ts',
  'docker plugin rm --force etcd-ipam': 'e2e/plugin.test.ts',
  'docker plugin disable --force etcd-ipam': 'e2e/plugin.test.ts',
  'docker plugin enable etcd-ipam': 'e2e/plugin.test.ts',
  'docker logs etcd': 'machines/install.test.ts',
  'docker service ps --no-trunc web': 'machines/install.test.ts',
  'npm pack': 'unit/deploy/package.test.ts',
};
const NOT_TYPED_IN_TEXT: Readonly<Record<string, string>> = {
  'systemctl stop etcd-ipam.socket': BY_HAND,
  'systemctl edit etcd-ipam.service': BY_HAND,
  'journalctl -u etcd-ipam.service': BY_HAND,
  'systemctl reset-failed etcd-ipam.service etcd-ipam.socket; systemctl start etcd-ipam.service': BY_HAND,
  'journalctl --unit docker': 'the log of a test’s engine is a file, which they read',
  'docker plugin upgrade': 'needs a registry',
  'docker plugin install --alias etcd-ipam': 'needs a registry',
  'npm test': 'whoever reads this has typed it',
  'npm test -- test/unit': 'whoever reads this has typed it',
  'npm test -- test/faults': 'whoever reads this has typed it',
  'npm run check': 'CI runs it',
  'npm run chaos': 'CI runs it',
  'npm run test:long': 'lasts for hours',
  'npm run test:long -- --only soak': 'half an hour; what it printed is in README',
  'docker network create': SPOKEN_OF,
  'docker network create --ipam-opt …': SPOKEN_OF,
  'docker network connect': SPOKEN_OF,
  'docker network rm': SPOKEN_OF,
  'docker run --ip': SPOKEN_OF,
  'docker run --rm busybox true': SPOKEN_OF,
  'docker restart': SPOKEN_OF,
  'docker rm --force': SPOKEN_OF,
  'docker stop': SPOKEN_OF,
  'docker plugin enable': SPOKEN_OF,
  'systemd-analyze verify': SPOKEN_OF,
  'systemd-analyze security': SPOKEN_OF,
  'mkdir -p /etc/docker/plugins': SPOKEN_OF,
  'etcdctl del': SPOKEN_OF,
  'etcdctl snapshot restore': SPOKEN_OF,
  'etcd-ipam pool': SPOKEN_OF,
  'etcd-ipam release': SPOKEN_OF,
  'etcd-ipam exclude': SPOKEN_OF,
  'etcd-ipam evict': SPOKEN_OF,
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

  it('is in its text and tables, too, what these lists have', () => {
    // CI runs each scenario of the bench once.
    const all = [...commandsInText()].filter((command) => !command.startsWith('npm run bench'));
    expect(all).to.have.members([...Object.keys(IN_TEXT), ...Object.keys(NOT_TYPED_IN_TEXT)]);
  });

  for (const [command, file] of Object.entries(IN_TEXT))
    it(`${command} is typed by ${file}`, () => {
      const text = readFileSync(`test/${file}`, 'utf8');
      expect(text.replaceAll("\\'", "'")).to.include(command);
    });
});
