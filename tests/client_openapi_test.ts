/**
 * The description of the client listener's HTTP API is valid OpenAPI, has every route and no other, and matches the
 * answers of a real Shield.
 */
import assert from "node:assert/strict";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import { configFrom } from "../shared/config/load.ts";
import { createMetrics } from "../shared/metrics/metrics.ts";
import { seen } from "../shared/testing/until.ts";
import { batchRoute } from "../shield/batch/batch.ts";
import { startClientApi } from "../shield/client_context.ts";
import { createHttpHistory, HISTORY } from "../shield/durable/http/http_history.ts";
import { growingRoute } from "../shield/growing/http/route.ts";
import { PROOF_ROUTES, proofRoutes } from "../shield/proof/http.ts";
import { PRESENCE } from "../shield/presence/capability.ts";
import { eventRoutes } from "../shield/sse/http/events.ts";
import { ticketRoute } from "../shield/sse/http/tickets.ts";
import { sessionRoutes } from "../shield/sse/http/sessions.ts";
import { streamRoutes } from "../shield/streams/routes.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openText } from "./peers/raw_client.ts";

interface Operation {
  operationId: string;
  parameters?: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<string, { content?: Record<string, { schema: object }> }>;
}

interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object> };
}

const CONFIG = `
[[rooms]]
room = "kept"
durable = true
history_size = 100
`;

/** An accepted call of each operation, in an order in which all are accepted; then a refused one. */
const CALLS: readonly (readonly [id: string, path: string, body: unknown, bad: string])[] = [
  ["publish", "rooms/kept/messages", { type: "t", data: 1 }, "rooms/a.b/messages"],
  ["history", "rooms/kept/messages?limit=1", undefined, "rooms/kept/messages?limit=0"],
  ["roomEvents", "rooms/kept/events?after_offset=0", undefined, "rooms/kept/events?x=1"],
  ["ticket", "tickets", { rooms: ["kept"] }, "tickets?x=1"],
  ["events", "events?room=kept&room=a", undefined, "events"],
  [
    "publishMany",
    "messages",
    { messages: [{ room: "kept" }, { room: "a", tenant_id: "x" }] },
    "messages?x=1",
  ],
  ["publishMany", "messages", { rooms: ["a", "kept"], data: 1 }, "messages?x=1"],
  ["setKey", "rooms/r/state/k", { value: { a: [1] } }, "rooms/a.b/state/k"],
  ["getKey", "rooms/r/state/k?events_after=0", undefined, "rooms/r/state/k?x=1"],
  ["lock", "rooms/r/lock", { holder_id: "w", ttl_ms: 600_000 }, "rooms/a.b/lock"],
  ["getState", "rooms/r/state?events_after=0", undefined, "rooms/r/state?x=1"],
  ["lock", "rooms/r/lock", { holder_id: "w" }, "rooms/a.b/lock"],
  ["deleteKey", "rooms/r/state/k?holder_id=w", undefined, "rooms/r/state/k"],
  ["unlock", "rooms/r/lock?holder_id=w", undefined, "rooms/r/lock"],
  ["listMembers", "rooms/here/presence", undefined, "rooms/here/presence?after=x"],
  ["countMembers", "rooms/here/presence/count", undefined, "rooms/here/presence/count?x=1"],
  ["kick", "rooms/r/kick", { user_id: "zoe" }, "rooms/a.b/kick"],
  ["banFromRoom", "rooms/r/bans", { user_id: "zoe", ttl_ms: 600_000 }, "rooms/a.b/bans"],
  ["ban", "bans", { user_id: "eve", reason: "spam" }, "bans?x=1"],
  ["listRoomBans", "rooms/r/bans?limit=1", undefined, "rooms/r/bans?scope=x"],
  ["listBans", "bans", undefined, "bans?limit=x"],
  ["unbanFromRoom", "rooms/r/bans/zoe", undefined, "rooms/r/bans/zoe?x=1"],
  ["unban", "bans/eve", undefined, "bans/eve?x=1"],
  ["command", "rooms/r/commands", { name: "room.get", data: { key: "k" } }, "rooms/a.b/commands"],
  ["connect", "connections", undefined, ""],
  ["authCheck", "auth/check", undefined, ""],
  ["openapi", "openapi.json", undefined, ""],
];

/** Operations whose bodies are bytes or parts of a stream; their answers have their own tests. */
const BYTES = new Set([
  "createStream",
  "appendToStream",
  "readStream",
  "deleteStream",
  "frames",
  "poll",
  "grow",
  ...PROOF_ROUTES.map(({ about }) => about.id),
]);

async function documentOf(bus: TestBus): Promise<Document> {
  const response = await fetch(`${bus.http_url}/v1/openapi.json`);
  assert.equal(response.status, 200, "it needs no token");
  return await response.json();
}

function operationsOf({ paths }: Document) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => (
      { path, method: method.toUpperCase(), operation }
    ))
  );
}

Deno.test("the client API: the description is valid, and has every route and no other", async () => {
  await using bus = await startLocalBus(CONFIG);
  const document = await documentOf(bus);
  assert.deepEqual(await new Validator().validate({ ...document }), { valid: true });
  const operations = operationsOf(document);
  const ids = operations.map(({ operation }) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length);
  for (const { path, operation } of operations) {
    const named = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
    const described = (operation.parameters ?? []).filter((one) => one.in === "path");
    assert.deepEqual(described.map(({ name }) => name), named, path);
  }
  // The table only lists itself, which needs nothing of the process.
  const config = configFrom({});
  const registry = createMetrics({ node_id: "n", version: "0" });
  const options = { config, registry, log: undefined, now: Date.now };
  const parts = { operations: { context: {} } };
  const streams = [
    { ...HISTORY, answer: createHttpHistory({} as never) },
    ...[...eventRoutes({} as never), ...sessionRoutes({} as never)],
    ...[...streamRoutes({} as never), growingRoute({} as never)],
    ...[...proofRoutes({} as never), ticketRoute({} as never), batchRoute({} as never)],
  ];
  const table = startClientApi(
    options as never,
    parts as never,
    streams,
    PRESENCE.client?.commands,
  );
  const own = ["GET /v1/auth/check", "GET /v1/openapi.json"];
  assert.deepEqual(
    operations.map(({ method, path }) => `${method} ${path}`).toSorted(),
    [...table.list(), ...own].toSorted(),
  );
});

/** Checks one answer against the description of its status. */
async function conforms(
  ajv: Ajv2020,
  operation: Operation,
  response: Response,
): Promise<void> {
  const type = (response.headers.get("content-type") ?? "").split(";")[0]!;
  // A stream has no end.
  const is_stream = type === "text/event-stream";
  const text = is_stream ? "" : await response.text();
  if (is_stream) await response.body?.cancel();
  const what = `${operation.operationId}: ${response.status} ${text.slice(0, 200)}`;
  const described = operation.responses[response.status];
  assert.ok(described !== undefined, `${what} is not described`);
  const content = described.content?.[type];
  assert.ok(content !== undefined, `${what} with ${type}`);
  if (is_stream) return;
  const isRight = ajv.compile({ ...content.schema, $defs: {} });
  assert.ok(isRight(JSON.parse(text)), `${what}: ${JSON.stringify(isRight.errors)}`);
}

Deno.test("the client API: every operation answers as documented", async () => {
  await using bus = await startLocalBus(CONFIG);
  using member = await openText(bus.url, await bus.tokenFor({ user: "zoe" }));
  await ask(member, { op: "sub", room: "here", presence: true, member_meta: { a: 1 } });
  const token = await bus.tokenFor({ user: "mod", role: "service" });
  const peer = new HttpPeer(bus.http_url, token);
  const count = () => peer.done("GET", "rooms/here/presence/count");
  await seen("somebody is here", count, ({ connections }) => connections > 0);
  const document = await documentOf(bus);
  const text = JSON.stringify(document).replaceAll("#/components/schemas/", "api#/$defs/");
  const resolved: Document = JSON.parse(text);
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema({ $id: "api", $defs: resolved.components.schemas });
  const operations = operationsOf(resolved);
  assert.deepEqual(
    new Set(CALLS.map(([id]) => id)),
    new Set(
      operations.map(({ operation }) => operation.operationId).filter((id) => !BYTES.has(id)),
    ),
  );
  for (const [id, path, body, bad] of CALLS) {
    const found = operations.find(({ operation }) => operation.operationId === id);
    assert.ok(found !== undefined);
    const { method, operation } = found;
    const call = (to: string, authorization = `Bearer ${token}`) =>
      fetch(`${bus.http_url}/v1/${to}`, {
        method,
        headers: { authorization, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    if (body !== undefined) {
      const schema = operation.requestBody?.content["application/json"]?.schema;
      assert.ok(schema !== undefined, id);
      const isRight = ajv.compile({ ...schema, $defs: {} });
      assert.ok(isRight(body), `${id}: ${JSON.stringify(isRight.errors)}`);
    }
    const good = await call(path);
    assert.equal(good.status, 200, id);
    await conforms(ajv, operation, good);
    if (bad === "") continue;
    const refused = await call(bad);
    assert.ok(refused.status >= 400, id);
    await conforms(ajv, operation, refused);
    await conforms(ajv, operation, await call(path, "Bearer x.y.z"));
  }
});
