/** Answers of the admin API that have no end of their own end with the token of their reader. */
import assert from "node:assert/strict";
import { startLocalBus } from "../harness/local_bus.ts";
import { send } from "../peers/own_connections.ts";

const ENDLESS = ["rooms/default/lobby/tail", "policies/logs?tenant=default"];

Deno.test("what an admin follows ends once the admin's token is revoked, also while nothing happens", async () => {
  await using bus = await startLocalBus("");
  const [mal, root] = await Promise.all(
    ["mal", "root"].map((user) => bus.tokenFor({ user, role: "admin" })),
  );
  const readers = await Promise.all(ENDLESS.map(async (path) => {
    const answer = await send(`${bus.admin_url}/v1/${path}`, mal!, "GET");
    assert.equal(answer.status, 200, path);
    const reader = answer.body!.getReader();
    // It has begun.
    assert.equal((await reader.read()).done, false, path);
    return reader;
  }));
  const revoked = { tenant: "default", user: "mal" };
  const answer = await send(`${bus.admin_url}/v1/revocations`, root!, "POST", revoked);
  assert.equal(answer.status, 200, await answer.text());
  for (const [at, reader] of readers.entries()) {
    let ended = false;
    while (!ended) ended = (await reader.read()).done;
    assert.ok(ended, ENDLESS[at]);
  }
});
