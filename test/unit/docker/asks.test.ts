// What is refused at the door before anything is asked of etcd: names that are no line of text.
import { expect } from 'chai';
import { addressAsk } from '../../../src/docker/asks.js';
import { IpamError } from '../../../src/ipam/errors.js';

const POOL = 'local/10.66.0.0/24?join=00000000000000aa';
const NAME = 'com.docker.network.endpoint.name';

function refusalOf(name: string): string {
  try {
    addressAsk({ poolId: POOL, address: '', options: new Map([[NAME, name]]) }, false);
  } catch (error) {
    if (error instanceof IpamError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'asked for';
}

describe('the name of an endpoint', () => {
  it('is one line of text, or the call is refused', () => {
    expect(refusalOf('web.1_Ä-2')).to.equal('asked for');
    for (const odd of ['\u001b[2J', '\n', '\u007f', '\u009b31m', '\u2028', '\0'])
      expect(refusalOf(`web${odd}x`)).to.equal(
        `bad_request: the endpoint name "web\ufffd${odd.slice(1)}x" has a control character or a line break`,
      );
    expect(refusalOf(`\n${'x'.repeat(200)}`)).to.equal(
      `bad_request: the endpoint name "\ufffd${'x'.repeat(59)}…" has a control character or a line break`,
    );
  });
});
