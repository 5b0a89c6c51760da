/**
 * Metered modules at run time: they pay, and they always stop at the same place. The refusals of the metering
 * transform with their sentences; no bytes make it fail in another way.
 */
import assert from "node:assert/strict";
import {
  ENTRY_UNITS,
  HEIGHT_LIMIT_SLOTS,
  IMPORT_UNITS,
  METER_VERSION,
  UNITS_PER_FUEL,
} from "./meter_costs.ts";
import { meter, type MeterOptions } from "./meter.ts";
import { instructionUnits, PAGE_SHIFT } from "./prices.ts";
import { MeteredInstance } from "../testing/wat.ts";
import { instruction, plain, ValueType } from "../module/module.ts";
import type { FunctionBody, WasmModule } from "../module/module.ts";
import { EMPTY_BLOCK, Op, OPCODES } from "../module/opcodes.ts";
import { body, fromText, leb, listOf, moduleOf } from "../testing/bytes.ts";
import fc from "fast-check";
import { generateModule } from "../testing/generate.ts";
import { goldenCases, meterText } from "../testing/golden.ts";
import { Tape } from "../testing/tape.ts";
import { encodeModule } from "../module/encode.ts";
import { PolicyModuleError } from "../module/errors.ts";

const FUEL = 100_000;

Deno.test("every known instruction has a price and no other has", () => {
  for (const op of OPCODES.keys()) {
    assert.ok(instructionUnits(plain(op), 0) !== undefined, `0x${op.toString(16)}`);
  }
  const known = [...Array(256).keys(), ...Array(64).keys().map((low) => 0xfc00 + low)];
  const priced = known.filter((op) => instructionUnits(plain(op), 0) !== undefined);
  assert.deepEqual(priced.toSorted(), [...OPCODES.keys()].toSorted());
});

Deno.test("a call pays for what it runs, to the unit", () => {
  const instance = new MeteredInstance(`(module
    (func (export "sum") (param i32) (result i32) (local i32)
      loop
        local.get 1  local.get 0  i32.add  local.set 1
        local.get 0  i32.const 1  i32.sub  local.tee 0  br_if 0
      end
      local.get 1))`);
  const entry = ENTRY_UNITS + 3 + 1;
  assert.deepEqual(instance.call("sum", FUEL, 1), {
    result: 1,
    trapped: false,
    units: entry + 10,
    height: 0,
  });
  assert.equal(instance.call("sum", FUEL, 1000).units, entry + 10_000);
  assert.equal(instance.call("sum", entry + 10_000, 1000).trapped, false, "exactly enough");
  assert.equal(instance.call("sum", entry + 9_999, 1000).trapped, true, "one too few");
});

/** `run(n)` returns 7, by the `n`th case of a `switch` as compilers write it. */
function switchOf(cases: number): Uint8Array {
  const every = (code: (at: number) => readonly number[]) =>
    Array.from({ length: cases }, (_none, at) => code(at)).flat();
  const code = [
    ...[Op.BLOCK, 0x40, ...every(() => [Op.BLOCK, 0x40])],
    ...[Op.LOCAL_GET, 0, Op.BR_TABLE, ...leb(cases - 1), ...every(leb)],
    ...every((at) => [Op.END, Op.I32_CONST, 7, Op.LOCAL_SET, 1, Op.BR, ...leb(cases - 1 - at)]),
    ...[Op.END, Op.LOCAL_GET, 1, Op.END],
  ];
  return moduleOf(
    listOf(1, [0x60, 1, 0x7f, 1, 0x7f]),
    listOf(3, [0]),
    listOf(7, [3, ...new TextEncoder().encode("run"), 0, 0]),
    listOf(10, body(code, [1, 1, 0x7f])),
  );
}

Deno.test("a switch of a thousand cases is metered, and each case pays alike", () => {
  const instance = new MeteredInstance(switchOf(1_000));
  const first = instance.call("run", FUEL, 0);
  assert.equal(first.result, 7);
  for (const at of [251, 252, 256, 999, 5_000]) {
    assert.deepEqual(instance.call("run", FUEL, at), first);
  }
});

/** Units of one call of `run`, in a module with this memory and body. */
function unitsOf(memory: string, body: string, options: Partial<MeterOptions> = {}): number {
  const text = `(module (memory (export "memory") ${memory}) (table $a 9 funcref)
    (func (export "run") ${body}))`;
  const { trapped, units } = new MeteredInstance(text, options).call("run", 10_000_000);
  assert.ok(!trapped);
  return units;
}

const nothing = unitsOf("1", "");

Deno.test("a page costs the same whether the memory begins with it or grows by it", () => {
  const grown = (pages: number) => unitsOf("1", `(drop (memory.grow (i32.const ${pages})))`);
  assert.equal(grown(5) - grown(4), 2 ** PAGE_SHIFT);
  const fuel = (pages: number) => {
    const bytes = fromText(`(module (memory (export "memory") ${pages}))`);
    return meter(bytes, { memory_limit_pages: 64 }).cost.instance_fuel;
  };
  // In whole fuel, each.
  assert.ok(
    Math.abs((fuel(51) - fuel(1)) * UNITS_PER_FUEL - 50 * 2 ** PAGE_SHIFT) <= UNITS_PER_FUEL,
  );
});

Deno.test("loads, stores and copies cost more if the memory may exceed the caches", () => {
  const load = "(drop (i32.load (i32.const 0)))";
  const store = "(i32.store (i32.const 0) (i32.const 0))";
  const copy = "(memory.copy (i32.const 0) (i32.const 32768) (i32.const 32768))";
  const pays = (body: string, memory: string, memory_limit_pages = 65_536) =>
    unitsOf(memory, body, { memory_limit_pages }) - nothing;
  const small = [load, store, copy].map((body) => pays(body, "1", 64));
  assert.deepEqual(small, [22, 22, 50 + 3 + 2_048]);
  assert.deepEqual([load, store, copy].map((body) => pays(body, "1 128")), small);
  assert.deepEqual([load, store, copy].map((body) => pays(body, "1", 128)), small);
  assert.deepEqual([load, store, copy].map((body) => pays(body, "1", 129)), [322, 22, 4_149]);
  assert.deepEqual([load, store, copy].map((body) => pays(body, "1 1024")), [322, 22, 4_149]);
  assert.deepEqual([load, store, copy].map((body) => pays(body, "1")), [642, 62, 4_149]);
});

Deno.test("a module can be metered by the prices of an earlier version, but not of an unknown one", () => {
  const grow = "(drop (memory.grow (i32.const 2)))";
  const copy = "(table.copy $a $a (i32.const 0) (i32.const 1) (i32.const 8))";
  const load = "(drop (i32.load (i32.const 0)))";
  const pays = (body: string, price_version: number) =>
    unitsOf("1", body, { memory_limit_pages: 1_024, price_version }) - nothing;
  assert.equal(pays(grow, 6) - pays(grow, 5), 2 * (65_536 - 8_192));
  assert.equal(pays(copy, 6) - pays(copy, 5), 8 * 16);
  assert.equal(pays(load, 6) - pays(load, 5), 15 * 20);
  assert.throws(() => pays(load, 4), /prices of version 4/);
  assert.throws(() => pays(load, METER_VERSION + 1), TypeError);
});

Deno.test("a metered module: fuel exhaustion is deterministic", () => {
  const text = `(module
    (memory (export "memory") 1)
    (func (export "run")
      loop
        i32.const 0  i32.const 0  i32.load  i32.const 1  i32.add  i32.store  br 0
      end))`;
  const first = new MeteredInstance(text);
  const counted = (instance: MeteredInstance) =>
    new Uint32Array((instance.exports["memory"] as WebAssembly.Memory).buffer)[0];
  const once = first.call("run", 123_456);
  assert.ok(once.trapped && once.units > 123_456);
  assert.equal(once.result, "unreachable");
  const rounds = counted(first);
  for (let run = 0; run < 20; run += 1) {
    const again = new MeteredInstance(text);
    assert.deepEqual(again.call("run", 123_456), once);
    assert.equal(counted(again), rounds);
  }
});

Deno.test("the same bytes result in the same metered bytes", () => {
  const bytes = fromText(`(module (func (export "f") loop br 0 end))`);
  const once = meter(bytes, { memory_limit_pages: 64 });
  assert.deepEqual(meter(bytes.slice(), { memory_limit_pages: 64 }), once);
});

const ENDLESS: Readonly<Record<string, string>> = {
  "a plain loop": `(func (export "run") loop br 0 end)`,
  "a loop of loops": `(func (export "run") loop loop loop br 2 end end end)`,
  "an empty conditional loop": `(func (export "run") loop i32.const 1 br_if 0 end)`,
  "br_table": `(func (export "run") loop block i32.const 7 br_table 0 1 1 end end)`,
  "a loop with an arm that goes on": `(func (export "run")
      loop i32.const 1 if br 1 else br 1 end end)`,
  "a loop that carries values": `(func (export "run") (result i32)
      i32.const 5 loop (param i32) (result i32) br 0 end)`,
  "calls in a loop": `(func $leaf) (func (export "run") loop call $leaf br 0 end)`,
  "imports in a loop": `(import "env" "get" (func $get (result i32)))
      (func (export "run") loop call $get drop br 0 end)`,
  "growing by nothing": `(memory 1)
      (func (export "run") loop i32.const 0 memory.grow drop br 0 end)`,
  "growing without end": `(memory 1)
      (func (export "run") loop i32.const 1 memory.grow drop br 0 end)`,
  "filling memory": `(memory 64)
      (func (export "run") loop
        i32.const 0 i32.const 1 i32.const 4194304 memory.fill br 0 end)`,
  "filling nothing": `(memory 1)
      (func (export "run") loop i32.const 0 i32.const 1 i32.const 0 memory.fill br 0 end)`,
  "filling tables": `(table 9000 funcref)
      (func (export "run") loop
        i32.const 0 ref.null func i32.const 9000 table.fill 0 br 0 end)`,
};

for (const [name, text] of Object.entries(ENDLESS)) {
  Deno.test(`${name} ends when the fuel does`, () => {
    const outcome = new MeteredInstance(`(module ${text})`).call("run", 5_000_000);
    assert.ok(outcome.trapped && outcome.units > 5_000_000, JSON.stringify(outcome));
    assert.equal(outcome.result, "unreachable");
  });
}

const DEEP: Readonly<Record<string, string>> = {
  "plain recursion": `(func $f (export "run") call $f)`,
  "mutual recursion": `(func $f (export "run") call $g) (func $g call $f)`,
  "recursion through a table": `(table 1 funcref) (elem (i32.const 0) $f)
      (func $f (export "run") i32.const 0 call_indirect)`,
  "recursion with many locals": `(func $f (export "run") (local ${"i64 ".repeat(1000)}) call $f)`,
  "recursion with many operands": `(func $f (export "run")
      ${"i32.const 1 ".repeat(500)} call $f ${"drop ".repeat(500)})`,
  "recursion with many instructions": `(func $f (export "run") (local i32)
      ${"local.get 0 i32.const 3 i32.mul local.set 0 ".repeat(2000)} call $f)`,
  "recursion that returns early": `(func $f (export "run") call $f return)`,
};

for (const [name, text] of Object.entries(DEEP)) {
  Deno.test(`${name} ends at the height limit, before the engine's own`, () => {
    const outcome = new MeteredInstance(`(module ${text})`).call("run", 50_000_000);
    assert.equal(outcome.result, "unreachable");
    assert.ok(outcome.height > HEIGHT_LIMIT_SLOTS && outcome.units < 50_000_000);
  });
}

Deno.test("recursion below the height limit returns and leaves the height as it was", () => {
  const instance = new MeteredInstance(`(module
    (func $f (export "run") (param i32) (result i32)
      local.get 0 i32.eqz if i32.const 0 return end
      local.get 0 i32.const 1 i32.sub call $f i32.const 1 i32.add))`);
  assert.deepEqual(instance.call("run", 1_000_000, 2_000).result, 2_000);
  assert.equal(instance.height.value, 0);
});

/** Text with the size in local 0; the greatest size that succeeds; units of that, the size's part. */
const SIZED: Readonly<Record<string, readonly [text: string, most: number, units: number]>> = {
  "memory.grow": ["local.get 0 memory.grow", 63, 63 * 65_536],
  "memory.fill": ["i32.const 0 i32.const 0 local.get 0 memory.fill i32.const 0", 65_536, 4_096],
  "memory.copy": ["i32.const 0 i32.const 0 local.get 0 memory.copy i32.const 0", 65_536, 4_096],
  "memory.init": ["i32.const 0 i32.const 0 local.get 0 memory.init 0 i32.const 0", 17, 2],
  "table.init": ["i32.const 0 i32.const 0 local.get 0 table.init 0 i32.const 0", 2, 64],
  "table.copy": ["i32.const 0 i32.const 0 local.get 0 table.copy i32.const 0", 500, 16_000],
  "table.fill": ["i32.const 0 ref.null func local.get 0 table.fill 0 i32.const 0", 500, 16_000],
  "table.grow": ["ref.null func local.get 0 table.grow 0", 9_500, 9_500 * 64],
};

for (const [name, [text, most, units]] of Object.entries(SIZED)) {
  const fresh = () =>
    new MeteredInstance(`(module (memory 1) (table 500 funcref) (data "${"x".repeat(17)}")
      (elem func 0 0) (func (export "run") (param i32) (result i32) ${text}))`);
  Deno.test(`${name} pays for its size before it runs, and does not run without the fuel`, () => {
    const base = fresh().call("run", 1e6, 0).units;
    const outcome = fresh().call("run", 1e7, most);
    assert.deepEqual([outcome.trapped, outcome.units], [false, base + units]);
    const poor = fresh().call("run", base + units - 1, most);
    assert.deepEqual([poor.result, poor.units], ["unreachable", base + units]);
  });

  Deno.test(`${name} of too much ends as the specification says, for the price of the attempt`, () => {
    const base = fresh().call("run", 1e6, 0).units;
    for (const size of [most + 1, 2 ** 31, -1]) {
      const outcome = fresh().call("run", base, size);
      assert.equal(outcome.units, base, String(size));
      if (name.endsWith("grow")) assert.equal(outcome.result, -1);
      else assert.match(String(outcome.result), /out of bounds/);
    }
  });
}

Deno.test("growing is checked against the current size, not the initial one", () => {
  const instance = new MeteredInstance(`(module (memory 1)
    (func (export "run") (param i32) (result i32) local.get 0 memory.grow))`);
  const attempt = instance.call("run", 1e6, 64).units;
  assert.equal(instance.call("run", 1e7, 40).units, attempt + 40 * 65_536);
  assert.deepEqual(instance.call("run", 1e6, 24), {
    result: -1,
    trapped: false,
    units: attempt,
    height: 0,
  });
  assert.equal(instance.call("run", 1e7, 23).result, 41);
});

Deno.test("an import pays for itself and its bytes before it runs, however it is reached", () => {
  const instance = new MeteredInstance(`(module
    (import "arqon_host_v1" "host_log" (func $log (param i32 i32 i32)))
    (type $t (func (param i32 i32 i32)))
    (table 2 funcref)
    (elem (i32.const 0) $log)
    (elem declare func $log)
    (export "log" (func $log))
    (func (export "direct") (param i32) i32.const 1 i32.const 0 local.get 0 call $log)
    (func (export "table") (param i32)
      i32.const 1 i32.const 0 local.get 0 i32.const 0 call_indirect (type $t))
    (func (export "reference") (param i32)
      i32.const 1 ref.func $log table.set 0
      i32.const 1 i32.const 0 local.get 0 i32.const 1 call_indirect (type $t)))`);
  const thunk = IMPORT_UNITS + 3 + 700;
  assert.equal(instance.call("log", FUEL, 1, 0, 700).units, thunk);
  const rest = { direct: 11, table: 15, reference: 60 };
  for (const [name, units] of Object.entries(rest)) {
    assert.equal(instance.call(name, FUEL, 700).units, thunk + units, name);
    assert.ok(instance.call(name, FUEL, -1).trapped, `${name} with 2^32 - 1 bytes`);
  }
});

Deno.test("a start function pays out of the initial fuel", () => {
  const endless = `(module (func $f loop br 0 end) (start $f))`;
  assert.throws(() => new MeteredInstance(endless), WebAssembly.RuntimeError);
  assert.throws(
    () => new MeteredInstance(endless, { initial_fuel_units: 1_000_000n }),
    { message: "unreachable" },
  );
  const short = new MeteredInstance(`(module (func $f) (start $f))`, { initial_fuel_units: 10n });
  assert.equal(short.fuel.value, 10n - BigInt(ENTRY_UNITS));
});

Deno.test("memory grows up to the limit and no further", () => {
  const instance = new MeteredInstance(
    `(module (memory 1 1000) (func (export "run") (param i32) (result i32)
      local.get 0 memory.grow))`,
    { memory_limit_pages: 3 },
  );
  assert.equal(instance.call("run", FUEL, 3).result, -1);
  assert.equal(instance.call("run", 2 * FUEL, 2).result, 1);
  assert.equal(instance.call("run", FUEL, 1).result, -1);
});

Deno.test("tables grow up to 10,000 entries together and no further", () => {
  const instance = new MeteredInstance(`(module (table 1000 funcref) (table 1000 externref)
    (func (export "first") (param i32) (result i32) ref.null func local.get 0 table.grow 0)
    (func (export "second") (param i32) (result i32) ref.null extern local.get 0 table.grow 1))`);
  const fuel = 10_000_000;
  assert.equal(instance.call("first", fuel, 4001).result, -1);
  assert.equal(instance.call("first", fuel, 4000).result, 1000);
  assert.equal(instance.call("second", fuel, 4000).result, 1000);
  assert.equal(instance.call("second", fuel, 1).result, -1);
});

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

// Each rule of the metering transform against its golden files; see `testing/golden.ts`.

for (const { name, before, after } of await goldenCases()) {
  Deno.test(`golden: ${name.replaceAll("_", " ")} is metered as written down`, () => {
    assert.equal(meterText(before), after);
  });
}

Deno.test("there are golden files for every rule", async () => {
  assert.ok((await goldenCases()).length >= 18);
});
