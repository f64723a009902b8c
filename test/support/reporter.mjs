// mocha's spec reporter with a plain ending: every skip with its reason, the files that failed, the time, and one line of counts.
import { relative } from 'node:path';
import mocha from 'mocha';

const { EVENT_RUN_END, EVENT_TEST_FAIL, EVENT_TEST_PASS, EVENT_TEST_PENDING } = mocha.Runner.constants;
const lingeringMs = 10_000;

export default class PlainEnding extends mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const skipped = [];
    const files = new Map();
    const started = performance.now();
    const of = (runnable) => {
      const name = relative(process.cwd(), fileOf(runnable) ?? 'unknown');
      if (!files.has(name)) files.set(name, { passed: 0, failures: [] });
      return files.get(name);
    };
    runner.on(EVENT_TEST_PENDING, (test) => skipped.push(test));
    runner.on(EVENT_TEST_PASS, (test) => {
      of(test).passed++;
    });
    runner.on(EVENT_TEST_FAIL, (test, cause) => of(test).failures.push({ title: test.fullTitle(), cause }));
    runner.once(EVENT_RUN_END, () => {
      for (const [reason, titles] of byReason(skipped)) {
        console.log(`skipped: ${reason}`);
        for (const title of titles) console.log(`  ${title}`);
      }
      for (const [name, { passed, failures }] of files) {
        if (failures.length === 0) continue;
        console.log(
          `failed: ${name} (${passed} passed, ${failures.length} failed${mayPass(name, failures[0]) ? ', again' : ''})`,
        );
        for (const [nth, { title, cause }] of failures.entries()) console.log(`  ${title}: ${words(cause, nth)}`);
      }
      console.log(`total ${((performance.now() - started) / 1000).toFixed(1)} s`);
      const { passes, failures } = this.stats;
      console.log(counts(passes, failures, skipped.length));
      // A run that leaves something open would hang for ever without this; it fires only if the process is still alive. It is a
      // failure where there is none else, of which it may be the consequence.
      setTimeout(() => {
        const left = [...new Set(process.getActiveResourcesInfo())].join(', ');
        console.log(`still open ${lingeringMs / 1000} s after the last test: ${left}`);
        console.log(counts(passes, failures || 1, skipped.length));
        // mocha sets its own code when the process exits, and was registered before.
        process.on('exit', () => {
          process.exitCode = 1;
        });
        process.exit();
      }, lingeringMs).unref();
    });
  }
}

// What an overloaded machine explains too: something was waited for in vain, an etcd among it, as against seen to be wrong; or
// programs ran beside one another, an engine, a browser, an etcd, and one was slower than the test foresaw. Never what judges who
// has an address. What fails later in the same file may be but its consequence.
const WAITED = ['Late', 'AbortError', 'TimeoutError', 'ERR_MOCHA_TIMEOUT', 'deadline', 'unavailable'];
const LATE =
  /^etcd at \S+ did not answer in time|^etcd at \S+ is not reachable: no answer within |^Re(quest|lease)\w+ did not finish within /;
function mayPass(name, { cause }) {
  if (WAITED.includes(cause?.name) || WAITED.includes(cause?.code) || LATE.test(cause?.message)) return true;
  const judges = /\/(\w+-processes|replays|sequences|lost-answers\S*|store|session)\.test\.ts$/.test(name);
  return /^test\/(e2e|machines|faults|browser|integration)\//.test(name) && !judges;
}

// The first failure of a file at length: its cause is often in what an engine said last.
function words(cause, nth) {
  return String(cause?.message)
    .split('\n')
    .slice(0, nth === 0 ? 12 : 1)
    .join('\n    ');
}

function fileOf(runnable) {
  return runnable === undefined ? undefined : (runnable.file ?? fileOf(runnable.parent));
}

function counts(passed, failed, skipped) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

function byReason(tests) {
  const reasons = new Map();
  for (const test of tests) {
    const reason = reasonOf(test) ?? 'no reason given';
    reasons.set(reason, [...(reasons.get(reason) ?? []), test.fullTitle()]);
  }
  return reasons;
}

// skip.ts leaves the reason on the test or on the suite whose hook gave up.
function reasonOf(runnable) {
  return runnable === undefined ? undefined : (runnable.skipReason ?? reasonOf(runnable.parent));
}
