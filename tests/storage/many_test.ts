/** `deno task storage --many` in a short form: tenants that share streams, and one server that dies. */
import assert from "node:assert/strict";
import { runMany } from "./many_run.ts";

const TENANTS = 300;

Deno.test("many tenants share a few streams, and the death of a server loses nothing", async () => {
  const { broken, first_ms, streams, kill } = await runMany({
    tenants: TENANTS,
    kill_at: 200,
    writers: 16,
    rest_ms: 1_000,
    say: () => {},
  });
  assert.deepEqual(broken, []);
  assert.equal(first_ms.length, TENANTS);
  assert.equal(streams, 16, "all that are configured are used");
  assert.ok(kill.acknowledged >= 16 * 60);
});
