import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Segment } from '../block/segment.ts';
import type { FieldExpr } from '../traceql/ast.ts';
import { parseIdentifier, parseQuery } from '../traceql/parse.ts';
import { rowsOf } from './bits.ts';
import { filterRows } from './filter.ts';
import { gather } from './gather.ts';
import { type Attributes, bothForms, EVER, type SpanSpec } from './segments.fixture.ts';
import { searchByTags } from './tag-search.ts';
import { findTagValues } from './tag-values.ts';
import { findTagNames } from './tags.ts';

const stop = (): void => {};

/**
 * More keys than a block has columns for (512): those of every span, event and link but `rare…` come in two spans, and the
 * rarest lose.
 */
async function crowded(t: TestContext): Promise<{ live: Segment; block: Segment }> {
  const common: Attributes = Object.fromEntries(Array.from({ length: 512 }, (_, i) => [`common.${i}`, 'c']));
  const spans: SpanSpec[] = [
    {
      trace: 1,
      span: 1,
      name: 'a',
      attributes: common,
      events: [{ name: 'e', attributes: common }],
      links: [{ trace: 9, span: 9, attributes: common }],
    },
    {
      trace: 1,
      span: 2,
      parent: 1,
      name: 'b',
      attributes: common,
      events: [{ name: 'e', attributes: common }],
      links: [{ trace: 9, span: 9, attributes: common }],
    },
    {
      trace: 1,
      span: 3,
      parent: 1,
      name: 'rare',
      resource: { hidden: 'by resource', 'rare.string': 'resource' },
      attributes: { 'rare.string': 'x', 'rare.int': 7n, 'rare.list': ['p', 'q'], 'rare.map': { k: 'v' } },
      events: [{ name: 'e', attributes: { 'rare.event': 'y' } }],
      links: [{ trace: 8, span: 8, attributes: { 'rare.link': 2.5 } }],
    },
    { trace: 2, span: 1, name: 'plain', resource: { 'rare.string': 'resource' } },
  ];
  const forms = await bothForms(t, spans);
  assert.deepEqual(forms.block.typesOf('span', 'rare.string'), []);
  assert.deepEqual(forms.live.typesOf('span', 'rare.string'), ['string']);
  return forms;
}

async function matching(segment: Segment, text: string): Promise<string> {
  const [stage] = parseQuery(text).pipeline;
  if (stage.type !== 'spanset' || stage.expression.type !== 'filter') throw new Error(`not a filter: ${text}`);
  const rows = rowsOf(await filterRows(segment, stage.expression.expression as FieldExpr));
  const names = await gather(segment, parseIdentifier('name'), rows);
  return names
    .map((name) => (name as { value: string }).value)
    .sort()
    .join(' ');
}

const FILTERS: [query: string, expected: string][] = [
  ['{ span.rare.string = "x" }', 'rare'],
  ['{ span.rare.string != "x" }', ''],
  ['{ span.rare.int > 6 }', 'rare'],
  ['{ span.rare.int > 7 }', ''],
  ['{ span.rare.int = "7" }', ''],
  ['{ span.rare.list = "q" }', 'rare'],
  ['{ event.rare.event =~ "y|z" }', 'rare'],
  ['{ link.rare.link = 2.5 }', 'rare'],
  ['{ .rare.string = "resource" }', 'plain'],
  ['{ .rare.string = "x" }', 'rare'],
  ['{ span.rare.string != nil }', 'rare'],
  ['{ span.rare.map != nil }', ''],
  ['{ event.rare.event != nil }', 'rare'],
  ['{ span.rare.int = nil }', 'a b plain'],
  ['{ span.rare.int + 1 = 8 }', 'rare'],
  ['{ span.common.511 = "c" && event.common.0 = "c" && link.common.7 = "c" }', 'a b'],
];

test('conditions on attributes without a column', async (t) => {
  const { live, block } = await crowded(t);
  for (const [query, expected] of FILTERS)
    for (const segment of [live, block])
      assert.equal(await matching(segment, query), expected, `${segment.name} ${query}`);
});

test('reads of attributes without a column', async (t) => {
  const { live, block } = await crowded(t);
  const read = async (segment: Segment, identifier: string): Promise<unknown[]> => {
    const [stage] = parseQuery('{ name = "rare" }').pipeline;
    if (stage.type !== 'spanset' || stage.expression.type !== 'filter') throw new Error('unreachable');
    const rows = rowsOf(await filterRows(segment, stage.expression.expression));
    return gather(segment, parseIdentifier(identifier), rows);
  };
  for (const segment of [live, block]) {
    assert.deepEqual(await read(segment, 'span.rare.string'), [{ type: 'string', value: 'x' }]);
    assert.deepEqual(await read(segment, '.rare.string'), [{ type: 'string', value: 'x' }]);
    assert.deepEqual(await read(segment, 'span.rare.int'), [{ type: 'int', value: 7n }]);
    assert.deepEqual(await read(segment, 'span.rare.map'), [undefined]);
    assert.deepEqual(await read(segment, 'event.rare.event'), [{ type: 'string', value: 'y' }]);
    assert.deepEqual(await read(segment, 'link.rare.link'), [{ type: 'float', value: 2.5 }]);
    assert.deepEqual(await read(segment, 'span.common.1'), [undefined]);
  }
});

test('names and values of attributes without a column', async (t) => {
  const { live, block } = await crowded(t);
  const bounds = { ...EVER, limit: 0, maxStaleValues: 0, bytesMax: 0 };
  const rareNames = async (segment: Segment, scope: 'span' | 'event' | 'link', query?: string): Promise<string> => {
    const { scopes } = await findTagNames([segment], { scope, ...bounds, ...(query && { query }) }, stop);
    return scopes.flatMap(({ tags }) => tags.filter((tag) => tag.startsWith('rare'))).join(' ');
  };
  const values = async (segment: Segment, tag: string, query?: string): Promise<string> => {
    const found = await findTagValues([segment], { tag, v1: false, ...bounds, ...(query && { query }) }, stop);
    return found.values
      .map(({ type, value }) => `${type} ${value}`)
      .sort()
      .join(', ');
  };
  for (const segment of [live, block]) {
    assert.equal(await rareNames(segment, 'span'), 'rare.int rare.list rare.map rare.string');
    assert.equal(await rareNames(segment, 'span', '{ name = "rare" }'), 'rare.int rare.list rare.map rare.string');
    assert.equal(await rareNames(segment, 'span', '{ name = "a" }'), '');
    assert.equal(await rareNames(segment, 'event'), 'rare.event');
    assert.equal(await rareNames(segment, 'event', '{ name = "rare" }'), 'rare.event');
    assert.equal(await rareNames(segment, 'link', '{ name = "b" }'), '');
    assert.equal(await values(segment, 'span.rare.list'), 'string p, string q');
    assert.equal(await values(segment, 'span.rare.int', '{ name = "rare" }'), 'int 7');
    assert.equal(await values(segment, 'span.rare.int', '{ name = "a" }'), '');
    assert.equal(await values(segment, 'event.rare.event'), 'string y');
    assert.equal(await values(segment, 'link.rare.link'), 'float 2.5');
    const tags = new Map([['rare.string', 'x']]);
    assert.equal((await searchByTags([segment], { tags, ...EVER, limit: 5 }, stop)).traces.length, 1);
  }
});

test('of a key that comes twice the first value counts', async (t) => {
  const twice: Attributes = [
    ['k', 'first'],
    ['k', 'second'],
  ];
  const { live, block } = await bothForms(t, [
    { trace: 1, span: 1, name: 'twice', attributes: twice, events: [{ name: 'e', attributes: twice }] },
  ]);
  for (const segment of [live, block])
    for (const scope of ['span', 'event']) {
      assert.equal(await matching(segment, `{ ${scope}.k = "first" }`), 'twice');
      assert.equal(await matching(segment, `{ ${scope}.k = "second" }`), '');
      assert.deepEqual(await gather(segment, parseIdentifier(`${scope}.k`), Uint32Array.of(0)), [
        { type: 'string', value: 'first' },
      ]);
    }
});
