import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import {
  create,
  createFileRegistry,
  type DescMessage,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import * as grpcJs from '@grpc/grpc-js';
import { DESCRIPTOR_FILES } from './descriptors.ts';
import { grpcRouter } from './grpc.ts';
import { grpcHealth } from './grpc-health.ts';
import { grpcReflection } from './grpc-reflection.ts';
import { type Listener, listen } from './listener.ts';

const file = DESCRIPTOR_FILES.map(({ base64 }) => fromBinary(FileDescriptorProtoSchema, Buffer.from(base64, 'base64')));
const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }));
const EXPORT = 'opentelemetry.proto.collector.trace.v1.TraceService';

let up: boolean | undefined = true;
let listener: Listener;
let client: grpcJs.Client;

before(async () => {
  const health = grpcHealth((service) => (service === '' ? up : undefined));
  const traces = { [`/${EXPORT}/Export`]: { kind: 'unary', handle: async (message: Uint8Array) => message } } as const;
  const grpc = grpcRouter(health, traces, grpcReflection(health, traces));
  listener = await listen({ host: '127.0.0.1', port: 0, grpc });
  client = new grpcJs.Client(`127.0.0.1:${listener.port}`, grpcJs.credentials.createInsecure());
});

after(async () => {
  client.close();
  await listener.close(0);
});

function codec(name: string) {
  const type = registry.getMessage(name) as DescMessage;
  return {
    write: (json: object) => Buffer.from(toBinary(type, fromJson(type, json as never))),
    // biome-ignore lint/suspicious/noExplicitAny: JSON that the test walks
    read: (bytes: Buffer): any => toJson(type, fromBinary(type, bytes)),
  };
}

for (const version of ['v1', 'v1alpha']) {
  const request = codec(`grpc.reflection.${version}.ServerReflectionRequest`);
  const response = codec(`grpc.reflection.${version}.ServerReflectionResponse`);
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;

  it(`${version}: lists, describes, and says what it does not have, over one stream`, async () => {
    const call = client.makeBidiStreamRequest(path, request.write, response.read);
    const asked = [
      { listServices: '' },
      { fileContainingSymbol: EXPORT },
      { fileContainingSymbol: `${EXPORT}.Export` },
      { fileContainingSymbol: 'opentelemetry.proto.trace.v1.Span.Event' },
      { fileByFilename: 'grpc/health/v1/health.proto' },
      { fileContainingSymbol: 'no.such.Thing' },
      { fileContainingExtension: { containingType: 'x', extensionNumber: 1 } },
      {},
    ];
    for (const one of asked) call.write(one);
    call.end();
    const answers = await call.toArray();
    const services = answers[0].listServicesResponse.service.map((service: { name: string }) => service.name);
    const reflection = ['grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'];
    assert.deepEqual(services, ['grpc.health.v1.Health', ...reflection, EXPORT]);
    for (const [at, files] of [
      [1, 4],
      [2, 4],
      [3, 3],
      [4, 1],
    ]) {
      const protos = answers[at].fileDescriptorResponse.fileDescriptorProto;
      assert.equal(protos.length, files, 'the file and all it imports');
      const set = protos
        .map((text: string) => fromBinary(FileDescriptorProtoSchema, Buffer.from(text, 'base64')))
        .reverse();
      const names = new Set(set.map((one: { name: string }) => one.name));
      for (const one of set) for (const dependency of one.dependency) assert.ok(names.has(dependency));
    }
    assert.deepEqual(
      answers.slice(5).map((answer) => answer.errorResponse.errorCode),
      [5, 5, 3],
    );
    assert.deepEqual(answers[1].originalRequest, asked[1]);
  });
}

const healthRequest = codec('grpc.health.v1.HealthCheckRequest');
const healthResponse = codec('grpc.health.v1.HealthCheckResponse');

function check(service: string): Promise<unknown> {
  return new Promise((resolve) =>
    client.makeUnaryRequest(
      '/grpc.health.v1.Health/Check',
      healthRequest.write,
      healthResponse.read,
      { service },
      (error, answer) => resolve(error?.code ?? answer?.status),
    ),
  );
}

it('health: serving, not serving, unknown', async () => {
  up = true;
  assert.equal(await check(''), 'SERVING');
  up = false;
  assert.equal(await check(''), 'NOT_SERVING');
  assert.equal(await check('no.such.Service'), grpcJs.status.NOT_FOUND);
});

it('health: a watcher sees changes', async () => {
  up = true;
  const path = '/grpc.health.v1.Health/Watch';
  const call = client.makeServerStreamRequest(path, healthRequest.write, healthResponse.read, { service: '' });
  const seen: string[] = [];
  for await (const { status } of call) {
    seen.push(status);
    up = false;
    if (seen.length === 2) break;
  }
  assert.deepEqual(seen, ['SERVING', 'NOT_SERVING']);
  call.on('error', () => {});
  call.cancel();
});
