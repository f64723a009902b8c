// The words of the quickstart: which commands are printed for whom, and that a shell takes them.
import { execFileSync } from 'node:child_process';
import { expect } from 'chai';
import { nextSteps, type Ready } from '../../../src/quickstart/next-steps.js';

const ready: Ready = {
  node: 'host-a',
  addresses: ['/run/docker/plugins/etcd-ipam.sock'],
  socket: '/run/docker/plugins/etcd-ipam.sock',
  endpoints: ['http://127.0.0.1:2379'],
  prefix: '/etcd-ipam/',
  etcdctl: 'etcdctl --endpoints http://127.0.0.1:2379',
  etcdFolder: '/var/lib/etcd-ipam',
};
const commands = (text: string) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('  $ '))
    .map((line) => line.slice(4));

const engineCommands = [
  'IMAGE=busybox',
  'docker network create --ipam-driver etcd-ipam --subnet 10.66.0.0/24 demo',
  'docker run --rm --network demo $IMAGE ip addr',
  'docker run --detach --name demo-1 --network demo $IMAGE sleep 3600',
  'etcdctl --endpoints http://127.0.0.1:2379 get --prefix /etcd-ipam/claims/',
  'docker rm --force demo-1',
  'docker network rm demo',
];

describe('the next steps', () => {
  it('name the page where there is one', () => {
    expect(nextSteps({ ...ready, ops: '127.0.0.1:9475' }).split('\n')).to.include(
      'in a browser: http://127.0.0.1:9475/',
    );
    expect(nextSteps(ready)).not.to.contain('browser');
  });

  it('lead from a network to its claims and back, then show the same by curl', () => {
    const printed = commands(nextSteps(ready));
    expect(printed.slice(0, 7)).to.deep.equal(engineCommands);
    expect(printed.slice(7).map((line) => /IpamDriver\.\w+/.exec(line)?.[0])).to.deep.equal([
      'IpamDriver.RequestPool',
      undefined,
      'IpamDriver.RequestAddress',
      'IpamDriver.ReleasePool',
    ]);
  });

  it('say who is ready, where, and where the data is', () => {
    expect(nextSteps(ready).split('\n').slice(0, 3)).to.deep.equal([
      '',
      'etcd-ipam is ready: node host-a, listening on /run/docker/plugins/etcd-ipam.sock',
      'etcd: http://127.0.0.1:2379, data and log in /var/lib/etcd-ipam',
    ]);
  });

  it('say what it waits for instead of ready', () => {
    const [, first] = nextSteps({ ...ready, waitsFor: 'etcd at 192.0.2.1:2379 is not reachable' }).split('\n');
    expect(first).to.equal(
      'etcd-ipam is not ready yet, and trying on (etcd at 192.0.2.1:2379 is not reachable): node host-a, ' +
        'listening on /run/docker/plugins/etcd-ipam.sock',
    );
  });

  it("name the driver as the socket's file does, which is the name engines know", () => {
    const socket = '/run/docker/plugins/ipam2.sock';
    expect(commands(nextSteps({ ...ready, socket }))[1]).to.contain('--ipam-driver ipam2 ');
  });

  it('leave curl out where only TCP is served', () => {
    expect(commands(nextSteps({ ...ready, socket: undefined }))).to.deep.equal(engineCommands);
  });

  it('where no engine looks, say so, and show the claim between two curls', () => {
    const text = nextSteps({ ...ready, socket: '/home/ann/ipam.sock' });
    expect(text).to.contain('An engine will not find the driver at /home/ann/ipam.sock');
    const printed = commands(text);
    expect(printed.some((line) => line.startsWith('docker'))).to.equal(false);
    expect(printed[3]).to.equal(engineCommands[4]);
    expect(printed[4]).to.contain('IpamDriver.ReleasePool');
  });

  it('do not offer etcdctl as a command where it is not installed', () => {
    const text = nextSteps({ ...ready, etcdctl: undefined });
    expect(text).to.contain('etcdctl, which is not installed here');
    expect(commands(text).some((line) => line.startsWith('etcdctl'))).to.equal(false);
  });

  it('are taken by sh as they are printed', () => {
    const script = commands(nextSteps(ready)).join('\n');
    execFileSync('sh', ['-n'], { input: script });
    const quoted = commands(nextSteps(ready)).at(-1)!.replace(/^curl/, "printf '%s\\n'");
    const shown = execFileSync('sh', ['-c', `POOL=local/10.67.0.0/24; ${quoted}`], { encoding: 'utf8' });
    expect(shown).to.contain('\n{"PoolID":"local/10.67.0.0/24"}\n');
  });
});
