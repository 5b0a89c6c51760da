/** The API for backends on NATS while its Shield stops. `tests/nats_backends_test.ts` has whole backends. */
import assert from "node:assert/strict";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import type { Subject } from "../../shared/subjects/subject.ts";
import type { HttpContext } from "../http/http.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { startNatsApi } from "./nats_api.ts";

Deno.test("a request that NATS has delivered when the Shield stops is answered", async () => {
  await using engine = testSpine();
  const { spine } = engine;
  const { close } = startNatsApi({
    config: { nats: { api: true } } as Parameters<typeof startNatsApi>[0]["config"],
    ...{ spine, log: keptLog().log, registry: createMetrics({ node_id: "n", version: "0" }) },
  }, { query_token: false } as HttpContext);
  const subject = "api.t.acme.r.lobby.publish" as Subject;
  const asked = spine.request(subject, new Uint8Array(), { timeout_ms: 5_000 });
  close();
  const { headers } = await asked;
  assert.equal(headers["Nats-Service-Error"], "token-missing");
  const late = spine.request(subject, new Uint8Array(), { timeout_ms: 5_000 });
  await assert.rejects(late, { reason: "brain-unavailable" }, "another Shield answers from now on");
});
