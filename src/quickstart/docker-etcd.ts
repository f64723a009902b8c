// An etcd in a container of this machine's own engine, for where no etcd program is to be had. Knows the docker command.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Environment } from '../config.js';
import { answersHealthy, choosePort } from './ports.js';
import { findProgram, type Run } from './programs.js';

export const DEFAULT_IMAGE = 'quay.io/coreos/etcd:v3.6.16';
export const CONTAINER = 'etcd-ipam-etcd';

const READY_MS = 30_000;
const PULL_MS = 300_000;

/** Whether an engine of this machine answers: one elsewhere would publish etcd's port there. */
export async function localEngineAnswers(environment: Environment, run: Run): Promise<boolean> {
  const host = environment.DOCKER_HOST?.trim();
  if (host && !host.startsWith('unix://')) return false;
  if (!findProgram('docker', environment.PATH)) return false;
  const { ok, output } = await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeoutMs: 5_000 });
  return ok && /^\d+\./.test(output);
}

export interface DockerEtcd {
  readonly url: string;
  /** The container goes, its volume with the data stays. */
  stop(): Promise<void>;
}

/** Rejects with the engine's own words when the image cannot be had or etcd does not answer. */
export async function startDockerEtcd(
  image: string,
  say: (line: string) => void,
  run: Run,
  preferredPort = 2379,
): Promise<DockerEtcd> {
  const remove = async () => {
    await run('docker', ['stop', '-t', '8', CONTAINER], { timeoutMs: 15_000 });
    await run('docker', ['rm', '--force', CONTAINER], { timeoutMs: 15_000 });
  };
  await remove();
  const port = await choosePort(preferredPort, say);
  const url = `http://127.0.0.1:${port}`;
  say(`No etcd program here: running ${image} as container ${CONTAINER}, its data in a volume of that name`);
  const container = ['--detach', '--name', CONTAINER, '--volume', `${CONTAINER}:/etcd-data`];
  const published = ['--publish', `127.0.0.1:${port}:2379`, '--entrypoint', 'etcd'];
  const flags = [
    '--name=etcd-ipam',
    '--data-dir=/etcd-data',
    '--listen-client-urls=http://0.0.0.0:2379',
    `--advertise-client-urls=${url}`,
    '--auto-compaction-mode=periodic',
    '--auto-compaction-retention=1h',
    '--quota-backend-bytes=2147483648',
  ];
  const started = await run('docker', ['run', ...container, ...published, image, ...flags], { timeoutMs: PULL_MS });
  if (!started.ok) {
    await remove();
    throw new Error(`etcd cannot be run in a container (image ${image}, see ETCD_IPAM_ETCD_IMAGE): ${started.output}`);
  }
  const giveUp = performance.now() + READY_MS;
  while (!(await answersHealthy(url))) {
    if (performance.now() > giveUp) {
      const { output } = await run('docker', ['logs', '--tail', '5', CONTAINER], { timeoutMs: 10_000 });
      await remove();
      throw new Error(`etcd in container ${CONTAINER} did not answer within ${READY_MS / 1_000} s:\n${output}`);
    }
    await sleep(100);
  }
  return { url, stop: remove };
}
