/**
 * A process with a log, for ownership.test.ts: `node ownership.fixture.ts <wal> <instance>`. It says `ready`, and answers the
 * line `take` with the instances whose logs it took over, as JSON.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { shortSocketPath, socketPath, takeOverDeadLogs, writeOwner } from './ownership.ts';

const [wal, instance] = process.argv.slice(2);
const short = shortSocketPath(socketPath(wal, instance));
net.createServer().listen(short.path, () => {
  short.close();
  fs.mkdirSync(path.join(wal, instance));
  writeOwner(wal, instance);
  console.log('ready');
});
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  if (line !== 'take') return;
  takeOverDeadLogs(wal, instance).then((taken) => console.log(JSON.stringify(taken.map((log) => log.instance).sort())));
});
