// `etcd-ipam status`: whether this host's plugin answers, etcd answers, and the node's session is there. Changes nothing.
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Settings } from './config.js';
import { openClient, type TxnRequest } from './etcd/client.js';
import { parsed } from './etcd/words.js';
import { BRAKE, RESTORED } from './ipam/keyspace.js';
import { decodeRestored } from './ipam/records.js';
import { restoredError } from './ipam/restoration.js';

export interface Part {
  readonly ok: boolean;
  /** Where, and what was found or is wrong. */
  readonly text: string;
}

export interface Status {
  readonly plugin: Part;
  readonly etcd: Part;
  readonly session: Part;
}

/** A container's health check has 3 s by habit. */
const WITHIN_MS = 2_500;

const BRAKED = '; more than half of the nodes are silent together, so no silence counts: see etcd-ipam nodes';

export async function readStatus(settings: Settings<unknown>): Promise<Status> {
  const [plugin, rest] = await Promise.all([pluginPart(settings), etcdParts(settings)]);
  return { plugin, ...rest };
}

export function formatStatus(status: Status): string {
  return Object.entries(status)
    .map(([name, { ok, text }]: [string, Part]) => `${name.padEnd(8)}${ok ? 'ok    ' : 'FAILED'}  ${text}`)
    .join('\n');
}

async function pluginPart(settings: Settings<unknown>): Promise<Part> {
  const where = settings.socket ?? `${settings.listen!.host}:${settings.listen!.port}`;
  try {
    const answer = await activate(settings);
    if (!answer.includes('IpamDriver')) return { ok: false, text: `${where}: something else answers: ${answer}` };
    return { ok: true, text: where };
  } catch (error) {
    return { ok: false, text: `${where}: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}` };
  }
}

/** What an engine sends to learn what a plugin is. */
function activate({ socket, listen }: Settings<unknown>): Promise<string> {
  const options: RequestOptions = { method: 'POST', path: '/Plugin.Activate', agent: false, timeout: WITHIN_MS };
  const { ca, cert, key } = listen?.tls ?? {};
  return new Promise((resolve, reject) => {
    const request = socket
      ? httpRequest({ ...options, socketPath: socket })
      : ca
        ? httpsRequest({ ...options, ...listen, ca, cert, key })
        : httpRequest({ ...options, host: listen!.host, port: listen!.port });
    request.on('error', reject);
    request.on('timeout', () => request.destroy(new Error(`no answer within ${WITHIN_MS} ms`)));
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => resolve(text.trim()));
    });
    request.end();
  });
}

async function etcdParts({ etcd, prefix, node }: Settings<unknown>): Promise<Omit<Status, 'plugin'>> {
  const client = openClient(etcd);
  const began = performance.now();
  try {
    const range = {
      key: Buffer.from(`${prefix}sessions/${node}/`),
      range_end: Buffer.from(`${prefix}sessions/${node}0`),
    };
    const brake = { key: Buffer.from(`${prefix}${BRAKE.key}`) };
    const mark = { key: Buffer.from(`${prefix}${RESTORED.key}`) };
    const reads = [{ request_range: range }, { request_range: brake }, { request_range: mark }];
    const reply = await client.read({ success: reads }, began + WITHIN_MS);
    const ms = Math.round(performance.now() - began);
    for (const probe of writeProbes(prefix, node)) await client.txn(probe, began + WITHIN_MS);
    const braked = reply.responses[1]?.response_range.kvs.length ? BRAKED : '';
    const marked = reply.responses[2]?.response_range.kvs[0];
    const restored = marked ? `; ${restoredError(decodeRestored(parsed(marked.value))).message}` : '';
    const answered = { ok: !marked, text: `${etcd.endpoints.join(', ')} in ${ms} ms${braked}${restored}` };
    const sessions = reply.responses[0]?.response_range.kvs ?? [];
    if (sessions.length === 0) return { etcd: answered, session: { ok: false, text: `node ${node} has none` } };
    const since = sessions.map(({ value }) => sinceOf(value)).join(' and ');
    return { etcd: answered, session: { ok: true, text: `node ${node} since ${since}` } };
  } catch (error) {
    const text = `${etcd.endpoints.join(', ')}: ${(error as Error).message}`;
    return { etcd: { ok: false, text }, session: { ok: false, text: `node ${node}: not known without etcd` } };
  } finally {
    client.close();
  }
}

/**
 * What the plugin needs beyond reading, judged by etcd and not done: with no condition it is the first branch that is. The
 * second of them tells of a full database, in which nothing can be put.
 */
function writeProbes(prefix: string, node: string): TxnRequest[] {
  const all = { key: Buffer.from(prefix), range_end: Buffer.from(`${prefix.slice(0, -1)}0`) };
  const put = { key: Buffer.from(`${prefix}nodes/${node}`), value: Buffer.from('{}') };
  return [{ failure: [{ request_delete_range: all }] }, { failure: [{ request_put: put }] }];
}

function sinceOf(value: Buffer): string {
  const record = parsed(value) as { since?: unknown } | undefined;
  return record === undefined ? 'an unreadable time' : String(record.since);
}
