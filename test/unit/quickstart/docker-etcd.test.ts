// An etcd in a container: what docker is asked for, and when not at all. docker is played.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { localEngineAnswers, startDockerEtcd } from '../../../src/quickstart/docker-etcd.js';
import type { Run } from '../../../src/quickstart/programs.js';

describe('a local engine', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'etcd-ipam-docker-'));
    writeFileSync(join(folder, 'docker'), '');
    chmodSync(join(folder, 'docker'), 0o755);
  });
  after(() => rmSync(folder, { recursive: true }));
  const answering =
    (output: string, ok = true): Run =>
    async () => ({ ok, output });

  it('answers with its version', async () => {
    expect(await localEngineAnswers({ PATH: folder }, answering('20.10.24'))).to.equal(true);
    const socket = { PATH: folder, DOCKER_HOST: 'unix:///run/user/1000/docker.sock' };
    expect(await localEngineAnswers(socket, answering('28.2.2'))).to.equal(true);
  });

  it('does not where docker is missing, says nothing, or speaks to another machine', async () => {
    expect(await localEngineAnswers({ PATH: '/nowhere' }, answering('20.10.24'))).to.equal(false);
    expect(await localEngineAnswers({ PATH: folder }, answering('Cannot connect', false))).to.equal(false);
    const far = { PATH: folder, DOCKER_HOST: 'tcp://192.0.2.1:2375' };
    expect(await localEngineAnswers(far, answering('20.10.24'))).to.equal(false);
  });
});

describe('an etcd in a container', () => {
  let etcd: Server | undefined;
  afterEach(() => void etcd?.close());

  /** The container is this HTTP server, on the port that `docker run` publishes. */
  function docker(runs = true) {
    const asked: string[][] = [];
    const played: Run = async (_, args) => {
      asked.push([...args]);
      if (args[0] !== 'run') return { ok: true, output: '' };
      if (!runs) return { ok: false, output: 'pull access denied' };
      const port = Number(/127\.0\.0\.1:(\d+):2379/.exec(args.join(' '))![1]);
      etcd = createServer((_request, reply) => reply.end('{"health":"true"}')).listen(port, '127.0.0.1');
      return { ok: true, output: 'c0ffee' };
    };
    return { asked, played };
  }

  it('is published on loopback alone, keeps its data in a volume and its container for the time', async () => {
    const { asked, played } = docker();
    const started = await startDockerEtcd('etcd:mine', () => {}, played, 0);
    const run = asked.find(([verb]) => verb === 'run')!.join(' ');
    expect(run).to.match(/--publish 127\.0\.0\.1:\d+:2379 --entrypoint etcd etcd:mine --name=/);
    expect(run).to.contain('--volume etcd-ipam-etcd:/etcd-data');
    expect(run).to.contain('--auto-compaction-retention=1h');
    expect(started.url).to.equal(`http://127.0.0.1:${(etcd!.address() as AddressInfo).port}`);
    asked.length = 0;
    await started.stop();
    expect(asked).to.deep.equal([
      ['stop', '-t', '8', 'etcd-ipam-etcd'],
      ['rm', '--force', 'etcd-ipam-etcd'],
    ]);
  });

  it('that cannot run is told with the words of the engine, and removed', async () => {
    const { asked, played } = docker(false);
    const error = await startDockerEtcd('etcd:mine', () => {}, played, 0).catch((thrown: Error) => thrown);
    expect((error as Error).message).to.equal(
      'etcd cannot be run in a container (image etcd:mine, see ETCD_IPAM_ETCD_IMAGE): pull access denied',
    );
    expect(asked.at(-1)).to.deep.equal(['rm', '--force', 'etcd-ipam-etcd']);
  });
});
