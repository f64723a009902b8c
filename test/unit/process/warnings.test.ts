import { expect } from 'chai';
import { run } from '../../support/process.js';

describe('process: warnings', () => {
  it('of a code that is silenced are not printed, others are', async () => {
    const program = `
      import { silence } from './src/process/warnings.ts';
      silence('DEP0123');
      process.emitWarning('of a name', 'DeprecationWarning', 'DEP0123');
      process.emitWarning('of a buffer', 'DeprecationWarning', 'DEP0005');
      process.emitWarning(new Error('of ours'));`;
    const { stderr } = await run(process.execPath, ['--import', 'tsx/esm', '--input-type=module', '-e', program]);
    expect(stderr).to.not.contain('DEP0123').and.not.contain('of a name');
    expect(stderr).to.contain('[DEP0005] DeprecationWarning: of a buffer').and.contain('of ours');
  });
});
