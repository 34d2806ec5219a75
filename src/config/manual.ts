/**
 * The tables of docs/manual/configuration.md, made of the key tables. `node src/config/manual.ts` writes them into the
 * page; a test fails when the page is behind.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { formatGoDuration } from './duration.ts';
import { opencensus, udpServer, zipkin } from './foreign-receivers.ts';
import { kafka } from './kafka-receiver.ts';
import { grpcServer, httpServer } from './receiver-servers.ts';
import { otlpGrpc, otlpHttp } from './receivers.ts';
import { schema } from './schema.ts';
import { grpcClient, kvstore } from './schema/shared.ts';
import { type Fields, type Section, type Setting, section } from './setting.ts';

const page = new URL('../../docs/manual/configuration.md', import.meta.url);
const begin = '<!-- keys: written by `node src/config/manual.ts` -->';
const end = '<!-- end of keys -->';

/** The page with its tables brought up to date. */
export function updatedManual(text: string): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${page.pathname} has lost its marks ${begin} … ${end}`);
  return `${text.slice(0, from + begin.length)}\n\n${manualTables()}\n${text.slice(to)}`;
}

export function readManual(): string {
  return readFileSync(page, 'utf8');
}

/** Blocks that many sections have are shown once. */
const folded: Record<string, string> = {
  'kv.Config': 'kvstore',
  'grpcclient.Config': 'grpc_client_config',
  'app.InternalServerConfig': 'server',
};

function manualTables(): string {
  const plain: Record<string, Setting> = {};
  const sections: [string, Section][] = [];
  for (const [key, node] of Object.entries<Setting | Section>(schema.fields)) {
    if (node.node === 'setting') plain[key] = node;
    else sections.push([key, node]);
  }
  return [
    table('Top level', section('', plain)),
    ...sections.map(([key, node]) => table(`\`${key}\``, node)),
    table('`distributor.receivers.otlp.protocols.grpc`', otlpGrpc),
    table('`distributor.receivers.otlp.protocols.http`', otlpHttp),
    table('`distributor.receivers.jaeger.protocols.grpc`', grpcServer),
    table('`distributor.receivers.jaeger.protocols.thrift_http`', httpServer),
    table('`distributor.receivers.jaeger.protocols.thrift_compact` and `thrift_binary`', udpServer),
    table('`distributor.receivers.zipkin`', zipkin),
    table('`distributor.receivers.opencensus`', opencensus),
    table('`distributor.receivers.kafka`', kafka),
    table('`kvstore`, wherever it stands', kvstore('memberlist')),
    table('`grpc_client_config`, wherever it stands', grpcClient()),
  ].join('\n');
}

type Row = [key: string, byDefault: string, effect: string, meaning: string];

function table(title: string, of: Section): string {
  const rows: Row[] = [
    ['key', 'default', 'effect', 'meaning'],
    ...(folded[of.goType] === undefined ? rowsOf(of.fields, '') : [foldedRow('*', of)]),
  ];
  // Padded as the formatter does it, so that the page stays as it is written.
  const widths = [0, 1, 2, 3].map((column) => Math.max(3, ...rows.map((row) => row[column].length)));
  const lines = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`);
  lines.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  return `### ${title}\n\n${lines.join('\n')}\n`;
}

function foldedRow(path: string, of: Section): Row {
  return [`\`${path}\``, '', '', `as \`${folded[of.goType]}\``];
}

function* rowsOf(fields: Fields, prefix: string): Generator<Row> {
  for (const [key, node] of Object.entries(fields)) {
    const path = prefix + key;
    if (node.node === 'section') {
      if (folded[node.goType] === undefined) yield* rowsOf(node.fields, `${path}.`);
      else yield foldedRow(`${path}.*`, node);
      continue;
    }
    const meaning = `${node.about}${node.release === undefined ? '' : ` (${node.release} only)`}`.replaceAll(
      '|',
      '\\|',
    );
    yield [`\`${path}\``, defaultText(node), node.effective ? 'yes' : '', meaning];
    if (node.element) yield* rowsOf(node.element.fields, `${path}[].`);
  }
}

function defaultText(setting: Setting): string {
  const value = setting.default;
  if (value === undefined || value === '' || setting.kind === 'custom') return '';
  if (value === Number.POSITIVE_INFINITY) return 'unlimited';
  if (setting.suffix === 'Ms') return `\`${shortened(formatGoDuration(value as number))}\``;
  if (Array.isArray(value)) return value.length === 0 ? '' : `\`${value.join(', ')}\``;
  if (typeof value === 'object') return '';
  return `\`${stringify(value).trim()}\``;
}

/** `168h0m0s` → `168h`. */
function shortened(text: string): string {
  return text.replace(/(?<=h)0m0s$|(?<=m)0s$/, '');
}

if (import.meta.main) writeFileSync(page, updatedManual(readManual()));
