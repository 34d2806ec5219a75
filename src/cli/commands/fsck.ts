/** `fsck`: looks through everything that is stored, says what should not be, and repairs it if it is told to. */
import fs from 'node:fs';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { type CheckedTenant, checkTenant, type Finding } from '../../block/check-blocks.ts';
import { BLOCK_ID } from '../../block/objects.ts';
import { bucketBlocks, folderBlocks, type StoredBlocks } from '../../block/stored-blocks.ts';
import { parsePromDuration } from '../../config/duration.ts';
import { isOwned } from '../../log/ownership.ts';
import { replayLog } from '../../log/replay.ts';
import { messageOf } from '../../runtime/errors.ts';
import { openStorage } from '../data-folder.ts';
import { createTerminal, type Terminal, type World } from '../terminal.ts';
import { clean } from '../text.ts';
import { bytesText, counted } from '../units.ts';
import { backendOptions, progressOf, type StorageOptions } from './shared-options.ts';

interface FsckOptions extends StorageOptions {
  repair?: boolean;
  fast?: boolean;
  tenant?: string;
  minAge: string;
  removeUploads?: boolean;
}

/** What a run ends with, as other programs of this name do, but for 1 and 2, which mean the same for every command. */
const SOUND = 0;
const ALL_REPAIRED = 3;
const SOME_LEFT = 4;

export function addFsck(parent: Command, world: World, exit: (code: number) => void): void {
  const command = parent
    .command('fsck')
    .description(
      'Compares every byte of blocks and log with its checksum, and looks for what interrupted work has left. ' +
        'A server may be running.',
    )
    .addOption(new Option('--repair', 'put right what can be; damaged blocks go into quarantine'))
    .addOption(new Option('--fast', 'only metas and the lengths of files'))
    .option('--tenant <tenant>', 'only this one')
    .option('--remove-uploads', 'with --repair: also unfinished uploads, when no machine has their blocks any more')
    .option('--min-age <duration>', 'what is younger may be the work of somebody', '10m')
    .addHelpText('after', '\nExit code: 0 sound, 3 all problems were repaired, 4 problems are left.');
  backendOptions(command).action(async () => {
    const options = command.opts<FsckOptions>();
    const terminal = createTerminal(world, options, false);
    const storage = await openStorage(options, world.env);
    world.onEnd(storage.close);
    const stored = typeof storage.blocks === 'string' ? folderBlocks(storage.blocks) : bucketBlocks(storage.blocks);
    const report = new Report(terminal, options.repair === true);
    await checkBlocks(world, terminal, stored, options, report);
    // Blocks on their way to the bucket.
    const local = storage.wal !== undefined && !stored.isFolder ? path.join(storage.wal, 'blocks') : undefined;
    if (local !== undefined && fs.existsSync(local))
      await checkBlocks(world, terminal, folderBlocks(local), options, report);
    if (storage.wal !== undefined && options.tenant === undefined) await checkLogs(storage.wal, report);
    report.end();
    exit(report.left > 0 ? SOME_LEFT : report.problems > 0 ? ALL_REPAIRED : SOUND);
  });
}

async function checkBlocks(
  world: World,
  terminal: Terminal,
  stored: StoredBlocks,
  { fast = false, tenant: only, minAge, removeUploads = false }: FsckOptions,
  report: Report,
): Promise<void> {
  const progress = progressOf(world, terminal, `checking ${stored.name}`, 'blocks');
  try {
    for (const tenant of await stored.tenants()) {
      if (only !== undefined && tenant !== only) continue;
      report.checked(
        stored.name,
        await checkTenant(stored, tenant, {
          fast,
          nowMs: world.nowMs(),
          youngMs: parsePromDuration(minAge),
          removeUploads,
          onFinding: (finding) => report.found(stored.name, finding),
          onBlock: progress.update,
          pause: setImmediate,
        }),
      );
    }
  } finally {
    progress.end();
  }
  await checkUploads(world, stored, { tenant: only, minAge }, report);
}

/** Large files whose upload somebody has begun and never ended, also of tenants that have no block. */
async function checkUploads(
  world: World,
  stored: StoredBlocks,
  { tenant: only, minAge }: Pick<FsckOptions, 'tenant' | 'minAge'>,
  report: Report,
): Promise<void> {
  const beforeMs = world.nowMs() - parsePromDuration(minAge);
  for await (const { key, startedMs, abort } of stored.uploads?.() ?? []) {
    const [tenant, id] = key.split('/');
    if (startedMs > beforeMs || (only !== undefined && tenant !== only)) continue;
    await report.found(stored.name, {
      tenant,
      block: BLOCK_ID.test(id) ? id : undefined,
      text: `an upload of ${key} was begun at ${new Date(startedMs).toISOString()} and never ended`,
      repair: { text: 'ended, and its parts removed', run: abort },
    });
  }
}

/** Reads every record; what is wrong with one cannot be put right, and is left out when the log is read back. */
async function checkLogs(wal: string, report: Report): Promise<void> {
  for (const entry of await fs.promises.readdir(wal, { withFileTypes: true })) {
    const [instance, taker] = entry.name.split('.');
    if (!entry.isDirectory() || !/^[0-9a-f]{12}$/.test(instance)) continue;
    const directory = path.join(wal, entry.name);
    let read: Awaited<ReturnType<typeof replayLog>>;
    const isLive = await isOwned(wal, taker ?? instance);
    try {
      read = await replayLog(directory, () => {});
    } catch (error) {
      // Its process has taken a file away, or another has taken over the log.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    report.log({ log: directory, isLive, segments: read.segments, records: read.records, damage: read.damage.length });
    // The end of a log that is being written may be half a record.
    for (const text of isLive ? [] : read.damage) await report.found(directory, { tenant: '', block: undefined, text });
  }
}

interface CheckedLog {
  log: string;
  isLive: boolean;
  segments: number;
  records: number;
  damage: number;
}

class Report {
  problems = 0;
  left = 0;
  readonly #terminal: Terminal;
  readonly #isRepairing: boolean;
  readonly #json = { findings: [] as object[], tenants: [] as object[], logs: [] as object[] };

  constructor(terminal: Terminal, isRepairing: boolean) {
    this.#terminal = terminal;
    this.#isRepairing = isRepairing;
  }

  async found(where: string, { tenant, block, text, repair }: Finding): Promise<void> {
    this.problems++;
    let done = repair === undefined ? undefined : `--repair: ${repair.text}`;
    let isRepaired = false;
    if (this.#isRepairing && repair !== undefined)
      try {
        await repair.run();
        isRepaired = true;
        done = repair.text;
      } catch (error) {
        done = `cannot be repaired: ${messageOf(error)}`;
      }
    if (!isRepaired) this.left++;
    const place = [tenant && `tenant ${tenant}`, block && `block ${block}`].filter(Boolean).join(' ');
    if (this.#terminal.json)
      this.#json.findings.push({ where, tenant, block, text, repair: done, repaired: isRepaired });
    else this.#terminal.print([clean([place || where, text].join(': ') + (done === undefined ? '' : ` (${done})`))]);
  }

  checked(where: string, tenant: CheckedTenant): void {
    if (this.#terminal.json) return void this.#json.tenants.push({ where, ...tenant });
    const { blocks, traces, spans, bytes, compacted, foreign } = tenant;
    const rest = [
      compacted > 0 && `${compacted} merged or too old`,
      foreign > 0 && `${foreign} of Tempo, not looked into`,
    ];
    const counts = `${counted(blocks, 'block')}, ${counted(traces, 'trace')}, ${counted(spans, 'span')}, ${bytesText(bytes)}`;
    this.#terminal.note(clean(`tenant ${tenant.tenant}: ${[counts, ...rest.filter(Boolean)].join('; ')}`));
  }

  log(log: CheckedLog): void {
    if (this.#terminal.json) return void this.#json.logs.push(log);
    const whose = log.isLive ? 'in use' : 'of a process that ended; it is read back at the next start';
    this.#terminal.note(
      clean(`log ${log.log}: ${counted(log.records, 'record')} in ${counted(log.segments, 'file')}, ${whose}`),
    );
  }

  end(): void {
    const { problems, left } = this;
    if (this.#terminal.json) this.#terminal.print([JSON.stringify({ problems, left, ...this.#json })]);
    else
      this.#terminal.note(
        problems === 0 ? 'all is sound' : `${counted(problems, 'problem')}, ${problems - left} repaired, ${left} left`,
      );
  }
}
