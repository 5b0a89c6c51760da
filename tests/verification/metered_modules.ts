/**
 * Generates random modules that inspect the bits of NaNs for `modules_by_wasmtime.py`, meters them and runs them in
 * this engine. The first argument is their number, the second the seed. Each line of stdout is one module as JSON: its
 * metered bytes in base64 and the outcome of each call.
 */
import { createHash } from "node:crypto";
import { meter } from "../../wasm/metering/meter.ts";
import { decodeModule } from "../../wasm/module/decode.ts";
import { encodeModule } from "../../wasm/module/encode.ts";
import { ValueType, type WasmModule } from "../../wasm/module/module.ts";
import { generateModule } from "../../wasm/testing/generate.ts";
import { generateFloats } from "../../wasm/testing/generate_floats.ts";
import { Tape, TYPES } from "../../wasm/testing/tape.ts";

const FUEL_UNITS = 60_000n;
const TAPE = 2_000;

/** The outcome of one call of an export. */
interface Call {
  readonly export: string;
  readonly operands: readonly (readonly [type: string, value: string])[];
  /**
   * Integers in decimal, floats as the bits of a double; every NaN is "nan", since JavaScript does not preserve its
   * bits.
   */
  readonly results: readonly string[] | "trap";
  readonly units: string;
  readonly memory_sha256: string;
}

/** Pseudorandom numbers of 16 bits (Marsaglia, "Xorshift RNGs", 2003). */
function numbers(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state & 0xffff;
  };
}

const BITS = new DataView(new ArrayBuffer(8));

function resultText(value: unknown): string {
  if (typeof value === "bigint") return `i64 ${value}`;
  if (typeof value !== "number") return value === null ? "null" : "reference";
  if (Number.isNaN(value)) return "nan";
  BITS.setFloat64(0, value);
  return `number ${BITS.getBigUint64(0).toString(16)}`;
}

function operandsOf(type: number): readonly (readonly [string, string])[] {
  return (TYPES[type]?.parameters ?? []).map((parameter, at) => {
    const name = parameter === ValueType.I64 ? "i64" : parameter === ValueType.F64 ? "f64" : "i32";
    return [name, String(at + 3)] as const;
  });
}

/** The outcomes of the calls, and whether they were the same after the first state had been restored. */
interface Ran {
  readonly calls: readonly Call[];
  readonly again: boolean;
}

function runCalls(bytes: Uint8Array<ArrayBuffer>, module: WasmModule, restored: boolean): Ran {
  const imports: Record<string, Record<string, () => number>> = {};
  for (const entry of module.imports) (imports[entry.module] ??= {})[entry.name] = () => 0;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  const fuel = exports["arqon_fuel"] as WebAssembly.Global;
  const height = exports["arqon_height"] as WebAssembly.Global;
  const memory = exports["memory"] as WebAssembly.Memory;
  const first = new Uint8Array(memory.buffer).slice();
  if (restored) (exports["arqon_save"] as CallableFunction)();
  const runAll = () =>
    module.functions.map(({ type }, at): Call => {
      fuel.value = FUEL_UNITS;
      height.value = 0;
      const operands = operandsOf(type);
      let results: readonly string[] | "trap" = "trap";
      try {
        const given = operands.map(([name, value]) =>
          name === "i64" ? BigInt(value) : Number(value)
        );
        const returned: unknown = (exports[`f${at}`] as CallableFunction)(...given);
        const values = returned === undefined
          ? []
          : Array.isArray(returned)
          ? returned
          : [returned];
        results = values.map(resultText);
      } catch (error) {
        if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      }
      const memory_sha256 = createHash("sha256").update(new Uint8Array(memory.buffer)).digest(
        "hex",
      );
      return { export: `f${at}`, operands, results, units: String(fuel.value), memory_sha256 };
    });
  const calls = runAll();
  if (!restored || memory.buffer.byteLength !== first.length) return { calls, again: false };
  new Uint8Array(memory.buffer).set(first);
  (exports["arqon_restore"] as CallableFunction)();
  if (JSON.stringify(runAll()) !== JSON.stringify(calls)) throw new Error("not the first state");
  return { calls, again: true };
}

if (import.meta.main) {
  const [count = "", seed = ""] = Deno.args;
  const next = numbers(Number(seed));
  for (let made = 0; made < Number(count); made += 1) {
    const tape = new Tape(Array.from({ length: TAPE }, next));
    // Every other module has float arithmetic only.
    const generated = made % 2 === 0 ? generateModule(tape, "shown") : generateFloats(tape);
    const bytes = Uint8Array.from(encodeModule(generated));
    const module = decodeModule(bytes);
    const options = { memory_limit_pages: 8, height_limit_slots: 4_000, renewed: true };
    const metered = meter(bytes, options);
    const ran = runCalls(metered.bytes, module, metered.renewal?.by === "restore");
    console.log(JSON.stringify({ module: metered.bytes.toBase64(), ...ran }));
  }
}
