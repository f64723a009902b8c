// Text that others have written, where it becomes part of a line: a container's name, a node's, a key. Knows no record.

/** C0, DEL and C1, and what else breaks a line. */
const CONTROL = /[\p{Cc}\u2028\u2029]/gu;

/** The same text on one line, with nothing in it that a terminal obeys: U+FFFD stands for each control character. */
export function plain(text: string): string {
  return text.replace(CONTROL, '\ufffd');
}

/** All that a command is about to print for people, however deep its texts are. */
export function plainly<T>(value: T): T {
  return plainlyOf(value) as T;
}

function plainlyOf(value: unknown): unknown {
  if (typeof value === 'string') return plain(value);
  if (Array.isArray(value)) return value.map(plainlyOf);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([field, of]) => [field, plainlyOf(of)]));
}
