// Requests that no engine sends: calls which would change something, each spoilt in one certain way, drawn from a seed.
// Refuses to know what a driver says to them.
import { isIP } from 'node:net';
import { chance } from './sequences.js';

/** What a driver has given out, and the malformed would touch. */
export interface Given {
  readonly pools: readonly { readonly id: string; readonly subnet: string; readonly held: readonly string[] }[];
}

/** Bytes for one connection. */
export interface Shot {
  /** How each of its requests is spoilt. */
  readonly kinds: readonly string[];
  /** The bytes of each, to be sent in one. */
  readonly parts: readonly Buffer[];
  /** Their methods, each of which is answered; none where the bytes break the connection. */
  readonly methods: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;
interface Valid {
  readonly call: string;
  readonly fields: Fields;
}

/** The bytes of one request as an engine sends it, unless told otherwise. */
export function request(
  path: string,
  body: Buffer | string,
  {
    method = 'POST',
    length = Buffer.byteLength(body),
    headers = '',
  }: Partial<Record<'method' | 'headers', string>> & {
    readonly length?: number | string;
  } = {},
): Buffer {
  const head =
    `${method} ${path} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: ${length}\r\n` +
    `Accept: application/vnd.docker.plugins.v1.2+json\r\n${headers}\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)]);
}

export class Malformed {
  readonly #next: () => number;
  readonly #given: Given;

  constructor(seed: string, given: Given) {
    this.#next = chance(seed);
    this.#given = given;
  }

  /** Of six shots one breaks its connection, one holds several requests; `most` requests at the most. */
  shot(most: number): Shot {
    const lot = this.#below(6);
    if (lot === 0) return this.#broken();
    const count = lot === 1 ? Math.min(most, 2 + this.#below(19)) : 1;
    const parts = Array.from({ length: count }, () => this.#whole());
    return {
      kinds: parts.flatMap(({ kinds }) => kinds),
      parts: parts.flatMap((part) => part.parts),
      methods: parts.flatMap(({ methods }) => methods),
    };
  }

  /** A call that would be granted, were it not for its 10 MB. */
  large(): Shot {
    const { call, fields } = this.#valid();
    const body = JSON.stringify({ ...fields, Filling: 'x'.repeat(10_000_000) });
    if (this.#below(2) === 0) return { kinds: ['10 MB'], parts: [request(call, body)], methods: ['POST'] };
    const head = `POST ${call} HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n`;
    return { kinds: ['10 MB in a chunk'], parts: [Buffer.from(`${head}${body}\r\n0\r\n\r\n`)], methods: ['POST'] };
  }

  /** A call to be sent byte by byte; nothing comes of it, as its sender never gets to the end. */
  slow(): Buffer {
    const { call, fields } = this.#valid();
    return request(call, JSON.stringify(fields));
  }

  /** One request that HTTP takes and a driver cannot. */
  #whole(): Shot {
    const valid = this.#valid();
    const ways: Readonly<Record<string, () => Buffer>> = {
      'a body cut short': () => this.#body(valid, (text) => text.slice(0, this.#below(text.length))),
      'a body that goes on': () =>
        this.#body(valid, (text) => text + this.#one(['}', 'x', '{}', ',', '\0', '\u{feff}'])),
      'no object': () => this.#body(valid, (text) => this.#one([JSON.stringify(text), `[${text}]`, ...SCALARS])),
      'a wrong type': () => this.#body(this.#mistyped(valid)),
      'deep nesting': () => this.#body(valid, () => this.#nested()),
      'prototype keys': () =>
        this.#body(valid, (text) =>
          this.#one([`{"__proto__":${text}}`, `{"constructor":{"prototype":${text}}}`, `{"prototype":${text}}`]),
        ),
      'NUL in a value': () => this.#body(this.#spoilt(valid, (text) => this.#inserted(text, '\0'))),
      'NUL as it is': () => this.#body(valid, (text) => this.#inserted(text.slice(1, -1), '\0', '{', '}')),
      'no UTF-8': () => this.#bytes(valid),
      'a value changed': () => this.#body(this.#spoilt(valid, (text) => this.#mutated(text))),
      'an address or subnet changed': () => this.#body(this.#misnumbered(valid)),
      'a value of 100 kB': () => this.#body(this.#spoilt(valid, (text) => text + 'x'.repeat(100_000))),
      'another path': () => request(this.#path(valid.call), JSON.stringify(valid.fields)),
      'odd headers': () => {
        const headers = this.#one(['Expect: 100-continue', 'Expect: more', 'X:']);
        return request(valid.call, JSON.stringify(valid.fields).slice(0, -1), { headers: `${headers}\r\n` });
      },
    };
    if (this.#below(20) === 0) {
      const method = this.#one(['GET', 'PUT', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']);
      return {
        kinds: ['another method'],
        parts: [request(valid.call, JSON.stringify(valid.fields), { method })],
        methods: [method],
      };
    }
    let kind = this.#one(Object.keys(ways));
    if (kind === 'a value of 100 kB' && this.#below(20) > 0) kind = 'a value changed';
    return { kinds: [kind], parts: [ways[kind]!()], methods: ['POST'] };
  }

  /** What HTTP itself does not take, or what never comes to its end; but for the spoilt bytes the calls would be granted. */
  #broken(): Shot {
    const { call, fields } = this.#valid();
    const body = JSON.stringify(fields);
    const good = request(call, body);
    const length = (text: number | string) => request(call, body, { length: text });
    const headers = (text: string) => request(call, body.slice(1), { headers: `${text}\r\n` });
    const chunked = (text: string) =>
      Buffer.from(`POST ${call} HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n${text}`);
    const ways: Readonly<Record<string, () => Buffer>> = {
      'half of the headers': () => good.subarray(0, this.#below(good.indexOf('\r\n\r\n'))),
      'half of the body': () => good.subarray(0, good.length - 1 - this.#below(body.length)),
      'a length too short': () => length(1 + this.#below(body.length - 1)),
      'a length too long': () => length(body.length + 1 + this.#below(1_000)),
      'a length that is none': () => length(this.#one(['-1', '+5', '0x40', '1e3', '9'.repeat(40), '12, 13', '٣'])),
      'two lengths': () => request(call, body, { headers: `Content-Length: ${body.length - 1}\r\n` }),
      'length and chunks': () => request(call, body, { headers: 'Transfer-Encoding: chunked\r\n' }),
      'chunks without end': () => chunked(`${body.length.toString(16)}\r\n${body}`),
      'a chunk too short': () => chunked(`${(body.length + 9).toString(16)}\r\n${body}\r\n0\r\n\r\n`),
      'a size that is none': () => chunked(`${this.#one(['zz', '-1', 'f'.repeat(40), ''])}\r\n${body}\r\n0\r\n\r\n`),
      'too much of headers': () => headers(`X: ${'x'.repeat(20_000)}`),
      'too many headers': () => headers(Array.from({ length: 3_000 }, (_, i) => `X-${i}: y`).join('\r\n')),
      'a header that is none': () => headers(this.#one(['nothing', ': x', 'X : y', 'X: a\0b', '\x01: y', 'X: a\rb'])),
      'a line that is none': () =>
        Buffer.from(this.#one(['\r\n\r\n', 'GET\r\n\r\n', 'POST  HTTP/1.1\r\n\r\n', `POST ${call} HTTP/9.9\r\n\r\n`])),
      'another protocol': () =>
        this.#one([
          Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
          Buffer.from('1603010200010001fc0303', 'hex'),
          Buffer.from(body),
          Buffer.from(Array.from({ length: 1 + this.#below(300) }, () => this.#below(256))),
        ]),
      'another protocol asked for': () => headers('Connection: Upgrade\r\nUpgrade: h2c'),
      'a tunnel': () => Buffer.from(`CONNECT ${call} HTTP/1.1\r\nHost: x:1\r\n\r\n${body}`),
    };
    let kind = this.#one(Object.keys(ways));
    if (kind === 'too many headers' && this.#below(5) > 0) kind = 'half of the body';
    return { kinds: [kind], parts: [ways[kind]!()], methods: [] };
  }

  /** A call that would make, give or free something. */
  #valid(): Valid {
    const pool = this.#one(this.#given.pools);
    const calls: readonly Valid[] = [
      {
        call: '/IpamDriver.RequestPool',
        fields: {
          ...{
            AddressSpace: this.#one(['local', 'global']),
            Pool: `10.${70 + this.#below(20)}.${this.#below(256)}.0/24`,
          },
          ...{ SubPool: '', Options: {}, V6: false },
        },
      },
      { call: '/IpamDriver.RequestAddress', fields: { PoolID: pool.id, Address: '', Options: {} } },
      { call: '/IpamDriver.ReleaseAddress', fields: { PoolID: pool.id, Address: this.#one(pool.held) } },
      { call: '/IpamDriver.ReleasePool', fields: { PoolID: pool.id } },
    ];
    return this.#one(calls);
  }

  #body({ call, fields }: Valid, change = (text: string) => text): Buffer {
    return request(call, `${change(JSON.stringify(fields))}\n`);
  }

  /** With a value of a type that the field cannot have, written as it would stand in the text. */
  #mistyped({ call, fields }: Valid): Valid {
    const name = this.#one(Object.keys(fields));
    const odd = this.#one<unknown>(
      name === 'Options'
        ? ['text', 7, true, [], { a: 7 }, { a: {} }, { __proto__x: [] }]
        : [7, -0.5, 1e300, [], {}, [['a']], { length: 1 }, ...(name === 'V6' ? ['true'] : [true, false])],
    );
    return { call, fields: { ...fields, [name]: odd } };
  }

  /** The field without which a call means nothing, changed. */
  #spoilt({ call, fields }: Valid, change: (text: string) => string): Valid {
    const name = 'PoolID' in fields ? 'PoolID' : 'AddressSpace';
    const known = ['local', 'global', ...this.#given.pools.map(({ id }) => id)];
    for (;;) {
      const changed = change(String(fields[name]));
      if (!known.includes(changed)) return { call, fields: { ...fields, [name]: changed } };
    }
  }

  #misnumbered(valid: Valid): Valid {
    const { call, fields } = valid;
    const pool = this.#given.pools.find(({ id }) => id === fields.PoolID);
    if (call.endsWith('RequestPool'))
      return { call, fields: { ...fields, Pool: this.#badSubnet(String(fields.Pool)) } };
    if (pool === undefined || !('Address' in fields)) return this.#spoilt(valid, (text) => this.#mutated(text));
    return { call, fields: { ...fields, Address: this.#badAddress(this.#one(pool.held)) } };
  }

  /** Nothing that is an address of any pool, however it is read. */
  #badAddress(held: string): string {
    if (this.#below(4) === 0) return this.#one(['203.0.113.9', '::ffff:10.66.0.2', '2001:db8::1', '0.0.0.0', '::']);
    const changed = this.#mutated(held);
    return changed !== '' && isIP(changed) === 0
      ? changed
      : `${held}${this.#one(['/24', 'x', '%eth0', ' ', '\n', '.'])}`;
  }

  #badSubnet(subnet: string): string {
    if (this.#below(4) === 0)
      return this.#one(['224.0.0.0/4', '127.0.0.0/8', '0.0.0.0/0', '0.0.0.0/33', '::/0', '::1/128', '10.0.0.0/-1']);
    const changed = this.#mutated(subnet);
    const [address = '', length = '', ...more] = changed.split('/');
    const sound = isIP(address) !== 0 && /^\d+$/.test(length) && more.length === 0;
    return changed !== '' && !sound ? changed : `${subnet}${this.#one(['/24', 'x', '%eth0', ' ', '\n', '.', '9999'])}`;
  }

  #bytes({ call, fields }: Valid): Buffer {
    const mark = '\u0001'.repeat(3);
    const marked = this.#spoilt({ call, fields }, (text) => this.#inserted(text, mark)).fields;
    const [before = '', after = ''] = JSON.stringify(marked).split(JSON.stringify(mark).slice(1, -1));
    const bad = this.#one(['80', 'ff', 'c0af', 'eda080', 'f5808080', 'e282', 'fffe']);
    return request(call, Buffer.concat([Buffer.from(before), Buffer.from(bad, 'hex'), Buffer.from(after)]));
  }

  #nested(): string {
    const depth = 10 ** this.#one([1, 1, 2, 2, 2, 3, 3, 3, 3, this.#one([3, 3, 3, 4, 5])]);
    const [open, close] = this.#one([
      ['[', ']'],
      ['{"Options":', '}'],
      ['{"PoolID":[', ']}'],
    ] as const);
    const inner = this.#one(['', '1', '{}']) || (open === '[' ? '' : '1');
    return open.repeat(depth) + inner + (this.#below(2) === 0 ? '' : close.repeat(depth));
  }

  #path(call: string): string {
    const changes = [`${call}/`, `/${call}`, call.toLowerCase(), call.replace('.', '%2e'), `${call}%00`, `${call};x`];
    return this.#one([...changes, call.replace('Ipam', 'Network'), `${call}s`, '/', '*', `${call}/..`, `/a${call}`]);
  }

  #mutated(text: string): string {
    const at = this.#below(text.length + 1);
    const letter = this.#one([...'0123456789abcdef:./?=&@-xX %\\"\'é\u{1f600}']);
    const ways = [
      () => text.slice(0, at) + text.slice(at + 1),
      () => text.slice(0, at) + letter + text.slice(at),
      () => text.slice(0, at) + letter + text.slice(at + 1),
      () => text.slice(at) + text.slice(0, at),
      () => text.slice(0, at) + text.slice(this.#below(text.length + 1)),
      () => text.toUpperCase(),
    ];
    return this.#one(ways)();
  }

  #inserted(text: string, what: string, before = '', after = ''): string {
    const at = this.#below(text.length + 1);
    return before + text.slice(0, at) + what + text.slice(at) + after;
  }

  #one<T>(of: readonly T[]): T {
    return of[this.#below(of.length)]!;
  }

  #below(bound: number): number {
    return this.#next() % bound;
  }
}

/** JSON that is no object, numbers beyond every range among it. */
const SCALARS = ['null', 'true', '""', '[]', '0', '-0', '1e999999', `${'9'.repeat(400)}`, '{', '"', 'NaN', 'undefined'];
