/**
 * A real OpenTelemetry Collector for tests, which receives Jaeger, Zipkin and OTLP and forwards everything twice, by
 * OTLP over gRPC and over HTTP; and telemetrygen, which sends. Both are built from `tests/collector`.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  type Cleanup,
  environment,
  freePorts,
  later,
  ROOT,
  temporaryFolder,
  until,
  watch,
} from '../process/server.fixture.ts';
import { goProgramHere, type Program } from './program.fixture.ts';

const TELEMETRYGEN = 'github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen';

/** The Collector; `telemetrygen` lies beside it. */
export function collectorProgram(): Promise<Program> {
  return goProgramHere('a real OpenTelemetry Collector', path.join(ROOT, 'tests/collector'), [TELEMETRYGEN]);
}

export interface CollectorPorts {
  otlpGrpc: number;
  otlpHttp: number;
  jaegerGrpc: number;
  jaegerHttp: number;
  /** UDP. */
  compact: number;
  binary: number;
  zipkin: number;
}

/** Where it forwards to: host:port of OTLP/gRPC and of OTLP/HTTP, each with the tenant that it says. */
export interface CollectorTargets {
  grpc: { endpoint: string; tenant: string };
  http: { endpoint: string; tenant: string };
}

/** Starts it on free ports; what it cannot send it loses, and says so. */
export async function startCollector(t: Cleanup, file: string, { grpc, http }: CollectorTargets) {
  const [some, others] = [await freePorts(), await freePorts()];
  const ports: CollectorPorts = {
    otlpGrpc: some.grpc,
    otlpHttp: some.http,
    jaegerGrpc: some.api,
    jaegerHttp: some.internalGrpc,
    compact: others.api,
    binary: others.http,
    zipkin: others.grpc,
  };
  const at = (port: number): string => `{endpoint: "127.0.0.1:${port}"}`;
  const config = path.join(temporaryFolder(t, 'collector'), 'collector.yaml');
  const now = 'sending_queue: {enabled: false}, retry_on_failure: {enabled: false}';
  fs.writeFileSync(
    config,
    `receivers:
  otlp: {protocols: {grpc: ${at(ports.otlpGrpc)}, http: ${at(ports.otlpHttp)}}}
  jaeger:
    protocols:
      grpc: ${at(ports.jaegerGrpc)}
      thrift_http: ${at(ports.jaegerHttp)}
      thrift_compact: ${at(ports.compact)}
      thrift_binary: ${at(ports.binary)}
  zipkin: ${at(ports.zipkin)}
exporters:
  otlp_grpc: {endpoint: "${grpc.endpoint}", tls: {insecure: true}, headers: {X-Scope-OrgID: ${grpc.tenant}}, ${now}}
  otlp_http: {endpoint: "http://${http.endpoint}", compression: zstd, headers: {X-Scope-OrgID: ${http.tenant}}, ${now}}
service:
  pipelines:
    traces: {receivers: [otlp, jaeger, zipkin], exporters: [otlp_grpc, otlp_http]}
`,
  );
  const started = watch(file, ['--config', config], environment());
  later(t, async () => {
    started.child.kill('SIGKILL');
    await started.exited;
  });
  await until(
    'the Collector is ready',
    () => {
      if (started.child.exitCode !== null) throw new Error(`the Collector ended\n${started.stderr()}`);
      return started.stderr().includes('Everything is ready');
    },
    30_000,
    started.stderr,
  );
  return { ports, stderr: started.stderr };
}
