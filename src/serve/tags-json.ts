/** Names and values of attributes as JSON: the four tag routes of api.md §5, and the grouped form of §1.7. */
import { int32Member, int64Member, jsonObject, jsonString } from './json-text.ts';
import type { TagMetrics, TagNamesAnswer, TagValuesAnswer } from './queries.ts';

/** `/api/search/tags`. */
export function tagNamesV1Json(names: string[], metrics: TagMetrics): string {
  return `{"tagNames":${strings(names)},"metrics":${tagMetricsJson(metrics)}}`;
}

/** `/api/v2/search/tags`; scopes without names are left out. */
export function tagNamesV2Json(answer: TagNamesAnswer): string {
  const scopes = answer.scopes
    .filter((scope) => scope.tags.length > 0)
    .map((scope) => `{"name":${jsonString(scope.name)},"tags":${strings(scope.tags)}}`);
  return `{"scopes":[${scopes.join(',')}],"metrics":${tagMetricsJson(answer.metrics)}}`;
}

/** `/api/search/tag/{name}/values`. */
export function tagValuesV1Json(values: string[], metrics: TagMetrics): string {
  return `{"tagValues":${strings(values)},"metrics":${tagMetricsJson(metrics)}}`;
}

/** `/api/v2/search/tag/{identifier}/values`. */
export function tagValuesV2Json(answer: TagValuesAnswer): string {
  let text = '{"tagValues":[';
  for (let i = 0; i < answer.values.length; i++) {
    const { type, value } = answer.values[i];
    text += `${i > 0 ? ',' : ''}{"type":"${type}"${value === '' ? '' : `,"value":${jsonString(value)}`}}`;
  }
  return `${text}],"metrics":${tagMetricsJson(answer.metrics)}}`;
}

/** The same for language models: values by type, sorted, and a plain number of bytes. */
export function tagValuesGroupedJson(answer: TagValuesAnswer): string {
  const byType = new Map<string, string[]>();
  for (const { type, value } of answer.values) {
    const group = byType.get(type);
    if (group) group.push(value);
    else byType.set(type, [value]);
  }
  const groups = [...byType]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([type, group]) => `"${type}":${strings(group.sort())}`);
  return `{"tagValues":{${groups.join(',')}},"metrics":${jsonObject([int32Member('inspectedBytes', answer.metrics.inspectedBytes)])}}`;
}

function strings(list: string[]): string {
  return `[${list.map(jsonString).join(',')}]`;
}

function tagMetricsJson(metrics: TagMetrics): string {
  return jsonObject([
    int64Member('inspectedBytes', metrics.inspectedBytes),
    int32Member('totalJobs', metrics.totalJobs),
    int32Member('completedJobs', metrics.completedJobs),
    int32Member('totalBlocks', metrics.totalBlocks),
    int64Member('totalBlockBytes', metrics.totalBlockBytes),
  ]);
}
