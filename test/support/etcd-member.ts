// One of several members of a test's etcd: its process, its id and what it says of itself. Refuses to know the others,
// except by the list that it is started with.
import type { PeerDoor } from './peer-door.js';
import { Program } from './process.js';

export interface MembersOptions {
  /** Whether every write waits for the disk, as it does outside of tests. */
  readonly fsync?: boolean;
  /** Milliseconds; etcd's own 100 and 1000 unless given. */
  readonly heartbeatMs?: number;
  readonly electionMs?: number;
  /** Further arguments of the servers. */
  readonly args?: readonly string[];
}

export interface Status {
  readonly header: { readonly member_id: string; readonly revision: string };
  readonly leader?: string;
}

export class Member {
  readonly url: string;
  program: Program | undefined;
  /** In hexadecimal, as etcd writes it. */
  id: string | undefined;
  apart = false;
  #frozen = false;

  constructor(
    readonly name: string,
    port: number,
    private readonly peerPort: number,
    readonly door: PeerDoor,
    readonly directory: string,
  ) {
    this.url = `http://127.0.0.1:${port}`;
  }

  get reachable(): boolean {
    return (this.program?.running ?? false) && !this.#frozen && !this.apart;
  }

  async start(peers: string, { fsync, heartbeatMs = 100, electionMs = 1_000, args = [] }: MembersOptions) {
    this.#frozen = false;
    this.program = await Program.start('etcd', [
      ...['--name', this.name, '--data-dir', this.directory, ...(fsync ? [] : ['--unsafe-no-fsync'])],
      ...['--listen-client-urls', this.url, '--advertise-client-urls', this.url],
      ...['--listen-peer-urls', `http://127.0.0.1:${this.peerPort}`],
      ...['--initial-advertise-peer-urls', this.door.url, '--initial-cluster', peers, '--log-level', 'warn'],
      ...['--heartbeat-interval', String(heartbeatMs), '--election-timeout', String(electionMs), ...args],
    ]);
  }

  freeze(frozen: boolean): void {
    this.#frozen = frozen;
    this.program?.signal(frozen ? 'SIGSTOP' : 'SIGCONT');
  }

  /** Whether it takes part in its cluster. */
  async answers(): Promise<boolean> {
    if (!this.program?.running) throw new Error('etcd has ended');
    try {
      this.id = BigInt((await this.status()).header.member_id).toString(16);
      await this.ask('kv/range', { key: 'eA==' });
      return true;
    } catch {
      return false;
    }
  }

  status(): Promise<Status> {
    return this.ask('maintenance/status') as Promise<Status>;
  }

  /** etcd's own JSON gateway. */
  async ask(path: string, body: object = {}, timeoutMs = 1_000): Promise<unknown> {
    const signal = AbortSignal.timeout(timeoutMs);
    const reply = await fetch(`${this.url}/v3/${path}`, { method: 'POST', body: JSON.stringify(body), signal });
    if (!reply.ok) throw new Error(`etcd answers ${reply.status} to ${path}: ${await reply.text()}`);
    return reply.json();
  }
}
