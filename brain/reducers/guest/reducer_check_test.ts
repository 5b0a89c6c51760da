/** Which modules are reducers, and the errors for the others. */
import assert from "node:assert/strict";
import { ROOM_LENGTH_PARAMETERS } from "../../../wasm/metering/meter_costs.ts";
import { fromText } from "../../../wasm/testing/bytes.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import { meterReducer } from "../../../wasm/reducer/reducer_check.ts";
import { ROOM_FUNCTIONS } from "../../../wasm/reducer/room_abi.ts";

const MEMORY = `(memory (export "memory") 1)`;
const ALLOC = `(func (export "arqon_alloc") (param i32) (result i32) (i32.const 0))`;
const APPLY = `(func (export "arqon_apply") (result i32) (i32.const 0))`;

function refusalOf(text: string): string {
  try {
    meterReducer(fromText(`(module ${text})`), 64);
  } catch (error) {
    assert.ok(error instanceof PolicyModuleError, String(error));
    assert.equal(error.reason, "not-a-reducer");
    return error.message;
  }
  return "";
}

Deno.test("a module with the three exports is a reducer, with arqon_init too", () => {
  assert.equal(refusalOf(`${MEMORY} ${ALLOC} ${APPLY}`), "");
  assert.equal(refusalOf(`${MEMORY} ${ALLOC} ${APPLY} (func (export "arqon_init"))`), "");
});

Deno.test("the reason why a module is not a reducer is named", () => {
  const room = (name: string, type: string) =>
    `(import "arqon_room_v1" "${name}" (func ${type})) ${MEMORY} ${ALLOC} ${APPLY}`;
  const cases: [string, RegExp][] = [
    [`${ALLOC} ${APPLY}`, /"memory" is missing/],
    [`${MEMORY} ${APPLY}`, /"arqon_alloc" is missing: a function \(i32\) -> \(i32\)/],
    [`${MEMORY} ${ALLOC}`, /"arqon_apply" is missing: a function \(\) -> \(i32\)/],
    [`${MEMORY} ${ALLOC} (func (export "arqon_apply"))`, /"arqon_apply" is \(\) -> \(\) instead/],
    [`${MEMORY} ${ALLOC} (global (export "arqon_apply") i32 (i32.const 0))`, /is a global instead/],
    [`${MEMORY} ${ALLOC} ${APPLY} (func (export "arqon_init") (result i32) (i32.const 0))`, /init/],
    [`${MEMORY} ${ALLOC} ${APPLY} (func (export "arqon_fuel"))`, /"arqon_fuel" is reserved/],
    [
      `${MEMORY} ${ALLOC} ${APPLY} (func $s) (start $s)`,
      /start section: let its export "arqon_init"/,
    ],
    [`(import "env" "abort" (func)) ${MEMORY} ${ALLOC} ${APPLY}`, /"env"."abort" is unknown/],
    [room("host_read", ""), /"arqon_room_v1"."host_read" is unknown; .* room_read,/],
    [room("room_now", "(result i32)"), /signature \(\) -> \(i32\) instead of \(\) -> \(i64\)/],
    [`(import "arqon_host_v2" "host_reject" (func)) ${MEMORY} ${ALLOC} ${APPLY}`, /is unknown/],
  ];
  for (const [text, sentence] of cases) assert.match(refusalOf(text), sentence, text);
  const many = Array.from({ length: 20 }, (_, at) => `(import "env" "f${at}" (func))`).join(" ");
  assert.match(refusalOf(`${many} ${MEMORY} ${ALLOC} ${APPLY}`), /12 more problems are not listed/);
});

Deno.test("the lengths that thunks pay for are parameters of the room's functions", () => {
  assert.deepEqual(Object.keys(ROOM_LENGTH_PARAMETERS), Object.keys(ROOM_FUNCTIONS));
  for (const [name, lengths] of Object.entries(ROOM_LENGTH_PARAMETERS)) {
    const [parameters] = ROOM_FUNCTIONS[name]!;
    assert.ok(lengths.every((at) => parameters[at] === "i"), name);
  }
});
