// The log: which lines appear, and what they hold.
import { expect } from 'chai';
import type { LogLevel } from '../../src/config.js';
import { afterAllDecided } from '../../src/docker/reply.js';
import { type Decision, EachTurn, logDecision, openLog } from '../../src/log.js';
import { run } from '../support/process.js';

function collecting(level: LogLevel = 'info') {
  const lines: Record<string, unknown>[] = [];
  const log = openLog({ level, node: 'host-a', to: { write: (text) => void lines.push(JSON.parse(text)) } });
  return { log, lines };
}

const granted: Decision = {
  call: 'RequestAddress',
  outcome: 'granted',
  space: 'local',
  pool: '10.66.0.0/24',
  address: '10.66.0.7',
  token: 'a3f0',
  attempts: 1,
  ms: 1.23456,
};

describe('the log', () => {
  it('has one JSON line a decision, with an ISO time and the node, and no pid or host', () => {
    const { log, lines } = collecting();
    logDecision(log, granted);
    expect(lines).to.have.length(1);
    const { time, ...rest } = lines[0]!;
    expect(time).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(rest).to.deep.equal({
      level: 'info',
      node: 'host-a',
      call: 'RequestAddress',
      space: 'local',
      pool: '10.66.0.0/24',
      address: '10.66.0.7',
      token: 'a3f0',
      outcome: 'granted',
      attempts: 1,
      ms: 1.2,
      msg: 'RequestAddress 10.66.0.7 granted',
    });
  });

  it('writes only the named fields, whatever else an object carries', () => {
    const { log, lines } = collecting();
    logDecision(log, { ...granted, password: 's3cret' } as Decision);
    expect(JSON.stringify(lines)).not.to.contain('s3cret');
  });

  const levels: readonly [Decision['outcome'], string][] = [
    ['granted', 'info'],
    ['released', 'info'],
    ['nothing to release', 'info'],
    ['queued', 'warn'],
    ['late', 'warn'],
    ['refused', 'warn'],
    ['undone', 'warn'],
    ['failed', 'error'],
  ];
  for (const [outcome, level] of levels) {
    it(`puts "${outcome}" at ${level}`, () => {
      const { log, lines } = collecting();
      logDecision(log, { ...granted, outcome });
      expect(lines[0]?.level).to.equal(level);
    });
  }

  it('at error shows failures alone', () => {
    const { log, lines } = collecting('error');
    for (const [outcome] of levels) logDecision(log, { ...granted, outcome });
    expect(lines.map((line) => line.outcome)).to.deep.equal(['failed']);
  });

  it('at silent shows nothing', () => {
    const { log, lines } = collecting('silent');
    logDecision(log, { ...granted, outcome: 'failed' });
    expect(lines).to.deep.equal([]);
  });

  it('gives a refusal as its message with the cause, and a defect with its stack', () => {
    const { log, lines } = collecting();
    const cause = new Error('connection refused');
    logDecision(log, { ...granted, outcome: 'failed', error: new Error('etcd does not answer', { cause }) });
    logDecision(log, { ...granted, outcome: 'failed', error: new TypeError('x is not a function') });
    expect(lines[0]?.error).to.equal('etcd does not answer: connection refused');
    expect(lines[1]?.error).to.match(/^TypeError: x is not a function\n {4}at /);
  });

  it('writes the lines of one moment together, and a reply that waits for all decisions leaves behind them', async () => {
    const written: string[] = [];
    const to = new EachTurn({ write: (text) => void written.push(text) });
    const reply = async (line: string) => {
      await Promise.resolve();
      to.write(line);
      await new Promise((resolve) => afterAllDecided(resolve, undefined));
      written.push('reply');
    };
    const replies = Promise.all(['a\n', 'b\n'].map(reply));
    await Promise.resolve().then(() => to.write('c\n'));
    expect(written).to.deep.equal([]);
    await replies;
    expect(written).to.deep.equal(['a\nb\nc\n', 'reply', 'reply']);
    to.write('d\n');
    to.flushSync();
    to.flushSync();
    await new Promise(setImmediate);
    expect(written.slice(3)).to.deep.equal(['d\n']);
  });

  for (const [how, last] of [
    ['process.exit()', 'process.exit(3)'],
    ['an exception that nobody catches', "throw new Error('boom')"],
  ]) {
    it(`loses no line to ${how}`, async () => {
      const log = "(await import('./src/log.ts')).openLog({ level: 'info', node: 'a' })";
      const script = `const log = ${log}; for (let i = 0; i < 1000; i++) log.info({ i }, 'line'); ${last}`;
      const { stdout } = await run(process.execPath, ['--import', 'tsx/esm', '--input-type=module', '--eval', script]);
      expect(
        stdout
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line).i),
      ).to.deep.equal(Array.from({ length: 1000 }, (_, i) => i));
    });
  }
});
