/**
 * The description of the admin API is a valid OpenAPI document, and matches a real Shield: every path that answers is
 * described, and answers as described, to an admin of any tenant, since this bus has no `operator_tenants`.
 */
import assert from "node:assert/strict";
import { listedRoutes } from "../../shield/description/admin_api.ts";
import { SHIELD_CAPABILITIES } from "../../shield/capabilities.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { describedBy } from "../peers/openapi.ts";
import { adminRequests, sendRequest, withoutUnknown } from "./admin_requests.ts";

const DURABLE = '[[rooms]]\nroom = "logged-*"\ndurable = true\n[usage]\nenabled = true\n';

Deno.test("every route is described, and nothing else; on the development bus any admin gets the documented answers", async () => {
  await using bus = await startLocalBus(DURABLE);
  const { operations, conforms } = await describedBy(bus.admin_url);
  const listed = listedRoutes(SHIELD_CAPABILITIES).map((one) => `${one.method} ${one.template}`);
  const described = new Map(operations.map((one) => [one.route, one]));
  const others = [...described.keys()].filter((one) => !/openapi\.json$/.test(one));
  assert.deepEqual(others.toSorted(), listed.toSorted());
  const token = await bus.tokenFor({ role: "admin", tenant: "acme" });
  for (const request of await adminRequests()) {
    const { method, template, status } = request;
    const about = withoutUnknown(request, request.about("globex"));
    const answer = await sendRequest(bus.admin_url, token, method, about);
    assert.equal(answer.status, status, `${method} ${about.path}`);
    await conforms(described.get(`${method} ${template}`)!, answer);
  }
  assert.equal((await new AdminClient(bus.admin_url, token).read("/v1/access")).operator, true);
});

Deno.test("each path documents whether it requires an operator of the whole bus, as in its table", async () => {
  await using bus = await startLocalBus();
  const described = await describedBy(bus.admin_url);
  const operations = new Map(described.operations.map((one) => [one.route, one]));
  for (const { method, template, scope } of listedRoutes(SHIELD_CAPABILITIES)) {
    const operation = operations.get(`${method} ${template}`);
    assert.equal(operation?.["x-arqon-scope"], scope, `${method} ${template}`);
    assert.equal(/^Bus-wide/.test(operation?.description ?? ""), scope === "bus");
  }
  const scopeOf = (name: string) => operations.get(name)?.["x-arqon-scope"];
  const bus_wide = ["GET /v1/cluster", "POST /v1/drain", "PUT /v1/log", "PUT /v1/schemas/{schema}"];
  for (const name of [...bus_wide, "GET /v1/status", "GET /v1/limits", "GET /v1/log"]) {
    assert.equal(scopeOf(name), "bus", name);
  }
  assert.equal(scopeOf("PUT /v1/tenants/{tenant}/rooms"), "tenant-in-path");
  assert.equal(scopeOf("GET /v1/openapi.json"), undefined, "it needs no token");
});
