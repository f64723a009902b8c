// Certificates and keys in PEM as settings name them, and whether they are of use. Knows no setting by its name.
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { FileContent } from './kinds.js';

/** PEM texts, as files held them when they were read. */
export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** Where they came from. */
  readonly from?: TlsPlaces;
}

export interface TlsPlaces {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export function tlsFiles(ca?: FileContent, cert?: FileContent, key?: FileContent): TlsFiles {
  const given = Object.entries({ ca, cert, key }).flatMap(([name, file]) => (file ? [[name, file] as const] : []));
  if (given.length === 0) return {};
  return {
    ...Object.fromEntries(given.map(([name, file]) => [name, file.content])),
    from: Object.fromEntries(given.map(([name, file]) => [name, file.path])),
  };
}

/** `which` of the files is wrong, and `allowed` there. */
export interface Unfit {
  readonly which: keyof TlsPlaces;
  readonly allowed: string;
}

/** What OpenSSL says against these PEM texts, each by itself and at last against a key that is another certificate's. */
export function unfitForTls({ ca, cert, key }: TlsFiles): Unfit[] {
  const found: Unfit[] = [];
  const check = (which: Unfit['which'], allowed: string, use: () => unknown) => {
    try {
      use();
    } catch (error) {
      found.push({ which, allowed: `${allowed} (${(error as Error).message})` });
    }
  };
  if (ca) check('ca', 'a certificate in PEM', () => certificateIn(ca));
  if (cert) check('cert', 'a certificate in PEM', () => createSecureContext({ cert }));
  if (key) check('key', 'a key in PEM without a passphrase', () => createSecureContext({ key }));
  if (cert && key && !found.some(({ which }) => which !== 'ca'))
    check('cert', 'a certificate in PEM that belongs to the key', () => createSecureContext({ cert, key }));
  return found;
}

/** A context takes any text for a CA's, and then trusts nobody. */
function certificateIn(pem: Buffer): X509Certificate {
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw new Error('it has none');
  return new X509Certificate(pem);
}
