/** Receivers of protocols that are not OTLP, as an OpenTelemetry Collector configures them: Jaeger, Zipkin, OpenCensus. */
import type { Node, YAMLMap } from 'yaml';
import { isMap } from 'yaml';
import { type Decoding, decodeSection, defaultsOf, isNull, refuse, refuseType } from './decode.ts';
import type { KafkaReceiverSettings } from './kafka-receiver.ts';
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
import { active, bool, int, type Resolved, type Section, section, text, texts, tree } from './setting.ts';
import { entriesOf } from './yaml.ts';

export interface GrpcEndpoint extends Address {
  maxReceiveMessageBytes: number;
}

export interface HttpEndpoint extends Address {
  /** Of the raw body, and again of the inflated one. */
  maxRequestBodySizeBytes: number;
  cors: Cors;
  /** Undefined allows every encoding there is. */
  compressionAlgorithms: string[] | undefined;
}

export interface UdpEndpoint extends Address {
  /** Datagrams that may wait for a worker. */
  queueSize: number;
  maxPacketBytes: number;
  /** Hand-overs at once. */
  workers: number;
  /** Of the system's buffer; 0 asks for as much as it allows. */
  socketBufferBytes: number;
}

/** A protocol that is not there is off. */
export interface JaegerReceiver {
  grpc?: GrpcEndpoint;
  thriftHttp?: HttpEndpoint;
  thriftCompact?: UdpEndpoint;
  thriftBinary?: UdpEndpoint;
}

export interface ZipkinReceiver extends HttpEndpoint {
  /** Tags that look like numbers or bools become such. */
  parseStringTags: boolean;
}

export interface OpencensusReceiver extends GrpcEndpoint {
  /** Of the HTTP gateway. */
  cors: Cors;
}

/** By the receiver's id: `jaeger`, `jaeger/second`. */
export interface ForeignReceivers {
  jaeger: Record<string, JaegerReceiver>;
  zipkin: Record<string, ZipkinReceiver>;
  opencensus: Record<string, OpencensusReceiver>;
  kafka: Record<string, KafkaReceiverSettings>;
}

export function noForeignReceivers(): ForeignReceivers {
  return { jaeger: {}, zipkin: {}, opencensus: {}, kafka: {} };
}

export const udpServer = section('udpreceiver.ProtocolUDP', {
  endpoint: active(text('', 'host:port')),
  queue_size: active(int(10_000, 'datagrams that may wait, of together 16 MiB at most')),
  max_packet_size: active(int(65_000, 'larger datagrams are dropped, bytes')),
  workers: active(int(10, 'batches handed over at once')),
  socket_buffer_size: active(int(0, "the system's buffer, bytes; 0 asks for what it allows")),
});

export const zipkin = section('zipkinreceiver.Config', {
  ...httpServer.fields,
  parse_string_tags: active(bool(false, 'tags that look like numbers or bools become such')),
});

export const opencensus = section('opencensusreceiver.Config', {
  ...grpcServer.fields,
  cors_allowed_origins: active(texts([], 'origins that browsers may send from; empty switches CORS off')),
});

const jaegerProtocols = {
  grpc: grpcServer,
  thrift_http: httpServer,
  thrift_compact: udpServer,
  thrift_binary: udpServer,
};

/** Reads one receiver into `into` under its id. */
export function decodeForeign(
  decoding: Decoding,
  type: 'jaeger' | 'zipkin' | 'opencensus',
  id: string,
  node: Node | null,
  path: string,
  into: ForeignReceivers,
): void {
  if (type === 'jaeger') into.jaeger[id] = decodeJaeger(decoding, node, path);
  else if (type === 'zipkin') {
    const { settings, address } = decodeServer(decoding, node, zipkin, path, 9411);
    into.zipkin[id] = { ...httpOf(settings, address), parseStringTags: settings.parseStringTags };
  } else {
    const { settings, address } = decodeServer(decoding, node, opencensus, path, 55_678);
    const cors = { ...corsOf(undefined), allowedOrigins: settings.corsAllowedOrigins };
    into.opencensus[id] = { ...grpcOf(settings, address), cors };
  }
}

const jaegerConfig = 'jaegerreceiver.Config';
const protocolsSection = 'jaegerreceiver.Protocols';

/** Without protocols nothing listens, as in Tempo. */
function decodeJaeger(decoding: Decoding, node: Node | null, path: string): JaegerReceiver {
  const receiver: JaegerReceiver = {};
  for (const entry of members(decoding, node, jaegerConfig)) {
    if (entry.key === 'remote_sampling') {
      decoding.given(`${path}.remote_sampling`, tree('Tempo serves none either'));
      continue;
    }
    if (entry.key !== 'protocols') {
      refuse(
        decoding,
        entry.keyNode,
        `field ${entry.key} not found in type ${jaegerConfig}`,
        'did you mean protocols?',
      );
      continue;
    }
    for (const protocol of members(decoding, entry.value, protocolsSection)) {
      const at = `${path}.protocols.${protocol.key}`;
      switch (protocol.key) {
        case 'grpc': {
          const { settings, address } = decodeServer(decoding, protocol.value, grpcServer, at, 14_250);
          receiver.grpc = grpcOf(settings, address);
          break;
        }
        case 'thrift_http': {
          const { settings, address } = decodeServer(decoding, protocol.value, httpServer, at, 14_268);
          receiver.thriftHttp = httpOf(settings, address);
          break;
        }
        case 'thrift_compact':
          receiver.thriftCompact = udpOf(decodeServer(decoding, protocol.value, udpServer, at, 6831));
          break;
        case 'thrift_binary':
          receiver.thriftBinary = udpOf(decodeServer(decoding, protocol.value, udpServer, at, 6832));
          break;
        default:
          refuse(
            decoding,
            protocol.keyNode,
            `field ${protocol.key} not found in type ${protocolsSection}`,
            `one of ${Object.keys(jaegerProtocols).join(', ')}`,
          );
      }
    }
  }
  return receiver;
}

function members(decoding: Decoding, node: Node | null, goType: string) {
  if (node === null || isNull(node)) return [];
  if (isMap(node)) return entriesOf(decoding.yaml, node as YAMLMap);
  refuseType(decoding, node, goType);
  return [];
}

type Tls = Resolved<typeof grpcServer>['tls'];

/** The settings of one server, and where it listens. */
function decodeServer<S extends Section>(
  decoding: Decoding,
  node: Node | null,
  shape: S,
  path: string,
  port: number,
): { settings: Resolved<S>; address: Address } {
  const settings = defaultsOf(shape);
  decodeSection(decoding, node, shape, path, settings);
  if (node !== null && isMap(node)) refuseAuthenticator(decoding, node, settings.auth);
  const address = endpointOf(decoding, node, String(settings.endpoint));
  const tls = 'tls' in settings ? tlsOf(decoding, node, path, settings.tls as Tls) : undefined;
  return {
    settings: settings as Resolved<S>,
    address: { ...(address ?? { host: everywhere, port, explicit: false }), ...(tls && { tls }) },
  };
}

function grpcOf(settings: Resolved<typeof grpcServer>, address: Address): GrpcEndpoint {
  const mib = settings.maxRecvMsgSizeMib > 0 ? settings.maxRecvMsgSizeMib : messageMib;
  return { ...address, maxReceiveMessageBytes: mib * 1_048_576 };
}

function httpOf(settings: Resolved<typeof httpServer>, address: Address): HttpEndpoint {
  return {
    ...address,
    maxRequestBodySizeBytes: settings.maxRequestBodySize > 0 ? settings.maxRequestBodySize : requestBodyBytesMax,
    cors: corsOf(settings.cors),
    compressionAlgorithms: settings.compressionAlgorithms[0] === '*' ? undefined : settings.compressionAlgorithms,
  };
}

function udpOf(of: { settings: Resolved<typeof udpServer>; address: Address }): UdpEndpoint {
  const { settings, address } = of;
  return {
    ...address,
    queueSize: settings.queueSize > 0 ? settings.queueSize : 10_000,
    maxPacketBytes: settings.maxPacketSize > 0 ? settings.maxPacketSize : 65_000,
    workers: settings.workers > 0 ? settings.workers : 10,
    socketBufferBytes: Math.max(0, settings.socketBufferSize),
  };
}
