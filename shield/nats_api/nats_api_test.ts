/** The API for backends on NATS while its Shield stops. `tests/nats_backends_test.ts` has whole backends. */
import assert from "node:assert/strict";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import type { Subject } from "../../shared/subjects/subject.ts";
import type { HttpContext } from "../http/http.ts";
import type { ClientCall } from "../http/route.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { startNatsApi } from "./capability.ts";

const subject = "api.t.acme.r.lobby.publish" as Subject;

/** Starts to answer on the Spine as the client listener `http` does. */
function start({ spine }: ReturnType<typeof testSpine>, http: unknown) {
  return startNatsApi({
    config: { nats: { api: true } } as Parameters<typeof startNatsApi>[0]["config"],
    spine,
    log: keptLog().log,
    registry: createMetrics({ node_id: "n", version: "0" }),
  }, http as HttpContext);
}

/** A client listener with one handler, which admits everybody. */
function listenerOf(answer: (call: ClientCall) => Response) {
  const handler = (call: ClientCall) => Promise.resolve(answer(call));
  const path = { methods: new Map([["POST", handler]]), of_connection: false, names: () => ({}) };
  return {
    authenticator: { authenticate: () => Promise.resolve({ tenant_id: "acme" }) },
    api: { find: () => path },
    pending: { enter: () => ({ [Symbol.dispose]() {} }) },
    documents: {},
    observers: {},
    origins: { allowed_origins: [] },
    requireOpen() {},
    requireNotBanned() {},
  };
}

Deno.test("a request that NATS has delivered when the Shield stops is answered", async () => {
  await using engine = testSpine();
  const { spine } = engine;
  const { close } = start(engine, { query_token: false });
  const asked = spine.request(subject, new Uint8Array(), { timeout_ms: 5_000 });
  close();
  const { headers } = await asked;
  assert.equal(headers["Nats-Service-Error"], "token-missing");
  const late = spine.request(subject, new Uint8Array(), { timeout_ms: 5_000 });
  await assert.rejects(late, { reason: "brain-unavailable" }, "another Shield answers from now on");
});

Deno.test("a backend gets an answer, whatever headers its NATS library adds", async () => {
  await using engine = testSpine();
  const seen: Headers[] = [];
  const listener = listenerOf(({ request }) => {
    seen.push(request.headers);
    return new Response("{}");
  });
  start(engine, listener);
  const ask = async (more: Record<string, string>) => {
    const headers = { authorization: "Bearer t", "accept-encoding": "gzip", ...more };
    return (await engine.spine.request(subject, new Uint8Array(), { timeout_ms: 5_000, headers }))
      .headers["Nats-Service-Error"];
  };
  assert.equal(await ask({ baggage: "user=Zoë 🎉" }), undefined);
  const bytes = new TextEncoder().encode("user=Zoë 🎉");
  assert.equal(seen[0]?.get("baggage"), String.fromCharCode(...bytes), "as by HTTP");
  assert.equal(seen[0]?.get("accept-encoding"), null, "an answer has no header of its encoding");
  assert.equal(await ask({ "app/user": "1" }), "invalid-field");
});

Deno.test("a backend is notified of an answer that NATS does not carry", async () => {
  await using engine = testSpine();
  start(engine, listenerOf(() => new Response("x".repeat(2_000_000))));
  const headers = { authorization: "Bearer t" };
  const asked = engine.spine.request(subject, new Uint8Array(), { timeout_ms: 5_000, headers });
  assert.equal((await asked).headers["Nats-Service-Error"], "message-too-large");
});
