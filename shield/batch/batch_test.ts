/** A batch whose sender's token ends meanwhile. `tests/http_test.ts` has whole requests. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { ann } from "../auth/testing/identity.ts";
import type { ClientCall } from "../http/route.ts";
import { NO_POLICIES } from "../message/gates.ts";
import { plainPath } from "../message/testing/path.ts";
import { createStats } from "../stats/stats.ts";
import { TenantTable } from "../stats/tenant_stats.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { type BatchContext, batchRoute } from "./capability.ts";

Deno.test("a token that is revoked while a batch is judged publishes none of the rest", async () => {
  await using engine = testSpine();
  let judged = 0;
  const overseer = { ...NO_POLICIES, onMessage: () => void judged++ };
  const context = {
    path: plainPath(engine.spine, { overseer }),
    now: () => 0,
    requireNotRevoked() {
      if (judged === 2) throw new ArqonError("token-revoked");
    },
    limits: configFrom({}).limits,
    query_token: false,
    log: keptLog().log,
    stats: createStats(),
    tenants: new TenantTable(),
    rates: { take: () => {} },
    flushes: { confirmed: () => Promise.resolve() },
  } as unknown as BatchContext;
  const url = new URL("http://127.0.0.1/v1/messages");
  const messages = Array.from({ length: 4 }, () => ({ room: "lobby", type: "t" }));
  const request = new Request(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages }),
  });
  const client = { identity: ann, remote_ip: "127.0.0.1" };
  const body = () => request.bytes();
  const call = { request, client, url, names: {}, body } as unknown as ClientCall;
  const { results } = await (await batchRoute(context).answer(call)).json();
  const reasons = results.map(({ reason = "" }) => reason);
  assert.deepEqual(reasons, ["", "", "token-revoked", "token-revoked"]);
});
