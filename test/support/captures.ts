// What real engines sent, byte by byte, and what the drivers of the recording replied. Knows no driver of ours.
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import type { Answer, PluginClient } from './plugin-client.js';
import { type Path, REPLIES } from './wire-schema.js';

/** How the recorded PoolIDs of a leader begin. */
const GLOBAL = '"stub-global/';

export interface Captured {
  /** Which engine, where the recording is of several. */
  readonly host: string;
  readonly path: Path;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly reply: Readonly<Record<string, string>>;
}

export async function recording(name: string): Promise<readonly Captured[]> {
  const file = new URL(`../captures/${name}.jsonl`, import.meta.url);
  const lines = (await readFile(file, 'utf8')).trim().split('\n');
  return lines.map((line) => ({ host: 'h1', ...(JSON.parse(line) as Omit<Captured, 'host'>) }));
}

/**
 * The recorded drivers had names of their own for spaces, pools and addresses; an engine sends back what it was given. A
 * PoolID is its engine's alone; an address that a leader was given, all engines hear of.
 */
export class Renamed {
  readonly #everywhere = new Map<string, string>();
  readonly #hosts = new Map<string, Map<string, string>>();

  /** Ours for theirs: a bare address. */
  address(theirs: string): string {
    return this.#everywhere.get(theirs) ?? theirs;
  }

  /** Sends one recorded call, holds the reply to what an engine accepts, and learns the names in it. */
  async send(client: PluginClient, { host, path, headers, body, reply }: Captured): Promise<Answer> {
    const own = this.#of(host);
    const sent = body.replace(/"([^"]+)"/g, (quoted, theirs) => {
      const ours = own.get(theirs) ?? this.#everywhere.get(theirs);
      return ours === undefined ? quoted : `"${ours}"`;
    });
    const length = String(Buffer.byteLength(sent));
    const answer = await client.call(path, sent, { headers: { ...headers, 'content-length': length } });
    expect(answer.status, `${host} ${path} ${sent}: ${answer.text}`).to.equal(200);
    REPLIES[path].parse(answer.json);
    for (const name of ['LocalDefaultAddressSpace', 'GlobalDefaultAddressSpace', 'PoolID'])
      if (reply[name]) own.set(reply[name], answer.json[name]);
    const names = body.includes(GLOBAL) ? this.#everywhere : own;
    if (reply.Address) names.set(bare(reply.Address), bare(answer.json.Address));
    return answer;
  }

  #of(host: string): Map<string, string> {
    const known = this.#hosts.get(host) ?? new Map<string, string>();
    this.#hosts.set(host, known);
    return known;
  }
}

export const bare = (address: string) => address.replace(/\/.*/, '');
