/**
 * Questions that we mean to answer otherwise than Tempo 3.0.3, and why; docs/manual/compatibility.md says so too. What we
 * answer instead is in answers-own.json.
 */
export const ACCEPTED: { readonly [name: string]: string } = {
  root: '/ is a page that says what this is',
  'trace-v2-details': 'schema URLs and flags come back as they were sent',
  'trace-v1-protobuf-details': 'schema URLs and flags come back as they were sent',
  'trace-v2-empty-service': 'an empty service.name comes back as it was sent',
  'span-id-trimmed': 'ids are found with their leading zeros and without',
  'link-trace-id-padded': 'ids are found with their leading zeros and without',
  'http-status-range': 'arrays are found under every key, also under those that have a column of their own in Tempo',
  'pipe-aggregate-expression-mixed': 'an aggregate leaves out spans for which its expression has no value',
  'by-root': 'the root service is shown, also when the query groups by it',
  'bool-or': 'what is missing counts as false beside || and &&',
};
