// One look at this node's records and its engine, and what is put right by it: claims of containers that are gone end,
// containers without a claim get one. Knows no wire, neither etcd's nor the engine's, and not when to look.
import { type Address, formatAddress } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import type { Engine, EngineView } from './engine-view.js';
import { IpamError } from './errors.js';
import { claimKey, claimsOf, holderKey, joinKey, joinOf, poolKey, type Subnet, subnetOfPool } from './keyspace.js';
import { type Page, readPage } from './pages.js';
import { Patience } from './patience.js';
import type { PoolRef } from './pool-id.js';
import { compare, type Finding, foreignOn, livingClaims, type Membership } from './reconcile.js';
import { type ClaimRecord, decodeJoinIfReadable, type HolderRecord, type JoinRecord } from './records.js';
import type { Releases } from './releases.js';
import type { Shown } from './shown.js';
import { localSpace } from './spaces.js';
import type { Deadline, Found, Span, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { past } from './tenures.js';

const PAGE = 1_000;
/** For one read or commit. */
const TRY_MS = 5_000;

/** What a look put right, or what it could not. */
export type Reconciled =
  | {
      readonly outcome: 'ended' | 'shared' | 'recognised' | 'claimed';
      readonly space: string;
      readonly pool: string;
      readonly address: string;
    }
  /** A part in the pool, and all that was held by it. */
  | { readonly outcome: 'left'; readonly space: string; readonly pool: string; readonly join: string }
  | { readonly outcome: 'doubtful'; readonly text: string };

export interface ReconcilerOptions {
  readonly engine: Engine;
  /** Other engines may have joins and claims under this node's name: what would end is only told. */
  readonly oneOfSeveral?: boolean;
  /** How long a claim must have been seen unchanged without a container before it ends. */
  readonly graceMs: number;
  readonly tell: (what: Reconciled) => void;
}

export interface Ends {
  /** Hears of addresses that can be chosen again. */
  freed(pool: PoolRef, address: Address): void;
  /** As the network's ReleasePool would. */
  leave(pool: PoolRef, by: Deadline): Promise<boolean>;
}

type Rewritten = Exclude<Finding, { kind: 'stale' | 'lost' | 'doubtful' }>;

export interface Looked {
  readonly view: EngineView;
  /** Claims that were read for it. */
  readonly claims: number;
  /** How many differences had not gone by themselves in time, those included that it put right. */
  readonly findings: Readonly<Record<Finding['kind'], number>>;
  /**
   * Every container had a claim of its own already, and none of them is of a swarm, whose leader no engine speaks for, on a
   * network that may call this driver by another name, or of an engine that was not asked.
   */
  readonly settled: boolean;
}

export class Reconciler {
  readonly #store: Store;
  readonly #self: Self;
  readonly #around: Surroundings;
  readonly #releases: Releases;
  readonly #shown: Shown;
  readonly #options: ReconcilerOptions;
  readonly #ends: Ends;
  readonly #patience: Patience;

  constructor(
    store: Store,
    self: Self,
    around: Surroundings,
    releases: Releases,
    shown: Shown,
    ends: Ends,
    options: ReconcilerOptions,
  ) {
    this.#store = store;
    this.#self = self;
    this.#around = around;
    this.#releases = releases;
    this.#shown = shown;
    this.#ends = ends;
    this.#options = options;
    this.#patience = new Patience(options.graceMs);
  }

  /**
   * Rejects when the engine does not answer, and nothing was done; or when the store does not. The records are read first:
   * what the engine shows after that, and what the records still say when they are changed, is true of one instant.
   * `marked`: they are of a backup.
   */
  async look(marked = false): Promise<Looked> {
    const { memberships, view } = await this.#compared();
    const { oneOfSeveral = false } = this.#options;
    const findings = compare(memberships, view, this.#self, { marked, oneOfSeveral });
    let broken: unknown;
    for (const finding of this.#patience.due(findings, this.#around.millis(), this.#around.now())) {
      try {
        await this.#putRight(finding);
      } catch (error) {
        // Somebody is busy with that very address: it will be due again. What is broken holds up nothing else.
        if (!(error instanceof IpamError) || !['contended', 'bad_record'].includes(error.code)) throw error;
        if (error.code === 'bad_record') broken ??= error;
      }
    }
    if (broken) throw broken;
    const unclaimed = findings.some(
      ({ kind, ...rest }) => kind === 'missing' || kind === 'container' || ('lives' in rest && rest.lives),
    );
    const foreign = memberships.some(({ subnet }) => foreignOn(subnet, view).length > 0);
    const settled = !unclaimed && !foreign && !oneOfSeveral && !view.networks.some(({ managed }) => managed);
    const claims = memberships.reduce((sum, { claims }) => sum + claims.length, 0);
    return { view, claims, findings: counted(this.#patience.lasting), settled };
  }

  /** What is to be compared, and heard of by whoever asks for the address of a container that lives. */
  async #compared(): Promise<{ memberships: Membership[]; view: EngineView }> {
    const shown = this.#shown.look();
    let behind: Found<ClaimRecord>[] = [];
    try {
      const memberships = await this.#memberships();
      const view = await this.#options.engine.look();
      behind = livingClaims(memberships, view, this.#self);
      return { memberships, view };
    } finally {
      shown(behind);
    }
  }

  async #putRight(finding: Finding): Promise<void> {
    if (finding.kind === 'doubtful') return this.#options.tell({ outcome: 'doubtful', text: finding.text });
    if (finding.kind === 'lost') {
      const { space, prefix } = finding.subnet;
      const join = joinOf(finding.join.key);
      if (!(await this.#ends.leave({ ...finding.subnet, join }, this.#by()))) return;
      return this.#options.tell({ outcome: 'left', space, pool: formatPrefix(prefix), join });
    }
    const { subnet, address } = finding.at;
    const place = { space: subnet.space, pool: formatPrefix(subnet.prefix), address: formatAddress(address) };
    if (finding.kind === 'stale') {
      const { join = '' } = finding.claim.record;
      const known = () => finding.claim.version;
      if (!(await this.#releases.release({ ...subnet, join }, address, known, this.#by(), 'reconciled'))) return;
      this.#ends.freed({ ...subnet, join }, address);
      return this.#options.tell({ ...place, outcome: 'ended' });
    }
    const outcome = ({ auxiliary: 'shared', container: 'recognised', missing: 'claimed' } as const)[finding.kind];
    const done = await this.#releases.queued(subnet, address, () => this.#rewrite(finding));
    if (done) this.#options.tell({ ...place, outcome });
  }

  /** Writes what the finding shows the claim to be, if claim and join are still what they were. */
  async #rewrite(finding: Rewritten): Promise<boolean> {
    const { subnet, address } = finding.at;
    const before = finding.kind === 'missing' ? finding.rest : finding.claim;
    const id = finding.kind === 'missing' ? joinOf(finding.join.key) : (finding.claim.record.join ?? '');
    const [join, pool] = await this.#store.read([{ one: joinKey(subnet, id) }, { one: poolKey(subnet) }], this.#by());
    if (!join || pool?.record.state !== 'open') return false;
    const token = this.#around.token();
    const key = claimKey(subnet, address);
    const holder = { key: holderKey(subnet, address, id), record: this.#holder(token) };
    const shared = finding.kind === 'auxiliary';
    this.#releases.begin(key);
    const outcome = await this.#store.commit(
      {
        when: [
          { key: joinKey(subnet, id), version: join.version },
          { key: poolKey(subnet), version: pool.version },
          { key, version: before?.version ?? null },
        ],
        write: [
          { put: key, record: this.#record(finding, id, token) },
          ...(shared ? [{ put: holder.key, record: holder.record }] : []),
          ...(shared ? past(before, 'reconciled', this.#self, this.#around) : []),
        ],
        otherwise: [],
        witness: { key: shared ? holder.key : key, token },
        puttingBack: true,
      },
      this.#by(),
    );
    return outcome.done;
  }

  #record(finding: Rewritten, join: string, token: string): ClaimRecord {
    const was = finding.kind === 'missing' ? undefined : finding.claim.record.from;
    const from = was === undefined ? {} : { from: was };
    if (finding.kind === 'auxiliary') return { kind: 'shared', ...from, since: finding.claim.record.since, token };
    const { network, endpoint } = finding.live;
    const ofSwarm = network.managed || (finding.kind === 'container' && finding.claim.record.kind === 'swarm');
    const place = { join, ...(finding.guessed && { guessed: true }) };
    const { node, boot } = this.#self;
    const who = { name: endpoint.name, ...(endpoint.mac !== undefined && { mac: endpoint.mac }) };
    const since = finding.kind === 'missing' ? this.#around.now().toISOString() : finding.claim.record.since;
    return { kind: ofSwarm ? 'swarm' : 'endpoint', node, boot, ...place, ...who, ...from, since, token };
  }

  #holder(token: string): HolderRecord {
    const { node, boot } = this.#self;
    return { role: 'aux', node, boot, since: this.#around.now().toISOString(), token };
  }

  /** All subnets of local spaces that this node has joined, with their claims. */
  async #memberships(): Promise<Membership[]> {
    const own = new Map<string, { subnet: Subnet; joins: Found<JoinRecord>[] }>();
    const unreadable = new Map<string, string>();
    for (const { record, ...join } of await this.#all(joinsOfLocalSpaces())) {
      const path = join.key.slice(0, join.key.lastIndexOf('/'));
      if (!record) unreadable.set(path, join.key);
      if (record?.node !== this.#self.node) continue;
      const entry = own.get(path) ?? { subnet: subnetOfPool(path), joins: [] };
      own.set(path, entry);
      entry.joins.push({ ...join, record });
    }
    const memberships: Membership[] = [];
    for (const [path, { subnet, joins }] of own) {
      joins.sort((a, b) => (BigInt(a.version) < BigInt(b.version) ? -1 : 1));
      const claims = await this.#all(claimsOf(subnet));
      memberships.push({ subnet, joins, claims, unreadable: unreadable.get(path) });
    }
    return memberships;
  }

  async #all<R>(span: Span<R>): Promise<Found<R>[]> {
    const all: Found<R>[] = [];
    for (let rest: Span<R> | undefined = span; rest; ) {
      const page: Page<R> = await readPage(this.#store, rest, PAGE, this.#by());
      all.push(...page.found);
      rest = page.rest;
    }
    return all;
  }

  #by(): number {
    return this.#around.millis() + TRY_MS;
  }
}

function counted(findings: readonly Finding[]): Looked['findings'] {
  const counts = { stale: 0, auxiliary: 0, container: 0, missing: 0, lost: 0, doubtful: 0 };
  for (const { kind } of findings) counts[kind]++;
  return counts;
}

/** `joins/local.blue/…` and `joins/local/…`: "." and "/" are neighbours. */
function joinsOfLocalSpaces(): Span<JoinRecord | undefined> {
  const root = `joins/${localSpace('')}`;
  return { from: `${root}.`, to: `${root}0`, decode: decodeJoinIfReadable };
}
