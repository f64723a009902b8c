// The port to the engine's own word on what runs: its networks of this driver and the endpoints on them. engine/ asks a
// real one. Refuses to know how, and that the engine is Docker's.
import type { Address } from '../net/address.js';
import type { Prefix } from '../net/prefix.js';

export interface EngineView {
  /** As the engine writes it: "29.0.1", "20.10.24+dfsg1". */
  readonly version: string;
  /** It is a node of a swarm, and may have networks that the swarm's agent made. */
  readonly swarm: boolean;
  /** Those of this driver. */
  readonly networks: readonly EngineNetwork[];
  /** Those of drivers that are neither this one nor the engine's own: it may be this one by another name. */
  readonly foreign: readonly ForeignNetwork[];
}

export interface ForeignNetwork {
  readonly name: string;
  /** As networks call it: "etcd-ipam:latest". */
  readonly driver: string;
  readonly subnets: readonly Prefix[];
}

export interface EngineNetwork {
  readonly name: string;
  /** The address space that its RequestPool named: `local`, or `local.blue`. */
  readonly space: string;
  /** The swarm's leader has given its addresses before this node was asked for them. */
  readonly managed: boolean;
  readonly subnets: readonly Prefix[];
  readonly auxiliary: readonly Address[];
  readonly endpoints: readonly EngineEndpoint[];
}

/** What holds addresses now: a container that runs, or a network's load balancer. */
export interface EngineEndpoint {
  readonly name: string;
  readonly mac?: string;
  readonly addresses: readonly Address[];
}

export interface Engine {
  /** Rejects when there is no answer in time, or none that can be understood as a whole: half a view frees what lives. */
  look(): Promise<EngineView>;
}
