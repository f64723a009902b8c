#!/usr/bin/env node
// The command `etcd-ipam`: words and exit codes. Loads the rest only when it is asked for, so that `status` is quick.
import { Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from './config/kinds.js';
import { isNodeName, loadSettings, type Settings, withEnvFile } from './config.js';
import { plainly } from './ipam/plain.js';
import { type Predefined, parsePredefined } from './ipam/predefined.js';
import { CLAIM_KINDS } from './ipam/records.js';
import { type Address, parseAddress } from './net/address.js';
import { type Prefix, parsePrefix } from './net/prefix.js';
import { addOperatingCommands } from './operating.js';
import { parseInstant } from './ops/instant.js';
import type { Screen } from './ops/table.js';
import { silence } from './process/warnings.js';
import { addRuleCommands, argument, type CommandWords, parseSpace } from './ruling.js';

interface Options {
  readonly envFile?: string;
}

interface CheckFlags {
  readonly fix?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

interface EvictFlags {
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

interface ClaimFlags {
  readonly space?: string;
  readonly node?: string;
  readonly name?: string;
  readonly kind?: string;
  readonly older?: Date;
  readonly newer?: Date;
  readonly json?: boolean;
}

const CHECK_HELP = `
Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage or settings, 3 the records could not be read.
It may run at any time: it reads one revision without a lock, and what is only in passing it does not report.

Example:
  $ etcd-ipam check
  1 finding in 1214 records under /etcd-ipam/ at revision 48211

  pool-closing: a pool whose removal was begun and not finished
    10.70.0.0/24 (local): its removal was begun
    to do: etcd-ipam check --fix, which removes it with what is left in it
  $ etcd-ipam check --dry-run; etcd-ipam check --fix`;

const program = new Command('etcd-ipam')
  .description('IP address manager for Docker: one etcd, every host, no address given twice')
  .configureOutput({ outputError: (text, write) => write(`${text.trim().replaceAll('\n', ' ')}\n`) })
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));

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
    process.exitCode = Object.values(status).every(({ ok }) => ok) ? 0 : 1;
    console.log(json ? JSON.stringify(status) : formatStatus(status));
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
    console.log(json ? JSON.stringify(seen) : formatNodes(plainly(seen), ROUND_MS, screen()));
  });

withEnvFileOption(program.command('pools'))
  .description('the subnets: how full each is, and how many hosts have a part in it')
  .option('--json', 'one JSON array')
  .action(async ({ json, ...options }: Options & { readonly json?: boolean }) => {
    const [{ listPools, poolLines }, { print }, { withStore }] = await Promise.all([
      import('./ops/pools.js'),
      import('./ops/printing.js'),
      import('./operator.js'),
    ]);
    await withStore(settingsOf(options), (store, by) =>
      print(listPools(store, by), process.stdout, json ? { json: 'array' } : { lines: poolLines(screen()) }),
    );
  });

withEnvFileOption(program.command('claims'))
  .argument('[pool]', 'a subnet, such as 10.66.0.0/24; all, if there is none', argument(parsePrefix))
  .description('the addresses that are taken, as they are read')
  .option('--space <name>', 'of that address space; of a pool without it, of local', argument(parseSpace))
  .option('--node <name>', 'of that host', nodeName)
  .option('--name <name>', 'of the container or task of that name')
  .addOption(new Option('--kind <kind>', 'of that kind').choices(CLAIM_KINDS))
  .option('--older <duration>', 'written longer ago than that, such as 7d', ago)
  .option('--newer <duration>', 'written within that, such as 10m', ago)
  .option('--json', 'one JSON object a line')
  .action(async (prefix: Prefix | undefined, { space, json, older, newer, ...rest }: Options & ClaimFlags) => {
    const [{ claimLines, listClaims }, { print }, { withStore }] = await Promise.all([
      import('./ops/claims.js'),
      import('./ops/printing.js'),
      import('./operator.js'),
    ]);
    const { envFile: _, ...filter } = { ...rest, ...(older && { before: older }), ...(newer && { after: newer }) };
    await withStore(settingsOf(rest), (store, by) =>
      print(
        listClaims(store, prefix && { space: space ?? 'local', prefix }, { ...filter, ...(space && { space }) }, by),
        process.stdout,
        json ? { json: 'lines' } : { lines: claimLines(screen()) },
      ),
    );
  });

withEnvFileOption(program.command('who'))
  .argument('<address>', 'such as 10.66.0.7', argument(parseAddress))
  .description('who has that address, and who had it; exit code 1 if nobody has')
  .option('--at <time>', "who had it then, such as '2026-11-29 14:03'; exit code 1 if nobody had", argument(parsePast))
  .option('--json', 'one JSON array, with an object for each pool that the address lies in')
  .action(
    async (address: Address, { json, at, ...options }: Options & { readonly json?: boolean; readonly at?: Date }) => {
      if (at) return whoHad(address, at, json, settingsOf(options));
      const [{ formatWho, whoHas }, { withStore }, { roundsIn }, { ROUND_MS }] = await Promise.all([
        import('./ops/who.js'),
        import('./operator.js'),
        import('./ipam/silence.js'),
        import('./rounds.js'),
      ]);
      const settings = settingsOf(options);
      const gone = roundsIn(settings.hold, ROUND_MS);
      const answers = await withStore(settings, (store, by) => whoHas(store, address, gone, by));
      process.exitCode = answers.some(({ claim }) => claim !== undefined) ? 0 : 1;
      console.log(json ? JSON.stringify(answers) : formatWho(address, plainly(answers)));
    },
  );

withEnvFileOption(program.command('evict'))
  .argument('<node>', 'its name, as `nodes` lists it', nodeName)
  .description('give up a host that will not come back: others may take its addresses at once')
  .option('--force', 'even if it has a session, which ends')
  .option('--dry-run', 'change nothing, and say what others could take')
  .option('--json', 'one JSON object')
  .action(async (node: string, { json, force = false, dryRun = false, ...options }: Options & EvictFlags) => {
    const [{ evictNode, formatEviction }, { withStore }] = await Promise.all([
      import('./ops/evict.js'),
      import('./operator.js'),
    ]);
    const wanted = { force, dryRun, now: new Date() };
    const eviction = await withStore(settingsOf(options), (store, by) => evictNode(store, node, wanted, by));
    console.log(json ? JSON.stringify(eviction) : formatEviction(plainly(eviction)));
  });

withEnvFileOption(program.command('resume'))
  .description('after etcd was restored from a backup: give addresses again, whoever has not reconciled')
  .option('--dry-run', 'change nothing, and say who has')
  .option('--json', 'one JSON object')
  .action(async ({ json, dryRun = false, ...options }: Options & Omit<EvictFlags, 'force'>) => {
    const [{ resume, formatResumed }, { withStore }] = await Promise.all([
      import('./ops/resume.js'),
      import('./operator.js'),
    ]);
    const resumed = await withStore(settingsOf(options), (store, by) => resume(store, dryRun, by));
    console.log(json ? JSON.stringify(resumed) : formatResumed(plainly(resumed)));
  });

const words: CommandWords = {
  command: (name) => withEnvFileOption(program.command(name)),
  settings: settingsOf,
  complain,
};
addRuleCommands(words);

withEnvFileOption(program.command('check'))
  .description('whether the records in etcd agree with one another, and with the engine if IPAM_ENGINE_SOCKET is set')
  .option('--fix', 'put right what is safe, each by what it was judged by, unchanged')
  .option('--dry-run', 'change nothing, and say what --fix would do')
  .option('--json', 'one JSON object')
  .addHelpText('after', CHECK_HELP)
  .action(async ({ json = false, fix = false, dryRun = false, ...options }: Options & CheckFlags) => {
    const { checkRecords } = await import('./checking.js');
    await checkRecords(() => settingsOf(options), { json, fix, dryRun }, complain);
  });

addOperatingCommands(program, words);

async function whoHad(address: Address, at: Date, json: boolean | undefined, settings: Settings<unknown>) {
  const [{ formatThen, whoHadAt }, { withStore }] = await Promise.all([
    import('./ops/had.js'),
    import('./operator.js'),
  ]);
  const answers = await withStore(settings, (store, by) => whoHadAt(store, address, at, by));
  process.exitCode = answers.some(({ had }) => had.length > 0) ? 0 : 1;
  console.log(json ? JSON.stringify(answers) : formatThen(address, at, plainly(answers)));
}

async function serve(options: Options): Promise<void> {
  const settings = loadedFrom(options);
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

/** Colours are for people's eyes, who may not want them (https://no-color.org). */
function screen(): Screen {
  const { isTTY, columns } = process.stdout;
  return { width: isTTY ? columns : undefined, colour: isTTY && !process.env.NO_COLOR };
}

/** So long ago. */
function ago(text: string): Date {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('It has to be a duration such as 90s, 10m, 24h or 7d.');
  return new Date(Date.now() - ms);
}

/** Of a later instant nobody can say who will have had it. */
function parsePast(text: string): Date {
  const [at, now] = [parseInstant(text), new Date()];
  if (at > now) throw new Error(`${at.toISOString()} is in the future: it is ${now.toISOString()} now`);
  return at;
}

function nodeName(text: string): string {
  if (!isNodeName(text)) throw new InvalidArgumentError('It is not the name of a node, as `nodes` lists them.');
  return text;
}

function withEnvFileOption(command: Command): Command {
  return command.option('--env-file <file>', 'settings as NAME=value lines; the environment wins over them');
}

/** For commands, which have no log. */
function settingsOf(options: Options): Settings<unknown> {
  const settings = loadedFrom(options);
  for (const warning of settings.warnings) complain(`warning: ${warning}`);
  return settings;
}

function loadedFrom({ envFile }: Options): Settings<readonly Predefined[]> {
  return loadSettings(withEnvFile(process.env, envFile), parsePredefined);
}

// "Setting the TLS ServerName to an IP address": grpc-js does where an endpoint of etcd is one; etcd3 leaves no choice.
// It harms nothing: the certificate is verified for that address, and Node says that it will drop such a name some day.
silence('DEP0123');

// `etcd-ipam claims | head`: who reads no further has seen enough. Commands set their exit code before they print, for this.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  complain(`standard output: ${error.message}`);
  process.exit(1);
});

try {
  await program.parseAsync();
} catch (error) {
  complain(error);
  process.exit(1);
}
