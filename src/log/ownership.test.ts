import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { after, afterEach, test } from 'node:test';
import { heartbeat, otherSockets, shortSocketPath, socketPath, takeOverDeadLogs, writeOwner } from './ownership.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-ownership-'));
after(() => fs.rmSync(root, { recursive: true }));

interface Process {
  instance: string;
  take(): Promise<string[]>;
  kill(): Promise<void>;
}

let living: ChildProcess[] = [];
afterEach(() => {
  for (const child of living) child.kill('SIGKILL');
  living = [];
});

async function start(wal: string, instance: string): Promise<Process> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'ownership.fixture.ts'), wal, instance], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  living.push(child);
  const lines = readline.createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, 'ready');
  return {
    instance,
    async take() {
      child.stdin!.write('take\n');
      return JSON.parse((await lines.next()).value as string) as string[];
    },
    async kill() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

function newWal(name = 'wal'): string {
  const wal = path.join(fs.mkdtempSync(path.join(root, 'case-')), name);
  fs.mkdirSync(wal);
  return wal;
}

const folders = (wal: string): string[] =>
  fs
    .readdirSync(wal)
    .filter((name) => !name.endsWith('.sock'))
    .sort();
const DEAD = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb', 'cccccccccccc'];
const OURS = ['111111111111', '222222222222', '333333333333'];

test('nobody takes the log of a process that lives', async () => {
  const wal = newWal();
  const [one, two] = await Promise.all([start(wal, OURS[0]), start(wal, OURS[1])]);
  assert.deepEqual(await Promise.all([one.take(), two.take()]), [[], []]);
  assert.deepEqual(folders(wal), OURS.slice(0, 2));
  assert.deepEqual(otherSockets(wal, OURS[0]), [socketPath(wal, OURS[1])]);
});

test('the logs of killed processes are taken by exactly one of several', async () => {
  const wal = newWal();
  const dead = await Promise.all(DEAD.map((instance) => start(wal, instance)));
  for (const instance of DEAD) fs.writeFileSync(path.join(wal, instance, '00000001.log'), instance);
  const takers = await Promise.all(OURS.map((instance) => start(wal, instance)));
  await Promise.all(dead.map((process) => process.kill()));
  const taken = await Promise.all(takers.map((process) => process.take()));
  assert.deepEqual(taken.flat().sort(), DEAD);
  for (const [index, logs] of taken.entries())
    for (const instance of logs) {
      const directory = path.join(wal, `${instance}.${OURS[index]}`);
      assert.equal(fs.readFileSync(path.join(directory, '00000001.log'), 'utf8'), instance);
      assert.ok(!fs.existsSync(socketPath(wal, instance)));
    }
  assert.deepEqual(await Promise.all(takers.map((process) => process.take())), [[], [], []]);
});

test('a log whose taker was killed too is taken on, under its own name', async () => {
  const wal = newWal();
  const first = await start(wal, DEAD[0]);
  const second = await start(wal, OURS[0]);
  await first.kill();
  assert.deepEqual(await second.take(), [DEAD[0]]);
  await second.kill();
  const third = await start(wal, OURS[1]);
  assert.deepEqual(await third.take(), [OURS[0], DEAD[0]]);
  assert.deepEqual(folders(wal), [OURS[1], `${OURS[0]}.${OURS[1]}`, `${DEAD[0]}.${OURS[1]}`].sort());
});

test('a path that is too long for a socket works all the same', async () => {
  const wal = newWal('a folder with quite a long name '.repeat(5));
  assert.ok(socketPath(wal, DEAD[0]).length > 108);
  const process = await start(wal, DEAD[0]);
  assert.deepEqual(await takeOverDeadLogs(wal, OURS[0]), []);
  await process.kill();
  assert.deepEqual(
    (await takeOverDeadLogs(wal, OURS[0])).map((log) => log.instance),
    [DEAD[0]],
  );
  const short = shortSocketPath(socketPath(wal, OURS[0]));
  assert.ok(Buffer.byteLength(short.path) < 108);
  short.close();
});

test('a log of another machine is taken when its heartbeat stopped', async () => {
  const wal = newWal();
  const directory = path.join(wal, DEAD[0]);
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, 'owner'), 'another-host 00000000-0000-0000-0000-000000000000\n');
  assert.deepEqual(await takeOverDeadLogs(wal, OURS[0]), []);
  const minuteAgo = new Date(Date.now() - 61_000);
  fs.utimesSync(path.join(directory, 'owner'), minuteAgo, minuteAgo);
  heartbeat(wal, DEAD[0]);
  while (fs.statSync(path.join(directory, 'owner')).mtimeMs <= minuteAgo.getTime()) await new Promise(setImmediate);
  assert.deepEqual(await takeOverDeadLogs(wal, OURS[0]), []);
  fs.utimesSync(path.join(directory, 'owner'), minuteAgo, minuteAgo);
  assert.deepEqual((await takeOverDeadLogs(wal, OURS[0])).length, 1);
});

test('a log of this machine whose process is gone is taken at once, heartbeat or not', async () => {
  const wal = newWal();
  fs.mkdirSync(path.join(wal, DEAD[0]));
  writeOwner(wal, DEAD[0]);
  fs.mkdirSync(path.join(wal, DEAD[1]));
  assert.deepEqual((await takeOverDeadLogs(wal, OURS[0])).map((log) => log.instance).sort(), DEAD.slice(0, 2));
});

test('other files below the path are left alone', async () => {
  const wal = newWal();
  fs.mkdirSync(path.join(wal, 'lost+found'));
  fs.mkdirSync(path.join(wal, 'AAAAAAAAAAAA'));
  fs.writeFileSync(path.join(wal, 'notes.txt'), '');
  assert.deepEqual(await takeOverDeadLogs(wal, OURS[0]), []);
  assert.deepEqual(folders(wal), ['AAAAAAAAAAAA', 'lost+found', 'notes.txt']);
  assert.deepEqual(otherSockets(path.join(wal, 'nowhere'), undefined), []);
});
