/** Names and values of tags (spec of the API §5): what spans that satisfy a filter have, found by looking at each span. */
import type { Segment } from '../../src/block/segment.ts';
import { EVER, traceIdOf, type Attributes, type Value } from '../../src/query/segments.fixture.ts';
import { findTagValues } from '../../src/query/tag-values.ts';
import { findTagNames } from '../../src/query/tags.ts';
import type { FieldExpr, Reference } from '../../src/traceql/ast.ts';
import { printField, printReference } from '../../src/traceql/print.ts';
import { matches } from './field.ts';
import { specified } from './judge.ts';
import type { ModelSpan, ModelTrace } from './model.ts';
import { spanIdOf } from './reading.ts';

export interface TagQuestion {
  /** Whose values are asked for; absent for names. */
  reference?: Reference;
  filter?: FieldExpr;
}

const SCOPES = ['span', 'resource', 'instrumentation', 'event', 'link'] as const;
type NamedScope = (typeof SCOPES)[number];

/** undefined when the language does not say what the filter finds. */
export function expectedTags({ reference, filter }: TagQuestion, traces: readonly ModelTrace[]): string[] | undefined {
  return specified(() => listed({ reference, filter }, traces));
}

function listed({ reference, filter }: TagQuestion, traces: readonly ModelTrace[]): string[] {
  const spans = traces.flatMap((trace) => trace.spans).filter((span) => filter === undefined || matches(filter, span));
  const found = spans.flatMap((span) => (reference === undefined ? namesOf(span) : valuesOf(reference, span)));
  return [...new Set(found)];
}

export async function foundTags({ reference, filter }: TagQuestion, segments: Segment[]): Promise<string[]> {
  const query = filter && `{ ${printField(filter)} }`;
  const bounds = { ...EVER, limit: 0, maxStaleValues: 0, bytesMax: 0, ...(query && { query }) };
  const stop = (): void => {};
  if (reference === undefined) {
    const { scopes } = await findTagNames(segments, { ...bounds, scope: '' }, stop);
    return scopes.flatMap(({ name, tags }) => tags.map((tag) => `${name} ${tag}`)).sort();
  }
  const { values } = await findTagValues(segments, { ...bounds, tag: printReference(reference), v1: false }, stop);
  return values.map(({ type, value }) => `${type} ${value}`).sort();
}

function attributesIn(scope: NamedScope, { spec }: ModelSpan): (Attributes | undefined)[] {
  switch (scope) {
    case 'span':
      return [spec.attributes];
    case 'resource':
      return [spec.resource];
    case 'instrumentation':
      return [spec.scope?.attributes];
    case 'event':
      return (spec.events ?? []).map(({ attributes }) => attributes);
    case 'link':
      return (spec.links ?? []).map(({ attributes }) => attributes);
  }
}

function pairsOf(attributes: Attributes | undefined): [string, Value][] {
  return Array.isArray(attributes) ? attributes : Object.entries(attributes ?? {});
}

function namesOf(span: ModelSpan): string[] {
  return SCOPES.flatMap((scope) =>
    attributesIn(scope, span)
      .flatMap(pairsOf)
      .map(([key]) => `${scope} ${key}`),
  );
}

function valuesOf(reference: Reference, span: ModelSpan): string[] {
  if (reference.type === 'attribute') {
    // Without a scope it is of the span and of its resource, whichever hides the other.
    const scopes: NamedScope[] =
      reference.scope === 'none' ? ['span', 'resource'] : [reference.scope as Exclude<typeof reference.scope, 'none'>];
    return scopes
      .flatMap((scope) => attributesIn(scope, span).flatMap(pairsOf))
      .filter(([key]) => key === reference.name)
      .flatMap(([, value]) => entriesOf(value));
  }
  const { spec } = span;
  switch (reference.name) {
    case 'name':
      return [`string ${spec.name ?? ''}`];
    case 'statusMessage':
      return [`string ${spec.message ?? ''}`];
    case 'duration':
      return [`int ${span.durationNs}`];
    case 'span:id':
      return [`string ${spanIdOf(spec.span)}`];
    case 'span:parentID':
      return spec.parent === undefined ? [] : [`string ${spanIdOf(spec.parent)}`];
    case 'trace:id':
      return [`string ${trimmed(traceIdOf(spec.trace))}`];
    case 'event:name':
      return (spec.events ?? []).map((event) => `string ${event.name}`);
    case 'event:timeSinceStart':
      return (spec.events ?? []).map((event) => `int ${Math.round(((event.at ?? 0) - (spec.at ?? 0)) * 1e6)}`);
    case 'link:traceID':
      return (spec.links ?? []).map((link) => `string ${trimmed(traceIdOf(link.trace))}`);
    case 'link:spanID':
      return (spec.links ?? []).map((link) => `string ${trimmed(spanIdOf(link.span))}`);
    case 'instrumentation:name':
      return [`string ${spec.scope?.name ?? ''}`];
    case 'instrumentation:version':
      return [`string ${spec.scope?.version ?? ''}`];
    default:
      throw new Error(`values of ${reference.name} are not asked for`);
  }
}

/** An entry an element of an array; maps and bytes have none. */
function entriesOf(value: Value): string[] {
  const values = Array.isArray(value) ? value : [value];
  return values.flatMap((each) => {
    if (typeof each === 'string') return [`string ${each}`];
    if (typeof each === 'bigint') return [`int ${each}`];
    if (typeof each === 'boolean') return [`bool ${each}`];
    return typeof each === 'number' ? [`float ${Number.isInteger(each) ? each.toFixed(1) : each}`] : [];
  });
}

function trimmed(id: string): string {
  return id.replace(/^0+/, '');
}
