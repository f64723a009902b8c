// Who may have got which of several things, when each got one and two never the same. Pure; refuses to know what they are.

/**
 * For each of `wanters` that can have one while as many others as possible have theirs: all that it may have had then, first the
 * one of a choice in which nobody's clashes. Who gets none is left out; earlier ones come first.
 */
export function pairings<W, T>(wanters: readonly W[], ableOf: (wanter: W) => readonly T[]): Map<W, readonly T[]> {
  const able = new Map(wanters.map((wanter) => [wanter, ableOf(wanter)]));
  const [owners, had] = [new Map<T, W>(), new Map<W, T>()];
  /** Whether `wanter` can have one that is not `tried`, were others to change theirs; by `path`, if they are to do so. */
  const finds = (wanter: W, tried: Set<T>, path?: (wanter: W, thing: T) => void): boolean => {
    for (const thing of able.get(wanter)!) {
      if (tried.has(thing)) continue;
      tried.add(thing);
      const owner = owners.get(thing);
      if (owner !== undefined && !finds(owner, tried, path)) continue;
      path?.(wanter, thing);
      return true;
    }
    return false;
  };
  const give = (wanter: W, thing: T) => {
    owners.set(thing, wanter);
    had.set(wanter, thing);
  };
  for (const wanter of wanters) finds(wanter, new Set(), give);
  /** Its owner finds another one, be it what `wanter` has now. */
  const couldHave = (wanter: W, thing: T, own: T) => {
    const owner = owners.get(thing);
    if (owner === undefined) return true;
    owners.delete(own);
    const could = finds(owner, new Set([thing]));
    owners.set(own, wanter);
    return could;
  };
  return new Map(
    [...had].map(([wanter, own]) => [
      wanter,
      [own, ...able.get(wanter)!.filter((thing) => thing !== own && couldHave(wanter, thing, own))],
    ]),
  );
}
