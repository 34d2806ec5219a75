/**
 * TLS of a server as both forms of the configuration say it: `server.http_tls_config` and `grpc_tls_config` in the words of
 * Go's crypto/tls, a receiver's `tls` in those of a Collector. Names of cipher suites and curves become OpenSSL's.
 */
import { VivaceError } from '../runtime/errors.ts';
import { active, bool, duration, type Resolved, section, secret, text, texts, tree } from './setting.ts';

export interface TlsSettings {
  /** The section, for messages. */
  where: string;
  /** Of each pair one is set: a path, or the PEM itself. */
  cert: PemSource;
  key: PemSource;
  clientCa: PemSource | undefined;
  clientAuth: ClientAuth;
  minVersion: TlsVersion;
  maxVersion: TlsVersion;
  /** OpenSSL's names with colons; empty for the defaults. */
  ciphers: string;
  curves: string;
  /** How often the files are looked at. */
  reloadMs: number;
}

export type PemSource = { file: string } | { pem: string };
export type ClientAuth = 'none' | 'request' | 'require' | 'verify-if-given' | 'require-and-verify';
export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';

/** Collector: 0 never reads a certificate again. We look at least so often. */
const RELOAD_MS = 10_000;

export const serverTlsSection = section('server.TLSConfig', {
  cert: active(text('', 'certificate, inline PEM')),
  key: active(secret('key, inline PEM')),
  client_ca: active(text('', 'authority of clients, inline PEM')),
  cert_file: active(text('', 'certificate; with key_file switches TLS on')),
  key_file: active(text('', 'key')),
  client_ca_file: active(text('', 'authority of clients')),
  client_auth_type: active(text('', 'NoClientCert to RequireAndVerifyClientCert')),
});

export const receiverTlsSection = section('configtls.ServerConfig', {
  ca_file: text('', 'authority; a server has no use for it'),
  ca_pem: text('', 'authority, inline; a server has no use for it'),
  cert_file: active(text('', 'certificate; with the key switches TLS on')),
  cert_pem: active(text('', 'certificate, inline')),
  key_file: active(text('', 'key')),
  key_pem: active(secret('key, inline')),
  client_ca_file: active(text('', 'authority of clients; makes their certificates required')),
  client_ca_file_reload: active(bool(false, 'read client_ca_file again when it changes; Vivace always does')),
  include_system_ca_certs_pool: bool(false, 'trust the system too; a server has no use for it'),
  min_version: active(text('', 'lowest TLS version, 1.0 to 1.3; empty is 1.2')),
  max_version: active(text('', 'highest TLS version')),
  cipher_suites: active(texts([], 'cipher suites up to TLS 1.2')),
  curve_preferences: active(texts([], 'curves: X25519, P256, P384, P521, X25519MLKEM768')),
  reload_interval: active(duration('0', 'how often certificates are read again; 0 is 10s')),
  tpm: tree('trusted platform module'),
});

/** Of a client, as a Collector says it. */
export const clientTlsSection = section('configtls.ClientConfig', {
  insecure: active(bool(false, 'no TLS at all')),
  insecure_skip_verify: active(bool(false, 'take any certificate of the other side')),
  ca_file: active(text('', "authority of the other side; the system's by default")),
  ca_pem: active(text('', 'the same, inline')),
  include_system_ca_certs_pool: active(bool(false, "trust the system's authorities besides")),
  cert_file: active(text('', 'certificate of this side')),
  cert_pem: active(text('', 'the same, inline')),
  key_file: active(text('', 'its key')),
  key_pem: active(secret('the same, inline')),
  server_name_override: active(text('', 'name that the certificate must have')),
  min_version: active(text('', 'lowest TLS version, 1.0 to 1.3; empty is 1.2')),
  max_version: active(text('', 'highest TLS version')),
  cipher_suites: active(texts([], 'cipher suites up to TLS 1.2')),
  curve_preferences: active(texts([], 'curves')),
  reload_interval: duration('0', 'files are read again for every connection'),
  tpm: tree('trusted platform module'),
});

export interface ClientTlsSettings {
  ca: PemSource | undefined;
  /** Trust the system's authorities besides `ca`. */
  systemCa: boolean;
  pair: { cert: PemSource; key: PemSource } | undefined;
  serverName: string;
  verifies: boolean;
  minVersion: TlsVersion;
  maxVersion: TlsVersion;
  /** OpenSSL's names with colons; empty for the defaults. */
  ciphers: string;
  curves: string;
}

/** Of a client whose section was given; undefined when that asks for none. Throws `invalid`. */
export function clientTls(where: string, tls: Resolved<typeof clientTlsSection>): ClientTlsSettings | undefined {
  if (tls.insecure) return undefined;
  return {
    ca: source(tls.caFile, tls.caPem),
    systemCa: tls.includeSystemCaCertsPool,
    pair: pairOf(where, source(tls.certFile, tls.certPem), source(tls.keyFile, tls.keyPem), undefined, ''),
    serverName: tls.serverNameOverride,
    verifies: !tls.insecureSkipVerify,
    ...versionsOf(where, tls),
    ciphers: ciphersOf(where, tls.cipherSuites),
    curves: tls.curvePreferences.map((name) => curveOf(where, name)).join(':'),
  };
}

/** Of `server.http_tls_config` or `grpc_tls_config`; undefined without a certificate. Throws `invalid`. */
export function serverTls(
  where: string,
  tls: Resolved<typeof serverTlsSection>,
  { tlsCipherSuites, tlsMinVersion }: { tlsCipherSuites: string; tlsMinVersion: string },
): TlsSettings | undefined {
  const clientCa = source(tls.clientCaFile, tls.clientCa);
  const pair = pairOf(
    where,
    source(tls.certFile, tls.cert),
    source(tls.keyFile, tls.key),
    clientCa,
    tls.clientAuthType,
  );
  if (pair === undefined) return undefined;
  const clientAuth = CLIENT_AUTH[tls.clientAuthType || 'NoClientCert'];
  if (clientAuth === undefined)
    fail(where, `client_auth_type ${tls.clientAuthType} is none of ${Object.keys(CLIENT_AUTH).join(', ')}`);
  const verifies = clientAuth === 'verify-if-given' || clientAuth === 'require-and-verify';
  if (clientCa !== undefined && clientAuth === 'none')
    fail(where, 'client_ca is set and client_auth_type is not: say RequireAndVerifyClientCert, or leave client_ca out');
  if (verifies && clientCa === undefined) fail(where, `client_auth_type ${tls.clientAuthType} needs client_ca_file`);
  return {
    where,
    ...pair,
    clientCa,
    clientAuth,
    minVersion: versionOf(
      'server',
      'tls_min_version',
      tlsMinVersion.replace(/^VersionTLS(\d)(\d)$/, '$1.$2'),
      'TLSv1.2',
    ),
    maxVersion: 'TLSv1.3',
    ciphers: ciphersOf(
      'server',
      tlsCipherSuites
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    ),
    curves: '',
    reloadMs: RELOAD_MS,
  };
}

/** Of a receiver; undefined without a certificate. Throws `invalid`. */
export function receiverTls(where: string, tls: Resolved<typeof receiverTlsSection>): TlsSettings | undefined {
  const clientCa = source(tls.clientCaFile, '');
  const pair = pairOf(where, source(tls.certFile, tls.certPem), source(tls.keyFile, tls.keyPem), clientCa, '');
  if (pair === undefined) return undefined;
  return {
    where,
    ...pair,
    clientCa,
    clientAuth: clientCa === undefined ? 'none' : 'require-and-verify',
    ...versionsOf(where, tls),
    ciphers: ciphersOf(where, tls.cipherSuites),
    curves: tls.curvePreferences.map((name) => curveOf(where, name)).join(':'),
    reloadMs: tls.reloadIntervalMs > 0 ? tls.reloadIntervalMs : RELOAD_MS,
  };
}

/** Whether two servers can share one socket. */
export function sameTls(a: TlsSettings | undefined, b: TlsSettings | undefined): boolean {
  const bare = (tls: TlsSettings | undefined) => JSON.stringify({ ...tls, where: '' });
  return (a === undefined) === (b === undefined) && bare(a) === bare(b);
}

const CLIENT_AUTH: Record<string, ClientAuth> = {
  NoClientCert: 'none',
  RequestClientCert: 'request',
  RequireAnyClientCert: 'require',
  VerifyClientCertIfGiven: 'verify-if-given',
  RequireAndVerifyClientCert: 'require-and-verify',
};

function source(file: string, pem: string): PemSource | undefined {
  if (file !== '') return { file };
  return pem === '' ? undefined : { pem };
}

/** Who asked for a part of TLS must not get a plain port. */
function pairOf(
  where: string,
  cert: PemSource | undefined,
  key: PemSource | undefined,
  clientCa: PemSource | undefined,
  clientAuth: string,
): { cert: PemSource; key: PemSource } | undefined {
  if (cert !== undefined && key !== undefined) return { cert, key };
  if (
    cert === undefined &&
    key === undefined &&
    clientCa === undefined &&
    (clientAuth === '' || clientAuth === 'NoClientCert')
  )
    return undefined;
  fail(where, 'TLS needs both a certificate and its key: set cert_file and key_file');
}

function versionsOf(
  where: string,
  tls: { minVersion: string; maxVersion: string },
): { minVersion: TlsVersion; maxVersion: TlsVersion } {
  const minVersion = versionOf(where, 'min_version', tls.minVersion, 'TLSv1.2');
  const maxVersion = versionOf(where, 'max_version', tls.maxVersion, 'TLSv1.3');
  if (minVersion > maxVersion) fail(where, `min_version ${tls.minVersion} is above max_version ${tls.maxVersion}`);
  return { minVersion, maxVersion };
}

function versionOf(where: string, name: string, version: string, byDefault: TlsVersion): TlsVersion {
  if (version === '') return byDefault;
  const known: Record<string, TlsVersion> = { '1.0': 'TLSv1', '1.1': 'TLSv1.1', '1.2': 'TLSv1.2', '1.3': 'TLSv1.3' };
  return known[version] ?? fail(where, `${name} ${version} is no version of TLS: one of 1.0, 1.1, 1.2, 1.3`);
}

function ciphersOf(where: string, names: string[]): string {
  return names.map((name) => cipherOf(where, name)).join(':');
}

/** `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` → `ECDHE-RSA-AES128-GCM-SHA256`; names of TLS 1.3 are the same in both. */
function cipherOf(where: string, name: string): string {
  if (/^TLS_(?:AES_128_GCM_SHA256|AES_256_GCM_SHA384|CHACHA20_POLY1305_SHA256)$/.test(name)) return name;
  const found = /^TLS_(RSA|ECDHE_RSA|ECDHE_ECDSA)_WITH_(.+)$/.exec(name);
  const bulk = found === null ? undefined : BULK[found[2]];
  if (found === null || bulk === undefined) fail(where, `${name} is no cipher suite that is served`);
  return (found[1] === 'RSA' ? '' : `${found[1].replace('_', '-')}-`) + bulk;
}

const BULK: Record<string, string> = {
  AES_128_CBC_SHA: 'AES128-SHA',
  AES_256_CBC_SHA: 'AES256-SHA',
  AES_128_CBC_SHA256: 'AES128-SHA256',
  AES_128_GCM_SHA256: 'AES128-GCM-SHA256',
  AES_256_GCM_SHA384: 'AES256-GCM-SHA384',
  CHACHA20_POLY1305: 'CHACHA20-POLY1305',
  CHACHA20_POLY1305_SHA256: 'CHACHA20-POLY1305',
};

function curveOf(where: string, name: string): string {
  const known: Record<string, string> = {
    P256: 'P-256',
    P384: 'P-384',
    P521: 'P-521',
    X25519: 'X25519',
    X25519MLKEM768: 'X25519MLKEM768',
  };
  return known[name] ?? fail(where, `${name} is no curve: one of ${Object.keys(known).join(', ')}`);
}

function fail(where: string, what: string): never {
  throw new VivaceError('invalid', `invalid configuration: ${where}: ${what}`);
}
