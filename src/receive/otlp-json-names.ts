/** The names of OTLP/JSON's members, lowerCamelCase and snake_case alike, found by their bytes in a hash table. */

/** The members that mean something; every name's number. */
export const N = {
  resourceSpans: 1,
  resource: 2,
  scopeSpans: 3,
  schemaUrl: 4,
  attributes: 5,
  droppedAttributesCount: 6,
  entityRefs: 7,
  type: 8,
  idKeys: 9,
  descriptionKeys: 10,
  scope: 11,
  spans: 12,
  name: 13,
  version: 14,
  traceId: 15,
  spanId: 16,
  traceState: 17,
  parentSpanId: 18,
  kind: 19,
  startTimeUnixNano: 20,
  endTimeUnixNano: 21,
  events: 22,
  droppedEventsCount: 23,
  links: 24,
  droppedLinksCount: 25,
  status: 26,
  flags: 27,
  timeUnixNano: 28,
  message: 29,
  code: 30,
  key: 31,
  value: 32,
  stringValue: 33,
  boolValue: 34,
  intValue: 35,
  doubleValue: 36,
  arrayValue: 37,
  kvlistValue: 38,
  bytesValue: 39,
  values: 40,
} as const;

/** Far more slots than names, so that a probe rarely meets another name. */
const SLOTS = 512;
const SLOT_IDS = new Uint8Array(SLOTS);
const SLOT_NAMES: Uint8Array[] = [];

for (const [name, id] of Object.entries(N)) {
  insert(name, id);
  const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  if (snake !== name) insert(snake, id);
}

function insert(name: string, id: number): void {
  const bytes = Buffer.from(name);
  let slot = hash(bytes, 0, bytes.length);
  while (SLOT_IDS[slot] !== 0) slot = (slot + 1) % SLOTS;
  SLOT_IDS[slot] = id;
  SLOT_NAMES[slot] = bytes;
}

/** The number in `N` of the name bytes[start … end), 0 if it is not there. */
export function memberId(bytes: Uint8Array, start: number, end: number): number {
  for (let slot = hash(bytes, start, end); SLOT_IDS[slot] !== 0; slot = (slot + 1) % SLOTS)
    if (equal(SLOT_NAMES[slot], bytes, start, end)) return SLOT_IDS[slot];
  return 0;
}

/** Over the first bytes only: a hostile name may be megabytes long. */
function hash(bytes: Uint8Array, start: number, end: number): number {
  let value = end - start;
  const stop = Math.min(end, start + 24);
  for (let i = start; i < stop; i++) value = (Math.imul(value, 31) + bytes[i]) | 0;
  return (value ^ (value >>> 9)) & (SLOTS - 1);
}

function equal(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[start + i]) return false;
  return true;
}
