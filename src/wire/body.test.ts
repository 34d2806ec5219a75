import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import type { VivaceError } from '../runtime/errors.ts';
import { BodyBudget, BodyBuffer, type Pausable, readBody } from './body.ts';

function reader(): Pausable & { paused: boolean } {
  return {
    paused: false,
    pause() {
      this.paused = true;
    },
    resume() {
      this.paused = false;
    },
  };
}

describe('BodyBudget', () => {
  it('lets one reader overdraw, pauses the rest, and resumes them in turn', () => {
    const budget = new BodyBudget(100);
    const [a, b, c] = [reader(), reader(), reader()];
    assert.equal(budget.take(a, 100), true);
    assert.equal(budget.take(b, 10), true, 'b overdraws');
    assert.equal(budget.take(c, 10), false);
    assert.equal(c.paused, true);
    assert.equal(budget.take(b, 50), true, 'b may go on');
    budget.release(b, 60);
    assert.equal(c.paused, false, 'c takes the turn to overdraw');
    assert.equal(budget.take(a, 10), false);
    budget.release(c, 10);
    assert.equal(a.paused, false);
    budget.release(a, 110);
    assert.deepEqual([budget.usedBytes, budget.waiting], [0, 0]);
  });

  it('never stops everybody, whatever the order', () => {
    const budget = new BodyBudget(1000);
    const bodies = Array.from({ length: 50 }, () => ({ reader: reader(), got: 0 }));
    for (let left = bodies.length, turn = 0; left > 0; turn++) {
      const running = bodies.filter((body) => body.got < 500 && !body.reader.paused);
      assert.ok(running.length > 0, 'somebody can read');
      const body = running[(turn * 7) % running.length];
      body.got += 50;
      budget.take(body.reader, 50);
      // A chunk that arrived counts even if its reader was paused by it.
      if (body.got >= 500) {
        budget.release(body.reader, body.got);
        left--;
      }
    }
    assert.deepEqual([budget.usedBytes, budget.waiting], [0, 0]);
  });
});

describe('BodyBuffer', () => {
  for (const expected of [undefined, 3_000_000])
    it(`is exact when it is ready, expecting ${expected}`, () => {
      const body = new BodyBuffer(expected);
      for (let i = 0; i < 30; i++) body.append(Buffer.alloc(100_000, i));
      const bytes = body.finish();
      assert.deepEqual(
        [bytes.length, bytes.buffer.byteLength, bytes[0], bytes[2_999_999]],
        [3_000_000, 3_000_000, 0, 29],
      );
    });
});

describe('readBody', () => {
  const limits = { length: undefined, bytesMax: 1000, idleMsMax: 10_000, budget: new BodyBudget() };
  const code = (error: VivaceError): string => error.code;

  it('reads to the end and keeps its bytes in the budget', async () => {
    const stream = new PassThrough();
    const body = readBody(stream, limits);
    stream.write('some ');
    stream.end('bytes');
    assert.equal(Buffer.from(await body).toString(), 'some bytes');
    assert.equal(limits.budget.usedBytes, 10);
    limits.budget.release(stream, 10);
  });

  it('refuses an announced length before anything is read', async () => {
    assert.equal(await readBody(new PassThrough(), { ...limits, length: 1001 }).then(String, code), 'too-large');
  });

  it('refuses as soon as the bytes exceed the bound', async () => {
    const stream = new PassThrough();
    const body = readBody(stream, limits).then(String, code);
    stream.write(Buffer.alloc(600));
    stream.write(Buffer.alloc(600));
    assert.equal(await body, 'too-large');
    assert.equal(limits.budget.usedBytes, 0);
  });

  it('gives up a body that trickles', async () => {
    const stream = new PassThrough();
    const trickle = setInterval(() => stream.write('x'), 10);
    assert.equal(await readBody(stream, { ...limits, idleMsMax: 50 }).then(String, code), 'deadline');
    clearInterval(trickle);
    assert.equal(limits.budget.usedBytes, 0);
  });

  it('gives back what it took when the client goes away', async () => {
    const stream = new PassThrough();
    const body = readBody(stream, limits).then(String, code);
    stream.write('x');
    setImmediate(() => stream.destroy());
    assert.equal(await body, 'cancelled');
    assert.equal(limits.budget.usedBytes, 0);
  });
});
