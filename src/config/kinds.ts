// The kinds of values a setting can have: text in, checked value out. Knows no setting by its name.
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** "500ms", "15s", "5m", "24h", "30d", and "0", in milliseconds; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  return match ? Number(match[1]) * UNITS[match[2] as keyof typeof UNITS] : undefined;
}

/** Every issue of such a kind reads as what is allowed, so that it can follow "NAME is "value": ". */
function checked<T>(allowed: string, parse: (text: string) => T | undefined) {
  return z.string().transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: allowed });
    return z.NEVER;
  });
}

export function matching(pattern: RegExp, allowed: string) {
  return z.string().regex(pattern, allowed);
}

/** Letters, digits and the given marks, of which "-" comes last. */
export function named(marks: string, most: number) {
  const pattern = new RegExp(`^[A-Za-z0-9][A-Za-z0-9${marks}]{0,${most - 1}}$`);
  return matching(pattern, `1 to ${most} letters, digits or ${[...marks].join(' ')}, beginning with a letter or digit`);
}

export function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, { error: `one of ${values.join(', ')}` });
}

export function yesOrNo() {
  const meaning = new Map([
    ['true', true],
    ['1', true],
    ['false', false],
    ['0', false],
  ]);
  return checked('true or false (1 or 0)', (text) => meaning.get(text.toLowerCase()));
}

interface DurationLimits {
  readonly from: string;
  readonly to: string;
  readonly such: string;
  /** etcd counts a lease in seconds. */
  readonly wholeSeconds?: boolean;
  /** Accept `never`, which is Infinity. */
  readonly never?: boolean;
}

/** Milliseconds, both limits included. */
export function duration({ from, to, such, wholeSeconds = false, never = false }: DurationLimits) {
  const least = parseDuration(from)!;
  const most = parseDuration(to)!;
  const allowed = `${never ? 'never, or ' : ''}a duration ${wholeSeconds ? 'in whole seconds ' : ''}between ${from} and ${to} such as ${such}`;
  return checked(allowed, (text) => {
    if (never && text === 'never') return Number.POSITIVE_INFINITY;
    const ms = parseDuration(text);
    if (ms === undefined || ms < least || ms > most) return undefined;
    return wholeSeconds && ms % 1_000 !== 0 ? undefined : ms;
  });
}

export interface Listen {
  /** A name or an address; IPv6 without its brackets. */
  readonly host: string;
  readonly port: number;
}

function parseListen(text: string): Listen | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  return host !== undefined && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

export function listen(such: string) {
  return checked(`host:port such as ${such}`, parseListen);
}

/** As `listen`, and undefined for the empty text. */
export function listenOrOff(such: string) {
  return checked(`host:port such as ${such}, or empty for none`, (text) => (text === '' ? null : parseListen(text)));
}

/** sockaddr_un holds 108 bytes with the closing zero. */
const SOCKET_PATH_BYTES = 107;

export function socketPath() {
  return checked(`an absolute path of at most ${SOCKET_PATH_BYTES} bytes`, (text) =>
    text.startsWith('/') && !text.endsWith('/') && Buffer.byteLength(text) <= SOCKET_PATH_BYTES ? text : undefined,
  );
}

export interface FileContent {
  readonly path: string;
  readonly content: Buffer;
}

/** Read at once, so that a wrong path stops the start and not the first call. */
export function file() {
  return z.string().transform((path, context): FileContent => {
    try {
      return { path, content: readFileSync(path) };
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? String(error);
      context.addIssue({ code: 'custom', message: `a file that can be read (${reason})` });
      return z.NEVER;
    }
  });
}

/** `http://host:port,…`; the port defaults to etcd's 2379. All plain or all TLS: etcd3 refuses a mixture. */
export function endpoints() {
  const allowed = 'comma-separated http://host:port, or https://host:port for all, without user or path';
  return checked(allowed, (text) => {
    const parts = text.split(',').map((part) => {
      const match = /^(https?):\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?\/?$/.exec(part.trim());
      const port = Number(match?.[3] ?? 2379);
      return match && port >= 1 && port <= 65_535
        ? { scheme: match[1]!, url: `${match[1]}://${match[2]}:${port}` }
        : undefined;
    });
    if (new Set(parts.map((part) => part?.scheme)).size !== 1) return undefined;
    return parts.every((part) => part !== undefined) ? [...new Set(parts.map((part) => part.url))] : undefined;
  });
}

/** Begins and ends with exactly one slash: `ipam` and `/ipam/` must not become two clusters that know nothing of each other. */
export function keyPrefix() {
  const allowed = 'names of letters, digits, ".", "_" and "-" between slashes such as /etcd-ipam/';
  return checked(allowed, (text) =>
    /^\/?[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*\/?$/.test(text) ? `/${text.replace(/^\/|\/$/g, '')}/` : undefined,
  );
}

/** Text for a parser of another room; what it throws becomes the message. */
export function parsedBy<T>(parse: (text: string) => T) {
  return z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
      return z.NEVER;
    }
  });
}
