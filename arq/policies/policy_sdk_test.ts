// The guest SDK in the program is the one in policies/sdk.
import assert from "node:assert/strict";
import { POLICY_SDK } from "./policy_sdk.ts";

Deno.test("every file of the guest SDK is in the program", async () => {
  const folder = new URL("../../policies/sdk/", import.meta.url);
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  assert.deepEqual(Object.keys(POLICY_SDK), names.filter((name) => name.endsWith(".ts")).sort());
  for (const [name, text] of Object.entries(POLICY_SDK)) {
    assert.equal(text, await Deno.readTextFile(new URL(name, folder)), name);
  }
});
