/**
 * A machine without stack for a call reaches no outcome: nothing is stored, the caller is told to retry, and the room
 * continues. V8 gets a small stack for it.
 */
import assert from "node:assert/strict";
import { deno } from "../../tasks/checkout/programs.ts";

const PROGRAM = new URL("./testing/small_stack.ts", import.meta.url).pathname;
/** Less than the deepest calls need, and more than everything else here. */
const STACK_KIB = 140;

Deno.test("a failure of the machine is no outcome, at any point of a call", async () => {
  const flags = ["-A", "--quiet", `--v8-flags=--stack-size=${STACK_KIB}`];
  const { stdout } = await deno(["run", ...flags, PROGRAM]);
  const { outcomes, entries, events } = JSON.parse(stdout);
  const refused = "503 brain-unavailable: Brain unavailable";
  const count = (what: string) => outcomes.filter((outcome: string) => outcome === what).length;
  assert.equal(count("applied") + count(refused), outcomes.length, outcomes.join("\n"));
  assert.ok(count("applied") > 0 && count(refused) > 0, outcomes.join("\n"));
  // Each depth was followed by a call that any machine can run.
  assert.deepEqual([entries, events], [outcomes.length + count("applied"), entries]);
});
