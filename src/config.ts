// Every setting, from the environment and a file of the same names, checked at once. Knows values, not what they do.
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { z } from 'zod';
import { parseEnvFile } from './config/env-file.js';
import * as kinds from './config/kinds.js';
import { type TlsFiles, tlsFiles, unfitForTls } from './config/pem.js';
import { unknownNames } from './config/unknown-names.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The three files by absolute path: the engine reads them itself, so one certificate is for both sides. */
export interface TlsPaths {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface ListenTls extends TlsFiles {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly engine: TlsPaths;
}

/** Durations are milliseconds. */
export interface Settings<Pools> {
  readonly etcd: {
    readonly endpoints: readonly string[];
    /** Present exactly when the endpoints are https. */
    readonly tls?: TlsFiles;
    readonly username?: string;
    readonly password?: string;
    /** Where the password came from, to be read again. */
    readonly passwordFile?: string;
  };
  /** Begins and ends with a slash. */
  readonly prefix: string;
  /** Empty: the global space of the whole prefix. */
  readonly swarm: string;
  readonly node: string;
  /** Undefined: the host's own. */
  readonly machineId?: string;
  /** Undefined where only TCP is served. */
  readonly socket?: string;
  readonly listen?: kinds.Listen & { readonly tls?: ListenTls };
  /** Undefined: off. */
  readonly opsListen?: kinds.Listen;
  readonly pools: Pools;
  readonly sessionTtl: number;
  /** Infinity for `never`. */
  readonly hold: number;
  readonly forget: number;
  readonly cooldown: number;
  /** 0: it is not kept who had an address. */
  readonly history: number;
  readonly deadline: number;
  readonly requireMac: boolean;
  /** Undefined: nothing is compared with what the engine shows. */
  readonly engineSocket?: string;
  readonly reconcileGrace: number;
  readonly logLevel: LogLevel;
  /** Sentences about what was given and is doubtful; none of them stops the start. */
  readonly warnings: readonly string[];
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const DEFAULT_SOCKET = '/run/docker/plugins/etcd-ipam.sock';
const DEFAULT_HOLD = '24h';
const DEFAULT_FORGET = '30d';

/** Read by the quickstart alone, and known here so that nobody is warned about it. */
export const QUICKSTART_NAMES = ['ETCD_IPAM_ETCD_IMAGE'] as const;

const NODE_NAME = kinds.named('._-', 253);

export function isNodeName(text: string): boolean {
  return NODE_NAME.safeParse(text).success;
}

const schema = <Pools>(parsePools: (text: string) => Pools) => ({
  ETCD_ENDPOINTS: kinds.endpoints().prefault('http://127.0.0.1:2379'),
  ETCD_CA_FILE: kinds.file().optional(),
  ETCD_CERT_FILE: kinds.file().optional(),
  ETCD_KEY_FILE: kinds.file().optional(),
  ETCD_USERNAME: kinds.matching(/^\S{1,256}$/, '1 to 256 characters without space').optional(),
  ETCD_PASSWORD: kinds.matching(/^[\s\S]{1,1024}$/, 'at most 1024 characters').optional(),
  ETCD_PASSWORD_FILE: kinds.file().optional(),
  IPAM_PREFIX: kinds.keyPrefix().prefault('/etcd-ipam/'),
  IPAM_SWARM: kinds.named('_-', 63).optional(),
  IPAM_NODE: NODE_NAME,
  IPAM_MACHINE_ID: kinds.named('.:_-', 128).optional(),
  IPAM_SOCKET: kinds.socketPath().optional(),
  IPAM_LISTEN: kinds.listen('192.0.2.1:9474').optional(),
  IPAM_TLS_CA_FILE: kinds.file().optional(),
  IPAM_TLS_CERT_FILE: kinds.file().optional(),
  IPAM_TLS_KEY_FILE: kinds.file().optional(),
  IPAM_OPS_LISTEN: kinds.listenOrOff('127.0.0.1:9475').prefault('127.0.0.1:9475'),
  IPAM_POOLS: kinds.parsedBy(parsePools).prefault('10.208.0.0/12/24,fd00:e7cd::/48/64'),
  IPAM_SESSION_TTL: kinds.duration({ from: '2s', to: '5m', such: '15s', wholeSeconds: true }).prefault('15s'),
  IPAM_HOLD: kinds.duration({ from: '30s', to: '3650d', such: '24h', never: true }).prefault(DEFAULT_HOLD),
  IPAM_FORGET: kinds.duration({ from: '30s', to: '3650d', such: '30d' }).prefault(DEFAULT_FORGET),
  IPAM_COOLDOWN: kinds.duration({ from: '0s', to: '24h', such: '30s', wholeSeconds: true }).prefault('30s'),
  IPAM_HISTORY: kinds.duration({ from: '0s', to: '3650d', such: '7d', wholeSeconds: true }).prefault('7d'),
  IPAM_DEADLINE: kinds.duration({ from: '500ms', to: '60s', such: '5s' }).prefault('5s'),
  IPAM_REQUIRE_MAC: kinds.yesOrNo().prefault('false'),
  IPAM_ENGINE_SOCKET: kinds.socketPath().optional(),
  IPAM_RECONCILE_GRACE: kinds.duration({ from: '1s', to: '24h', such: '10m' }).prefault('10m'),
  LOG_LEVEL: kinds.oneOf(LOG_LEVELS).prefault('info'),
});

type Schema<Pools> = ReturnType<typeof schema<Pools>>;
type SettingName = keyof Schema<unknown>;
type Values<Pools> = { [K in SettingName]: z.output<Schema<Pools>[K]> };

export const SETTING_NAMES = Object.keys(schema(String)) as readonly SettingName[];
const SECRETS: ReadonlySet<string> = new Set<SettingName>(['ETCD_PASSWORD']);

/** All that is wrong, in one message for whoever starts the program. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  constructor(readonly problems: readonly string[]) {
    const count = problems.length === 1 ? '1 setting is wrong' : `${problems.length} settings are wrong`;
    super([`${count}:`, ...problems.map((problem) => `  ${problem}`)].join('\n'));
  }
}

/**
 * The environment over the file's lines. Empty text is as good as unset, since Compose and managed plugins pass on empty
 * variables: a line of the file then counts, else the default. Only IPAM_OPS_LISTEN has a meaning for empty.
 */
export function withEnvFile(environment: Environment, path: string | undefined): Environment {
  if (path === undefined) return environment;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new SettingsError([
      `--env-file is "${path}": a file that can be read (${(error as NodeJS.ErrnoException).code})`,
    ]);
  }
  const { values, problems } = parseEnvFile(text);
  if (problems.length > 0) throw new SettingsError(problems.map((problem) => `--env-file is "${path}": ${problem}`));
  const given = Object.entries(environment).filter(([key, value]) => value?.trim() || !(key in values));
  return { ...values, ...Object.fromEntries(given) };
}

/** Throws a SettingsError that lists everything that is wrong. `host` is what IPAM_NODE defaults to. */
export function loadSettings<Pools>(
  environment: Environment,
  parsePools: (text: string) => Pools,
  host: string = hostname(),
): Settings<Pools> {
  const texts = new Map<SettingName, string>();
  const values: Partial<Record<SettingName, unknown>> = {};
  const problems: Problems = new Map();
  for (const [key, kind] of Object.entries(schema(parsePools)) as [SettingName, z.ZodType][]) {
    const text = textOf(environment, key);
    if (text !== undefined) texts.set(key, text);
    const result = kind.safeParse(text ?? (key === 'IPAM_NODE' ? host : undefined));
    if (result.success) values[key] = result.data;
    else problems.set(key, `${given(key, text, host)}: ${result.error.issues[0]!.message}`);
  }
  findDisagreements(texts, values as Partial<Values<Pools>>, problems);
  if (problems.size > 0) throw new SettingsError(SETTING_NAMES.flatMap((key) => problems.get(key) ?? []));
  return assemble(values as Values<Pools>, warnings(environment, values as Values<Pools>));
}

function textOf(environment: Environment, key: SettingName): string | undefined {
  const text = environment[key];
  if (text === undefined) return undefined;
  if (SECRETS.has(key)) return text === '' ? undefined : text;
  return text.trim() !== '' || key === 'IPAM_OPS_LISTEN' ? text.trim() : undefined;
}

const given = (key: SettingName, text: string | undefined, host: string) =>
  text === undefined ? `${key} is unset, and the host's name "${host}" will not do` : shown(key, text);

function shown(key: SettingName, text: string): string {
  if (SECRETS.has(key)) return `${key} (not shown)`;
  // A password in a URL may hold whatever else ends one.
  const withUser = key === 'ETCD_ENDPOINTS' || text.includes('//');
  return `${key} is "${withUser ? text.replace(/^(https?:\/\/)?.*@/is, '$1***@') : text}"`;
}

/** The first thing wrong with each setting. */
type Problems = Map<SettingName, string>;

/** Adds what is wrong between settings that are each well formed. */
function findDisagreements<Pools>(
  texts: ReadonlyMap<SettingName, string>,
  values: Partial<Values<Pools>>,
  problems: Problems,
): void {
  const wrong = (key: SettingName, why: string) => {
    if (!problems.has(key)) problems.set(key, `${shown(key, texts.get(key) ?? '')}: ${why}`);
  };
  const needs = (key: SettingName, other: SettingName) => {
    if (texts.has(key) && !texts.has(other)) wrong(key, `needs ${other} too`);
  };
  needs('ETCD_CERT_FILE', 'ETCD_KEY_FILE');
  needs('ETCD_KEY_FILE', 'ETCD_CERT_FILE');
  if (texts.has('ETCD_USERNAME') && !texts.has('ETCD_PASSWORD') && !texts.has('ETCD_PASSWORD_FILE'))
    wrong('ETCD_USERNAME', 'needs ETCD_PASSWORD or ETCD_PASSWORD_FILE too');
  needs('ETCD_PASSWORD', 'ETCD_USERNAME');
  needs('ETCD_PASSWORD_FILE', 'ETCD_USERNAME');
  if (texts.has('ETCD_PASSWORD') && texts.has('ETCD_PASSWORD_FILE'))
    wrong('ETCD_PASSWORD_FILE', 'comes instead of ETCD_PASSWORD, not beside it');
  if (values.ETCD_PASSWORD_FILE && passwordIn(values.ETCD_PASSWORD_FILE.content) === '')
    wrong('ETCD_PASSWORD_FILE', 'a file with a password in it (it is empty)');
  if (values.ETCD_ENDPOINTS && !secure(values.ETCD_ENDPOINTS)) {
    for (const key of ['ETCD_CA_FILE', 'ETCD_CERT_FILE', 'ETCD_KEY_FILE'] as const)
      if (texts.has(key)) wrong(key, 'needs https:// in ETCD_ENDPOINTS');
  }
  const listenTls = ['IPAM_TLS_CA_FILE', 'IPAM_TLS_CERT_FILE', 'IPAM_TLS_KEY_FILE'] as const;
  for (const key of listenTls) {
    if (!texts.has(key)) continue;
    const missing = (['IPAM_LISTEN', ...listenTls] as const).filter((other) => !texts.has(other));
    if (missing.length > 0) wrong(key, `needs ${missing.join(' and ')} too`);
  }
  const { IPAM_HOLD: hold = 0, IPAM_FORGET: forget = hold } = values;
  if (forget < hold && hold !== Number.POSITIVE_INFINITY) {
    const why = 'since a node is forgotten after its hold';
    const held = texts.get('IPAM_HOLD') ?? DEFAULT_HOLD;
    if (texts.has('IPAM_FORGET')) wrong('IPAM_FORGET', `not shorter than IPAM_HOLD, which is ${held}, ${why}`);
    else wrong('IPAM_HOLD', `not longer than IPAM_FORGET, which is ${DEFAULT_FORGET}, ${why}`);
  }
  for (const room of ['ETCD', 'IPAM_TLS'] as const) {
    const [ca, cert, key] = [values[`${room}_CA_FILE`], values[`${room}_CERT_FILE`], values[`${room}_KEY_FILE`]];
    const names = { ca: `${room}_CA_FILE`, cert: `${room}_CERT_FILE`, key: `${room}_KEY_FILE` } as const;
    for (const { which, allowed } of unfitForTls(tlsFiles(ca, cert, key))) wrong(names[which], allowed);
  }
}

/** A file ends with a line break by habit. */
export const passwordIn = (file: Buffer): string => file.toString('utf8').replace(/\r?\n$/, '');

const secure = (endpoints: readonly string[]) => endpoints[0]!.startsWith('https:');

const isLoopback = (host: string) => /^(127\.|::1$|localhost$)/.test(host);

function warnings<Pools>(environment: Environment, values: Values<Pools>): string[] {
  const found = unknownNames(Object.keys(environment), [...SETTING_NAMES, ...QUICKSTART_NAMES]);
  const listen = values.IPAM_LISTEN;
  if (listen && !values.IPAM_TLS_CA_FILE) {
    const who = isLoopback(listen.host) ? 'any user of this host' : 'whoever reaches it';
    found.push(`IPAM_LISTEN serves ${listen.host} without TLS: ${who} can take and free addresses`);
  }
  const hosts = values.ETCD_ENDPOINTS.map((url) => url.replace(/^https?:\/\/\[?|\]?:\d+$/g, ''));
  const far = secure(values.ETCD_ENDPOINTS) ? undefined : hosts.find((host) => !isLoopback(host));
  const password = values.ETCD_PASSWORD ? 'ETCD_PASSWORD' : values.ETCD_PASSWORD_FILE && 'ETCD_PASSWORD_FILE';
  if (far && password)
    found.push(`${password} goes to ${far} without TLS: whoever can listen on the way there can use it`);
  return found;
}

function assemble<Pools>(v: Values<Pools>, found: string[]): Settings<Pools> {
  const password = v.ETCD_PASSWORD ?? (v.ETCD_PASSWORD_FILE && passwordIn(v.ETCD_PASSWORD_FILE.content));
  const socket = v.IPAM_SOCKET ?? (v.IPAM_LISTEN ? undefined : DEFAULT_SOCKET);
  return {
    etcd: {
      endpoints: v.ETCD_ENDPOINTS,
      ...(secure(v.ETCD_ENDPOINTS) && { tls: tlsFiles(v.ETCD_CA_FILE, v.ETCD_CERT_FILE, v.ETCD_KEY_FILE) }),
      ...(v.ETCD_USERNAME && { username: v.ETCD_USERNAME }),
      ...(password && { password }),
      ...(v.ETCD_PASSWORD_FILE && { passwordFile: v.ETCD_PASSWORD_FILE.path }),
    },
    prefix: v.IPAM_PREFIX,
    swarm: v.IPAM_SWARM ?? '',
    node: v.IPAM_NODE,
    ...(v.IPAM_MACHINE_ID && { machineId: v.IPAM_MACHINE_ID }),
    ...(socket && { socket }),
    ...(v.IPAM_LISTEN && { listen: { ...v.IPAM_LISTEN, ...listenTls(v) } }),
    ...(v.IPAM_OPS_LISTEN && { opsListen: v.IPAM_OPS_LISTEN }),
    pools: v.IPAM_POOLS,
    sessionTtl: v.IPAM_SESSION_TTL,
    hold: v.IPAM_HOLD,
    forget: v.IPAM_FORGET,
    cooldown: v.IPAM_COOLDOWN,
    history: v.IPAM_HISTORY,
    deadline: v.IPAM_DEADLINE,
    requireMac: v.IPAM_REQUIRE_MAC,
    ...(v.IPAM_ENGINE_SOCKET && { engineSocket: v.IPAM_ENGINE_SOCKET }),
    reconcileGrace: v.IPAM_RECONCILE_GRACE,
    logLevel: v.LOG_LEVEL,
    warnings: found,
  };
}

function listenTls<Pools>({ IPAM_TLS_CA_FILE: ca, IPAM_TLS_CERT_FILE: cert, IPAM_TLS_KEY_FILE: key }: Values<Pools>) {
  if (!ca || !cert || !key) return undefined;
  const engine: TlsPaths = { caFile: resolve(ca.path), certFile: resolve(cert.path), keyFile: resolve(key.path) };
  return { tls: { ...tlsFiles(ca, cert, key), ca: ca.content, cert: cert.content, key: key.content, engine } };
}
