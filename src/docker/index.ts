// What `etcd-ipam/docker` offers: write the six methods of an Ipam, serve it to an engine. Nothing in it knows etcd.
export type { CallEvent, CallName, Outcome } from './app.js';
export type { EngineTls } from './discovery.js';
export type {
  AddressReply,
  AddressRequest,
  AddressSpaces,
  Call,
  Capabilities,
  Ipam,
  Options,
  PoolReply,
  PoolRequest,
} from './ipam.js';
export {
  type Listening,
  type PluginServer,
  type ServeOptions,
  serve,
  type TcpOptions,
  type TlsOptions,
  type UnixOptions,
} from './server.js';
