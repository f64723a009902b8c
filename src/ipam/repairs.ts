// Carrying out a remedy, by an operator's command: no session stands behind it, so it only writes by what it compares. What
// a driver would do itself is done by the driver's own code.
import { IpamError } from './errors.js';
import type { Remedy } from './findings.js';
import { joinKey } from './keyspace.js';
import { PoolRemoval } from './pool-removal.js';
import { Proviso } from './proviso.js';
import { Releases } from './releases.js';
import type { Answers, Change, Deadline, Outcome, Query, Store } from './store.js';
import type { Self, Surroundings } from './surroundings.js';
import { Terms } from './terms.js';
import { Views } from './views.js';

/** False where what it rests on has changed meanwhile: the rest is left as it is. */
export async function repair(
  remedy: Remedy,
  store: Store,
  around: Surroundings,
  past: Pick<Self, 'keepMs'>,
  by: Deadline,
): Promise<boolean> {
  try {
    return await carryOut(remedy, new Unsigned(store), around, past, by);
  } catch (error) {
    if (error instanceof IpamError && error.code === 'contended') return false;
    throw error;
  }
}

async function carryOut(
  remedy: Remedy,
  store: Store,
  around: Surroundings,
  past: Pick<Self, 'keepMs'>,
  by: Deadline,
): Promise<boolean> {
  switch (remedy.act) {
    case 'close':
      return removalFor({ ...past, node: '' }, store, around).closeIfLeft(remedy.subnet, by);
    case 'end': {
      const ended = { key: joinKey(remedy.pool, remedy.pool.join), version: null };
      const back = () => new IpamError('contended', `join ${remedy.pool.join} is there again`);
      await removalFor({ ...past, node: remedy.node }, new Proviso(store, [ended], back), around).release(
        remedy.pool,
        by,
      );
      return true;
    }
    case 'commit': {
      const stamp = { since: around.now().toISOString(), token: () => around.token() };
      for (const change of remedy.changes(stamp))
        if (!(await store.commit({ ...change, otherwise: [] }, by)).done) return false;
      return true;
    }
  }
}

function removalFor(who: Pick<Self, 'node' | 'keepMs'>, store: Store, around: Surroundings): PoolRemoval {
  const self = { ...who, boot: '' };
  const releases = new Releases(store, self, around);
  return new PoolRemoval(store, self, around, new Views(store, self), releases, new Terms());
}

/** Signed changes compare a session, lest a clone frees by what its original holds; an operator is nobody's clone. */
export class Unsigned implements Store {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  read<const Q extends readonly Query[]>(queries: Q, by: Deadline): Promise<Answers<Q>> {
    return this.#store.read(queries, by);
  }

  commit<const Q extends readonly Query[]>(change: Change<Q>, by: Deadline): Promise<Outcome<Q>> {
    return this.#store.commit({ ...change, signed: false }, by);
  }

  seen() {
    return this.#store.seen();
  }
}
