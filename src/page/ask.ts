// Asks the JSON API. Knows no answer.

/** An answer that says what is wrong. */
export class Failed extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export function pathOf({ space, pool }: { readonly space: string; readonly pool: string }): string {
  return `/pools/${encodeURIComponent(space)}/${pool}`;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(`/api/v1${path}`, signal ? { signal } : {});
  if (response.ok) return (await response.json()) as T;
  const text = await response.text();
  let problem = text;
  try {
    problem = (JSON.parse(text) as { problem: string }).problem;
  } catch {
    // Not from the API.
  }
  throw new Failed(response.status, problem);
}
