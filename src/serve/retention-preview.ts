/** What rules of retention come to, as `/api/retention/preview` answers it. */

export interface RetentionPreview {
  blocks: number;
  /** Blocks that could not be read. */
  missing: string[];
  /** The last one is what no rule applies to. */
  rules: {
    rule: string;
    traces: number;
    spans: number;
    bytes: number;
    droppedTraces: number;
    droppedSpans: number;
    droppedBytes: number;
  }[];
}

export function previewJson({ blocks, missing, rules }: RetentionPreview): string {
  return JSON.stringify({
    blocks,
    ...(missing.length > 0 && { missing }),
    rules: rules.map(({ rule, traces, spans, bytes, droppedTraces, droppedSpans, droppedBytes }) => ({
      rule,
      ...{ traces, spans, bytes },
      dropped: { traces: droppedTraces, spans: droppedSpans, bytes: droppedBytes },
    })),
  });
}
