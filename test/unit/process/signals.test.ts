// Signals and uncaught errors: what is stopped, how often, and with which exit code. A process of its own where it matters.
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { expect } from 'chai';
import { onSignals } from '../../../src/process/signals.js';

class FakeHost extends EventEmitter {
  readonly exits: number[] = [];
  exit(code: number): void {
    this.exits.push(code);
  }
}

function listening(stop: (withinMs: number) => Promise<unknown> = () => Promise.resolve()) {
  const host = new FakeHost();
  const stops: number[] = [];
  const reports: unknown[] = [];
  const off = onSignals(
    {
      stop: (withinMs) => {
        stops.push(withinMs);
        return stop(withinMs);
      },
      report: (what) => void reports.push(what),
      graceMs: 900,
      crashGraceMs: 90,
    },
    host,
  );
  return { host, stops, reports, off };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('signals', () => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
    it(`${signal} stops once with the grace of 900 ms and exits 0`, async () => {
      const { host, stops, reports } = listening();
      host.emit(signal, signal);
      await turn();
      expect({ stops, reports, exits: host.exits }).to.deep.equal({ stops: [900], reports: [{ signal }], exits: [0] });
    });
  }

  it('an uncaught error or rejection is reported, stops with the grace of 90 ms and exits 1', async () => {
    for (const event of ['uncaughtException', 'unhandledRejection']) {
      const { host, stops, reports } = listening();
      const error = new Error(event);
      host.emit(event, error);
      await turn();
      expect({ stops, reports, exits: host.exits }).to.deep.equal({ stops: [90], reports: [{ error }], exits: [1] });
    }
  });

  it('an error during the stop is reported and changes nothing', async () => {
    const { host, stops, reports } = listening(async () => {
      throw new Error('stop failed');
    });
    host.emit('SIGTERM', 'SIGTERM');
    host.emit('uncaughtException', new Error('while stopping'));
    await turn();
    expect(stops).to.deep.equal([900]);
    expect(reports.map((report) => (report as { error?: Error }).error?.message)).to.deep.equal([
      undefined,
      'while stopping',
      'stop failed',
    ]);
    expect(host.exits).to.deep.equal([0]);
  });

  it('are left alone again afterwards', () => {
    const { host, off } = listening();
    off();
    expect(host.eventNames()).to.deep.equal([]);
  });

  const module = new URL('../../../src/process/signals.ts', import.meta.url).href;
  const program = `
    import { onSignals } from '${module}';
    onSignals({ stop: () => new Promise(() => console.log('stopping')), report: () => {} });
    setInterval(() => {}, 1000);
    console.log('ready');
  `;
  const start = async () => {
    const child = spawn(process.execPath, ['--import', 'tsx/esm', '--input-type=module', '-e', program]);
    await once(child.stdout, 'data');
    return child;
  };

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`${signal} twice within a moment is one key press passed on by npm; a later one exits at once with ${code}`, async () => {
      const child = await start();
      try {
        child.kill(signal);
        await once(child.stdout, 'data');
        child.kill(signal);
        await new Promise((resolve) => setTimeout(resolve, 600));
        expect(child.exitCode).to.equal(null);
        child.kill(signal);
        const [exit] = await once(child, 'exit');
        expect(exit).to.equal(code);
      } finally {
        child.kill('SIGKILL');
      }
    });
  }
});
