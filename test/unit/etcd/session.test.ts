// The session keeper against a simulated etcd whose network loses answers and delivers stuck transactions later.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { EtcdClient, RequestOp, TxnRequest, TxnResponse } from '../../../src/etcd/client.js';
import { EtcdFault } from '../../../src/etcd/fault.js';
import { History } from '../../../src/etcd/history.js';
import { SessionKeeper } from '../../../src/etcd/session.js';

const SESSION = '/p/sessions/web/i1';
const NODE = '/p/nodes/web';
const soon = (ms = 3000) => performance.now() + ms;

/** What becomes of a transaction: how long until it lands (never: undefined), and whether its answer arrives. */
interface Fate {
  readonly lands: number | undefined;
  readonly answered: boolean;
}
const OK: Fate = { lands: 0, answered: true };

interface Stored {
  value: Buffer;
  mod: bigint;
  lease: string;
}

class SimulatedEtcd implements EtcdClient {
  readonly history = new History();
  readonly keys = new Map<string, Stored>();
  readonly leases = new Set<string>();
  revision = 1n;
  writes = 0;
  fate: (request: TxnRequest) => Fate = () => OK;
  /** Called when a transaction with compares has succeeded. */
  onCommit: (request: TxnRequest) => void = () => {};
  #lastLease = 0;

  async txn(request: TxnRequest): Promise<TxnResponse> {
    const sent = this.history.known;
    const reply = await this.#txn(request);
    const written = reply.succeeded && (request.success?.some((op) => op.request_put) ?? false);
    this.history.answered(reply.header, sent, written);
    return reply;
  }

  async #txn(request: TxnRequest): Promise<TxnResponse> {
    const { lands, answered } = this.fate(request);
    if (!answered) {
      if (lands !== undefined) setTimeout(() => this.#land(request), lands);
      await sleep(2);
      const kind = lands === undefined ? 'not_sent' : 'unknown';
      throw new EtcdFault(kind, 'simulated', 'sim', { final: lands === undefined, elsewhere: true });
    }
    await sleep(lands ?? 0);
    const reply = this.#land(request);
    await sleep(0);
    if ('fault' in reply) throw reply.fault;
    return reply;
  }

  async read(request: TxnRequest): Promise<TxnResponse> {
    const sent = this.history.known;
    await sleep(0);
    const reply = this.#land(request) as TxnResponse;
    this.history.answered(reply.header, sent, false);
    return reply;
  }

  async grant(ttl: number): Promise<{ id: string; ttl: number }> {
    const id = String(++this.#lastLease);
    this.leases.add(id);
    return { id, ttl };
  }

  async keepAlive(id: string): Promise<number> {
    return this.leases.has(id) ? 2 : 0;
  }

  async revoke(id: string): Promise<void> {
    this.leases.delete(id);
    for (const [key, { lease }] of this.keys) if (lease === id) this.remove(key);
  }

  watch(): Promise<void> {
    throw new Error('a session watches nothing');
  }

  async version(): Promise<string> {
    return '3.4.0';
  }

  outage(): undefined {}

  describe(): string {
    return 'etcd at sim';
  }

  close(): void {}

  remove(key: string): void {
    if (this.keys.delete(key)) this.revision++;
  }

  put(key: string, value: object): void {
    this.keys.set(key, { value: Buffer.from(JSON.stringify(value)), mod: ++this.revision, lease: '0' });
  }

  #land(request: TxnRequest): TxnResponse | { fault: EtcdFault } {
    const succeeded = (request.compare ?? []).every((compare) => {
      const range = compare as { key: Buffer; range_end?: Buffer };
      const mods = this.#find(range.key, range.range_end).map(([, { mod }]) => mod);
      const limit = BigInt(compare.mod_revision ?? 0);
      if (range.range_end === undefined) return (mods[0] ?? 0n) === limit;
      return mods.every((mod) => mod < limit);
    });
    const operations = (succeeded ? request.success : request.failure) ?? [];
    const leases = operations.map((op) => String(op.request_put?.lease ?? '0'));
    if (leases.some((lease) => lease !== '0' && !this.leases.has(lease)))
      return {
        fault: new EtcdFault('refused', 'the lease is gone', 'sim', { final: true, elsewhere: false, leaseGone: true }),
      };
    if (operations.some((op) => op.request_put)) {
      this.revision++;
      this.writes++;
    }
    if (succeeded && request.compare) this.onCommit(request);
    const responses = operations.map((op) => this.#operate(op));
    return {
      succeeded,
      header: { cluster_id: '1', revision: String(this.revision) },
      responses,
    } as unknown as TxnResponse;
  }

  #operate({ request_put: put, request_range: range }: RequestOp): unknown {
    if (put?.key && put.value) {
      this.keys.set(put.key.toString(), { value: put.value, mod: this.revision, lease: String(put.lease ?? '0') });
      return { response_put: {} };
    }
    const kvs = this.#find(range?.key as Buffer, range?.range_end).map(([key, { value, mod, lease }]) => ({
      ...{ key: Buffer.from(key), value, mod_revision: String(mod), lease },
    }));
    return { response_range: { kvs } };
  }

  #find(key: Buffer, end?: Buffer): [string, Stored][] {
    const [from, to] = [key.toString(), end?.toString()];
    return [...this.keys].filter(([name]) => (to === undefined ? name === from : name >= from && name < to));
  }
}

function keeperOf(etcd: EtcdClient, events: string[] = []): SessionKeeper {
  const settings = { prefix: '/p/', node: 'web', instance: 'i1', machine: 'm1', boot: 'b1', ttl: 2 };
  const report = (event: { kind: string; reason?: string }) =>
    events.push(`${event.kind} ${event.reason ?? ''}`.trim());
  const keeper = new SessionKeeper(etcd, { ...settings, report });
  keeper.start();
  return keeper;
}

function claim(name: string, version: string): TxnRequest {
  return {
    compare: [{ key: Buffer.from(SESSION), target: 'Mod', result: 'Equal', mod_revision: version }],
    success: [{ request_put: { key: Buffer.from(`/p/claims/${name}`), value: Buffer.from('{}') } }],
  };
}

const writes = (request: TxnRequest, key: string) =>
  request.success?.some((op) => op.request_put?.key?.toString() === key) ?? false;

describe('session keeper, interleavings', () => {
  let etcd: SimulatedEtcd;
  let keeper: SessionKeeper | undefined;
  beforeEach(() => {
    etcd = new SimulatedEtcd();
  });
  afterEach(() => keeper?.stop(soon(100)));

  it('a claim is stuck, the node fences, the claim lands: it fails', async () => {
    keeper = keeperOf(etcd);
    const { version } = await keeper.current(soon());
    etcd.fate = (request) => (writes(request, '/p/claims/a') ? { lands: 300, answered: false } : OK);
    await etcd.txn(claim('a', version)).catch(() => undefined);
    await keeper.fence(soon());
    await sleep(350);
    expect([...etcd.keys.keys()]).to.deep.equal([NODE, SESSION]);
  });

  it('the re-put itself is stuck: the fence waits, tries again, and the late copy changes nothing', async () => {
    keeper = keeperOf(etcd);
    await keeper.current(soon());
    let stuck = 0;
    etcd.fate = (request) => (writes(request, SESSION) && stuck++ === 0 ? { lands: 500, answered: false } : OK);
    await keeper.fence(soon());
    const { version } = await keeper.current(soon());
    await sleep(550);
    expect(etcd.keys.get(SESSION)?.mod).to.equal(BigInt(version));
    expect(stuck).to.equal(2);
  });

  it('every answer of a re-put is lost although it lands: recognised by its token, no session is lost', async () => {
    const events: string[] = [];
    keeper = keeperOf(etcd, events);
    const { version } = await keeper.current(soon());
    etcd.fate = (request) => (writes(request, SESSION) ? { lands: 0, answered: false } : OK);
    await keeper.fence(soon());
    expect(etcd.keys.get(SESSION)?.mod).to.equal(BigInt((await keeper.current(soon())).version));
    expect((await keeper.current(soon())).version).to.not.equal(version);
    expect(events).to.not.include('lost its key was written by someone else');
  });

  it('a fence called while a re-put is under way needs no second one, one called after it does', async () => {
    keeper = keeperOf(etcd);
    await keeper.current(soon());
    const before = etcd.writes;
    const first = keeper.fence(soon());
    await sleep(0);
    await Promise.all([first, keeper.fence(soon())]);
    expect(etcd.writes - before).to.equal(1);
    await keeper.fence(soon());
    expect(etcd.writes - before).to.equal(2);
  });

  it('a creation is stuck, another commits, the stuck one lands: it fails', async () => {
    let stuck = 0;
    etcd.fate = (request) => (writes(request, NODE) && stuck++ === 0 ? { lands: 600, answered: false } : OK);
    keeper = keeperOf(etcd);
    const { version } = await keeper.current(soon());
    await sleep(700);
    expect(etcd.keys.get(SESSION)?.mod).to.equal(BigInt(version));
    expect(stuck).to.equal(2);
  });

  it('a session of another boot appears between the look and the creation: nothing is written', async () => {
    const other = '/p/sessions/web/i0';
    etcd.fate = (request) => {
      if (writes(request, NODE)) etcd.put(other, { machine: 'm1', boot: 'b0', since: 'x', token: 't' });
      return OK;
    };
    keeper = keeperOf(etcd);
    const error = await keeper.current(soon()).catch((e) => e);
    expect(error.code).to.equal('node_name_taken');
    expect([...etcd.keys.keys()]).to.deep.equal([other]);
  });

  it('a refusal of the name lasts as long as etcd shows it: once etcd is away, that is what is in the way', async () => {
    etcd.put('/p/sessions/web/i0', { machine: 'm1', boot: 'b0', since: 'x', token: 't' });
    keeper = keeperOf(etcd);
    expect((await keeper.current(soon(100)).catch((e) => e)).code).to.equal('node_name_taken');
    expect(keeper.refusal).to.match(/^node name web is in use by a session of another boot/);
    etcd.fate = () => ({ lands: undefined, answered: false });
    const error = await keeper.current(soon(1500)).catch((e) => e);
    expect([error.code, keeper.refusal]).to.deep.equal(['unavailable', undefined]);
    etcd.fate = () => OK;
    await sleep(400);
    expect(keeper.refusal).to.match(/^node name web is in use/);
  });

  it('a round counts silence between the look and the creation: looked at again, and reset', async () => {
    let counted = 0;
    etcd.put(NODE, { machine: 'm1', boot: 'b1', silence: 4, since: 'x', token: 't' });
    etcd.fate = (request) => {
      if (writes(request, NODE) && counted++ === 0)
        etcd.put(NODE, { machine: 'm1', boot: 'b1', silence: 5, since: 'x' });
      return OK;
    };
    keeper = keeperOf(etcd);
    await keeper.current(soon());
    expect(JSON.parse(String(etcd.keys.get(NODE)?.value)).silence).to.equal(0);
    expect(counted).to.equal(2);
  });

  it('a process that stood still for longer than its session lasts has no proof of it, asked before anything else', async () => {
    keeper = keeperOf(etcd);
    const { version } = await keeper.current(soon());
    expect(keeper.proof?.version).to.equal(version);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_600);
    expect([keeper.proof, keeper.alive]).to.deep.equal([undefined, false]);
    expect((await keeper.current(soon())).version).not.to.equal(version);
  });

  it('etcd is restored from a backup and its revisions begin below: a session is created there', async () => {
    const events: string[] = [];
    etcd.revision = 1000n;
    keeper = keeperOf(etcd, events);
    const { version } = await keeper.current(soon());
    etcd.revision = 500n;
    for (const stored of etcd.keys.values()) stored.mod = 400n;
    await keeper.mismatch(version, soon());
    expect((await keeper.current(soon())).version).to.equal('501');
    expect(events[1]).to.match(/^lost etcd was restored from a backup: revision 1001 fell to 500$/);
  });

  it('etcd is restored below what a fence waits for: the session that is created there ends the wait', async () => {
    etcd.revision = 1000n;
    keeper = keeperOf(etcd);
    await keeper.current(soon());
    etcd.fate = (request) => (writes(request, SESSION) ? { lands: undefined, answered: false } : OK);
    const fenced = keeper.fence(soon());
    await sleep(30);
    etcd.revision = 500n;
    for (const stored of etcd.keys.values()) stored.mod = 400n;
    etcd.fate = () => OK;
    const before = etcd.writes;
    await fenced;
    expect((await keeper.current(soon())).version).to.equal('501');
    expect(etcd.writes - before).to.equal(1);
  });

  it('N1: answers that overtake one another are no sign of a restored etcd', async () => {
    const events: string[] = [];
    keeper = keeperOf(etcd, events);
    const { version } = await keeper.current(soon());
    const read = etcd.read.bind(etcd);
    let arrive: (() => void) | undefined;
    etcd.read = async (request) => {
      const reply = await read(request);
      await new Promise<void>((resolve) => {
        arrive = resolve;
      });
      return reply;
    };
    const look = keeper.mismatch(version, soon());
    while (arrive === undefined) await sleep(1);
    etcd.revision += 100n; // what others commit meanwhile
    await keeper.fence(soon());
    const fenced = (await keeper.current(soon())).version;
    expect(Number(fenced)).to.be.greaterThan(Number(version) + 100);
    arrive();
    await look;
    expect((await keeper.current(soon())).version).to.equal(fenced);
    expect(events.filter((event) => !event.startsWith('alive'))).to.deep.equal([]);
  });

  it('300 random worlds or more: no claim lands with a version handed out before a fence, and all recover', async function () {
    this.timeout(180_000);
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9));
    const totals = { landed: 0, fences: 0, late: 0 };
    // Worlds in which nothing happens would prove nothing; they last by the clock, so that a busy machine does less in them.
    const enough = () => totals.landed > 300 && totals.fences > 150 && totals.late > 30;
    for (let first = 0; first < 300 || (first < 5_000 && !enough()); first += 100) {
      const worlds = Array.from({ length: 100 }, (_, i) => randomWorld(seed + first + i));
      for (const world of await Promise.allSettled(worlds)) {
        if (world.status === 'rejected') throw world.reason;
        const [landed = 0, fences = 0, late = 0] = world.value;
        totals.landed += landed;
        totals.fences += fences;
        totals.late += late;
      }
    }
    expect(enough(), JSON.stringify(totals)).to.equal(true);
  });
});

/** One node with three writers for a second; the network, an operator and the lease misbehave. */
async function randomWorld(seed: number): Promise<number[]> {
  const random = prng(seed);
  const etcd = new SimulatedEtcd();
  const keeper = keeperOf(etcd);
  let fenced = 0n;
  let newest = 0n;
  let [landed, fences, late] = [0, 0, 0];
  let violation: string | undefined;
  etcd.onCommit = (request) => {
    if (!request.success?.some((op) => op.request_put?.key?.toString().startsWith('/p/claims/'))) return;
    landed++;
    const version = BigInt(request.compare?.[0]?.mod_revision ?? 0);
    if (version <= fenced) violation ??= `a claim with version ${version} landed after a fence of ${fenced}`;
  };
  let calm = false;
  etcd.fate = () => {
    const dice = calm ? 1 : random();
    if (dice < 0.08) return { lands: Math.floor(random() * 5), answered: false };
    if (dice < 0.2) {
      late++;
      return { lands: 20 + Math.floor(random() * 400), answered: false };
    }
    if (dice < 0.25) return { lands: undefined, answered: false };
    return { lands: Math.floor(random() * 4), answered: true };
  };
  const end = performance.now() + 1000;
  const writer = async (id: number) => {
    for (let n = 0; performance.now() < end; n++) {
      try {
        const { version } = await keeper.current(end);
        if (BigInt(version) > newest) newest = BigInt(version);
        const reply = await etcd.txn(claim(`${id}-${n}`, version)).catch(() => undefined);
        if (reply?.succeeded === false) await keeper.mismatch(version, end);
        if (reply === undefined) {
          const handedOut = newest;
          await keeper.fence(end);
          fences++;
          if (handedOut > fenced) fenced = handedOut;
        }
      } catch {
        await sleep(5);
      }
    }
  };
  const trouble = async () => {
    while (performance.now() < end) {
      await sleep(random() * 200);
      const dice = random();
      if (dice < 0.25) etcd.remove(SESSION);
      else if (dice < 0.4) etcd.remove(NODE);
      else if (dice < 0.55) for (const key of [SESSION, NODE]) etcd.remove(key);
      else if (dice < 0.7) for (const lease of [...etcd.leases]) await etcd.revoke(lease);
      else if (dice < 0.8) etcd.put(NODE, { machine: 'm1', boot: 'b1', silence: 1, since: 'x', token: 'x' });
    }
  };
  try {
    await Promise.all([writer(1), writer(2), writer(3), trouble()]);
    calm = true;
    await sleep(450);
    expect(violation, `seed ${seed}`).to.equal(undefined);
    for (let tries = 0; ; tries++) {
      const { version } = await keeper.current(soon());
      if ((await etcd.txn(claim('last', version))).succeeded) break;
      expect(tries, `seed ${seed} does not recover`).to.be.below(5);
      await keeper.mismatch(version, soon());
    }
  } finally {
    await keeper.stop(soon());
  }
  expect(etcd.keys.has(SESSION), `seed ${seed} leaves its key`).to.equal(false);
  return [landed, fences, late];
}

function prng(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
