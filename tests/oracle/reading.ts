/**
 * What a span says when it is asked for an attribute or an intrinsic (spec of TraceQL §4, §6.5). A reading is a list of
 * scalars: none for nil, one for a plain value, several for an array or for the entries of several events or links.
 */
import type { Attribute, FieldExpr, IntrinsicName, Reference, StaticValue } from '../../src/traceql/ast.ts';
import { type Attributes, traceIdOf, type Value } from '../../src/query/segments.fixture.ts';
import type { ModelSpan } from './model.ts';

/** The reference fails or contradicts itself here, so that any answer or a clean error will do. */
export class Unspecified extends Error {}

export interface Reading {
  scalars: StaticValue[];
  /** What it is when several scalars are one array. */
  array?: boolean;
}

export const NIL: Reading = { scalars: [] };

export function read(reference: Reference, span: ModelSpan): Reading {
  return reference.type === 'attribute'
    ? readAttribute(reference, span)
    : { scalars: readIntrinsic(reference.name, span) };
}

function readAttribute({ scope, parent, name }: Attribute, span: ModelSpan): Reading {
  const { spec } = span;
  if (parent) return NIL;
  switch (scope) {
    case 'none': {
      const own = find(spec.attributes, name);
      if (own === undefined) return readResource(span, name);
      const reading = readingOf(own);
      if (reading.scalars.length === 0 && readResource(span, name).scalars.length > 0)
        throw new Unspecified('what a value that cannot be read hides');
      return reading;
    }
    case 'span':
      return readingOf(find(spec.attributes, name));
    case 'resource':
      return readResource(span, name);
    case 'instrumentation':
      return readingOf(find(spec.scope?.attributes, name));
    case 'event':
      return entries((spec.events ?? []).map(({ attributes }) => readingOf(find(attributes, name))));
    case 'link':
      return entries((spec.links ?? []).map(({ attributes }) => readingOf(find(attributes, name))));
  }
}

/** resource.service.name is always there. */
function readResource(span: ModelSpan, name: string): Reading {
  const value = find(span.spec.resource, name);
  if (value === undefined && name === 'service.name') return { scalars: [text('')] };
  return readingOf(value);
}

function entries(readings: Reading[]): Reading {
  return { scalars: readings.flatMap(({ scalars }) => scalars) };
}

/** Maps, bytes, and arrays that are empty, nested or of mixed types cannot be read. */
function readingOf(value: Value | undefined): Reading {
  if (!Array.isArray(value)) {
    const scalar = value === undefined ? undefined : scalarOf(value);
    return scalar === undefined ? NIL : { scalars: [scalar] };
  }
  const scalars = value.map(scalarOf);
  if (scalars.some((scalar) => scalar === undefined || scalar.type !== scalars[0]!.type)) return NIL;
  return { scalars: scalars as StaticValue[], array: scalars.length > 1 };
}

function scalarOf(value: Value): StaticValue | undefined {
  if (typeof value === 'string') return text(value);
  if (typeof value === 'bigint') return { type: 'int', value };
  if (typeof value === 'number') return { type: 'float', value };
  return typeof value === 'boolean' ? { type: 'bool', value } : undefined;
}

const STATUSES = ['unset', 'ok', 'error'] as const;
const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const;

function readIntrinsic(name: IntrinsicName, span: ModelSpan): StaticValue[] {
  const { spec, trace } = span;
  switch (name) {
    case 'duration':
      return [{ type: 'duration', ns: span.durationNs }];
    case 'name':
      return [text(spec.name ?? '')];
    case 'status':
      return [{ type: 'status', value: STATUSES[spec.status ?? 0] }];
    case 'statusMessage':
      return [text(spec.message ?? '')];
    case 'kind':
      return [{ type: 'kind', value: KINDS[spec.kind ?? 1] }];
    case 'span:id':
      return [text(spanIdOf(spec.span))];
    case 'span:parentID':
      return spec.parent === undefined ? [] : [text(spanIdOf(spec.parent))];
    case 'span:childCount':
      if (span.circular) throw new Unspecified('children in a circle');
      return [{ type: 'int', value: BigInt(span.children.length) }];
    case 'traceDuration':
      return [{ type: 'duration', ns: trace.endNs - trace.startNs }];
    case 'rootName':
      return [text(trace.root?.spec.name ?? '')];
    case 'rootServiceName':
      return trace.root === undefined ? [text('')] : readResource(trace.root, 'service.name').scalars;
    case 'trace:id':
      return [text(traceIdOf(spec.trace))];
    case 'event:name':
      return (spec.events ?? []).map((event) => text(event.name));
    case 'event:timeSinceStart':
      return (spec.events ?? []).map((event) => {
        const offsetMs = (event.at ?? spec.at ?? 0) - (spec.at ?? 0);
        return { type: 'duration', ns: BigInt(Math.round(offsetMs * 1e6)) };
      });
    case 'link:traceID':
      return (spec.links ?? []).map((link) => text(traceIdOf(link.trace)));
    case 'link:spanID':
      return (spec.links ?? []).map((link) => text(spanIdOf(link.span)));
    case 'instrumentation:name':
      return [text(spec.scope?.name ?? '')];
    case 'instrumentation:version':
      return [text(spec.scope?.version ?? '')];
    // Only whether there is a place in the tree, and whether it is a root's: the numbers are the implementation's.
    case 'nestedSetLeft':
    case 'nestedSetRight':
      return [{ type: 'int', value: span.connected ? 1n : 0n }];
    case 'nestedSetParent':
      return [{ type: 'int', value: !span.connected ? 0n : span.isRoot ? -1n : 1n }];
    case 'parent':
      return [];
  }
}

export const ID_INTRINSICS: ReadonlySet<string> = new Set([
  'span:id',
  'span:parentID',
  'trace:id',
  'link:traceID',
  'link:spanID',
]);

/** Attributes of events and links, of which a span may have several. */
export function isRepeated(node: FieldExpr): boolean {
  if (node.type === 'attribute') return node.scope === 'event' || node.scope === 'link';
  return node.type === 'intrinsic' && (node.name.startsWith('event:') || node.name.startsWith('link:'));
}

export function spanIdOf(span: number): string {
  return span.toString(16).padStart(16, '0');
}

export function text(value: string): StaticValue {
  return { type: 'string', value };
}

function find(attributes: Attributes | undefined, key: string): Value | undefined {
  if (Array.isArray(attributes)) return attributes.find(([name]) => name === key)?.[1];
  return attributes !== undefined && Object.hasOwn(attributes, key) ? attributes[key] : undefined;
}
