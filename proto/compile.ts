/**
 * Compiles every .proto file in this folder to src/wire/descriptors.ts, for server reflection:
 *
 *   node proto/compile.ts
 *
 * The parser is protobufjs, which comes with @grpc/grpc-js (a development dependency); the descriptors are written by
 * @bufbuild/protobuf. Commit the result.
 */
import fs from 'node:fs';
import path from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import protobufjs from 'protobufjs';

const here = import.meta.dirname;
const files = fs
  .globSync('**/*.proto', { cwd: here })
  .map((file) => file.split(path.sep).join('/'))
  .sort();

const root = new protobufjs.Root();
const parsed = new Map(files.map((file) => [file, parse(file)]));
root.resolveAll();
const compiled = importsFirst(files).map(compile);
const target = path.join(here, '../src/wire/descriptors.ts');
fs.writeFileSync(target, source(compiled));
console.log(`${target}: ${compiled.length} files`);

function parse(file: string) {
  protobufjs.parse.filename = file;
  return protobufjs.parse(fs.readFileSync(path.join(here, file), 'utf8'), root, { keepCase: true });
}

/** In the order of a FileDescriptorSet: every file behind those that it imports. */
function importsFirst(names: readonly string[], done = new Set<string>()): string[] {
  for (const name of names) {
    if (done.has(name)) continue;
    importsFirst(parsed.get(name)!.imports ?? [], done);
    done.add(name);
  }
  return [...done];
}

interface CompiledFile {
  name: string;
  imports: string[];
  symbols: string[];
  services: string[];
  bytes: Uint8Array;
}

function compile(name: string): CompiledFile {
  const { package: packageName, imports = [] } = parsed.get(name)!;
  const scope = root.lookup(packageName!) as protobufjs.Namespace;
  const symbols: string[] = [];
  const services: string[] = [];
  const descriptor = {
    name,
    package: packageName,
    dependency: imports,
    syntax: 'proto3',
    messageType: [] as Partial<DescriptorProto>[],
    enumType: [] as Partial<EnumDescriptorProto>[],
    service: [] as unknown[],
  };
  for (const object of scope.nestedArray) {
    if (object.filename !== name) continue;
    if (object instanceof protobufjs.Type) descriptor.messageType.push(message(object, symbols));
    else if (object instanceof protobufjs.Enum) descriptor.enumType.push(enumeration(object, symbols));
    else if (object instanceof protobufjs.Service) {
      services.push(fullName(object));
      symbols.push(fullName(object));
      const method = object.methodsArray.map((rpc) => {
        symbols.push(`${fullName(object)}.${rpc.name}`);
        return {
          name: rpc.name,
          inputType: `.${fullName(rpc.resolvedRequestType!)}`,
          outputType: `.${fullName(rpc.resolvedResponseType!)}`,
          clientStreaming: rpc.requestStream || undefined,
          serverStreaming: rpc.responseStream || undefined,
        };
      });
      descriptor.service.push({ name: object.name, method });
    }
  }
  const init = descriptor as Parameters<typeof create<typeof FileDescriptorProtoSchema>>[1];
  const bytes = toBinary(FileDescriptorProtoSchema, create(FileDescriptorProtoSchema, init));
  return { name, imports, symbols, services, bytes };
}

function message(type: protobufjs.Type, symbols: string[]): Partial<DescriptorProto> {
  symbols.push(fullName(type));
  const nestedType: Partial<DescriptorProto>[] = [];
  const enumType: Partial<EnumDescriptorProto>[] = [];
  for (const object of type.nestedArray) {
    if (object instanceof protobufjs.Type) nestedType.push(message(object, symbols));
    else if (object instanceof protobufjs.Enum) enumType.push(enumeration(object, symbols));
  }
  const oneofs = type.oneofsArray;
  const field = type.fieldsArray.map((one) => {
    if (one instanceof protobufjs.MapField) nestedType.push(mapEntry(one));
    return fieldOf(one, oneofs);
  });
  const oneofDecl = oneofs.map(({ name }) => ({ name }));
  return { name: type.name, field, nestedType, enumType, oneofDecl } as Partial<DescriptorProto>;
}

function fieldOf(field: protobufjs.Field, oneofs: protobufjs.OneOf[]): Partial<FieldDescriptorProto> {
  const isMap = field instanceof protobufjs.MapField;
  const type = isMap ? 11 : typeNumber(field.type, field.resolvedType);
  const typeName = isMap ? `.${fullName(field.parent!)}.${entryName(field)}` : typeNameOf(field.resolvedType);
  return {
    name: field.name,
    number: field.id,
    label: field.repeated || isMap ? 3 : 1,
    type,
    typeName,
    oneofIndex: field.partOf ? oneofs.indexOf(field.partOf) : undefined,
    proto3Optional: field.options?.['proto3_optional'] || undefined,
    jsonName: field.name.replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
  } as Partial<FieldDescriptorProto>;
}

function mapEntry(field: protobufjs.MapField): Partial<DescriptorProto> {
  const key = { name: 'key', number: 1, label: 1, type: typeNumber(field.keyType, null), jsonName: 'key' };
  const type = typeNumber(field.type, field.resolvedType);
  const value = {
    name: 'value',
    number: 2,
    label: 1,
    type,
    typeName: typeNameOf(field.resolvedType),
    jsonName: 'value',
  };
  return {
    name: entryName(field),
    field: [key, value],
    options: { mapEntry: true },
  } as unknown as Partial<DescriptorProto>;
}

function entryName(field: protobufjs.MapField): string {
  return `${field.name.replace(/(?:^|_)([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase())}Entry`;
}

function enumeration(type: protobufjs.Enum, symbols: string[]): Partial<EnumDescriptorProto> {
  symbols.push(fullName(type));
  const value = Object.entries(type.values).map(([name, number]) => ({ name, number }));
  return { name: type.name, value } as Partial<EnumDescriptorProto>;
}

function typeNumber(type: string, resolved: protobufjs.ReflectionObject | null): number {
  if (resolved !== null) return resolved instanceof protobufjs.Enum ? 14 : 11;
  const scalars =
    'double float int64 uint64 int32 fixed64 fixed32 bool string group message bytes uint32 enum sfixed32 sfixed64 sint32 sint64';
  return scalars.split(' ').indexOf(type) + 1;
}

function typeNameOf(resolved: protobufjs.ReflectionObject | null): string | undefined {
  return resolved === null ? undefined : `.${fullName(resolved)}`;
}

function fullName(object: protobufjs.ReflectionObject): string {
  return object.fullName.slice(1);
}

function source(all: CompiledFile[]): string {
  const rows = all.map(({ name, imports, symbols, services, bytes }) => {
    const lines = Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,100}/g)!;
    return `  {
    name: ${quote(name)},
    imports: [${imports.map(quote).join(', ')}],
    services: [${services.map(quote).join(', ')}],
    symbols: [
${symbols.map((symbol) => `      ${quote(symbol)},`).join('\n')}
    ],
    base64: [
${lines.map((line) => `      ${quote(line)},`).join('\n')}
    ].join(''),
  },`;
  });
  return `/** Made by \`node proto/compile.ts\` from proto/: change those and make this anew. */
// biome-ignore-all format: generated

/** A .proto file for server reflection; \`base64\` is its FileDescriptorProto. */
export interface DescriptorFile {
  readonly name: string;
  readonly imports: readonly string[];
  readonly services: readonly string[];
  /** Full names of its messages, enums, services and methods. */
  readonly symbols: readonly string[];
  readonly base64: string;
}

export const DESCRIPTOR_FILES: readonly DescriptorFile[] = [
${rows.join('\n')}
];
`;
}

function quote(text: string): string {
  return `'${text}'`;
}
