/**
 * Traces in a file, as the file exporter of the OpenTelemetry Collector writes them, an ExportTraceServiceRequest a trace:
 *
 * ```
 *  otlp        length u32, big-endian · protobuf · length · protobuf · …        its `format: proto`
 *  otlp-json   JSON \n JSON \n …                                                its `format: json`; receivers of OTLP JSON read it
 * ```
 */
import type fs from 'node:fs';
import { otlpJsonToProto } from '../receive/otlp-json.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { otlpToOtlpJson } from '../wire/otlp-to-json.ts';

export type OtlpForm = 'otlp' | 'otlp-json';

/** No trace is larger than what a server takes, and a broken length is found out. */
const REQUEST_BYTES_MAX = 512 * 1024 * 1024;
const LENGTH_BYTES = 4;
const LINE_FEED = Buffer.from('\n');

/** One request as it stands in the file. Throws VivaceError. */
export function otlpRecord(form: OtlpForm, request: Uint8Array): Uint8Array {
  if (form === 'otlp-json') return Buffer.concat([otlpToOtlpJson(request), LINE_FEED]);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(request.length);
  return Buffer.concat([length, request]);
}

/** The requests of a file in protobuf, with where each ends. Throws VivaceError that names the place. */
export async function* otlpRequests(
  file: fs.promises.FileHandle,
  form: OtlpForm,
): AsyncGenerator<{ request: Uint8Array; end: number }> {
  let number = 0;
  let end = 0;
  for await (const record of form === 'otlp' ? protobufRecords(file) : lines(file)) {
    number++;
    end += record.length + (form === 'otlp' ? LENGTH_BYTES : 1);
    if (form === 'otlp') yield { request: record, end };
    else if (record.some((byte) => byte > 0x20))
      try {
        yield { request: otlpJsonToProto(record), end };
      } catch (error) {
        throw new VivaceError('undecodable', `line ${number}: ${messageOf(error)}`, { cause: error });
      }
  }
}

async function* protobufRecords(file: fs.promises.FileHandle): AsyncGenerator<Uint8Array> {
  const { size } = await file.stat();
  for (let at = 0; at < size; ) {
    const length = await readAt(file, at, LENGTH_BYTES, size);
    const bytes = Buffer.from(length).readUInt32BE();
    if (bytes > REQUEST_BYTES_MAX) throw new VivaceError('undecodable', `no length of a request at byte ${at}`);
    yield await readAt(file, at + LENGTH_BYTES, bytes, size);
    at += LENGTH_BYTES + bytes;
  }
}

/** Exactly so many bytes. Throws VivaceError when the file, `size` bytes long, ends before. */
export async function readAt(
  file: fs.promises.FileHandle,
  offset: number,
  length: number,
  size: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (offset < 0 || offset + length > size) throw new VivaceError('undecodable', `the file is cut off at byte ${size}`);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, length - at, offset + at);
    if (bytesRead === 0) throw new VivaceError('undecodable', `the file is cut off at byte ${offset + at}`);
    at += bytesRead;
  }
  return bytes;
}

/** Lines are told by their bytes: texts may hold what Unicode calls a line separator. */
async function* lines(file: fs.promises.FileHandle): AsyncGenerator<Uint8Array> {
  let pieces: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of file.createReadStream({ autoClose: false, start: 0 }) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      yield Buffer.concat([...pieces, chunk.subarray(from, at)]);
      pieces = [];
      bytes = 0;
      from = at + 1;
    }
    pieces.push(chunk.subarray(from));
    bytes += chunk.length - from;
    if (bytes > REQUEST_BYTES_MAX)
      throw new VivaceError('too-large', `a line is longer than ${REQUEST_BYTES_MAX} bytes`);
  }
  if (bytes > 0) yield Buffer.concat(pieces);
}
