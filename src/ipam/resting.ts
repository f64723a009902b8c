// What a container gives back rests for a while before another one gets it unasked. It is nobody's: whoever asks for it by
// number has it at once, and whoever asks for any, when nothing else is free. Refuses to know how a store lets it go.
import type { ClaimRecord } from './records.js';
import type { Found, Key, Write } from './store.js';
import type { Self, Surroundings } from './surroundings.js';

type Rest = Pick<Self, 'restMs'>;

/** The container's claim ends. */
export function freeing(put: Key<ClaimRecord>, { restMs = 0 }: Rest, around: Surroundings): Write {
  if (restMs === 0) return { remove: put };
  const record: ClaimRecord = { kind: 'cooling', since: around.now().toISOString(), token: around.token() };
  return { put, record, rests: restMs };
}

/** What a grant had replaced is put back; to rest anew, for the lease that it rested on may have ended. */
export function restoring(put: Key<ClaimRecord>, record: ClaimRecord, { restMs = 0 }: Rest): Write {
  if (record.kind !== 'cooling') return { put, record };
  return restMs === 0 ? { remove: put } : { put, record, rests: restMs };
}

export function isResting({ record }: Found<ClaimRecord>): boolean {
  return record.kind === 'cooling';
}
