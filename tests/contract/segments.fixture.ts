/** Requests in, traces out: through live columns, through a block on disk, and through both at once. */
import { type OnlyRowGroup, onlyRowGroup } from '../../src/block/only-row-group.fixture.ts';
import type { RowGroup } from '../../src/block/row-group.ts';
import { createBlockCaches, OpenBlock } from '../../src/block/open.ts';
import type { BlockRef, LocalBlockRef } from '../../src/block/catalog.ts';
import type { Segment } from '../../src/block/segment.ts';
import { type Appended, Appender } from '../../src/cut/append.ts';
import type { AppendLimits } from '../../src/cut/trace-limits.ts';
import { LiveColumns } from '../../src/cut/columns.ts';
import { cutBlock } from '../../src/cut/cut-block.ts';
import type { LiveSnapshot } from '../../src/cut/layout.ts';
import { LiveSegment } from '../../src/cut/live-segment.ts';
import { LiveView } from '../../src/cut/live-view.ts';
import { type Attribute, decodeRequest, type Request, type Span, type Value } from '../../src/cut/otlp.fixture.ts';
import { collectTrace } from '../../src/query/trace.ts';

export const UNLIMITED: AppendLimits = { attributeBytesMax: 0, traceBytesMax: 0 };

/** Live columns with their appender; a refused request is taken back as the live store does. */
export class TestColumns {
  readonly columns: LiveColumns;
  readonly #appender: Appender;

  constructor(limits: AppendLimits = UNLIMITED, bytesMax = 512 * 1024 * 1024, seed = 1) {
    this.columns = new LiveColumns(bytesMax, seed);
    this.#appender = new Appender(this.columns, limits);
  }

  append(body: Uint8Array): Appended {
    const mark = this.columns.mark();
    try {
      return this.#appender.append(body);
    } catch (error) {
      this.columns.takeBack(mark);
      throw error;
    }
  }

  snapshot(id = 1): LiveSnapshot {
    return this.columns.snapshot(id, 'test');
  }
}

/** Cuts what is in the columns to a block below `folder`. */
export function cut(columns: TestColumns, folder: string, pageRows = 8): Promise<LocalBlockRef> {
  return cutBlock(columns.snapshot(), {
    blocksDirectory: folder,
    pageRows,
    createdBy: 'vivace test',
    fsync: 'never',
    log: { instance: '000000000000', sequence: 1 },
    cutMs: Date.now(),
    pause: async () => {},
  });
}

export function liveOf(columns: TestColumns, id = 1): Segment {
  return new LiveSegment(columns.snapshot(id));
}

export async function blockOf(ref: BlockRef): Promise<OnlyRowGroup> {
  return onlyRowGroup(await OpenBlock.open(ref, createBlockCaches(1 << 24)));
}

/** The row groups of blocks, and what closes them. */
export async function rowGroupsOf(refs: readonly BlockRef[]): Promise<{ groups: RowGroup[]; close(): void }> {
  const opened = await Promise.all(refs.map((ref) => OpenBlock.open(ref, createBlockCaches(1 << 24))));
  return {
    groups: opened.flatMap(({ rowGroups }) => rowGroups),
    close() {
      for (const block of opened) block.close();
    },
  };
}

/** The trace with this id (hex) as a request; undefined when nobody has it. */
export async function read(segments: Segment[], traceId: string): Promise<Request | undefined> {
  const found = await collectTrace(segments, Buffer.from(traceId, 'hex'), 0, () => {});
  if (found === undefined) return undefined;
  const request = decodeRequest(found.bytes);
  const spans = flatten(request).length;
  if (found.spans !== spans) throw new Error(`says ${found.spans} spans and has ${spans}`);
  return request;
}

/** A span with what surrounds it, as one line of text; equal lines are equal spans. */
export function linesOf(request: Request): string[] {
  return flatten(request)
    .map((flat) => JSON.stringify(plain(flat), (_, value) => (typeof value === 'bigint' ? `${value}n` : value)))
    .sort();
}

export interface FlatSpan {
  resource: Request[number]['resource'];
  schemaUrl: string;
  scope: Request[number]['scopes'][number]['scope'];
  scopeSchemaUrl: string;
  span: Span;
}

export function flatten(request: Request): FlatSpan[] {
  return request.flatMap((resource) =>
    resource.scopes.flatMap((scope) =>
      scope.spans.map((span) => ({
        resource: resource.resource,
        schemaUrl: resource.schemaUrl,
        scope: scope.scope,
        scopeSchemaUrl: scope.schemaUrl,
        span,
      })),
    ),
  );
}

export function unflatten(flat: FlatSpan[]): Request {
  return flat.map((each) => ({
    resource: each.resource,
    schemaUrl: each.schemaUrl,
    scopes: [{ scope: each.scope, schemaUrl: each.scopeSchemaUrl, spans: [each.span] }],
  }));
}

/**
 * The spans that several requests hold together: a span that came again in a later one (same trace, id, kind and start)
 * is one span, as it came first.
 */
export function merged(requests: Request[]): FlatSpan[] {
  const seen = new Set<string>();
  const all: FlatSpan[] = [];
  for (const request of requests) {
    const own = flatten(request).filter(({ span }) => !seen.has(identity(span)));
    all.push(...own);
    for (const { span } of own) seen.add(identity(span));
  }
  return all;
}

function identity(span: Span): string {
  return `${span.traceId} ${span.spanId} ${span.kind} ${span.start}`;
}

/**
 * Attributes by key and type of column, for their order among each other is not kept; values of one key and type stay as
 * they came. An id of zeros is none.
 */
function plain(flat: FlatSpan): unknown {
  const { span } = flat;
  return {
    ...flat,
    resource: { ...flat.resource, attributes: sorted(flat.resource.attributes) },
    scope: { ...flat.scope, attributes: sorted(flat.scope.attributes) },
    span: {
      ...span,
      parentId: nonZero(span.parentId),
      attributes: sorted(span.attributes),
      events: span.events.map((event) => ({ ...event, attributes: sorted(event.attributes) })),
      links: span.links.map((link) => ({
        ...link,
        traceId: nonZero(link.traceId),
        spanId: nonZero(link.spanId),
        attributes: sorted(link.attributes),
      })),
    },
  };
}

export function nonZero(id: string): string {
  return /^0*$/.test(id) ? '' : id;
}

function sorted(attributes: Attribute[]): Attribute[] {
  const place = ({ key, value }: Attribute): string => `${key} ${columnType(value)}`;
  return [...attributes].sort((a, b) => (place(a) < place(b) ? -1 : place(a) > place(b) ? 1 : 0));
}

/** The type of the column that a value stands in. */
export function columnType({ type }: Value): 'string' | 'bool' | 'int' | 'double' | 'any' {
  return type === 'string' || type === 'bool' || type === 'int' || type === 'double' ? type : 'any';
}

/** Everything a reader can see of a snapshot, for comparing two moments of a segment. */
export function dump(snapshot: LiveSnapshot): unknown {
  const view = new LiveView(snapshot);
  const fields: number[][] = [];
  for (let field = 0; field < 13; field++) fields.push([...view.field(field)]);
  const events: number[][] = [];
  for (let field = 0; field < 5; field++) events.push([...view.eventField(field)]);
  const links: number[][] = [];
  for (let field = 0; field < 10; field++) links.push([...view.linkField(field)]);
  const strings: string[] = [];
  for (let code = 0; code < snapshot.strings; code++)
    strings.push(Buffer.from(view.stringBytes(code)).toString('latin1'));
  const { buffer: _, ...counts } = snapshot;
  return {
    counts,
    fields,
    events,
    links,
    strings,
    traces: [...view.traceWords()],
    resources: [...view.resources()],
    scopes: [...view.scopes()],
    requests: [...view.requestStarts()],
    columns: view.columnHeads().map((head) => {
      const column = view.load(head);
      return { ...head, count: view.countOf(head), rows: [...column.rows], values: [...column.values] };
    }),
  };
}

export function str(value: string): Value {
  return { type: 'string', value };
}

export function int(value: bigint | number): Value {
  return { type: 'int', value: BigInt(value) };
}

export function double(value: number): Value {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return { type: 'double', bits: view.getBigUint64(0) };
}
