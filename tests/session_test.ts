/**
 * The life of a connection: token expiry, REFRESH, grants that shrink, heartbeat, drain; and
 * signed messages, whose key comes with the token.
 */
import assert from "node:assert/strict";
import { exportJWK, generateKeyPair } from "@panva/jose";
import { encodePub, signingInput, writeEnvelope } from "@arqon/proto";
import type { EnvelopeInput } from "@arqon/proto";
import { scanEnvelope } from "@arqon/proto";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openBinary, openText } from "./peers/raw_client.ts";
import { sendUpgrade } from "./peers/raw_upgrade.ts";

async function refusedRefresh(bus: TestBus): Promise<void> {
  const token = await bus.tokenFor({ user: "ann" });
  const cases: [string, string, string][] = [
    [await bus.tokenFor({ user: "bob" }), "refresh-mismatch", "another user"],
    [await bus.tokenFor({ user: "ann", tenant: "other" }), "refresh-mismatch", "another tenant"],
    [await bus.tokenFor({ user: "ann", ttl_seconds: -600 }), "refresh-refused", "token-expired"],
    [`${token}x`, "refresh-refused", "token-signature"],
  ];
  for (const [next, reason, name] of cases) {
    const client = await openText(bus.url, token);
    client.send({ op: "refresh", token: next, id: 1 });
    const answer = await client.json();
    assert.equal(answer.reason, reason, name);
    assert.equal(answer.code, 401);
    if (reason === "refresh-refused") assert.deepEqual(answer.result, { reason: name });
    assert.equal((await client.closed()).code, 4401);
  }
}

async function shrinks(bus: TestBus): Promise<void> {
  const grants = (room: string) => ({ grants: [{ room, actions: ["subscribe", "publish"] }] });
  const client = await openText(bus.url, await bus.tokenFor({ claims: grants("*") }));
  for (const [index, room] of ["keep", "lose"].entries()) {
    client.send({ op: "sub", room, id: index + 1 });
    await client.json();
  }
  client.send({ op: "refresh", token: await bus.tokenFor({ claims: grants("keep") }), id: 3 });
  const error = await client.json();
  assert.equal(error.reason, "not-granted");
  assert.match(error.message, /lose/);
  assert.equal((await client.json()).code, 0);
  const other = await openText(bus.url, await bus.tokenFor());
  other.send({ op: "pub", room: "lose", type: "hidden" });
  other.send({ op: "pub", room: "keep", type: "seen" });
  assert.equal((await client.json()).type, "seen");
  client[Symbol.dispose]();
  other[Symbol.dispose]();
}

async function sign(key: CryptoKey, envelope: EnvelopeInput): Promise<Uint8Array> {
  const scan = scanEnvelope(writeEnvelope(envelope), {
    headers: 10,
    header_bytes: 100,
    field_bytes: 100,
  });
  const payload = scan.bytes.subarray(scan.payload.field_start, scan.payload.field_end);
  const input = signingInput("default", scan.room_id, scan.message_id, payload);
  const signature = await crypto.subtle.sign("Ed25519", key, new Uint8Array(input));
  return new Uint8Array(signature);
}

async function signatures(bus: TestBus): Promise<void> {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const jwk = await exportJWK(publicKey);
  const client = await openBinary(bus.url, await bus.tokenFor({ claims: { cnf: { jwk } } }));
  const send = async (envelope: EnvelopeInput) => {
    client.send(encodePub(writeEnvelope({ ...envelope, request_id: 1 })));
    const answer = await client.frame();
    assert(answer.kind === "ack");
    return answer.ack.reason;
  };
  const event = {
    type: "pay",
    data: new Uint8Array([1]),
    content_type: "application/octet-stream",
    schema_id: "",
  };
  const message = { room_id: "pay-1", message_id: "m1", event };
  const signature = await sign(privateKey, message);
  assert.equal(await send({ ...message, signature }), "", "a good signature passes");
  assert.equal(await send({ ...message }), "signature-required");
  assert.equal(await send({ ...message, message_id: "m2", signature }), "signature-invalid");
  assert.equal(await send({ ...message, room_id: "pay-2", signature }), "signature-invalid");
  const changed = { ...event, data: new Uint8Array([2]) };
  assert.equal(await send({ ...message, event: changed, signature }), "signature-invalid");
  const short = signature.subarray(1);
  assert.equal(await send({ ...message, signature: short }), "signature-invalid");
  assert.equal(await send({ ...message, room_id: "free" }), "");
  const keyless = await openBinary(bus.url, bus.token);
  keyless.send(encodePub(writeEnvelope({ ...message, signature, request_id: 1 })));
  const refused = await keyless.frame();
  assert(refused.kind === "ack" && refused.ack.reason === "signature-no-key");
  client[Symbol.dispose]();
  keyless[Symbol.dispose]();
}

/** Signed messages take longer to check than unsigned ones, and still nothing overtakes. */
async function fifo(bus: TestBus): Promise<void> {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const jwk = await exportJWK(publicKey);
  const client = await openBinary(bus.url, await bus.tokenFor({ claims: { cnf: { jwk } } }));
  const subscriber = await openText(bus.url, bus.token);
  subscriber.send({ op: "sub", room: "fifo", id: 1 });
  await subscriber.json();
  for (let index = 0; index < 200; index++) {
    const event = {
      type: String(index),
      data: new Uint8Array(0),
      content_type: "",
      schema_id: "",
    };
    const envelope = { room_id: "fifo", event };
    const signed = index % 3 === 0
      ? { ...envelope, signature: await sign(privateKey, envelope) }
      : envelope;
    client.send(encodePub(writeEnvelope(signed)));
  }
  for (let index = 0; index < 200; index++) {
    assert.equal((await subscriber.json()).type, String(index));
  }
  client[Symbol.dispose]();
  subscriber[Symbol.dispose]();
}

const CONFIG = `
[server]
drain_ms = 700
[auth]
clock_skew_seconds = 0
require_signature = [{ role = "user", room = "pay-*" }]
`;

Deno.test("it ends with its token: ERR 401, then close 4401; REFRESH carries it on", async () => {
  let ahead_ms = 0;
  await using bus = await startLocalBus(CONFIG, { now: () => Date.now() + ahead_ms });
  const token = await bus.tokenFor({ ttl_seconds: 600 });
  const [ending, going_on] = [await openText(bus.url, token), await openText(bus.url, token)];
  going_on.send({ op: "refresh", token: await bus.tokenFor({ ttl_seconds: 6_000 }), id: 4 });
  const ack = await going_on.json();
  assert.equal(ack.code, 0);
  assert(ack.result.token_expires_ms > Date.now() + 3_000_000);
  ahead_ms = 601_000;
  assert.equal((await ending.json()).reason, "token-expired");
  assert.deepEqual(await ending.closed(), { code: 4401, reason: "token-expired" });
  going_on.send({ op: "ping", data: "alive" });
  assert.deepEqual(await going_on.json(), { op: "pong", data: "alive" });
  going_on[Symbol.dispose]();
});

Deno.test("the life of a connection", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  await t.step("a refused REFRESH ends it", () => refusedRefresh(bus));
  await t.step("a REFRESH with fewer grants ends subscriptions", () => shrinks(bus));
  await t.step("signatures are verified, and required where configured", () => signatures(bus));
  await t.step("signed and unsigned messages keep their order", () => fifo(bus));
  await t.step("a stop closes every connection with 1012 and a window", async () => {
    const client = await openText(bus.url, await bus.tokenFor());
    const status = await bus.stop();
    assert.equal(status.code, 0, bus.log());
    const closed = await client.closed();
    assert.deepEqual(closed, { code: 1012, reason: "restart;spread_ms=700" });
  });
});

Deno.test("heartbeat: a quiet peer is pinged, a dead one is ended and counted as 4408", async () => {
  await using bus = await startLocalBus("[server]\nheartbeat_ms = 1_000\n");
  const quiet = await openText(bus.url, bus.token);
  // Answers nothing, not even WebSocket pings.
  const dead = await sendUpgrade(bus.http_url, { token: bus.token });
  await quiet.pinged();
  const ended = async () => {
    const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
    return metrics.includes('shield_closes_total{code="4408"} 1');
  };
  await until("the dead client is ended", ended);
  quiet.send({ op: "ping", data: "x" });
  assert.equal((await quiet.json()).op, "pong");
  dead.close();
  quiet[Symbol.dispose]();
});
