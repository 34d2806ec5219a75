/**
 * Changes valid requests at random and gives them to every decoder of strangers' bytes: each must answer with OTLP or a
 * VivaceError, soon, and with no more memory than ten times what it was given.
 *
 *   npm run fuzz -- [--inputs 1000000] [--seed N] [--only NAME]
 */
import { parseArgs } from 'node:util';
import { VivaceError } from '../../src/runtime/errors.ts';
import { DECODERS, type Decoder } from './decoders.ts';
import { mutate, randomFrom } from './mutate.ts';

/** Bytes of output that any input may cost, whatever its size. */
const OUTPUT_BYTES_FREE = 1000;
/** Bytes that a decoder may keep for its tables. */
const BUFFER_BYTES_FREE = 256 << 10;
const BYTES_PER_INPUT_BYTE_MAX = 10;
const MS_MAX = 50;
/** One input in so many is a large one, whose memory is looked at, too. */
const LARGE_EVERY = 100;

export interface Fuzzed {
  decoded: number;
  /** CPU time of the slowest. */
  msMax: number;
  /** Bytes of buffers for a byte of a large input, at most, less what is free. */
  bufferRatioMax: number;
}

/** Gives so many inputs to a decoder. Throws where it does anything but answer. */
export function fuzz(decoder: Decoder, inputs: number, seed: number): Fuzzed {
  const next = randomFrom(seed);
  const fuzzed: Fuzzed = { decoded: 0, msMax: 0, bufferRatioMax: 0 };
  for (let i = 0; i < inputs; i++) {
    const isLarge = i % LARGE_EVERY === 0;
    const seeds = isLarge ? decoder.large : decoder.seeds;
    const bytes = mutate(seeds[Math.floor(next() * seeds.length)], next);
    const fail = (what: string, cause?: unknown): never => {
      throw new Error(`${decoder.name}, input ${i}: ${what}\n${Buffer.from(bytes).toString('hex')}`, { cause });
    };
    const buffers = isLarge ? process.memoryUsage().arrayBuffers : 0;
    const began = performance.now();
    let made = 0;
    try {
      made = decoder.decode(bytes).length;
      fuzzed.decoded++;
    } catch (error) {
      if (!(error instanceof VivaceError)) fail(String(error), error);
    }
    const took = performance.now() - began;
    if (made > BYTES_PER_INPUT_BYTE_MAX * bytes.length + OUTPUT_BYTES_FREE)
      fail(`${made} bytes were made of ${bytes.length}`);
    if (isLarge) {
      // A collection meanwhile only makes it less.
      const more = process.memoryUsage().arrayBuffers - buffers - BUFFER_BYTES_FREE;
      fuzzed.bufferRatioMax = Math.max(fuzzed.bufferRatioMax, more / bytes.length);
      if (more > BYTES_PER_INPUT_BYTE_MAX * bytes.length) fail(`${more} bytes of buffers for ${bytes.length}`);
    }
    if (took <= fuzzed.msMax) continue;
    // A machine that is busy with other things is slow once, a decoder that hangs is slow again.
    const ms = cpuMs(decoder, bytes);
    if (ms > MS_MAX) fail(`took ${ms} ms`);
    fuzzed.msMax = Math.max(fuzzed.msMax, ms);
  }
  return fuzzed;
}

/** CPU time of one decoding: the least of three. */
function cpuMs(decoder: Decoder, bytes: Uint8Array): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 3; i++) {
    const began = process.threadCpuUsage();
    try {
      decoder.decode(bytes);
    } catch {}
    const { user, system } = process.threadCpuUsage(began);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { inputs: { type: 'string', default: '1000000' }, seed: { type: 'string' }, only: { type: 'string' } },
  });
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  console.log(`seed ${seed}`);
  for (const decoder of DECODERS) {
    if (values.only !== undefined && decoder.name !== values.only) continue;
    const { decoded, msMax, bufferRatioMax } = fuzz(decoder, Number(values.inputs), seed);
    console.log(
      `${decoder.name}: ${values.inputs} inputs, ${decoded} decoded, at most ${msMax.toFixed(1)} ms and ${bufferRatioMax.toFixed(1)} bytes of buffers a byte`,
    );
  }
}
