/**
 * Each instance costs at least as much fuel as making it. The test makes the largest accepted policies of each kind on
 * this thread, and compares the time with a reference loop on the same machine. It makes many in a row, so the time of
 * the garbage collector is included. The minimum of such rows counts. `deno task test:prices` checks the bound itself,
 * on an idle machine.
 */
import assert from "node:assert/strict";
import { meterPolicy } from "./abi/abi_check.ts";
import { instantiateGuest } from "./abi/host_abi.ts";
import { INSTANCE_FUEL_MAX } from "../../wasm/metering/instance_cost.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { multiplicationNs, timed } from "../../wasm/metering/reference_loop.ts";
import { entryOf, requestOf, runnerOf } from "./testing/chains.ts";
import { binary, type GuestText, guestText, runnableGuest } from "./testing/guests.ts";
import { MULTIPLICATIONS_MAX, PATIENCE_MS } from "./testing/price_bound.ts";
import { plainPolicy, type PolicyParts } from "./testing/instances.ts";
import { Instances, runChain } from "./worker/worker_chain.ts";

const OPTIONS = { memory_limit_pages: 64 };
/** The duration of a row: long enough to include the garbage collector. */
const ROW_MS = 30;
const PAGES = 64;
const none = () => undefined;
const NOTHING_ASKED = { header: none, claim: none, payload: new Uint8Array() };

/** Each is nearly as large as the limit. */
const LARGE: Readonly<Record<string, PolicyParts>> = {
  nothing: {},
  imports: { imports: 2_400 },
  exports: { exports: 2_400 },
  "exported functions": { exported_functions: 2_200 },
  functions: { functions: 9_990 },
  types: { types: 45_000 },
  globals: { globals: 16_000 },
  tables: { tables: 3_400 },
  "table entries": { table_entries: 10_000 },
  elements: { elements: [1, 10_000] },
  "element segments": { elements: [4_000, 1] },
  "passive elements": { passive_elements: [1, 12_000] },
  "data segments": { data: [24_000, 0] },
  "data bytes": { data: [1, 64_000] },
  "data in pieces": { data: [20_000, 8] },
  "a mixture": { exports: 500, globals: 3_000, tables: 500, elements: [50, 20], data: [2_000, 9] },
};

/**
 * The time of one of many in a row in multiplications per unit. It measures until the value is good enough or the time
 * is over.
 */
function leastRatio(units: number, make: () => void): number {
  const count = Math.max(Math.ceil(ROW_MS * 1e6 / units), 3);
  const deadline_ms = performance.now() + PATIENCE_MS;
  let least_ns = Infinity;
  let ratio = Infinity;
  while (ratio > MULTIPLICATIONS_MAX && performance.now() < deadline_ms) {
    const row_ms = timed(() => {
      for (let at = 0; at < count; at++) make();
    });
    least_ns = Math.min(least_ns, row_ms * 1e6 / count);
    ratio = least_ns / units / multiplicationNs();
  }
  return ratio;
}

for (const [kind, parts] of Object.entries(LARGE)) {
  Deno.test(`making an instance takes no longer than its price: ${kind}`, () => {
    const { bytes, cost } = meterPolicy(plainPolicy(parts), OPTIONS);
    assert.ok(cost.instance_fuel <= INSTANCE_FUEL_MAX + 100);
    const compiled = new WebAssembly.Module(bytes);
    const units = cost.instance_fuel * UNITS_PER_FUEL;
    const ratio = leastRatio(units, () => void instantiateGuest({ compiled }));
    assert.ok(ratio <= MULTIPLICATIONS_MAX, `${ratio} multiplications per unit`);
  });
}

/** A policy that sets that many globals of a type. */
function manyGlobals(count: number, type: string, first: string, other: string) {
  const all = Array.from({ length: count }, (_, at) => `$g${at}`);
  const functions = Array.from({ length: 10 }, (_, part) => {
    const sets = all.filter((_, at) => at % 10 === part).map((name) =>
      `(global.set ${name} (${other}))`
    );
    return `(func $set${part} ${sets.join("")})`;
  });
  const globals = all.map((name) => `(global ${name} (mut ${type}) (${first}))`);
  return { more: `(elem declare func $show) ${[...globals, ...functions].join("")}` };
}

/** Policies of version 2 with much state to restore. */
const MUCH_STATE: Readonly<Record<string, Partial<GuestText>>> = {
  "one page": {},
  "64 pages that are full": {
    pages: PAGES,
    more: `(func (export "arqon_init")
      (memory.fill (i32.const 0) (i32.const 7) (i32.const ${PAGES * 65_536})))`,
  },
  "64 pages that are empty": { pages: PAGES },
  "32 pages that arqon_init has grown and filled": {
    more: `(func (export "arqon_init")
      (drop (memory.grow (i32.const 31)))
      (memory.fill (i32.const 0) (i32.const 7) (i32.const ${32 * 65_536})))`,
  },
  "7,000 globals": manyGlobals(7_000, "i32", "i32.const 0", "i32.const 1"),
  "7,000 references": manyGlobals(7_000, "funcref", "ref.null func", "ref.func $show"),
};

for (const [kind, guest] of Object.entries(MUCH_STATE)) {
  Deno.test(`restoring the state takes no longer than its price: ${kind}`, () => {
    const module = runnableGuest({ ...guest, abi: 2, body: "i32.const 0" });
    const instance = instantiateGuest(module);
    const call = () => instance.call("on_message", NOTHING_ASKED, 10_000);
    call();
    const { units } = call();
    const ratio = leastRatio(units + instance.restore_units, () => void call());
    assert.ok(ratio <= MULTIPLICATIONS_MAX, `${ratio} multiplications per unit`);
  });
}

const TOUCHES = `(loop $again
    (i32.store (local.get $i) (i32.const 1))
    (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4096)))
      (i32.const ${PAGES * 65_536})))) unreachable`;

/** Policies that repeatedly touch their memory and trap. */
const TOUCHING: Readonly<Record<string, GuestText>> = {
  "new memory": { body: TOUCHES, pages: PAGES },
  "grown memory": { body: `(drop (memory.grow (i32.const ${PAGES - 1}))) ${TOUCHES}` },
};

for (const [kind, guest] of Object.entries(TOUCHING)) {
  Deno.test(`${kind} that is touched everywhere before a trap takes no longer than its price`, () => {
    const { bytes, cost } = meterPolicy(binary(guestText(guest)), OPTIONS);
    const instances = new Instances(1);
    const instance_units = cost.instance_fuel * UNITS_PER_FUEL;
    instances.load(1, { compiled: new WebAssembly.Module(bytes), instance_units });
    const runner = { ...runnerOf(instances), now: () => performance.now() };
    const request = requestOf([entryOf(1)], { payload: new Uint8Array(1), payload_most: 1 });
    const run = () => runChain(runner, request).outcomes[0]!;
    const ran = run();
    assert.equal(ran.fault, "trap");
    const ratio = leastRatio(ran.units + ran.instance_units, run);
    assert.ok(ratio <= MULTIPLICATIONS_MAX, `${ratio} multiplications per unit`);
  });
}
