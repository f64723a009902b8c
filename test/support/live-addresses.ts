// Which living containers have which addresses, as the kernel says; it refuses to know engines and records.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The IPv4 addresses that are configured in the network of a process, loopback left out; none once it has ended. */
export function addressesOf(pid: number): string[] {
  const local = read(`/proc/${pid}/net/fib_trie`).matchAll(/\|-- (\S+)\n\s+\/32 host LOCAL/g);
  return [...new Set([...local].map(([, address]) => address!))].filter((address) => !address.startsWith('127.'));
}

/**
 * Looks again and again at all processes whose command line is exactly `command`, the first ones of containers. Two networks
 * have one address only when the first had it before and after the second was seen with it, so a container that ends
 * while it is looked at is no such finding.
 */
export class LiveAddresses implements AsyncDisposable {
  /** `10.66.0.2 of 412 and 608`, two pids; empty if all is well. */
  readonly duplicates = new Set<string>();
  /** Every pid that ever was seen with an address. */
  readonly seen = new Map<number, string>();
  looks = 0;
  readonly #command: string;
  readonly #timer: NodeJS.Timeout;

  constructor(command: readonly string[], everyMs = 100) {
    this.#command = `${command.join('\0')}\0`;
    this.#timer = setInterval(() => this.look(), everyMs);
  }

  /** Whose first process has which address now. */
  look(): Map<string, number> {
    this.looks++;
    const holders = new Map<string, number>();
    for (const pid of this.#processes())
      for (const address of addressesOf(pid)) {
        const other = holders.get(address);
        // What a container's first process starts looks like it until it has its own command line.
        if (other !== undefined && networkOf(other) === networkOf(pid)) continue;
        if (other !== undefined && addressesOf(other).includes(address))
          this.duplicates.add(`${address} of ${other} and ${pid}`);
        this.seen.set(pid, address);
        holders.set(address, pid);
      }
    return holders;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
  }

  #processes(): number[] {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    const first = (pid: string) => read(`/proc/${pid}/cmdline`) === this.#command;
    return pids.filter(first).map(Number);
  }
}

function networkOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return `${pid} has ended`;
  }
}

// A process may end between being listed and being read.
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
