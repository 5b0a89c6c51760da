// The features that small modules use, by the instructions that show each of them.
import assert from "node:assert/strict";
import wabt from "wabt";
import { decodeModule } from "../../wasm/module/decode.ts";
import { POLICY_LIMITS } from "../../wasm/module/module.ts";
import { usedFeatures } from "./module_facts.ts";

const { parseWat } = await wabt();

function featuresOf(fields: string): readonly string[] {
  const { buffer } = parseWat("features.wat", `(module ${fields})`, {
    mutable_globals: true,
    sat_float_to_int: true,
    sign_extension: true,
    multi_value: true,
    bulk_memory: true,
    reference_types: true,
  }).toBinary({});
  return usedFeatures(decodeModule(buffer, POLICY_LIMITS));
}

Deno.test("a module of WebAssembly 1.0 uses no extension", () => {
  const fields = `(memory 1) (global (mut i32) (i32.const 0)) (table 1 funcref)
    (elem (i32.const 0) 0) (data (i32.const 0) "x")
    (func (param i32) (result i32) (block (result i32) (local.get 0)))`;
  assert.deepEqual(featuresOf(fields), []);
});

Deno.test("each feature is named by what shows it", () => {
  const cases: readonly (readonly [fields: string, feature: string])[] = [
    ["(func (drop (i32.extend8_s (i32.const 1))))", "sign extension"],
    ["(func (drop (i64.extend32_s (i64.const 1))))", "sign extension"],
    ["(func (drop (i32.trunc_sat_f32_s (f32.const 1))))", "non-trapping conversions"],
    ["(func (result i32 i32) (i32.const 1) (i32.const 2))", "multi-value"],
    ["(func (i32.const 1) (block (param i32) (drop)))", "multi-value"],
    ["(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))", "bulk memory"],
    ['(memory 1) (data "passive")', "bulk memory"],
    ["(func (drop (ref.null func)))", "reference types"],
    ["(func (param externref))", "reference types"],
    ["(table 1 funcref) (table 1 funcref)", "reference types"],
    ["(table 1 funcref) (func (drop (table.get 0 (i32.const 0))))", "reference types"],
    ['(global (export "g") (mut i32) (i32.const 0))', "mutable globals"],
    ['(import "m" "g" (global (mut i32)))', "mutable globals"],
  ];
  for (const [fields, feature] of cases) assert.deepEqual(featuresOf(fields), [feature], fields);
});

Deno.test("an exported constant is no mutable global", () => {
  assert.deepEqual(featuresOf('(global (export "g") i32 (i32.const 0))'), []);
});
