/** What Node's TLS needs to connect as a client's settings say. */
import tls from 'node:tls';
import type { PemSource } from './tls-material.ts';

export interface TlsClientSettings {
  ca: PemSource | undefined;
  systemCa: boolean;
  pair: { cert: PemSource; key: PemSource } | undefined;
  verifies: boolean;
  minVersion: tls.SecureVersion;
  maxVersion: tls.SecureVersion;
  ciphers: string;
  curves: string;
}

/** For one connection: files are read anew, so that new certificates are used by the next. Throws what reading throws. */
export function tlsClientOptions(
  settings: TlsClientSettings,
  readFile: (path: string) => string,
): tls.ConnectionOptions {
  const pem = (source: PemSource): string => ('pem' in source ? source.pem : readFile(source.file));
  const { ca, systemCa, pair, verifies, minVersion, maxVersion, ciphers, curves } = settings;
  return {
    ...(ca && { ca: systemCa ? [pem(ca), ...tls.rootCertificates] : pem(ca) }),
    ...(pair && { cert: pem(pair.cert), key: pem(pair.key) }),
    rejectUnauthorized: verifies,
    minVersion,
    maxVersion,
    ...(ciphers !== '' && { ciphers }),
    ...(curves !== '' && { ecdhCurve: curves }),
  };
}
