import { expect } from 'chai';
import { Afterwards } from '../../src/afterwards.js';
import { eventually } from '../support/process.js';

describe('what is told afterwards', () => {
  it('is told later, in order, and once', async () => {
    const told: number[] = [];
    const afterwards = new Afterwards<number>((one) => told.push(one));
    for (const one of [1, 2, 3]) afterwards.add(one);
    expect(told).to.deep.equal([]);
    await eventually('all three are told', () => told.length === 3);
    afterwards.add(4);
    await eventually('the fourth is told', () => told.length === 4);
    expect(told).to.deep.equal([1, 2, 3, 4]);
  });

  it('is told at once when it is asked for, and not again', async () => {
    const told: string[] = [];
    const afterwards = new Afterwards<string>((one) => told.push(one));
    afterwards.add('a');
    afterwards.flush();
    expect(told).to.deep.equal(['a']);
    afterwards.add('b');
    await eventually('the next one is told', () => told.length === 2);
    expect(told).to.deep.equal(['a', 'b']);
  });
});
