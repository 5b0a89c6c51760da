/**
 * The session that the quick start shows is what happens: it is run anew, in real terminals, with the `arq`
 * of this checkout. That the npm package does the same is checked by `deno task readme`.
 */
import assert from "node:assert/strict";
import { recordSession } from "../tasks/record/record_session.ts";
import { difference, sessionOf, sessionText, withoutInstall } from "../tasks/record/record_text.ts";

Deno.test("the recorded session is what happens now", async () => {
  const page = await Deno.readTextFile(new URL("../docs/quick_start.md", import.meta.url));
  const now = sessionText(await recordSession("checkout"));
  assert.equal(difference(withoutInstall(sessionOf(page) ?? ""), now), undefined);
});
