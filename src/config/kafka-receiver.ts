/** The Kafka receiver's keys, of Collectors old and new. */
import { isMap, type Node, type YAMLMap } from 'yaml';
import { messageOf } from '../runtime/errors.ts';
import { type Decoding, decodeSection, defaultsOf, isNull, refuse } from './decode.ts';
import {
  active,
  bool,
  choice,
  csv,
  duration,
  int,
  type Resolved,
  secret,
  section,
  text,
  texts,
  tree,
} from './setting.ts';
import { type ClientTlsSettings, clientTls, clientTlsSection } from './tls.ts';
import { entriesOf } from './yaml.ts';

export interface KafkaReceiverSettings {
  brokers: string[];
  topics: string[];
  encoding: string;
  groupId: string;
  clientId: string;
  initialOffset: 'latest' | 'earliest';
  sasl?: { mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'; username: string; password: string };
  /** Undefined speaks in plain text. */
  tls?: ClientTlsSettings;
  /** Headers of a record that become attributes `kafka.header.<name>` of its resources. */
  extractedHeaders: string[];
}

const encodings = [
  'otlp_proto',
  'otlp_json',
  'jaeger_proto',
  'jaeger_json',
  'zipkin_proto',
  'zipkin_json',
  'zipkin_thrift',
];

export const kafka = section('kafkareceiver.Config', {
  brokers: active(csv(['localhost:9092'], 'brokers to begin with')),
  protocol_version: text('', 'version of the protocol; it is negotiated'),
  client_id: active(text('otel-collector', 'name of this client')),
  group_id: active(text('otel-collector', 'consumer group')),
  group_instance_id: text('', 'static member of the group'),
  initial_offset: active(choice('latest', ['latest', 'earliest'], 'where to begin without a committed offset')),
  topic: active(text('', 'old place of traces.topic')),
  encoding: active(text('', 'old place of traces.encoding')),
  traces: section('kafkareceiver.TopicEncodingConfig', {
    topic: active(text('', 'topic; otlp_spans by default')),
    topics: active(texts([], 'several topics')),
    exclude_topics: texts([], 'patterns of topics to leave out'),
    encoding: active(text('', `one of ${encodings.join(', ')}`)),
  }),
  auth: section('configkafka.AuthenticationConfig', {
    plain_text: section('configkafka.PlainTextConfig', {
      username: active(text('', 'user')),
      password: active(secret('password')),
    }),
    sasl: section('configkafka.SASLConfig', {
      username: active(text('', 'user')),
      password: active(secret('password')),
      mechanism: active(choice('PLAIN', ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'], 'how to prove who asks')),
      version: int(0, 'version of the handshake'),
    }),
    kerberos: tree('not supported'),
    tls: clientTlsSection,
  }),
  tls: clientTlsSection,
  metadata: tree('refresh of what is known of brokers'),
  autocommit: section('configkafka.AutoCommitConfig', {
    enable: bool(true, 'offsets are always committed when spans are on disk'),
    interval: duration('1s', 'the same'),
  }),
  message_marking: section('kafkareceiver.MessageMarking', {
    after: bool(false, 'records are always marked after their spans are on disk'),
    on_error: bool(false, 'what cannot be decoded is always passed over'),
    on_permanent_error: bool(false, 'the same'),
  }),
  header_extraction: section('kafkareceiver.HeaderExtraction', {
    extract_headers: active(bool(false, 'headers of records become attributes of the resource')),
    headers: active(texts([], 'which; the attributes are called kafka.header.<name>')),
  }),
  session_timeout: duration('10s', 'silence after which a member is gone'),
  heartbeat_interval: duration('3s', 'how often a member says that it lives'),
  min_fetch_size: int(1, 'least bytes of an answer'),
  default_fetch_size: int(1_048_576, 'bytes asked for'),
  max_fetch_size: int(0, 'greatest answer'),
  max_partition_fetch_size: int(0, 'greatest answer of a partition'),
  max_fetch_wait: duration('250ms', 'how long a broker may wait'),
  group_rebalance_strategy: text('', 'how partitions are shared out'),
  rack_id: text('', 'where this client is'),
  resolve_canonical_bootstrap_servers_only: bool(false, 'resolve names of brokers'),
  use_leader_epoch: bool(true, 'guard against old leaders'),
  error_backoff: tree('waiting after errors'),
  telemetry: tree('metrics of the client'),
  logs: tree('only for logs'),
  metrics: tree('only for metrics'),
  profiles: tree('only for profiles'),
});

/** Reads one receiver. */
export function decodeKafka(decoding: Decoding, node: Node | null, keyNode: Node, path: string): KafkaReceiverSettings {
  const settings = defaultsOf(kafka) as Resolved<typeof kafka>;
  decodeSection(decoding, node, kafka, path, settings);
  const { traces, auth } = settings;
  const encoding = traces.encoding || settings.encoding || 'otlp_proto';
  if (!encodings.includes(encoding))
    refuse(decoding, node ?? keyNode, `unknown encoding ${JSON.stringify(encoding)}`, `one of ${encodings.join(', ')}`);
  const topics = traces.topics.length > 0 ? traces.topics : [traces.topic || settings.topic || 'otlp_spans'];
  if (topics.some((topic) => topic.startsWith('^')))
    refuse(decoding, node ?? keyNode, 'patterns of topics are not supported', 'name each topic');
  const authNode = child(decoding, node, 'auth');
  if (child(decoding, authNode, 'kerberos') !== undefined)
    refuse(decoding, node ?? keyNode, 'Kerberos is not supported', 'use auth.sasl, or a certificate in tls');
  const user = auth.sasl.username === '' ? auth.plainText : auth.sasl;
  return {
    brokers: settings.brokers,
    topics,
    encoding,
    groupId: settings.groupId,
    clientId: settings.clientId,
    initialOffset: settings.initialOffset as KafkaReceiverSettings['initialOffset'],
    extractedHeaders: settings.headerExtraction.extractHeaders ? settings.headerExtraction.headers : [],
    ...tlsOf(decoding, node, authNode, path, settings),
    ...(user.username !== '' && {
      sasl: {
        mechanism: auth.sasl.mechanism as 'PLAIN',
        username: user.username,
        password: user.password,
      },
    }),
  };
}

/** TLS is on where its section stands, in its place or in the one of old, unless that says `insecure`. */
function tlsOf(
  decoding: Decoding,
  node: Node | null,
  authNode: Node | undefined,
  path: string,
  settings: Resolved<typeof kafka>,
): { tls?: ClientTlsSettings } {
  const places: [where: string, at: Node | undefined, section: Resolved<typeof clientTlsSection>][] = [
    [`${path}.tls`, child(decoding, node, 'tls'), settings.tls],
    [`${path}.auth.tls`, child(decoding, authNode, 'tls'), settings.auth.tls],
  ];
  for (const [where, at, section] of places) {
    if (at === undefined) continue;
    try {
      const tls = clientTls(where, section);
      return tls === undefined ? {} : { tls };
    } catch (error) {
      refuse(decoding, at, messageOf(error));
    }
  }
  return {};
}

/** The value of a key that is there and not null. */
function child(decoding: Decoding, node: Node | null | undefined, key: string): Node | undefined {
  if (!isMap(node)) return undefined;
  const value = entriesOf(decoding.yaml, node as YAMLMap).find((entry) => entry.key === key)?.value;
  return value === undefined || value === null || isNull(value) ? undefined : value;
}
