// The contract of a Docker IPAM driver in TypeScript: what docker/go-plugins-helpers `ipam` is for Go.
// Knows the words of Docker's plugin API and nothing of how a driver decides.

/** GetCapabilities. Both are false where a driver keeps its own record of what it gave. */
export interface Capabilities {
  /** The engine sends a MAC with every endpoint address (it breaks ipvlan, which refuses any MAC). */
  readonly requiresMacAddress: boolean;
  /** The engine repeats RequestPool and RequestAddress at its every start. */
  readonly requiresRequestReplay: boolean;
}

/** GetDefaultAddressSpaces. The two must differ: it is the only way to tell a swarm leader's pool from an engine's. */
export interface AddressSpaces {
  readonly local: string;
  readonly global: string;
}

/** String options of a request; null where the engine sent `null`, which is not the same as none. */
export type Options = ReadonlyMap<string, string> | null;

export interface PoolRequest {
  readonly addressSpace: string;
  /** CIDR as the user wrote it (host bits possible), a size-only `0.0.0.0/24`, or empty: any pool. */
  readonly pool: string;
  /** `--ip-range`, or empty. */
  readonly subPool: string;
  readonly options: Options;
  /** Only meaningful when `pool` is empty: a swarm leader sends false for IPv6 too. */
  readonly v6: boolean;
}

export interface PoolReply {
  /** Opaque to the engine, which stores it for years. */
  readonly poolId: string;
  /** Masked CIDR. */
  readonly pool: string;
  readonly data?: Readonly<Record<string, string>>;
}

export interface AddressRequest {
  readonly poolId: string;
  /** A bare IP, or empty: any. */
  readonly address: string;
  readonly options: Options;
}

export interface AddressReply {
  /** CIDR with the pool's prefix length. */
  readonly address: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** What the server lends to a method for the time of one call. */
export interface Call {
  /** Monotonic milliseconds (`performance.now()`); an answer later than this is not sent, and is undone. */
  readonly deadline: number;
  /** Aborted when the caller has gone before the answer, or at the deadline. */
  readonly signal: AbortSignal;
  /** Registers what takes the granted thing back if the answer cannot be delivered. Last registered runs first. */
  onUndelivered(undo: () => Promise<void>): void;
}

/**
 * The six calls. A method that throws refuses: the engine's user reads the error's message. Releases should answer
 * even for things unknown, since an engine repeats them.
 */
export interface Ipam {
  getCapabilities(): Capabilities;
  getDefaultAddressSpaces(): AddressSpaces;
  requestPool(request: PoolRequest, call: Call): Promise<PoolReply>;
  releasePool(request: { readonly poolId: string }, call: Call): Promise<void>;
  requestAddress(request: AddressRequest, call: Call): Promise<AddressReply>;
  releaseAddress(request: { readonly poolId: string; readonly address: string }, call: Call): Promise<void>;
}
