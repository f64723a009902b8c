// The commands by which an operator rules over a pool, their arguments and exit codes. Loads what they do when one is run.
import { type Command, InvalidArgumentError } from 'commander';
import type { Settings } from './config.js';
import { IpamError } from './ipam/errors.js';
import { plainly } from './ipam/plain.js';
import type { RuleChange } from './ipam/rule-changes.js';
import { isGlobal, isSpace } from './ipam/spaces.js';
import { type Address, NetError, parseAddress } from './net/address.js';
import { parseMac } from './net/mac.js';
import { type Prefix, parsePrefix, type Range } from './net/prefix.js';
import { parseRange } from './net/range.js';

const EXIT = { refused: 1, usage: 2, unanswered: 3 } as const;

const CODES = `
Exit codes: 0 done, or so already; 1 refused, which is said on stderr; 2 wrong usage or settings; 3 etcd does not answer.
Once the command has ended every host goes by it. The rules stay when the last network of the subnet is removed.`;

const EXCLUDE_HELP = `${CODES}

Examples:
  $ etcd-ipam exclude 10.66.0.0/24 10.66.0.1-10.66.0.9 --comment "routers and printers"
  $ etcd-ipam exclude 10.66.0.0/24 10.66.0.128/25 --keep
  $ etcd-ipam exclude 10.66.0.0/24 10.66.0.128/25 --remove`;

const RESERVE_HELP = `${CODES}
Engines from version 29 on say the name of a container; older ones its MAC, with IPAM_REQUIRE_MAC=true.

Examples:
  $ etcd-ipam reserve 10.66.0.0/24 10.66.0.7 --name web --comment "in the firewall"
  $ etcd-ipam reserve 10.66.0.0/24 10.66.0.8 --mac 02:42:0a:42:00:08
  $ etcd-ipam reserve 10.66.0.0/24 10.66.0.7 --remove`;

interface Flags {
  readonly space: string;
  readonly comment?: string;
  readonly name?: string;
  readonly mac?: string;
  readonly keep?: boolean;
  readonly remove?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly envFile?: string;
}

/** What main.ts has for each of its commands. */
export interface CommandWords {
  settings(flags: { readonly envFile?: string }): Settings<unknown>;
  complain(error: unknown): void;
  /** With its option for settings. */
  command(name: string): Command;
}

export function addRuleCommands(around: CommandWords): void {
  const ruling = (name: string) =>
    around
      .command(name)
      .argument('<pool>', 'a subnet, such as 10.66.0.0/24', argument(parsePrefix))
      .option('--space <name>', 'the address space of the pool', argument(parseSpace), 'local')
      .option('--json', 'one JSON object')
      .showHelpAfterError(false)
      .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : EXIT.usage));
  const changing = (name: string) =>
    ruling(name).option('--remove', 'take it back').option('--dry-run', 'change nothing, and say what would be');

  ruling('pool')
    .description('what is laid down for a subnet: exclusions, reservations, a note, how full is too full')
    .addHelpText('after', CODES)
    .action((prefix: Prefix, flags: Flags) => show(around, prefix, flags));

  changing('exclude')
    .argument('<range>', 'an address, two with a "-" between them, or a block', argument(parseRange))
    .description('leave addresses out: no container gets them, on no host')
    .option('--comment <text>', 'why; whoever is refused one reads it')
    .option('--keep', 'even if some are in use: whoever has one keeps it until it is given back')
    .addHelpText('after', EXCLUDE_HELP)
    .action((prefix: Prefix, range: Range, flags: Flags) =>
      rule(around, prefix, flags, () =>
        flags.remove ? { kind: 'include', range } : { kind: 'exclude', range, ...commented(flags) },
      ),
    );

  changing('reserve')
    .argument('<address>', 'such as 10.66.0.7', argument(parseAddress))
    .description('keep an address for a container, which gets it whenever it asks for any; others never do')
    .option('--name <name>', 'for the container of that name')
    .option('--mac <mac>', 'for the interface with that MAC', argument(parseMac))
    .option('--comment <text>', 'why; whoever is refused it reads it')
    .option('--keep', 'even if another has it, who keeps it until it is given back')
    .addHelpText('after', RESERVE_HELP)
    .action((prefix: Prefix, address: Address, flags: Flags) =>
      rule(around, prefix, flags, () => reserving(address, flags)),
    );

  changing('note')
    .argument('[text]', 'one line')
    .description('say what a subnet is for; `pools --json` and `pool` show it')
    .addHelpText('after', CODES)
    .action((prefix: Prefix, text: string | undefined, flags: Flags) =>
      rule(around, prefix, flags, () => {
        if (flags.remove) return { kind: 'note' };
        if (text === undefined) throw new Usage('what is the note? (--remove: none)');
        return { kind: 'note', text };
      }),
    );

  changing('warn-at')
    .argument('[percent]', 'of what can be given, from 1 to 100', argument(parsePercent))
    .description('how full is too full: `pools` marks it, metrics tell it')
    .addHelpText('after', CODES)
    .action((prefix: Prefix, at: number | undefined, flags: Flags) =>
      rule(around, prefix, flags, () => {
        if (flags.remove) return { kind: 'warn' };
        if (at === undefined) throw new Usage('from how many per cent on? (--remove: never)');
        return { kind: 'warn', at };
      }),
    );
}

/** Arguments that do not go together. */
class Usage extends Error {}

function reserving(address: Address, flags: Flags): RuleChange {
  const { remove, name, mac } = flags;
  if (remove) return { kind: 'unreserve', address };
  if (name !== undefined && mac === undefined) return { kind: 'reserve', address, name, ...commented(flags) };
  if (mac !== undefined && name === undefined) return { kind: 'reserve', address, mac, ...commented(flags) };
  throw new Usage('for whom is it? Either --name or --mac');
}

function commented({ comment }: Flags): { comment?: string } {
  return comment === undefined ? {} : { comment };
}

async function show(around: CommandWords, prefix: Prefix, flags: Flags): Promise<void> {
  await ending(around, flags, async (settings) => {
    const [{ formatRules, showRules }, { withStore }] = await Promise.all([
      import('./ops/rules.js'),
      import('./operator.js'),
    ]);
    const subnet = { space: flags.space, prefix };
    const shown = await withStore(settings, (store, by) => showRules(store, subnet, settings.swarm, by));
    return flags.json ? JSON.stringify(shown) : formatRules(plainly(shown));
  });
}

async function rule(around: CommandWords, prefix: Prefix, flags: Flags, of: () => RuleChange): Promise<void> {
  await ending(around, flags, async (settings) => {
    const change = of();
    const [{ formatRuled, rulePool }, { sensible }, { withStore }, { randomBytes }] = await Promise.all([
      import('./ops/rules.js'),
      import('./ipam/rule-changes.js'),
      import('./operator.js'),
      import('node:crypto'),
    ]);
    const { space, keep = false, dryRun = false, json } = flags;
    try {
      sensible(change, prefix, isGlobal(space));
    } catch (error) {
      throw new Usage((error as Error).message);
    }
    const options = { keep, dryRun, now: new Date(), token: randomBytes(8).toString('hex'), swarm: settings.swarm };
    const ruled = await withStore(settings, (store, by) => rulePool(store, { space, prefix }, change, options, by));
    return json ? JSON.stringify(ruled) : formatRuled(change, plainly(ruled));
  });
}

/** Prints what it resolves with, or why not, and sets the exit code. */
async function ending(
  { settings: load, complain }: CommandWords,
  flags: Flags,
  run: (settings: Settings<unknown>) => Promise<string>,
): Promise<void> {
  let settings: Settings<unknown>;
  try {
    settings = load(flags);
  } catch (error) {
    complain(error);
    process.exitCode = EXIT.usage;
    return;
  }
  try {
    console.log(await run(settings));
  } catch (error) {
    complain(error);
    process.exitCode = exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof Usage) return EXIT.usage;
  const refused = error instanceof IpamError && (error.kind === 'invalid' || error.kind === 'conflict');
  return refused ? EXIT.refused : EXIT.unanswered;
}

export function parseSpace(text: string): string {
  if (!isSpace(text)) throw new NetError(text, 'is not an address space such as local or global.blue');
  return text;
}

function parsePercent(text: string): number {
  if (!/^\d{1,3}(\.\d)?%?$/.test(text)) throw new NetError(text, 'is not a percentage such as 80');
  return Number(text.replace('%', ''));
}

/** What a parser of net/ throws, in the words of the command line. */
export function argument<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}
