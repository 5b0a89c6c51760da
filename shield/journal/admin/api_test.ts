/** The journal's admin API as requests and answers, over the embedded Spine. */
import assert from "node:assert/strict";
import { configFrom } from "../../../shared/config/load.ts";
import { askPart, operator, tenantAdmin } from "../../admin/routing/testing/admin.ts";
import type { Admin } from "../../admin/routing/admin_scope.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";
import { JournalPlace } from "../place.ts";
import { JOURNAL_ROUTES } from "./api.ts";

function api() {
  const engine = testSpine();
  const { log, lines } = keptLog();
  const { spine } = engine;
  const place = new JournalPlace({ config: configFrom({}), spine, log, now: () => SPINE_NOW_MS });
  const context = { place, log, node_id: "s1" };
  return {
    ...{ place, lines },
    send(method: string, path: string, body?: unknown, as: Admin = operator()) {
      const init = body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
      const request = new Request(`http://admin/v1/journal${path}`, { method, ...init });
      return askPart(JOURNAL_ROUTES, context, request, as);
    },
    async [Symbol.asyncDispose]() {
      await place.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}

Deno.test("a user is erased by who may, and is written with another key after that", async () => {
  await using test = api();
  const keys = await test.place.keys();
  const [before] = await keys.forWriting("acme", ["ann"]);
  const own = tenantAdmin("globex");
  const foreign = await test.send("POST", "/erase", { tenant: "acme", user: "ann" }, own);
  assert.equal(foreign.status, 403);
  assert.deepEqual(await keys.forReading("acme", [before!.id]), [before!.key]);
  const erased = await test.send("POST", "/erase", { tenant: "acme", user: "ann" });
  assert.deepEqual(await erased.json(), { node_id: "s1", tenant: "acme", erased: true });
  assert.deepEqual(await keys.forReading("acme", [before!.id]), [undefined]);
  const [after] = await keys.forWriting("acme", ["ann"]);
  assert.notEqual(after!.id.toHex(), before!.id.toHex());
  const nobody = await test.send("POST", "/erase", { tenant: "acme", user: "bob" });
  assert.equal((await nobody.json()).erased, false);
  const refused = await test.send("POST", "/erase", { tenant: "acme" });
  assert.deepEqual([refused.status, (await refused.json()).reason], [400, "invalid-settings"]);
  assert.doesNotMatch(test.lines.join(""), /ann/, "who it was stands in the audit log alone");
});

Deno.test("a journal's status says how much there is, and from when, of one's own tenant", async () => {
  await using test = api();
  const nothing = { blocks: 0, bytes: 0, first_ms: null, last_ms: null };
  const empty = await (await test.send("GET", "/status?tenant=acme")).json();
  assert.deepEqual(empty, { node_id: "s1", tenant: "acme", ...nothing });
  const block = { node_id: "s1", ttl_seconds: 60, max_bytes: 65_536, payload: new Uint8Array(100) };
  await (await test.place.store()).append({ tenant_id: "acme", ...block });
  const full = await (await test.send("GET", "/status?tenant=acme", undefined, tenantAdmin("acme")))
    .json();
  assert.deepEqual([full.blocks, full.first_ms], [1, SPINE_NOW_MS]);
  assert.ok(full.bytes > 100, String(full.bytes));
  const own = tenantAdmin("globex");
  const foreign = await test.send("GET", "/status?tenant=acme", undefined, own);
  assert.deepEqual([foreign.status, (await foreign.json()).reason], [403, "tenant-mismatch"]);
  const unnamed = await test.send("GET", "/status");
  assert.deepEqual([unnamed.status, (await unnamed.json()).reason], [400, "invalid-settings"]);
});
