/** The servers that receivers are made of, whatever they speak: their keys, addresses and limits. */
import type { Node, Scalar, YAMLMap } from 'yaml';
import { isMap, isScalar } from 'yaml';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { type Decoding, refuse } from './decode.ts';
import { active, bool, duration, int, type Resolved, section, text, texts, tree, uint } from './setting.ts';
import { receiverTls, receiverTlsSection, type TlsSettings } from './tls.ts';
import { entriesOf } from './yaml.ts';

export interface Address {
  host: string;
  port: number;
  /** The configuration names the address, so that nothing else may choose the port. */
  explicit: boolean;
  /** Absent: plain. */
  tls?: TlsSettings;
}

/** Off when `allowedOrigins` is empty. */
export interface Cors {
  allowedOrigins: string[];
  allowedHeaders: string[];
  exposedHeaders: string[];
  maxAgeSeconds: number;
}

export const everywhere = '0.0.0.0';
export const requestBodyBytesMax = 20_971_520;
export const messageMib = 4;

export const grpcServer = section('configgrpc.ServerConfig', {
  endpoint: active(text('', 'host:port')),
  transport: text('tcp', 'tcp'),
  dialer: tree('only for clients'),
  tls: receiverTlsSection,
  max_recv_msg_size_mib: active(int(0, 'greatest message, MiB; 0 is 4')),
  max_concurrent_streams: active(uint(0, 'streams of a connection, 0 unlimited')),
  read_buffer_size: int(524_288, 'transport buffer'),
  write_buffer_size: int(0, 'transport buffer'),
  keepalive: tree('ping policy'),
  auth: tree('authenticator; Tempo has none'),
  include_metadata: active(bool(false, 'keep request headers')),
  middlewares: tree('extensions; Tempo has none'),
});

export const httpServer = section('confighttp.ServerConfig', {
  endpoint: active(text('', 'host:port')),
  transport: text('tcp', 'tcp'),
  dialer: tree('only for clients'),
  tls: receiverTlsSection,
  cors: section('confighttp.CORSConfig', {
    allowed_origins: active(texts([], 'origins that browsers may send from; empty switches CORS off')),
    allowed_headers: active(texts([], 'headers that browsers may send')),
    exposed_headers: active(texts([], 'headers that browsers may read')),
    max_age: active(int(0, 'seconds that a preflight answer may be kept')),
  }),
  auth: tree('authenticator; Tempo has none'),
  max_request_body_size: active(int(0, 'greatest body, bytes; 0 is 20971520')),
  include_metadata: active(bool(true, 'keep request headers')),
  response_headers: active(tree('headers added to every answer')),
  compression_algorithms: active(texts(['*'], 'encodings taken; all when left out')),
  read_timeout: active(duration('0', 'limit of reading a request')),
  read_header_timeout: active(duration('0', 'limit of reading the headers')),
  write_timeout: active(duration('0', 'limit of writing an answer')),
  idle_timeout: active(duration('0', 'idle connections are closed after this')),
  keep_alives_enabled: bool(true, 'keep connections'),
  middlewares: tree('extensions; Tempo has none'),
});

/** Undefined: none. */
export function corsOf(settings: Resolved<typeof httpServer>['cors'] | undefined): Cors {
  return {
    allowedOrigins: settings?.allowedOrigins ?? [],
    allowedHeaders: settings?.allowedHeaders ?? [],
    exposedHeaders: settings?.exposedHeaders ?? [],
    maxAgeSeconds: settings?.maxAge ?? 0,
  };
}

/** Who asks for authentication must not get an open port. `server`: the map that has the key `auth`. */
export function refuseAuthenticator(decoding: Decoding, server: Node, auth: unknown): void {
  if (auth === undefined || auth === null) return;
  refuse(decoding, server, 'authenticator not found: put authentication in front of the receiver');
}

/** TLS of a server that stands at `path`; undefined without, or when it was refused. */
export function tlsOf(
  decoding: Decoding,
  server: Node | null,
  path: string,
  tls: Resolved<typeof receiverTlsSection>,
): TlsSettings | undefined {
  try {
    return receiverTls(`${path}.tls`, tls);
  } catch (error) {
    if (server !== null) refuse(decoding, server, messageOf(error));
    return undefined;
  }
}

/** Where an endpoint is; undefined without one, or when it was refused. */
export function endpointOf(decoding: Decoding, protocol: Node | null, endpoint: string): Address | undefined {
  if (endpoint === '') return undefined;
  try {
    return parseEndpoint(endpoint);
  } catch (error) {
    const entry = isMap(protocol)
      ? entriesOf(decoding.yaml, protocol as YAMLMap).find((candidate) => candidate.key === 'endpoint')
      : undefined;
    const at = isScalar(entry?.value) ? (entry.value as Scalar) : protocol;
    if (at !== null && at !== undefined) refuse(decoding, at, messageOf(error));
    return undefined;
  }
}

/** `host:port`, `:port` for every interface, `[::1]:port`. Throws `invalid`. */
export function parseEndpoint(endpoint: string): Address {
  const found = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(endpoint);
  const port = Number(found?.[3]);
  if (!found || port > 65_535) {
    throw new VivaceError('invalid', `endpoint ${JSON.stringify(endpoint)} is no host:port such as 0.0.0.0:4317`);
  }
  return { host: found[1] ?? found[2], port, explicit: true };
}
