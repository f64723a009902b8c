// Rounds in a running driver: their pace, their limits and what is told of them. Counts nothing itself.
import type { Settings } from './config.js';
import type { EtcdClient } from './etcd/client.js';
import type { SessionKeeper } from './etcd/session.js';
import { Ticks } from './etcd/tick.js';
import { IpamError } from './ipam/errors.js';
import { givenOn } from './ipam/given-on.js';
import { type Limits, type RoundEvent, Rounds } from './ipam/rounds.js';
import { roundsIn } from './ipam/silence.js';
import type { Store } from './ipam/store.js';
import type { Surroundings } from './ipam/surroundings.js';
import type { Log } from './log.js';

/** How long a round lasts at least. What is set as a time, such as IPAM_HOLD, is counted in rounds of this length. */
export const ROUND_MS = 30_000;

export function limitsOf(
  { hold, forget, history }: Pick<Settings<unknown>, 'hold' | 'forget' | 'history'>,
  roundMs: number,
): Limits {
  return { gone: roundsIn(hold, roundMs), forget: roundsIn(forget, roundMs), keepMs: history };
}

const LISTED_WITHIN_MS = 60_000;

/** Where the rounds come from and go to. */
export interface Ground {
  readonly client: EtcdClient;
  readonly session: Pick<SessionKeeper, 'alive'>;
  readonly store: Store;
  readonly around: Surroundings;
  readonly settings: Pick<Settings<unknown>, 'prefix' | 'node' | 'hold' | 'forget' | 'history'>;
  readonly log: Log;
}

/** Not started yet. */
export function roundsOf({ client, session, store, around, settings, log }: Ground, roundMs: number): Ticks {
  const rounds = new Rounds(store, limitsOf(settings, roundMs), around, (event) => tell(log, event));
  return new Ticks(client, {
    ...{ prefix: settings.prefix, node: settings.node, roundMs },
    alive: () => session.alive,
    round: (tick, by) => rounds.run(tick, by),
    report: (error) => {
      // That etcd is away others say; a record that stops all rounds deserves to be seen.
      const broken = error instanceof IpamError && error.kind === 'broken';
      log[broken ? 'warn' : 'debug']({ error }, 'a round was not finished: no silence was counted');
    },
  });
}

/** This node was gone and is back: whatever still uses such an address there is not its only user. */
export async function tellGivenOn(log: Log, store: Store, node: string): Promise<void> {
  try {
    for await (const one of givenOn(store, node, performance.now() + LISTED_WITHIN_MS)) {
      const { address, pool, space, node: to, name = 'a container', since } = one;
      const text = `${address} of ${pool} was given to ${name} on ${to} while this node was gone: re-create what uses it here`;
      log.warn({ space, pool, address, to, since }, text);
    }
  } catch (error) {
    log.warn({ error }, 'this node was gone, and what was given on meanwhile could not be listed');
  }
}

function tell(log: Log, event: RoundEvent): void {
  if (event.kind === 'unbraked') log.info('silence counts again');
  else if (event.kind === 'braked') {
    const { silent, of } = event;
    log.warn({ silent, of }, `${silent} of ${of} nodes are silent together: until that ends nobody's silence counts`);
  } else {
    const { kind, node, silence } = event;
    const means = kind === 'gone' ? 'others may take its addresses where they need them' : 'what it held was released';
    log.warn({ [kind]: node, silence }, `node ${node} is ${kind}: ${means}`);
  }
}
