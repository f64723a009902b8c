// What a text shows as typed into terminals and printed there, and whether something printed has the form of something
// shown; it refuses to know what is typed.

/** One command, with the lines that the text shows below it. */
export interface Step {
  /** The word before `$ `: whose terminal. */
  readonly prompt: string;
  /** As it is typed; over several lines if each but the last ends with a backslash. */
  readonly command: string;
  readonly shown: readonly string[];
}

/** The steps of the console blocks of a section of Markdown, by the headings right above them; fails on a line without a prompt. */
export function stepsOf(markdown: string, section: string): Map<string, Step[]> {
  const [, text = ''] = `\n${markdown}`.split(`\n## ${section}\n`);
  const byHeading = new Map<string, Step[]>();
  for (const part of text.split(/^## /m)[0]!.split(/^### /m).slice(1)) {
    const heading = part.slice(0, part.indexOf('\n'));
    const blocks = [...part.matchAll(/^```console\n(.*?)^```$/gms)].map(([, block]) => block!);
    byHeading.set(heading, blocks.flatMap(stepsOfBlock));
  }
  return byHeading;
}

function stepsOfBlock(block: string): Step[] {
  const steps: { prompt: string; command: string; shown: string[] }[] = [];
  for (const line of block.trimEnd().split('\n')) {
    const [, prompt, command] = line.match(/^([\w-]+)\$ (.+)$/) ?? [];
    const last = steps.at(-1);
    if (prompt && command) steps.push({ prompt, command, shown: [] });
    else if (last === undefined) throw new Error(`no prompt before: ${line}`);
    else if (last.command.endsWith('\\')) last.command += `\n${line}`;
    else last.shown.push(line);
  }
  return steps;
}

/**
 * The first line in which they differ in form, undefined if none does. A line has the form of another where they are alike
 * but for numbers and ids; `…` within a line shown stands for anything, on a line of its own for more lines like those
 * around it.
 */
export function difference(printed: string, shown: readonly string[]): string | undefined {
  const lines = printed.split('\n').filter((line) => line.trim() !== '');
  const forms = shown.filter((line) => line !== '…').map((line) => ({ line, form: formOf(line) }));
  const missing = forms.find(({ form }) => !lines.some((line) => form.test(line)));
  if (missing) return `nothing like: ${missing.line}`;
  const extra = lines.find((line) => !forms.some(({ form }) => form.test(line)));
  if (extra !== undefined) return `not shown: ${extra}`;
  return shown.includes('…') || lines.length === shown.length ? undefined : `${lines.length} lines`;
}

const ANY: readonly (readonly [RegExp, string])[] = [
  [/^…/, '.*'],
  // Of records and of Docker's objects.
  [/^([0-9a-f]{16}|[0-9a-z]{25})\b/, '[0-9a-z]+'],
  [/^\d+/, '\\d+'],
];

function formOf(line: string): RegExp {
  let form = '';
  for (let at = 0; at < line.length; ) {
    const rest = line.slice(at);
    const [found, any] = ANY.map(([what, any]) => [rest.match(what)?.[0], any] as const).find(([f]) => f) ?? [];
    form += any ?? rest[0]!.replace(/[.*+?^${}()|[\]\\]/, '\\$&');
    at += found?.length ?? 1;
  }
  return new RegExp(`^${form}$`);
}
