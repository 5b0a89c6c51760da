/** Which modules are policies, and the errors for the others. */
import assert from "node:assert/strict";
import { abiProblems, HOST_FUNCTIONS, meterPolicy } from "./abi_check.ts";
import { HOST_MODULE } from "./host_functions.ts";
import { HOST_MODULES, LENGTH_PARAMETERS } from "../../../wasm/metering/meter_costs.ts";
import { decodeModule } from "../../../wasm/module/decode.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import { fromText } from "../../../wasm/testing/bytes.ts";

const MEMORY = `(memory (export "memory") 1)`;
const ALLOC = `(func (export "arqon_alloc") (param i32) (result i32) i32.const 0)`;
const HOOK = `(func (export "arqon_on_message") (result i32) i32.const 0)`;
const GOOD = `${MEMORY} ${ALLOC} ${HOOK}`;
const IMPORTS = `
  (import "arqon_host_v1" "host_get_header" (func (param i32 i32) (result i32)))
  (import "arqon_host_v1" "host_get_claim" (func (param i32 i32) (result i32)))
  (import "arqon_host_v1" "host_get_payload" (func (result i32)))
  (import "arqon_host_v1" "host_add_header" (func (param i32 i32 i32 i32)))
  (import "arqon_host_v1" "host_log" (func (param i32 i32 i32)))
  (import "arqon_host_v1" "host_reject" (func (param i32 i32 i32)))`;

const OPTIONS = { memory_limit_pages: 64 };
const bytesOf = (text: string) => fromText(`(module ${text})`);

Deno.test("a module with every import and hook is a policy", () => {
  const hooks = `(func (export "arqon_on_connect") (result i32) i32.const 0)
    (func (export "arqon_on_subscribe") (result i32) i32.const 0)`;
  const bytes = bytesOf(`${IMPORTS} ${GOOD} ${hooks}`);
  assert.deepEqual(abiProblems(decodeModule(bytes)), []);
  const metered = meterPolicy(bytes, OPTIONS);
  assert.deepEqual(metered.hooks, ["on_connect", "on_subscribe", "on_message"]);
  assert.ok(WebAssembly.validate(metered.bytes));
});

Deno.test("an import may be exported again as a hook", () => {
  const bytes = bytesOf(`(import "arqon_host_v1" "host_get_payload" (func $p (result i32)))
    ${MEMORY} ${ALLOC} (export "arqon_on_message" (func $p))`);
  assert.deepEqual(abiProblems(decodeModule(bytes)), []);
});

Deno.test("a module that imports from arqon_host_v2 is a policy of version 2, with an initialisation", () => {
  const init = `(func (export "arqon_init"))`;
  const v2 = IMPORTS.replaceAll("_v1", "_v2");
  const metered = meterPolicy(bytesOf(`${v2} ${GOOD} ${init}`), OPTIONS);
  assert.equal(metered.abi, 2);
  assert.equal(metered.renewal?.by, "restore");
  assert.ok(metered.cost.restore_fuel > 0);
  const v1 = meterPolicy(bytesOf(`${IMPORTS} ${GOOD}`), OPTIONS);
  assert.deepEqual([v1.abi, v1.renewal, v1.cost.restore_fuel], [1, undefined, 0]);
  const bare = meterPolicy(bytesOf(`${GOOD}`), OPTIONS);
  assert.equal(bare.abi, 1, "without imports");
});

Deno.test("only a module of version 1 may export the names that metering adds in version 2", () => {
  for (const name of ["arqon_save", "arqon_restore"]) {
    const text = `${GOOD} (func (export "${name}"))`;
    assert.equal(meterPolicy(bytesOf(`${IMPORTS} ${text}`), OPTIONS).abi, 1);
    const v2 = bytesOf(`${IMPORTS.replaceAll("_v1", "_v2")} ${text}`);
    assert.throws(() => meterPolicy(v2, OPTIONS), { reason: "reserved-export" });
  }
});

const PROBLEMS: readonly (readonly [text: string, reason: string, sentence: RegExp])[] = [
  [
    `(import "wasi_snapshot_preview1" "fd_write" (func)) ${GOOD}`,
    "wasi-import",
    /"wasi_snapshot_preview1"."fd_write" is WASI/,
  ],
  [
    `(import "env" "memory" (memory 1)) (export "memory" (memory 0)) ${ALLOC} ${HOOK}`,
    "memory-import",
    /memory is imported \("env"."memory"\)/,
  ],
  [
    `(import "env" "abort" (func)) ${GOOD}`,
    "unknown-import",
    /"env"."abort" \(function\) is unknown; .* "arqon_host_v1": host_get_header.*"arqon_host_v2": .*host_state_set/,
  ],
  [`(import "arqon_host_v1" "host_sleep" (func)) ${GOOD}`, "unknown-import", /"host_sleep"/],
  [
    `(import "arqon_host_v2" "host_get_payload" (func (result i32)))
     (import "arqon_host_v1" "host_log" (func (param i32 i32 i32))) ${GOOD}`,
    "two-abis",
    /"arqon_host_v1"."host_log" is of another ABI version .* those of "arqon_host_v2"/,
  ],
  [
    `(import "arqon_host_v2" "host_get_payload" (func (result i32)))
     ${GOOD} (func (export "arqon_init") (param i32))`,
    "export-signature",
    /"arqon_init" has the signature \(i32\) -> \(\) instead of \(\) -> \(\)/,
  ],
  [
    `(import "arqon_host_v2" "host_get_payload" (func (result i32)))
     ${GOOD} (func $s) (start $s)`,
    "start-section",
    /do that work in its export "arqon_init"/,
  ],
  [`(import "arqon_host_v1" "toString" (func)) ${GOOD}`, "unknown-import", /"toString"/],
  [
    `(import "arqon_host_v1" "host_log" (global i32)) ${GOOD}`,
    "unknown-import",
    /\(global\) is unknown/,
  ],
  [
    `(import "arqon_host_v1" "host_log" (func (param i32 i64 i32))) ${GOOD}`,
    "import-signature",
    /signature \(i32, i64, i32\) -> \(\) instead of \(i32, i32, i32\) -> \(\)/,
  ],
  [`${ALLOC} ${HOOK}`, "memory-missing", /"memory" is missing/],
  [`${MEMORY} ${HOOK}`, "alloc-missing", /"arqon_alloc" is missing/],
  [`${GOOD} (func $main) (start $main)`, "start-section", /start section/],
  [`${MEMORY} ${ALLOC}`, "hook-missing", /No hook is exported/],
  [
    `(func (export "memory")) ${ALLOC} ${HOOK}`,
    "export-kind",
    /"memory" is a function and must be a memory/,
  ],
  [
    `${MEMORY} ${ALLOC} (global (export "arqon_on_message") i32 (i32.const 0))`,
    "export-kind",
    /"arqon_on_message" is a global and must be a function/,
  ],
  [
    `${MEMORY} ${HOOK} (func (export "arqon_alloc") (param i64) (result i32) i32.const 0)`,
    "export-signature",
    /"arqon_alloc" has the signature \(i64\) -> \(i32\) instead of \(i32\) -> \(i32\)/,
  ],
  [
    `${MEMORY} ${ALLOC} (func (export "arqon_on_message"))`,
    "export-signature",
    /"arqon_on_message" has the signature \(\) -> \(\) instead of \(\) -> \(i32\)/,
  ],
  [`${GOOD} (func (export "arqon_height"))`, "reserved-export", /"arqon_height" is reserved/],
];

for (const [text, reason, sentence] of PROBLEMS) {
  Deno.test(`a module is not a policy: ${reason}: ${sentence.source}`, () => {
    const problems = abiProblems(decodeModule(bytesOf(text)));
    assert.deepEqual(problems.map((problem) => problem.reason), [reason]);
    assert.match(problems[0]?.sentence ?? "", sentence);
    assert.throws(() => meterPolicy(bytesOf(text), OPTIONS), (error) => {
      assert.ok(error instanceof PolicyModuleError);
      assert.equal(error.reason, reason);
      return sentence.test(error.message);
    });
  });
}

Deno.test("every problem is reported, up to eight", () => {
  const imports = Array.from({ length: 20 }, (_none, at) => `(import "env" "f${at}" (func))`);
  assert.throws(() => meterPolicy(bytesOf(imports.join(" ")), OPTIONS), {
    reason: "unknown-import",
    message: /"f0".*"f7".*15 more problems are not listed\.$/,
  });
});

Deno.test("names in sentences are short and on one line", () => {
  const name = "x\\n".repeat(1000);
  const [problem] = abiProblems(decodeModule(bytesOf(`(import "env" "${name}" (func))`)));
  assert.ok(problem !== undefined && problem.sentence.length < 500);
  assert.ok(!problem.sentence.includes("\n"));
});

Deno.test("the lengths that thunks charge for are parameters of the host's functions", () => {
  assert.deepEqual(Object.keys(LENGTH_PARAMETERS), Object.keys(HOST_FUNCTIONS[2]));
  assert.deepEqual(HOST_MODULES, Object.values(HOST_MODULE));
  for (const [name, lengths] of Object.entries(LENGTH_PARAMETERS)) {
    const [parameters] = HOST_FUNCTIONS[2][name] ?? [0];
    assert.ok(lengths.every((at) => at < parameters), name);
  }
});
