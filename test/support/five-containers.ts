// Five containers that are always up, which an engine is to bring back, and others that come and go meanwhile. Knows the
// layout of etcd; refuses to know how the plugin is installed.
import { expect } from 'chai';
import type { Engine } from './engine.js';
import { lingering } from './image.js';
import type { Keyspace, KeyspaceView, NodeRecords } from './keyspace-view.js';
import { wholeOf } from './keyspace-view.js';
import { addressesOf } from './live-addresses.js';
import { eventually, tail } from './process.js';

const BACK_MS = 90_000;

interface Inspected {
  readonly Name: string;
  readonly State: { readonly Running: boolean; readonly Pid: number };
}

export class FiveContainers {
  readonly names: readonly string[];

  private constructor(
    private readonly engine: Engine,
    private readonly network: string,
    private readonly fixed: string | undefined,
  ) {
    this.names = [1, 2, 3, 4, 5].map((number) => (number === 5 && fixed !== undefined ? 'fixed' : `always-${number}`));
  }

  /** `fixed` is the `--ip` of one of them. */
  static async start(engine: Engine, network: string, fixed?: string): Promise<FiveContainers> {
    const five = new FiveContainers(engine, network, fixed);
    for (const name of five.names) {
      const own = name === 'fixed' ? ['--ip', fixed!] : [];
      await five.run(name, '--restart', 'always', ...own);
    }
    return five;
  }

  /** Waits until each of the five runs with an address; prints how long after `began` that was. */
  async back(title: string, began: number): Promise<void> {
    const answered = seconds(began);
    await eventually('all five containers run', () => this.addresses().catch(() => false), BACK_MS, 100).catch(
      async (late: Error) => {
        const shown = await this.engine.must('ps', '--all');
        throw new Error(`${late.message}\n${shown}\n${tail(this.engine.log, 30)}`);
      },
    );
    console.log(
      `boot: ${title}: the engine answers after ${answered}, five containers are back after ${seconds(began)}`,
    );
  }

  /** What is claimed for them, and for these others beside them, if each address in their kernels is claimed. */
  async claims(node: NodeRecords, subnet: string, join: number, ...others: string[]): Promise<Keyspace> {
    const addresses = await this.addresses(...others);
    if (this.fixed !== undefined) expect(addresses.get('fixed')).to.equal(this.fixed);
    expect(new Set(addresses.values()).size, 'distinct addresses').to.equal(addresses.size);
    const claims = [...addresses].map(([name, address]) =>
      name === 'fixed' ? node.unsure(subnet, address, join) : node.endpoint(subnet, address, join),
    );
    return wholeOf(...claims);
  }

  /**
   * Restarts the plugin three times, each time once the one before is a part of the cluster, while other containers start
   * and are removed, two at a time. None of these commands may fail.
   */
  async underRestarts(view: KeyspaceView, restart: () => Promise<unknown>): Promise<void> {
    let over = false;
    let done = 0;
    const comeAndGo = async (worker: string) => {
      for (let round = 1; !over; round++) {
        await this.run(`${worker}-${round}`);
        await this.engine.must('rm', '--force', `${worker}-${round}`);
        done += 2;
      }
    };
    const restarts = async () => {
      for (let times = 1; times <= 3; times++) {
        const [before, reached] = [await view.instance(), done];
        await restart();
        const another = async () => (await view.instance().catch(() => before)) !== before;
        await eventually('another process of the plugin has a session', another, BACK_MS);
        await eventually('commands go on', () => done > reached + 4, BACK_MS);
      }
    };
    const load = Promise.all(['one', 'two'].map(comeAndGo));
    const restarting = restarts();
    try {
      await Promise.race([load, restarting]);
    } finally {
      over = true;
      // Whatever failed, no restart goes on into the next test.
      await Promise.allSettled([load, restarting]);
    }
    await load;
    console.log(`${done} commands succeeded while the plugin was restarted three times`);
  }

  async remove(): Promise<void> {
    await this.engine.must('rm', '--force', ...this.names);
  }

  private run(name: string, ...args: string[]): Promise<string> {
    return this.engine.must(
      'run',
      '--detach',
      '--name',
      name,
      '--network',
      this.network,
      ...args,
      'busybox',
      ...lingering,
    );
  }

  /** By name, as the kernel has them; rejects unless each container runs with one. */
  private async addresses(...others: string[]): Promise<Map<string, string>> {
    const found = JSON.parse(await this.engine.must('inspect', ...this.names, ...others)) as Inspected[];
    return new Map(
      found.map(({ Name, State }) => {
        const addresses = State.Running ? addressesOf(State.Pid) : [];
        expect(addresses, `addresses of ${Name}`).to.have.length(1);
        return [Name.slice(1), addresses[0]!];
      }),
    );
  }
}

const seconds = (began: number) => `${((performance.now() - began) / 1_000).toFixed(1)} s`;
