// The wait in a refused upgrade, and that the connection waits that long, over real sockets.
import assert from "node:assert/strict";
import { explainRefusal, retryAfterOf } from "./refusal.ts";

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

Deno.test("Retry-After is read in both forms, and an invalid one is no wait", () => {
  assert.equal(retryAfterOf("3", NOW_MS), 3_000);
  assert.equal(retryAfterOf(" 3 ", NOW_MS), 3_000);
  assert.equal(retryAfterOf("Fri, 02 Jan 2026 03:04:12 GMT", NOW_MS), 7_000);
  assert.equal(retryAfterOf("Fri, 02 Jan 2026 03:04:01 GMT", NOW_MS), 0);
  for (const value of [null, "", "soon", "-3", "0", "NaN"]) {
    assert.equal(retryAfterOf(value, NOW_MS), 0, String(value));
  }
  assert.equal(retryAfterOf("999999999", NOW_MS), 600_000);
});

Deno.test("a date in Retry-After is compared with the server's clock, whatever this device's clock is", async () => {
  const body = JSON.stringify({ reason: "admission", detail: "" });
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => {
    const headers = {
      "retry-after": "Fri, 02 Jan 2026 03:04:12 GMT",
      date: "Fri, 02 Jan 2026 03:04:05 GMT",
    };
    return new Response(body, { status: 503, headers });
  });
  const check_url = `http://127.0.0.1:${server.addr.port}/`;
  const { signal } = new AbortController();
  const check = { address: { check_url }, token: "t", handshake_timeout_ms: 60_000, signal };
  assert.equal((await explainRefusal(check, "")).retry_after_ms, 7_000);
});
