// A round: whoever has no session has been silent for one more, and whoever was so for long enough is forgotten. Knows no
// clock: etcd paces rounds by the key `tick`, and every change compares it, so a process that was frozen counts nothing.
import { IpamError } from './errors.js';
import { forget } from './forgetting.js';
import { BRAKE, EVERY_JOIN, nodeKey, RESTORED, TICK } from './keyspace.js';
import { readNode, readNodes } from './nodes.js';
import { all } from './pages.js';
import { UNREADABLE } from './records.js';
import { isBraked, isGone, type NodeSeen, type Silence, type Standing, standingOf, stillSilent } from './silence.js';
import type { Condition, Deadline, Store, Version } from './store.js';
import type { Surroundings } from './surroundings.js';

const FORGOTTEN_WITHIN_MS = 600_000;

/** In rounds; Infinity for never. */
export interface Limits {
  readonly gone: number;
  readonly forget: number;
  /** In ms: for how long it is kept who had what a forgotten node frees. */
  readonly keepMs?: number;
}

export type RoundEvent =
  | { readonly kind: 'gone' | 'forgotten'; readonly node: string; readonly silence: number }
  | { readonly kind: 'braked'; readonly silent: number; readonly of: number }
  | { readonly kind: 'unbraked' };

export class Rounds {
  readonly #store: Store;
  readonly #limits: Limits;
  readonly #around: Surroundings;
  readonly #report: (event: RoundEvent) => void;

  constructor(store: Store, limits: Limits, around: Surroundings, report: (event: RoundEvent) => void) {
    this.#store = store;
    this.#limits = limits;
    this.#around = around;
    this.#report = report;
  }

  /** `tick`: the version of the key by which this process began the round. Nodes with a session cost no write. */
  async run(tick: Version, by: Deadline): Promise<void> {
    // What a restored backup says of nodes is of another day: some that it has for gone may have been back since.
    if (await this.#isRestored(by)) return;
    const pace: Condition = { key: TICK, version: tick };
    const nodes = await readNodes(this.#store, by);
    const braked = await this.#brake(nodes, pace, by);
    const outlived: string[] = [];
    for (const node of nodes) {
      const { record } = node.found;
      if (node.living || record.machine === UNREADABLE) continue;
      const gone = isGone(record, this.#limits.gone);
      if (braked && !gone) continue;
      if (this.#isOutlived(record)) {
        // Not counted any more: its end may take many rounds, and compares the record.
        outlived.push(node.name);
        continue;
      }
      const silence = (record.silence ?? 0) + 1;
      const change = {
        when: [...stillSilent(node), pace],
        write: [{ put: nodeKey(node.name), record: { ...record, silence } }],
      };
      const outcome = await this.#store.commit({ ...change, otherwise: [{ one: TICK }], signed: true }, by);
      if (!outcome.done && outcome.seen[0]?.version !== tick) return;
      if (!outcome.done) continue;
      if (!gone && isGone({ silence }, this.#limits.gone)) this.#report({ kind: 'gone', node: node.name, silence });
      if (this.#isOutlived({ ...record, silence })) outlived.push(node.name);
    }
    for (const name of outlived) await this.#forget(name);
  }

  /** Kept in etcd, so that its begin and its end are told once, and `nodes` shows it. */
  async #brake(nodes: readonly NodeSeen[], pace: Condition, by: Deadline): Promise<boolean> {
    const [stands] = await this.#store.read([{ one: BRAKE }], by);
    const standings = nodes.some((node) => this.#standing(node) === 'silent') ? await this.#inUse(nodes, by) : [];
    const braked = isBraked(standings);
    if (braked === (stands !== undefined)) return braked;
    const silent = standings.filter((standing) => standing === 'silent').length;
    const of = silent + standings.filter((standing) => standing === 'alive').length;
    const since = this.#around.now().toISOString();
    const write = braked ? { put: BRAKE, record: { silent, of, since } } : { remove: BRAKE };
    const when = [pace, { key: BRAKE, version: stands?.version ?? null }];
    const { done } = await this.#store.commit({ when, write: [write], otherwise: [], signed: true }, by);
    if (done) this.#report(braked ? { kind: 'braked', silent, of } : { kind: 'unbraked' });
    return braked;
  }

  /** How those nodes stand that have a network. */
  async #inUse(nodes: readonly NodeSeen[], by: Deadline): Promise<Standing[]> {
    const used = new Set<string>();
    for await (const { record } of all(this.#store, EVERY_JOIN, by)) used.add(record.node);
    return nodes.filter(({ name }) => used.has(name)).map((node) => this.#standing(node));
  }

  /** Lists all claims, which may take longer than a round. What is not finished by then goes on in a later one. */
  async #forget(name: string): Promise<void> {
    const by = this.#around.millis() + FORGOTTEN_WITHIN_MS;
    const node = await readNode(this.#store, name, by);
    if (!node || node.living || !this.#isOutlived(node.found.record) || (await this.#isRestored(by))) return;
    const { silence = 0 } = node.found.record;
    try {
      await forget(node, this.#store, this.#around, this.#limits, by);
      this.#report({ kind: 'forgotten', node: name, silence });
    } catch (error) {
      if (!(error instanceof IpamError) || error.code !== 'contended') throw error;
    }
  }

  async #isRestored(by: Deadline): Promise<boolean> {
    const [restored] = await this.#store.read([{ one: RESTORED }], by);
    return restored !== undefined;
  }

  #isOutlived(record: Silence): boolean {
    return isGone(record, this.#limits.gone) && (record.silence ?? 0) >= this.#limits.forget;
  }

  #standing(node: NodeSeen): Standing {
    return standingOf(node, this.#limits.gone);
  }
}
