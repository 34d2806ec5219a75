/** Any question about names and values of tags, for fast-check. */
import { referencesOf } from '../../src/query/compute.ts';
import { readsWholeTraces } from '../../src/query/pipeline.ts';
import { asCondition } from '../../src/traceql/conditions.ts';
import type { FieldExpr, IntrinsicName, Reference } from '../../src/traceql/ast.ts';
import { printReference } from '../../src/traceql/print.ts';
import fc from '../property.ts';
import { attribute, conditions } from './arbitrary-queries.ts';
import type { TagQuestion } from './tags.ts';

const INTRINSICS: IntrinsicName[] = [
  'name',
  'statusMessage',
  'duration',
  'span:id',
  'span:parentID',
  'trace:id',
  'event:name',
  'event:timeSinceStart',
  'link:traceID',
  'link:spanID',
  'instrumentation:name',
  'instrumentation:version',
];

const reference: fc.Arbitrary<Reference> = fc.oneof(
  attribute,
  attribute,
  fc.constantFrom(...INTRINSICS).map((name): Reference => ({ type: 'intrinsic', name, offset: 0 })),
);

const condition = fc.oneof(...conditions);

const filter: fc.Arbitrary<FieldExpr> = fc
  .oneof(
    condition,
    fc
      .tuple(condition, fc.constantFrom<'&&' | '||'>('&&', '||'), condition)
      .map(([left, op, right]): FieldExpr => ({ type: 'binary', op, left, right, offset: 0 })),
  )
  .filter(isOfSpans);

/** Without a scope the filter counts for nothing; parts of a trace are judged each by itself. */
function isOfSpans(expression: FieldExpr): boolean {
  const isBare = (one: Reference): boolean => one.type === 'attribute' && one.scope === 'none';
  return !readsWholeTraces(expression) && !referencesOf(expression).some(isBare);
}

export const tagQuestion: fc.Arbitrary<TagQuestion> = fc
  .record({
    reference: fc.option(reference, { nil: undefined, freq: 6 }),
    filter: fc.option(filter, { nil: undefined }),
  })
  .filter(({ reference: asked, filter: by }) => asked === undefined || by === undefined || !isEcho(asked, by));

/** What a filter demands of the tag itself is the answer, whether it is there or not. */
function isEcho(asked: Reference, by: FieldExpr): boolean {
  const demanded = asCondition(by);
  return demanded?.op === '=' && printReference(demanded.reference) === printReference(asked);
}
