/**
 * Random modules through the metering transform: the output is valid, has the results and uses
 * exactly the units of an independent interpreter, and never exceeds its fuel.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { meter } from "./meter.ts";
import { generateModule } from "../testing/generate.ts";
import { Interpreter, OutOfUnits } from "../testing/interpreter.ts";
import { Trap, type Value } from "../testing/interpreter_numbers.ts";
import { Tape, TYPES } from "../testing/tape.ts";
import { decodeModule } from "../module/decode.ts";
import { encodeModule } from "../module/encode.ts";
import { ValueType, type WasmModule } from "../module/module.ts";

/** The interpreter itself recurses, so the height is below that of policies. */
const LIMITS = { memory_limit_pages: 8, height_limit_slots: 4_000 };
const tapes = fc.array(fc.nat({ max: 0xffff }), { minLength: 30, maxLength: 700, size: "max" });

/** How a call ended: its results, or why not. */
interface Outcome {
  readonly results: readonly Value[] | undefined;
  readonly ended: "returned" | "trapped" | "owing";
  readonly units: number;
}

function operandsFor(type: number): readonly Value[] {
  return (TYPES[type]?.parameters ?? []).map((parameter, at) =>
    parameter === ValueType.I64 ? BigInt(at + 3) : at + 3
  );
}

function importsOf(module: WasmModule): WebAssembly.Imports {
  const imports: Record<string, Record<string, () => number>> = {};
  for (const entry of module.imports) (imports[entry.module] ??= {})[entry.name] = () => 0;
  return imports;
}

function list(results: unknown): readonly Value[] {
  if (results === undefined) return [];
  return (Array.isArray(results) ? results : [results]) as Value[];
}

/** A metered instance in the engine. */
class Metered {
  readonly #exports: Record<string, unknown>;
  readonly #fuel: WebAssembly.Global;
  readonly #height: WebAssembly.Global;

  constructor(bytes: Uint8Array<ArrayBuffer>, module: WasmModule) {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), importsOf(module));
    this.#exports = instance.exports;
    this.#fuel = instance.exports["arqon_fuel"] as WebAssembly.Global;
    this.#height = instance.exports["arqon_height"] as WebAssembly.Global;
  }

  call(name: string, operands: readonly Value[], fuel: number): Outcome {
    this.#fuel.value = BigInt(fuel);
    this.#height.value = 0;
    const run = this.#exports[name] as (...operands: Value[]) => unknown;
    const units = () => fuel - Number(this.#fuel.value);
    try {
      const results = list(run(...operands));
      assert.equal(this.#height.value, 0, "a return leaves the height as it was");
      return { results, ended: "returned", units: units() };
    } catch (error) {
      assert.ok(error instanceof WebAssembly.RuntimeError, String(error));
      return { results: undefined, ended: units() > fuel ? "owing" : "trapped", units: units() };
    }
  }
}

function interpret(interpreter: Interpreter, name: string, operands: readonly Value[]): Outcome {
  const before = interpreter.units;
  try {
    const results = interpreter.call(name, operands);
    return { results, ended: "returned", units: interpreter.units - before };
  } catch (error) {
    const units = interpreter.units - before;
    if (error instanceof OutOfUnits) return { results: undefined, ended: "owing", units };
    if (error instanceof Trap) return { results: undefined, ended: "trapped", units };
    throw error;
  }
}

/** References are functions here and indices there: only null or not is compared. */
function comparable(results: readonly Value[] | undefined): unknown {
  return results?.map((one) => (typeof one === "function" ? "function" : one));
}

function compare(engine: Outcome, oracle: Outcome, fuel: number): void {
  if (oracle.ended === "returned" && oracle.units <= fuel) {
    assert.deepEqual(
      { ...engine, results: comparable(engine.results) },
      { ...oracle, results: comparable(oracle.results) },
    );
    return;
  }
  // A block is paid for whole: with a trap or the end of the fuel in it, the engine may have paid for
  // instructions that did not run, and so exhaust its fuel before the oracle traps.
  assert.notEqual(engine.ended, "returned");
  assert.ok(engine.units >= Math.min(oracle.units, fuel), `${engine.units} ${oracle.units}`);
  if (oracle.ended === "owing") assert.equal(engine.ended, "owing");
}

const counts = { returned: 0, trapped: 0, owing: 0 };

/** Calls every function of the module, until one does not return. */
function runBoth(numbers: readonly number[], fuel: number): void {
  const bytes = Uint8Array.from(encodeModule(generateModule(new Tape(numbers))));
  assert.ok(WebAssembly.validate(bytes), "the generator makes valid modules");
  const metered = meter(bytes, LIMITS);
  assert.ok(WebAssembly.validate(metered.bytes), "the transform keeps them valid");
  const module = decodeModule(bytes);
  const engine = new Metered(metered.bytes, module);
  const interpreter = new Interpreter(module, { ...LIMITS, units: fuel });
  for (const [at, body] of module.functions.entries()) {
    const operands = operandsFor(body.type);
    const left = fuel - interpreter.units;
    const oracle = interpret(interpreter, `f${at}`, operands);
    const outcome = engine.call(`f${at}`, operands, left);
    counts[oracle.ended] += 1;
    compare(outcome, oracle, left);
    if (oracle.ended !== "returned") return;
  }
}

Deno.test("random modules use the units of the interpreter, to the unit, and have its results", () => {
  fc.assert(fc.property(tapes, (numbers) => runBoth(numbers, 60_000)), { numRuns: 700, seed: 3 });
  // Each kind of end must occur, or the property would check little.
  assert.ok(
    counts.returned > 100 && counts.trapped > 25 && counts.owing > 25,
    JSON.stringify(counts),
  );
});

Deno.test("random modules exhaust little fuel exactly when the interpreter is out of units", () => {
  fc.assert(
    fc.property(tapes, fc.integer({ min: 1, max: 400 }), (numbers, fuel) => {
      runBoth(numbers, fuel);
    }),
    { numRuns: 500, seed: 4 },
  );
});
