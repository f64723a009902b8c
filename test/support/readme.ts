// What README shows of a terminal, by the headings above it; refuses to know what the lines do.
import { readFileSync } from 'node:fs';

const PROMPT = /^(?:[\w-]+)?\$ /;

/** By heading, the console blocks below it that no other heading comes before, each as the lines that are typed in it. */
export function typedInReadme(): Map<string, string[][]> {
  const text = readFileSync('README.md', 'utf8');
  const parts = text.split(/^#+ (?=.*\n)/m).slice(1);
  const typed = new Map<string, string[][]>();
  for (const part of parts) {
    const blocks = [...part.matchAll(/^```console\n(.*?)^```$/gms)].map(([, block]) => linesOf(block!));
    if (blocks.length > 0) typed.set(part.slice(0, part.indexOf('\n')), blocks);
  }
  return typed;
}

/** Those below one heading, in one list. */
export function typedUnder(heading: string): string[] {
  const blocks = typedInReadme().get(heading);
  if (!blocks) throw new Error(`README has nothing to be typed under ${heading}`);
  return blocks.flat();
}

const BEGINS = /^(?:etcd-ipam|etcdctl|docker|systemctl|systemd-\w+|journalctl|npm|mkdir|sudo|curl|rev=)/;

/** The lines of two words and more in its text and tables that are commands, as one would type them. */
export function commandsInText(): Set<string> {
  const text = readFileSync('README.md', 'utf8').replace(/^```.*?^```$/gms, '');
  const quoted = [...text.matchAll(/`([^`]+)`/g)].map(([, one]) =>
    one!.replaceAll('\\|', '|').replace(/\s*\n\s*/g, ' '),
  );
  return new Set(quoted.filter((one) => BEGINS.test(one) && one.includes(' ')));
}

/** That command, which README's text has. */
export function inText(command: string): string {
  if (!commandsInText().has(command)) throw new Error(`README's text has no such command: ${command}`);
  return command;
}

/** Without prompts, comments and what is printed. */
function linesOf(block: string): string[] {
  const lines: string[] = [];
  let goesOn = false;
  for (const line of block.split('\n')) {
    if (goesOn) lines.push(`${lines.pop()}\n${line}`);
    else if (PROMPT.test(line)) lines.push(line.replace(PROMPT, '').replace(/ {2,}# .*$/, ''));
    goesOn = (goesOn || PROMPT.test(line)) && line.endsWith('\\');
  }
  return lines;
}
