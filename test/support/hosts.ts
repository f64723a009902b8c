// Hosts as a user of several has them: on one switch, each with an engine, a driver and a member of one etcd; it refuses to
// know what is tested.
import { expect } from 'chai';
import { EtcdCluster } from './etcd-cluster.js';
import { Host } from './host.js';
import { type Keyspace, KeyspaceView, NodeRecords, wholeOf } from './keyspace-view.js';
import { Lan, type LanMachine } from './lan.js';
import { addressesOf } from './live-addresses.js';

export type LanHost = Host<EtcdCluster> & { readonly address: string; records: NodeRecords };

/** A container that runs, with what its network's kernel says. */
export interface Running {
  readonly name: string;
  /** Of its first process. */
  readonly pid: number;
  readonly address: string;
}

export class Hosts implements AsyncDisposable {
  readonly view: KeyspaceView;

  private constructor(
    readonly etcd: EtcdCluster,
    readonly all: readonly LanHost[],
    private readonly parts: readonly AsyncDisposable[],
  ) {
    this.view = new KeyspaceView(etcd);
  }

  /** `env` is the drivers'. Their records are made in the order of `names`. */
  static async start(names: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Hosts> {
    const parts: AsyncDisposable[] = [];
    const keep = <T extends AsyncDisposable>(part: T): T => {
      parts.unshift(part);
      return part;
    };
    try {
      const lan = keep(await Lan.start());
      const machines: LanMachine[] = [];
      for (const name of names) machines.push(keep(await lan.machine(name)));
      const etcd = keep(await EtcdCluster.start(machines));
      const hosts: LanHost[] = [];
      for (const machine of machines) {
        const settings = { env: { ...env, ETCD_ENDPOINTS: etcd.urlOn(machine) }, network: 'machine' } as const;
        const host = keep(await Host.on(machine, etcd, settings));
        const records = new NodeRecords(machine.name, `boot-${hosts.length + 1}`);
        hosts.push(Object.assign(host, { address: machine.address, records }));
      }
      return new Hosts(etcd, hosts, parts);
    } catch (cause) {
      for (const part of parts) await part[Symbol.asyncDispose]();
      throw cause;
    }
  }

  /** What is in etcd as long as the drivers run; `instances` are their sessions where they are not the first ones. */
  own(instances: Readonly<Record<string, string>> = {}): Keyspace {
    const records = this.all.map(({ records }, i) =>
      records.own(instances[records.node] ?? `instance-${i + 1}`, { machine: `machine-${i + 1}` }),
    );
    return wholeOf(...records);
  }

  /** What `docker` lists on a host; fails where a container's kernel has another address than its engine says. */
  async running(host: LanHost): Promise<Running[]> {
    const ids = await host.engine.must('ps', '--quiet');
    if (ids === '') return [];
    const format = '{{.Name}} {{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}';
    const shown = await host.engine.must('inspect', '--format', format, ...ids.split('\n'));
    return shown.split('\n').map((line) => {
      const [name = '', pid = '', ...addresses] = line.trim().split(' ');
      expect(addressesOf(Number(pid)), `addresses of ${name}`).to.deep.equal(addresses);
      expect(addresses, `addresses of ${name}`).to.have.length(1);
      return { name: name.slice(1), pid: Number(pid), address: addresses[0]! };
    });
  }

  /** What failed tests left. */
  async clear(): Promise<void> {
    await Promise.all(this.all.map((host) => host.clear()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const part of this.parts) await part[Symbol.asyncDispose]();
  }
}
