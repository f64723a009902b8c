// One engine for all suites of a run, in the test's own network; started when first asked for, ended after the last suite.
import { type Engine, startEngine } from './engine.js';
import { here } from './machine.js';

let shared: Promise<Engine> | undefined;

/** The engine whose published ports the test reaches on 127.0.0.1. Suites that stop or crash engines start their own. */
export function sharedEngine(): Promise<Engine> {
  shared ??= startEngine({ place: here });
  return shared;
}

// Outside of mocha, in a benchmark, nobody asks for it.
if (typeof after === 'function') {
  after('end the shared engine', async function () {
    this.timeout(60_000);
    await (await shared)?.[Symbol.asyncDispose]();
  });
}
