// Claims of a range that may be taken over where nothing is free: what rests, then what nobody stands behind. Remembers
// candidates, never claims; every one of them may be lost to another host.
import { split } from '../net/gaps.js';
import type { Range } from '../net/prefix.js';
import { findTakeable, isOfFormerEpoch, leftByBoot } from './decide.js';
import { addressOfClaim, behind, claimKey, claimsIn, isOurs, nodeKey, type Subnet } from './keyspace.js';
import { readNodes } from './nodes.js';
import type { ClaimRecord, NodeRecord } from './records.js';
import { isResting } from './resting.js';
import { NO_RULES, type Rules } from './rules.js';
import { SharedSearch } from './shared-search.js';
import { isGone, type NodeSeen } from './silence.js';
import { familyOf, localSpace } from './spaces.js';
import type { Condition, Deadline, Found, Span, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';

/** Claims read at once. Of a range that is not larger than this it is so many addresses: a page of what is left makes etcd count all of that. */
const PAGE = 1_000;
const PARTED = 1n << 22n;
const MOST = 64;
/** After so many pages each is followed by a pause, so much longer than it took: hosts that list a full /16 together leave etcd to others. */
const UNPAUSED = 4;
const PAUSE = 2;
/** A list that was begun is gone on with for so long, whoever's call it was begun in. */
const BEGUN_MS = 60_000;
/** That a range has none is remembered for as long as listing it costs etcd and us, so that full pools stay cheap. */
const CLAIM_MS = 5;
const NONE_AT_LEAST_MS = 1_000;
/** Nodes come and go meanwhile, and the claims of those that are not there need no second listing. */
const NODES_MS = 5_000;
const NONE_AT_MOST_MS = 300_000;

export interface Takeable {
  readonly claim: Found<ClaimRecord>;
  readonly evidence: readonly Condition[];
  readonly from?: string;
}

/**
 * Whose claims may be taken besides what rests: in a local space those of nodes or boots that are not there, in a global one those of
 * former epochs, once the join that rules has done so for long enough.
 */
export type Left = 'nodes' | 'nobody' | { readonly leader: string };

/** A list under way. */
interface Listing {
  readonly what: string;
  readonly rules: Rules;
  readonly left: Span<ClaimRecord>[];
  readonly resting: Found<ClaimRecord>[];
  readonly others: Takeable[];
  listed: number;
  pages: number;
  at: number;
}

export class Takeables {
  readonly #range: Range;
  readonly #subnet: Subnet;
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  #found: Takeable[] = [];
  readonly #scanning = new SharedSearch();
  #listing: Listing | undefined;
  #nothingUntil = Number.NEGATIVE_INFINITY;
  /** What was looked for and not found in the whole range, and until when that is believed. */
  #barren = { what: '', until: Number.NEGATIVE_INFINITY };
  /** What this process released last: found without listing the range. */
  readonly #released = new Set<bigint>();
  /** The rules by which was looked for them. */
  #under = NO_RULES;

  constructor(range: Range, subnet: Subnet, store: Store, self: Self, around: Surroundings) {
    this.#range = range;
    this.#subnet = subnet;
    this.#store = store;
    this.#self = self;
    this.#around = around;
  }

  /** At most one search at a time. What it found may have gone to others who waited for it: then there is one more. */
  async next(left: Left, rules: Rules, by: Deadline): Promise<Takeable | undefined> {
    if (!rules.same(this.#under)) {
      this.#under = rules;
      this.#nothingUntil = this.#barren.until = Number.NEGATIVE_INFINITY;
    }
    const due = () => this.#released.size > 0 || this.#around.millis() >= this.#nothingUntil;
    for (let searches = 0; ; searches++) {
      // Found under other rules, some may be barred by now.
      for (let next = this.#found.shift(); next; next = this.#found.shift()) if (isOpen(rules, next.claim)) return next;
      if (searches === 2 || !due()) return undefined;
      await this.#scanning.run(() => this.#scan(left, rules, by));
    }
  }

  /** This process released it. */
  freed(value: bigint): void {
    this.#nothingUntil = Number.NEGATIVE_INFINITY;
    if (value < this.#range.from || value > this.#range.to) return;
    this.#released.delete(value);
    this.#released.add(value);
    if (this.#released.size > MOST) this.#released.delete(this.#released.values().next().value!);
  }

  /** A claim of that node was lost, its record being this one: what rests on an older one is lost as well. */
  lost(name: string, node: Found<NodeRecord> | undefined, living: boolean): void {
    const { key } = nodeKey(name);
    this.#found = this.#found.filter(({ evidence, from }) => {
      if (from === name && living && evidence.some((one) => 'none' in one)) return false;
      return evidence.every((one) => !('key' in one) || one.key.key !== key || one.version === node?.version);
    });
  }

  async #scan(left: Left, rules: Rules, by: Deadline): Promise<void> {
    this.#found = (await this.#restingOfOurs(by)).filter(({ claim }) => isOpen(rules, claim));
    const now = this.#around.millis();
    if (this.#found.length > 0 || now < this.#nothingUntil) return;
    const nodes = left === 'nodes' ? await readNodes(this.#store, by) : [];
    // There is no index of claims, neither by node nor by kind, and a full /16 is 65,000 keys.
    const boots = nodes.filter((node) => this.#isAbsent(node)).map(({ name, found }) => [name, found.record.boot]);
    const what = JSON.stringify([left, boots]);
    // What a former epoch gave comes free when its node gives it back, which no record of ours tells.
    const known = typeof left === 'string' && what === this.#barren.what && now < this.#barren.until;
    if (!known) {
      const { found, listed } = await this.#list(what, left, nodes, rules, by);
      this.#found = found;
      if (found.length > 0) return;
      this.#barren = { what, until: now + this.#believed(listed) };
    }
    this.#nothingUntil = Math.min(now + NODES_MS, this.#barren.until);
  }

  /** A call that has no time left for all of it leaves the rest to the next one. */
  async #list(what: string, left: Left, nodes: readonly NodeSeen[], rules: Rules, by: Deadline) {
    const owners = new Map(nodes.map((node) => [node.name, node]));
    const begun = this.#around.millis();
    const known = this.#listing;
    const goesOn = known?.what === what && known.rules.same(rules) && begun - known.at < BEGUN_MS;
    const listing: Listing = goesOn
      ? known
      : { what, rules, left: this.#pages(rules), resting: [], others: [], listed: 0, pages: 0, at: begun };
    this.#listing = listing;
    const { resting, others } = listing;
    while (listing.left.length > 0 && resting.length + others.length < MOST) {
      const [span] = listing.left as [Span<ClaimRecord>];
      const began = this.#around.millis();
      const [page] = await this.#store.read([{ span, limit: PAGE }], by);
      const claims = page.found.filter((claim) => isOpen(rules, claim));
      const former =
        typeof left === 'string' ? this.#leftBehind(claims, owners) : await this.#former(claims, left.leader, by);
      resting.push(...claims.filter(isResting));
      others.push(...former);
      listing.listed += page.found.length;
      if (page.more) listing.left[0] = behind(span, page.found.at(-1)!.key);
      else listing.left.shift();
      listing.at = this.#around.millis();
      const pause = PAUSE * (listing.at - began);
      if (++listing.pages >= UNPAUSED && listing.at + pause < by) await this.#around.pause(pause);
    }
    this.#listing = undefined;
    return { found: [...oldestFirst(resting), ...others].slice(0, MOST), listed: listing.listed };
  }

  /** What is barred is in none of them, but for small blocks: those would make more pages than they save. */
  #pages(rules: Rules): Span<ClaimRecord>[] {
    return rules.openIn(this.#range, BigInt(PAGE)).flatMap((open) => {
      const size = open.to - open.from + 1n;
      const pages = size > PARTED ? 1n : (size + BigInt(PAGE) - 1n) / BigInt(PAGE);
      return split(open, Number(pages)).map((part) => claimsIn(this.#subnet, part));
    });
  }

  /** Where nothing rests claims become takeable when a node does, but for what an undo restores. */
  #believed(listed: number): number {
    if (!this.#self.restMs) return NONE_AT_MOST_MS;
    return Math.min(Math.max(listed * CLAIM_MS, NONE_AT_LEAST_MS), NONE_AT_MOST_MS);
  }

  async #restingOfOurs(by: Deadline): Promise<Takeable[]> {
    const released = [...this.#released];
    if (released.length === 0) return [];
    const { family } = this.#range;
    const claims = await this.#store.read(
      released.map((value) => ({ one: claimKey(this.#subnet, { family, value }) })),
      by,
    );
    for (const value of released) this.#released.delete(value);
    return oldestFirst(claims.filter((claim) => claim !== undefined).filter(isResting));
  }

  #leftBehind(claims: readonly Found<ClaimRecord>[], nodes: ReadonlyMap<string, NodeSeen>): Takeable[] {
    const own = nodes.get(this.#self.node)?.found;
    return claims.flatMap((claim) => {
      const owner = claim.record.node === undefined ? undefined : nodes.get(claim.record.node);
      const take = findTakeable({ join: '' }, claim, own, this.#self, owner);
      const { evidence, from } = take ?? (owner && leftByBoot(claim, owner, this.#self)) ?? {};
      return evidence ? [{ claim, evidence, ...(from !== undefined && { from }) }] : [];
    });
  }

  /** What has them list anew: others that boot are many, and wait until the range may be listed again. */
  #isAbsent({ name, living, found }: NodeSeen): boolean {
    const { node, goneRounds } = this.#self;
    return name === node || (!living && isGone(found.record, goneRounds));
  }

  /**
   * What former epochs gave and no node has asked for: a task that the present leader does not know of may run, and its node
   * has asked for the address as well.
   */
  async #former(claims: readonly Found<ClaimRecord>[], leader: string, by: Deadline): Promise<Takeable[]> {
    const { space, prefix } = this.#subnet;
    const local = { space: localSpace(familyOf(space)), prefix };
    const former = claims.filter((claim) => isOfFormerEpoch(claim, leader));
    const found: Takeable[] = [];
    for (let at = 0; at < former.length && found.length < MOST; at += MOST) {
      const some = former.slice(at, at + MOST);
      const keys = some.map(({ key }) => claimKey(local, addressOfClaim(key)));
      const ofNodes = await this.#store.read(
        keys.map((one) => ({ one })),
        by,
      );
      for (const [i, claim] of some.entries())
        if (!ofNodes[i]) found.push({ claim, evidence: [{ key: keys[i]!, version: null }] });
    }
    return found;
  }
}

function isOpen(rules: Rules, { key }: Found<ClaimRecord>): boolean {
  return isOurs(key) && (rules.barred.length === 0 || !rules.isBarred(addressOfClaim(key).value));
}

function oldestFirst(resting: readonly Found<ClaimRecord>[]): Takeable[] {
  const inOrder = [...resting].sort((a, b) => (BigInt(a.version) < BigInt(b.version) ? -1 : 1));
  return inOrder.map((claim) => ({ claim, evidence: [] }));
}
