/**
 * Converts the text format to and from binaries, by wabt, with the features that policies may use; and
 * metered modules for tests to call. For tests only.
 */
import initWabt from "wabt";
import { fromText } from "./bytes.ts";
import { meter, type MeterOptions } from "../metering/meter.ts";

const wabt = await initWabt();

/** A binary as text, with its names. */
export function watText(bytes: Uint8Array): string {
  const options = { bulk_memory: true, reference_types: true, readDebugNames: true };
  const read = wabt.readWasm(bytes, options);
  try {
    read.validate();
    read.applyNames();
    return read.toText({ foldExprs: false, inlineExport: false });
  } finally {
    read.destroy();
  }
}

/** How a call ended. */
export interface CallOutcome {
  /** The result, or the message of the trap. */
  readonly result: unknown;
  readonly trapped: boolean;
  /** Units used; above the budget if it was exhausted. */
  readonly units: number;
  /** The value of `arqon_height` afterwards. */
  readonly height: number;
}

/** A metered instance. */
export class MeteredInstance {
  readonly exports: WebAssembly.Instance["exports"];
  readonly fuel: WebAssembly.Global;
  readonly height: WebAssembly.Global;

  /** `source` is a binary or in the text format; every import is a function that returns 0. */
  constructor(source: string | Uint8Array, options: Partial<MeterOptions> = {}) {
    const binary = typeof source === "string" ? fromText(source) : source;
    const { bytes } = meter(binary, { memory_limit_pages: 64, ...options });
    const module = new WebAssembly.Module(bytes);
    const imports: Record<string, Record<string, () => number>> = {};
    for (const entry of WebAssembly.Module.imports(module)) {
      (imports[entry.module] ??= {})[entry.name] = () => 0;
    }
    this.exports = new WebAssembly.Instance(module, imports).exports;
    this.fuel = this.exports["arqon_fuel"] as WebAssembly.Global;
    this.height = this.exports["arqon_height"] as WebAssembly.Global;
  }

  call(name: string, units: number, ...operands: readonly unknown[]): CallOutcome {
    this.fuel.value = BigInt(units);
    this.height.value = 0;
    const after = () => ({
      units: units - Number(this.fuel.value),
      height: Number(this.height.value),
    });
    try {
      const result: unknown = (this.exports[name] as CallableFunction)(...operands);
      return { result, trapped: false, ...after() };
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      return { result: error.message, trapped: true, ...after() };
    }
  }
}
