/**
 * The description of the client listener's HTTP API is valid OpenAPI, has every route and no other, and matches the
 * answers of a real Shield.
 */
import assert from "node:assert/strict";
import { configFrom } from "../shared/config/load.ts";
import { createMetrics } from "../shared/metrics/metrics.ts";
import { seen } from "../shared/testing/until.ts";
import { batchRoute } from "../shield/batch/capability.ts";
import { startClientApi } from "../shield/client_context.ts";
import { createHttpHistory, HISTORY } from "../shield/durable/capability.ts";
import { growingRoute } from "../shield/growing/http/route.ts";
import { PROOF_ROUTES, proofRoutes } from "../shield/proof/http.ts";
import { PRESENCE } from "../shield/presence/capability.ts";
import { ROOMS } from "../shield/rooms/capability.ts";
import { eventRoutes } from "../shield/sse/http/events.ts";
import { ticketRoute } from "../shield/sse/http/tickets.ts";
import { sessionRoutes } from "../shield/sse/http/sessions.ts";
import { streamRoutes } from "../shield/streams/routes.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { describedBy } from "./peers/openapi.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = durableRooms("kept", "history_size = 100");

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

Deno.test("the client API: the description is valid, and has every route and no other", async () => {
  await using bus = await startLocalBus(CONFIG);
  const { operations } = await describedBy(bus.http_url);
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
    [ROOMS, PRESENCE].flatMap(({ client }) => client?.commands ?? []),
  );
  const own = ["GET /v1/auth/check", "GET /v1/openapi.json"];
  assert.deepEqual(
    operations.map(({ route }) => route).toSorted(),
    [...table.list(), ...own].toSorted(),
  );
});

Deno.test("the client API: every operation answers as documented", async () => {
  await using bus = await startLocalBus(CONFIG);
  using member = await openText(bus.url, await bus.tokenFor({ user: "zoe" }));
  await ask(member, { op: "sub", room: "here", presence: true, member_meta: { a: 1 } });
  const token = await bus.tokenFor({ user: "mod", role: "service" });
  const peer = new HttpPeer(bus.http_url, token);
  const count = () => peer.done("GET", "rooms/here/presence/count");
  await seen("somebody is here", count, ({ connections }) => connections > 0);
  const { operations, fits, conforms } = await describedBy(bus.http_url);
  assert.deepEqual(
    new Set(CALLS.map(([id]) => id)),
    new Set(operations.map(({ operationId }) => operationId).filter((id) => !BYTES.has(id))),
  );
  for (const [id, path, body, bad] of CALLS) {
    const operation = operations.find(({ operationId }) => operationId === id)!;
    const { method } = operation;
    const call = (to: string, authorization = `Bearer ${token}`) =>
      fetch(`${bus.http_url}/v1/${to}`, {
        method,
        headers: { authorization, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    if (body !== undefined) {
      const schema = operation.requestBody?.content["application/json"]?.schema;
      assert.ok(schema !== undefined, id);
      fits(schema, body, id);
    }
    const good = await call(path);
    assert.equal(good.status, 200, id);
    await conforms(operation, good);
    if (bad === "") continue;
    const refused = await call(bad);
    assert.ok(refused.status >= 400, id);
    await conforms(operation, refused);
    await conforms(operation, await call(path, "Bearer x.y.z"));
  }
});
