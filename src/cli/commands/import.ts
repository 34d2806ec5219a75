/** `import`: sends what export wrote to a receiver of OTLP, or puts it into a data folder as a block. */
import fs from 'node:fs';
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { Command } from 'commander';
import { writeBlockFolder } from '../../block/write-folder.ts';
import { Appender } from '../../cut/append.ts';
import { LiveColumns } from '../../cut/columns.ts';
import { cutBlock } from '../../cut/cut-block.ts';
import { messageOf, VivaceError } from '../../runtime/errors.ts';
import { openFolder } from '../data-folder.ts';
import { openExportedBlock } from '../exported-block.ts';
import { FILE, type FileForm, formatOption, formOf } from '../file-forms.ts';
import { folderSource } from '../folder-source.ts';
import { otlpRequests } from '../otlp-file.ts';
import { otlpSender } from '../otlp-sender.ts';
import { createTerminal, type Terminal, type World } from '../terminal.ts';
import { counted } from '../units.ts';
import { type ApiOptions, apiOptions, isFolder, progressOf, serverOf, SINGLE_TENANT } from './shared-options.ts';

interface ImportOptions extends ApiOptions {
  format?: FileForm;
}

/** A request of the file, and how far one is then. */
interface Piece {
  request: Uint8Array;
  done: number;
  total: number;
}

/** So many bytes of requests make a block. */
const BLOCK_BYTES = 64 * 1024 * 1024;
const COLUMNS_BYTES_MAX = 1024 * 1024 * 1024;
const PAGE_ROWS = 4096;

export function addImport(parent: Command, world: World): void {
  const command = parent
    .command('import')
    .description(
      'Sends the traces of a file to a receiver of OTLP, or puts them into a data folder. export writes such files.',
    )
    .argument('<file>', FILE)
    .argument('<target>', 'host:port or URL of a receiver of OTLP over HTTP (port 4318); or, as a path, a data folder');
  apiOptions(command.addOption(formatOption())).action(async (name: string, target: string) => {
    const options = command.opts<ImportOptions>();
    const terminal = createTerminal(world, options, false);
    const form = formOf(name, options.format);
    const file = await opened(name);
    const progress = progressOf(world, terminal, `importing ${name}`, form === 'parquet' ? 'traces' : 'bytes');
    try {
      if (isFolder(target)) {
        const blocks = await intoFolder(world, terminal, options, file, form, target, progress.update);
        progress.end();
        report(terminal, { blocks }, counted(blocks.length, 'block'), blocks);
        return;
      }
      const sender = otlpSender(serverOf(target, options), (text) => terminal.note(text));
      let requests = 0;
      for await (const { request, done, total } of piecesOf(world, file, form)) {
        progress.update(done, total);
        await sender.send(request);
        requests++;
      }
      const { rejected, reasons } = await sender.end();
      progress.end();
      if (rejected > 0)
        throw new VivaceError('invalid', `${sender.url} refused ${counted(rejected, 'span')}: ${reasons.join('; ')}`);
      const what = form === 'parquet' ? 'trace' : 'request';
      report(terminal, { sent: requests }, `${counted(requests, what)} sent to ${sender.url}`, []);
    } catch (error) {
      throw error instanceof VivaceError
        ? new VivaceError(error.code, `cannot import ${name}: ${messageOf(error)}`, { cause: error })
        : error;
    } finally {
      progress.end();
      await file.close();
    }
  });
}

function report(terminal: Terminal, json: object, line: string, more: string[]): void {
  terminal.print(terminal.json ? [JSON.stringify(json)] : [line, ...more.map((id) => `block ${id}`)]);
}

async function opened(name: string): Promise<fs.promises.FileHandle> {
  try {
    return await fs.promises.open(name, 'r');
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new VivaceError('not-found', `cannot read ${name}: ${code}`, { cause: error });
  }
}

async function* piecesOf(world: World, file: fs.promises.FileHandle, form: FileForm): AsyncGenerator<Piece> {
  if (form !== 'parquet') {
    const { size } = await file.stat();
    for await (const { request, end } of otlpRequests(file, form)) yield { request, done: end, total: size };
    return;
  }
  const nowMs = world.nowMs();
  const block = await openExportedBlock(file, SINGLE_TENANT, nowMs);
  const damage: string[] = [];
  const onDamage = (what: string): void => void damage.push(what);
  const source = folderSource({ ...block, name: 'it', tenant: SINGLE_TENANT, nowMs, onBlock: () => {}, onDamage });
  const ids = await block.traceIds();
  for (const [i, id] of ids.entries()) {
    const found = await source.trace(id, new URLSearchParams());
    if (found === undefined || damage.length > 0) throw new VivaceError('undecodable', damage.join('; '));
    if (found.partial !== undefined) throw new VivaceError('too-large', `trace ${id}: ${found.partial}`);
    yield { request: found.bytes, done: i, total: ids.length };
  }
}

/** The ids of the new blocks. Servers find them as they find those of one another. */
async function intoFolder(
  world: World,
  terminal: Terminal,
  options: ImportOptions,
  file: fs.promises.FileHandle,
  form: FileForm,
  target: string,
  update: (done: number, total: number) => void,
): Promise<string[]> {
  const blocksDirectory = openFolder(target, (text) => terminal.note(text)).name;
  const tenant = options.orgId ?? SINGLE_TENANT;
  if (form === 'parquet') {
    const { meta, copy } = await openExportedBlock(file, tenant, world.nowMs());
    const { pageRows, cut } = meta.vivace;
    const { id } = await writeBlockFolder(copy, {
      id: meta.blockID,
      tenant,
      compactionLevel: 0,
      pageRows,
      more: { cut: cut! },
      blocksDirectory,
      fsync: 'always',
    });
    return [id];
  }
  const blocks: string[] = [];
  let columns = newColumns();
  let bytes = 0;
  const cut = async (): Promise<void> => {
    const snapshot = columns.live.snapshot(0, tenant);
    if (snapshot.rows === 0) return;
    const { id } = await cutBlock(snapshot, {
      blocksDirectory,
      pageRows: PAGE_ROWS,
      createdBy: `${world.program} ${world.version}`,
      fsync: 'always',
      // Of no log that there is.
      log: { instance: randomBytes(6).toString('hex'), sequence: 0 },
      cutMs: world.nowMs(),
      pause: () => setImmediate(),
    });
    blocks.push(id);
    columns = newColumns();
    bytes = 0;
  };
  for await (const { request, done, total } of piecesOf(world, file, form)) {
    update(done, total);
    columns.appender.append(request);
    bytes += request.length;
    if (bytes >= BLOCK_BYTES) await cut();
  }
  await cut();
  return blocks;
}

function newColumns(): { live: LiveColumns; appender: Appender } {
  const live = new LiveColumns(COLUMNS_BYTES_MAX, 0);
  return { live, appender: new Appender(live, { attributeBytesMax: 0, traceBytesMax: 0 }) };
}
