// The life of a serving program, as a process of its own: what is released in which order, and the exit code.
import { expect } from 'chai';
import { Program, run } from '../../support/process.js';

const module = new URL('../../../src/process/until-stopped.ts', import.meta.url).href;
const args = (start: string) => [
  '--import',
  'tsx/esm',
  '--input-type=module',
  '-e',
  `import { untilStopped } from '${module}';
   const report = (what) => console.log('report', what.signal ?? what.stopping ?? '', what.error?.message ?? '');
   untilStopped(async (releasers) => {
     releasers.push('etcd', () => console.log('etcd released'));
     ${start}
   }, report).catch((error) => { console.log('rejected', error.message); process.exit(1); });`,
];

describe('a program until stopped', () => {
  it('lives after its start, and at SIGTERM releases all and exits 0', async () => {
    const started = `releasers.push('server', () => { throw new Error('stuck'); });
      setInterval(() => {}, 1000); console.log('started');`;
    const program = await Program.start(process.execPath, args(started), { ready: /started/ });
    expect(await program.stop()).to.equal(0);
    expect(program.output.trim().split('\n')).to.deep.equal([
      'started',
      'report SIGTERM ',
      'etcd released',
      'report server stuck',
    ]);
  });

  it('releases what a failed start had begun, and then rejects', async () => {
    const { code, stdout } = await run(process.execPath, args(`throw new Error('no socket');`));
    expect({ code, lines: stdout.trim().split('\n') }).to.deep.equal({
      code: 1,
      lines: ['etcd released', 'rejected no socket'],
    });
  });

  it('stopped during its start exits 0, however the start ends', async () => {
    const slow = `console.log('starting'); await new Promise((_, fail) => setTimeout(fail, 300, new Error('late')));`;
    const program = await Program.start(process.execPath, args(slow), { ready: /starting/ });
    expect(await program.stop()).to.equal(0);
    expect(program.output).not.to.contain('rejected');
  });

  it('reports a defect, releases all and exits 1', async () => {
    const defect = `setTimeout(() => { throw new TypeError('x is undefined'); }, 10); setInterval(() => {}, 1000);`;
    const { code, stdout } = await run(process.execPath, args(defect));
    expect({ code, lines: stdout.trim().split('\n') }).to.deep.equal({
      code: 1,
      lines: ['report  x is undefined', 'etcd released'],
    });
  });
});
