/**
 * The outline of an ExportTraceServiceRequest, without looking into spans: request → ResourceSpans (1) → ScopeSpans (2)
 * → Span (2). Costs a few bytes a span, so it can precede every hand-over.
 */

/** Number of spans; -1 when the outline is broken (the decoder that follows will say where). */
export function countSpans(body: Uint8Array): number {
  return countAt(body, 0, body.length, 0);
}

/** The field that leads one level down: resource_spans, scope_spans, spans. */
const FIELD_AT_DEPTH = [1, 2, 2];
/** ResourceSpans.1000: ScopeSpans under an old number, of which the decoder knows when they count. */
const LEGACY_SCOPE_SPANS = 1000;

/** Walks one message; at depth 2 the spans themselves are counted and stepped over. */
function countAt(body: Uint8Array, at: number, end: number, depth: number): number {
  let spans = 0;
  let legacySpans = 0;
  let scopes = false;
  while (at < end) {
    let tag = 0;
    let byte = body[at++];
    if (byte < 0x80) tag = byte;
    else {
      tag = byte & 0x7f;
      for (let shift = 7; byte >= 0x80; shift += 7) {
        if (at >= end || shift > 28) return -1;
        byte = body[at++];
        tag |= (byte & 0x7f) << shift;
      }
    }
    const wire = tag & 7;
    if (wire === 0) {
      for (let i = 0; ; i++) {
        if (at >= end || i === 10) return -1;
        if (body[at++] < 0x80) break;
      }
    } else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire !== 2) return -1;
    else {
      let size = 0;
      let scale = 1;
      do {
        if (at >= end || scale > 2 ** 35) return -1;
        byte = body[at++];
        size += (byte & 0x7f) * scale;
        scale *= 128;
      } while (byte >= 0x80);
      const next = at + size;
      if (next > end) return -1;
      const field = tag >>> 3;
      if (field === FIELD_AT_DEPTH[depth]) {
        const inside = depth === 2 ? 1 : countAt(body, at, next, depth + 1);
        if (inside < 0) return -1;
        spans += inside;
        scopes = true;
      } else if (depth === 1 && field === LEGACY_SCOPE_SPANS) {
        const inside = countAt(body, at, next, 2);
        if (inside < 0) return -1;
        legacySpans += inside;
      }
      at = next;
    }
  }
  if (at > end) return -1;
  return scopes ? spans : spans + legacySpans;
}
