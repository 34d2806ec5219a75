/**
 * How a question was answered, for people who wonder why it takes so long: `/api/explain` runs a search or a metrics query and
 * answers that alone, as text or JSON; `explain=true` puts it into the JSON of any other answer.
 */
import { parseQuery } from '../traceql/parse.ts';
import type { Call } from './api.ts';
import { metricsRequest } from './metrics.ts';
import type { ColumnExplanation, Explanation, SegmentExplanation } from './queries.ts';
import { type Answer, JSON_TYPE, text } from './respond.ts';
import { search } from './search.ts';

/** Whether a request asks for explanations. */
export function explains(url: URLSearchParams): boolean {
  return url.get('explain') === 'true';
}

/** `/api/explain`: the parameters are those of `/api/search`, or of `/api/metrics/query_range` for a metrics query. */
export async function explain(call: Call): Promise<Answer> {
  const explanations: Explanation[] = [];
  const onExplanation = (explanation: Explanation): void => void explanations.push(explanation);
  if (isMetrics(call.url.get('q') ?? call.url.get('query') ?? ''))
    await call.queries.metrics(metricsRequest(call, 'range'), call.signal, { onExplanation });
  else await search(call, { onExplanation });
  if (call.url.get('format') === 'text' || call.accept.startsWith('text/plain'))
    return text(200, `${explanations.map(explanationText).join('\n')}`);
  return { status: 200, type: JSON_TYPE, body: JSON.stringify({ explain: explanations.map(rounded) }) };
}

/** The answer with a member `explain` at its end; others than JSON objects are left as they are. */
export function withExplanations(answer: Answer, explanations: Explanation[]): Answer {
  if (answer.body === undefined || answer.type?.includes('json') !== true) return answer;
  const body = Buffer.from(answer.body);
  const end = body.lastIndexOf('}');
  if (end <= 0) return answer;
  const comma = body[end - 1] === 0x7b ? '' : ',';
  const member = Buffer.from(`${comma}"explain":${JSON.stringify(explanations.map(rounded))}`);
  return { ...answer, body: Buffer.concat([body.subarray(0, end), member, body.subarray(end)]) };
}

function isMetrics(query: string): boolean {
  try {
    return parseQuery(query).metrics !== undefined;
  } catch {
    // Whoever runs it says what is wrong with it.
    return false;
  }
}

/** Milliseconds to a thousandth. */
function rounded(explanation: Explanation): unknown {
  return JSON.parse(JSON.stringify(explanation), (_, value) =>
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value,
  );
}

/** A page to read. */
export function explanationText(explanation: Explanation): string {
  const { tenant, plan, computedMs, waitedMs, phases, blocks, segments } = explanation;
  const lines = [`tenant ${tenant}: ${ms(computedMs)} computing, ${ms(waitedMs)} waiting`, ''];
  if (plan.length > 0) lines.push('plan');
  plan.forEach(({ stage, reads }, i) => {
    lines.push(`  ${i + 1}  ${stage}`);
    for (const { what, conditions, listed } of reads)
      lines.push(`       ${what}${conditions.map((each) => ` ${each}`).join(' or')}${listed ? '' : ' (not listed)'}`);
  });
  lines.push('', 'time', ...phases.map(({ name, ms: took }) => `  ${ms(took).padStart(10)}  ${name}`), '');
  const of = (state: SegmentExplanation['state']): SegmentExplanation[] => segments.filter((s) => s.state === state);
  lines.push(
    `segments: ${of('read').length} read, ${of('pruned').length} pruned, ${of('missing').length} missing; ` +
      `${blocks.known - blocks.wanted} of ${blocks.known} blocks out of the range of time`,
  );
  for (const segment of segments) {
    const { kind, name, rows, bytes, state, why, bytesRead } = segment;
    const size = `${rows} spans${kind === 'block' ? `, ${bytesRead} of ${bytes} bytes read` : ''}`;
    lines.push(`  ${state.padEnd(7)} ${kind} ${name}: ${size}${why === undefined ? '' : `: ${why}`}`);
    for (const column of segment.columns) lines.push(columnText(column));
  }
  return `${lines.join('\n')}\n`;
}

function columnText({ name, pages, pagesAll, values, bytesRead, readMs, useMs }: ColumnExplanation): string {
  const seen = pages > 0 ? `, ${pages}${pagesAll > 0 ? ` of ${pagesAll}` : ''} pages, ${values} values` : '';
  return `${ms(readMs + useMs).padStart(14)}  ${name}${seen}${bytesRead > 0 ? `, ${bytesRead} bytes read` : ''}`;
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}
