// Rounds of silence by several processes on the double, frozen anywhere and gone on with later, while nodes come and go: what
// they wrote, for the laws to judge. Refuses to know what is right.
import { setImmediate as turn } from 'node:timers/promises';
import { TICK } from '../../src/ipam/keyspace.js';
import type { Rounds } from '../../src/ipam/rounds.js';
import type { Store } from '../../src/ipam/store.js';
import { MemoryStore } from '../support/memory-store.js';
import { surroundings } from '../support/sequences.js';
import { Draw } from './chance.js';
import type { Written } from './history.js';
import { noted } from './noted.js';

const NODES = ['a', 'b', 'c', 'd'];
const STEPS = 40;
const LIMITS = { gone: 4, forget: 1_000 };

export async function roundsOf(rounds: typeof Rounds, seed: string): Promise<Written[]> {
  const [draw, store, writes] = [new Draw(`rounds ${seed}`), new MemoryStore(), [] as Written[]];
  const note = () => noted(store, writes);
  const plant = (key: string, record: object | undefined) => {
    store.plant(key, record);
    note();
  };
  // A process may freeze before anything that it sends.
  const slow: Store = {
    read: async (...args) => {
      for (let turns = draw.percent(30) ? draw.below(20) : 0; turns > 0; turns--) await turn();
      return store.read(...args);
    },
    commit: async (...args) => {
      for (let turns = draw.percent(30) ? draw.below(20) : 0; turns > 0; turns--) await turn();
      const outcome = await store.commit(...args);
      note();
      return outcome;
    },
    seen: () => store.seen(),
  };
  for (const node of NODES) plant(`nodes/${node}`, { machine: node, boot: '1', silence: 0, since: '' });
  plant('sessions/a/1', {});
  const running: Promise<void>[] = [];
  for (let step = 0; step < STEPS; step++) {
    const node = NODES[1 + draw.below(NODES.length - 1)]!;
    if (draw.percent(30)) {
      if (store.has(`sessions/${node}/1`)) plant(`sessions/${node}/1`, undefined);
      else {
        // As a session is made: with it the silence ends.
        plant(`nodes/${node}`, { machine: node, boot: '1', silence: 0, since: String(step) });
        plant(`sessions/${node}/1`, {});
      }
    } else {
      plant('tick', undefined);
      plant('tick', { node, step });
      const [tick] = await store.read([{ one: TICK }], performance.now() + 5_000);
      const around = surroundings(`${seed} ${step}`, { skew: 0 });
      running.push(new rounds(slow, LIMITS, around, () => undefined).run(tick!.version, performance.now() + 60_000));
    }
    for (let turns = draw.below(6); turns > 0; turns--) await turn();
  }
  await Promise.all(running);
  return writes;
}
