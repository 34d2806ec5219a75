/**
 * Server reflection, v1 and v1alpha, which differ in name only: clients like grpcurl learn the services and messages
 * without .proto files. Source: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
 */
import { DESCRIPTOR_FILES, type DescriptorFile } from './descriptors.ts';
import type { GrpcService } from './grpc.ts';
import { ProtoReader, ProtoWriter, tagOf, WIRE_BYTES, WIRE_VARINT } from './protobuf.ts';
import { GRPC_INVALID_ARGUMENT, GRPC_NOT_FOUND } from './rpc-status.ts';

/** Fields of ServerReflectionRequest. */
const FILE_BY_FILENAME = 3;
const FILE_CONTAINING_SYMBOL = 4;
const FILE_CONTAINING_EXTENSION = 5;
const ALL_EXTENSION_NUMBERS_OF_TYPE = 6;
const LIST_SERVICES = 7;

const REQUEST_BYTES_MAX = 64 << 10;

/** The service for a router. It tells of the given other services, as far as proto/ describes them, and of itself. */
export function grpcReflection(...services: GrpcService[]): GrpcService {
  const names = new Set<string>(['grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection']);
  for (const service of services)
    for (const path of Object.keys(service)) names.add(path.slice(1, path.lastIndexOf('/')));
  const listed = [...names].sort();

  async function* handle(requests: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const request of requests) yield answer(request, listed);
  }

  const method = { kind: 'bidi', maxRequestBytes: REQUEST_BYTES_MAX, handle } as const;
  return {
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': method,
    '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': method,
  };
}

function answer(request: Uint8Array, services: readonly string[]): Uint8Array {
  const reader = new ProtoReader(request);
  let field = 0;
  let text = '';
  let host = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === tagOf(1, WIRE_BYTES)) host = reader.stringValue();
    else if (tag === tagOf(FILE_CONTAINING_EXTENSION, WIRE_BYTES)) {
      field = FILE_CONTAINING_EXTENSION;
      reader.skip(tag);
    } else if ((tag & 7) === WIRE_BYTES && tag >>> 3 >= FILE_BY_FILENAME && tag >>> 3 <= LIST_SERVICES) {
      field = tag >>> 3;
      text = reader.stringValue();
    } else reader.skip(tag);
  }
  const out = new ProtoWriter(1024);
  out.stringField(tagOf(1, WIRE_BYTES), host);
  out.bytesField(tagOf(2, WIRE_BYTES), request);
  switch (field) {
    case FILE_BY_FILENAME:
      writeFiles(
        out,
        DESCRIPTOR_FILES.find((file) => file.name === text),
        text,
      );
      break;
    case FILE_CONTAINING_SYMBOL:
      writeFiles(
        out,
        DESCRIPTOR_FILES.find((file) => file.symbols.includes(text)),
        text,
      );
      break;
    case FILE_CONTAINING_EXTENSION:
    case ALL_EXTENSION_NUMBERS_OF_TYPE:
      writeError(out, GRPC_NOT_FOUND, 'there are no extensions');
      break;
    case LIST_SERVICES:
      writeServices(out, services);
      break;
    default:
      writeError(out, GRPC_INVALID_ARGUMENT, 'the request asks for nothing that is known');
  }
  return out.finish();
}

/** The file and all it imports, so that the client need not ask again. */
function writeFiles(out: ProtoWriter, file: DescriptorFile | undefined, asked: string): void {
  if (file === undefined) {
    writeError(out, GRPC_NOT_FOUND, `not found: ${asked}`);
    return;
  }
  const response = out.begin(tagOf(4, WIRE_BYTES), 2);
  for (const one of withImports(file, new Set()))
    out.bytesField(tagOf(1, WIRE_BYTES), Buffer.from(one.base64, 'base64'));
  out.end(response, 2);
}

function withImports(file: DescriptorFile, seen: Set<DescriptorFile>): Set<DescriptorFile> {
  seen.add(file);
  for (const other of DESCRIPTOR_FILES)
    if (file.imports.includes(other.name) && !seen.has(other)) withImports(other, seen);
  return seen;
}

function writeServices(out: ProtoWriter, services: readonly string[]): void {
  const list = out.begin(tagOf(6, WIRE_BYTES), 2);
  for (const name of services) {
    const service = out.begin(tagOf(1, WIRE_BYTES));
    out.stringField(tagOf(1, WIRE_BYTES), name);
    out.end(service);
  }
  out.end(list, 2);
}

function writeError(out: ProtoWriter, code: number, message: string): void {
  const error = out.begin(tagOf(7, WIRE_BYTES));
  out.varintField(tagOf(1, WIRE_VARINT), code);
  out.stringField(tagOf(2, WIRE_BYTES), message);
  out.end(error);
}
