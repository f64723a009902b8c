// What the log and the metrics are told of calls that the driver itself never heard of, or decided too late.
import { expect } from 'chai';
import type { CallEvent } from '../../src/docker/app.js';
import { misspelt, untold } from '../../src/serve.js';

const event: CallEvent = {
  ...{ call: 'RequestAddress', outcome: 'answered', ms: 2 },
  ...{ request: { poolId: 'p', address: '', options: null }, reply: undefined, error: undefined },
};
const error = new Error('RequestAddress did not finish within 5 s');

describe('a call that no decision was told of', () => {
  it('is late, and counts as that', () => {
    expect(untold({ ...event, outcome: 'late', ms: 5_000, error })).to.deep.equal({
      ...{ call: 'RequestAddress', outcome: 'late', ms: 5_000, error },
    });
  });

  it('is refused for its body, and counts as that', () => {
    expect(untold({ ...event, outcome: 'refused', request: undefined, error })).to.deep.equal({
      ...{ call: 'RequestAddress', outcome: 'refused', ms: 2, error },
    });
  });

  it('is none of those that the driver told of, nor one that is answered from constants', () => {
    expect(untold(event)).to.equal(undefined);
    expect(untold({ ...event, outcome: 'refused', error })).to.equal(undefined);
    expect(untold({ ...event, outcome: 'undelivered' })).to.equal(undefined);
    expect(untold({ ...event, call: 'GetCapabilities', request: undefined })).to.equal(undefined);
  });
});

describe('options of a network', () => {
  const asked = (...names: string[]) =>
    misspelt({
      request: {
        ...{ addressSpace: 'local', pool: '10.66.0.0/24', subPool: '', v6: false },
        options: new Map(names.map((name) => [name, 'blue'])),
      },
    });

  for (const [name, meant] of [
    ...[['spce', 'space'] as const, ['Space', 'space'] as const, ['spaces', 'space'] as const],
    ...[['aux-address', 'aux'] as const, ['AUX', 'aux'] as const, ['ax', 'aux'] as const],
  ]) {
    it(`${name}: asks whether ${meant} was meant`, () => {
      expect(asked('space', name)).to.deep.equal([
        `--ipam-opt ${name} is not an option and is ignored: did you mean ${meant}?`,
      ]);
    });
  }

  it('says nothing of those that it knows, that engines add, or that are other programs’', () => {
    const engines = ['com.docker.network.ipam.serial', 'RequestAddressType'];
    expect(asked('space', 'aux', 'parent', 'vlan', ...engines)).to.deep.equal([]);
    expect(misspelt(event)).to.deep.equal([]);
    expect(misspelt({ request: undefined })).to.deep.equal([]);
  });
});
