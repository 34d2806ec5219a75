/**
 * Traces in a notation for tests: a line a span, indented under its parent.
 *
 *   shop GET /cart 0-100
 *    bank charge 45-95 ! card declined
 *   mail send 110-120 ? 77
 *
 * Service, name, start and end in milliseconds; behind `!` the message of an error, behind `?` the number of a parent that is
 * not in the trace.
 */
import { encodeRequest, type SpanSpec } from '../query/segments.fixture.ts';
import { readTrace, type Trace } from './trace-spans.ts';

const LINE = /^( *)(\S+) (.+) (\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)(?: !(.*?))?(?: \? (\d+))?$/;

export function spansOf(text: string, trace = 1): SpanSpec[] {
  const spans: SpanSpec[] = [];
  const above: number[] = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const match = LINE.exec(line);
    if (match === null) throw new Error(`no span: ${line}`);
    const [, indent, service, name, from, to, message, parent] = match;
    const span = spans.length + 1;
    above.length = indent.length;
    const known = above.at(-1);
    above.push(span);
    spans.push({
      trace,
      span,
      ...(parent !== undefined ? { parent: Number(parent) } : known !== undefined && { parent: known }),
      name,
      kind: known === undefined ? 2 : 3,
      at: Number(from),
      ms: Number(to) - Number(from),
      resource: { 'service.name': service },
      ...(message !== undefined && { status: 2, message: message.trim() }),
    });
  }
  return spans;
}

/** The trace as it is read from OTLP bytes. */
export function traceOf(text: string): Trace {
  return readTrace(encodeRequest(spansOf(text)));
}
