/**
 * Refusals, each of the right kind, at the right position and with its sentence. The specification's
 * cases run in tests/external/wasm_refusal_test.ts.
 */
import assert from "node:assert/strict";
import { decodeModule } from "./decode.ts";
import { WasmError, type WasmErrorKind } from "./errors.ts";
import { POLICY_LIMITS } from "./module.ts";
import { body, fromText, leb, listOf, moduleOf, moduleWith, section } from "../testing/bytes.ts";

type Refusal = readonly [kind: WasmErrorKind, sentence: RegExp, bytes: Uint8Array];

function refusalOf(bytes: Uint8Array): WasmError {
  try {
    decodeModule(bytes);
  } catch (error) {
    if (error instanceof WasmError) return error;
    throw error;
  }
  throw new assert.AssertionError({ message: "the module was taken" });
}

function checkRefusals(refusals: Readonly<Record<string, Refusal>>): void {
  for (const [what, [kind, sentence, bytes]] of Object.entries(refusals)) {
    const refusal = refusalOf(bytes);
    assert.equal(refusal.kind, kind, `${what}: ${refusal.message}`);
    assert.match(refusal.message, sentence, what);
    assert.ok(refusal.offset >= 0 && refusal.offset <= bytes.length, what);
    assert.equal(refusal.feature !== undefined, kind === "unsupported", what);
  }
}

const TYPE = listOf(1, [0x60, 0, 0]);
const FUNCTION = listOf(3, [0]);
const MEMORY = listOf(5, [0, 1]);
const CODE = listOf(10, body([0x0b]));

Deno.test("bytes that break the binary format are malformed", () => {
  const text = (...bytes: number[]) => Uint8Array.from(bytes);
  checkRefusals({
    "no bytes": ["malformed", /unexpected end/, text()],
    "half a header": ["malformed", /unexpected end/, text(0, 0x61, 0x73)],
    "a PNG": ["malformed", /not WebAssembly/, text(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10)],
    "version 2": ["malformed", /version 2/, text(0, 0x61, 0x73, 0x6d, 2, 0, 0, 0)],
    "section 99": ["malformed", /no section 0x63/, moduleOf([99, 0])],
    "a section past the end": ["malformed", /goes past the end/, moduleOf([1, 9, 0])],
    "a section twice": ["malformed", /twice or too late/, moduleOf(TYPE, TYPE)],
    "a section too late": ["malformed", /twice or too late/, moduleOf(MEMORY, TYPE)],
    "more than the section says": ["malformed", /longer than/, moduleOf(section(1, [0, 0]))],
    "functions without code": ["malformed", /equally many/, moduleOf(TYPE, FUNCTION)],
    "code without functions": ["malformed", /equally many/, moduleOf(TYPE, CODE)],
    "a huge count": ["malformed", /unexpected end/, moduleOf(section(3, leb(0xffff_ffff)))],
    "6 bytes for an integer": [
      "malformed",
      /more than 5 bytes/,
      moduleOf(section(8, [0x80, 0x80, 0x80, 0x80, 0x80, 0])),
    ],
    "33 bits": ["malformed", /fit into 32/, moduleOf(section(8, [0xff, 0xff, 0xff, 0xff, 0x1f]))],
    "a name that is not UTF-8": ["malformed", /UTF-8/, moduleOf(section(0, [1, 0xff]))],
    "an import of kind 9": ["malformed", /kind 9/, moduleOf(listOf(2, [0, 0, 9, 0]))],
    "table limits flag 16": ["malformed", /flags/, moduleOf(listOf(4, [0x70, 16, 0]))],
    "a table of numbers": ["malformed", /reference type/, moduleOf(listOf(4, [0x7f, 0, 0]))],
    "mutability 7": ["malformed", /mutability/, moduleOf(listOf(6, [0x7f, 7, 0x41, 0, 0x0b]))],
    "element flags 8": ["malformed", /flags/, moduleOf(listOf(9, [8]))],
    "element kind 1": ["malformed", /unknown kind/, moduleOf(listOf(9, [1, 1, 0]))],
    "data flags 3": ["malformed", /flags/, moduleOf(listOf(11, [3]))],
    "data count 2 of 1": [
      "malformed",
      /data count/,
      moduleOf(section(12, [2]), listOf(11, [1, 0])),
    ],
    "data count 2 of none": ["malformed", /data count/, moduleOf(section(12, [2]))],
  });
});

Deno.test("bodies that break the binary format are malformed", () => {
  const long = moduleOf(TYPE, FUNCTION, listOf(10, [9, 0, 0x0b]));
  const constant = (code: number[]) => moduleWith([...code, 0x1a, 0x0b]);
  const nines = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80];
  checkRefusals({
    "no end": ["malformed", /unexpected end/, moduleWith([0x01])],
    "code after the end": ["malformed", /longer than/, moduleWith([0x0b, 0x01])],
    "a body past the end": ["malformed", /goes past the end/, long],
    "an unknown opcode": ["malformed", /no opcode 0xff/, moduleWith([0xff, 0x0b])],
    "an unknown 0xfc": ["malformed", /no opcode 0xfc 0x63/, moduleWith([0xfc, 0x63, 0x0b])],
    "else without if": ["malformed", /without an if/, moduleWith([0x02, 0x40, 0x05, 0x0b, 0x0b])],
    "two elses": ["malformed", /without an if/, moduleWith([4, 0x40, 5, 5, 0x0b, 0x0b])],
    "a block type of -2^7": ["malformed", /negative/, moduleWith([2, 0x80, 0x7f, 0x0b, 0x0b])],
    "a block type 0x41": ["malformed", /no value type/, moduleWith([2, 0x41, 0x0b, 0x0b])],
    "6 bytes of i32": ["malformed", /5 bytes/, constant([0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0])],
    "33 bits of i32": ["malformed", /32 bits/, constant([0x41, 0x80, 0x80, 0x80, 0x80, 0x10])],
    "11 bytes of i64": ["malformed", /10 bytes/, constant([0x42, ...nines, 0x80, 0])],
    "65 bits of i64": ["malformed", /64 bits/, constant([0x42, ...nines, 0x02])],
    "alignment 2^32": ["malformed", /alignment/, constant([0x41, 0, 0x28, 32, 0])],
    "2^32 locals": [
      "malformed",
      /2\^32/,
      moduleWith([0x0b], [2, ...leb(0xffff_ffff), 0x7f, 1, 0x7f]),
    ],
    "memory.init without a data count": [
      "malformed",
      /data count section/,
      moduleWith([0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 8, 0, 0, 0x0b]),
    ],
  });
});

Deno.test("later features are refused by name", () => {
  const limits = (flags: number) => moduleOf(listOf(5, [flags, 1, 1]));
  const code = (...bytes: number[]) => moduleWith([...bytes, 0x0b]);
  const global = (...bytes: number[]) => moduleOf(listOf(6, bytes));
  checkRefusals({
    component: ["unsupported", /components/, Uint8Array.of(0, 0x61, 0x73, 0x6d, 13, 0, 1, 0)],
    "tag section": ["unsupported", /exceptions/, moduleOf(TYPE, [13, 0])],
    "tag import": ["unsupported", /exceptions/, moduleOf(listOf(2, [0, 0, 4, 0, 0]))],
    "string section": ["unsupported", /stringref/, moduleOf([14, 0])],
    "struct type": ["unsupported", /GC/, moduleOf(listOf(1, [0x5f, 0]))],
    "recursion group": ["unsupported", /GC/, moduleOf(listOf(1, [0x4e, 0]))],
    "v128 parameter": ["unsupported", /SIMD/, moduleOf(listOf(1, [0x60, 1, 0x7b, 0]))],
    "shared memory": ["unsupported", /shared memory/, limits(3)],
    "64-bit memory": ["unsupported", /memory64/, limits(5)],
    "page size": ["unsupported", /custom page sizes/, limits(9)],
    "data of memory 1": [
      "unsupported",
      /several memories/,
      moduleOf(listOf(5, [0, 1], [0, 1]), listOf(11, [2, 1, 0x41, 0, 0x0b, 0])),
    ],
    "data of memory 1 without one": [
      "unsupported",
      /several memories/,
      moduleOf(listOf(11, [2, 1, 0x41, 0, 0x0b, 0])),
    ],
    "compact imports": [
      "unsupported",
      /compact imports/,
      moduleOf(listOf(2, [1, 0x61, 0, 0x7f, 1, 1, 0x62, 0, 0])),
    ],
    "f32.load_f16": ["unsupported", /half precision/, code(0x41, 0, 0xfc, 0x30, 1, 0)],
    "two memories": ["unsupported", /several memories/, moduleOf(listOf(5, [0, 1], [0, 1]))],
    "typed table": ["unsupported", /typed function/, moduleOf(listOf(4, [0x40, 0, 0x70, 0, 0]))],
    "typed reference": ["unsupported", /typed function/, moduleOf(listOf(4, [0x63, 0, 0, 0]))],
    "shared global": ["unsupported", /threads/, global(0x7f, 2, 0x41, 0, 0x0b)],
    "sum as initial value": [
      "unsupported",
      /extended const/,
      global(0x7f, 0, 0x41, 1, 0x41, 1, 0x6a, 0x0b),
    ],
    "own global as initial value": [
      "unsupported",
      /extended const/,
      moduleOf(listOf(6, [0x7f, 0, 0x41, 1, 0x0b], [0x7f, 0, 0x23, 0, 0x0b])),
    ],
    "try": ["unsupported", /exceptions/, code(0x06, 0x40, 0x0b)],
    "try_table": ["unsupported", /exceptions/, code(0x1f, 0x40, 0, 0x0b)],
    "return_call": ["unsupported", /tail calls/, code(0x12, 0)],
    "call_ref": ["unsupported", /typed function references/, code(0x14, 0)],
    "ref.null 0": ["unsupported", /typed function references/, code(0xd0, 0)],
    "ref.eq": ["unsupported", /GC/, code(0xd3)],
    "struct.new": ["unsupported", /GC/, code(0xfb, 0, 0)],
    "v128.const": ["unsupported", /SIMD/, code(0xfd, 12)],
    "relaxed swizzle": ["unsupported", /relaxed SIMD/, code(0xfd, 0x80, 0x02)],
    "atomic.fence": ["unsupported", /threads/, code(0xfe, 3, 0)],
    "i64.add128": ["unsupported", /wide arithmetic/, code(0xfc, 0x13)],
    "memory.discard": ["unsupported", /memory control/, code(0xfc, 0x12, 0)],
    "resume": ["unsupported", /stack switching/, code(0xe3, 0, 0)],
    "load from memory 1": ["unsupported", /several memories/, code(0x41, 0, 0x28, 0x42, 1, 0)],
    "grow of memory 1": ["unsupported", /several memories/, code(0x41, 0, 0x40, 1)],
  });
});

const LOOP = 0x03;

function nested(depth: number, op = 0x02): number[] {
  const open = Array.from({ length: depth }, () => [op, 0x40]).flat();
  return [...open, ...Array<number>(depth + 1).fill(0x0b)];
}

Deno.test("blocks may nest as deep as the size of a body allows", () => {
  const { functions: [body] } = decodeModule(moduleWith(nested(21_000)));
  assert.equal(body?.code.length, 42_001);
});

function functions(count: number): Uint8Array {
  const bodies = Array<number[]>(count).fill([2, 0, 0x0b]);
  return moduleOf(TYPE, listOf(3, ...bodies.map(() => [0])), listOf(10, ...bodies));
}

Deno.test("each static limit accepts its value and refuses one more", () => {
  const values = (count: number) => [...leb(count), ...Array<number>(count).fill(0x7f)];
  const type = (parameters: number, results: number) =>
    moduleOf(listOf(1, [0x60, ...values(parameters), ...values(results)]));
  const locals = (count: number) => moduleWith([0x0b], [1, ...leb(count), 0x7f]);
  const nops = (count: number) => moduleWith([...Array<number>(count - 2).fill(1), 0x0b]);
  const tables = (...sizes: number[]) =>
    moduleOf(listOf(4, ...sizes.map((size) => [0x70, 0, ...leb(size)])));
  const padded = (size: number) => moduleOf(section(0, [0, ...new Uint8Array(size - 13)]));
  const pairs: readonly (readonly [Uint8Array, Uint8Array, RegExp])[] = [
    [padded(1 << 20), padded((1 << 20) + 1), /1048577 bytes; 1048576 are allowed/],
    [nops(1 << 16), nops((1 << 16) + 1), /body has 65537 bytes; 65536/],
    [locals(1_024), locals(1_025), /1025 locals; 1024/],
    [type(16, 16), type(17, 0), /17 parameters; 16/],
    [type(16, 16), type(0, 17), /17 results; 16/],
    [moduleWith(nested(256, LOOP)), moduleWith(nested(257, LOOP)), /loops nest deeper than 256/],
    [tables(9_000, 1_000), tables(9_000, 1_001), /10001 entries; 10000/],
    [functions(10_000), functions(10_001), /10001 functions; 10000/],
  ];
  for (const [at, above, sentence] of pairs) {
    decodeModule(at);
    const refusal = refusalOf(above);
    assert.equal(refusal.kind, "limit");
    assert.match(refusal.message, sentence);
  }
});

Deno.test("the largest hostile modules are refused by a limit, not by effort", () => {
  const work = { steps: 0 };
  const big = new Uint8Array(50_000_000);
  assert.throws(() => decodeModule(big, POLICY_LIMITS, work), /50000000 bytes/);
  assert.equal(work.steps, 0);
  checkRefusals({
    "100,000 functions": ["limit", /100000 functions/, functions(100_000)],
    "nesting 300,000": ["limit", /body has/, moduleWith(nested(300_000))],
    "a billion entries": [
      "limit",
      /1000000000 entries/,
      moduleOf(listOf(4, [0x70, 0, ...leb(1e9)])),
    ],
    "49,000 locals": ["limit", /49000 locals/, moduleWith([0x0b], [1, ...leb(49_000), 0x7f])],
  });
  const deep = { ...POLICY_LIMITS, module_bytes: 1e8, body_bytes: 1e8 };
  assert.throws(
    () => decodeModule(moduleWith(nested(1_000_000, LOOP)), deep),
    /loops nest deeper than 256/,
  );
});

const INVALID: readonly string[] = [
  "(func (drop (i64.eqz (i32.const 0))))",
  "(func drop)",
  "(func i32.const 0)",
  "(func (result i32) i32.const 0 br_table 0 0)",
  "(func br 2)",
  "(func (param i32) local.get 1 drop)",
  "(func global.get 0 drop)",
  "(global i32 (i32.const 0)) (func (global.set 0 (i32.const 0)))",
  "(func call 7)",
  "(table 0 funcref) (func i32.const 0 call_indirect (type 7))",
  '(import "a" "b" (func (type 9)))',
  "(func i32.const 0 call_indirect)",
  "(table 0 externref) (func i32.const 0 call_indirect)",
  "(func (drop (table.size 0)))",
  "(table 1 funcref) (table 1 externref) (func i32.const 0 i32.const 0 i32.const 0 table.copy 0 1)",
  "(func elem.drop 3)",
  "(func (drop (i32.load (i32.const 0))))",
  "(func (drop (memory.size)))",
  "(memory 1) (func (drop (i32.load16_u align=4 (i32.const 0))))",
  '(memory 1) (data "x") (func data.drop 1)',
  "(func (drop (select (ref.null func) (ref.null func) (i32.const 0))))",
  "(func (drop (ref.is_null (i32.const 0))))",
  "(func (drop (ref.func 0)))",
  "(func (drop (ref.func 4)))",
  "(func (result i32) i32.const 0 (if (result i32) (then i32.const 1)) unreachable)",
  "(func (block (result i32) (block i32.const 0 i32.const 0 br_table 0 1) i32.const 0) drop)",
  '(func) (export "a" (func 0)) (export "a" (func 0))',
  '(export "a" (memory 0))',
  "(start 3)",
  "(func (param i32)) (start 0)",
  "(memory 65537)",
  "(memory 2 1)",
  '(import "a" "b" (table 2 1 funcref))',
  '(import "a" "b" (memory 65537))',
  "(global i32 (global.get 9))",
  '(import "a" "b" (global (mut i32))) (global i32 (global.get 0))',
  "(global i32 (i64.const 0))",
  "(global i32 (f32.const 0))",
  "(global i32)",
  "(global i32 nop)",
  "(global funcref (ref.func 5))",
  "(table 1 funcref) (elem (i32.const 0) 5)",
  "(elem (i32.const 0))",
  "(table 1 externref) (elem (i32.const 0) funcref (ref.null func))",
  "(table 1 externref) (elem (i32.const 0) externref (ref.null func))",
  '(data (i32.const 0) "x")',
  '(memory 1) (data (f64.const 0) "x")',
];

Deno.test("a module that breaks the rules of validation is invalid, and the engine's sentence says why", () => {
  const refusals: Record<string, Refusal> = {};
  for (const text of INVALID) {
    refusals[text] = ["invalid", /^\w.*\w.* \(at byte \d+\)$/, fromText(`(module ${text})`)];
  }
  checkRefusals(refusals);
  const { message, offset } = refusalOf(fromText("(module (func (drop (i64.eqz (i32.const 0)))))"));
  assert.match(message, /i64\.eqz\[0\] expected type i64, found i32\.const of type i32/);
  assert.equal(offset, 23);
});
