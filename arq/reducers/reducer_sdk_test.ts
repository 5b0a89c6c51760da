// The guest SDK of reducers in the program is the one in policies/reducer_sdk.
import assert from "node:assert/strict";
import { REDUCER_SDK } from "./reducer_sdk.ts";

Deno.test("every file of the guest SDK of reducers is in the program", async () => {
  const folder = new URL("../../policies/reducer_sdk/", import.meta.url);
  // The folder `rust` is a crate, and the JSON reader is that of the policies' SDK.
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  assert.deepEqual(
    Object.keys(REDUCER_SDK),
    [...names.filter((name) => name !== "rust"), "json.ts"].sort(),
  );
  for (const [name, text] of Object.entries(REDUCER_SDK)) {
    assert.equal(
      text,
      await Deno.readTextFile(new URL(name === "json.ts" ? "../sdk/json.ts" : name, folder)),
      name,
    );
  }
});
