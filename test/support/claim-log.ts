// Every change of every claim since a test began, out of etcd's own history; it refuses to know who asked for them.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { entries, revision } from './etcd.js';
import type { EtcdCluster } from './etcd-cluster.js';
import { eventually } from './process.js';

/** An address was somebody's from one revision to another, or still is. */
export interface Tenure {
  readonly key: string;
  readonly kind: string;
  readonly node: string | undefined;
  readonly from: number;
  until?: number;
}

type Etcd = Pick<EtcdCluster, 'ctl' | 'startCtl'>;

interface Event {
  /** 1 for a removal, absent for a put. */
  readonly type?: number;
  readonly kv: {
    readonly key: string;
    readonly value?: string;
    readonly create_revision?: number;
    mod_revision: number;
  };
}

export class ClaimLog {
  private constructor(
    private readonly etcd: Etcd,
    private readonly prefix: string,
    private readonly next: number,
  ) {}

  /** From now on. */
  static async start(etcd: Etcd, prefix: string): Promise<ClaimLog> {
    return new ClaimLog(etcd, prefix, (await revision(etcd)) + 1);
  }

  /**
   * Who had which address when, once the log says what etcd says. Rejects when a claim passed from one to another without
   * having been absent between them; what networks share is rewritten as they come and go, and is left out of that.
   */
  async tenures(): Promise<Tenure[]> {
    const directory = await mkdtemp(join(tmpdir(), 'claims-'));
    const end = `${this.prefix}~end-${performance.now()}`;
    await this.etcd.ctl('put', end, '{}');
    const args = ['watch', '--prefix', '--rev', String(this.next), '--write-out', 'json', this.prefix];
    // Read afterwards: one that was kept while members come and go would end with the first of them.
    const watch = await this.etcd.startCtl(join(directory, 'log'), ...args);
    try {
      return await eventually(
        'the log of claims is as far as etcd',
        async () => {
          const events = await eventsIn(join(directory, 'log'));
          if (!events.some(({ kv }) => text(kv.key) === end)) return false;
          const all = tenuresOf(events).filter(({ key }) => !key.includes('~end-'));
          const now = (await entries(this.etcd, this.prefix)).map(({ key }) => key).filter((key) => key !== end);
          const open = all.filter(({ until }) => until === undefined).map(({ key }) => key);
          return open.sort().join() === now.join() && all;
        },
        60_000,
      );
    } finally {
      await this.etcd.ctl('del', end);
      await watch.kill();
      await rm(directory, { recursive: true, force: true });
    }
  }
}

async function eventsIn(file: string): Promise<Event[]> {
  const written = await readFile(file, 'utf8').catch(() => '');
  const lines = written.slice(0, written.lastIndexOf('\n') + 1).split('\n');
  return lines.filter((line) => line !== '').flatMap((line) => (JSON.parse(line) as { Events: Event[] }).Events ?? []);
}

function tenuresOf(events: readonly Event[]): Tenure[] {
  const all: Tenure[] = [];
  const open = new Map<string, Tenure>();
  for (const { type, kv } of events) {
    const key = text(kv.key);
    const before = open.get(key);
    if (type === 1) {
      if (before) before.until = kv.mod_revision;
      open.delete(key);
      continue;
    }
    const { kind, node } = JSON.parse(text(kv.value ?? '')) as { kind: string; node?: string };
    if (before && kind === 'shared' && before.kind === 'shared') continue;
    if (before)
      throw new Error(`${key} of ${before.node} became ${node}'s at revision ${kv.mod_revision}, never absent`);
    const tenure = { key, kind, node, from: kv.mod_revision };
    all.push(tenure);
    open.set(key, tenure);
  }
  return all;
}

function text(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}
