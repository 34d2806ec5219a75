/** AnyValue in the JSON of the API. */
export interface ApiValue {
  stringValue?: string;
  intValue?: string | number;
  doubleValue?: number | string;
  boolValue?: boolean;
  arrayValue?: { values?: ApiValue[] };
  kvlistValue?: { values?: { key: string; value: ApiValue }[] };
  bytesValue?: string;
}

/** As text, the way TraceQL shows values; lists in brackets. */
export function anyText(value: ApiValue | undefined): string {
  if (value === undefined) return '';
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.intValue !== undefined) return String(value.intValue);
  if (value.doubleValue !== undefined) return String(value.doubleValue);
  if (value.boolValue !== undefined) return String(value.boolValue);
  if (value.arrayValue !== undefined) return `[${(value.arrayValue.values ?? []).map(anyText).join(', ')}]`;
  if (value.kvlistValue !== undefined)
    return `{${(value.kvlistValue.values ?? []).map((each) => `${each.key}: ${anyText(each.value)}`).join(', ')}}`;
  return value.bytesValue ?? '';
}
