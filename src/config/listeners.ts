/**
 * Which sockets a process opens. Endpoints of the same port share one socket when their addresses are equal or one of
 * them is a wildcard; whoever accepts a connection tells the protocols apart by its first bytes and the handlers by path.
 */
import { VivaceError } from '../runtime/errors.ts';
import type { UdpEndpoint } from './foreign-receivers.ts';
import type { Configuration } from './load.ts';
import { sameTls, serverTls, type TlsSettings } from './tls.ts';

export type Service =
  | 'api'
  | 'internal-grpc'
  | 'otlp-http'
  | 'otlp-grpc'
  | 'jaeger-http'
  | 'jaeger-grpc'
  | 'zipkin'
  | 'opencensus';

/** One receiver at an address, by its id in the configuration. */
export interface ReceiverAt {
  service: Service;
  id: string;
}

export interface Listener {
  /** Empty is every interface, IPv6 too where there is any: what Node takes a missing host for. */
  host: string;
  /** 0 lets the system choose. */
  port: number;
  /** In the order of `Service`, without repetition. */
  serves: Service[];
  /** Absent: plain. */
  tls?: TlsSettings;
  /** The receivers among them, one by one. */
  receivers: ReceiverAt[];
}

/** A UDP socket. */
export interface DatagramListener {
  host: string;
  port: number;
  protocol: 'compact' | 'binary';
  /** The receiver's id, and its settings. */
  id: string;
  endpoint: UdpEndpoint;
}

/** Targets that receive spans. */
const receivingTargets = ['all', 'scalable-single-binary', 'distributor'];

/** Throws `invalid` when endpoints share a socket and not their TLS, or when TLS is only half configured. */
export function listenersOf(config: Configuration): Listener[] {
  const listeners: Listener[] = [];
  for (const endpoint of endpointsOf(config)) merge(listeners, endpoint);
  return listeners;
}

/** Datagrams need no sharing: a UDP socket has one reader. */
export function datagramListenersOf(config: Configuration): DatagramListener[] {
  if (!receivingTargets.includes(config.target)) return [];
  return Object.entries(config.distributor.receivers.foreign.jaeger).flatMap(([id, receiver]) =>
    (
      [
        ['compact', receiver.thriftCompact],
        ['binary', receiver.thriftBinary],
      ] as const
    ).flatMap(([protocol, endpoint]) =>
      endpoint === undefined ? [] : [{ host: endpoint.host, port: endpoint.port, protocol, id, endpoint }],
    ),
  );
}

type Endpoint = { host: string; port: number; service: Service; id?: string; tls?: TlsSettings };

function* endpointsOf(config: Configuration): Generator<Endpoint> {
  const { server, distributor } = config;
  if (!server.httpListenDisabled) {
    const tls = serverTls('server.http_tls_config', server.httpTlsConfig, server);
    yield { host: server.httpListenAddress, port: server.httpListenPort, service: 'api', tls };
  }
  if (!server.grpcListenDisabled) {
    const tls = serverTls('server.grpc_tls_config', server.grpcTlsConfig, server);
    yield { host: server.grpcListenAddress, port: server.grpcListenPort, service: 'internal-grpc', tls };
  }
  if (!receivingTargets.includes(config.target)) return;
  const { otlp, otlpNamed } = distributor.receivers;
  const receivers = [
    ['otlp', otlp] as const,
    ...Object.entries(otlpNamed).map(([name, each]) => [`otlp/${name}`, each] as const),
  ];
  for (const [id, { http }] of receivers) if (http) yield { ...http, service: 'otlp-http', id };
  for (const [id, { grpc }] of receivers) if (grpc) yield { ...grpc, service: 'otlp-grpc', id };
  const { jaeger, zipkin, opencensus } = distributor.receivers.foreign;
  for (const [id, { thriftHttp, grpc }] of Object.entries(jaeger)) {
    if (thriftHttp) yield { ...thriftHttp, service: 'jaeger-http', id };
    if (grpc) yield { ...grpc, service: 'jaeger-grpc', id };
  }
  for (const [id, each] of Object.entries(zipkin)) yield { ...each, service: 'zipkin', id };
  for (const [id, each] of Object.entries(opencensus)) yield { ...each, service: 'opencensus', id };
}

/** A wildcard swallows every socket of its port that it covers. */
function merge(listeners: Listener[], { host, port, service, id, tls }: Endpoint): void {
  const receivers = id === undefined ? [] : [{ service, id }];
  const wide: Listener = { host, port, serves: [service], receivers, ...(tls && { tls }) };
  if (port === 0) {
    listeners.push(wide);
    return;
  }
  const shared = listeners.filter((listener) => listener.port === port && overlap(listener.host, host));
  if (shared.length === 0) {
    listeners.push(wide);
    return;
  }
  const other = shared.find((listener) => !sameTls(listener.tls, tls));
  if (other !== undefined) {
    throw new VivaceError(
      'invalid',
      `invalid configuration: ${service} and ${other.serves.join(', ')} share port ${port} but not their TLS: give both the same certificates, or each its own port`,
    );
  }
  const kept = shared[0];
  for (const more of shared.slice(1)) {
    kept.host = wider(kept.host, more.host);
    for (const served of more.serves) serve(kept, served);
    kept.receivers.push(...more.receivers);
    listeners.splice(listeners.indexOf(more), 1);
  }
  kept.host = wider(kept.host, host);
  kept.receivers.push(...receivers);
  serve(kept, service);
}

function serve(listener: Listener, service: Service): void {
  if (!listener.serves.includes(service)) listener.serves.push(service);
}

function overlap(a: string, b: string): boolean {
  return isWildcard(a) || isWildcard(b) || plainHost(a) === plainHost(b);
}

/** Of two addresses that overlap the one that accepts what either does. */
function wider(a: string, b: string): string {
  if (plainHost(a) === plainHost(b)) return a;
  if (isWildcard(a) && isWildcard(b)) return '';
  const [wildcard, other] = isWildcard(a) ? [a, b] : [b, a];
  // 0.0.0.0 hears no IPv6, so it does not cover an IPv6 address.
  return wildcard === '0.0.0.0' && other.includes(':') ? '' : wildcard;
}

function isWildcard(host: string): boolean {
  return host === '' || host === '0.0.0.0' || host === '::';
}

function plainHost(host: string): string {
  return host === 'localhost' ? '127.0.0.1' : host.toLowerCase();
}
