/**
 * The traces that every golden answer is about, the same but for the base. All spans start within 50 minutes after it.
 * Hand-made traces (ids c0de…) each exercise one thing and carry a service of their own, so that a query can single them
 * out; generated traces (an online shop) give the volume.
 */
import { shop } from './shop.ts';
import { type Begin, requestOf, Trace } from './trace-builder.ts';
import { oddTraces } from './traces-of-oddities.ts';
import { shapeTraces } from './traces-of-shapes.ts';
import { valueTraces } from './traces-of-values.ts';
import { encode } from './wire.ts';

export interface Dataset {
  /** One ExportTraceServiceRequest an entry. */
  protobuf: Uint8Array[];
  traces: number;
  spans: number;
}

export function dataset(baseUnixSeconds: number): Dataset {
  const base = BigInt(baseUnixSeconds);
  const own = handmade(base);
  // A trace may arrive in several requests.
  const requests = own.flatMap((trace) => (trace.fragments ?? [trace.spans]).map(requestOf));
  const generated = shop(base);
  for (let i = 0; i < generated.length; i += 5)
    requests.push(requestOf(generated.slice(i, i + 5).flatMap((trace) => trace.spans)));
  const all = [...own, ...generated];
  return {
    protobuf: requests.map((request) => encode('ExportTraceServiceRequest', request)),
    traces: all.length,
    spans: all.reduce((sum, trace) => sum + trace.spans.length, 0),
  };
}

/** Every trace gets a place in the 50 minutes, and an id in which its number stands: 18 is c0de…12. */
function handmade(base: bigint): Trace[] {
  const traces: Trace[] = [];
  const begin: Begin = (number, { at, id } = {}) => {
    const trace = new Trace(base, id ?? `c0de${number.toString(16).padStart(28, '0')}`, at ?? 7 + traces.length * 53);
    traces.push(trace);
    return trace;
  };
  valueTraces(begin);
  shapeTraces(begin);
  oddTraces(begin);
  return traces;
}
