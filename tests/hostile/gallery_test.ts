/**
 * Each attack of the gallery for a moment, some on native sockets, too: no clean client's message is lost or
 * refused, and everything works afterwards. `deno task hostile` measures delays.
 */
import assert from "node:assert/strict";
import { type AttackResult, runGallery } from "./gallery.ts";

function run(websocket: string | undefined, only: readonly string[]): Promise<AttackResult[]> {
  return runGallery({
    only,
    websocket,
    seconds: 1,
    rate: 50,
    silence_ms: Infinity,
    p99_factor: Infinity,
    say: () => {},
  });
}

Deno.test("attacks hurt no clean tenant", async () => {
  const results = await run(undefined, []);
  assert.ok(results.length > 10);
  for (const { name, broken } of results) assert.deepEqual(broken, [], name);
});

Deno.test("strangers and floods hurt no clean client of native sockets", async () => {
  const results = await run("native", ["idle", "half-requests", "flood-garbage"]);
  for (const { name, broken } of results) assert.deepEqual(broken, [], name);
});

Deno.test("an unknown attack is named, with the existing ones", async () => {
  await assert.rejects(run(undefined, ["nothing"]), {
    name: "RangeError",
    message: /there is no attack "nothing"; there are idle, .*slow-start/,
  });
});
