/**
 * Which folder of src may import which: the whole table. Imports point down; what a row does not name is refused. The
 * drawing of it in ARCHITECTURE.md is made from here (`node tests/gate/imports.ts --write`).
 */

export interface ImportRow {
  /** Folder of src; `main` is src/main.ts. */
  folder: string;
  /** Folders it may import besides itself. */
  may: readonly string[];
  /** Folders of which it may import types only. */
  types?: readonly string[];
  /** Packages it may import; absent = every one in `dependencies`. Node's own modules are packages named `node:…`. */
  packages?: readonly string[];
  why: string;
}

const FOUNDATION = ['wire', 'runtime'];

export const IMPORT_TABLE: readonly ImportRow[] = [
  {
    folder: 'main',
    may: ['roles', 'config', 'runtime'],
    why: 'reads the configuration, starts a role, waits for the signal',
  },
  {
    folder: 'roles',
    may: [
      ...['receive', 'serve', 'cut', 'compact', 'query', 'generator', 'block', 'log', 'store', 'limits', 'config'],
      ...['traceql', ...FOUNDATION],
    ],
    why: 'calls the constructors of everything, hands each what it needs',
  },
  {
    folder: 'cli',
    may: [
      ...['receive', 'serve', 'query', 'cut', 'compact', 'block', 'log', 'store', 'config', 'traceql', 'parquet'],
      ...FOUNDATION,
    ],
    why: 'asks servers, and folders by the same routes in its own process, traces put together by cut; checks, merges, rewrites, exports and imports what is stored, OTLP in JSON read as it is received; starts nothing',
  },
  {
    folder: 'receive',
    may: ['limits', 'config', ...FOUNDATION],
    why: 'turns protocols into OTLP bytes; its role hands it `accept`, so it knows no log',
  },
  {
    folder: 'serve',
    may: ['limits', 'config', 'traceql', ...FOUNDATION],
    types: ['query'],
    why: 'answers over an injected engine; knows the shape of results, not where they come from',
  },
  {
    folder: 'cut',
    may: ['block', 'log', 'limits', 'store', 'parquet', ...FOUNDATION],
    why: 'live columns are a segment like a block, and become one',
  },
  {
    folder: 'compact',
    may: ['block', 'log', 'limits', 'store', 'traceql', 'parquet', ...FOUNDATION],
    why: 'blocks into blocks',
  },
  {
    folder: 'query',
    may: ['block', 'limits', 'store', 'traceql', 'parquet', ...FOUNDATION],
    why: 'sees segments, never who holds them',
  },
  {
    folder: 'generator',
    may: ['block', 'log', 'limits', 'store', 'traceql', 'parquet', ...FOUNDATION],
    why: 'spans into metrics',
  },
  {
    folder: 'block',
    may: ['store', 'parquet', ...FOUNDATION],
    why: 'the format of a block, and the segment interface',
  },
  { folder: 'log', may: ['store', ...FOUNDATION], why: 'bytes by tenant, durable' },
  { folder: 'store', may: FOUNDATION, why: 'objects in buckets' },
  { folder: 'limits', may: ['store', 'config', ...FOUNDATION], why: 'what a tenant may do' },
  { folder: 'config', may: ['runtime'], why: 'every setting, its default and its bound' },
  { folder: 'traceql', may: [], packages: ['re2js'], why: 'the language; runs in a browser' },
  { folder: 'parquet', may: ['runtime'], why: 'columns, pages, footers; knows nothing of traces' },
  { folder: 'wire', may: ['runtime'], why: 'framing, protobuf, compression' },
  { folder: 'runtime', may: [], why: 'clock, logs, own metrics, errors' },
];

/** The rows as the Markdown table of ARCHITECTURE.md. */
export function importTableMarkdown(table: readonly ImportRow[] = IMPORT_TABLE): string {
  const rows = table.map(({ folder, may, types = [], why }) => {
    const imports = [...may.map((each) => `\`${each}\``), ...types.map((each) => `\`${each}\` (types)`)];
    return [`\`${folder}\``, imports.join(', ') || 'nothing', why];
  });
  const all = [['folder', 'may import', 'because'], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => row[column].length)));
  const line = (row: string[]): string => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(all[0]), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.map(line)].join('\n');
}
