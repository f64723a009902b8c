// The file of settings that --env-file names: KEY=value lines. Knows no setting and reads no environment.

export interface EnvFile {
  readonly values: Readonly<Record<string, string>>;
  /** One sentence for each line that is none, with its number. Never the line itself: it may hold a password. */
  readonly problems: readonly string[];
}

/**
 * Blank lines and lines that begin with # or ; count for nothing; `export ` before a name is allowed; a value may stand in
 * single quotes (taken as it is) or double quotes (\" and \\ are undone). Nothing is expanded, and a # inside a value
 * belongs to it, as for systemd's EnvironmentFile. A name given twice has its last value.
 */
export function parseEnvFile(text: string): EnvFile {
  const values: Record<string, string> = {};
  const problems: string[] = [];
  text.split(/\r?\n/).forEach((raw, index) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) return;
    const match = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/.exec(line);
    const value = match && unquote(match[2]!);
    if (!match) problems.push(`line ${index + 1} is not KEY=value`);
    else if (value === undefined)
      problems.push(`line ${index + 1} (${match[1]}) has a quote that does not close, or text after it`);
    else values[match[1]!] = value!;
  });
  return { values, problems };
}

function unquote(text: string): string | undefined {
  if (text.startsWith("'")) return /^'([^']*)'$/.exec(text)?.[1];
  if (text.startsWith('"')) return /^"((?:[^"\\]|\\.)*)"$/.exec(text)?.[1]?.replace(/\\(["\\])/g, '$1');
  return text;
}
