/** The `tls_…` keys of a client as Node takes them. */
import fs from 'node:fs';
import type { ConnectionOptions, SecureVersion } from 'node:tls';

export interface TlsSettings {
  tlsCertPath: string;
  tlsKeyPath: string;
  tlsCaPath: string;
  tlsServerName: string;
  tlsInsecureSkipVerify: boolean;
  /** VersionTLS10 to VersionTLS13. */
  tlsMinVersion: string;
}

/** Reads the files. */
export function tlsOptions(settings: TlsSettings): ConnectionOptions {
  const version = /^VersionTLS1([0-3])$/.exec(settings.tlsMinVersion)?.[1];
  return {
    ...(settings.tlsCaPath !== '' && { ca: fs.readFileSync(settings.tlsCaPath) }),
    ...(settings.tlsCertPath !== '' && { cert: fs.readFileSync(settings.tlsCertPath) }),
    ...(settings.tlsKeyPath !== '' && { key: fs.readFileSync(settings.tlsKeyPath) }),
    ...(settings.tlsServerName !== '' && { servername: settings.tlsServerName }),
    ...(version !== undefined && { minVersion: (version === '0' ? 'TLSv1' : `TLSv1.${version}`) as SecureVersion }),
    rejectUnauthorized: !settings.tlsInsecureSkipVerify,
  };
}
