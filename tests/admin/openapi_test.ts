/**
 * The description of the admin API is a valid OpenAPI document, and matches a real Shield: every described path
 * answers, and every path that answers is described.
 */
import assert from "node:assert/strict";
import { listedRoutes } from "../../shield/description/admin_api.ts";
import { SHIELD_CAPABILITIES } from "../../shield/capabilities.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { describedBy, type Operation } from "../peers/openapi.ts";
import { ask, openText } from "../peers/raw_client.ts";

const NAMES = {
  tenant: "default",
  room: "lobby",
  connection: "c-none",
  policy: "none",
  schema: "none",
};
const SUBJECTS = { subject: "in.t.default.r.lobby", prefix: "in.t.default.r.lobby" };
const VALUES = new Map(
  Object.entries({ ...NAMES, ...SUBJECTS, version: "latest", kind: "issued-before" }),
);

function urlOf(path: string, { parameters = [] }: Operation): string {
  const query = new URLSearchParams();
  let filled = path;
  for (const { name, in: where, required } of parameters) {
    const value = VALUES.get(name) ?? "x";
    if (where === "path") filled = filled.replace(`{${name}}`, encodeURIComponent(value));
    else if (required) query.set(name, value);
  }
  return query.size === 0 ? filled : `${filled}?${query}`;
}

Deno.test("every route that answers is described, and nothing else is; every path answers as documented", async () => {
  await using bus = await startLocalBus();
  using client = await openText(bus.url, bus.token);
  await ask(client, { op: "sub", room: "lobby", presence: true });
  const { operations, conforms } = await describedBy(bus.admin_url);
  const routes = listedRoutes(SHIELD_CAPABILITIES);
  const listed = routes.map(({ method, template }) => `${method} ${template}`);
  const others = operations.map(({ route }) => route).filter((one) => !/openapi\.json$/.test(one));
  assert.deepEqual(others.toSorted(), listed.toSorted());
  const authorization = `Bearer ${await bus.tokenFor({ role: "admin", user: "root" })}`;
  for (const one of operations) {
    const { method } = one;
    const url = `${bus.admin_url}${urlOf(one.path, one)}`;
    await conforms(one, await fetch(url, { method, headers: { authorization } }));
  }
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
