// Names in the environment that look like settings and are none, and of a network's options. Knows nothing of values.

/**
 * One sentence for each. Only warnings: an environment is shared, and Kubernetes, Compose or a later release may put
 * IPAM_ names there that are not for us. ETCD_ names are etcd's own as well (ETCD_DATA_DIR), so of these only near misses count.
 */
export function unknownNames(given: Iterable<string>, known: readonly string[]): string[] {
  const warnings: string[] = [];
  for (const name of given) {
    if (known.includes(name) || !/^(IPAM|ETCD)_/.test(name)) continue;
    const nearest = nearestOf(name, known);
    if (nearest !== undefined) warnings.push(`${name} is not a setting: did you mean ${nearest}?`);
    else if (name.startsWith('IPAM_')) warnings.push(`${name} is not a setting and is ignored`);
  }
  return warnings;
}

/**
 * One sentence for each of a network's options (`--ipam-opt`) that is nearly one of `known`. Only these: others are other
 * programs', and engines add some of their own.
 */
export function misspeltOptions(given: Iterable<string>, known: readonly string[]): string[] {
  const warnings: string[] = [];
  for (const name of given) {
    const meant = known.includes(name) ? undefined : nearestOption(name.toLowerCase(), known);
    if (meant !== undefined)
      warnings.push(`--ipam-opt ${name} is not an option and is ignored: did you mean ${meant}?`);
  }
  return warnings;
}

/** `spce`, `Space`, `aux-address`. */
function nearestOption(name: string, known: readonly string[]): string | undefined {
  const begun = known.find((one) => name.startsWith(one));
  return begun ?? known.find((one) => nearestOf(name, [one], Math.floor(one.length / 2)));
}

const NEAR = 3;

function nearestOf(name: string, known: readonly string[], within = NEAR): string | undefined {
  let best: string | undefined;
  let least = within + 1;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Levenshtein's. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
