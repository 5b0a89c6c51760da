/** Each rule of the metering transform against its golden files; see `testing/golden.ts`. */
import assert from "node:assert/strict";
import { goldenCases, meterText } from "../testing/golden.ts";

for (const { name, before, after } of await goldenCases()) {
  Deno.test(`golden: ${name.replaceAll("_", " ")} is metered as written down`, () => {
    assert.equal(meterText(before), after);
  });
}

Deno.test("there are golden files for every rule", async () => {
  assert.ok((await goldenCases()).length >= 18);
});
