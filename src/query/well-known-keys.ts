/** Keys that the first version of the API looks for in one place only: these in resources, the others in spans (spec/api.md §4.4). */
export const WELL_KNOWN_KEYS: ReadonlyMap<string, 'resource' | 'span'> = new Map([
  ['service.name', 'resource'],
  ['cluster', 'resource'],
  ['namespace', 'resource'],
  ['pod', 'resource'],
  ['container', 'resource'],
  ['k8s.cluster.name', 'resource'],
  ['k8s.namespace.name', 'resource'],
  ['k8s.pod.name', 'resource'],
  ['k8s.container.name', 'resource'],
  ['http.method', 'span'],
  ['http.url', 'span'],
  ['http.status_code', 'span'],
]);
