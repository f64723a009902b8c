// What a series cost besides time: transactions and bytes as etcd counted them, processor time as Linux did.
import { readdirSync, readFileSync } from 'node:fs';

/** Of a series, or of one call. */
export interface Costs {
  readonly transactions: number;
  /** Both ways between etcd and all of its clients. */
  readonly bytes: number;
  readonly driverUs: number;
  readonly etcdUs: number;
}

export interface Counted {
  readonly url: string;
  readonly driverPids: readonly number[];
  readonly etcdPid: number;
}

export async function costsSoFar({ url, driverPids, etcdPid }: Counted): Promise<Costs> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
  return {
    transactions: value('grpc_server_started_total\\{grpc_method="Txn",[^}]*\\}'),
    bytes: value('etcd_network_client_grpc_received_bytes_total') + value('etcd_network_client_grpc_sent_bytes_total'),
    driverUs: driverPids.reduce((sum, pid) => sum + processorUs(pid), 0),
    etcdUs: processorUs(etcdPid),
  };
}

export function perCall(before: Costs, after: Costs, calls: number): Costs {
  const each = (of: (costs: Costs) => number) => (of(after) - of(before)) / calls;
  return {
    transactions: each((costs) => costs.transactions),
    bytes: each((costs) => costs.bytes),
    driverUs: each((costs) => costs.driverUs),
    etcdUs: each((costs) => costs.etcdUs),
  };
}

export function meanOf(all: readonly Costs[]): Costs {
  const mean = (of: (costs: Costs) => number) => all.reduce((sum, one) => sum + of(one), 0) / all.length;
  return {
    transactions: mean((costs) => costs.transactions),
    bytes: mean((costs) => costs.bytes),
    driverUs: mean((costs) => costs.driverUs),
    etcdUs: mean((costs) => costs.etcdUs),
  };
}

/** Of all threads; not a number where there is no such file. */
function processorUs(pid: number): number {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    const ns = (task: string) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
    return tasks.reduce((sum, task) => sum + ns(task), 0) / 1_000;
  } catch {
    return Number.NaN;
  }
}

/** MB of resident memory. */
export function residentMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024;
}
