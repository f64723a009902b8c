// The words a newcomer reads when the driver is up, with commands that work as they are printed. Runs none of them.
import { DEFAULT_SOCKET } from '../config.js';

/** An engine takes a driver's name from its socket's file name; the discovery file of a TCP driver is named so too. */
const TCP_NAME = 'etcd-ipam';

export interface Ready {
  readonly node: string;
  readonly addresses: readonly string[];
  /** Where the page is, host:port; undefined: nowhere. */
  readonly ops?: string | undefined;
  readonly socket: string | undefined;
  readonly endpoints: readonly string[];
  readonly prefix: string;
  /** etcdctl with what it needs to reach etcd; undefined where it is not installed. */
  readonly etcdctl: string | undefined;
  /** Undefined: not ours. */
  readonly etcdFolder?: string | undefined;
  /** Why no call is granted yet; undefined when they are. */
  readonly waitsFor?: string | undefined;
}

/** Each command stands on a line of its own that begins with two spaces and `$`. */
export function nextSteps(ready: Ready): string {
  const driver = driverName(ready.socket);
  const state = ready.waitsFor === undefined ? 'ready' : `not ready yet, and trying on (${ready.waitsFor})`;
  return [
    '',
    `etcd-ipam is ${state}: node ${ready.node}, listening on ${ready.addresses.join(' and ')}`,
    `etcd: ${ready.endpoints.join(', ')}${ready.etcdFolder ? `, data and log in ${ready.etcdFolder}` : ''}`,
    ...(ready.ops ? [`in a browser: http://${ready.ops}/`] : []),
    '',
    ...(driver ? engineSteps(ready, driver) : notFound(ready.socket!)),
    '',
    ...(ready.socket ? [...curlSteps(ready.socket, driver ? [] : claimLines(ready)), ''] : []),
    'More hosts: give each of them ETCD_ENDPOINTS with the address of an etcd that all can reach.',
    'Ctrl-C stops. Addresses stay in etcd and are there again at the next start.',
    '',
  ].join('\n');
}

/** Undefined: no engine looks there. */
function driverName(socket: string | undefined): string | undefined {
  if (socket === undefined) return TCP_NAME;
  return /^\/run\/docker\/plugins\/([^/]+)\.sock$/.exec(socket)?.[1];
}

function engineSteps(ready: Ready, driver: string): string[] {
  return [
    'In another terminal, make a network, and let containers ask for addresses:',
    '',
    '  $ IMAGE=busybox',
    `  $ docker network create --ipam-driver ${driver} --subnet 10.66.0.0/24 demo`,
    '  $ docker run --rm --network demo $IMAGE ip addr',
    '  $ docker run --detach --name demo-1 --network demo $IMAGE sleep 3600',
    '',
    "(No registry within reach? With Debian's busybox-static, an image that serves for this:",
    `tar -cC / bin/busybox | docker import --change 'ENTRYPOINT ["/bin/busybox"]' - busybox)`,
    '',
    ...claimSteps(ready),
    '',
    'Clean up:',
    '',
    '  $ docker rm --force demo-1',
    '  $ docker network rm demo',
  ];
}

function claimSteps(ready: Ready): string[] {
  const installed = ready.etcdctl ? '' : ', with etcdctl, which is not installed here';
  return [`See in etcd who holds which address${installed}:`, '', ...claimLines(ready)];
}

/** Not one to run where etcdctl is not installed. */
function claimLines({ etcdctl, endpoints, prefix }: Ready): string[] {
  const ask = `get --prefix ${prefix}claims/`;
  return [etcdctl ? `  $ ${etcdctl} ${ask}` : `    etcdctl --endpoints ${endpoints.join(',')} ${ask}`];
}

function notFound(socket: string): string[] {
  return [
    `An engine will not find the driver at ${socket}: it looks in`,
    `${DEFAULT_SOCKET}. For that, run npm start as root and without IPAM_SOCKET.`,
  ];
}

/** The pool and its addresses are given back at the end, so the commands can be repeated. */
function curlSteps(socket: string, claims: readonly string[]): string[] {
  const call = (name: string, body: string) =>
    `curl -sS -w '\\n' --unix-socket ${socket} -d '${body}' http://plugin/IpamDriver.${name}`;
  const pool = '{"AddressSpace":"local","Pool":"10.67.0.0/24","SubPool":"","Options":{},"V6":false}';
  const ofPool = `"PoolID":"'"$POOL"'"`;
  return [
    'Without an engine, ask as one would:',
    '',
    `  $ ANSWER=$(${call('RequestPool', pool)}); echo "$ANSWER"`,
    `  $ POOL=$(echo "$ANSWER" | cut -d'"' -f4)`,
    `  $ ${call('RequestAddress', `{${ofPool},"Address":"","Options":{}}`)}`,
    ...claims,
    `  $ ${call('ReleasePool', `{${ofPool}}`)}`,
  ];
}
