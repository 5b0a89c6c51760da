/**
 * The core tests of the WebAssembly specification give the same results metered, with ample fuel, and
 * unmetered. Needs the data folder: `deno task test:external DIR`, which becomes `Deno.args[0]`.
 */
import assert from "node:assert/strict";
import { meter } from "../../wasm/metering/meter.ts";
import { HEIGHT_LIMIT_SLOTS } from "../../wasm/metering/meter_costs.ts";
import type { ModuleLimits } from "../../wasm/module/module.ts";
import { wasmScripts } from "./wasm_corpus.ts";
import { expectedText, type Outcome, runScript, type Treatment } from "./wasm_scripts.ts";

const AMPLE = 1_000_000_000_000n;
/** The specification's tests are no policies: a few exceed the size limit of policies. */
const LIMITS: ModuleLimits = {
  module_bytes: 1 << 26,
  body_bytes: 1 << 26,
  functions: 1 << 20,
  locals: 50_000,
  parameters: 1_000,
  results: 1_000,
  nested_loops: 10_000,
  table_entries: 10_000_000,
};

const EXHAUSTED = "call stack exhausted";
/** The engine's own stack: metered code must reach its height limit first. */
const ENGINE_STACK = "the engine's stack is exhausted";

/** The engine's message; link errors may differ, since the meter writes maximums. */
function errorText(error: unknown): string {
  if (error instanceof RangeError) return ENGINE_STACK;
  if (error instanceof WebAssembly.LinkError) return "does not link";
  return error instanceof Error ? error.message : String(error);
}

const PLAIN: Treatment = {
  rewrite: (bytes) => bytes,
  before: () => {},
  nameError: (error) => error instanceof RangeError ? EXHAUSTED : errorText(error),
};

/** Whether an instance is one of the meter's and its call stack is too high. */
function isTooHigh(exports: WebAssembly.Instance["exports"]): boolean {
  const height = exports["arqon_height"];
  return height instanceof WebAssembly.Global && Number(height.value) > HEIGHT_LIMIT_SLOTS;
}

const METERED: Treatment = {
  rewrite: (bytes) =>
    meter(bytes, { memory_limit_pages: 65_536, initial_fuel_units: AMPLE, limits: LIMITS }).bytes,
  before: ({ arqon_fuel, arqon_height }) => {
    if (arqon_fuel instanceof WebAssembly.Global) arqon_fuel.value = AMPLE;
    if (arqon_height instanceof WebAssembly.Global) arqon_height.value = 0;
  },
  nameError: (error, all) => all.some(isTooHigh) ? EXHAUSTED : errorText(error),
};

/** Whether a command had the result that its script expects. */
function isAsExpected({ command, results }: Outcome): boolean {
  if (command.type === "assert_exhaustion") return results === EXHAUSTED;
  if (command.type === "assert_trap" || command.type.startsWith("assert_un")) {
    return results !== "instantiated" && results !== EXHAUSTED;
  }
  if (command.type !== "assert_return") return true;
  const found = results === "" ? [] : results.split(" ");
  const expected = command.expected ?? [];
  return found.length === expected.length && expected.every((value, at) => {
    const text = expectedText(value);
    return text === undefined || text === found[at];
  });
}

/** Where a script shows the bits of a NaN that passed through JavaScript, which does not keep them. */
const KNOWN = ["657", "658", "673", "674"].map((line) => `core/conversions:${line}`);

Deno.test("specification tests give the same results metered and unmetered", async () => {
  const different: string[] = [];
  let count = 0;
  for await (const script of wasmScripts(Deno.args[0], "core")) {
    const plain = runScript(script, PLAIN);
    const metered = runScript(script, METERED);
    assert.equal(plain.length, metered.length);
    plain.forEach(({ command, results }, at) => {
      count += 1;
      const now = metered[at]?.results;
      if (now !== results) different.push(`${script.name}:${command.line}: ${results} | ${now}`);
    });
  }
  assert.deepEqual(different, []);
  assert.equal(count, 25_233);
});

Deno.test("specification tests behave as their scripts require when metered", async () => {
  const wrong: string[] = [];
  let returns = 0;
  for await (const script of wasmScripts(Deno.args[0], "core")) {
    for (const outcome of runScript(script, METERED)) {
      if (outcome.command.type === "assert_return") returns += 1;
      if (!isAsExpected(outcome)) wrong.push(`${script.name}:${outcome.command.line}`);
    }
  }
  assert.deepEqual(wrong, KNOWN);
  assert.equal(returns, 21_450);
});
