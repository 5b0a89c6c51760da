/**
 * Measures how fast a module is checked and metered: the examples of `policies/build`, and one of them with
 * its functions repeated until it is nearly as long as a module may be.
 */
import { decodePolicy, meter } from "../../wasm/metering/meter.ts";
import { encodeModule } from "../../wasm/module/encode.ts";
import { example } from "./policy_rows.ts";
import { median } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";

/** The figures of one module. */
interface TransformResult {
  readonly name: string;
  readonly size_bytes: number;
  readonly metered_bytes: number;
  readonly functions: number;
  /** The median time over the rounds. */
  readonly ms: number;
  /** Bytes of the upload per second of that time, in 10⁶. */
  readonly mb_per_second: number;
  /** The same for the code alone, since tables and texts take next to no time. */
  readonly code_mb_per_second: number;
}

const EXAMPLES = ["block_header", "rate_limit", "bad_words", "bad_words_c", "bad_words_rust"];
/** Length just below the limit of 1 MiB. */
const LONG_BYTES = 1_000_000;

/** The module with its functions repeated until it has about `size_bytes`. Nothing calls the copies. */
function lengthened(bytes: Uint8Array, size_bytes: number): Uint8Array<ArrayBuffer> {
  const module = decodePolicy(bytes);
  const code_bytes = module.functions.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  const copies = Math.floor((size_bytes - bytes.length) / (code_bytes + module.functions.length));
  const functions = [...module.functions];
  for (let copy = 0; copy < copies; copy++) functions.push(...module.functions);
  return Uint8Array.from(encodeModule({ ...module, functions }));
}

function measure(name: string, bytes: Uint8Array, rounds: number): TransformResult {
  const options = { memory_limit_pages: 64 };
  const code_bytes = decodePolicy(bytes).functions
    .reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  const { cost } = meter(bytes, options);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const began_ms = performance.now();
    meter(bytes, options);
    times.push(performance.now() - began_ms);
  }
  const ms = median(times);
  const { size_bytes, metered_bytes, functions } = cost;
  const rate = (counted: number) => counted / 1e6 / (ms / 1_000);
  return {
    name,
    size_bytes,
    metered_bytes,
    functions,
    ms,
    mb_per_second: rate(size_bytes),
    code_mb_per_second: rate(code_bytes),
  };
}

/** Measures every module. */
export async function measureTransform(rounds: number): Promise<TransformResult[]> {
  console.error("transform ...");
  const results: TransformResult[] = [];
  for (const name of EXAMPLES) results.push(measure(name, await example(name), rounds));
  const long = lengthened(await example("block_header"), LONG_BYTES);
  results.push(measure("block_header, repeated", long, Math.min(rounds, 9)));
  return results;
}

/** The table of the results, one row for each module. */
export function renderTransform(results: readonly TransformResult[]): string {
  return renderTable(results, [
    ["transform", ({ name }) => name],
    ["bytes", ({ size_bytes }) => size_bytes],
    ["metered", ({ metered_bytes }) => metered_bytes],
    ["functions", ({ functions }) => functions],
    ["ms", ({ ms }) => ms, 2],
    ["MB/s", ({ mb_per_second }) => mb_per_second, 1],
    ["MB/s of code", ({ code_mb_per_second }) => code_mb_per_second, 1],
  ]);
}
