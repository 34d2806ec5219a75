/** `delete trace` and `delete status`: has a server delete a trace, and asks what is left of it. */
import type { Command } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import { VivaceError } from '../../runtime/errors.ts';
import { serverRequest } from '../server-source.ts';
import { createTerminal, type Terminal, type World } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';
import { type ApiOptions, apiOptions, isFolder, SERVER, serverOf } from './shared-options.ts';

const TRACE = 'hexadecimal; zeros on the left may be left out';
const WAIT_MS = 1000;

/** As the API writes it. */
interface DeletedTrace {
  traceID: string;
  state: string;
  deleted: string;
  erased?: string;
  waitsFor?: string[];
}

export function addDelete(parent: Command, world: World): void {
  const trace = parent
    .command('trace')
    .description('Deletes a trace: it is in no answer from now on, and its bytes go in the background.')
    .argument('<endpoint>', SERVER)
    .argument('<trace-id>', TRACE)
    .option('--wait', 'wait until no byte of it is left');
  apiOptions(trace).action(async (endpoint: string, id: string) => {
    const options = trace.opts<ApiOptions & { wait?: boolean }>();
    const terminal = createTerminal(world, options, false);
    const request = serverJson(endpoint, options);
    let state = (await request(`/api/traces/${encodeURIComponent(id)}`, 'DELETE')) as DeletedTrace;
    while (options.wait === true && state.state !== 'erased') {
      await sleep(WAIT_MS);
      state = (await request(`/api/deleted-traces/${encodeURIComponent(id)}`)) as DeletedTrace;
    }
    show([state], terminal);
  });
  const status = parent
    .command('status')
    .description('Says what is left of deleted traces.')
    .argument('<endpoint>', SERVER)
    .argument('[trace-id]', `${TRACE}; all of them without it`);
  apiOptions(status).action(async (endpoint: string, id?: string) => {
    const options = status.opts<ApiOptions>();
    const terminal = createTerminal(world, options, false);
    const request = serverJson(endpoint, options);
    if (id !== undefined)
      return show([(await request(`/api/deleted-traces/${encodeURIComponent(id)}`)) as DeletedTrace], terminal);
    const { traces } = (await request('/api/deleted-traces')) as { traces: DeletedTrace[] };
    if (traces.length === 0 && !terminal.json) terminal.note('no trace was deleted of late');
    else show(traces, terminal);
  });
}

/** Asks a server for JSON. */
export function serverJson(endpoint: string, options: ApiOptions): (path: string, method?: string) => Promise<unknown> {
  if (isFolder(endpoint))
    throw new UsageError(
      `only a server can do this, and ${endpoint} is a folder; start a server on it, and name its address`,
    );
  const request = serverRequest(serverOf(endpoint, options));
  return async (path, method = 'GET') => {
    const body = (await request(path, method)).toString('utf8');
    try {
      return JSON.parse(body) as unknown;
    } catch {
      throw new VivaceError('invalid', `${endpoint} answered ${method} ${path} without JSON; is it a Vivace?`);
    }
  };
}

function show(traces: DeletedTrace[], terminal: Terminal): void {
  const lines = (): string[] =>
    traces.map(({ traceID, state, deleted, erased, waitsFor }) => {
      if (state === 'erased') return `${traceID}  erased: no byte of it was left at ${erased}`;
      return `${traceID}  hidden since ${deleted}; may be left in: ${(waitsFor ?? []).join(', ')}`;
    });
  terminal.print(terminal.json ? [JSON.stringify(traces, undefined, 2)] : lines());
}
