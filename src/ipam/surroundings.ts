// What decisions need from outside and must not fetch themselves: who we are, time, randomness.

/** The host that this process answers for, in its present boot. */
export interface Self {
  readonly node: string;
  readonly boot: string;
  /** The swarm that its engine is of, where several share the records (IPAM_SWARM); empty or absent: the only one. */
  readonly swarm?: string;
  /** Rounds of silence that make another node gone (IPAM_HOLD); absent or Infinity: none ever do. */
  readonly goneRounds?: number;
  /** How long an address rests that was released (IPAM_COOLDOWN); absent or 0: not at all. */
  readonly restMs?: number;
  /** How long is kept who had an address (IPAM_HISTORY); absent or 0: not at all. */
  readonly keepMs?: number;
}

export interface Surroundings {
  /** Wall clock, for people who read records; nothing is decided by it. */
  now(): Date;
  /** Monotonic milliseconds, the scale of a Deadline. */
  millis(): number;
  /** Rounds of 30 s that this process has lived through with a session, the one that runs not counted. */
  rounds(): number;
  /** 16 hexadecimal digits, never twice. */
  token(): string;
  /** Uniform in 0 <= n < bound. */
  below(bound: bigint): bigint;
  pause(ms: number): Promise<void>;
}
