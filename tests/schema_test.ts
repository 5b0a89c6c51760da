/**
 * Schemas on a running bus: registered and mapped through the admin API, enforced for WebSocket and POST.
 * `shield/schema/gate_test.ts` has other forms and modes, `tests/model/faults_calm_test.ts` changing versions.
 */
import assert from "node:assert/strict";
import { encodePub, encodeSub, type EnvelopeInput, writeEnvelope } from "@arqon/proto";
import { BAD_PING, DEEP_BAD_PING, GOOD_PING, ping } from "../shield/schema/testing/schemas.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { send } from "./peers/own_connections.ts";
import { openBinary, type RawClient } from "./peers/raw_client.ts";
import { type SchemaAdmin, schemaAdmin } from "./peers/schema_admin.ts";
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

/** Publishes through the binary subprotocol; resolves with the ACK. */
async function publish(client: RawClient, data: Uint8Array, more: EnvelopeInput["event"] = {}) {
  const event = { type: "ping", data, content_type: PROTOBUF, ...more };
  client.send(encodePub(writeEnvelope({ room_id: "pings-1", request_id: 5, event })));
  const frame = await client.frame();
  assert(frame.kind === "ack", frame.kind);
  const { code, reason, message } = frame.ack;
  return { code, reason, message };
}

/** Publishes through POST in the Protobuf form; resolves with status and problem. */
async function post({ bus, tenant }: Stage, data: Uint8Array) {
  const event = { type: "ping", data, content_type: PROTOBUF };
  const path = `${bus.http_url}/v1/rooms/pings-1/messages`;
  const [token, body] = [await bus.tokenFor({ tenant }), writeEnvelope({ event })];
  const response = await send(path, token, "POST", body, { "content-type": PROTOBUF });
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
  const received = await client.frame();
  assert(received.kind === "msg", "the first that anybody hears is the good one");
  assert.deepEqual(received.envelope.event?.data, GOOD_PING);
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
