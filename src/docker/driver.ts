// Our driver as an Ipam: asks the allocator, words the replies, tells every decision. Knows no store and no socket.
import type { Allocator, Released } from '../ipam/allocator.js';
import { IpamError } from '../ipam/errors.js';
import type { Grant } from '../ipam/grant.js';
import { formatPoolId, parsePoolId } from '../ipam/pool-id.js';
import { formatAddress, shortened } from '../net/address.js';
import { formatPrefix } from '../net/prefix.js';
import { addressAsk, poolAsk, releaseAsk, SPACES } from './asks.js';
import type {
  AddressReply,
  AddressRequest,
  AddressSpaces,
  Call,
  Capabilities,
  Ipam,
  PoolReply,
  PoolRequest,
} from './ipam.js';
import { Naming } from './naming.js';

/** What one call came to, before it was delivered. */
export interface Told {
  readonly call: 'RequestPool' | 'ReleasePool' | 'RequestAddress' | 'ReleaseAddress';
  readonly outcome: 'granted' | 'refused' | 'failed' | 'undone' | Released;
  readonly ms: number;
  readonly space?: string | undefined;
  readonly pool?: string | undefined;
  readonly address?: string | undefined;
  readonly token?: string | undefined;
  readonly attempts?: number | undefined;
  readonly races?: number | undefined;
  /** Whether the engine named the address. */
  readonly scope?: 'static' | 'dynamic' | undefined;
  /** The node that had the address, and is gone. */
  readonly from?: string | undefined;
  readonly error?: unknown;
}

/** The part of a Told that says what is spoken of. */
type Subject = Pick<Told, 'call' | 'space' | 'pool' | 'address' | 'scope'>;

/**
 * The store's part of a call ends this long before the call would be late: a refusal then says what is wrong with the
 * store, and a release that it does not take is queued and answered all the same.
 */
const WORDED_BEFORE_MS = 250;

export class Driver implements Ipam {
  readonly #allocator: Allocator;
  readonly #requireMac: boolean;
  readonly #tell: (told: Told) => void;
  readonly #swarm: string;
  readonly #naming: Naming;
  #inHand = 0;

  /** `requireMac`: IPAM_REQUIRE_MAC. `swarm`: IPAM_SWARM. */
  constructor(allocator: Allocator, requireMac: boolean, tell: (told: Told) => void, swarm = '') {
    this.#allocator = allocator;
    this.#requireMac = requireMac;
    this.#naming = new Naming(requireMac);
    this.#tell = tell;
    this.#swarm = swarm;
  }

  /** Whether an engine waits for an answer that takes etcd. */
  get busy(): boolean {
    return this.#inHand > 0;
  }

  /** An engine asks when it starts, when it begins to lead a swarm, or when it finds the driver anew. */
  getCapabilities(): Capabilities {
    this.#naming.told();
    this.#allocator.beginTerm();
    return { requiresMacAddress: this.#requireMac, requiresRequestReplay: false };
  }

  /** Told where the engine's version says so: from 29 on it names every endpoint. */
  engineNamesEndpoints(): void {
    this.#naming.named();
  }

  getDefaultAddressSpaces(): AddressSpaces {
    return SPACES;
  }

  async requestPool(request: PoolRequest, call: Call): Promise<PoolReply> {
    const started = this.#began();
    try {
      const grant = await this.#allocator.requestPool(poolAsk(request, this.#swarm), storeDeadline(call));
      const { space, prefix } = grant.reply;
      const pool = formatPrefix(prefix);
      const reply = { poolId: formatPoolId(grant.reply), pool };
      this.#granted(grant, { call: 'RequestPool', space, pool }, started, call);
      return reply;
    } catch (error) {
      const asked = { space: shortened(request.addressSpace), pool: shortened(request.pool) };
      throw this.#refused({ call: 'RequestPool', ...asked }, started, error);
    } finally {
      this.#inHand--;
    }
  }

  async requestAddress(request: AddressRequest, call: Call): Promise<AddressReply> {
    const started = this.#began();
    const { space, pool } = poolOf(request.poolId);
    const scope = request.address === '' ? 'dynamic' : 'static';
    try {
      const ask = addressAsk(request, this.#naming.all);
      this.#naming.asked(ask);
      const grant = await this.#allocator.requestAddress(ask, storeDeadline(call));
      const address = formatAddress(grant.reply);
      const { length } = grant.within ?? ask.pool.prefix;
      this.#granted(grant, { call: 'RequestAddress', space, pool, address, scope }, started, call);
      return { address: `${address}/${length}` };
    } catch (error) {
      const address = shortened(request.address);
      throw this.#refused({ call: 'RequestAddress', space, pool, address, scope }, started, error);
    } finally {
      this.#inHand--;
    }
  }

  releasePool({ poolId }: { readonly poolId: string }, call: Call): Promise<void> {
    const pool = parsePoolId(poolId);
    return this.#releasing({ call: 'ReleasePool', ...poolOf(poolId) }, async () =>
      pool ? this.#allocator.releasePool(pool, storeDeadline(call)) : 'nothing to release',
    );
  }

  releaseAddress(request: { readonly poolId: string; readonly address: string }, call: Call): Promise<void> {
    const ask = releaseAsk(request);
    const subject = { ...poolOf(request.poolId), address: shortened(request.address) };
    return this.#releasing({ call: 'ReleaseAddress', ...subject }, async () =>
      ask ? this.#allocator.releaseAddress(ask.pool, ask.address, storeDeadline(call)) : 'nothing to release',
    );
  }

  #began(): number {
    this.#inHand++;
    return performance.now();
  }

  #granted(grant: Grant<unknown>, subject: Subject, started: number, lent: Call): void {
    const { call, space, pool, address, scope } = subject;
    const { token, attempts, races, from } = grant;
    lent.onUndelivered(async () => {
      this.#allocator.undo(grant, `${call} ${address ?? pool}`);
      this.#tell({ ...subject, token, from, outcome: 'undone', ms: performance.now() - started });
    });
    const ms = performance.now() - started;
    // In one piece, as are the others that each call makes: V8 spreads objects the slow way.
    this.#tell({ call, outcome: 'granted', ms, space, pool, address, token, attempts, races, scope, from });
  }

  async #releasing(subject: Subject, release: () => Promise<Released>): Promise<void> {
    const started = this.#began();
    try {
      const outcome = await release();
      this.#tell({ ...subject, outcome, ms: performance.now() - started });
    } catch (error) {
      // An engine only logs such an error, and repeats nothing: here it is told, there it would only alarm.
      this.#refused(subject, started, error);
    } finally {
      this.#inHand--;
    }
  }

  #refused(subject: Subject, started: number, error: unknown): unknown {
    const own = error instanceof IpamError && error.kind !== 'unavailable' && error.kind !== 'broken';
    this.#tell({ ...subject, outcome: own ? 'refused' : 'failed', ms: performance.now() - started, error });
    return error;
  }
}

/** When the store's part of the call has to end. */
function storeDeadline({ deadline }: Call): number {
  return deadline - WORDED_BEFORE_MS;
}

function poolOf(poolId: string): Pick<Told, 'space' | 'pool'> {
  const ref = parsePoolId(poolId);
  return ref ? { space: ref.space, pool: formatPrefix(ref.prefix) } : { pool: poolId.slice(0, 120) };
}
