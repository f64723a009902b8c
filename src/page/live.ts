// What the page knows of the cluster, and how it hears of changes: reads once, then listens, and reads anew what a change
// makes old. Knows no element of the page.
import type { Change, Changes, Nodes, Overview, Pool, PoolAlone, Pools } from '../web/shapes.js';
import { Failed, get, pathOf } from './ask.js';
import { happening as wordsOf } from './words.js';

export interface Happening extends NonNullable<ReturnType<typeof wordsOf>> {
  readonly id: number;
  readonly at: string;
  readonly change: Change;
}

export interface State {
  /** To the process that serves the page. */
  readonly link: 'connecting' | 'live' | 'lost';
  /** Why etcd does not answer, as far as that is known. */
  readonly away: string | undefined;
  readonly overview: Overview | undefined;
  readonly pools: readonly Pool[] | undefined;
  readonly nodes: Nodes['nodes'] | undefined;
  /** Of the last time that pools were read. */
  readonly asOf: Date | undefined;
  /** The latest first. */
  readonly recent: readonly Happening[];
}

const MOST_RECENT = 100;
/** More pools than that at once are read as the list that they are in. */
const MOST_ALONE = 8;
const SOON_MS = 200;
const NODES_SOON_MS = 1_000;
const ANEW_MS = 10_000;
const AGAIN_MS = 1_500;

export class Live {
  state: State = {
    ...{ link: 'connecting', away: undefined, overview: undefined, pools: undefined, nodes: undefined },
    ...{ asOf: undefined, recent: [] },
  };
  /** Called when the state is another. */
  onState: () => void = () => undefined;
  readonly changes = new Set<(changes: readonly Change[]) => void>();
  /** Called when all is to be read anew. */
  readonly resets = new Set<() => void>();
  #source: EventSource | undefined;
  #told = 0;
  #old = new Set<string>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();

  start(): void {
    this.#listen();
    void this.#readAll();
    setInterval(() => {
      if (document.visibilityState === 'visible') void this.#readAll();
    }, ANEW_MS);
  }

  #listen(): void {
    const source = new EventSource('/api/v1/events');
    this.#source = source;
    source.addEventListener('open', () => this.#set({ link: 'live' }));
    source.addEventListener('error', () => {
      this.#set({ link: 'lost' });
      // A refusal, unlike a lost connection, is not tried again by the browser.
      if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
      this.#after('listen', AGAIN_MS, () => {
        this.#listen();
        this.#reset();
      });
    });
    const heard = <T>(name: string, hear: (data: T) => void) =>
      source.addEventListener(name, ({ data }: MessageEvent<string>) => hear(JSON.parse(data) as T));
    heard<Changes>('changes', (data) => this.#changed(data));
    heard('reset', () => this.#reset());
    heard<{ away: string | null }>('etcd', ({ away }) => {
      this.#set({ away: away ?? undefined });
      if (away === null) this.#reset();
    });
  }

  #reset(): void {
    void this.#readAll();
    for (const hear of this.resets) hear();
  }

  #changed({ at, changes }: Changes): void {
    if (changes.length === 0) return;
    for (const hear of this.changes) hear(changes);
    const lines = changes.slice(-MOST_RECENT).flatMap((change): Happening[] => {
      const words = wordsOf(change);
      return words ? [{ ...words, at, change, id: ++this.#told }] : [];
    });
    this.#set({ recent: [...lines.reverse(), ...this.state.recent].slice(0, MOST_RECENT) });
    for (const { what, pool, space } of changes) {
      if (what === 'claim' || what === 'pool' || what === 'rules' || what === 'join') {
        this.#old.add(`${space} ${pool}`);
        this.#soon('pools', SOON_MS, () => this.#readOld());
      }
      if (what === 'node' || what === 'session' || what === 'join')
        this.#soon('nodes', NODES_SOON_MS, () => this.#readNodes());
      if (what === 'brake' || what === 'restored') this.#soon('overview', SOON_MS, () => this.#readOverview());
    }
  }

  /** Once, a moment after the first reason for it; what comes while it runs is another reason. */
  #soon(name: string, ms: number, work: () => Promise<void>): void {
    if (!this.#timers.has(name)) this.#after(name, ms, work);
  }

  #after(name: string, ms: number, work: () => unknown): void {
    clearTimeout(this.#timers.get(name));
    const timer = setTimeout(() => {
      this.#timers.delete(name);
      void work();
    }, ms);
    this.#timers.set(name, timer);
  }

  async #readAll(): Promise<void> {
    await Promise.all([this.#readOverview(), this.#readPools(), this.#readNodes()]);
  }

  async #readOverview(): Promise<void> {
    await this.#read(async () => {
      const overview = await get<Overview>('/overview');
      // The stream says it sooner, and says when it is over.
      this.#set({ overview, ...(this.state.link !== 'live' && { away: overview.etcdAway ?? undefined }) });
    });
  }

  async #readPools(): Promise<void> {
    await this.#read(async () => {
      this.#set({ pools: (await get<Pools>('/pools')).pools, asOf: new Date() });
    });
  }

  async #readNodes(): Promise<void> {
    await this.#read(async () => {
      this.#set({ nodes: (await get<Nodes>('/nodes')).nodes });
    });
  }

  /** Those that something has happened in; a pool that is new or gone changes the list. */
  async #readOld(): Promise<void> {
    const names = [...this.#old];
    this.#old.clear();
    const known = new Set(this.state.pools?.map(({ space, pool }) => `${space} ${pool}`));
    if (names.length > MOST_ALONE || names.some((name) => !known.has(name))) return this.#readPools();
    await this.#read(async () => {
      const fresh = new Map<string, Pool | undefined>();
      for (const name of names) fresh.set(name, await poolAlone(name));
      const pools = (this.state.pools ?? []).flatMap((pool) => {
        const name = `${pool.space} ${pool.pool}`;
        return fresh.has(name) ? (fresh.get(name) ?? []) : pool;
      });
      this.#set({ pools, asOf: new Date() });
    });
  }

  /** What fails is tried again at the next time; that etcd is away is known by then. */
  async #read(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (error instanceof Failed && error.status === 503 && this.state.link !== 'live')
        this.#set({ away: error.message });
    }
  }

  #set(some: Partial<State>): void {
    this.state = { ...this.state, ...some };
    this.onState();
  }
}

async function poolAlone(name: string): Promise<Pool | undefined> {
  const [space, pool] = name.split(' ') as [string, string];
  try {
    return await get<PoolAlone>(pathOf({ space, pool }));
  } catch (error) {
    if (error instanceof Failed && error.status === 404) return undefined;
    throw error;
  }
}
