// The table of bad input: what is sent, and what its sender is told. Refuses to know how it is sent.

export interface Row {
  readonly title: string;
  /** `RequestPool` for `/IpamDriver.RequestPool`, or a path. */
  readonly call: string;
  readonly method?: string;
  /** A string goes as it is, undefined is an empty body. */
  readonly body: object | string | undefined;
  /** The whole `Err`; undefined where the answer is `{}` all the same. */
  readonly err: string | undefined;
  /** 500 unless given. */
  readonly status?: number;
}

/** PoolIDs that the driver gave. */
export interface Known {
  /** 10.66.0.0/24 with the range 10.66.0.128/25. */
  readonly four: string;
  /** fd00:66::/64 */
  readonly six: string;
  /** Of 10.67.0.0/24, released. */
  readonly gone: string;
}

const STATE_CALLS = ['RequestPool', 'ReleasePool', 'RequestAddress', 'ReleaseAddress'];

export function rows(known: Known): Row[] {
  return [
    ...STATE_CALLS.flatMap((call): Row[] => [
      {
        title: `${call} with an empty body, as an engine repeats it`,
        call,
        body: undefined,
        err: `${call} came with an empty body: the engine repeated a call whose first answer was lost; nothing was done`,
      },
      {
        title: `${call} with half a body`,
        call,
        body: '{"PoolID":"loc',
        err: `${call}: the body must be a JSON object, got "{\\"PoolID\\":\\"loc"`,
      },
    ]),
    ...bodies(known),
    ...pools(),
    ...addresses(known),
    ...releases(known),
    ...paths(),
  ];
}

function bodies({ four }: Known): Row[] {
  const address = (title: string, body: object | string, err: string): Row => ({
    ...{ title, call: 'RequestAddress', body, err: `RequestAddress: ${err}` },
  });
  return [
    address('an array', '[]', 'the body must be a JSON object, got an array'),
    address('a number', '7', 'the body must be a JSON object, got 7'),
    address('null', 'null', 'the body must be a JSON object, got null'),
    address('a string', '"10.66.0.2"', 'the body must be a JSON object, got "10.66.0.2"'),
    address('PoolID is a number', { PoolID: 7 }, 'field "PoolID" must be a string, got 7'),
    address('Address is an object', { PoolID: four, Address: {} }, 'field "Address" must be a string, got an object'),
    address(
      'Options is an array',
      { PoolID: four, Options: [] },
      'field "Options" must be an object of strings, got an array',
    ),
    address('an option is a number', { PoolID: four, Options: { a: 1 } }, 'field "Options.a" must be a string, got 1'),
    {
      title: 'V6 is a string',
      call: 'RequestPool',
      body: { AddressSpace: 'local', V6: 'true' },
      err: 'RequestPool: field "V6" must be true or false, got "true"',
    },
    {
      title: 'a body of more than 1 MiB',
      call: 'RequestPool',
      body: JSON.stringify({ AddressSpace: 'local', Pool: 'x'.repeat(1024 * 1024) }),
      err: 'RequestPool: the body has more than 1048576 bytes, the limit',
    },
    {
      title: '__proto__ brings nothing in',
      call: 'RequestAddress',
      body: `{"__proto__":{"PoolID":"${four}"},"Address":""}`,
      err: 'pool id "" was not made by this driver; re-create the network',
    },
  ];
}

function pools(): Row[] {
  const pool = (title: string, asked: object, err: string): Row => ({
    ...{ title, call: 'RequestPool', err },
    body: { AddressSpace: 'local', Pool: '', SubPool: '', Options: {}, V6: false, ...asked },
  });
  const subnet = (Pool: string, err: string) => pool(`--subnet ${Pool}`, { Pool }, err);
  const range = (Pool: string, SubPool: string, err: string) =>
    pool(`--subnet "${Pool}" --ip-range ${SubPool}`, { Pool, SubPool }, err);
  const space = (name: string) =>
    pool(
      `--ipam-opt space=${name}`,
      { Pool: '10.90.0.0/24', Options: { space: name } },
      `--ipam-opt space=${name} is not a name of 1 to 32 characters of a-z, 0-9 and -, other than local and global`,
    );
  const useless = (block: string, why: string) =>
    subnet(block, `pool ${block} holds addresses that no host can have: ${why}`);
  return [
    pool(
      'no address space',
      { AddressSpace: '' },
      'address space "" is not known: this driver serves local and global',
    ),
    pool(
      'an address space of another driver',
      { AddressSpace: 'LocalDefault' },
      'address space "LocalDefault" is not known: this driver serves local and global',
    ),
    pool(
      'a leader’s pool with host addresses that no host can have',
      { AddressSpace: 'global', Pool: '224.0.0.0/24' },
      'pool 224.0.0.0/24 holds addresses that no host can have: multicast (RFC 5771)',
    ),
    pool(
      'a leader’s space without a name',
      { AddressSpace: 'global', Pool: '10.90.0.0/24', Options: { space: '' } },
      '--ipam-opt space= is not a name of 1 to 32 characters of a-z, 0-9 and -, other than local and global',
    ),
    subnet('banana', 'pool "banana" is not a CIDR block such as 10.66.0.0/24 or fd00:66::/64'),
    subnet('10.90.0.0', 'pool "10.90.0.0" is not a CIDR block such as 10.66.0.0/24 or fd00:66::/64'),
    subnet('10.90.0.0/33', 'pool "10.90.0.0/33" has a prefix length above 32'),
    subnet('10.90.0.0/024', 'pool "10.90.0.0/024" is not a CIDR block such as 10.66.0.0/24 or fd00:66::/64'),
    subnet('fd00:90::/129', 'pool "fd00:90::/129" has a prefix length above 128'),
    subnet('010.90.0.0/24', 'pool "010.90.0.0" is not an IP address'),
    subnet('10.90.0.0/24 ', 'pool "10.90.0.0/24 " is not a CIDR block such as 10.66.0.0/24 or fd00:66::/64'),
    subnet('fe80::%eth0/64', 'pool "fe80::%eth0" has a zone; an address of a pool has none'),
    subnet('::ffff:10.90.0.0/120', 'pool "::ffff:10.90.0.0" is an IPv4-mapped IPv6 address; write 10.90.0.0'),
    useless('224.0.0.0/24', 'multicast (RFC 5771)'),
    useless('127.0.0.0/8', 'loopback (RFC 1122)'),
    useless('ff02::/16', 'multicast (RFC 4291)'),
    useless('::1/128', 'loopback (RFC 4291)'),
    useless('::fffe:0:0/95', 'IPv4-mapped (RFC 4291)'),
    useless('255.255.255.0/24', 'limited broadcast (RFC 919)'),
    range('10.90.0.0/24', '10.91.0.0/25', 'range 10.91.0.0/25 is not inside pool 10.90.0.0/24'),
    range('10.90.0.0/24', '10.90.0.0/16', 'range 10.90.0.0/16 is not inside pool 10.90.0.0/24'),
    range('10.90.0.0/24', 'fd00:90::/64', 'range fd00:90::/64 is not inside pool 10.90.0.0/24'),
    range('10.90.0.0/24', 'x', 'range "x" is not a CIDR block such as 10.66.0.0/24 or fd00:66::/64'),
    range('10.90.0.0/24', '10.90.0.255/32', 'range 10.90.0.255/32 of pool 10.90.0.0/24 has no usable address'),
    range('', '10.90.0.128/25', 'range 10.90.0.128/25 needs a pool: pass --subnet with --ip-range'),
    range('0.0.0.0/24', '10.90.0.128/25', 'range 10.90.0.128/25 needs a pool that is known beforehand, not 0.0.0.0/24'),
    subnet('0.0.0.0/0', 'pool 0.0.0.0/0 asks for any network of /0; the size must be between /1 and /30'),
    subnet('0.0.0.0/32', 'pool 0.0.0.0/32 asks for any network of /32; the size must be between /1 and /30'),
    subnet('::/127', 'pool ::/127 asks for any network of /127; the size must be between /1 and /126'),
    subnet('0.0.0.0/8', 'no predefined IPv4 pool left (0 /8 in 10.9.0.0/27); pass --subnet or widen IPAM_POOLS'),
    pool(
      'an IPv6 network where none is predefined',
      { V6: true },
      'no predefined IPv6 pool: IPAM_POOLS names none; pass --subnet',
    ),
    subnet('10.66.0.0/16', 'pool 10.66.0.0/16 overlaps with 10.66.0.0/24 in address space local'),
    subnet('10.66.0.64/26', 'pool 10.66.0.64/26 overlaps with 10.66.0.0/24 in address space local'),
    pool(
      '--ipam-opt aux= outside the subnet',
      { Pool: '10.90.0.0/24', Options: { aux: '10.90.0.2,10.91.0.2' } },
      '10.91.0.2 is outside pool 10.90.0.0/24',
    ),
    pool(
      '--ipam-opt aux= of the other family',
      { Pool: '10.90.0.0/24', Options: { aux: 'fd00::2' } },
      'IPv6 address fd00::2 is outside pool 10.90.0.0/24',
    ),
    pool(
      '--ipam-opt aux= of no address',
      { Pool: '10.90.0.0/24', Options: { aux: '10.90.0.2;10.90.0.3' } },
      '--ipam-opt aux "10.90.0.2;10.90.0.3" is not an IP address',
    ),
    space(''),
    space('Blue'),
    space('a/b'),
    space('-a'),
    space('a..b'),
    space('global'),
    space('x'.repeat(33)),
  ];
}

function addresses({ four, six, gone }: Known): Row[] {
  const ask = (title: string, PoolID: string, Address: string, err: string, Options: object | null = null): Row => ({
    ...{ title, call: 'RequestAddress', body: { PoolID, Address, Options }, err },
  });
  const address = (text: string, err: string, pool = four) => ask(`--ip ${text}`, pool, text, err);
  const poolId = (title: string, id: string, shown = id) =>
    ask(title, id, '', `pool id ${JSON.stringify(shown)} was not made by this driver; re-create the network`);
  const lost = (id: string, join: string, pool: string) =>
    ask(
      `PoolID ${id.replace(/[0-9a-f]{16}$/, '…')} of a join that is not there`,
      id,
      '',
      `the network's membership ${join} in pool ${pool} of address space local is not in etcd any more; re-create the network`,
    );
  return [
    poolId('PoolID is empty', ''),
    poolId('PoolID of another driver', 'LocalDefault/10.66.0.0/24'),
    poolId('PoolID without a join', 'local/10.66.0.0/24'),
    poolId('PoolID with host bits', four.replace('10.66.0.0/24', '10.66.0.1/24')),
    poolId('PoolID with a range outside', four.replace('10.66.0.128/25', '10.67.0.0/25')),
    poolId('PoolID with more behind it', `${four}0`),
    poolId('PoolID with a newline', `${four}\n`),
    poolId('PoolID that would be a path', four.replace('local', '../nodes')),
    poolId('PoolID of a thousand letters', 'x'.repeat(1000), 'x'.repeat(120)),
    lost(gone, gone.slice(-16), '10.67.0.0/24'),
    lost(four.replace(/[0-9a-f]{16}$/, '0'.repeat(16)), '0'.repeat(16), '10.66.0.0/24'),
    lost(`local/10.68.0.0/24?join=${four.slice(-16)}`, four.slice(-16), '10.68.0.0/24'),
    address('10.66.1.2', '10.66.1.2 is outside pool 10.66.0.0/24'),
    address('fd00:66::2', 'IPv6 address fd00:66::2 is outside pool 10.66.0.0/24'),
    address('10.66.0.2', 'IPv4 address 10.66.0.2 is outside pool fd00:66::/64', six),
    address('10.66.0.0', '10.66.0.0 is the network address of pool 10.66.0.0/24'),
    address('10.66.0.255', '10.66.0.255 is the broadcast address of pool 10.66.0.0/24'),
    address('fd00:66::', 'fd00:66:: is the subnet-router anycast address of pool fd00:66::/64', six),
    address('10.66.0', 'address "10.66.0" is not an IP address'),
    address('10.66.0.02', 'address "10.66.0.02" is not an IP address'),
    address('10.66.0.2/24', 'address "10.66.0.2/24" is not an IP address'),
    address('0xa420002', 'address "0xa420002" is not an IP address'),
    address('::ffff:10.66.0.2', 'address "::ffff:10.66.0.2" is an IPv4-mapped IPv6 address; write 10.66.0.2'),
    address('fd00:66::2%eth0', 'address "fd00:66::2%eth0" has a zone; an address of a pool has none', six),
    ask(
      'a gateway that is the network address',
      four,
      '10.66.0.0',
      '10.66.0.0 is the network address of pool 10.66.0.0/24',
      {
        RequestAddressType: 'com.docker.network.gateway',
      },
    ),
    ask('a MAC address that is none', four, '', '"02:42:zz" is not a MAC address such as 02:42:0a:42:00:02', {
      'com.docker.network.endpoint.macaddress': '02:42:zz',
    }),
    ask('an endpoint name of 256 letters', four, '', 'the endpoint name has 256 characters; at most 255 are allowed', {
      'com.docker.network.endpoint.name': 'x'.repeat(256),
    }),
    ask(
      'an endpoint name with a terminal escape',
      four,
      '',
      'the endpoint name "web\ufffd[2J" has a control character or a line break',
      { 'com.docker.network.endpoint.name': 'web\u001b[2J' },
    ),
  ];
}

/** An engine repeats none of these and cannot do anything about a refusal: they are answered, and change nothing. */
function releases({ four, gone }: Known): Row[] {
  const release = (title: string, PoolID: string, Address: string): Row => ({
    ...{ title: `ReleaseAddress ${title}`, call: 'ReleaseAddress', body: { PoolID, Address }, err: undefined },
  });
  const drop = (title: string, PoolID: string): Row => ({
    ...{ title: `ReleasePool ${title}`, call: 'ReleasePool', body: { PoolID }, err: undefined },
  });
  return [
    release('without a PoolID, as a swarm leader sends it', '', '10.66.0.2'),
    release('of a join that is gone', gone, '10.67.0.2'),
    release('of an address that nobody holds', four, '10.66.0.9'),
    release('of an address outside the pool', four, '10.99.0.9'),
    release('of no address', four, ''),
    release('of the network address', four, '10.66.0.0'),
    release('of an address held through another join', four.replace(/[0-9a-f]{16}$/, '0'.repeat(16)), '10.66.0.129'),
    drop('without a PoolID', ''),
    drop('of a join that is gone', gone),
    drop('of a join that never was', four.replace(/[0-9a-f]{16}$/, '0'.repeat(16))),
    drop('of another driver', 'LocalDefault/10.66.0.0/24'),
  ];
}

function paths(): Row[] {
  return [
    {
      ...{ title: 'an unknown call', call: '/IpamDriver.Reserve', body: {}, status: 404 },
      err: 'POST /IpamDriver.Reserve is not a call of an IPAM driver',
    },
    {
      ...{ title: 'a call of a network driver', call: '/NetworkDriver.CreateNetwork', body: {}, status: 404 },
      err: 'POST /NetworkDriver.CreateNetwork is not a call of an IPAM driver',
    },
    {
      ...{ title: 'a call in other letters', call: '/ipamdriver.requestpool', body: {}, status: 404 },
      err: 'POST /ipamdriver.requestpool is not a call of an IPAM driver',
    },
    {
      ...{ title: 'GET', call: 'RequestPool', method: 'GET', body: undefined, status: 405 },
      err: 'GET /IpamDriver.RequestPool is answered for POST only',
    },
    {
      ...{ title: 'DELETE', call: 'ReleasePool', method: 'DELETE', body: undefined, status: 405 },
      err: 'DELETE /IpamDriver.ReleasePool is answered for POST only',
    },
  ];
}
