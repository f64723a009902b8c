// The log: which lines appear, and what they hold; and that nobody has to read them.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { expect } from 'chai';
import type { LogLevel } from '../../src/config.js';
import { afterAllDecided } from '../../src/docker/reply.js';
import { type Decision, EachTurn, logDecision, openLog } from '../../src/log.js';
import { run, sleep } from '../support/process.js';

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

  /** Logs 100 lines for each message, answers it, and ends after the last. */
  const TALKER = `
    const log = (await import('./src/log.ts')).openLog({ level: 'info', node: 'a', fd: Number(process.argv[1]) });
    let i = 0;
    process.on('message', (last) => {
      for (const end = i + 100; i < end; i++) log.info({ i }, 'x'.repeat(200));
      process.nextTick(() => process.send('answer', () => last && process.disconnect()));
    });
    process.send('ready');`;

  /** A process that logs to `fd`, which nobody reads yet. */
  function talker(fd: 1 | 2, output: 'pipe' | number) {
    const args = ['--import', 'tsx/esm', '--input-type=module', '--eval', TALKER, String(fd)];
    const stdio = fd === 1 ? [output, 'inherit' as const] : ['inherit' as const, output];
    const child = spawn(process.execPath, args, { stdio: ['ignore', ...stdio, 'ipc'] });
    const answer = () => once(child, 'message', { signal: AbortSignal.timeout(10_000) });
    const ask = (last = false) => {
      child.send(last);
      return answer();
    };
    return { child, ask, ready: answer() };
  }

  const linesOf = async (stdout: Readable): Promise<Record<string, unknown>[]> => {
    const chunks = await stdout.setEncoding('utf8').toArray();
    return chunks
      .join('')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  };

  function fifo(): { readonly written: number; readonly read: Socket } {
    const folder = mkdtempSync(join(tmpdir(), 'log-'));
    const path = join(folder, 'stdout');
    execFileSync('mkfifo', [path]);
    const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const written = openSync(path, constants.O_WRONLY);
    rmSync(folder, { recursive: true });
    return { written, read: new Socket({ fd: read, readable: true, writable: false }).pause() };
  }

  for (const [fd, kind] of [
    [1, 'socket'],
    [1, 'pipe'],
    [2, 'socket'],
  ] as const) {
    it(`holds nothing up while the ${kind} at ${fd} is not read, then says how many lines are missing`, async () => {
      const pipe = kind === 'pipe' ? fifo() : undefined;
      const { child, ask, ready } = talker(fd, pipe?.written ?? 'pipe');
      try {
        if (pipe) closeSync(pipe.written);
        await ready;
        for (let asked = 0; asked < 100; asked++) await ask();
        const all = linesOf(pipe?.read ?? (child.stdio[fd] as Readable));
        await sleep(1_000);
        await ask(true);
        const lines = await all;
        const gap = lines.findIndex((line) => 'lost' in line);
        const { lost, level, msg } = lines[gap] as { lost: number; level: string; msg: string };
        expect(lost).to.be.within(4_000, 7_000);
        expect({ level, msg }).to.deep.equal({
          level: 'error',
          msg: `${lost} lines are missing here: nobody read them`,
        });
        const before = Array.from({ length: gap }, (_, i) => i);
        const after = Array.from({ length: 10_100 - gap - lost }, (_, i) => gap + lost + i);
        expect(lines.toSpliced(gap, 1).map(({ i }) => i)).to.deep.equal([...before, ...after]);
      } finally {
        child.kill('SIGKILL');
      }
    });
  }

  it('waits for a reader for one second at most when the process ends, and for a fatal line', async () => {
    const script = `const log = (await import('./src/log.ts')).openLog({ level: 'info', node: 'a' });
      for (let i = 0; i < 5_000; i++) {
        log.info({ i }, 'x'.repeat(200));
        if (i % 100 === 0) await new Promise(setImmediate);
      }
      const began = performance.now();
      log.fatal('a defect');
      process.on('exit', () => process.send(performance.now() - began));
      process.exit(1);`;
    const args = ['--import', 'tsx/esm', '--input-type=module', '--eval', script];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    try {
      const [took] = await once(child, 'message', { signal: AbortSignal.timeout(10_000) });
      expect(took).to.be.within(900, 1_500);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
