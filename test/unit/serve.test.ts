// What the log and the metrics are told of calls that the driver itself never heard of, or decided too late.
import { expect } from 'chai';
import type { CallEvent } from '../../src/docker/app.js';
import { untold } from '../../src/serve.js';

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
