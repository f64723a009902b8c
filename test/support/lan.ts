// Machines on one switch: an Ethernet segment with a leg for the test itself; it refuses to know what they say to each other.
//
// The bridge lives in a network namespace of its own: in one with an engine, the engine's FORWARD policy would drop the
// traffic between the machines.
import { Machine } from './machine.js';
import { runOrFail } from './process.js';

let lans = 0;

/** A switch; `await using` removes it and the test's leg. Machines are disposed of by whoever asked for them. */
export class Lan implements AsyncDisposable {
  #ports = 0;
  #machines = 0;

  private constructor(
    private readonly number: number,
    private readonly bridge: Machine,
  ) {}

  static async start(): Promise<Lan> {
    lans += 1;
    const bridge = await Machine.start('switch');
    const lan = new Lan(lans, bridge);
    await bridge.must('ip', ['link', 'add', 'bridge', 'type', 'bridge']);
    await bridge.must('ip', ['link', 'set', 'bridge', 'up']);
    const leg = `lan${lan.number}`;
    await lan.plug(process.pid, leg);
    await runOrFail('ip', ['address', 'add', `${lan.address}/24`, 'dev', leg]);
    await runOrFail('ip', ['link', 'set', leg, 'up']);
    return lan;
  }

  /** The test's own address on the switch: an etcd that listens there is in reach of all machines. */
  get address(): string {
    return this.addressOf(1);
  }

  /** Starts a machine whose eth0 has an address on the switch. */
  async machine(name: string): Promise<LanMachine> {
    this.#machines += 1;
    const host = 10 + this.#machines;
    const address = this.addressOf(host);
    // The same after a power cut, as a card's is: the others remember it.
    const mac = `02:00:00:00:${hex(this.number)}:${hex(host)}`;
    const machine = await Machine.start(name);
    await machine.connect(async () => {
      await this.plug(machine.pid, 'eth0', ['address', mac]);
      await machine.must('ip', ['address', 'add', `${address}/24`, 'dev', 'eth0']);
      await machine.must('ip', ['link', 'set', 'eth0', 'up']);
    });
    return Object.assign(machine, { address });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.bridge[Symbol.asyncDispose]();
  }

  private addressOf(host: number): string {
    return `192.168.${100 + this.number}.${host}`;
  }

  private async plug(pid: number, name: string, options: readonly string[] = []): Promise<void> {
    this.#ports += 1;
    const port = `port${this.#ports}`;
    const peer = ['type', 'veth', 'peer', 'name', name, ...options, 'netns', String(pid)];
    await this.bridge.must('ip', ['link', 'add', port, ...peer]);
    await this.bridge.must('ip', ['link', 'set', port, 'master', 'bridge', 'up']);
  }
}

const hex = (byte: number) => byte.toString(16).padStart(2, '0');

export type LanMachine = Machine & { readonly address: string };
