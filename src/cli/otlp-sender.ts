/** Sends requests to a receiver of OTLP over HTTP, many small ones as one, and again while it asks for that. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ProtoReader, tagOf, WIRE_BYTES, WIRE_VARINT } from '../wire/protobuf.ts';
import { type HttpAnswer, httpGet } from './http-get.ts';
import { baseAndHeaders, refused, type ServerOptions, unreachable } from './server-source.ts';

export interface OtlpSender {
  /** As messages name it. */
  readonly url: string;
  /** Adds an ExportTraceServiceRequest; resolves when more may come. Rejects with VivaceError. */
  send(request: Uint8Array): Promise<void>;
  /** Sends what is left; what the receiver has refused of spans. */
  end(): Promise<{ rejected: number; reasons: string[] }>;
}

/** What is larger alone is sent alone. */
const BATCH_BYTES = 1024 * 1024;
const PATH = '/v1/traces';
/** Of one request; a receiver that is full for longer is down. */
const TRIES = 30;
const WAIT_MS = 500;
const WAIT_MS_MAX = 30_000;
const REASONS_MAX = 10;
/** The ones that OTLP says to come again for. */
const AGAIN = [429, 502, 503, 504];

export function otlpSender(options: ServerOptions, note: (text: string) => void): OtlpSender {
  const { base, headers } = baseAndHeaders(options);
  const url = new URL(base).pathname === '/' ? `${base}${PATH}` : base;
  const reasons = new Set<string>();
  let rejected = 0;
  let batch: Uint8Array[] = [];
  let bytes = 0;
  const post = async (body: Uint8Array): Promise<void> => {
    const asked = { Accept: 'application/x-protobuf', 'Content-Type': 'application/x-protobuf', ...headers };
    for (let attempt = 1; ; attempt++) {
      let answer: HttpAnswer;
      try {
        answer = await httpGet(
          url,
          { ...asked, 'Content-Length': String(body.length) },
          options.verifyTls,
          'POST',
          body,
        );
      } catch (error) {
        throw unreachable(base, error);
      }
      if (answer.status === 200) {
        const { spans, reason } = rejectedOf(answer);
        rejected += spans;
        if (spans > 0 && reasons.size < REASONS_MAX) reasons.add(reason);
        return;
      }
      if (!AGAIN.includes(answer.status) || attempt === TRIES) throw refused(url, answer);
      const waitMs = retryAfterMs(answer.retryAfter, Date.now()) ?? Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** (attempt - 1));
      if (attempt === 1) note(`${url} answered ${answer.status}: sending it again`);
      await sleep(waitMs);
    }
  };
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    // Repeated fields of messages behind one another are those of one message.
    const body = batch.length === 1 ? batch[0] : Buffer.concat(batch);
    batch = [];
    bytes = 0;
    await post(body);
  };
  return {
    url,
    async send(request) {
      if (bytes + request.length > BATCH_BYTES) await flush();
      batch.push(request);
      bytes += request.length;
      if (bytes >= BATCH_BYTES) await flush();
    },
    async end() {
      await flush();
      return { rejected, reasons: [...reasons] };
    },
  };
}

/** ExportTraceServiceResponse {1 partial success {1 rejected spans, 2 message}}. */
function rejectedOf({ type, body }: HttpAnswer): { spans: number; reason: string } {
  const found = { spans: 0, reason: '' };
  if (!type.includes('protobuf')) return found;
  const reader = new ProtoReader(body);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== tagOf(1, WIRE_BYTES)) {
      reader.skip(tag);
      continue;
    }
    const outer = reader.enter();
    for (let inner = reader.tag(); inner !== 0; inner = reader.tag())
      if (inner === tagOf(1, WIRE_VARINT)) found.spans = reader.varint();
      else if (inner === tagOf(2, WIRE_BYTES)) found.reason = reader.stringValue();
      else reader.skip(inner);
    reader.leave(outer);
  }
  return found;
}

/** Seconds, or a date; undefined for neither. */
function retryAfterMs(text: string, nowMs: number): number | undefined {
  const seconds = text === '' ? Number.NaN : Number(text);
  const ms = Number.isNaN(seconds) ? Date.parse(text) - nowMs : seconds * 1000;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
