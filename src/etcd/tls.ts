// etcd's room, certificates in words: what a failed handshake means to somebody who has files. Refuses to read any.

import { X509Certificate } from 'node:crypto';

/** PEM texts. */
export interface Tls {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** The files that they came from. */
  readonly from?: { readonly ca?: string; readonly cert?: string };
}

export const NOT_SIGNED = 'TLS: the certificate is not signed by the configured CA';
export const CLIENT_REFUSED = 'TLS: etcd wants a client certificate it trusts';

/** The reason of a fault, in the words that somebody with these files needs. */
export function withFile(reason: string, { ca, cert, from }: Tls = {}, now = new Date()): string {
  if (reason === NOT_SIGNED) {
    if (ca === undefined) return 'TLS: the certificate is not signed by a CA of this system; set ETCD_CA_FILE';
    return from?.ca ? `TLS: the certificate is not signed by a CA in ${from.ca}` : reason;
  }
  if (reason !== CLIENT_REFUSED) return reason;
  if (cert === undefined) return 'TLS: etcd wants a client certificate; set ETCD_CERT_FILE and ETCD_KEY_FILE';
  return `TLS: etcd does not accept the client certificate${from?.cert ? ` ${from.cert}` : ''}${validity(cert, now)}`;
}

function validity(cert: Buffer, now: Date): string {
  try {
    const { validFrom, validTo } = new X509Certificate(cert);
    if (new Date(validTo) < now) return `, which has expired (${validTo})`;
    return new Date(validFrom) > now ? `, which is not valid before ${validFrom}` : '';
  } catch {
    return '';
  }
}
