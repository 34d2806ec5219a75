/** One entry of a live column as the OTLP KeyValue message that it came from. */
import { TYPE_BOOL, TYPE_DOUBLE, TYPE_INT, TYPE_STRING, type ValueType } from './layout.ts';
import type { LiveView } from './live-view.ts';
import { keyValueBytes, lengthDelimited } from './message.ts';

/** KeyValue{key, value} of entry `entry` in `values` (one or two words a value, by type). */
export function encodeKeyValue(
  key: Uint8Array,
  type: ValueType,
  values: Uint32Array,
  entry: number,
  view: LiveView,
): Uint8Array {
  return keyValueBytes(key, encodeAnyValue(type, values, entry, view)).bytes;
}

function encodeAnyValue(type: ValueType, values: Uint32Array, entry: number, view: LiveView): Uint8Array {
  if (type === TYPE_STRING) return lengthDelimited(0x0a, view.stringBytes(values[entry]));
  if (type === TYPE_BOOL) return Uint8Array.of(0x10, values[entry]);
  if (type === TYPE_DOUBLE) {
    const out = new Uint8Array(9);
    const view64 = new DataView(out.buffer);
    out[0] = 0x21;
    view64.setUint32(1, values[2 * entry], true);
    view64.setUint32(5, values[2 * entry + 1], true);
    return out;
  }
  if (type === TYPE_INT) {
    const out: number[] = [0x18];
    let low = values[2 * entry] >>> 0;
    let high = values[2 * entry + 1] >>> 0;
    while (high !== 0 || low > 127) {
      out.push((low & 127) | 128);
      low = ((low >>> 7) | ((high & 127) << 25)) >>> 0;
      high >>>= 7;
    }
    out.push(low);
    return Uint8Array.from(out);
  }
  return view.stringBytes(values[entry]);
}
