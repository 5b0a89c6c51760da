/**
 * No command of a reducer costs less fuel than the host's work for it: instances, memory that is touched first or
 * restored, unwinding. Compared with a reference loop on the same machine; the minimum of many runs.
 */
import assert from "node:assert/strict";
import { MULTIPLICATIONS_PER_UNIT, UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { restoreUnits } from "../../../wasm/metering/renewal.ts";
import { multiplicationNs, timed } from "../../../wasm/metering/reference_loop.ts";
import { meterReducer } from "../../../wasm/reducer/reducer_check.ts";
import { applyEntry } from "../state/fold.ts";
import { emptyRoom } from "../state/room_state.ts";
import { moduleOf } from "../testing/guest_text.ts";
import type { GuestText } from "../testing/hostile_reducers.ts";
import { command, roomOf, utf8 } from "../testing/rooms.ts";
import { createReducer, type Run, unitsOf } from "./reducer_guest.ts";

const FUEL = 10_000;
const PAGES = 64;
/** Allowance for work that a busy machine slows more than the loop; see `shield/policy/testing/price_bound.ts`. */
const MULTIPLICATIONS_MAX = MULTIPLICATIONS_PER_UNIT * 8;
const PATIENCE_MS = 60_000;
const ROUNDS = 20;

const ENTRIES = 10_000;
const GROWN = `(func (export "arqon_init") (drop (memory.grow (i32.const ${PAGES - 1}))))`;
const touched = (pages: number) =>
  `(local $at i32) (loop $again (i32.store (local.get $at) (i32.const 1))
    (br_if $again (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096)))
      (i32.const ${pages * 65_536}))))`;

/** Does something a thousand times, and begins the allocations anew each time. */
const repeated = (what: string) =>
  `(local $times i32) (loop $again (global.set $next (i32.const 8192)) ${what}
    (br_if $again (i32.lt_u (local.tee $times (i32.add (local.get $times) (i32.const 1)))
      (i32.const 1000)))) (i32.const 0)`;

const GUESTS: Readonly<Record<string, GuestText>> = {
  "a table that is set, in a module of 24 KB": {
    apply: `(table.set $t (i32.const 0) (ref.func $f)) (i32.const 0)`,
    more: `(table $t ${ENTRIES} funcref) (func $f)
      (elem (table $t) (i32.const 0) func ${"$f ".repeat(ENTRIES)})`,
  },
  "a trap": { apply: `unreachable`, more: `(func (export "arqon_init"))` },
  "memory that it grows and touches": {
    apply: `${touched(PAGES)} (i32.const 0)`.replace(
      "(loop",
      `(drop (memory.grow (i32.const ${PAGES - 1}))) (loop`,
    ),
  },
  "memory that its beginning has grown": { apply: `(i32.const 0)`, more: GROWN },
  "reads of long keys that are not there": {
    apply: repeated(`(drop (call $room_read (i32.const 0) (i32.const 250)))`),
  },
  "scans that find nothing": {
    apply: repeated(
      `(drop (call $room_scan (i32.const 0) (i32.const 250) (i32.const 0) (i32.const 250)
        (i32.const 1)))`,
    ),
  },
  "a beginning that does not end": {
    apply: `(i32.const 0)`,
    more: `(func (export "arqon_init") (loop $l (br $l)))`,
  },
};

/** A room whose values a read is compared with. */
const { state: FILLED } = applyEntry(emptyRoom(), command(1), (draft) => {
  for (let at = 0; at < ENTRIES; at++) draft.write(utf8(`key-${at}`), utf8("value"));
  return { kind: "applied" };
}, roomOf());

/** Runs a guest repeatedly; returns the runs. */
function running(guest: GuestText) {
  const metered = meterReducer(moduleOf(guest), PAGES);
  const reducer = createReducer(new WebAssembly.Module(metered.bytes), metered, FUEL);
  return {
    metered,
    run(): Run {
      let run: Run | undefined;
      applyEntry(FILLED, command(2), (draft) => {
        run = reducer.run(draft);
        return run.verdict;
      }, roomOf());
      return run!;
    },
  };
}

for (const [name, guest] of Object.entries(GUESTS)) {
  Deno.test(`a command takes no longer than its price: ${name}`, () => {
    const { run } = running(guest);
    const first = unitsOf(run());
    assert.equal(unitsOf(run()), first, "a command costs the same whatever ran before it");
    const deadline_ms = performance.now() + PATIENCE_MS;
    let least_ms = Infinity;
    let ratio = Infinity;
    while (ratio > MULTIPLICATIONS_MAX && performance.now() < deadline_ms) {
      const row_ms = timed(() => {
        for (let at = 0; at < ROUNDS; at++) run();
      });
      least_ms = Math.min(least_ms, row_ms / ROUNDS);
      ratio = least_ms * 1e6 / first / multiplicationNs();
    }
    assert.ok(ratio <= MULTIPLICATIONS_MAX, `${ratio} multiplications a unit of ${first}`);
  });
}

Deno.test("an instance is paid by each command that makes one necessary, and its memory by those that put it back", () => {
  const kept = running({ apply: `(i32.const 0)` });
  const { renewal, cost } = kept.metered;
  assert.ok(renewal?.by === "restore");
  const restored = restoreUnits(renewal.units, 1);
  assert.equal(kept.run().host_units, restored);
  const instance_units = cost.instance_fuel * UNITS_PER_FUEL;
  const trapped = running({ apply: `unreachable` });
  assert.ok(trapped.run().host_units >= restored + instance_units);
  const set = running({
    apply: `(table.set $t (i32.const 0) (ref.null func)) (i32.const 0)`,
    more: `(table $t 1 funcref)`,
  });
  assert.equal(set.run().host_units, set.metered.cost.instance_fuel * UNITS_PER_FUEL);
  const grown = running({ apply: `(i32.const 0)`, more: GROWN });
  assert.ok(grown.run().host_units > kept.run().host_units * PAGES / 2);
});
