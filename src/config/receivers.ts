/**
 * `distributor.receivers`: receivers as an OpenTelemetry Collector configures them, by type or `type/name`. OTLP is read
 * into types here, the others in foreign-receivers.ts.
 *
 * A protocol without an endpoint listens on every interface: Tempo up to 2.6 did, later ones listen on localhost, where
 * no container reaches them.
 */
import type { Node, YAMLMap } from 'yaml';
import { isMap } from 'yaml';
import { type Decoding, decodeSection, defaultsOf, isNull, refuse, refuseType } from './decode.ts';
import { decodeForeign, type ForeignReceivers, noForeignReceivers } from './foreign-receivers.ts';
import { decodeKafka } from './kafka-receiver.ts';
import {
  type Address,
  type Cors,
  corsOf,
  endpointOf,
  everywhere,
  grpcServer,
  httpServer,
  messageMib,
  refuseAuthenticator,
  requestBodyBytesMax,
  tlsOf,
} from './receiver-servers.ts';
import { active, type Resolved, section, text } from './setting.ts';
import { entriesOf, plainOf } from './yaml.ts';

export interface Receivers {
  /** The receiver `otlp`. */
  otlp: OtlpReceiver;
  /** Further ones: `otlp/second` under `second`. */
  otlpNamed: Record<string, OtlpReceiver>;
  /** Receivers of other protocols. */
  foreign: ForeignReceivers;
  /** Receivers of all other types by their id, as written, to be shown. */
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
  cors: Cors;
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

export const noReceivers: Receivers = { otlp: {}, otlpNamed: {}, foreign: noForeignReceivers(), others: {} };

const otherTypes = ['jaeger', 'zipkin', 'opencensus', 'kafka'];

export const otlpGrpc = grpcServer;

export const otlpHttp = section('confighttp.ServerConfig', {
  ...httpServer.fields,
  traces_url_path: active(text('/v1/traces', 'path of the request')),
  metrics_url_path: text('/v1/metrics', 'not served'),
  logs_url_path: text('/v1/logs', 'not served'),
});

const protocolsSection = 'otlpreceiver.Protocols';

/** The reader of the setting. */
export function decodeReceivers(decoding: Decoding, node: Node, path: string): Receivers | undefined {
  if (!isMap(node)) {
    refuseType(decoding, node, 'map[string]interface {}');
    return undefined;
  }
  const receivers: Receivers = { otlp: {}, otlpNamed: {}, foreign: noForeignReceivers(), others: {} };
  for (const entry of entriesOf(decoding.yaml, node as YAMLMap)) {
    const [type, name = ''] = entry.key.split(/\/(.*)/s);
    if (type === 'otlp') {
      const receiver = decodeOtlp(decoding, entry.value, `${path}.${entry.key}`);
      if (name === '') receivers.otlp = receiver;
      else receivers.otlpNamed[name] = receiver;
    } else if (otherTypes.includes(type)) {
      receivers.others[entry.key] = plainOf(decoding.yaml, entry.value);
      if (type === 'kafka')
        receivers.foreign.kafka[entry.key] = decodeKafka(decoding, entry.value, entry.keyNode, `${path}.${entry.key}`);
      else
        decodeForeign(
          decoding,
          type as 'jaeger' | 'zipkin' | 'opencensus',
          entry.key,
          entry.value,
          `${path}.${entry.key}`,
          receivers.foreign,
        );
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
    foreign: noForeignReceivers(),
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
      refuseAuthenticator(decoding, entry.keyNode, settings.auth);
      receiver.grpc = grpcOf(settings, endpointOf(decoding, entry.value, settings.endpoint));
      receiver.grpc.tls = tlsOf(decoding, entry.keyNode, at, settings.tls);
    } else if (entry.key === 'http') {
      const settings = defaults(otlpHttp);
      decodeSection(decoding, entry.value, otlpHttp, at, settings);
      refuseAuthenticator(decoding, entry.keyNode, settings.auth);
      receiver.http = httpOf(settings, endpointOf(decoding, entry.value, settings.endpoint));
      receiver.http.tls = tlsOf(decoding, entry.keyNode, at, settings.tls);
    } else {
      refuse(decoding, entry.keyNode, `field ${entry.key} not found in type ${protocolsSection}`, 'grpc or http');
    }
  }
  return receiver;
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
    cors: corsOf(settings.cors),
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
