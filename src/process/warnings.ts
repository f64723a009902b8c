// Warnings of Node's that whoever runs the program can do nothing about. Refuses to know which they are.

/** From now on the warning of that code is not printed; all others are. */
export function silence(code: string): void {
  const emit = process.emitWarning as (...args: unknown[]) => void;
  process.emitWarning = (...args: unknown[]) => {
    if (!args.includes(code)) emit.apply(process, args);
  };
}
