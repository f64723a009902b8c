// Certificates and keys in PEM as settings name them, and whether they are of use. Knows no setting by its name.
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

/** What OpenSSL says against these PEM texts, a key that belongs to another certificate included. */
export function unfitForTls({ ca, cert, key }: TlsFiles): string | undefined {
  if ((cert === undefined) !== (key === undefined)) return undefined;
  try {
    createSecureContext({ ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) });
    if (ca && !ca.includes('-----BEGIN CERTIFICATE-----')) throw new Error('no certificate in the CA file');
    return undefined;
  } catch (error) {
    return `certificates and a key in PEM that belong together (${(error as Error).message})`;
  }
}
