/** Asks the engine and the evaluator the same, and tells whether they agree. */
import type { Segment } from '../../src/block/segment.ts';
import type { FoundValue } from '../../src/query/results.ts';
import { searchTraces } from '../../src/query/search.ts';
import { EVER, joiningOf, traceIdOf } from '../../src/query/segments.fixture.ts';
import { parseQuery } from '../../src/traceql/parse.ts';
import type { StaticValue } from '../../src/traceql/ast.ts';
import { VivaceError } from '../../src/runtime/errors.ts';
import { search, show } from './evaluate.ts';
import type { ModelTrace } from './model.ts';
import { spanIdOf, Unspecified } from './reading.ts';

const SEVERAL = 'one of several';

/** What the evaluator finds, a line a spanset; undefined when the language does not say. */
export function expectedLines(text: string, traces: readonly ModelTrace[]): string[] | undefined {
  try {
    return [...search(parseQuery(text), traces)]
      .flatMap(([trace, sets]) =>
        sets.map(({ spans, attributes }) => {
          const named = [...attributes].map(([key, value]) => `${key}=${show(value)}`);
          const ids = spans.map(({ spec }) => spanIdOf(spec.span));
          return line(traceIdOf(trace.trace), rootOf(trace), trace.startNs, trace.endNs - trace.startNs, ids, named);
        }),
      )
      .sort();
  } catch (error) {
    if (error instanceof Unspecified) return undefined;
    throw error;
  }
}

/** Of several roots in several segments any may name a trace that need not be looked at as a whole: that is not compared. */
function rootOf({ spans, root }: ModelTrace): string {
  return spans.filter(({ isRoot }) => isRoot).length > 1 ? SEVERAL : (root?.spec.name ?? '');
}

/** What the engine finds; a text when it refuses. */
export async function foundLines(
  text: string,
  segments: Segment[],
  traces: readonly ModelTrace[],
): Promise<string[] | string> {
  const severalRoots = new Set(
    traces.filter((trace) => rootOf(trace) === SEVERAL).map(({ trace }) => traceIdOf(trace)),
  );
  const options = { ...EVER, limit: 1000, spansPerSpanSet: 1000, stop: () => {} };
  try {
    const { traces: found } = await searchTraces(segments, parseQuery(text), options, joiningOf());
    return found
      .flatMap(({ traceId, rootTraceName = '', startUnixNano, durationMs, spanSets = [] }) =>
        spanSets.map(({ spans, matched, attributes = [] }) => {
          if (matched !== spans.length) throw new Error(`${matched} spans matched, ${spans.length} are listed`);
          const named = attributes.map(({ key, value }) => `${key}=${showFound(value)}`);
          const ids = spans.map(({ spanId }) => spanId);
          return line(
            traceId,
            severalRoots.has(traceId) ? SEVERAL : rootTraceName,
            startUnixNano,
            BigInt(durationMs) * 1_000_000n,
            ids,
            named,
          );
        }),
      )
      .sort();
  } catch (error) {
    if (error instanceof VivaceError && error.code !== 'internal') return `${error.code}: ${error.message}`;
    throw error;
  }
}

function line(trace: string, root: string, startNs: bigint, ns: bigint, spans: string[], attributes: string[]): string {
  const time = `${startNs} +${ns / 1_000_000n}ms`;
  return `${trace} ${JSON.stringify(root)} ${time}: ${spans.sort().join(' ')} [${attributes.sort().join(', ')}]`;
}

function showFound(value: FoundValue): string {
  if (value.type === 'array') return `[${value.values.map(showFound).join(' ')}]`;
  return show(staticOf(value));
}

function staticOf(value: Exclude<FoundValue, { type: 'array' }>): StaticValue {
  return value.type === 'double' ? { type: 'float', value: value.value } : value;
}
