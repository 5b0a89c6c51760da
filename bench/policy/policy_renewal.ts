/**
 * Measures what it takes that each call of a policy of version 2 begins with the first state: putting that
 * back, beside making an instance anew, for memories of several sizes; each call writes one word to every
 * 4 KiB of its memory. In turns within one run.
 */
import loadWabt from "wabt";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { instantiateGuest } from "../../shield/policy/abi/host_abi.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

/** The figures of one size of memory. */
export interface RenewalResult {
  readonly pages: number;
  /** The median time of a call of version 1, which begins with what the one before it has left. */
  readonly lasting_us: number;
  /** The same of version 2, whose first state is put back. */
  readonly restored_us: number;
  /** The same with a fresh instance for each call. */
  readonly fresh_us: number;
  /** What is charged for the second and the third, in fuel. */
  readonly restore_fuel: number;
  readonly instance_fuel: number;
}

const PAGES = [1, 3, 17, 64];
const FUEL = 10_000;
const ROUND_CALLS = 300;
const REQUEST = { header: () => undefined, claim: () => undefined, payload: new Uint8Array(1) };

const { parseWat } = await loadWabt();

/** A policy that touches all of its memory. */
function touching(pages: number, abi: 1 | 2): Uint8Array {
  const text = `(module
    (import "arqon_host_v${abi}" "host_get_payload" (func (result i32)))
    (memory (export "memory") ${pages})
    (func (export "arqon_alloc") (param i32) (result i32) (i32.const 8))
    (func (export "arqon_on_message") (result i32) (local $at i32)
      (loop $next
        (i32.store (local.get $at) (i32.const 7))
        (br_if $next (i32.lt_u
          (local.tee $at (i32.add (local.get $at) (i32.const 4096)))
          (i32.const ${pages * 65_536}))))
      (i32.const 0)))`;
  return parseWat("touching.wat", text).toBinary({}).buffer;
}

/** Time of one of many calls, in µs. */
function timeOf(call: () => void): number {
  const began_ms = performance.now();
  for (let time = 0; time < ROUND_CALLS; time++) call();
  return (performance.now() - began_ms) * 1_000 / ROUND_CALLS;
}

function measure(pages: number, rounds: number): RenewalResult {
  const of = (abi: 1 | 2) => {
    const { bytes, renewal, cost } = meterPolicy(touching(pages, abi), { memory_limit_pages: 64 });
    return { compiled: new WebAssembly.Module(bytes), renewal, cost };
  };
  const [one, two] = [of(1), of(2)];
  const [lasting, restored] = [instantiateGuest(one), instantiateGuest(two)];
  const times: Record<"lasting" | "restored" | "fresh", number[]> = {
    lasting: [],
    restored: [],
    fresh: [],
  };
  for (let round = 0; round < rounds; round++) {
    times.lasting.push(timeOf(() => void lasting.call("on_message", REQUEST, FUEL)));
    times.restored.push(timeOf(() => void restored.call("on_message", REQUEST, FUEL)));
    const fresh = () => void instantiateGuest(one).call("on_message", REQUEST, FUEL);
    times.fresh.push(timeOf(fresh));
  }
  const units = two.renewal?.by === "restore" ? two.renewal.units : 0;
  return {
    pages,
    lasting_us: median(times.lasting),
    restored_us: median(times.restored),
    fresh_us: median(times.fresh),
    restore_fuel: units / UNITS_PER_FUEL,
    instance_fuel: two.cost.instance_fuel,
  };
}

/** Measures every size. */
export function measureRenewal(rounds: number): Promise<RenewalResult[]> {
  console.error("renewal ...");
  return Promise.resolve(PAGES.map((pages) => measure(pages, rounds)));
}

/** The table of the results. */
export function renderRenewal(results: readonly RenewalResult[]): string {
  const head = ["pages of memory", "lasting µs", "restored µs", "fresh µs", "restore fuel", "fuel"];
  const rows = results.map((one) => [
    String(one.pages),
    one.lasting_us.toFixed(2),
    one.restored_us.toFixed(2),
    one.fresh_us.toFixed(1),
    one.restore_fuel.toFixed(1),
    String(one.instance_fuel),
  ]);
  return renderRows(head, rows);
}
