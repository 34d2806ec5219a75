/** A thread that appends and takes back without end, and hands out snapshots with what they must hold, for snapshots.test.ts. */
import { parentPort } from 'node:worker_threads';
import { encodeRequest } from '../../src/cut/otlp.fixture.ts';
import { UNLIMITED } from './segments.fixture.ts';
import { LiveColumns } from '../../src/cut/columns.ts';
import { Appender } from '../../src/cut/append.ts';
import { requestNumber } from './snapshots-requests.fixture.ts';

const columns = new LiveColumns(1 << 28, 5);
const appender = new Appender(columns, UNLIMITED);
let stopped = false;
parentPort!.on('message', () => {
  stopped = true;
});

function work(request: number): void {
  if (stopped) {
    parentPort!.close();
    return;
  }
  // A few hundred requests are enough to go through; the rest is unrest.
  if (request < 300) appender.append(encodeRequest(requestNumber(request)));
  const mark = columns.mark();
  if (request < 300) parentPort!.postMessage({ request, snapshot: columns.snapshot(1, 't') });
  // What comes after the snapshot and goes again, as after a refused request or a failed log.
  for (let i = 0; i < 3; i++) appender.append(encodeRequest(requestNumber(1_000_000 + 3 * request + i)));
  columns.takeBack(mark);
  setImmediate(() => work(request + 1));
}
work(0);
