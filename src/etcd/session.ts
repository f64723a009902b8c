// etcd's room, the node's live membership: one lease, one session key, and the proof of it that grants compare. Refuses
// to know pools and claims, and judges other nodes only as far as this node's name goes.

import { randomBytes } from 'node:crypto';
import { IpamError } from '../ipam/errors.js';
import { isGone } from '../ipam/silence.js';
import type { Deadline, Version } from '../ipam/store.js';
import { OtherBoots } from './boots.js';
import type { Compare, EtcdClient, TxnResponse } from './client.js';
import { EtcdFault, ipamErrorOf } from './fault.js';
import { type Identity, json, kvsOf, type NameRefusal, recordOf, refusalOf } from './membership.js';
import { Signal, until } from './signal.js';
import { Versions } from './versions.js';

export interface SessionSettings extends Identity {
  /** IPAM_PREFIX, with its slash at the end. */
  readonly prefix: string;
  /** Seconds the session outlives its process. etcd's minimum is 2. */
  readonly ttl: number;
  /**
   * Rounds of silence after which another machine may take this node's name over (IPAM_HOLD). Absent: never,
   * unless an operator evicts the node.
   */
  readonly goneRounds?: number;
  /** How long a session of another boot lives at most that nobody renews, in ms; see OtherBoots. */
  readonly renewedMs?: number;
  readonly report: (event: SessionEvent) => void;
}

/** Reported once each time it becomes so, not once per attempt. `returned`: others took the node for gone. */
export type SessionEvent =
  | { readonly kind: 'alive'; readonly key: string; readonly version: Version; readonly returned?: boolean }
  | { readonly kind: 'lost' | 'refused' | 'unreachable'; readonly reason: string };

/** What a grant compares: the session key's mod_revision. */
export interface Proof {
  readonly key: Buffer;
  readonly version: Version;
}

interface Held {
  readonly lease: string;
  ttlMs: number;
  /** The instant before the last successful keepalive was sent, plus its TTL. */
  validUntil: number;
  version: Version;
}

/** Between two attempts after a failure, between two looks at a name that is taken, between two re-puts; in ms. */
const RETRY = 200;
const REFUSED_RETRY = 1000;
const FENCE_GAP = 25;
/** How long one attempt of the keeper may take, in ms, all its calls together. */
const ATTEMPT = 3000;
const KEEPALIVE = 1500;

export class SessionKeeper {
  readonly #client: EtcdClient;
  readonly #settings: SessionSettings;
  readonly #key: string;
  readonly #bytes: Buffer;
  #held: Held | undefined;
  /** A lease granted for a session that could not be created yet. */
  #spare: { readonly id: string; readonly ttlMs: number; readonly sent: number } | undefined;
  #refusal: NameRefusal | undefined;
  readonly #boots: OtherBoots;
  #fault: EtcdFault | undefined;
  readonly #versions = new Versions();
  #running: Promise<void> | undefined;
  #stopped = false;
  #reputting: Promise<void> | undefined;
  #lastReput = Number.NEGATIVE_INFINITY;
  #rereading: Promise<void> | undefined;
  readonly #changed = new Signal();
  #reported = '';

  constructor(client: EtcdClient, settings: SessionSettings) {
    this.#client = client;
    this.#settings = settings;
    this.#key = `${settings.prefix}sessions/${settings.node}/${settings.instance}`;
    this.#bytes = Buffer.from(this.#key);
    this.#boots = new OtherBoots(settings.boot, settings.renewedMs);
    client.history.onBreak(({ what }) => this.#restored(what));
  }

  get node(): string {
    return this.#settings.node;
  }

  /** Begins in the background and never throws; what goes wrong is reported and retried. */
  start(): void {
    this.#running ??= this.#tend();
  }

  /** Why the node's name is another's at present, if it is. */
  get refusal(): string | undefined {
    return this.#refusal?.reason;
  }

  /** The proof of this moment, if the session is believed in. */
  get proof(): Proof | undefined {
    const held = this.#live();
    return held && { key: this.#bytes, version: held.version };
  }

  /** Whether the session is believed in. */
  get alive(): boolean {
    return this.#live() !== undefined;
  }

  /**
   * The proof of this moment; waits for a session while there is none. Rejects with `node_name_taken` as soon as etcd
   * shows the name in use, or at `by` if that ends by itself, and with `unavailable` or `denied` at `by`.
   */
  async current(by: Deadline): Promise<Proof> {
    for (;;) {
      const { proof } = this;
      if (proof !== undefined) return proof;
      const late = performance.now() >= by;
      if (this.#refusal !== undefined && (late || this.#stopped || !this.#refusal.endsByItself))
        throw new IpamError('node_name_taken', this.#refusal.reason);
      if (this.#stopped || late) throw this.#unavailable();
      await this.#changed.wait(by);
    }
  }

  /** Told that a compare with `version` failed for certain: finds out what became of the session. */
  async mismatch(version: Version, by: Deadline): Promise<void> {
    // The first look may have begun before the compare failed; the second has not.
    for (let look = 0; look < 2 && this.#held?.version === version; look++) {
      this.#rereading ??= this.#reread(by).finally(() => {
        this.#rereading = undefined;
      });
      try {
        await until(this.#rereading, by);
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  /**
   * When it resolves, no transaction that compares a version handed out before the call can commit any more, wherever
   * it is stuck. Callers share one re-put. Rejects with `unavailable` at `by`.
   */
  async fence(by: Deadline): Promise<void> {
    const handedOut = this.#versions.newest;
    const { number } = this.#client.history;
    while (!this.#versions.isDead(handedOut)) {
      // Where etcd was restored meanwhile the session's key was created anew, and none of these versions is any more.
      if (this.#held !== undefined && this.#client.history.number !== number) return;
      if (performance.now() >= by || this.#stopped) throw this.#unavailable();
      if (this.#held === undefined) {
        await this.#changed.wait(by);
      } else {
        this.#reputting ??= this.#reput(this.#held).finally(() => {
          this.#reputting = undefined;
        });
        await until(this.#reputting, by);
      }
    }
  }

  /** Ends the session at once by revoking its lease; when etcd cannot be reached it ends by itself after the TTL. */
  async stop(by: Deadline): Promise<void> {
    this.#stopped = true;
    this.#changed.raise();
    // A creation under way either commits before the revocation, which then deletes its key, or finds no lease.
    const lease = this.#held?.lease ?? this.#spare?.id;
    try {
      if (lease !== undefined) await this.#client.revoke(lease, by);
    } catch (error) {
      this.#failed(error);
    }
    await until(Promise.all([this.#running, this.#reputting]), by);
    this.#held = undefined;
  }

  async #tend(): Promise<void> {
    while (!this.#stopped) {
      const held = this.#live();
      try {
        if (held !== undefined) await this.#keep(held);
        else if (this.#held !== undefined) this.#lose(`no keepalive was answered for ${this.#held.ttlMs / 1000} s`);
        else await this.#create();
      } catch (error) {
        this.#failed(error);
        const refused = error instanceof EtcdFault && error.kind === 'refused' && !error.traits.leaseGone;
        await this.#changed.wait(performance.now() + (refused ? REFUSED_RETRY : RETRY));
      }
    }
  }

  /** Waits for the next keepalive to be due and sends it. Ends early when the session is lost meanwhile. */
  async #keep(held: Held): Promise<void> {
    const lost = held.validUntil - margin(held.ttlMs);
    const due = Math.min(held.validUntil - (held.ttlMs * 2) / 3, lost);
    while (performance.now() < due && this.#held === held && !this.#stopped) await this.#changed.wait(due);
    if (this.#held !== held || this.#stopped || performance.now() >= lost) return;
    const sent = performance.now();
    const ttl = await this.#client.keepAlive(held.lease, Math.min(lost, sent + KEEPALIVE));
    if (ttl <= 0) return this.#lose('its lease is gone');
    held.ttlMs = ttl * 1000;
    held.validUntil = sent + held.ttlMs;
    this.#fault = undefined;
    this.#report({ kind: 'alive', key: this.#key, version: held.version });
  }

  /**
   * One attempt. The transaction compares everything the judgement was based on: the node record, and that no session
   * of this node was written since. An attempt whose answer was lost is simply followed by another: whichever commits
   * first changes the node record, and so fails the rest.
   */
  async #create(): Promise<void> {
    const by = performance.now() + ATTEMPT;
    const { prefix, node, machine, boot } = this.#settings;
    const nodeKey = Buffer.from(`${prefix}nodes/${node}`);
    const sessions = {
      key: Buffer.from(`${prefix}sessions/${node}/`),
      range_end: Buffer.from(`${prefix}sessions/${node}0`),
    };
    // A single attempt, so that callers who wait learn at once what is wrong.
    const look = { success: [{ request_range: { key: nodeKey } }, { request_range: sessions }] };
    const reply = await this.#client.txn(look, by);
    const at = BigInt(reply.header.revision);
    const history = this.#client.history.number;
    const record = kvsOf(reply, 0)[0];
    const seen = kvsOf(reply, 1).map(recordOf);
    const own = seen.find((session) => session.key === this.#key);
    this.#bury(own === undefined ? at : BigInt(own.version) - 1n);
    const others = seen.filter((session) => session !== own);
    const renewed = this.#boots.renewed(others, performance.now());
    const refusal = refusalOf(this.#settings, record && recordOf(record), others, renewed, this.#settings.goneRounds);
    if (refusal !== undefined) return this.#refuse(refusal);

    const lease = await this.#freshLease(by);
    if (this.#stopped) return;
    const token = newToken();
    const since = new Date().toISOString();
    const unchanged: Compare[] = [
      { key: nodeKey, target: 'Mod', result: 'Equal', mod_revision: record?.mod_revision ?? '0' },
      { ...sessions, target: 'Mod', result: 'Less', mod_revision: String(at + 1n) } as Compare,
    ];
    const sent = performance.now();
    const outcome = await this.#client.txn(
      {
        compare: unchanged,
        success: [
          { request_put: { key: nodeKey, value: json({ machine, boot, silence: 0, since, token }) } },
          { request_put: { key: this.#bytes, value: this.#value(token, since), lease: lease.id } },
        ],
      },
      by,
    );
    if (!outcome.succeeded) return this.#changed.wait(sent + FENCE_GAP);
    // What it compared was of another etcd: looked at again.
    if (this.#client.history.number !== history) return;
    this.#spare = undefined;
    this.#refusal = undefined;
    this.#fault = undefined;
    this.#held = { lease: lease.id, ttlMs: lease.ttlMs, validUntil: lease.sent + lease.ttlMs, version: '0' };
    this.#adopt(this.#held, outcome.header.revision, token);
    const returned = record !== undefined && isGone(recordOf(record).record, this.#settings.goneRounds);
    this.#report({ kind: 'alive', key: this.#key, version: this.#held.version, ...(returned && { returned }) });
  }

  /** One compare-and-swap of the key on its own version. Its lost answer is read back by the token it wrote. */
  async #reput(held: Held): Promise<void> {
    const gap = this.#lastReput + FENCE_GAP;
    while (performance.now() < gap && !this.#stopped) await this.#changed.wait(gap);
    if (this.#held !== held) return;
    this.#lastReput = performance.now();
    const by = this.#lastReput + ATTEMPT;
    const key = this.#bytes;
    const base = held.version;
    const token = newToken();
    this.#versions.writing(token);
    const history = this.#client.history.number;
    try {
      const reply = await this.#client.txn(
        {
          compare: [{ key, target: 'Mod', result: 'Equal', mod_revision: base }],
          success: [{ request_put: { key, value: this.#value(token, new Date().toISOString()), lease: held.lease } }],
          failure: [{ request_range: { key } }],
        },
        by,
      );
      this.#fault = undefined;
      if (this.#client.history.number !== history) return;
      if (reply.succeeded) this.#adopt(held, reply.header.revision, token);
      else this.#note(held, reply, history);
    } catch (error) {
      this.#failed(error);
      if (error instanceof EtcdFault && error.traits.leaseGone) return this.#lose('its lease is gone', held);
      await this.#reread(by).catch((again) => this.#failed(again));
      if (this.#held?.version === base) await this.#changed.wait(performance.now() + RETRY);
    }
  }

  async #reread(by: Deadline): Promise<void> {
    const held = this.#held;
    if (held === undefined) return;
    const { number } = this.#client.history;
    const look = { success: [{ request_range: { key: this.#bytes } }] };
    this.#note(held, await this.#client.read(look, by), number);
  }

  /**
   * Takes in what a linearizable look at the key showed. One that others have overtaken counts for nothing, and so does one
   * that was begun in another `history`.
   */
  #note(held: Held, reply: TxnResponse, history: number): void {
    const at = BigInt(reply.header.revision);
    const found = kvsOf(reply, 0)[0];
    if (at < this.#versions.newest || this.#client.history.number !== history) return;
    if (found === undefined) {
      this.#bury(at);
      this.#lose('its key was removed', held);
    } else if (found.mod_revision !== held.version) {
      const { token } = recordOf(found).record;
      const ours = this.#versions.isOurs(token) && found.lease === held.lease;
      if (ours) this.#adopt(held, found.mod_revision, token);
      else {
        this.#bury(BigInt(found.mod_revision) - 1n);
        this.#lose('its key was written by someone else', held);
      }
    }
  }

  #adopt(held: Held, version: Version, token: string): void {
    if (!this.#versions.adopt(BigInt(version), token)) return;
    held.version = version;
    this.#changed.raise();
  }

  #bury(revision: bigint): void {
    if (this.#versions.bury(revision)) this.#changed.raise();
  }

  /** No version of ours stands in the etcd that answers now, nor can anything that compares one: not even by chance. */
  #restored(what: string): void {
    const reason = `etcd was restored from a backup: ${what}`;
    this.#versions.forget();
    if (this.#held === undefined) this.#report({ kind: 'lost', reason });
    else this.#lose(reason);
  }

  #live(): Held | undefined {
    const held = this.#held;
    if (held === undefined || this.#stopped) return undefined;
    return performance.now() < held.validUntil - margin(held.ttlMs) ? held : undefined;
  }

  #lose(reason: string, held = this.#held): void {
    if (held === undefined || this.#held !== held) return;
    this.#held = undefined;
    this.#report({ kind: 'lost', reason });
    this.#changed.raise();
  }

  async #refuse(refusal: NameRefusal): Promise<void> {
    this.#refusal = refusal;
    this.#fault = undefined;
    this.#report({ kind: 'refused', reason: refusal.reason });
    this.#changed.raise();
    const again = performance.now() + REFUSED_RETRY;
    while (performance.now() < again && !this.#stopped) await this.#changed.wait(again);
  }

  #failed(error: unknown): void {
    if (!(error instanceof EtcdFault)) {
      this.#report({ kind: 'unreachable', reason: String(error) });
      return;
    }
    if (error.traits.leaseGone) this.#spare = undefined;
    // What etcd showed before is no longer what is in the way.
    this.#refusal = undefined;
    this.#fault = error;
    this.#report({ kind: 'unreachable', reason: ipamErrorOf(error, this.#client.describe()).message });
  }

  #unavailable(): IpamError {
    if (this.#stopped) return new IpamError('unavailable', `the session of node ${this.#settings.node} has ended`);
    const described = this.#client.describe();
    if (this.#fault !== undefined) return ipamErrorOf(this.#fault, described);
    return new IpamError('unavailable', `node ${this.#settings.node} has no session with ${described} yet`);
  }

  async #freshLease(by: Deadline): Promise<{ id: string; ttlMs: number; sent: number }> {
    if (this.#spare !== undefined && performance.now() < this.#spare.sent + this.#spare.ttlMs / 3) return this.#spare;
    const sent = performance.now();
    const { id, ttl } = await this.#client.grant(this.#settings.ttl, by);
    this.#spare = { id, ttlMs: ttl * 1000, sent };
    return this.#spare;
  }

  #value(token: string, since: string): Buffer {
    const { machine, boot, host } = this.#settings;
    return json({ machine, boot, pid: process.pid, ...(host !== undefined && { host }), since, token });
  }

  #report(event: SessionEvent): void {
    const summary = event.kind === 'alive' ? event.kind : `${event.kind}: ${event.reason}`;
    if (summary === this.#reported) return;
    this.#reported = summary;
    this.#settings.report(event);
  }
}

/** A session counts as lost this long before etcd may have ended it: one second, less for a TTL below 4 s. */
function margin(ttlMs: number): number {
  return Math.min(1000, ttlMs / 4);
}

function newToken(): string {
  return randomBytes(8).toString('hex');
}
