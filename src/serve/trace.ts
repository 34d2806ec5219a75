/** `/api/traces/{id}` and `/api/v2/traces/{id}`: the whole trace (api.md §3). */
import { VivaceError } from '../runtime/errors.ts';
import { otlpToJson } from '../wire/otlp-to-json.ts';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_VARINT } from '../wire/protobuf.ts';
import { accepted } from './accept.ts';
import type { Call } from './api.ts';
import { int64Member, jsonObject, jsonString } from './json-text.ts';
import { parseTraceId, traceParameters } from './parameters.ts';
import type { TraceAnswer } from './queries.ts';
import { type Answer, JSON_TYPE, PROTOBUF, SIMPLIFIED, text } from './respond.ts';
import { splitSharedIds } from './shared-ids.ts';
import { simplifiedTrace } from './simplified-trace.ts';

const NOTHING: TraceAnswer = { trace: new Uint8Array(), inspectedBytes: 0 };

/** 404 without a body when it is unknown, 422 when only a part could be read. */
export async function traceV1(call: Call): Promise<Answer> {
  const found = await look(call);
  if (found === undefined) return { status: 404 };
  if (found.partial !== undefined) return text(422, `${tooLargeText(found.partial)}\n`);
  // That it does not exist would be a guess, and this version has no way to tell of a part.
  if (found.incomplete !== undefined && found.trace.length === 0)
    throw new VivaceError('internal', `cannot say whether the trace exists: ${found.incomplete}`);
  const form = accepted(call.accept);
  if (form === 'protobuf') return { status: 200, type: PROTOBUF, body: found.trace };
  // The simplified form exists only for v2, but the answer bears its name.
  return {
    status: 200,
    type: form === 'simplified' ? SIMPLIFIED : JSON_TYPE,
    body: otlpToJson(found.trace, 'batches'),
  };
}

/** Always 200: an unknown trace is an empty one, a part of one says so. */
export async function traceV2(call: Call): Promise<Answer> {
  const found = await look(call);
  switch (accepted(call.accept)) {
    case 'protobuf':
      return { status: 200, type: PROTOBUF, body: responseProtobuf(found ?? NOTHING) };
    case 'simplified':
      return {
        status: 200,
        type: `${SIMPLIFIED}+json`,
        body: found === undefined ? '{}' : simplifiedTrace({ ...found, partial: partOf(found) }),
      };
    case 'json':
      return { status: 200, type: JSON_TYPE, body: responseJson(found ?? NOTHING) };
  }
}

async function look(call: Call): Promise<TraceAnswer | undefined> {
  const id = parseTraceId(call.parameter);
  const { tenant, limits, signal } = call;
  const bounds = { ...traceParameters(call.url), bytesMax: limits.traceBytesMax };
  const found = await call.queries.trace({ tenant, id, ...bounds }, signal);
  return found && { ...found, trace: splitSharedIds(found.trace) };
}

function responseJson({ trace, inspectedBytes, ...rest }: TraceAnswer): Uint8Array {
  const partial = partOf(rest);
  const status = partial === undefined ? '' : `,"status":"PARTIAL","message":${jsonString(partial)}`;
  const after = `,"metrics":${jsonObject([int64Member('inspectedBytes', inspectedBytes)])}${status}}`;
  return otlpToJson(trace, 'resourceSpans', { before: '{"trace":', after });
}

/** `TraceByIDResponse`. Clients read `trace` without looking whether it is there, so it always is. */
function responseProtobuf({ trace, inspectedBytes, ...rest }: TraceAnswer): Uint8Array {
  const partial = partOf(rest);
  const out = new ProtoWriter(trace.length + 64);
  out.bytesField(tagOf(1, WIRE_BYTES), trace);
  const mark = out.begin(tagOf(2, WIRE_BYTES));
  if (inspectedBytes > 0) out.varintField(tagOf(1, WIRE_VARINT), inspectedBytes);
  out.end(mark);
  if (partial !== undefined) {
    out.varintField(tagOf(3, WIRE_VARINT), 1);
    out.stringField(tagOf(4, WIRE_BYTES), partial);
  }
  return out.finish();
}

/** Why the answer is a part. */
function partOf({ partial, incomplete }: Pick<TraceAnswer, 'partial' | 'incomplete'>): string | undefined {
  return partial ?? incomplete;
}

/** `Trace exceeds maximum size of N bytes, …` in the words that v1 has for it. */
function tooLargeText(partial: string): string {
  const bytes = /maximum size of (\d+) bytes/.exec(partial)?.[1];
  return bytes === undefined ? partial : `trace exceeds max size (max bytes: ${bytes})`;
}
