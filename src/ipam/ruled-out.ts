// Whether an operator's rules forbid what could be given otherwise. Pure; every sentence about them is here.
import { formatAddress } from '../net/address.js';
import { formatPrefix, type Prefix } from '../net/prefix.js';
import { formatRange } from '../net/range.js';
import type { Verdict, Wanted } from './decide.js';
import { IpamError } from './errors.js';
import { isResting } from './resting.js';
import { type Exclusion, isFor, type Reservation, type Rules } from './rules.js';

/**
 * Exclusions are about containers: an operator leaves out what his router has, which may well be the gateway that Docker is
 * to be told, or an auxiliary address. A reservation is about everybody else, and comes before an exclusion round it.
 */
export function ruledOut(rules: Rules, wanted: Wanted, verdict: Verdict, pool: Prefix): IpamError | undefined {
  if (rules.barred.length === 0 || verdict.kind === 'refuse' || isHeldAlready(verdict)) return undefined;
  const { address, purpose, declared } = wanted;
  const reservation = rules.reservationOf(address);
  if (reservation)
    return purpose === 'endpoint' && isFor(reservation, wanted) ? undefined : reserved(reservation, wanted, pool);
  if (purpose === 'gateway' || purpose === 'aux' || (purpose === 'unsure' && declared)) return undefined;
  const exclusion = rules.exclusionOf(address);
  return exclusion && excluded(exclusion, wanted, pool);
}

/** By whoever asks, or by the network; or a swarm has given it: rules take nothing away. */
function isHeldAlready(verdict: Verdict): boolean {
  if (verdict.kind === 'share') return true;
  if (verdict.kind === 'refuse') return false;
  if (verdict.onSwarm && verdict.evidence) return true;
  return verdict.kind === 'take' && !verdict.evidence && !isResting(verdict.claim);
}

function reserved(reservation: Reservation, { purpose, name, mac }: Wanted, pool: Prefix): IpamError {
  const { address, comment } = reservation;
  const unnamed = purpose === 'unsure' || (purpose === 'endpoint' && name === undefined && mac === undefined);
  const wayOut = unnamed
    ? '; this engine names neither: with IPAM_REQUIRE_MAC=true it names the MAC, and from version 29 on the name'
    : '';
  const text = `address ${formatAddress(address)} of pool ${formatPrefix(pool)} is reserved for ${heir(reservation)}`;
  return new IpamError('reserved', `${text}${said(comment)}${wayOut}`);
}

function excluded(exclusion: Exclusion, { address, purpose }: Wanted, pool: Prefix): IpamError {
  const text = formatAddress(address);
  const range = formatRange(exclusion);
  const within = range === text ? '' : ` (${range})`;
  const wayOut =
    purpose === 'unsure' ? `; if it is an auxiliary address of the network, say so with --ipam-opt aux=${text}` : '';
  const why = `address ${text} is excluded from pool ${formatPrefix(pool)}${within}`;
  return new IpamError('excluded', `${why}${said(exclusion.comment)}${wayOut}`);
}

/** "web" or a MAC. */
export function heir({ name, mac }: Pick<Reservation, 'name' | 'mac'>): string {
  return name ?? mac ?? 'nobody';
}

function said(comment: string | undefined): string {
  return comment === undefined ? '' : `: ${comment}`;
}
