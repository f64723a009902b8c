// The engine's networks of our driver, and of those that may be it by another name, from what its API shows to what
// reconciliation compares. Decides nothing.
import { z } from 'zod';
import type { Engine, EngineEndpoint, EngineNetwork, EngineView, ForeignNetwork } from '../ipam/engine-view.js';
import { type Address, parseAddress } from '../net/address.js';
import { formatPrefix, type Prefix, parsePrefix } from '../net/prefix.js';
import { EngineApi } from './api.js';

/** An engine hangs while it starts; one that is a swarm's manager asks it for 20 s before it answers without. */
const TIMEOUT_MS = 30_000;

/** The engine's own IPAM drivers (moby's ipamapi and windowsipam). Empty: left out, as a manager does. */
const BUILT_IN: ReadonlySet<string> = new Set(['', 'default', 'null', 'windows']);

/** Go writes an empty map or list as null. */
const versionSchema = z.looseObject({ Version: z.string() });
const listSchema = z.array(
  z.looseObject({ Id: z.string(), Scope: z.string(), IPAM: z.looseObject({ Driver: z.string() }) }),
);
const networkSchema = z.looseObject({
  Name: z.string(),
  Scope: z.string(),
  ConfigOnly: z.boolean().optional(),
  ConfigFrom: z.looseObject({ Network: z.string() }).optional(),
  IPAM: z.looseObject({
    Driver: z.string(),
    Options: z.record(z.string(), z.string()).nullish(),
    Config: z
      .array(
        z.looseObject({
          Subnet: z.string().optional(),
          AuxiliaryAddresses: z.record(z.string(), z.string()).nullish(),
        }),
      )
      .nullish(),
  }),
  Containers: z
    .record(
      z.string(),
      z.looseObject({ Name: z.string(), MacAddress: z.string(), IPv4Address: z.string(), IPv6Address: z.string() }),
    )
    .nullish(),
});

export class DockerEngine implements Engine {
  readonly #api: EngineApi;
  readonly #drivers: readonly string[];

  /** `drivers`: what networks call us, without the tag that a managed plugin has behind it. */
  constructor(socketPath: string, drivers: readonly string[], timeoutMs = TIMEOUT_MS) {
    this.#api = new EngineApi(socketPath, timeoutMs);
    this.#drivers = drivers;
  }

  async look(): Promise<EngineView> {
    const { Version: version } = versionSchema.parse(await this.#api.get('/version'));
    const listed = listSchema.parse(await this.#api.get('/networks'));
    const networks: EngineNetwork[] = [];
    const foreign: ForeignNetwork[] = [];
    for (const { Id, Scope, IPAM } of listed) {
      // A manager lists the swarm's networks as the swarm knows them, where `--config-from` leaves the driver out.
      if (Scope !== 'swarm' && BUILT_IN.has(IPAM.Driver)) continue;
      // Fails for a network that has just been removed, and the whole view with it: the next one is soon.
      const shown = networkSchema.parse(await this.#api.get(`/networks/${encodeURIComponent(Id)}`));
      // A `--config-only` network asks nobody for a pool.
      const { Driver: driver } = shown.IPAM;
      if (shown.ConfigOnly || BUILT_IN.has(driver)) continue;
      const network = networkOf(shown);
      if (this.#isOurs(driver)) networks.push(network);
      else foreign.push({ name: network.name, driver, subnets: network.subnets });
    }
    // Each node has the swarm's ingress network at least.
    return { version, swarm: listed.some(({ Scope }) => Scope === 'swarm'), networks, foreign };
  }

  /** `etcd-ipam:latest` is `etcd-ipam`; `host:5000/etcd-ipam` has no tag. */
  #isOurs(driver: string): boolean {
    return this.#drivers.includes(driver.replace(/:[^/:]*$/, ''));
  }
}

function networkOf(shown: z.output<typeof networkSchema>): EngineNetwork {
  const { Name, Scope, ConfigFrom, IPAM, Containers } = shown;
  const config = IPAM.Config ?? [];
  const endpoints = Object.values(Containers ?? {}).map(endpointOf);
  const space = IPAM.Options?.space;
  return {
    name: Name,
    space: space === undefined ? 'local' : `local.${space}`,
    managed: Scope === 'swarm' && !ConfigFrom?.Network,
    subnets: distinct([
      ...config.flatMap(({ Subnet }) => subnetOf(Subnet)),
      ...endpoints.flatMap((one) => one.subnets),
    ]),
    auxiliary: config.flatMap(({ AuxiliaryAddresses }) => Object.values(AuxiliaryAddresses ?? {}).map(parseAddress)),
    endpoints: endpoints.map(({ endpoint }) => endpoint),
  };
}

function distinct(subnets: readonly Prefix[]): Prefix[] {
  return [...new Map(subnets.map((subnet) => [formatPrefix(subnet), subnet])).values()];
}

/** Of a network made with `--subnet 0.0.0.0/26` an engine shows just that: its endpoints then say which one it is. */
function subnetOf(text: string | undefined): Prefix[] {
  const subnet = text ? parsePrefix(text) : undefined;
  return subnet && subnet.first !== 0n ? [subnet] : [];
}

function endpointOf(container: NonNullable<z.output<typeof networkSchema>['Containers']>[string]): {
  endpoint: EngineEndpoint;
  subnets: Prefix[];
} {
  const texts = [container.IPv4Address, container.IPv6Address].filter((text) => text !== '');
  const addresses = texts.map((text): Address => parseAddress(text.replace(/\/.*/, '')));
  const mac = container.MacAddress.toLowerCase();
  return {
    endpoint: { name: container.Name, ...(mac && { mac }), addresses },
    subnets: texts.filter((text) => text.includes('/')).map(parsePrefix),
  };
}
