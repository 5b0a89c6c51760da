// What a refusal at the door says of waiting, and that the connection waits so long: real sockets.
import assert from "node:assert/strict";
import { explainRefusal, retryAfterOf } from "./auth_check.ts";
import { connect } from "../mod.ts";
import { quick, refusedWith, startPeer, welcome } from "../testing/scripted_peer.ts";

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

Deno.test("Retry-After is read in both of its forms, and nonsense is no wait", () => {
  assert.equal(retryAfterOf("3", NOW_MS), 3_000);
  assert.equal(retryAfterOf(" 3 ", NOW_MS), 3_000);
  assert.equal(retryAfterOf("Fri, 02 Jan 2026 03:04:12 GMT", NOW_MS), 7_000);
  assert.equal(retryAfterOf("Fri, 02 Jan 2026 03:04:01 GMT", NOW_MS), 0);
  for (const value of [null, "", "soon", "-3", "0", "NaN"]) {
    assert.equal(retryAfterOf(value, NOW_MS), 0, String(value));
  }
  assert.equal(retryAfterOf("999999999", NOW_MS), 600_000);
});

function closedDoor(body: Record<string, unknown>, headers: Record<string, string>) {
  const problem = { reason: "admission", detail: "Admission: x" };
  return startPeer({
    refuse: (index) => index === 0,
    http: () => Response.json({ ...problem, ...body }, { status: 503, headers }),
    open: (socket) => welcome(socket),
  });
}

/** The wait that begins after the first refusal; the backoff adds at most 5 ms to it. */
async function waitAfter(body: Record<string, unknown>, headers: Record<string, string>) {
  await using peer = closedDoor(body, headers);
  const { options, statuses } = quick(peer.url);
  await using _connection = await connect({ ...options, initial_attempts: 2 });
  const waiting = statuses.find((status) => status.state === "waiting");
  assert.ok(waiting?.state === "waiting");
  refusedWith("admission")(waiting.error);
  assert.equal(peer.sockets, 2);
  return waiting.retry_in_ms;
}

Deno.test("a client that is not let in waits as long as the body says: 'admission'", async () => {
  const wait_ms = await waitAfter({ retry_after_ms: 37 }, { "retry-after": "1" });
  assert.ok(wait_ms >= 37 && wait_ms < 42, `${wait_ms} ms`);
});

Deno.test("without retry_after_ms in the body the header counts", async () => {
  const wait_ms = await waitAfter({ retry_after_ms: "soon" }, { "retry-after": "1" });
  assert.ok(wait_ms >= 1_000 && wait_ms < 1_005, `${wait_ms} ms`);
});

Deno.test("a Retry-After that is a date is told by the server's clock, whatever this device's shows", async () => {
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
  const check = { check_url, token: "t", detail: "", timeout_ms: 60_000, signal };
  assert.equal((await explainRefusal(check)).retry_after_ms, 7_000);
});
