// What `npm pack` makes: all that is in it works without the clone that it was made of.
import { expect } from 'chai';
import { runOrFail } from '../../support/process.js';

describe('the npm package', () => {
  it('is built when it is packed', async () => {
    expect(await runOrFail('npm', ['pkg', 'get', 'scripts.prepack'])).to.equal('"npm run build"');
  });

  it('has the program, the library and what installs them, not what builds images, which takes a clone', async () => {
    const [packed] = JSON.parse(await runOrFail('npm', ['pack', '--dry-run', '--json', '--ignore-scripts']));
    const files: string[] = packed.files.map(({ path }: { path: string }) => path);
    expect(files.filter((file) => !/^(dist|src)\//.test(file)).sort()).to.deep.equal([
      'LICENSE',
      'README.md',
      'deploy/etcd-role.sh',
      'deploy/monitoring/alerts.yml',
      'deploy/monitoring/dashboard.json',
      'deploy/monitoring/grafana.yml',
      'deploy/monitoring/prometheus.yml',
      'deploy/page.png',
      'deploy/systemd/etcd-ipam.env',
      'deploy/systemd/etcd-ipam.service',
      'deploy/systemd/etcd-ipam.socket',
      'deploy/systemd/install.sh',
      'package.json',
    ]);
  });
});
