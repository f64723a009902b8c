// Operators' commands that look on, act by hand and carry records elsewhere: their words, options and exit codes.
import { readFileSync } from 'node:fs';
import { Argument, type Command } from 'commander';
import type { Settings } from './config.js';
import type { Engine } from './ipam/engine-view.js';
import { plain, plainly } from './ipam/plain.js';
import { type Address, parseAddress } from './net/address.js';
import { type Prefix, parsePrefix } from './net/prefix.js';
import { completion, SHELLS, type Shell } from './ops/completion.js';
import { argument, type CommandWords, parseSpace } from './ruling.js';

interface Options {
  readonly envFile?: string;
  readonly json?: boolean;
}

/** `program`: with all its commands once it is asked what shells can complete. */
export function addOperatingCommands(program: Command, words: CommandWords): void {
  addWatch(words);
  addRelease(words);
  addExport(words);
  addImport(words);
  addCompletion(program);
  for (const command of program.commands) {
    const lines = EXAMPLES[command.name()];
    if (lines) command.addHelpText('after', `\nExample:\n${lines.map((line) => `  $ ${line}`).join('\n')}`);
  }
}

/** Of commands whose help says nothing else behind its options. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  status: ['etcd-ipam status --env-file /etc/etcd-ipam/etcd-ipam.env'],
  nodes: ['etcd-ipam nodes --json | jq -r \'.nodes[] | select(.state != "alive").node\''],
  pools: ["etcd-ipam pools --json | jq -r '.[] | select(.free < 10).pool'"],
  claims: ['etcd-ipam claims 10.66.0.0/24 --node host-b --newer 10m', 'etcd-ipam claims --kind endpoint --older 30d'],
  who: ['etcd-ipam who 10.66.0.7', "etcd-ipam who 10.66.0.7 --at '2026-11-29 14:03'"],
  evict: ['etcd-ipam evict host-b --dry-run; etcd-ipam evict host-b'],
  resume: ['etcd-ipam resume --dry-run; etcd-ipam resume'],
  pool: ['etcd-ipam pool 10.66.0.0/24'],
  note: ['etcd-ipam note 10.66.0.0/24 "second floor"'],
  'warn-at': ['etcd-ipam warn-at 10.66.0.0/24 80'],
};

function addCompletion(program: Command): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .description('what a shell needs to complete these commands, as in: source <(etcd-ipam completion bash)')
    .action((shell: Shell) => {
      const commands = program.commands.map((command) => ({
        name: command.name(),
        description: command.description(),
        options: command.options.map(({ long, description, required, optional, argChoices = [] }) => ({
          ...{ flag: long ?? '', description, takesValue: required || optional, choices: argChoices },
        })),
        words: command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices),
      }));
      console.log(completion(shell, commands));
    });
}

function addExport({ command, settings: load, complain }: CommandWords): void {
  command('export')
    .description('all pools, networks, claims and hosts as they are at one revision, a JSON object a line, on stdout')
    .addHelpText('after', EXPORT_HELP)
    .action(async (options: Options) => {
      const [{ exportOf }, { withStore }] = await Promise.all([import('./ops/carry.js'), import('./operator.js')]);
      const settings = load(options);
      await withStore(settings, async (_, by, snapshot) => {
        process.exitCode = 1; // if it is cut off
        const { lines, left } = exportOf(await snapshot(by), settings.prefix);
        for (const line of lines) await written(line);
        for (const { key, why } of left) complain(`${settings.prefix}${plain(key)} was left out: ${plain(why)}`);
        if (left.length === 0) process.exitCode = 0;
      });
    });
}

/** Resolves when the line is out. Where it cannot be, main.ts ends the process. */
function written(line: string): Promise<void> {
  return new Promise((resolve) => {
    process.stdout.write(`${line}\n`, (error) => {
      if (!error) resolve();
    });
  });
}

const EXPORT_HELP = `
Left out is what goes by itself: sessions, addresses that rest, and who had an address before; and, named on stderr, what no import
would take.

Example:
  $ etcd-ipam export > ipam.jsonl
  $ ETCD_ENDPOINTS=http://10.0.0.9:2379 etcd-ipam import ipam.jsonl --dry-run`;

interface ImportFlags extends Options {
  readonly dryRun?: boolean;
}

function addImport({ command, settings: load, complain }: CommandWords): void {
  command('import')
    .argument('<file>', 'what `export` printed; - is standard input')
    .description('write what is missing, and nothing where a record is there and differs')
    .option('--dry-run', 'change nothing, and say what is missing and what differs')
    .option('--json', 'one JSON object')
    .addHelpText('after', IMPORT_HELP)
    .action(async (file: string, { dryRun = false, json, ...options }: ImportFlags) => {
      const [{ formatImported, importRecords, readExport }, { withStore }, { AROUND }] = await Promise.all([
        import('./ops/carry.js'),
        import('./operator.js'),
        import('./checking.js'),
      ]);
      const settings = load(options);
      let records: ReturnType<typeof readExport>;
      try {
        records = readExport(readFileSync(file === '-' ? 0 : file, 'utf8'));
      } catch (error) {
        complain(`${file}: ${(error as Error).message}`);
        process.exitCode = 2;
        return;
      }
      const progress = (done: number, of: number) => {
        if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${of} records${done === of ? '\n' : ''}`);
      };
      const wanted = { dryRun, node: settings.node, progress };
      const imported = await withStore(settings, (store, by, snapshot) =>
        importRecords(store, snapshot, records, wanted, AROUND, by),
      );
      process.exitCode = imported.differing.length + imported.wrong.length > 0 ? 1 : 0;
      console.log(json ? JSON.stringify(imported) : formatImported(plainly(imported)));
    });
}

const IMPORT_HELP = `
Every record is compared to be absent as it is written. From the first one on the mark of a restored backup stands: no
address is given until all hosts have compared their engines with the records, or etcd-ipam resume was run.
Hosts that are there already stay as they are. Exit codes: 0 all is there now (or would be), 1 something differs, 2 wrong usage, or a file that is no export.

Example:
  $ etcd-ipam import ipam.jsonl --dry-run; etcd-ipam import ipam.jsonl`;

interface ReleaseFlags extends Options {
  readonly space: string;
  readonly yes?: boolean;
  readonly force?: boolean;
}

function addRelease({ command, settings: load }: CommandWords): void {
  command('release')
    .argument('<address>', 'such as 10.66.0.7', argument(parseAddress))
    .description('free an address by hand: says what stands behind it, and does it with --yes')
    .option('--space <name>', 'the address space', argument(parseSpace), 'local')
    .option('--yes', 'do it, if what was shown is still so')
    .option(
      '--force',
      'even if its host is alive, its engine shows a container with it, networks share it, a swarm gave it, or this version cannot read who has it',
    )
    .option('--json', 'one JSON object')
    .addHelpText('after', RELEASE_HELP)
    .action(async (address: Address, { space, yes = false, force = false, json, ...options }: ReleaseFlags) => {
      const [{ formatRelease, release }, { withStore }, { roundsIn }, { ROUND_MS }] = await Promise.all([
        import('./ops/release.js'),
        import('./operator.js'),
        import('./ipam/silence.js'),
        import('./rounds.js'),
      ]);
      const settings = load(options);
      const asked = await engineOf(settings);
      const wanted = {
        ...{ space, yes, force, goneRounds: roundsIn(settings.hold, ROUND_MS), keepMs: settings.history },
        ...{ now: () => new Date(), ...(asked && { engine: { node: settings.node, asked } }) },
      };
      const done = await withStore(settings, (store, by) => release(store, address, wanted, by));
      process.exitCode = done.released ? 0 : 1;
      console.log(json ? JSON.stringify(done) : formatRelease(plainly(done), wanted));
    });
}

async function engineOf(settings: Settings<unknown>): Promise<Engine | undefined> {
  if (settings.engineSocket === undefined) return undefined;
  const [{ DockerEngine }, { driversServed }] = await Promise.all([
    import('./engine/docker-view.js'),
    import('./reconciliation.js'),
  ]);
  return new DockerEngine(settings.engineSocket, driversServed(settings));
}

const RELEASE_HELP = `
Compares all that it has shown: who asks for the address meanwhile keeps it. Where a container of a living host still uses
it, another one may be given the same, so stop or remove that instead. IPAM_ENGINE_SOCKET lets it ask this host's engine.
Exit codes: 0 it was released, 1 it was not, 2 wrong usage.

Example:
  $ etcd-ipam release 10.66.0.7
  10.66.0.7 of 10.66.0.0/24 in local: endpoint, since 2026-11-29T14:03:12.120Z
    who       web
    node      host-b, which is gone
  would be released: add --yes`;

function addWatch({ command, settings, complain }: CommandWords): void {
  command('watch')
    .argument('[pool]', 'a subnet, such as 10.66.0.0/24; all, and nodes, if there is none', argument(parsePrefix))
    .description('what changes, as it happens, until Ctrl-C')
    .option('--space <name>', 'the address space of the pool', argument(parseSpace), 'local')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', WATCH_HELP)
    .action(async (prefix: Prefix | undefined, { space, json, ...options }: Options & { readonly space: string }) => {
      const [{ formatEvent, watch, watchTitles }, { withStore }] = await Promise.all([
        import('./ops/watch.js'),
        import('./operator.js'),
      ]);
      const stop = new AbortController();
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
      let away = false;
      const report = (problem: string | undefined) => {
        if (problem !== undefined && !away) complain(`${problem}; waiting`);
        if (problem === undefined && away) complain('watching again');
        away = problem !== undefined;
      };
      const pool = prefix && { space, prefix };
      if (!json) console.log(watchTitles());
      await withStore(settings(options), async (_store, _by, _snapshot, watching) => {
        for await (const event of watch(watching, { ...(pool && { pool }), signal: stop.signal, report })) {
          const at = new Date();
          console.log(json ? JSON.stringify({ at: at.toISOString(), ...event }) : formatEvent(plainly(event), at));
        }
      });
    });
}

const WATCH_HELP = `
Events: allocated, renewed (asked for again by its holder), taken (from another), released, free (has rested); shared,
unshared; pool-made, pool-changed, pool-removed; joined, left; of nodes alive, ended, silent, returned, evicted, forgotten;
braked, unbraked; restored, resumed; missed: what happened is not known, so look with etcd-ipam claims.
While etcd is away it waits, and says so on stderr. Exit code 0 when it is stopped.

Example:
  $ etcd-ipam watch 10.66.0.0/24 --json | jq -r 'select(.event == "allocated") | .address'`;
