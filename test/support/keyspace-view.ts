// The whole of etcd as a test reads it: every key and value, with what is random or a time replaced by what it stands
// for. A value of the wrong shape is left as it is, and so fails the comparison. Knows the layout, not the driver.
import { expect } from 'chai';
import { type EtcdFixture, entries } from './etcd.js';
import { eventually, sleep } from './process.js';

export type Keyspace = Record<string, unknown>;

const ID = /^[0-9a-f]{16}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const SHAPES: Readonly<Record<string, { readonly shape: RegExp; readonly as?: string }>> = {
  token: { shape: ID },
  since: { shape: INSTANT },
  pid: { shape: /^[1-9]\d*$/ },
  boot: { shape: UUID, as: 'boot' },
  machine: { shape: /^[0-9a-f]{32}$/, as: 'machine' },
  join: { shape: ID, as: 'join' },
  leader: { shape: ID, as: 'join' },
  incarnation: { shape: ID },
};

/** Joins, boots and instances are called `join-1`, `join-2`, … in the order in which they were first written. */
export class KeyspaceView {
  readonly #names = new Map<string, string>();

  constructor(
    private readonly etcd: Pick<EtcdFixture, 'ctl'>,
    private readonly prefix = '/etcd-ipam/',
  ) {}

  /**
   * All but the pace of rounds, which comes and goes. Fails when anything else hangs on a lease but sessions, history and what rests,
   * for then time alone would free an address; and when these do not.
   */
  async now(): Promise<Keyspace> {
    const pace = `${this.prefix}tick`;
    const all = (await entries(this.etcd)).filter(({ key }) => key !== pace).sort((a, b) => a.created - b.created);
    const named = all.map(({ key, value, leased }) => {
      const name = key.startsWith(this.prefix) ? key.slice(this.prefix.length) : `outside the prefix: ${key}`;
      const ends = /^(sessions|history)\//.test(name) || (value as { kind?: unknown } | null)?.kind === 'cooling';
      expect(leased, `${name} hangs on a lease`).to.equal(ends);
      return [this.#inKey(name), this.#inValue(value)];
    });
    return Object.fromEntries(named);
  }

  /** The same, read until it is what is expected, for what ends by a lease or in the background. */
  async becomes(expected: Keyspace, withinMs: number): Promise<void> {
    for (const end = performance.now() + withinMs; ; await sleep(100)) {
      try {
        return void expect(await this.now()).to.deep.equal(expected);
      } catch (difference) {
        if (performance.now() > end) throw difference;
      }
    }
  }

  /** The number of the subnet's only join, or of the only one beside `other`. */
  async joinOf(subnet: string, other?: number): Promise<number> {
    const joins = Object.keys(await this.now())
      .filter((key) => key.startsWith(`joins/${subnet}/join-`))
      .map((key) => Number(key.slice(key.lastIndexOf('-') + 1)))
      .filter((join) => join !== other);
    expect(joins, `joins of ${subnet}`).to.have.length(1);
    return joins[0]!;
  }

  /** The name of the one session, once those of killed processes are over. */
  async instance(withinMs = 60_000): Promise<string> {
    const one = async () => {
      const sessions = Object.keys(await this.now()).filter((key) => key.startsWith('sessions/'));
      return sessions.length === 1 && sessions[0]!.split('/').at(-1);
    };
    return eventually('there is one session', one, withinMs);
  }

  #inKey(key: string): string {
    const [room, ...rest] = key.split('/');
    const last = rest.pop() ?? '';
    const kind = room === 'sessions' ? 'instance' : room === 'joins' || room === 'holders' ? 'join' : undefined;
    return kind && ID.test(last) ? [room, ...rest, this.#name(kind, last)].join('/') : key;
  }

  #inValue(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    const fields = Object.entries(value).map(([field, text]) => {
      if (typeof text === 'object' && text !== null && !Array.isArray(text)) return [field, this.#inValue(text)];
      const known = SHAPES[field];
      if (field === 'replaces' || field === 'record') return [field, this.#inValue(text)];
      if (!known?.shape.test(String(text))) return [field, text];
      return [field, known.as ? this.#name(known.as, String(text)) : '*'];
    });
    return Object.fromEntries(fields);
  }

  #name(kind: string, id: string): string {
    const known = this.#names.get(id);
    if (known) return known;
    const count = [...this.#names.values()].filter((name) => name.startsWith(`${kind}-`)).length;
    const name = `${kind}-${count + 1}`;
    this.#names.set(id, name);
    return name;
  }
}

export function wholeOf(...parts: readonly Keyspace[]): Keyspace {
  return Object.assign({}, ...parts);
}

const written = { since: '*', token: '*' };

/** What a node leaves in etcd, in one of its boots. Subnets are written as their keys are: `local/v4/010.066.000.000-24`. */
export class NodeRecords {
  constructor(
    readonly node: string,
    readonly boot = 'boot-1',
  ) {}

  /** What is there as long as the driver runs, networks or not. */
  own(instance = 'instance-1', { machine = 'machine-1', host = this.node } = {}): Keyspace {
    return {
      ...this.record(machine),
      [`sessions/${this.node}/${instance}`]: { machine, boot: this.boot, pid: '*', host, ...written },
    };
  }

  /** What is there for good. */
  record(machine = 'machine-1'): Keyspace {
    return { [`nodes/${this.node}`]: { machine, boot: this.boot, silence: 0, ...written } };
  }

  join(subnet: string, join: number, more: object = {}): Keyspace {
    return { [`joins/${subnet}/join-${join}`]: { ...this.#by, ...more } };
  }

  endpoint(subnet: string, address: string, join: number, more: object = {}): Keyspace {
    const claim = { kind: 'endpoint', ...this.#by, join: `join-${join}`, ...more };
    return { [`claims/${subnet}/${wide(address)}`]: claim };
  }

  /** An address by number that may be a container's `--ip` or an auxiliary one. */
  unsure(subnet: string, address: string, join: number): Keyspace {
    return this.endpoint(subnet, address, join, { kind: 'unsure' });
  }

  shared(subnet: string, address: string, role: 'gateway' | 'aux', ...joins: number[]): Keyspace {
    const place = `${subnet}/${wide(address)}`;
    const holders = joins.map((join) => [`holders/${place}/join-${join}`, { role, ...this.#by }]);
    return { [`claims/${place}`]: { kind: 'shared', ...written }, ...Object.fromEntries(holders) };
  }

  get #by() {
    return { node: this.node, boot: this.boot, ...written };
  }
}

/** An address that was released and rests. */
export function resting(subnet: string, address: string): Keyspace {
  return { [`claims/${subnet}/${wide(address)}`]: { kind: 'cooling', ...written } };
}

/** The guard of an address space that has pools. */
export function guard(space = 'local'): Keyspace {
  return { [`spaces/${space}`]: { token: '*' } };
}

/** `gateway`: the one chosen for networks that name none. */
export function pool(subnet: string, gateway?: string): Keyspace {
  return { [`pools/${subnet}`]: { state: 'open', ...(gateway !== undefined && { gateway }), ...written } };
}

/** An address as keys have it: `10.66.0.2` as `010.066.000.002`, `fd00::2` with all its digits. */
export function wide(address: string): string {
  if (!address.includes(':')) {
    return address
      .split('.')
      .map((part) => part.padStart(3, '0'))
      .join('.');
  }
  const [head = [], tail = []] = address.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const zeros = Array<string>(8 - head.length - tail.length).fill('0');
  return [...head, ...zeros, ...tail].map((group) => group.padStart(4, '0')).join(':');
}
