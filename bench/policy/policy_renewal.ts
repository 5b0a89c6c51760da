/**
 * Measures what it takes that each call of a policy of version 2 begins with the first state: putting that
 * back, beside making an instance anew, for memories of several sizes; each call writes one word to every
 * 4 KiB of its memory. In turns within one run. Then what a unit of putting back takes, where the module begins
 * with its memory and where `arqon_init` grows it, of one policy and of many that take turns.
 */
import loadWabt from "wabt";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { instantiateGuest } from "../../shield/policy/abi/host_abi.ts";
import { MULTIPLICATIONS_PER_UNIT, UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { multiplicationNs } from "../../wasm/metering/reference_loop.ts";
import { median } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";

/** The figures of one size of memory. */
interface RenewalResult {
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
  return {
    pages,
    lasting_us: median(times.lasting),
    restored_us: median(times.restored),
    fresh_us: median(times.fresh),
    restore_fuel: restored.restore_units / UNITS_PER_FUEL,
    instance_fuel: two.cost.instance_fuel,
  };
}

/** The figures of policies of one kind that take turns. */
interface RestoreResult {
  readonly name: string;
  readonly policies: number;
  /** Least time of a call, which puts its state back and does nothing else, and its units. */
  readonly ns: number;
  readonly units: number;
  readonly ratio: number;
}

/** The figures of all sizes and kinds. */
interface RenewalReport {
  readonly sizes: readonly RenewalResult[];
  readonly restores: readonly RestoreResult[];
}

const GROWN_PAGES = 32;
/** Each leaves something in the last byte, so that all of the memory is copied. */
const LAST = `(i32.store8 (i32.const ${GROWN_PAGES * 65_536 - 1}) (i32.const 7))`;
const KINDS: Readonly<Record<string, readonly [pages: number, init: string]>> = {
  "32 pages that the module begins with": [GROWN_PAGES, LAST],
  "32 pages, 31 of which arqon_init grows": [
    1,
    `(drop (memory.grow (i32.const ${GROWN_PAGES - 1}))) ${LAST}`,
  ],
};

function initialised([pages, init]: readonly [pages: number, init: string]): Uint8Array {
  const text = `(module
    (import "arqon_host_v2" "host_get_payload" (func (result i32)))
    (memory (export "memory") ${pages})
    (func (export "arqon_init") ${init})
    (func (export "arqon_alloc") (param i32) (result i32) (i32.const 8))
    (func (export "arqon_on_message") (result i32) (i32.const 0)))`;
  return parseWat("initialised.wat", text).toBinary({}).buffer;
}

function measureRestore(name: string, policies: number, rounds: number): RestoreResult {
  const bytes = initialised(KINDS[name]!);
  // A module of its own for each, so that each has a first state of its own.
  const guests = Array.from({ length: policies }, () => {
    const metered = meterPolicy(bytes, { memory_limit_pages: 64 });
    return instantiateGuest({ ...metered, compiled: new WebAssembly.Module(metered.bytes) });
  });
  const callAll = () => guests.map((guest) => guest.call("on_message", REQUEST, FUEL).units);
  const [ran = 0] = callAll();
  const units = ran + guests[0]!.restore_units;
  let [ns, multiplication_ns] = [Infinity, Infinity];
  for (let round = 0; round < rounds * 8; round++) {
    const began_ms = performance.now();
    for (let time = policies; time <= 60; time += policies) callAll();
    const calls = Math.floor(60 / policies) * policies;
    ns = Math.min(ns, (performance.now() - began_ms) * 1e6 / calls);
    multiplication_ns = Math.min(multiplication_ns, multiplicationNs());
  }
  return { name, policies, ns, units, ratio: ns / units / multiplication_ns };
}

/** Measures every size, and every kind. */
export function measureRenewal(rounds: number): Promise<RenewalReport> {
  console.error("renewal ...");
  const restores = Object.keys(KINDS).flatMap((name) =>
    [1, 60].map((policies) => measureRestore(name, policies, rounds))
  );
  return Promise.resolve({ sizes: PAGES.map((pages) => measure(pages, rounds)), restores });
}

/** The tables of the results. */
export function renderRenewal({ sizes, restores }: RenewalReport): string {
  const times = renderTable(sizes, [
    ["pages of memory", ({ pages }) => String(pages)],
    ["lasting µs", ({ lasting_us }) => lasting_us, 2],
    ["restored µs", ({ restored_us }) => restored_us, 2],
    ["fresh µs", ({ fresh_us }) => fresh_us, 1],
    ["restore fuel", ({ restore_fuel }) => restore_fuel, 1],
    ["fuel", ({ instance_fuel }) => instance_fuel],
  ]);
  const units = renderTable(restores, [
    ["first state", ({ name }) => name],
    ["policies in turn", ({ policies }) => policies],
    ["ns", ({ ns }) => ns],
    ["units", ({ units }) => units],
    [
      "multiplications a unit",
      ({ ratio }) => `${ratio.toFixed(2)}${ratio <= MULTIPLICATIONS_PER_UNIT ? "" : " (BROKEN)"}`,
    ],
  ]);
  return `${times}\n\n${units}`;
}
