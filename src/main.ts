#!/usr/bin/env node
// The command `etcd-ipam`: words and exit codes. Loads the rest only when it is asked for, so that `status` is quick.
import { Command } from 'commander';
import { loadSettings, type Settings, withEnvFile } from './config.js';
import { type Predefined, parsePredefined } from './ipam/predefined.js';

interface Options {
  readonly envFile?: string;
}

interface EvictFlags {
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const program = new Command('etcd-ipam')
  .description('IP address manager for Docker: one etcd, every host, no address given twice')
  .showHelpAfterError();

withEnvFileOption(program.command('serve'))
  .description('answer the engine on this host, until stopped')
  .option('--stay', 'end only when stopped, even if the start fails: for managed plugins')
  .action(({ stay, ...options }: Options & { readonly stay?: boolean }) => {
    const started = serve(options);
    return stay ? started.catch(stayAfter) : started;
  });

withEnvFileOption(program.command('status'))
  .description('plugin, etcd and session of this host; exit code 0 if all are well, else 1')
  .option('--json', 'one JSON object')
  .action(async ({ json, ...options }: Options & { readonly json?: boolean }) => {
    const { formatStatus, readStatus } = await import('./status.js');
    const status = await readStatus(settingsOf(options));
    console.log(json ? JSON.stringify(status) : formatStatus(status));
    process.exitCode = Object.values(status).every(({ ok }) => ok) ? 0 : 1;
  });

withEnvFileOption(program.command('nodes'))
  .description('the hosts: which are alive, silent, gone or evicted, and what they take part in')
  .option('--json', 'one JSON object')
  .action(async ({ json, ...options }: Options & { readonly json?: boolean }) => {
    const [{ listNodes, formatNodes }, { withStore }, { roundsIn }, { ROUND_MS }] = await Promise.all([
      import('./ops/nodes.js'),
      import('./operator.js'),
      import('./ipam/silence.js'),
      import('./rounds.js'),
    ]);
    const settings = settingsOf(options);
    const gone = roundsIn(settings.hold, ROUND_MS);
    const seen = await withStore(settings, (store, by) => listNodes(store, gone, by));
    console.log(json ? JSON.stringify(seen) : formatNodes(seen, ROUND_MS));
  });

withEnvFileOption(program.command('evict'))
  .argument('<node>', 'its name, as `nodes` lists it')
  .description('give up a host that will not come back: others may take its addresses at once')
  .option('--force', 'even if it has a session, which ends')
  .option('--dry-run', 'change nothing, and say what others could take')
  .option('--json', 'one JSON object')
  .action(async (node: string, { json, force = false, dryRun = false, ...options }: Options & EvictFlags) => {
    const [{ evictNode, formatEviction }, { withStore }, { randomBytes }] = await Promise.all([
      import('./ops/evict.js'),
      import('./operator.js'),
      import('node:crypto'),
    ]);
    const wanted = { force, dryRun, now: new Date(), token: randomBytes(8).toString('hex') };
    const eviction = await withStore(settingsOf(options), (store, by) => evictNode(store, node, wanted, by));
    console.log(json ? JSON.stringify(eviction) : formatEviction(eviction));
  });

withEnvFileOption(program.command('resume'))
  .description('after etcd was restored from a backup: give addresses again, whoever has not reconciled')
  .option('--dry-run', 'change nothing, and say who has')
  .option('--json', 'one JSON object')
  .action(async ({ json, dryRun = false, ...options }: Options & EvictFlags) => {
    const [{ resume, formatResumed }, { withStore }] = await Promise.all([
      import('./ops/resume.js'),
      import('./operator.js'),
    ]);
    const resumed = await withStore(settingsOf(options), (store, by) => resume(store, dryRun, by));
    console.log(json ? JSON.stringify(resumed) : formatResumed(resumed));
  });

async function serve(options: Options): Promise<void> {
  const settings = settingsOf(options);
  const [{ openLog, reportTo }, { startDriver }, { untilStopped }, { takeInherited }] = await Promise.all([
    import('./log.js'),
    import('./serve.js'),
    import('./process/until-stopped.js'),
    import('./process/inherited.js'),
  ]);
  const inherited = takeInherited(process.env);
  const log = openLog({ level: settings.logLevel, node: settings.node });
  for (const warning of settings.warnings) log.warn(warning);
  await untilStopped((releasers) => startDriver(settings, log, releasers, inherited), reportTo(log));
}

/**
 * An engine starts a managed plugin that ended once more at once, also while it is still waiting for the first to listen;
 * then it gives up and has lost track of the second, so that the plugin can never be enabled again (20.10.24: "id
 * already in use"). One that stays and does not listen is stopped after 10 s, and can be.
 */
function stayAfter(error: unknown): void {
  complain(error);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => process.exit(1));
  setInterval(() => undefined, 60_000);
}

function complain(error: unknown): void {
  console.error(`etcd-ipam: ${error instanceof Error ? error.message : String(error)}`);
}

function withEnvFileOption(command: Command): Command {
  return command.option('--env-file <file>', 'settings as NAME=value lines; the environment wins over them');
}

function settingsOf({ envFile }: Options): Settings<readonly Predefined[]> {
  return loadSettings(withEnvFile(process.env, envFile), parsePredefined);
}

try {
  await program.parseAsync();
} catch (error) {
  complain(error);
  process.exit(1);
}
