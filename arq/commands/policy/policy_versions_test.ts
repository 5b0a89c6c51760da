/** The reports of `arq policy check` and `arq policy test` about policies of either version of the ABI. */
import assert from "node:assert/strict";
import { fromText } from "../../../wasm/testing/bytes.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { policyIn } from "../../testing/run_arq.ts";

const BUILT = new URL("../../../policies/build/", import.meta.url).pathname;

/** The output of a command that succeeds. */
const shown = async (cwd: string, ...args: string[]): Promise<string> =>
  (await policyIn(cwd, 0, ...args)).stdout;

Deno.test("check prints a module's version of the ABI, and findings about its memory", async () => {
  const rows = {
    "bad_words.wasm": /\n +abi +version 1: its memory lives from call to call\n/,
    "mask_digits.wasm": /\n +abi +version 2: each call begins anew, for 19 fuel\n/,
  };
  for (const [file, expected] of Object.entries(rows)) {
    assert.match(await shown(BUILT, "check", file), expected);
  }
  const text = `(module (import "arqon_host_v2" "host_get_payload" (func (result i32)))
    (memory (export "memory") 1) (table $t 1 funcref)
    (func (export "arqon_alloc") (param i32) (result i32) (i32.const 8))
    (func (export "arqon_on_message") (result i32)
      (table.set $t (i32.const 0) (ref.null func)) (i32.const 0)))`;
  await using folder = await folderWith({ "t.wasm": fromText(text) });
  const stdout = await shown(folder.path, "check", "t.wasm", "--json");
  const expected = { abi: 2, renewed_by: "instance", restore_fuel: 0 };
  assert.deepEqual(JSON.parse(stdout).between_calls, expected);
});

Deno.test("check prints the cost of a call with the memory that arqon_init has added", async () => {
  const restored = async (pages: number) => {
    const text = `(module (import "arqon_host_v2" "host_get_payload" (func (result i32)))
      (memory (export "memory") 1)
      (func (export "arqon_init") (drop (memory.grow (i32.const ${pages}))))
      (func (export "arqon_alloc") (param i32) (result i32) (i32.const 8))
      (func (export "arqon_on_message") (result i32) (i32.const 0)))`;
    await using folder = await folderWith({ "t.wasm": fromText(text) });
    const stdout = await shown(folder.path, "check", "t.wasm", "--json");
    return JSON.parse(stdout).between_calls.restore_fuel;
  };
  const one = await restored(0);
  const eleven = await restored(10);
  const none = await restored(1_000_000);
  // Each page costs the same, up to rounding.
  assert.ok(eleven > 8 * one && eleven <= 11 * one, `${one}, ${eleven} fuel`);
  assert.equal(none, one, "nothing was added");
});

Deno.test("test shows the payload that a policy has put in place of the event's", async () => {
  await using folder = await folderWith({ "e.txt": "call 555-1234", "f.txt": "none" });
  const module = `${BUILT}mask_digits.wasm`;
  const args = ["--event", "e.txt", "--event", "f.txt"];
  const stdout = await shown(folder.path, "test", module, ...args);
  assert.match(
    stdout,
    /^allowed {2}e\.txt\n[^]* {2}payload {2}call \*\*\*-\*\*\*\*\nallowed {2}f\.txt\n/,
  );
  const json = await shown(folder.path, "test", module, ...args, "--json");
  const payloads = JSON.parse(json).events.map(({ payload }: { payload: string }) => payload);
  assert.deepEqual(payloads, ["call ***-****", null]);
});
