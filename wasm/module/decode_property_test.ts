/**
 * For any bytes, the decoder returns a module that the engine also accepts, or throws a
 * `WasmError`, and its steps are in proportion to the bytes.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeModule } from "./decode.ts";
import { encodeModule } from "./encode.ts";
import { WasmError } from "./errors.ts";
import { POLICY_LIMITS, type WasmModule } from "./module.ts";
import { EVERYTHING, fromText, leb, listOf, moduleOf, moduleWith } from "../testing/bytes.ts";

/** Steps per byte at most: each byte is read once, and each instruction is visited a second time. */
const STEPS_PER_BYTE = 2;
/** Steps that do not depend on the bytes. */
const FIXED_STEPS = 100;

function decodeCounted(bytes: Uint8Array): { module: WasmModule | undefined; steps: number } {
  const work = { steps: 0 };
  try {
    return { module: decodeModule(bytes, POLICY_LIMITS, work), steps: work.steps };
  } catch (error) {
    if (error instanceof WasmError) return { module: undefined, steps: work.steps };
    throw error;
  }
}

/** The property of any bytes; returns whether they were a module. */
function judge(bytes: Uint8Array<ArrayBuffer>): boolean {
  const { module, steps } = decodeCounted(bytes);
  assert.ok(steps <= FIXED_STEPS + STEPS_PER_BYTE * bytes.length, `${steps} steps`);
  if (module === undefined) return false;
  assert.ok(WebAssembly.validate(bytes), "taken, but the engine refuses it");
  const encoded = encodeModule(module);
  assert.ok(WebAssembly.validate(encoded), "the engine refuses what was encoded");
  assert.deepEqual(encodeModule(decodeModule(encoded)), encoded);
  return true;
}

const BYTES = fc.uint8Array({ maxLength: 200 });
/** Opcodes, small indices and ends more often than other bytes, so that more of the code is valid. */
const CODE_BYTE = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 0xff }) },
  { weight: 2, arbitrary: fc.constantFrom(0x00, 0x01, 0x02, 0x40, 0x7f) },
  { weight: 2, arbitrary: fc.constantFrom(0x02, 0x03, 0x04, 0x05, 0x0b, 0x0c, 0x0d, 0x0e, 0xfc) },
);

Deno.test("arbitrary bytes are refused with a WasmError or make a module", () => {
  fc.assert(fc.property(BYTES, (bytes) => void judge(Uint8Array.from(bytes))), { numRuns: 1_000 });
});

Deno.test("arbitrary sections are refused with a WasmError or make a module", () => {
  const sections = fc.array(fc.tuple(fc.integer({ min: 0, max: 14 }), BYTES), { maxLength: 12 });
  fc.assert(
    fc.property(sections, (parts) => {
      const ordered = parts.sort(([left], [right]) => left - right);
      judge(moduleOf(...ordered.map(([id, bytes]) => [id, ...leb(bytes.length), ...bytes])));
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("arbitrary code is refused with a WasmError or validates in the engine", () => {
  const code = fc.array(CODE_BYTE, { maxLength: 40 });
  fc.assert(
    fc.property(code, (bytes) => void judge(moduleWith([0x00, ...bytes, 0x0b]))),
    { numRuns: 2_000 },
  );
});

interface Mutation {
  readonly at: number;
  readonly remove: number;
  readonly insert: Uint8Array;
}

const MUTATION: fc.Arbitrary<Mutation> = fc.record({
  at: fc.nat(),
  remove: fc.integer({ min: 0, max: 3 }),
  insert: fc.uint8Array({ maxLength: 3 }),
});

function mutated(bytes: Uint8Array, mutations: readonly Mutation[]): Uint8Array<ArrayBuffer> {
  const changed = [...bytes];
  for (const { at, remove, insert } of mutations) {
    changed.splice(at % (changed.length + 1), remove, ...insert);
  }
  return Uint8Array.from(changed);
}

Deno.test("mutations of a real module are refused with a WasmError or make a module", () => {
  const original = fromText(EVERYTHING);
  let taken = 0;
  fc.assert(
    fc.property(fc.array(MUTATION, { minLength: 1, maxLength: 3 }), (mutations) => {
      if (judge(mutated(original, mutations))) taken += 1;
    }),
    { numRuns: 1_000 },
  );
  assert.ok(taken > 0, "every mutation was refused: this shows nothing");
});

Deno.test("every single byte of a real module can be changed or be the last", () => {
  const original = fromText(EVERYTHING);
  for (let at = 0; at < original.length; at += 1) {
    judge(original.slice(0, at));
    for (const byte of [0x00, 0x01, 0x0b, 0x40, 0x7f, 0x80, 0xff]) {
      const changed = original.slice();
      changed[at] = byte;
      judge(changed);
    }
  }
});

function repeated(count: number, ...bytes: number[]): number[] {
  return Array.from({ length: count }, () => bytes).flat();
}

const FAMILIES: Readonly<Record<string, (size: number) => Uint8Array<ArrayBuffer>>> = {
  nops: (size) => moduleWith([...repeated(20 * size, 0x01), 0x0b]),
  "dead code": (size) => moduleWith([0x00, ...repeated(20 * size, 0x1a), 0x0b]),
  "a tower of operands": (size) =>
    moduleWith([...repeated(10 * size, 0x41, 0), ...repeated(10 * size, 0x1a), 0x0b]),
  "blocks in a row": (size) => moduleWith([...repeated(5 * size, 0x02, 0x40, 0x0b), 0x0b]),
  "deep blocks": (size) => {
    const tower = [...repeated(200, 0x02, 0x40), ...repeated(200, 0x0b)];
    return moduleWith([...repeated(size / 50, ...tower), 0x0b]);
  },
  "many custom sections": (size) => moduleOf(...Array<number[]>(5 * size).fill([0, 1, 0])),
  "many exports": (size) => {
    const names = Array.from({ length: size }, (_, at) => [...`${1_000 + at}`]);
    const entry = (name: string[]) => [4, ...name.map((digit) => digit.charCodeAt(0)), 2, 0];
    return moduleOf(listOf(5, [0, 1]), listOf(7, ...names.map(entry)));
  },
};

Deno.test("twice the bytes take at most twice the steps, for any bytes", () => {
  for (const [name, make] of Object.entries(FAMILIES)) {
    const small = decodeCounted(make(1_000));
    const large = decodeCounted(make(2_000));
    assert.ok(small.module !== undefined && large.module !== undefined, `${name} is not valid`);
    assert.ok(large.steps <= 2.1 * small.steps + FIXED_STEPS, `${name}: ${large.steps}`);
    const { size_bytes } = large.module;
    const allowed = FIXED_STEPS + STEPS_PER_BYTE * size_bytes;
    assert.ok(large.steps <= allowed, `${name}: ${large.steps} steps for ${size_bytes} bytes`);
  }
});
