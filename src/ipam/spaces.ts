// The names of address spaces and which of them belong together. Knows names only, no pool.

/**
 * `local` is the engines' space, `global` the swarm leader's. Either may have a name (`--ipam-opt space=blue`), and a
 * global one the swarm it is of (IPAM_SWARM): `local.blue`, `global@prod`, `global.blue@prod`.
 *
 * All spaces of one name are a *family*: each overlay subnet is in use in two of them, so automatic pools are distinct
 * over the whole family, and one guard orders the changes of its set of pools.
 */
const LOCAL = 'local';
const GLOBAL = 'global';

/** `name`: of the family, empty for the default one. */
export function localSpace(name: string): string {
  return name === '' ? LOCAL : `${LOCAL}.${name}`;
}

export function globalSpace(name: string, swarm: string): string {
  return `${GLOBAL}${name === '' ? '' : `.${name}`}${swarm === '' ? '' : `@${swarm}`}`;
}

export function isGlobal(space: string): boolean {
  return space.startsWith(GLOBAL);
}

/** The name of the family that the space belongs to. */
export function familyOf(space: string): string {
  const [named] = space.split('@') as [string];
  const dot = named.indexOf('.');
  return dot < 0 ? '' : named.slice(dot + 1);
}

const NAMED = '(?:\\.[a-z0-9-]{1,32})?';
const SPACE = new RegExp(`^(?:${LOCAL}${NAMED}|${GLOBAL}${NAMED}(?:@[A-Za-z0-9_-]{1,63})?)$`);

export function isSpace(text: string): boolean {
  return SPACE.test(text);
}
