import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  add,
  assemble,
  block,
  branch,
  branchIf,
  call,
  choose,
  compile,
  equal,
  get,
  instantiate,
  lessU,
  load,
  load64,
  load8,
  loop,
  multiply,
  newMemory,
  PAGE_BYTES,
  set,
  shiftRightU64,
  store,
  store64,
  when,
  widenU,
} from './wasm.ts';

const SUM = {
  name: 'sum',
  parameters: ['count'],
  returns: true,
  locals: ['index', 'total'],
  body: [
    loop(
      'next',
      when(
        lessU(get('index'), get('count')),
        set('total', add(get('total'), load8(0, get('index')))),
        set('index', add(get('index'), 1)),
        branch('next'),
      ),
    ),
    get('total'),
  ],
};

it('adds up bytes in a loop', () => {
  const first = newMemory({ initial: 1 });
  new Uint8Array(first.buffer).set([1, 2, 200]);
  const { sum } = build([SUM], { first }) as { sum: (count: number) => number };
  assert.equal(sum(3), 203);
});

it('calls its host and other functions, with constants of any size', () => {
  const constants = [0, 63, 64, -64, -65, 8191, 8192, 0x7fffffff, -0x80000000, 0x85ebca6b | 0];
  const told: number[] = [];
  const tell = { name: 'tell', parameters: [], returns: false, body: constants.map((each) => call('note', each)) };
  const all = { name: 'all', parameters: ['times'], returns: true, body: [call('tell'), multiply(get('times'), -3)] };
  const built = build([tell, all], {}, { note: (value: number) => told.push(value) });
  assert.equal((built as { all: (times: number) => number }).all(5), -15);
  assert.deepEqual(told, constants);
});

it('goes to the end of a block and to either side of a choice', () => {
  const sign = {
    name: 'sign',
    parameters: ['value'],
    returns: true,
    locals: ['found'],
    body: [
      block(
        'zero',
        branchIf(equal(get('value'), 0), 'zero'),
        choose(lessU(get('value'), 0x80000000 | 0), [set('found', 1)], [set('found', -1)]),
      ),
      get('found'),
    ],
  };
  const built = build([sign], {}) as { sign: (value: number) => number };
  assert.deepEqual([7, 0, -7].map(built.sign), [1, 0, -1]);
});

it('reads one memory and writes another, which grows in place', () => {
  const first = newMemory({ initial: 1 });
  const second = newMemory({ initial: 1, maximum: 4, shared: true });
  const words = new Uint32Array(first.buffer);
  words.set([0x11223344, 0x55667788]);
  const copy = {
    name: 'copy',
    parameters: ['to'],
    returns: false,
    body: [store(1, get('to'), load(0, 0, 4)), store64(1, get('to'), shiftRightU64(load64(0, 0), widenU(8)), 8)],
  };
  const built = build([copy], { first, second }) as { copy: (to: number) => void };
  const before = new Uint32Array(second.buffer);
  built.copy(0);
  second.grow(1);
  built.copy(PAGE_BYTES);
  const after = new Uint32Array(second.buffer);
  for (const at of [0, PAGE_BYTES / 4])
    assert.deepEqual([...after.subarray(at, at + 4)], [0x55667788, 0, 0x88112233, 0x00556677]);
  assert.equal(before[0], 0x55667788);
  assert.throws(() => built.copy(2 * PAGE_BYTES), { name: 'RuntimeError' });
});

it('names what it does not know', () => {
  const wrong = (body: ReturnType<typeof get>) => () =>
    assemble({ memories: [], imports: [], functions: [{ name: 'f', parameters: [], returns: false, body: [body] }] });
  assert.throws(wrong(get('nothing')), /cannot assemble f: no nothing/);
  assert.throws(wrong(branch('nowhere')), /cannot assemble f: no label nowhere/);
});

function build(
  functions: Parameters<typeof assemble>[0]['functions'],
  memory: Parameters<typeof instantiate>[1]['memory'],
  host = {},
): object {
  const module = compile(
    assemble({
      memories: Object.keys(memory).map((name) => ({ name, ...(name === 'second' && { sharedPagesMax: 4 }) })),
      imports: Object.keys(host).map((name) => ({ name, parameters: 1, returns: false })),
      functions,
    }),
  );
  return instantiate(module, { memory, host });
}
