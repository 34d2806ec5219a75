import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CutSlices } from './cut-slices.ts';

/** Which of three cuts went on in each turn; each pauses twice. */
async function turns(perTurn: number): Promise<string[]> {
  const slices = new CutSlices(() => perTurn);
  const seen: string[] = [];
  let turn = '';
  let left = 3;
  const cut = async (name: string): Promise<void> => {
    for (let i = 0; i < 2; i++) {
      await slices.pause();
      turn += name;
    }
    left--;
  };
  void Promise.all(['a', 'b', 'c'].map(cut));
  while (left > 0) {
    await new Promise((resolve) => setImmediate(resolve));
    if (turn !== '') seen.push(turn);
    turn = '';
  }
  if (turn !== '') seen.push(turn);
  return seen;
}

test('one cut goes on in a turn, and each as often as the others', async () => {
  assert.deepEqual(await turns(1), ['a', 'b', 'c', 'a', 'b', 'c']);
});

test('where cuts are urgent all that wait go on in a turn', async () => {
  assert.deepEqual(await turns(16), ['abc', 'abc']);
});
