/** The refusals of the metering transform with their sentences; no bytes make it fail in another way. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { meter } from "./meter.ts";
import { generateModule } from "../testing/generate.ts";
import { goldenCases } from "../testing/golden.ts";
import { Tape } from "../testing/tape.ts";
import { encodeModule } from "../module/encode.ts";
import { PolicyModuleError } from "../module/errors.ts";
import { type FunctionBody, instruction, ValueType, type WasmModule } from "../module/module.ts";
import { EMPTY_BLOCK, Op } from "../module/opcodes.ts";
import { fromText } from "../testing/bytes.ts";

const OPTIONS = { memory_limit_pages: 64 };

function refusal(bytes: Uint8Array): PolicyModuleError {
  try {
    meter(bytes, OPTIONS);
  } catch (error) {
    assert.ok(error instanceof PolicyModuleError, String(error));
    return error;
  }
  assert.fail("the module is not refused");
}

const EMPTY: WasmModule = {
  types: [{ parameters: [], results: [] }],
  imports: [],
  functions: [],
  tables: [],
  memories: [],
  globals: [],
  exports: [],
  start: undefined,
  elements: [],
  has_data_count: false,
  data: [],
  size_bytes: 0,
};

/** A function with this number of locals and endless loops. */
function bomb(locals: number, loops: number): FunctionBody {
  const [facts] = generateModule(new Tape([])).functions.map((body) => body.facts);
  if (facts === undefined) throw new TypeError("no function");
  const round = [
    instruction(Op.LOOP, EMPTY_BLOCK),
    instruction(Op.LOCAL_GET, locals - 1),
    instruction(Op.BR_IF, 0),
    instruction(Op.END),
  ];
  return {
    type: 0,
    locals: [{ count: locals, type: ValueType.I32 }],
    code: [...Array.from({ length: loops }, () => round).flat(), instruction(Op.END)],
    facts,
  };
}

function bombs(locals: number, loops: number, functions = 1): Uint8Array {
  const body = bomb(locals, loops);
  return encodeModule({ ...EMPTY, functions: Array<FunctionBody>(functions).fill(body) });
}

Deno.test("compile bombs are refused with a sentence", () => {
  assert.equal(refusal(bombs(49_000, 2_000)).reason, "module-limit");
  assert.equal(refusal(bombs(1_000, 20_000)).reason, "module-limit");
  const one = refusal(bombs(1_000, 2_000));
  assert.equal(one.reason, "compile-cost");
  assert.match(one.message, /^Function 0 is too complex to compile: \d+ for .* at most 1000000\./);
  const sum = refusal(bombs(1_000, 200, 20));
  assert.equal(sum.reason, "compile-cost");
  assert.match(sum.message, /^The module is too complex to compile/);
});

Deno.test("a large br_table counts as its branches", () => {
  const labels = Array<number>(15_000).fill(0);
  const facts = bomb(1, 1).facts;
  const code = [
    instruction(Op.I32_CONST),
    instruction(Op.BR_TABLE, 0, 0, 0n, labels),
    instruction(Op.END),
  ];
  const body = { ...bomb(500, 0), code, facts };
  assert.equal(refusal(encodeModule({ ...EMPTY, functions: [body] })).reason, "compile-cost");
});

Deno.test("a metered module reports its facts", () => {
  const bytes = fromText(`(module
    (import "arqon_host_v1" "host_log" (func (param i32 i32 i32)))
    (func (export "arqon_on_message") (param i32) (local i64) loop end)
    (func (export "arqon_on_connect"))
    (memory (export "arqon_on_subscribe") 1))`);
  const metered = meter(bytes, OPTIONS);
  assert.deepEqual(metered.imports, ["arqon_host_v1.host_log"]);
  assert.deepEqual(metered.cost, {
    size_bytes: bytes.length,
    metered_bytes: metered.bytes.length,
    functions: 2,
    compile_cost: 4,
    instance_fuel: 220,
    restore_fuel: 0,
  });
});

const REFUSED: Readonly<Record<string, readonly [text: string, sentence: RegExp]>> = {
  "memory-limit": ["(memory 65)", /starts with 65 pages of 64 KiB; at most 64 are allowed/],
  "reserved-export": [`(func (export "arqon_fuel"))`, /The export name "arqon_fuel" is reserved/],
  "module-limit": ["(table 1000000000 funcref)", /./],
  "module-invalid": ["(func i32.add)", /^The module is refused: /],
};

for (const [reason, [text, sentence]] of Object.entries(REFUSED)) {
  Deno.test(`a module is refused as ${reason} with a sentence`, () => {
    const error = refusal(fromText(`(module ${text})`));
    assert.equal(error.reason, reason);
    assert.match(error.message, sentence);
  });
}

Deno.test("bytes that are not a module are refused", () => {
  for (const bytes of [[], [0, 1, 2, 3], [0, 0x61, 0x73, 0x6d, 1, 0, 0]]) {
    const error = refusal(Uint8Array.from(bytes));
    assert.equal(error.reason, "module-malformed");
    assert.ok(error.cause instanceof Error);
  }
  assert.equal(refusal(new Uint8Array(50_000_000)).reason, "module-limit");
});

/** Meters if possible; the result must be valid. */
function meterAnything(bytes: Uint8Array): void {
  try {
    assert.ok(WebAssembly.validate(meter(bytes, OPTIONS).bytes), "the output is valid");
  } catch (error) {
    if (!(error instanceof PolicyModuleError)) throw error;
    assert.match(error.reason, /^[a-z]+(-[a-z]+)*$/);
    assert.ok(error.message.length > 10);
  }
}

const mutations = fc.array(
  fc.tuple(fc.constantFrom("set", "insert", "remove"), fc.nat(), fc.nat({ max: 255 })),
  { minLength: 1, maxLength: 4 },
);

Deno.test("mutated modules are metered or refused, and never anything else", async () => {
  const real = (await goldenCases()).map(({ before }) => [...fromText(before)]);
  const tapes = fc.array(fc.nat({ max: 0xffff }), { minLength: 20, maxLength: 200 });
  const generated = tapes.map((numbers) => [...encodeModule(generateModule(new Tape(numbers)))]);
  const modules = fc.oneof(fc.constantFrom(...real), generated);
  fc.assert(
    fc.property(modules, mutations, (module, changes) => {
      const bytes = [...module];
      for (const [kind, at, byte] of changes) {
        const index = at % Math.max(1, bytes.length);
        if (kind === "insert") bytes.splice(index, 0, byte);
        else bytes.splice(index, 1, ...(kind === "set" ? [byte] : []));
      }
      meterAnything(Uint8Array.from(bytes));
    }),
    { numRuns: 4_000, seed: 5 },
  );
});

Deno.test("any bytes are metered or refused, and never anything else", () => {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, with_header) => {
      meterAnything(with_header ? Uint8Array.from([...header, ...bytes]) : bytes);
    }),
    { numRuns: 2_000, seed: 6 },
  );
});
