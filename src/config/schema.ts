/** The whole key tree of a configuration file: Tempo 2.9's, Tempo 3.0's and our own section, at once. */
import { backend_scheduler, backend_worker, compactor } from './schema/backend.ts';
import { distributor } from './schema/distributor.ts';
import { querier, query_frontend } from './schema/frontend.ts';
import { metrics_generator } from './schema/generator.ts';
import { block_builder, ingest, ingester, live_store } from './schema/ingester.ts';
import { memberlist, memory, usage_report } from './schema/memberlist.ts';
import { overrides } from './schema/overrides.ts';
import { internal_server, server } from './schema/server.ts';
import {
  backend_scheduler_client,
  ingester_client,
  live_store_client,
  metrics_generator_client,
} from './schema/shared.ts';
import { cache, storage } from './schema/storage.ts';
import { vivace } from './schema/vivace.ts';
import type { Fields, Section, Setting } from './setting.ts';
import { active, bool, duration, section, tempo2, tempo3, text } from './setting.ts';

export const schema = section('app.Config', {
  target: active(text('all', 'what this process does; see the list of targets')),
  auth_enabled: active(bool(false, 'old name of multitenancy_enabled')),
  multitenancy_enabled: active(bool(false, 'every request must name its tenant in X-Scope-OrgID')),
  shutdown_delay: active(duration('0', 'wait between SIGTERM and the end of receiving')),
  stream_over_http_enabled: active(bool(false, 'serve streaming gRPC queries on the HTTP port')),
  http_api_prefix: active(text('', 'path before every API route, with a leading slash')),
  enable_go_runtime_metrics: bool(false, 'export full Go runtime metrics'),
  partition_ring_live_store: tempo2(bool(false, 'partition ring owned by live stores instead of ingesters')),
  span_profiling: tempo3(bool(false, 'label profiles with span ids')),
  server,
  internal_server,
  distributor,
  ingester_client,
  metrics_generator_client,
  live_store_client,
  querier,
  query_frontend,
  compactor,
  ingester,
  metrics_generator,
  ingest,
  block_builder,
  storage,
  overrides,
  memberlist,
  usage_report,
  cache,
  backend_scheduler,
  backend_scheduler_client,
  backend_worker,
  live_store,
  memory,
  vivace,
});

/** Every setting by its dotted YAML path, in the order of the tables. Elements of lists are not paths of their own. */
export const settings: ReadonlyMap<string, Setting> = new Map(settingsOf(schema.fields, ''));

function* settingsOf(fields: Fields, prefix: string): Generator<[string, Setting]> {
  for (const [key, node] of Object.entries<Setting | Section>(fields)) {
    if (node.node === 'setting') yield [prefix + key, node];
    else yield* settingsOf(node.fields, `${prefix}${key}.`);
  }
}
