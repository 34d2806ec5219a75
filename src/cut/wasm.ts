/**
 * A small assembler for WebAssembly (core specification 2.0, with the multi-memory proposal that is part of 3.0): functions are
 * written as nested expressions with names for locals, labels and functions, and become the bytes of a module.
 *
 *   loop('next', when(lessU(get('at'), get('end')), set('at', add(get('at'), 1)), branch('next')))
 *
 * All values are i32 unless an instruction says otherwise; booleans are 0 and 1. Numbers that stand for values are constants.
 */

/** Something that leaves a value, or a statement that leaves none. */
export type Code = number | Instruction | readonly Code[];

interface Instruction {
  operands?: readonly Code[];
  opcode?: readonly number[];
  local?: { opcode: number; name: string };
  call?: string;
  branch?: { opcode: number; label: string };
  nested?: { opcode: number; label: string; body: readonly Code[]; otherwise?: readonly Code[] };
}

export interface FunctionSource {
  name: string;
  parameters: readonly string[];
  /** Whether it returns an i32. */
  returns: boolean;
  locals?: readonly string[];
  locals64?: readonly string[];
  body: readonly Code[];
}

export interface ImportSource {
  name: string;
  /** What it is called in `host`; by default the same. */
  field?: string;
  parameters: number;
  returns: boolean;
}

export interface ModuleSource {
  /** Imported as `memory.<name>`; loads and stores name them by their place here. */
  memories: readonly { name: string; sharedPagesMax?: number }[];
  /** Imported as `host.<name>`. */
  imports: readonly ImportSource[];
  /** All of them are exported. */
  functions: readonly FunctionSource[];
}

const I32 = 0x7f;
const I64 = 0x7e;
const EMPTY = 0x40;

export const get = (name: string): Code => ({ local: { opcode: 0x20, name } });
export const set = (name: string, value: Code): Code => ({ operands: [value], local: { opcode: 0x21, name } });
/** Sets a local and is its value. */
export const tee = (name: string, value: Code): Code => ({ operands: [value], local: { opcode: 0x22, name } });

const binary =
  (opcode: number) =>
  (a: Code, b: Code): Code => ({ operands: [a, b], opcode: [opcode] });
export const equal = binary(0x46);
export const unequal = binary(0x47);
export const lessS = binary(0x48);
export const lessU = binary(0x49);
export const greaterS = binary(0x4a);
export const greaterU = binary(0x4b);
export const atLeastU = binary(0x4f);
export const add = binary(0x6a);
export const subtract = binary(0x6b);
export const multiply = binary(0x6c);
export const and = binary(0x71);
export const or = binary(0x72);
export const xor = binary(0x73);
export const shiftLeft = binary(0x74);
export const shiftRightU = binary(0x76);
export const unequal64 = binary(0x52);
export const xor64 = binary(0x85);
export const shiftLeft64 = binary(0x86);
export const not = (a: Code): Code => ({ operands: [a], opcode: [0x45] });
export const shiftRightU64 = binary(0x88);
export const isZero64 = (a: Code): Code => ({ operands: [a], opcode: [0x50] });
export const widenU = (a: Code): Code => ({ operands: [a], opcode: [0xad] });

const loading =
  (opcode: number) =>
  (memory: number, address: Code, offset = 0): Code => ({
    operands: [address],
    opcode: [opcode, ...memoryOperand(memory, offset)],
  });
export const load = loading(0x28);
export const load64 = loading(0x29);
export const load8 = loading(0x2d);
export const load16 = loading(0x2f);

const storing =
  (opcode: number) =>
  (memory: number, address: Code, value: Code, offset = 0): Code => ({
    operands: [address, value],
    opcode: [opcode, ...memoryOperand(memory, offset)],
  });
export const store = storing(0x36);
export const store64 = storing(0x37);
export const store8 = storing(0x3a);

export const call = (name: string, ...values: Code[]): Code => ({ operands: values, call: name });
export const drop = (value: Code): Code => ({ operands: [value], opcode: [0x1a] });
export const leave = (value: Code): Code => ({ operands: [value], opcode: [0x0f] });

/** Branches to the label go to its end. */
export const block = (label: string, ...body: Code[]): Code => ({ nested: { opcode: 0x02, label, body } });
/** Branches to the label go to its beginning; what reaches its end leaves it. */
export const loop = (label: string, ...body: Code[]): Code => ({ nested: { opcode: 0x03, label, body } });
export const when = (condition: Code, ...body: Code[]): Code => ({
  operands: [condition],
  nested: { opcode: 0x04, label: '', body },
});
export const choose = (condition: Code, body: Code[], otherwise: Code[]): Code => ({
  operands: [condition],
  nested: { opcode: 0x04, label: '', body, otherwise },
});
export const branch = (label: string): Code => ({ branch: { opcode: 0x0c, label } });
export const branchIf = (condition: Code, label: string): Code => ({
  operands: [condition],
  branch: { opcode: 0x0d, label },
});

/** The bytes of the module. */
export function assemble({ memories, imports, functions }: ModuleSource): Uint8Array<ArrayBuffer> {
  const types = [
    ...imports.map(signature),
    ...functions.map((each) => signature({ ...each, parameters: each.parameters.length })),
  ];
  const indexes = new Map([...imports, ...functions].map(({ name }, index) => [name, index]));
  const imported = [
    ...memories.map(({ name, sharedPagesMax }) => [
      ...text('memory'),
      ...text(name),
      0x02,
      ...(sharedPagesMax === undefined ? [0x00, 0x00] : [0x03, 0x00, ...unsigned(sharedPagesMax)]),
    ]),
    ...imports.map(({ name, field = name }, index) => [...text('host'), ...text(field), 0x00, ...unsigned(index)]),
  ];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...section(2, imported),
    ...section(
      3,
      functions.map((_, index) => unsigned(imports.length + index)),
    ),
    ...section(
      7,
      functions.map(({ name }, index) => [...text(name), 0x00, ...unsigned(imports.length + index)]),
    ),
    ...section(
      10,
      functions.map((each) => functionBody(each, indexes)),
    ),
  ]);
}

function signature({ parameters, returns }: { parameters: number; returns: boolean }): number[] {
  return [0x60, ...unsigned(parameters), ...Array(parameters).fill(I32), ...(returns ? [0x01, I32] : [0x00])];
}

function functionBody(source: FunctionSource, functions: ReadonlyMap<string, number>): number[] {
  const { parameters, locals = [], locals64 = [] } = source;
  const names = new Map([...parameters, ...locals, ...locals64].map((name, index) => [name, index]));
  const groups = [...unsigned(2), ...unsigned(locals.length), I32, ...unsigned(locals64.length), I64];
  const out: number[] = [];
  const labels: string[] = [];
  const emit = (code: Code): void => {
    if (typeof code === 'number') {
      out.push(0x41, ...signed(code));
      return;
    }
    if (isSequence(code)) {
      code.forEach(emit);
      return;
    }
    code.operands?.forEach(emit);
    if (code.opcode !== undefined) out.push(...code.opcode);
    if (code.local !== undefined) out.push(code.local.opcode, ...unsigned(known(names, code.local.name, source.name)));
    if (code.call !== undefined) out.push(0x10, ...unsigned(known(functions, code.call, source.name)));
    if (code.branch !== undefined) {
      const depth = labels.lastIndexOf(code.branch.label);
      if (depth < 0) throw new Error(`cannot assemble ${source.name}: no label ${code.branch.label}`);
      out.push(code.branch.opcode, ...unsigned(labels.length - 1 - depth));
    }
    if (code.nested !== undefined) {
      out.push(code.nested.opcode, EMPTY);
      labels.push(code.nested.label);
      code.nested.body.forEach(emit);
      if (code.nested.otherwise !== undefined) {
        out.push(0x05);
        code.nested.otherwise.forEach(emit);
      }
      labels.pop();
      out.push(0x0b);
    }
  };
  source.body.forEach(emit);
  const all = [...groups, ...out, 0x0b];
  return [...unsigned(all.length), ...all];
}

function known(indexes: ReadonlyMap<string, number>, name: string, where: string): number {
  const index = indexes.get(name);
  if (index === undefined) throw new Error(`cannot assemble ${where}: no ${name}`);
  return index;
}

function isSequence(code: Exclude<Code, number>): code is readonly Code[] {
  return Array.isArray(code);
}

function memoryOperand(memory: number, offset: number): number[] {
  // Alignment is a hint only; bit 6 says that the memory is named.
  return memory === 0 ? [0x00, ...unsigned(offset)] : [0x40, ...unsigned(memory), ...unsigned(offset)];
}

function section(id: number, items: readonly (readonly number[])[]): number[] {
  const content = [...unsigned(items.length), ...items.flat()];
  return [id, ...unsigned(content.length), ...content];
}

function text(name: string): number[] {
  const bytes = Buffer.from(name);
  return [...unsigned(bytes.length), ...bytes];
}

function unsigned(value: number): number[] {
  const out: number[] = [];
  let rest = value >>> 0;
  for (; rest > 127; rest >>>= 7) out.push((rest & 127) | 128);
  out.push(rest);
  return out;
}

function signed(value: number): number[] {
  const out: number[] = [];
  let rest = value | 0;
  while (rest < -64 || rest > 63) {
    out.push((rest & 127) | 128);
    rest >>= 7;
  }
  out.push(rest & 127);
  return out;
}

export const PAGE_BYTES = 65536;

export interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  grow(pages: number): number;
}

declare const WebAssembly: {
  Memory: new (pages: { initial: number; maximum?: number; shared?: boolean }) => WasmMemory;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: object };
};

/** A memory of so many pages; a shared one has a maximum. It takes memory where it was written to. */
export function newMemory(pages: { initial: number; maximum?: number; shared?: boolean }): WasmMemory {
  return new WebAssembly.Memory(pages);
}

export function compile(bytes: Uint8Array): object {
  return new WebAssembly.Module(bytes);
}

/** The functions of a module whose imports are these. */
export function instantiate(module: object, imports: { memory: Record<string, WasmMemory>; host: object }): object {
  return new WebAssembly.Instance(module, imports).exports;
}
