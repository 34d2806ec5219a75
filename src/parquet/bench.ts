/**
 * Nanoseconds a value of the codecs that a block spends its time in, and a hash of what they made, so that a faster run
 * with another hash is seen to be wrong. `node src/parquet/bench.ts` is tiny; `node src/parquet/bench.ts 1000000` is for
 * people. `writer` is a whole file of 35 columns (nanoseconds a row).
 */
import { crc32 } from 'node:zlib';
import { unpackBits } from './bits.ts';
import { CodeFlags, flagCodes } from './code-flags.ts';
import type { ChunkData, ColumnSchema } from './column.ts';
import { decodeDeltaInt64, encodeDeltaInt64 } from './delta.ts';
import { decodeDeltaDistances, decodeDeltaInt64At, DISTANCES_ROOM } from './delta-distances.ts';
import { decodeCodes, decodeLevels, encodeCodes, encodeLevels } from './hybrid.ts';
import { createSink, type Sink, written } from './sink.ts';
import { codesAt } from './sparse.ts';
import { ParquetWriter } from './write.ts';
import { xxhash64 } from './xxhash64.ts';

const count = Number(process.argv[2] ?? 8000);
const rounds = Math.max(3, Math.min(50, Math.ceil(2_000_000 / count)));

/** A small generator of pseudo-random words (xorshift32): the same input on every machine. */
function randomWords(length: number, seed: number): Uint32Array {
  let x = seed;
  return Uint32Array.from({ length }, () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x;
  });
}

function measure(name: string, values: number, run: () => Uint8Array): void {
  let best = Infinity;
  let result = run();
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    result = run();
    best = Math.min(best, Number(process.hrtime.bigint() - start));
  }
  const hash = crc32(result).toString(16).padStart(8, '0');
  console.log(`${name.padEnd(28)} ${(best / values).toFixed(2).padStart(8)} ns  ${hash}`);
}

function bytesOf(array: Uint32Array | Int32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const random = randomWords(count, 2463534242);
const shapes: [string, number, Uint32Array][] = [
  ['5 bits, no runs', 5, random.map((word) => word & 31)],
  ['5 bits, runs of 100', 5, random.map((_, i) => random[Math.floor(i / 100)] & 31)],
  ['5 bits, runs of 1 to 20', 5, random.map((_, i) => random[Math.floor(i / (1 + (random[i >> 5] % 20)))] & 31)],
  ['2 bits, no runs', 2, random.map((word) => word & 3)],
  ['17 bits, no runs', 17, random.map((word) => word & 0x1ffff)],
];

/** Some of the first 4,000 values. */
const FEW = Uint32Array.of(500, 1500, 2700, 3900);
const fewCodes = new Uint32Array(FEW.length);

benchCodes();
benchLevels();
benchDelta();
benchHash();
benchWriter();

function benchCodes(): void {
  const sink = createSink(count * 8);
  const out = new Uint32Array(count);
  for (const [shape, width, codes] of shapes) {
    measure(`encode codes, ${shape}`, count, () => rewrite(sink, () => encodeCodes(sink, codes, 0, count, width)));
    const bytes = written(sink);
    measure(`decode codes, ${shape}`, count, () => {
      decodeCodes(bytes, viewOf(bytes), 0, bytes.length, width, count, out);
      return bytesOf(out);
    });
    const wanted = new CodeFlags(Uint8Array.from({ length: 2 ** width }, (_, code) => Number(code === 7)));
    const bits = new Uint8Array((count + 7) >> 3);
    measure(`find a code, ${shape}`, count, () => {
      bits.fill(0);
      flagCodes(bytes, viewOf(bytes), 0, bytes.length, width, count, wanted, bits, 0, { codes: out });
      return bits;
    });
    measure(`few codes, ${shape}`, count, () => {
      codesAt(bytes, 0, bytes.length, width, FEW, FEW.length, fewCodes, 0);
      return bytesOf(fewCodes);
    });
  }
  for (const width of [1, 8, 12, 17]) {
    const groups = Math.floor(count / 8);
    const bytes = bytesOf(random);
    measure(`unpack ${width} bits`, count, () => {
      unpackBits(width, viewOf(bytes), 0, out, 0, groups);
      return bytesOf(out);
    });
  }
}

function benchLevels(): void {
  const sink = createSink(count * 2);
  const out = new Uint8Array(count);
  const kinds: [string, Uint8Array][] = [
    ['all present', new Uint8Array(count).fill(1)],
    ['half, at random', Uint8Array.from(random, (word) => word & 1)],
    ['half, runs of 8', Uint8Array.from(random, (_, i) => random[i >> 3] & 1)],
  ];
  for (const [kind, levels] of kinds) {
    measure(`encode levels, ${kind}`, count, () => rewrite(sink, () => encodeLevels(sink, levels, 0, count, 1)));
    const bytes = written(sink);
    measure(`decode levels, ${kind}`, count, () => {
      decodeLevels(bytes, 0, bytes.length, 1, count, 1, out);
      return out;
    });
  }
}

function benchDelta(): void {
  const sink = createSink(count * 10);
  const words = new Int32Array(count * 2);
  // Times that go up and down by up to a second, in nanoseconds.
  for (let i = 0; i < count; i++) {
    words[i * 2] = random[i] >>> 2;
    words[i * 2 + 1] = 395812345;
  }
  measure('encode delta int64', count, () => rewrite(sink, () => encodeDeltaInt64(sink, words, 0, count)));
  const bytes = written(sink);
  const out = new Int32Array(count * 2);
  const few = new Int32Array(FEW.length * 2);
  const wide = createSink(count * 10);
  // Differences of up to 4 seconds either way have 34 bits.
  const far = words.map((word, i) => (i % 2 === 0 ? random[i >> 1] : word));
  encodeDeltaInt64(wide, far, 0, count);
  const distances = new Float64Array(count + DISTANCES_ROOM);
  measure('decode delta int64, 34 bits', count, () => {
    decodeDeltaInt64(written(wide), viewOf(written(wide)), 0, wide.length, count, out);
    return bytesOf(out);
  });
  for (const [width, of] of [
    [34, wide],
    [32, sink],
  ] as const)
    measure(`distances of int64, ${width} bits`, count, () => {
      decodeDeltaDistances(written(of), viewOf(written(of)), 0, of.length, count, distances);
      return new Uint8Array(distances.buffer, 0, 8 * count);
    });
  measure('few of delta int64, 34 bits', 4000, () => {
    decodeDeltaInt64At(written(wide), viewOf(written(wide)), 0, wide.length, count, FEW, FEW.length, few, 0);
    return bytesOf(few);
  });
  measure('decode delta int64', count, () => {
    decodeDeltaInt64(bytes, viewOf(bytes), 0, bytes.length, count, out);
    return bytesOf(out);
  });
}

function benchHash(): void {
  const bytes = bytesOf(random);
  const ids = Math.floor(bytes.length / 16);
  const hash = new Int32Array(2);
  measure('xxHash64 of 16 bytes', ids, () => {
    for (let i = 0; i < ids; i++) xxhash64(bytes, i * 16, i * 16 + 16, hash);
    return bytesOf(hash);
  });
}

/** Five number columns and thirty attributes of 2 to 10,000 values, present in 10 to 100 % of the rows. */
function benchWriter(): void {
  const rows = count;
  const schema: ColumnSchema[] = [
    { name: 'trace', type: 'fixed', width: 16, repetition: 'required' },
    { name: 'span', type: 'fixed', width: 8, repetition: 'required' },
    { name: 'start', type: 'int64', repetition: 'required' },
    { name: 'duration', type: 'int64', repetition: 'required' },
    { name: 'parent', type: 'int32', repetition: 'required' },
  ];
  const noise = bytesOf(random);
  const words = new Int32Array(rows * 2);
  for (let i = 0; i < rows; i++) words[i * 2] = random[i] >>> 4;
  const traces = Math.ceil(rows / 8);
  const chunks: ChunkData[] = [
    {
      rows,
      values: { type: 'fixed', bytes: bytesOf(randomWords(traces * 4, 7)), width: 16, count: traces },
      codes: Uint32Array.from({ length: rows }, (_, i) => i >> 3),
      codec: 'none',
      bloom: 16,
    },
    {
      rows,
      values: { type: 'fixed', bytes: new Uint8Array([...noise, ...noise]), width: 8, count: rows },
      codec: 'none',
      statistics: false,
    },
    { rows, values: { type: 'int64', words, count: rows }, encoding: 'delta', codec: 'none' },
    { rows, values: { type: 'int64', words, count: rows }, encoding: 'delta', codec: 'none' },
    {
      rows,
      values: { type: 'int32', values: Int32Array.from({ length: rows }, (_, i) => i & ~7), count: rows },
      encoding: 'delta',
      codec: 'zstd',
    },
  ];
  for (let column = 0; column < 30; column++) {
    schema.push({ name: `attribute.${column}`, type: 'bytes', logical: 'string', repetition: 'optional' });
    chunks.push(attributeOf(column, rows));
  }
  const parts: Uint8Array[] = [];
  measure('writer, 35 columns, a row', rows, () => {
    parts.length = 0;
    const write = (bytes: Uint8Array): void => {
      parts.push(bytes);
    };
    const writer = new ParquetWriter({ schema, pageRows: 10_000, createdBy: 'bench', keyValue: [], write });
    writer.startRowGroup(rows);
    chunks.forEach((chunk, i) => {
      writer.writeChunk(i, chunk);
    });
    writer.endRowGroup();
    writer.finish();
    return parts[parts.length - 1];
  });
}

function attributeOf(column: number, rows: number): ChunkData {
  const entries = [2, 5, 10, 30, 100, 1000, 10_000][column % 7];
  const texts = Array.from({ length: entries }, (_, i) => `value ${column} of an attribute ${i}`);
  const offsets = new Uint32Array(entries + 1);
  texts.forEach((text, i) => {
    offsets[i + 1] = offsets[i] + text.length;
  });
  const words = randomWords(rows, column + 1);
  const share = [1, 0.9, 0.5, 0.1][column % 4] * 2 ** 32;
  const step = column % 3 === 0 ? 0 : 3;
  const definition = Uint8Array.from(words, (_, i) => (words[i >> step] < share ? 1 : 0));
  const codeCount = definition.reduce((sum, level) => sum + level, 0);
  const codes = Uint32Array.from({ length: codeCount }, (_, i) => words[rows - 1 - (i >> step)] % entries);
  const bytes = new Uint8Array(Buffer.from(texts.join('')));
  return {
    rows,
    definition,
    codes,
    codeCount,
    values: { type: 'bytes', bytes, offsets, count: entries },
    codec: 'zstd',
  };
}

function rewrite(sink: Sink, write: () => void): Uint8Array {
  sink.length = 0;
  write();
  return written(sink);
}
