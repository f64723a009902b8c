// What the page's own address says behind its `#`: the pool that is chosen. Pure.

/** Its name, such as local/10.66.0.0/24; of any other fragment, such as that of the link to the map, nothing. */
export function poolIn(hash: string): string | undefined {
  try {
    const text = decodeURIComponent(hash.slice(1));
    return /^[^/]+\/[\da-f.:]+\/\d+$/.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}
