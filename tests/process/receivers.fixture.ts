/** A server with receivers of other protocols, each on a free port. */
import fs from 'node:fs';
import path from 'node:path';
import { type Cleanup, freePorts, type Server, startServer } from './server.fixture.ts';
import { ask } from './spans.fixture.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers of the API, taken apart by assertions.
export type Json = any;

export interface ReceiverPorts {
  jaegerGrpc: number;
  jaegerHttp: number;
  compact: number;
  binary: number;
  zipkin: number;
  opencensus: number;
}

export interface ReceivingServer extends Server {
  receivers: ReceiverPorts;
  /** Starts it again with the same file, folder and ports. */
  again(): Promise<Server>;
}

export interface ReceivingOptions {
  directory: string;
  multitenancy?: boolean;
  /** Lines of YAML after those of the receivers. */
  more?: string;
  zipkin?: string;
  /** Lines of YAML for more receivers. */
  receivers?: string;
}

export async function startReceiving(t: Cleanup, options: ReceivingOptions): Promise<ReceivingServer> {
  const some = await freePorts();
  const others = await freePorts();
  const receivers: ReceiverPorts = {
    jaegerGrpc: some.api,
    jaegerHttp: some.http,
    compact: some.grpc,
    binary: some.internalGrpc,
    zipkin: others.api,
    opencensus: others.http,
  };
  const at = (port: number): string => `{endpoint: "127.0.0.1:${port}"}`;
  const file = path.join(options.directory, 'receivers.yaml');
  fs.writeFileSync(
    file,
    `multitenancy_enabled: ${options.multitenancy ?? false}
distributor:
  receivers:
    otlp: {protocols: {grpc: , http: }}
    jaeger:
      protocols:
        grpc: ${at(receivers.jaegerGrpc)}
        thrift_http: ${at(receivers.jaegerHttp)}
        thrift_compact: ${at(receivers.compact)}
        thrift_binary: ${at(receivers.binary)}
    zipkin: {endpoint: "127.0.0.1:${receivers.zipkin}"${options.zipkin ?? ''}}
    opencensus: ${at(receivers.opencensus)}
${options.receivers ?? ''}${options.more ?? ''}`,
  );
  const start = { directory: options.directory, flags: [`--config.file=${file}`] };
  const server = await startServer(t, start);
  return { ...server, receivers, again: () => startServer(t, { ...start, ports: server.ports }) };
}

/** The spans of a trace as the API shows them, with the attributes of their resource; undefined if there is none. */
export async function traceOf(server: Server, traceId: string, tenant?: string): Promise<Json[] | undefined> {
  const headers: Record<string, string> = tenant === undefined ? {} : { 'X-Scope-OrgID': tenant };
  const answer = await ask(`${server.url}/api/traces/${traceId}`, { headers });
  if (answer.status === 404) return undefined;
  const { batches } = JSON.parse(answer.body.toString());
  return batches.flatMap(({ resource, scopeSpans }: Json) =>
    scopeSpans.flatMap(({ scope, spans }: Json) =>
      spans.map((span: Json) => ({
        ...span,
        scope,
        attributes: attributesOf(span.attributes),
        resource: attributesOf(resource.attributes),
      })),
    ),
  );
}

/** Values by key, of whatever type. */
export function attributesOf(list: Json[] = []): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }: Json) => [key, Object.values(value ?? {})[0]]));
}

/** The sum of a metric over all its labels that match. */
export async function metricOf(server: Server, name: string, labels = ''): Promise<number> {
  const text = (await ask(`${server.url}/metrics`)).body.toString();
  let sum = 0;
  for (const [, seen, value] of text.matchAll(new RegExp(`^${name}(?:\\{([^}]*)\\})? (\\S+)`, 'gm')))
    if ((seen ?? '').includes(labels)) sum += Number(value);
  return sum;
}
