import { expect } from 'chai';
import fc from 'fast-check';
import {
  BadRequest,
  encodeAddress,
  encodeCapabilities,
  encodePool,
  encodeSpaces,
  parse,
  type StateCall,
} from '../../../src/docker/wire.js';

const CALLS: StateCall[] = ['RequestPool', 'ReleasePool', 'RequestAddress', 'ReleaseAddress'];

describe('wire: requests', () => {
  it('reads RequestPool as dockerd 20.10.24 sends it', () => {
    const body =
      '{"AddressSpace":"l","Pool":"10.77.0.0/24","SubPool":"10.77.0.128/25","Options":{"k":"v"},"V6":false}\n';
    expect(parse('RequestPool', body)).to.deep.equal({
      addressSpace: 'l',
      pool: '10.77.0.0/24',
      subPool: '10.77.0.128/25',
      options: new Map([['k', 'v']]),
      v6: false,
    });
  });

  it('takes missing members and null for the zero value', () => {
    const zero = { addressSpace: '', pool: '', subPool: '', options: null, v6: false };
    expect(parse('RequestPool', '{}')).to.deep.equal(zero);
    expect(
      parse('RequestPool', '{"AddressSpace":null,"Pool":null,"SubPool":null,"Options":null,"V6":null}'),
    ).to.deep.equal(zero);
    expect(parse('ReleaseAddress', '{"PoolID":"","Address":null}')).to.deep.equal({ poolId: '', address: '' });
  });

  it('keeps Options null apart from {}', () => {
    expect(parse('RequestAddress', '{"Options":null}').options).to.equal(null);
    expect(parse('RequestAddress', '{"Options":{}}').options).to.deep.equal(new Map());
  });

  it('finds members in any case, the last one winning, null not counting', () => {
    expect(parse('RequestPool', '{"ADDRESSSPACE":"a","pool":"p","subpool":"s","v6":true}')).to.deep.include({
      addressSpace: 'a',
      pool: 'p',
      subPool: 's',
      v6: true,
    });
    expect(parse('ReleasePool', '{"PoolID":"1","poolid":"2"}').poolId).to.equal('2');
    expect(parse('ReleasePool', '{"PoolID":"1","poolid":null}').poolId).to.equal('1');
  });

  it('ignores members it does not know, whatever they hold', () => {
    expect(parse('ReleasePool', '{"PoolID":"p","Later":{"a":[1]},"__proto__":{"PoolID":"q"}}').poolId).to.equal('p');
  });

  it('keeps __proto__ and constructor as plain options', () => {
    const { options } = parse('RequestAddress', '{"Options":{"__proto__":"a","constructor":"b","toString":"c"}}');
    expect([...(options ?? [])]).to.deep.equal([
      ['__proto__', 'a'],
      ['constructor', 'b'],
      ['toString', 'c'],
    ]);
    expect(parse('RequestAddress', '{"Options":{}}').options?.has('constructor')).to.equal(false);
  });

  for (const call of CALLS) {
    for (const body of ['', '\n', ' \r\n']) {
      it(`refuses ${call} with the empty body ${JSON.stringify(body)} and says what happened`, () => {
        expect(() => parse(call, body)).to.throw(
          BadRequest,
          `${call} came with an empty body: the engine repeated a call whose first answer was lost; nothing was done`,
        );
      });
    }
    for (const [body, got] of [
      ['[]', 'an array'],
      ['null', 'null'],
      ['5', '5'],
      ['"x"', '"x"'],
      ['{"PoolID":', '"{\\"PoolID\\":"'],
      ['{} {}', '"{} {}"'],
    ]) {
      it(`refuses ${call} with the body ${body}`, () => {
        expect(() => parse(call, body ?? '')).to.throw(
          BadRequest,
          `${call}: the body must be a JSON object, got ${got}`,
        );
      });
    }
  }

  const refused: [StateCall, string, string][] = [
    ['RequestAddress', '{"Address":5}', 'RequestAddress: field "Address" must be a string, got 5'],
    ['RequestAddress', '{"address":true}', 'RequestAddress: field "Address" must be a string, got true'],
    ['ReleaseAddress', '{"PoolID":{}}', 'ReleaseAddress: field "PoolID" must be a string, got an object'],
    ['ReleasePool', '{"PoolID":["a"]}', 'ReleasePool: field "PoolID" must be a string, got an array'],
    ['RequestPool', '{"V6":"true"}', 'RequestPool: field "V6" must be true or false, got "true"'],
    ['RequestPool', '{"Options":[]}', 'RequestPool: field "Options" must be an object of strings, got an array'],
    ['RequestPool', '{"Options":"a=b"}', 'RequestPool: field "Options" must be an object of strings, got "a=b"'],
    ['RequestPool', '{"Options":{"vlan":7}}', 'RequestPool: field "Options.vlan" must be a string, got 7'],
    ['RequestPool', '{"Options":{"a":{"b":"c"}}}', 'RequestPool: field "Options.a" must be a string, got an object'],
  ];
  for (const [call, body, message] of refused) {
    it(`refuses ${call} ${body}`, () => {
      expect(() => parse(call, body)).to.throw(BadRequest, message);
    });
  }

  it('repeats at most 60 characters of a refused value', () => {
    const long = 'x'.repeat(500_000);
    expect(() => parse('RequestPool', long))
      .to.throw(BadRequest)
      .with.property('message')
      .with.length.below(130);
    expect(() => parse('RequestPool', `{"Options":{"${long}":1}}`))
      .to.throw(BadRequest)
      .with.property('message')
      .with.length.below(130);
  });

  it('survives a body of 500000 opening brackets', () => {
    expect(() => parse('RequestPool', '['.repeat(500_000))).to.throw(BadRequest);
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    expect(() => parse('RequestPool', `{"Pool":${deep}}`)).to.throw(BadRequest, 'got an array');
  });

  it('answers any text with a request or a BadRequest of one line', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.object().map((o) => JSON.stringify(o)),
        ),
        (body) => {
          for (const call of CALLS) {
            try {
              parse(call, body);
            } catch (error) {
              expect(error).to.be.instanceOf(BadRequest);
              expect((error as Error).message).to.match(/^[^\n]+$/);
            }
          }
        },
      ),
    );
  });
});

describe('wire: replies', () => {
  it("uses Go's field names", () => {
    expect(encodeCapabilities({ requiresMacAddress: true, requiresRequestReplay: false })).to.deep.equal({
      RequiresMACAddress: true,
      RequiresRequestReplay: false,
    });
    expect(encodeSpaces({ local: 'l', global: 'g' })).to.deep.equal({
      LocalDefaultAddressSpace: 'l',
      GlobalDefaultAddressSpace: 'g',
    });
    expect(encodePool({ poolId: 'id', pool: '10.0.0.0/8', data: { a: 'b' } })).to.deep.equal({
      PoolID: 'id',
      Pool: '10.0.0.0/8',
      Data: { a: 'b' },
    });
    expect(encodeAddress({ address: 'fd00::5/64' })).to.deep.equal({ Address: 'fd00::5/64', Data: {} });
  });

  it('refuses a bare address, an empty pool id and a Data value that is no string: an engine would leak the grant', () => {
    expect(() => encodeAddress({ address: '10.0.0.5' })).to.throw('"10.0.0.5" where an address with its prefix length');
    expect(() => encodePool({ poolId: 'id', pool: '' })).to.throw('"" where an address with its prefix length');
    expect(() => encodePool({ poolId: '', pool: '10.0.0.0/8' })).to.throw('pool id ""');
    const data = { x: 1 } as unknown as Record<string, string>;
    expect(() => encodeAddress({ address: '10.0.0.5/8', data })).to.throw('1 for "x" where a string belongs');
  });
});
