/** Why this machine cannot have a private host; undefined if it can. */
export function noPrivateHost(): string | undefined;

/** How to run `command` in a private host: what to spawn (detached), how to signal it, and what to close afterwards. */
export function privateHost(command: readonly string[]): {
  readonly command: [string, string[]];
  readonly environment: Readonly<Record<string, string>>;
  readonly signal: (pid: number, signal: NodeJS.Signals) => void;
  readonly close: () => void;
};
