/** `arq auth revoke` and `revocations` against a real bus. */
import assert from "node:assert/strict";
import { startBus, type TestBus } from "../../../tests/harness/bus.ts";
import { runArq, succeeds } from "../../testing/run_arq.ts";

async function answered(bus: TestBus, ...args: string[]): Promise<string> {
  return succeeds(await runArq(["auth", ...args, "--url", bus.url]));
}

async function status(bus: TestBus, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${bus.http_url}/v1/auth/check`, { headers });
  await response.body?.cancel();
  return response.status;
}

Deno.test("tokens are revoked, listed and made good again", async () => {
  await using bus = await startBus();
  const iat = Math.floor(Date.now() / 1_000) - 60;
  const ann = await bus.tokenFor({ user: "ann", claims: { iat, jti: "t1" } });
  assert.equal(await answered(bus, "revocations"), "nothing is revoked\n");
  assert.match(
    await answered(bus, "revoke", "--user", "ann", "--reason", "lost phone", "--for", "1h"),
    /^revoked in tenant default: tokens of user ann issued before 20\S+Z, until 20\S+Z\n$/,
  );
  assert.equal(await status(bus, ann), 401);
  assert.match(
    await answered(bus, "revocations"),
    /^default {2}tokens of user ann issued before \S+, until \S+, by dev: lost phone\n$/,
  );
  await answered(bus, "revoke", "--user", "ann", "--undo");
  await answered(bus, "revoke", "--token-id", "t1", "--tenant", "acme");
  const json = JSON.parse(await answered(bus, "revocations", "--tenant", "acme", "--json"));
  assert.deepEqual([json.revocations.length, json.revocations[0].id], [1, "t1"]);
  const before = ["--issued-before", "2026-01-02T03:04:05Z"];
  assert.match(
    await answered(bus, "revoke", "--tenant", "acme", ...before),
    /all tokens issued before 2026-01-02T03:04:05.000Z/,
  );
  const again = await runArq(["auth", "revoke", "--user", "ann", "--undo", "--url", bus.url]);
  assert.deepEqual([again.code, again.stdout], [1, ""]);
  assert.match(again.stderr, /tenant default has no such revocation/);
});
