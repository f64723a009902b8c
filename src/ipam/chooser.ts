// Which address to try next: a cursor of one's own that leaps over what it finds taken, and a search that lets the
// store count when little is left. Remembers candidates, never claims; every one of them may be lost to another host.
import { freeIn, split } from '../net/gaps.js';
import type { Range } from '../net/prefix.js';
import { findTakeable, isOfFormerEpoch } from './decide.js';
import { addressOfClaim, behind, claimKey, claimsIn, nodeKey, type Subnet } from './keyspace.js';
import { readNodes } from './nodes.js';
import type { ClaimRecord, NodeRecord } from './records.js';
import { isGone, type NodeSeen } from './silence.js';
import { familyOf, localSpace } from './spaces.js';
import type { Condition, Deadline, Found, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';

/** Keys a lost claim reads along, from the candidate on. */
export const WINDOW = 64n;
/** etcd refuses more than 128 operations in a transaction; more parts than this gain nothing on a /16. */
const PARTS = 64;
const LISTED = 128n;
/** Consecutive losses after which leaping about is given up for a search. */
const MANY_LOSSES = 4;
const PAGE = 1_000;
const FULL_MS = 1_000;
const NOTHING_TAKEABLE_MS = 5_000;
/** Claims become takeable when a node does, but for what an undo restores: then they are listed all the same. */
const LISTED_ANEW_MS = 300_000;
const TAKEABLES = 64;

export interface Takeable {
  readonly claim: Found<ClaimRecord>;
  readonly evidence: readonly Condition[];
  readonly gone?: string;
}

export class Chooser {
  readonly #range: Range;
  readonly #subnet: Subnet;
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  #cursor: bigint;
  #free: bigint[] = [];
  #losses = 0;
  #sparse = false;
  #searching: Promise<void> | undefined;
  #fullUntil = Number.NEGATIVE_INFINITY;
  #takeable: Takeable[] = [];
  #scanning: Promise<void> | undefined;
  #nothingUntil = Number.NEGATIVE_INFINITY;
  /** Of which nodes nothing takeable was found in the whole range, and until when that is believed. */
  #barren = { nodes: '', until: Number.NEGATIVE_INFINITY };

  constructor(range: Range, subnet: Subnet, store: Store, self: Self, around: Surroundings) {
    this.#range = range;
    this.#subnet = subnet;
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#cursor = range.from;
  }

  /** The next candidate, or undefined when the store counted and found no room within the last second. */
  async next(by: Deadline): Promise<bigint | undefined> {
    for (;;) {
      const known = this.#free.shift();
      if (known !== undefined) return known;
      if (this.#around.millis() < this.#fullUntil) return undefined;
      if (!this.#sparse) return this.#advance();
      this.#searching ??= this.#search(by).finally(() => {
        this.#searching = undefined;
      });
      await this.#searching;
    }
  }

  won(): void {
    this.#losses = 0;
  }

  /** The addresses that a lost claim of `candidate` may read along: from it on, at most WINDOW of them. */
  windowAt(candidate: bigint): Range {
    const end = candidate + WINDOW - 1n;
    return { family: this.#range.family, from: candidate, to: end < this.#range.to ? end : this.#range.to };
  }

  /** The candidate was not to blame that its claim was lost: it comes next. */
  back(candidate: bigint): void {
    this.#free.unshift(candidate);
  }

  /** `taken`: what the store holds of the window, ascending. Two losses in a row are a race: leap to elsewhere. */
  lost(candidate: bigint, taken: readonly bigint[]): void {
    const window = this.windowAt(candidate);
    this.#losses++;
    if (BigInt(taken.length) > window.to - window.from || this.#losses >= MANY_LOSSES) {
      this.#sparse = true;
      if (this.#cursor <= window.to) this.#cursor = window.to + 1n;
    } else if (this.#losses > 1) {
      this.#free = [];
      this.#cursor = this.#range.from + this.#around.below(this.#range.to - this.#range.from + 1n);
    } else if (this.#free.length === 0 && this.#cursor <= window.to) {
      this.#free = freeIn({ ...window, from: this.#cursor }, taken);
      this.#cursor = window.to + 1n;
    }
  }

  /** An address of the range came back. */
  freed(): void {
    this.#fullUntil = Number.NEGATIVE_INFINITY;
    this.#nothingUntil = Number.NEGATIVE_INFINITY;
  }

  /**
   * A claim of the range that nobody stands behind, for when there is no room; at most one search at a time. `leader`: in a
   * global space, the join that rules and has done so for long enough.
   */
  async takeable(by: Deadline, leader?: string): Promise<Takeable | undefined> {
    if (this.#takeable.length === 0 && this.#around.millis() >= this.#nothingUntil) {
      this.#scanning ??= this.#scan(leader, by).finally(() => {
        this.#scanning = undefined;
      });
      await this.#scanning;
    }
    return this.#takeable.shift();
  }

  /** A takeable claim of that node was lost, its record being this one: what rests on an older one is lost as well. */
  lostTakeable(name: string, node: Found<NodeRecord> | undefined, living: boolean): void {
    const { key } = nodeKey(name);
    this.#takeable = this.#takeable.filter(({ evidence, gone }) => {
      if (gone === name && living) return false;
      return evidence.every((one) => !('key' in one) || one.key.key !== key || one.version === node?.version);
    });
  }

  #advance(): bigint {
    if (this.#cursor > this.#range.to) this.#cursor = this.#range.from;
    return this.#cursor++;
  }

  async #search(by: Deadline): Promise<void> {
    let range = this.#range;
    while (range.to - range.from >= LISTED) {
      const parts = split(range, PARTS);
      const counts = await this.#store.read(
        parts.map((part) => ({ count: claimsIn(this.#subnet, part) })),
        by,
      );
      const open = parts.filter((part, i) => BigInt(counts[i]!) <= part.to - part.from);
      const chosen = open[Number(this.#around.below(BigInt(open.length || 1)))];
      // A part that filled up since it was counted is a race, not the end: the next search counts anew.
      if (!chosen) return range === this.#range ? this.#full() : undefined;
      range = chosen;
    }
    const [{ keys }] = await this.#store.read([{ keys: claimsIn(this.#subnet, range), limit: 0 }], by);
    this.#free = freeIn(
      range,
      keys.map((key) => addressOfClaim(key).value),
    );
    if (BigInt(2 * this.#free.length) > range.to - range.from && range !== this.#range) {
      this.#sparse = false;
      this.#cursor = range.to + 1n;
    }
    if (this.#free.length === 0 && range === this.#range) this.#full();
  }

  #leftBehind(claims: readonly Found<ClaimRecord>[], nodes: ReadonlyMap<string, NodeSeen>): Takeable[] {
    const own = nodes.get(this.#self.node)?.found;
    return claims.flatMap((claim) => {
      const owner = claim.record.node === undefined ? undefined : nodes.get(claim.record.node);
      const { evidence, gone } = findTakeable({ join: '' }, claim, own, this.#self, owner) ?? {};
      return evidence ? [{ claim, evidence, ...(gone !== undefined && { gone }) }] : [];
    });
  }

  /** Our own node and those that are gone: whoever else holds a claim stands behind it. */
  async #absent(by: Deadline): Promise<Map<string, NodeSeen>> {
    const nodes = await readNodes(this.#store, by);
    const { node, goneRounds } = this.#self;
    const absent = nodes.filter(
      ({ name, living, found }) => name === node || (!living && isGone(found.record, goneRounds)),
    );
    return new Map(absent.map((one) => [one.name, one]));
  }

  /**
   * What former epochs gave and no node has asked for: a task that the present leader does not know of may run, and its node
   * has asked for the address as well.
   */
  async #former(claims: readonly Found<ClaimRecord>[], leader: string, by: Deadline): Promise<Takeable[]> {
    const { space, prefix } = this.#subnet;
    const local = { space: localSpace(familyOf(space)), prefix };
    const former = claims.filter((claim) => isOfFormerEpoch(claim, leader)).slice(0, TAKEABLES);
    if (former.length === 0) return [];
    const keys = former.map(({ key }) => claimKey(local, addressOfClaim(key)));
    const ofNodes = await this.#store.read(
      keys.map((one) => ({ one })),
      by,
    );
    return former.flatMap((claim, i) => (ofNodes[i] ? [] : [{ claim, evidence: [{ key: keys[i]!, version: null }] }]));
  }

  #full(): void {
    this.#fullUntil = this.#around.millis() + FULL_MS;
  }

  async #scan(leader: string | undefined, by: Deadline): Promise<void> {
    const now = this.#around.millis();
    const absent = leader === undefined ? await this.#absent(by) : new Map<string, NodeSeen>();
    // There is no index of claims by node, and a full /16 is 65,000 keys: it is listed anew when other nodes are gone.
    const nodes = JSON.stringify([...absent].map(([name, { found }]) => [name, found.record.boot]));
    const known = leader === undefined && nodes === this.#barren.nodes && now < this.#barren.until;
    const found: Takeable[] = [];
    let rest = claimsIn(this.#subnet, this.#range);
    for (let more = !known; more && found.length < TAKEABLES; ) {
      const [page] = await this.#store.read([{ span: rest, limit: PAGE }], by);
      found.push(
        ...(leader === undefined ? this.#leftBehind(page.found, absent) : await this.#former(page.found, leader, by)),
      );
      more = page.more;
      if (more) rest = behind(rest, page.found.at(-1)!.key);
    }
    this.#takeable = found.slice(0, TAKEABLES);
    if (found.length > 0) return;
    this.#nothingUntil = now + NOTHING_TAKEABLE_MS;
    if (!known) this.#barren = { nodes, until: now + LISTED_ANEW_MS };
  }
}
