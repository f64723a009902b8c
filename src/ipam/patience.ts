// When a finding has been seen often and long enough to be acted on. Told the time; knows no store and no engine.
import type { Finding } from './reconcile.js';

interface Sighting {
  readonly firstMs: number;
  looks: number;
  spoken: boolean;
}

export class Patience {
  readonly #graceMs: number;
  #sightings = new Map<string, Sighting>();
  #lasting: readonly Finding[] = [];

  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  /** Those of the latest look that were due, then or before: what had not gone by itself. */
  get lasting(): readonly Finding[] {
    return this.#lasting;
  }

  /**
   * Those of this look's findings that are due. What an earlier look saw and this one does not is forgotten, and so is
   * what was seen of a claim that has been written since. `millis` is monotonic; `now` is the wall clock, which alone
   * proves nothing: a claim whose `since` is ahead of it, or is none, waits, and shows among what lasts.
   */
  due(findings: readonly Finding[], millis: number, now: Date): Finding[] {
    const before = this.#sightings;
    this.#sightings = new Map();
    this.#lasting = findings.filter((finding) => {
      const name = nameOf(finding);
      const sighting = before.get(name) ?? { firstMs: millis, looks: 0, spoken: false };
      sighting.looks++;
      this.#sightings.set(name, sighting);
      return this.#hasLasted(finding, sighting, millis);
    });
    return this.#lasting.filter(
      (finding) => this.#isOldEnough(finding, now) && (finding.kind !== 'doubtful' || this.#isNews(finding)),
    );
  }

  /** What people are told is told once. */
  #isNews(finding: Finding): boolean {
    const sighting = this.#sightings.get(nameOf(finding))!;
    const first = !sighting.spoken;
    sighting.spoken = true;
    return first;
  }

  /** By its own date. */
  #isOldEnough(finding: Finding, now: Date): boolean {
    const since = sinceOf(finding);
    return since === undefined || now.getTime() - Date.parse(since) >= this.#graceMs;
  }

  #hasLasted(finding: Finding, { looks, firstMs }: Sighting, millis: number): boolean {
    if (finding.kind === 'auxiliary' || finding.kind === 'container') return true;
    return looks > 1 && (sinceOf(finding) === undefined || millis - firstMs >= this.#graceMs);
  }
}

/** Of the record that ends, or would. */
function sinceOf(finding: Finding): string | undefined {
  switch (finding.kind) {
    case 'stale':
      return finding.claim.record.since;
    case 'lost':
      return finding.join.record.since;
    case 'doubtful':
      return finding.since;
    default:
      return undefined;
  }
}

function nameOf(finding: Finding): string {
  switch (finding.kind) {
    case 'doubtful':
      return `${finding.kind} ${finding.subject}`;
    case 'lost':
      return `${finding.kind} ${finding.join.key}`;
    case 'missing':
      return `${finding.kind} ${finding.at.subnet.space} ${finding.at.address.value} ${finding.rest?.version ?? ''}`;
    default:
      return `${finding.kind} ${finding.claim.key} ${finding.claim.version}`;
  }
}
