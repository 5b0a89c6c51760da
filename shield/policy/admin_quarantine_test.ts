/** Quarantine over the admin API: what each admin sees, and who may release a module. */
import assert from "node:assert/strict";
import { adminRequest, askJson, operator } from "../admin/routing/testing/admin.ts";
import { POLICY_ROUTES } from "./admin_api.ts";
import { startApi } from "./testing/admin_api.ts";

Deno.test("a module in quarantine is listed and reported where policies name it, and operators release it", async () => {
  await using api = await startApi();
  const sha256 = await api.upload(7);
  const named = { tenant: "acme", name: "p" };
  await api.ask("POST", "/v1/policies/deploy", { ...named, sha256 });
  const other = "f".repeat(64);
  api.quarantine.add(sha256, "wedge");
  api.quarantine.add(other, "crash");
  const entry = (one: string, why: string) => ({
    sha256: one,
    why,
    at_ms: 1_000,
    node: "shield-1",
  });
  const all = await api.ask("GET", "/v1/policies/quarantine");
  assert.deepEqual(all.body, {
    modules: [entry(sha256, "wedge"), entry(other, "crash")],
    truncated: false,
  });
  const chain = await api.ask("GET", "/v1/policies?tenant=acme");
  assert.deepEqual(chain.body.quarantined, [{ name: "p", ...entry(sha256, "wedge") }]);
  const mine = { ...operator("bob"), only_tenant: "acme" };
  const asOwn = async (method: string, path: string) => {
    const request = adminRequest(method, path);
    const { status, body } = await askJson(POLICY_ROUTES, api.context, request, mine);
    return [status, body];
  };
  const [status, own] = await asOwn("GET", "/v1/policies/quarantine");
  assert.deepEqual([status, own.modules], [200, [entry(sha256, "wedge")]]);
  const [foreign] = await asOwn("GET", "/v1/policies/quarantine?tenant=globex");
  assert.equal(foreign, 403);
  const named_one = await api.ask("GET", "/v1/policies/quarantine?tenant=acme");
  assert.deepEqual(named_one.body.modules, [entry(sha256, "wedge")]);
  const path = `/v1/policies/quarantine/${sha256}`;
  assert.equal((await asOwn("DELETE", path))[0], 403, "the module's tenant may not");
  const released = await api.ask("DELETE", path);
  assert.deepEqual([released.status, released.body], [200, { sha256, released: true }]);
  assert.equal((await api.ask("DELETE", path)).status, 404);
  assert.deepEqual((await api.ask("GET", "/v1/policies?tenant=acme")).body.quarantined, []);
  assert.ok(api.lines.some((line) => line.includes("released") && line.includes("by=ops")));
});
