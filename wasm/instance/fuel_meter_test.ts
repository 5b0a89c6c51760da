/** The units of an instance are the same by its globals and by the functions that replace them after some calls. */
import assert from "node:assert/strict";
import { fromText } from "../testing/bytes.ts";
import { meter } from "../metering/meter.ts";
import { fuelMeter } from "./fuel_meter.ts";

/** More calls than are made before the functions are. */
const CALLS = 20;

function instanceOf(text: string): WebAssembly.Exports {
  const { bytes } = meter(fromText(text), { memory_limit_pages: 1 });
  return new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
}

Deno.test("every call uses the same units, and what the host takes is taken exactly", () => {
  const exports = instanceOf(`(module (memory 1) (func (export "run") (param i32)
    (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))`);
  const units = fuelMeter(exports);
  const run = exports["run"] as (turns: number) => void;
  const used = Array.from({ length: CALLS }, () => {
    units.begin(2 ** 40);
    run(1_000);
    const after = units.left();
    assert.equal(units.charge(7), after - 7);
    assert.equal(units.charge(2 ** 41), after - 7 - 2 ** 41);
    assert.equal(units.left(), after - 7 - 2 ** 41);
    assert.equal((exports["arqon_fuel"] as WebAssembly.Global).value, BigInt(units.left()));
    return 2 ** 40 - after;
  });
  assert.ok(used[0]! > 4_000);
  assert.deepEqual(new Set(used).size, 1);
});

Deno.test("a call begins with its units and without slots, however the one before it has ended", () => {
  const exports = instanceOf(`(module (memory 1)
    (func $deep (export "run") (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
        (else (unreachable)))))`);
  const units = fuelMeter(exports);
  const run = exports["run"] as (depth: number) => number;
  const ended = Array.from({ length: CALLS }, () => {
    units.begin(50_000);
    assert.equal(units.left(), 50_000);
    assert.equal(units.slots(), 0);
    assert.throws(() => run(100), WebAssembly.RuntimeError);
    return `${units.left()} ${units.slots()}`;
  });
  assert.deepEqual(new Set(ended).size, 1);
  assert.ok(units.slots() > 100 * 8);
  units.begin(10);
  assert.throws(() => run(100), WebAssembly.RuntimeError);
  assert.ok(units.left() < 0);
});

Deno.test("a module that is not metered has no meter", () => {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(fromText("(module)")));
  assert.throws(() => fuelMeter(exports), TypeError);
});
