// What keeps strangers' pages out of the operators' port: the Host that was asked for, where the request comes from, and
// the headers that say what an answer may be used for. Knows no path.
import { isIP } from 'node:net';
import type { Middleware } from 'koa';

/** Of everything, the page included: its own files, from here, and nothing else. */
const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

/**
 * On loopback a name that is not this machine's own is refused: a page of somebody's, whose name he lets point to 127.0.0.1,
 * could read what is here (DNS rebinding). Addresses are no names. On another interface names are the operator's to give.
 */
export function guarded(listensOn: string): Middleware {
  const strict = isLoopback(listensOn);
  return async (context, next) => {
    context.set(HEADERS);
    const host = nameOf(context.get('Host'));
    if (strict && host !== 'localhost' && isIP(host) === 0) {
      context.status = 421;
      context.body = { problem: 'this port is asked for by address, or as localhost' };
      return;
    }
    // What browsers say of themselves, programs do not: another page may lead here, and not ask from there.
    const from = context.get('Sec-Fetch-Site');
    const follows = context.get('Sec-Fetch-Mode') === 'navigate' && context.get('Sec-Fetch-Dest') === 'document';
    if (!['', 'none', 'same-origin'].includes(from) && !follows) {
      context.status = 403;
      context.body = { problem: 'another page may not ask this port' };
      return;
    }
    await next();
  };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

/** Without port, and without the brackets of an IPv6 address. */
function nameOf(host: string): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d+)?$/.exec(host);
  return (match?.[1] ?? match?.[2] ?? '').toLowerCase();
}
