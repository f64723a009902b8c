// Which etcd a run of the tests gets: in a container or as a plain process; it refuses to know either's ways.
//
// ETCD_IPAM_TEST_ETCD chooses: `container`, `binary`, or `auto` (a container where there is an engine, else the binary).
import { run } from './process.js';

export type EtcdBackend = 'container' | 'binary';

let chosen: Promise<EtcdBackend> | undefined;

/** The same for a whole run. */
export function etcdBackend(): Promise<EtcdBackend> {
  chosen ??= choose();
  return chosen;
}

let shown = false;

/** Says once per run what really runs. */
export function showEtcd(version: string, where: string): void {
  if (!shown) console.log(`etcd: ${version}, ${where}`);
  shown = true;
}

async function choose(): Promise<EtcdBackend> {
  const wanted = process.env.ETCD_IPAM_TEST_ETCD ?? 'auto';
  if (wanted === 'container' || wanted === 'binary') return wanted;
  if (wanted !== 'auto') throw new Error(`ETCD_IPAM_TEST_ETCD is ${wanted}, not container, binary or auto`);
  if (process.env.ETCD_IPAM_TEST_HOST === 'private') return 'container';
  const engine = await run('docker', ['info']).catch(() => undefined);
  return engine !== undefined && /^\s*Server Version:/m.test(engine.stdout) ? 'container' : 'binary';
}
