// The JSON API under /api/v1: text of the query to addresses and pools, once and strictly; answers as shapes.ts has them.
// Changes nothing.
import Router, { type RouterContext } from '@koa/router';
import { IpamError, type Kind } from '../ipam/errors.js';
import { BRAKE, claimsIn, RESTORED } from '../ipam/keyspace.js';
import { all } from '../ipam/pages.js';
import { restoredError } from '../ipam/restoration.js';
import type { Deadline, Store } from '../ipam/store.js';
import { NetError, parseAddress } from '../net/address.js';
import { formatPrefix, rangeOf, sizeOf } from '../net/prefix.js';
import { type ClaimRow, claimRow } from '../ops/claims.js';
import { mustBePool, noPool } from '../ops/no-pool.js';
import { listNodes } from '../ops/nodes.js';
import { whoHas } from '../ops/who.js';
import { MOST_ADDRESSES, readAddresses, readBlocks } from './maps.js';
import { openApi } from './openapi.js';
import { readPool, readPools } from './pools.js';
import { afterAt, blockAt, numberAt, subnetAt, subnetNamed, textAt } from './query.js';
import { search } from './search.js';
import type { Claims, Nodes, Overview, Pools } from './shapes.js';
import type { Samples } from './trend.js';
import { politely, Turns } from './turns.js';

export interface Asked {
  readonly node: string;
  readonly version: string;
  /** Is not waited for while it is known to be away. */
  readonly store: Store;
  /** Of silence, until a node counts as gone. */
  readonly goneRounds: number;
  readonly samples: Samples;
  /** What keeps the process from granting addresses, if anything does. */
  problem(): string | undefined;
  /** Why etcd is known to be away, if it is. */
  etcdAway(): string | undefined;
  /** Whether an engine waits for an answer. */
  busy(): boolean;
}

const WITHIN_MS = 15_000;
const OVERVIEW_MS = 2_000;
/** All pools are read for at most a part of the time, however many ask. */
const SHARE = 10;
const LEAST_MS = 500;

const STATUS: Readonly<Record<Kind, number>> = {
  ...{ invalid: 400, conflict: 409, exhausted: 409, unavailable: 503, broken: 500 },
};

export function apiOf(asked: Asked): Router {
  const turns = new Turns();
  const router = new Router({ prefix: '/api/v1' });
  const forAll = politely(asked.store, asked.busy, new AbortController().signal);
  const pools = shared((by) => readPools(forAll, asked.samples, new Date(), by));
  const nodes = shared((by) => listNodes(forAll, asked.goneRounds, by));

  /** One answer that is read of etcd. */
  const read = (path: string, answer: (context: RouterContext, store: Store, by: Deadline) => Promise<object>) =>
    router.get(path, async (context) => {
      context.set('Cache-Control', 'no-store');
      const gone = new AbortController();
      context.res.on('close', () => gone.abort());
      try {
        const work = () =>
          answer(context, politely(asked.store, asked.busy, gone.signal), performance.now() + WITHIN_MS);
        context.body = await turns.run(gone.signal, work);
      } catch (error) {
        if (gone.signal.aborted) return;
        context.status = statusOf(error);
        context.body = { problem: (error as Error).message };
        if (context.status === 503) context.set('Retry-After', '2');
      }
    });

  router.get('/overview', async (context) => {
    context.set('Cache-Control', 'no-store');
    context.body = await overview(asked);
  });
  read('/pools', async (_context, _store, by): Promise<Pools> => ({ pools: await pools(by) }));
  read('/nodes', async (_context, _store, by): Promise<Nodes> => ({ nodes: [...(await nodes(by)).nodes] }));
  read('/pools/:space/:network/:length', async (context, store, by) => {
    const subnet = subnetAt(context);
    const pool = await readPool(store, subnet, asked.samples, new Date(), by);
    if (pool) return pool;
    throw await noPool(store, subnet, by);
  });
  read('/pools/:space/:network/:length/claims', async (context, store, by): Promise<Claims> => {
    const subnet = subnetAt(context);
    const limit = numberAt(context, 'limit', 200, 1_000);
    const range = rangeOf(subnet.prefix);
    const after = afterAt(context, subnet.prefix);
    const from = after ? after.value + 1n : range.from;
    const claims: ClaimRow[] = [];
    for await (const claim of all(store, claimsIn(subnet, { ...range, from }), by, limit + 1)) {
      if (claims.length === limit) return { claims, next: claims.at(-1)!.address };
      claims.push(claimRow(claim));
    }
    if (claims.length === 0) await mustBePool(store, subnet, by);
    return { claims, next: null };
  });
  read('/pools/:space/:network/:length/addresses', async (context, store, by) => {
    const subnet = subnetAt(context);
    const of = blockAt(context, subnet);
    if (sizeOf(of) > MOST_ADDRESSES)
      throw new IpamError('bad_request', `${formatPrefix(of)} has more than 65,536 addresses: ask for blocks of it`);
    const addresses = await readAddresses(store, subnet, of, afterAt(context, of), by);
    if (addresses.offset.length === 0) await mustBePool(store, subnet, by);
    return addresses;
  });
  read('/pools/:space/:network/:length/blocks', async (context, store, by) => {
    const subnet = subnetAt(context);
    const blocks = await readBlocks(store, subnet, blockAt(context, subnet), by);
    if (blocks.occupied === null) await mustBePool(store, subnet, by);
    return blocks;
  });
  read('/who/:address', async (context, store, by) => {
    const address = parseAddress(context.params.address!);
    return { address: context.params.address!, in: await whoHas(store, address, asked.goneRounds, by) };
  });
  read('/search', (context, store, by) => {
    const [text = '', space = 'local', pool] = ['q', 'space', 'pool'].map((name) => textAt(context, name));
    if (text.trim() === '') throw new IpamError('bad_request', 'q says what is searched for');
    const subnet = pool === undefined ? undefined : subnetNamed(space, pool);
    return search(store, text, subnet, numberAt(context, 'limit', 50, 500), by);
  });
  return router;
}

export function openApiOf(version: string): Router {
  const text = JSON.stringify(openApi(version), undefined, 1);
  return new Router().get('/openapi.json', (context) => {
    context.type = 'json';
    context.body = text;
  });
}

/** Answers also where etcd does not. */
async function overview({ node, version, store, problem, etcdAway }: Asked): Promise<Overview> {
  const seen = { node, version, problem: problem() ?? null, etcdAway: etcdAway() ?? null };
  if (seen.etcdAway !== null) return seen;
  try {
    const [brake, mark] = await store.read([{ one: BRAKE }, { one: RESTORED }], performance.now() + OVERVIEW_MS);
    return {
      ...seen,
      ...(brake && { brake: brake.record }),
      ...(mark && { restored: restoredError(mark.record).message }),
    };
  } catch (error) {
    return { ...seen, etcdAway: (error as Error).message };
  }
}

/** Whoever asks while it is being read, or soon after, has the same answer. */
function shared<T>(read: (by: Deadline) => Promise<T>): (by: Deadline) => Promise<T> {
  let last: { readonly answer: Promise<T>; until: number } | undefined;
  return (by) => {
    if (last && performance.now() < last.until) return last.answer;
    const began = performance.now();
    const mine = { answer: read(by), until: Number.POSITIVE_INFINITY };
    last = mine;
    const ended = (ms: number) => {
      mine.until = performance.now() + ms;
    };
    mine.answer.then(
      () => ended(Math.max(LEAST_MS, SHARE * (performance.now() - began))),
      () => ended(0),
    );
    return mine.answer;
  };
}

function statusOf(error: unknown): number {
  if (error instanceof NetError) return 400;
  if (!(error instanceof IpamError)) return 500;
  return error.code === 'unknown_pool' ? 404 : STATUS[error.kind];
}
