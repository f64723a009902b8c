// What is refused at the door before anything is asked of etcd: names that are no line of text.
import { expect } from 'chai';
import { addressAsk } from '../../../src/docker/asks.js';
import { Driver, type Told } from '../../../src/docker/driver.js';
import type { Allocator } from '../../../src/ipam/allocator.js';
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

describe('what is asked for', () => {
  const long = 'x'.repeat(1_000_000);
  const pool = { addressSpace: 'local', pool: '10.66.0.0/24', subPool: '', options: null, v6: false };

  for (const [what, ask] of [
    ['a pool', { ...pool, pool: long }],
    ['a range', { ...pool, subPool: long }],
    ['a range without a pool', { ...pool, pool: '', subPool: long }],
    ['a range of any pool', { ...pool, pool: '0.0.0.0/24', subPool: long }],
    ['an address space', { ...pool, addressSpace: long }],
    ['a name of a space', { ...pool, options: new Map([['space', long]]) }],
    ['an auxiliary address', { ...pool, options: new Map([['aux', long]]) }],
  ] as const)
    it(`is repeated in part: ${what} of 1,000,000 letters`, async () => {
      const told: Told[] = [];
      const allocator = {} as unknown as Allocator;
      const driver = new Driver(allocator, false, (one) => told.push(one));
      const call = {
        deadline: performance.now() + 1_000,
        signal: new AbortController().signal,
        onUndelivered: () => {},
      };
      const error = await driver.requestPool(ask, call).then(
        () => undefined,
        (refused: unknown) => refused,
      );
      expect((error as IpamError).message)
        .to.match(/x{60}…/)
        .and.have.length.below(250);
      expect(JSON.stringify({ ...told[0], error: undefined })).to.have.length.below(400);
    });

  it('is repeated in part: an address of 1,000,000 letters, in a request or a release', async () => {
    const told: Told[] = [];
    const driver = new Driver({} as unknown as Allocator, false, (one) => told.push(one));
    const call = { deadline: performance.now() + 1_000, signal: new AbortController().signal, onUndelivered: () => {} };
    const error = await driver.requestAddress({ poolId: POOL, address: long, options: null }, call).then(
      () => undefined,
      (refused: unknown) => refused,
    );
    expect((error as IpamError).message).to.equal(`address "${'x'.repeat(60)}…" is not an IP address`);
    await driver.releaseAddress({ poolId: POOL, address: long }, call);
    expect(told.map(({ address }) => address?.length)).to.deep.equal([61, 61]);
  });
});

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
