// Whether hosts that ask a full pool as fast as they can slow others down: one driver's addresses in another pool, with and
// without them.
import { parsePrefix } from '../../src/net/prefix.js';
import { eventually } from '../support/process.js';
import { filled, placesIn, plant } from './plant.js';
import type { Driver, Scenario } from './site.js';
import { takeTurns } from './turns.js';

const TURNS = 5;
const CALLS = 300;

export const fullPool: Scenario = {
  title: 'an address of an empty /16 while 32 processes ask another one that is full, against none asking',
  async run(site, { once, size }) {
    const pool = once ? '10.67.0.0/24' : '10.67.0.0/16';
    const prefix = parsePrefix(pool);
    const asking: { driver: Driver; PoolID: string }[] = [];
    for (let i = 0; i < (once ? 2 : Math.min(32, Math.ceil(size / 3_000))); i++) {
      const driver = await site.another(`full${i}`);
      const request = { AddressSpace: 'local', Pool: pool, SubPool: '', Options: {} };
      asking.push({ driver, PoolID: (await driver.must('RequestPool', request)).PoolID });
    }
    await plant(site, prefix, Number(placesIn(prefix)));
    // What nobody stands behind is looked for by listing the range, at most once in five minutes: that has been done.
    for (const { driver, PoolID } of asking) {
      const refused = () => driver.must('RequestAddress', { PoolID, Address: '', Options: {} }).catch(String);
      await eventually('the pool is known to be full', async () => /no address left/.test(await refused()), 60_000);
    }
    const empty = await filled(site, '10.66.0.0/16', 0, once ? 2 : CALLS, 'none asks');
    let [refused, failed, on] = [0, 0, true];
    const insist = async ({ driver, PoolID }: (typeof asking)[number]) => {
      while (on) {
        const error = await driver.must('RequestAddress', { PoolID, Address: '', Options: {} }).catch(String);
        if (typeof error !== 'string') throw new Error(`a full pool answered ${JSON.stringify(error)}`);
        if (/no address left/.test(error)) refused++;
        else failed++;
      }
    };
    let insisting: Promise<unknown> | undefined;
    const crowd = {
      ...empty,
      what: `${asking.length} processes ask a full ${pool}`,
      // They begin with the first call of a turn, and end after the last.
      call: () => {
        on = true;
        insisting ??= Promise.all(asking.map(insist));
        // Its failure is told after the turn.
        insisting.catch(() => undefined);
        return empty.call();
      },
      after: async () => {
        on = false;
        await insisting;
        insisting = undefined;
        await empty.after?.();
      },
    };
    const [alone, crowded] = await takeTurns(site, once ? 1 : TURNS, [empty, crowd]);
    if (refused === 0) throw new Error('the full pool was not asked');
    return [alone!, { ...crowded!, remark: `${refused} refusals, ${failed} failures` }];
  },
};
