/**
 * Schemas live on a running bus: registered and mapped through the admin API, enforced by WebSocket
 * in both subprotocols and by POST, in each mode, changed while it runs.
 */
import assert from "node:assert/strict";
import { encodePub, encodeSub, writeEnvelope } from "@arqon/proto";
import type { EnvelopeInput } from "@arqon/proto";
import {
  BAD_PING,
  DEEP_BAD_PING,
  GOOD_PING,
  incompatiblePing,
  ping,
  pong,
  UNKNOWN_PING,
} from "../shield/schema/testing/schemas.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openBinary, openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";
import { schemaAdmin } from "./peers/schema_admin.ts";
import type { SchemaAdmin } from "./peers/schema_admin.ts";
import { logged } from "./harness/server_state.ts";

const PROTOBUF = "application/protobuf";
const MESSAGE = "t.Ping";

/** A bus, its admin, and a tenant that no other step uses. */
interface Stage {
  readonly bus: TestBus;
  readonly admin: SchemaAdmin;
  readonly tenant: string;
}

async function map(
  { admin, tenant }: Stage,
  schema_id: string,
  more: Record<string, unknown> = {},
): Promise<void> {
  const subject = `in.t.${tenant}.r.pings-*`;
  const mapped = await admin.map(tenant, { subject, schema_id, message: MESSAGE, ...more });
  assert.equal(mapped.status, 200, JSON.stringify(mapped.body));
  assert.deepEqual(mapped.body["here"], { in_force: true });
}

/** Publishes by the binary subprotocol; resolves with the ACK. */
async function publish(client: RawClient, data: Uint8Array, more: EnvelopeInput["event"] = {}) {
  const event = { type: "ping", data, content_type: PROTOBUF, ...more };
  client.send(encodePub(writeEnvelope({ room_id: "pings-1", request_id: 5, event })));
  const frame = await client.frame();
  assert(frame.kind === "ack", frame.kind);
  const { code, reason, message } = frame.ack;
  return { code, reason, message };
}

/** Publishes by POST in the Protobuf form; resolves with status and problem. */
async function post({ bus, tenant }: Stage, data: Uint8Array) {
  const event = { type: "ping", data, content_type: PROTOBUF };
  const response = await fetch(`${bus.http_url}/v1/rooms/pings-1/messages`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${await bus.tokenFor({ tenant })}`,
      "content-type": PROTOBUF,
    },
    body: new Uint8Array(writeEnvelope({ event })),
  });
  const type = response.headers.get("content-type");
  const problem = type === "application/problem+json" ? await response.json() : {};
  if (!response.bodyUsed) await response.body?.cancel();
  return { status: response.status, reason: problem.reason, detail: problem.detail };
}

const open = async ({ bus, tenant }: Stage) =>
  await openBinary(bus.url, await bus.tokenFor({ tenant }));

async function enforced(stage: Stage): Promise<void> {
  const { bus, admin, tenant } = stage;
  const pushed = await admin.push("ping", ping());
  assert.equal(pushed.status, 200, JSON.stringify(pushed.body));
  assert.equal(pushed.body["version"], 1);
  using client = await open(stage);
  assert.equal((await publish(client, BAD_PING)).code, 0, "nothing is mapped yet");
  await map(stage, "ping");
  client.send(encodeSub({ room_id: "pings-1", request_id: 1 }));
  await client.frame();
  assert.deepEqual(await publish(client, BAD_PING), {
    code: 400,
    reason: "schema-violation",
    message: "Schema violation: n: required",
  });
  const deep = await publish(client, DEEP_BAD_PING);
  assert.equal(deep.message, "Schema violation: inner[1].id: required");
  const refused = await post(stage, BAD_PING);
  assert.deepEqual(refused, {
    status: 400,
    reason: "schema-violation",
    detail: "Schema violation: n: required",
  });
  assert.equal((await post(stage, GOOD_PING)).status, 200);
  const heard = await client.frame();
  assert(heard.kind === "msg", "the first that anybody hears is the good one");
  assert.deepEqual(heard.envelope.event?.data, GOOD_PING);
  const line = `level=warn component=registry error="n: required" tenant_id=${tenant} `;
  await logged(bus, new RegExp(line));
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /shield_schema_violation_total\{schema="ping",rule="required"\} 3/);
  assert.match(
    metrics,
    new RegExp(`shield_schema_violation_tenant_total\\{tenant="${tenant}"\\} 3`),
  );
  assert.match(metrics, /shield_schema_cache_age_seconds\{schema="ping"\} \d/);
}

async function byText(stage: Stage): Promise<void> {
  const { bus, admin, tenant } = stage;
  await admin.push("ping", ping());
  await map(stage, "ping");
  using client = await openText(bus.url, await bus.tokenFor({ tenant }));
  const send = async (more: object) => {
    client.send({ op: "pub", room: "pings-1", type: "ping", id: 4, ...more });
    return await client.json();
  };
  assert.equal((await send({ data: { n: 7 } })).code, 0, "JSON is checked as ProtoJSON");
  const base64 = GOOD_PING.toBase64();
  assert.equal((await send({ data: { base64 }, content_type: PROTOBUF })).code, 0);
  const cases: [more: object, text: RegExp][] = [
    [{ data: { text: "hi" } }, /^Schema violation: n: required$/],
    [{ data: { n: 7 }, schema_id: "other" }, /schema-id: the event names "other".* ping$/],
  ];
  for (const [more, text] of cases) {
    const answer = await send(more);
    assert.equal(answer.reason, "schema-violation", JSON.stringify(more));
    assert.equal(answer.code, 400);
    assert.match(answer.message, text);
  }
  assert.equal((await send({ data: { n: 7 }, schema_id: "ping" })).code, 0);
  client.send({ op: "pub", room: "pings-1", type: "ping", data: {} });
  const error = await client.json();
  assert.deepEqual([error.op, error.code, error.reason], ["err", 400, "schema-violation"]);
}

async function changed(stage: Stage): Promise<void> {
  const { admin, tenant } = stage;
  await admin.push("grows", ping());
  await map(stage, "grows", { unknown_fields: "refuse" });
  using client = await open(stage);
  assert.equal((await publish(client, UNKNOWN_PING)).reason, "schema-violation");
  const second = await admin.push("grows", ping(["extra", 99, "int32"]));
  assert.equal(second.status, 200, JSON.stringify(second.body));
  assert.equal(second.body["version"], 2);
  assert.equal((await publish(client, UNKNOWN_PING)).code, 0, "no restart, no reconnect");
  const refused = await admin.push("grows", incompatiblePing());
  assert.equal(refused.status, 409);
  assert.equal(refused.body["reason"], "schema-incompatible");
  const other = await admin.push("grows", pong(), "?compatibility=NONE");
  assert.equal(other.status, 200, "NONE compares nothing");
  assert.equal((await publish(client, GOOD_PING)).code, 0, "the version before stays");
  await logged(stage.bus, /error="version 3: the schema has no message .*t\.Ping/);
  const removed = await admin.unmap(tenant, `in.t.${tenant}.r.pings-*`);
  assert.equal(removed.status, 200);
  assert.equal((await publish(client, BAD_PING)).code, 0, "nothing is mapped any more");
}

async function unmappable(stage: Stage): Promise<void> {
  const { admin, tenant } = stage;
  await admin.push("ping", ping());
  const subject = `in.t.${tenant}.r.x`;
  const good = { subject, schema_id: "ping", message: MESSAGE };
  const cases: [mapping: object, status: number, reason: string][] = [
    [{ ...good, schema_id: "nobody" }, 404, "schema-unknown"],
    [{ ...good, message: "t.Nobody" }, 400, "invalid-settings"],
    [{ ...good, subject: "in.t.somebody.r.x" }, 400, "invalid-settings"],
    [{ ...good, subject: "in.t.*.r.x" }, 400, "invalid-settings"],
    [{ ...good, mode: "sometimes" }, 400, "invalid-settings"],
    [{ ...good, schema_id: "a b" }, 400, "invalid-settings"],
    [{ mappings: [good, good] }, 400, "invalid-settings"],
  ];
  for (const [mapping, status, reason] of cases) {
    const answer = await admin.map(tenant, mapping);
    const got = [answer.status, answer.body["reason"]];
    assert.deepEqual(got, [status, reason], JSON.stringify([mapping, answer.body]));
  }
  const { body } = await admin.get(`tenants/${tenant}/mappings`);
  assert.deepEqual(body["mappings"], []);
}

Deno.test("schemas on a running bus", async (t) => {
  await using bus = await startLocalBus();
  const admin = await schemaAdmin(bus);
  const step = (name: string, tenant: string, run: (stage: Stage) => Promise<void>) =>
    t.step(name, () => run({ bus, admin, tenant }));
  await step(
    "an invalid structure is a negative ACK and HTTP 400 with the path",
    "forced",
    enforced,
  );
  await step("the text form is checked by the ProtoJSON mapping", "texts", byText);
  await step(
    "a new version is in force without a restart, an unusable one is not",
    "grows",
    changed,
  );
  await step("a mapping to what is not there is refused", "mapless", unmappable);
});

Deno.test("with the registry switched off nothing is checked and its admin paths are not there", async () => {
  await using bus = await startLocalBus(`
[server]
drain_ms = 0
[platform.registry]
enabled = false
[[platform.registry.mappings]]
subject = "in.t.*.r.pings-*"
schema_id = "ping"
message = "t.Ping"
`);
  const admin = await schemaAdmin(bus);
  using client = await open({ bus, admin, tenant: "acme" });
  assert.equal((await publish(client, BAD_PING)).code, 0);
  assert.equal((await admin.get("schemas")).status, 404);
  await logged(bus, /part=registry msg="disabled by the configuration: skipped"/);
});
