// The names of etcd's records as the checker reads them, by the README's table alone.

/** `claims/local/v4/010.066.000.000-26/…` is of `local 10.66.0.0/26`. */
export function placeOf(key: string): string {
  const [, space, , subnet = ''] = key.split('/');
  const [network = '', length] = subnet.split('-');
  return `${space} ${plain(network)}/${length}`;
}

/** The address at a claim's end. */
export function cidrOf(key: string): string {
  return plain(key.slice(key.lastIndexOf('/') + 1));
}

export function parentOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/'));
}

/** `v4/010.066.000.000-26` and what is above it. */
export function subnetOf(key: string): string {
  return key.split('/').slice(1, 4).join('/');
}

/** For messages. */
export function tokenOf(record: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(record);
}

function plain(wide: string): string {
  return wide.split('.').map(Number).join('.');
}
