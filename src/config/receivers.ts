/**
 * `distributor.receivers`: receivers as an OpenTelemetry Collector configures them, by type or `type/name`. OTLP is read
 * into types; the others are checked by name only and kept as they are.
 *
 * A protocol without an endpoint listens on every interface: Tempo up to 2.6 did, later ones listen on localhost, where
 * no container reaches them.
 */
import type { Node, Scalar, YAMLMap } from 'yaml';
import { isMap, isScalar } from 'yaml';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { type Decoding, decodeSection, defaultsOf, isNull, refuse, refuseType } from './decode.ts';
import { active, bool, duration, int, type Resolved, section, text, texts, tree, uint } from './setting.ts';
import { type Entry, entriesOf, plainOf } from './yaml.ts';

export interface Receivers {
  /** The receiver `otlp`. */
  otlp: OtlpReceiver;
  /** Further ones: `otlp/second` under `second`. */
  otlpNamed: Record<string, OtlpReceiver>;
  /** Receivers of other types by their id, as written. Nothing listens for them yet. */
  others: Record<string, unknown>;
}

/** A protocol that is not there is off. */
export interface OtlpReceiver {
  grpc?: OtlpGrpc;
  http?: OtlpHttp;
}

export interface OtlpGrpc extends Address {
  maxReceiveMessageBytes: number;
  /** 0 is unlimited. */
  maxConcurrentStreams: number;
  includeMetadata: boolean;
}

export interface OtlpHttp extends Address {
  /** Of the raw body, and again of the inflated one. */
  maxRequestBodySizeBytes: number;
  tracesUrlPath: string;
  /** Off when `allowedOrigins` is empty. */
  cors: { allowedOrigins: string[]; allowedHeaders: string[]; exposedHeaders: string[]; maxAgeSeconds: number };
  responseHeaders: Record<string, string>;
  /** Undefined allows every encoding there is. */
  compressionAlgorithms: string[] | undefined;
  includeMetadata: boolean;
  /** 0 takes the receiver's own limits. */
  readTimeoutMs: number;
  readHeaderTimeoutMs: number;
  writeTimeoutMs: number;
  idleTimeoutMs: number;
}

export interface Address {
  host: string;
  port: number;
  /** The configuration names the address, so that nothing else may choose the port. */
  explicit: boolean;
}

export const noReceivers: Receivers = { otlp: {}, otlpNamed: {}, others: {} };

const everywhere = '0.0.0.0';
const requestBodyBytesMax = 20_971_520;
const messageMib = 4;
const otherTypes = ['jaeger', 'zipkin', 'opencensus', 'kafka'];

const tls = section('configtls.ServerConfig', {
  ca_file: text('', 'authority'),
  ca_pem: text('', 'authority, inline'),
  cert_file: text('', 'certificate'),
  cert_pem: text('', 'certificate, inline'),
  key_file: text('', 'key'),
  key_pem: text('', 'key, inline'),
  client_ca_file: text('', 'authority of clients; makes their certificates required'),
  client_ca_file_reload: bool(false, 'read client_ca_file again when it changes'),
  include_system_ca_certs_pool: bool(false, 'trust the system too'),
  min_version: text('', 'lowest TLS version'),
  max_version: text('', 'highest TLS version'),
  cipher_suites: texts([], 'cipher suites'),
  curve_preferences: texts([], 'curves'),
  reload_interval: duration('0', 'how often certificates are read again'),
  tpm: tree('trusted platform module'),
});

export const otlpGrpc = section('configgrpc.ServerConfig', {
  endpoint: active(text('', 'host:port')),
  transport: text('tcp', 'tcp'),
  dialer: tree('only for clients'),
  tls,
  max_recv_msg_size_mib: active(int(0, 'greatest message, MiB; 0 is 4')),
  max_concurrent_streams: active(uint(0, 'streams of a connection, 0 unlimited')),
  read_buffer_size: int(524_288, 'transport buffer'),
  write_buffer_size: int(0, 'transport buffer'),
  keepalive: tree('ping policy'),
  auth: tree('authenticator; Tempo has none'),
  include_metadata: active(bool(false, 'keep request headers')),
  middlewares: tree('extensions; Tempo has none'),
});

export const otlpHttp = section('confighttp.ServerConfig', {
  endpoint: active(text('', 'host:port')),
  transport: text('tcp', 'tcp'),
  dialer: tree('only for clients'),
  traces_url_path: active(text('/v1/traces', 'path of the request')),
  metrics_url_path: text('/v1/metrics', 'not served'),
  logs_url_path: text('/v1/logs', 'not served'),
  tls,
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

const protocolsSection = 'otlpreceiver.Protocols';

/** The reader of the setting. */
export function decodeReceivers(decoding: Decoding, node: Node, path: string): Receivers | undefined {
  if (!isMap(node)) {
    refuseType(decoding, node, 'map[string]interface {}');
    return undefined;
  }
  const receivers: Receivers = { otlp: {}, otlpNamed: {}, others: {} };
  for (const entry of entriesOf(decoding.yaml, node as YAMLMap)) {
    const [type, name = ''] = entry.key.split(/\/(.*)/s);
    if (type === 'otlp') {
      const receiver = decodeOtlp(decoding, entry.value, `${path}.${entry.key}`);
      if (name === '') receivers.otlp = receiver;
      else receivers.otlpNamed[name] = receiver;
    } else if (otherTypes.includes(type)) {
      receivers.others[entry.key] = plainOf(decoding.yaml, entry.value);
      decoding.given(`${path}.${entry.key}`, undefined);
    } else {
      refuse(
        decoding,
        entry.keyNode,
        `unknown receiver type ${JSON.stringify(type)}`,
        `one of otlp, ${otherTypes.join(', ')}`,
      );
    }
  }
  // An empty map says as little as none.
  return (node as YAMLMap).items.length === 0 ? undefined : receivers;
}

/** What listens when no receiver is configured. */
export function defaultReceivers(): Receivers {
  return {
    otlp: { grpc: grpcOf(defaults(otlpGrpc), undefined), http: httpOf(defaults(otlpHttp), undefined) },
    otlpNamed: {},
    others: {},
  };
}

function decodeOtlp(decoding: Decoding, node: Node | null, path: string): OtlpReceiver {
  if (node === null || isNull(node)) return defaultReceivers().otlp;
  if (!isMap(node)) {
    refuseType(decoding, node, 'otlpreceiver.Config');
    return {};
  }
  let protocols: Node | null = null;
  for (const entry of entriesOf(decoding.yaml, node as YAMLMap)) {
    if (entry.key === 'protocols') protocols = entry.value;
    else
      refuse(
        decoding,
        entry.keyNode,
        `field ${entry.key} not found in type otlpreceiver.Config`,
        'did you mean protocols?',
      );
  }
  if (protocols === null || isNull(protocols)) return defaultReceivers().otlp;
  if (!isMap(protocols)) {
    refuseType(decoding, protocols, protocolsSection);
    return {};
  }
  const receiver: OtlpReceiver = {};
  for (const entry of entriesOf(decoding.yaml, protocols as YAMLMap)) {
    const at = `${path}.protocols.${entry.key}`;
    if (entry.key === 'grpc') {
      const settings = defaults(otlpGrpc);
      decodeSection(decoding, entry.value, otlpGrpc, at, settings);
      refuseAuthenticator(decoding, entry, settings.auth);
      receiver.grpc = grpcOf(settings, endpointOf(decoding, entry.value, settings.endpoint));
    } else if (entry.key === 'http') {
      const settings = defaults(otlpHttp);
      decodeSection(decoding, entry.value, otlpHttp, at, settings);
      refuseAuthenticator(decoding, entry, settings.auth);
      receiver.http = httpOf(settings, endpointOf(decoding, entry.value, settings.endpoint));
    } else {
      refuse(decoding, entry.keyNode, `field ${entry.key} not found in type ${protocolsSection}`, 'grpc or http');
    }
  }
  return receiver;
}

/** Who asks for authentication must not get an open port. */
function refuseAuthenticator(decoding: Decoding, protocol: Entry, auth: unknown): void {
  if (auth === undefined || auth === null) return;
  refuse(decoding, protocol.keyNode, 'authenticator not found: put authentication in front of the receiver');
}

function defaults<S extends typeof otlpGrpc | typeof otlpHttp>(of: S): Resolved<S> {
  return defaultsOf(of) as Resolved<S>;
}

function grpcOf(settings: Resolved<typeof otlpGrpc>, address: Address | undefined): OtlpGrpc {
  return {
    ...(address ?? { host: everywhere, port: 4317, explicit: false }),
    maxReceiveMessageBytes: (settings.maxRecvMsgSizeMib > 0 ? settings.maxRecvMsgSizeMib : messageMib) * 1_048_576,
    maxConcurrentStreams: settings.maxConcurrentStreams,
    includeMetadata: settings.includeMetadata,
  };
}

function httpOf(settings: Resolved<typeof otlpHttp>, address: Address | undefined): OtlpHttp {
  return {
    ...(address ?? { host: everywhere, port: 4318, explicit: false }),
    maxRequestBodySizeBytes: settings.maxRequestBodySize > 0 ? settings.maxRequestBodySize : requestBodyBytesMax,
    tracesUrlPath: settings.tracesUrlPath,
    cors: {
      allowedOrigins: settings.cors.allowedOrigins,
      allowedHeaders: settings.cors.allowedHeaders,
      exposedHeaders: settings.cors.exposedHeaders,
      maxAgeSeconds: settings.cors.maxAge,
    },
    responseHeaders: headersOf(settings.responseHeaders),
    compressionAlgorithms: settings.compressionAlgorithms[0] === '*' ? undefined : settings.compressionAlgorithms,
    includeMetadata: settings.includeMetadata,
    readTimeoutMs: settings.readTimeoutMs,
    readHeaderTimeoutMs: settings.readHeaderTimeoutMs,
    writeTimeoutMs: settings.writeTimeoutMs,
    idleTimeoutMs: settings.idleTimeoutMs,
  };
}

/** A map up to 2.9, in 3.0 also a list of `{name, value}`. */
function headersOf(written: unknown): Record<string, string> {
  if (typeof written !== 'object' || written === null) return {};
  if (!Array.isArray(written))
    return Object.fromEntries(Object.entries(written).map(([name, value]) => [name, String(value)]));
  const headers: Record<string, string> = {};
  for (const item of written) {
    if (typeof item?.name === 'string') headers[item.name] = String(item.value ?? '');
  }
  return headers;
}

function endpointOf(decoding: Decoding, protocol: Node | null, endpoint: string): Address | undefined {
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

/** As YAML again, with what is in force; receivers that nothing listens for as they were written. */
export function renderReceivers(receivers: Receivers): Record<string, unknown> {
  const rendered: Record<string, unknown> = { otlp: renderOtlp(receivers.otlp) };
  for (const [name, receiver] of Object.entries(receivers.otlpNamed)) rendered[`otlp/${name}`] = renderOtlp(receiver);
  return { ...rendered, ...(masked(receivers.others) as Record<string, unknown>) };
}

function renderOtlp({ grpc, http }: OtlpReceiver): Record<string, unknown> {
  const protocols: Record<string, unknown> = {};
  if (grpc) {
    protocols.grpc = {
      endpoint: endpointText(grpc),
      max_recv_msg_size_mib: grpc.maxReceiveMessageBytes / 1_048_576,
      max_concurrent_streams: grpc.maxConcurrentStreams,
      include_metadata: grpc.includeMetadata,
    };
  }
  if (http) {
    protocols.http = {
      endpoint: endpointText(http),
      traces_url_path: http.tracesUrlPath,
      max_request_body_size: http.maxRequestBodySizeBytes,
      include_metadata: http.includeMetadata,
      ...(http.cors.allowedOrigins.length === 0
        ? {}
        : {
            cors: {
              allowed_origins: http.cors.allowedOrigins,
              allowed_headers: http.cors.allowedHeaders,
              exposed_headers: http.cors.exposedHeaders,
              max_age: http.cors.maxAgeSeconds,
            },
          }),
    };
  }
  return { protocols };
}

function endpointText({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Values of keys that sound like credentials are hidden. */
function masked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(masked);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      /password|secret|token|key_pem|credential/i.test(key) ? '<secret>' : masked(inner),
    ]),
  );
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
