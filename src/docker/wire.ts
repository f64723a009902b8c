// Bytes of Docker's plugin API to typed requests, typed replies to wire names. Refuses to know sockets, time and what a
// driver does. Lenient where Go's decoder is (moby pkg/plugins, encoding/json), strict where a guess could grant.
import type {
  AddressReply,
  AddressRequest,
  AddressSpaces,
  Capabilities,
  Options,
  PoolReply,
  PoolRequest,
} from './ipam.js';

export const CONTENT_TYPE = 'application/vnd.docker.plugins.v1.2+json';

/** Bytes of a request body that are read; an engine sends some hundred. */
export const BODY_LIMIT = 1024 * 1024;

/** Longest piece of a refused value that an error message repeats. */
const SHOWN = 60;

/** The calls that change state, with what they carry. */
export interface Requests {
  RequestPool: PoolRequest;
  ReleasePool: { readonly poolId: string };
  RequestAddress: AddressRequest;
  ReleaseAddress: { readonly poolId: string; readonly address: string };
}
export type StateCall = keyof Requests;

/** A request that says nothing usable. Nothing was done. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';
}

const READERS: { readonly [C in StateCall]: (fields: Fields) => Requests[C] } = {
  RequestPool: (fields) => ({
    addressSpace: fields.text('AddressSpace'),
    pool: fields.text('Pool'),
    subPool: fields.text('SubPool'),
    options: fields.options('Options'),
    v6: fields.flag('V6'),
  }),
  ReleasePool: (fields) => ({ poolId: fields.text('PoolID') }),
  RequestAddress: (fields) => ({
    poolId: fields.text('PoolID'),
    address: fields.text('Address'),
    options: fields.options('Options'),
  }),
  ReleaseAddress: (fields) => ({ poolId: fields.text('PoolID'), address: fields.text('Address') }),
};

/**
 * Throws a BadRequest that names the field and its value. An empty body is one of them: the engine sends it when it
 * repeats a call whose answer it lost (moby#35459, #39331), and read as zero values it would mean "any address".
 */
export function parse<C extends StateCall>(call: C, body: string): Requests[C] {
  if (body.trim() === '') {
    throw new BadRequest(
      `${call} came with an empty body: the engine repeated a call whose first answer was lost; nothing was done`,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new BadRequest(`${call}: the body must be a JSON object, got ${shown(body)}`);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new BadRequest(`${call}: the body must be a JSON object, got ${shown(json)}`);
  }
  return READERS[call](new Fields(call, json));
}

/** As engines write them; any other case is as good. */
const LOWER = new Map(
  ['AddressSpace', 'Pool', 'SubPool', 'PoolID', 'Address', 'Options', 'V6'].map((name) => [name, name.toLowerCase()]),
);

function lowered(name: string): string {
  return LOWER.get(name) ?? name.toLowerCase();
}

/** The members of one request, looked up as Go does: any case, null and missing are the zero value, the last one wins. */
class Fields {
  readonly #call: string;
  readonly #values = new Map<string, unknown>();

  constructor(call: string, json: object) {
    this.#call = call;
    for (const name of Object.keys(json)) {
      const value: unknown = json[name as keyof typeof json];
      if (value !== null) this.#values.set(lowered(name), value);
    }
  }

  text(field: string): string {
    const value = this.#values.get(lowered(field)) ?? '';
    if (typeof value !== 'string') throw this.#refusal(field, 'a string', value);
    return value;
  }

  flag(field: string): boolean {
    const value = this.#values.get(lowered(field)) ?? false;
    if (typeof value !== 'boolean') throw this.#refusal(field, 'true or false', value);
    return value;
  }

  options(field: string): Options {
    const value = this.#values.get(lowered(field)) ?? null;
    if (value === null) return null;
    if (typeof value !== 'object' || Array.isArray(value)) throw this.#refusal(field, 'an object of strings', value);
    const options = new Map<string, string>();
    for (const [name, option] of Object.entries(value)) {
      if (typeof option !== 'string' && option !== null) {
        throw this.#refusal(`${field}.${shortened(name)}`, 'a string', option);
      }
      options.set(name, option ?? '');
    }
    return options;
  }

  #refusal(field: string, wanted: string, value: unknown): BadRequest {
    return new BadRequest(`${this.#call}: field "${field}" must be ${wanted}, got ${shown(value)}`);
  }
}

export function encodeCapabilities(capabilities: Capabilities): object {
  return {
    RequiresMACAddress: capabilities.requiresMacAddress,
    RequiresRequestReplay: capabilities.requiresRequestReplay,
  };
}

export function encodeSpaces(spaces: AddressSpaces): object {
  return { LocalDefaultAddressSpace: spaces.local, GlobalDefaultAddressSpace: spaces.global };
}

/** Throws on a reply that an engine cannot read: it would count the call as failed and never release the pool. */
export function encodePool(reply: PoolReply): object {
  if (typeof reply.poolId !== 'string' || reply.poolId === '') {
    throw new Error(`the driver answered RequestPool with pool id ${shown(reply.poolId)}`);
  }
  return {
    PoolID: reply.poolId,
    Pool: cidr('RequestPool', reply.pool),
    Data: strings('RequestPool', reply.data),
  };
}

/** Throws on a reply that an engine cannot read: a bare address is an error to it, and is never released. */
export function encodeAddress(reply: AddressReply): object {
  return { Address: cidr('RequestAddress', reply.address), Data: strings('RequestAddress', reply.data) };
}

function cidr(call: StateCall, value: unknown): string {
  if (typeof value !== 'string' || !/^[\da-f.:]+\/\d+$/i.test(value)) {
    throw new Error(`the driver answered ${call} with ${shown(value)} where an address with its prefix length belongs`);
  }
  return value;
}

/** One value that is no string makes Go refuse the whole reply. */
function strings(call: StateCall, values: Readonly<Record<string, string>> = {}): object {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== 'string') {
      throw new Error(`the driver answered ${call} with ${shown(value)} for ${shown(name)} where a string belongs`);
    }
  }
  return values;
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  return shortened(JSON.stringify(value) ?? String(value));
}

function shortened(text: string): string {
  return text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}…`;
}
