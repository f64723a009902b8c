// A point in time as an operator types it. Knows no clock but the zone of the machine.

const PATTERN = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(?: ?(Z|[+-]\d\d):?(\d\d)?)?)?$/;

/** "2026-11-29 14:03", "2026-11-29T14:03:07Z", "2026-11-29 14:03 +01:00", "2026-11-29": without a zone, of this machine's. */
export function parseInstant(text: string): Date {
  const [, day, time = '00:00', zone = '', minutes] = PATTERN.exec(text.trim()) ?? [];
  const offset = zone === '' || zone === 'Z' ? zone : `${zone}:${minutes ?? '00'}`;
  const at = new Date(`${day}T${time}${offset}`);
  const real = day !== undefined && !Number.isNaN(at.getTime()) && !Number.isNaN(Date.parse(`${day}T00:00Z`));
  if (!real || new Date(`${day}T00:00Z`).toISOString().slice(0, 10) !== day || (zone === 'Z' && minutes !== undefined))
    throw new Error("it has to be a time such as '2026-11-29 14:03' or 2026-11-29T14:03:00+01:00");
  return at;
}
