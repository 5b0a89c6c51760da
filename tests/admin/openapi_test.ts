/**
 * The description of the admin API is a valid OpenAPI document, and matches a real Shield: every described path
 * answers, and every path that answers is described.
 */
import assert from "node:assert/strict";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import { listedRoutes } from "../../shield/admin/openapi.ts";
import { SHIELD_CAPABILITIES } from "../../shield/capabilities.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import type { TestBus } from "../harness/test_bus.ts";
import { openText } from "../peers/raw_client.ts";

interface Parameter {
  name: string;
  in: "path" | "query";
  required: boolean;
  schema: { enum?: string[] };
}

interface Operation {
  operationId: string;
  description?: string;
  "x-arqon-scope"?: string;
  parameters?: Parameter[];
  responses: Record<string, { content?: Record<string, { schema: object }> }>;
}

interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object> };
}

const VALUES: Readonly<Record<string, string>> = {
  tenant: "default",
  room: "lobby",
  connection: "c-none",
  policy: "none",
  schema: "none",
  version: "latest",
  subject: "in.t.default.r.lobby",
  kind: "issued-before",
  prefix: "in.t.default.r.lobby",
};
/** Content types of endless answers. */
const ENDLESS = ["text/event-stream", "application/x-ndjson"];

async function documentOf(bus: TestBus): Promise<Document> {
  const response = await fetch(`${bus.admin_url}/v1/openapi.json`);
  assert.equal(response.status, 200, "it needs no token");
  return await response.json();
}

function operationsOf({ paths }: Document) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation }))
  );
}

function urlOf(path: string, { parameters = [] }: Operation): string {
  const query = new URLSearchParams();
  let filled = path;
  for (const { name, in: where, required } of parameters) {
    const value = VALUES[name] ?? "x";
    if (where === "path") filled = filled.replace(`{${name}}`, encodeURIComponent(value));
    else if (required) query.set(name, value);
  }
  return query.size === 0 ? filled : `${filled}?${query}`;
}

Deno.test("the description is valid OpenAPI 3.1, and its names are used once", async () => {
  await using bus = await startLocalBus();
  const document = await documentOf(bus);
  const result = await new Validator().validate({ ...document });
  assert.deepEqual(result, { valid: true });
  const ids = operationsOf(document).map(({ operation }) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length);
  for (const { path, operation } of operationsOf(document)) {
    const named = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
    const described = (operation.parameters ?? []).filter((one) => one.in === "path");
    assert.deepEqual(described.map(({ name }) => name), named, path);
  }
});

Deno.test("every route that answers is described, and nothing else is", async () => {
  await using bus = await startLocalBus();
  const operations = operationsOf(await documentOf(bus));
  const described = operations.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  const listed = listedRoutes(SHIELD_CAPABILITIES).map(({ method, template }) =>
    `${method} ${template}`
  );
  const others = described.filter((one) => one !== "GET /v1/openapi.json");
  assert.deepEqual(others.toSorted(), listed.toSorted());
});

Deno.test("each path documents whether it requires an operator of the whole bus, as in its table", async () => {
  await using bus = await startLocalBus();
  const operations = new Map(
    operationsOf(await documentOf(bus)).map(({ method, path, operation }) => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  );
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

async function check(
  bus: TestBus,
  ajv: Ajv2020,
  { path, method, operation }: ReturnType<typeof operationsOf>[number],
): Promise<void> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const response = await fetch(`${bus.admin_url}${urlOf(path, operation)}`, {
    method: method.toUpperCase(),
    headers: { authorization: `Bearer ${token}` },
  });
  const what = `${method} ${path}: ${response.status}`;
  const described = operation.responses[response.status];
  assert.ok(described !== undefined, `${what} is not described`);
  const type = (response.headers.get("content-type") ?? "").split(";")[0]!;
  if (described.content === undefined || ENDLESS.includes(type)) return response.body?.cancel();
  const content = described.content[type];
  assert.ok(content !== undefined, `${what} with ${type}`);
  const value = await response.json();
  const isRight = ajv.compile({ ...content.schema, $defs: {} });
  assert.ok(isRight(value), `${what}: ${JSON.stringify(isRight.errors)}`);
}

Deno.test("every path answers as documented", async () => {
  await using bus = await startLocalBus();
  using client = await openText(bus.url, bus.token);
  client.send({ op: "sub", room: "lobby", id: 1, presence: true });
  assert.equal((await client.json()).code, 0);
  const document = await documentOf(bus);
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  // As the references write them.
  const text = JSON.stringify(document).replaceAll("#/components/schemas/", "api#/$defs/");
  const resolved: Document = JSON.parse(text);
  ajv.addSchema({ $id: "api", $defs: resolved.components.schemas });
  for (const one of operationsOf(resolved)) await check(bus, ajv, one);
});
