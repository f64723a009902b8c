// etcd's room, the mark of a restored backup: whoever notices puts it, and until it stands gives nothing itself. Refuses to
// know when it goes.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RESTORED } from '../ipam/keyspace.js';
import type { RestoredRecord } from '../ipam/records.js';
import type { EtcdClient } from './client.js';
import type { Break } from './history.js';
import { json, kvsOf } from './membership.js';

const ATTEMPT = 3_000;
const RETRY = 200;

type Noticed = Omit<RestoredRecord, 'token'>;

export class RestoredMark {
  readonly key: Buffer<ArrayBuffer>;
  readonly #client: EtcdClient;
  readonly #node: string;
  #noticed: Noticed | undefined;
  #latest: Noticed | undefined;
  #raising = false;
  #closed = false;

  constructor(client: EtcdClient, prefix: string, node: string) {
    this.key = Buffer.from(prefix + RESTORED.key);
    this.#client = client;
    this.#node = node;
    client.history.onBreak((seen) => this.#notice(seen));
  }

  /** What this process has noticed and not told the others yet. */
  get noticed(): Noticed | undefined {
    return this.#noticed;
  }

  /** What it noticed last, be it told or not. */
  get latest(): Noticed | undefined {
    return this.#latest;
  }

  close(): void {
    this.#closed = true;
  }

  #notice({ what }: Break): void {
    this.#noticed = this.#latest = { node: this.#node, what, since: new Date().toISOString() };
    if (!this.#raising) void this.#raise();
  }

  /** A mark that stands already may have come with the backup, and its stamps too: so it is written anew. */
  async #raise(): Promise<void> {
    this.#raising = true;
    while (this.#noticed && !this.#closed) {
      const noticed: Noticed = this.#noticed;
      try {
        const by = performance.now() + ATTEMPT;
        const look = await this.#client.read({ success: [{ request_range: { key: this.key } }] }, by);
        const version = kvsOf(look, 0)[0]?.mod_revision ?? '0';
        const value = json({ ...noticed, token: randomBytes(8).toString('hex') });
        const outcome = await this.#client.txn(
          {
            compare: [{ key: this.key, target: 'Mod', result: 'Equal', mod_revision: version }],
            success: [{ request_put: { key: this.key, value } }],
          },
          by,
        );
        if (outcome.succeeded && this.#noticed === noticed) this.#noticed = undefined;
        else await sleep(RETRY * Math.random());
      } catch {
        await sleep(RETRY);
      }
    }
    this.#raising = false;
  }
}
