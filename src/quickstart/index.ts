// What `npm start` runs: the driver, with an etcd of its own unless ETCD_ENDPOINTS names one, and words for a newcomer.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Environment, loadSettings, type Settings, withEnvFile } from '../config.js';
import { instanceId, machineId } from '../etcd/identity.js';
import { type Predefined, parsePredefined } from '../ipam/predefined.js';
import { openLog, reportTo } from '../log.js';
import type { Releasers } from '../process/releasers.js';
import { untilStopped } from '../process/until-stopped.js';
import { silence } from '../process/warnings.js';
import { startDriver } from '../serve.js';
import { CONTAINER, DEFAULT_IMAGE, localEngineAnswers, startDockerEtcd } from './docker-etcd.js';
import { fetchEtcd, installedEtcd } from './etcd-program.js';
import { nextSteps } from './next-steps.js';
import { OwnEtcd } from './own-etcd.js';
import { type Person, socketPlace, stateFolder } from './places.js';
import { findProgram, run } from './programs.js';

const SESSION_WITHIN_MS = 10_000;
const NO_ETCD = `no etcd to be had. One of these helps, and then npm start again:
  install etcd; on Debian and Ubuntu, as root: apt-get update && apt-get install etcd-server etcd-client
  start Docker, in whose container etcd can run
  use an etcd that runs elsewhere: ETCD_ENDPOINTS=http://192.0.2.1:2379 npm start`;

const say = (line: string) => console.log(line);

interface Etcd {
  readonly endpoints: readonly string[];
  readonly etcdctl: string | undefined;
  readonly folder?: string;
}

async function start(environment: Environment, releasers: Releasers): Promise<void> {
  const person: Person = { uid: process.getuid?.() ?? -1, home: homedir(), folder: process.cwd() };
  const folder = stateFolder(environment, person);
  // All of it is checked before anything is started; what we find ourselves only fills what was left open.
  const chosen = withOwnDefaults(environment, person, folder);
  const settings = loadSettings(chosen, parsePredefined);
  for (const warning of settings.warnings) say(`Warning: ${warning}`);

  const etcd = await etcdFor(settings, chosen, folder, releasers);
  const log = openLog({
    level: environment.LOG_LEVEL?.trim() ? settings.logLevel : 'warn',
    node: settings.node,
    fd: 2,
  });
  const found = { ...settings, etcd: { ...settings.etcd, endpoints: etcd.endpoints } };
  const driver = await startDriver(found, log, releasers);
  releasers.push('farewell', () => say('Stopping'));
  let waitsFor: string | undefined;
  try {
    await driver.alive(performance.now() + SESSION_WITHIN_MS);
  } catch (error) {
    waitsFor = (error as Error).message;
  }
  if (releasers.stopping) return;
  const { node, prefix, socket } = settings;
  const { endpoints, etcdctl, folder: etcdFolder } = etcd;
  const { addresses, ops } = driver;
  say(nextSteps({ node, addresses, ops, socket, endpoints, prefix, etcdctl, etcdFolder, waitsFor }));
}

function withOwnDefaults(environment: Environment, person: Person, folder: string): Environment {
  const chosen = { ...environment };
  if (!environment.IPAM_SOCKET?.trim() && !environment.IPAM_LISTEN?.trim())
    chosen.IPAM_SOCKET = socketPlace(environment, person);
  if (!environment.IPAM_MACHINE_ID?.trim()) chosen.IPAM_MACHINE_ID = knownMachine(folder);
  return chosen;
}

/** Many containers have no machine id: then one is made up and kept, which is as good for a host that is tried out. */
function knownMachine(folder: string): string {
  try {
    return machineId();
  } catch {
    const file = join(folder, 'machine-id');
    try {
      return readFileSync(file, 'utf8').trim();
    } catch {
      const made = `${instanceId()}${instanceId()}`;
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeFileSync(file, `${made}\n`);
      return made;
    }
  }
}

async function etcdFor(
  settings: Settings<readonly Predefined[]>,
  environment: Environment,
  folder: string,
  releasers: Releasers,
): Promise<Etcd> {
  const onPath = findProgram('etcdctl', environment.PATH) && 'etcdctl';
  const reading = (etcdctl: string | undefined, endpoints: readonly string[]) =>
    etcdctl && [etcdctl, '--endpoints', endpoints.join(','), ...tlsFlags(environment)].join(' ');
  if (environment.ETCD_ENDPOINTS?.trim()) {
    const { endpoints } = settings.etcd;
    return { endpoints, etcdctl: reading(onPath, endpoints) };
  }

  const program = installedEtcd(folder, environment.PATH) ?? (await fetchEtcd(folder, say));
  if (program) {
    const own = await OwnEtcd.start({ etcd: program.etcd, folder, say, releasers });
    return { endpoints: [own.url], etcdctl: reading(program.etcdctl, [own.url]), folder };
  }
  if (!(await localEngineAnswers(environment, run))) throw new Error(NO_ETCD);
  const inDocker = await startDockerEtcd(environment.ETCD_IPAM_ETCD_IMAGE?.trim() || DEFAULT_IMAGE, say, run);
  releasers.push('etcd container', () => inDocker.stop());
  const endpoints = [inDocker.url];
  return { endpoints, etcdctl: reading(onPath, endpoints) ?? `docker exec ${CONTAINER} etcdctl` };
}

function tlsFlags(environment: Environment): string[] {
  const files = { '--cacert': 'ETCD_CA_FILE', '--cert': 'ETCD_CERT_FILE', '--key': 'ETCD_KEY_FILE' };
  return Object.entries(files).flatMap(([flag, name]) => (environment[name]?.trim() ? [flag, environment[name]] : []));
}

silence('DEP0123'); // as in main.ts
try {
  const { values } = parseArgs({ options: { 'env-file': { type: 'string' } } });
  const environment = withEnvFile(process.env, values['env-file']);
  const log = openLog({ level: 'warn', node: 'npm-start', fd: 2 });
  await untilStopped((releasers) => start(environment, releasers), reportTo(log));
} catch (error) {
  console.error(`etcd-ipam: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
