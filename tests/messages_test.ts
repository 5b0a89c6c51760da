/**
 * Messages end to end over real sockets. One bus for all tests; each step has its own rooms. `tests/model` covers both
 * wire forms and HTTP, order, echo, other tenants and repeated ids.
 */
import assert from "node:assert/strict";
import { encodePub, encodeSub, encodeUnsub, writeEnvelope } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import { sharedByTests } from "../shared/testing/shared_by_tests.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openBinary, RawClient } from "./peers/raw_client.ts";

function event(room_id: string, data: Uint8Array, more: Partial<PlainEnvelope> = {}): Uint8Array {
  const payload = { type: "chat", data, content_type: "application/octet-stream", schema_id: "" };
  return encodePub(writeEnvelope({ room_id, event: payload, ...more }));
}

async function welcome(bus: TestBus): Promise<void> {
  const client = new RawClient(bus.url, { token: await bus.tokenFor({ user: "ann" }) });
  const frame = await client.frame();
  assert.equal(client.socket.protocol, "arqon.v1");
  assert(frame.kind === "welcome");
  assert.equal(frame.welcome.user_id, "ann");
  assert.equal(frame.welcome.tenant_id, "default");
  assert.equal(frame.welcome.protocol_version, 1);
  assert(frame.welcome.token_expires_ms > frame.welcome.server_time_ms);
  client[Symbol.dispose]();
  const plain = new RawClient(bus.url, {
    subprotocols: [],
    headers: { authorization: `Bearer ${bus.token}` },
  });
  assert.equal((await plain.frame()).kind, "welcome", "no subprotocol means arqon.v1");
  plain[Symbol.dispose]();
}

async function stamped(bus: TestBus): Promise<void> {
  const client = await openBinary(bus.url, await bus.tokenFor({ user: "ann" }));
  client.send(encodeSub({ room_id: "stamped", request_id: 7 }));
  const subscribed = await client.frame();
  assert(subscribed.kind === "ack" && subscribed.ack.request_id === 7 && subscribed.ack.code === 0);
  const twist = "0190b8a2-7b1c-7def-8abc-0123456789ab";
  client.send(event("stamped", new Uint8Array([0, 255, 10]), {
    request_id: 9,
    sender_id: "somebody-else",
    timestamp_ms: 5,
    offset: 77,
    headers: {
      "X-Custom": "kept",
      "x-arqon-tenant": "forged",
      "x-twist-id": twist,
      "X-TIMESTAMP": "1",
    },
    message_id: "m1",
  }));
  const frames = [await client.frame(), await client.frame()];
  const ack = frames.find((frame) => frame.kind === "ack");
  const message = frames.find((frame) => frame.kind === "msg");
  assert(ack?.kind === "ack" && ack.ack.request_id === 9 && ack.ack.code === 0);
  assert(message?.kind === "msg");
  const { envelope } = message;
  assert.equal(envelope.sender_id, "ann");
  assert.equal(envelope.tenant_id, "default");
  assert.equal(envelope.offset, 0);
  assert.equal(envelope.request_id, 0);
  assert.equal(envelope.message_id, "m1");
  assert.match(envelope.trace_id, /^[0-9a-f]{32}$/);
  assert(Math.abs(envelope.timestamp_ms - Date.now()) < 600_000);
  assert.deepEqual({ ...envelope.headers }, {
    "X-Custom": "kept",
    "X-Twist-ID": twist,
    "X-Timestamp": String(envelope.timestamp_ms),
  });
  assert.deepEqual([...envelope.event?.data ?? []], [0, 255, 10]);
  client.send(encodeUnsub({ room_id: "stamped", request_id: 10 }));
  const left = await client.frame();
  assert(left.kind === "ack" && left.ack.code === 0);
  client[Symbol.dispose]();
}

/** One bus for all tests. */
const running = sharedByTests(() => startLocalBus());

Deno.test("messages end to end", async (t) => {
  const bus = await running();
  await t.step("the first frame is WELCOME, with or without a subprotocol", () => welcome(bus));
  await t.step("the Shield's fields are rewritten, the rest is preserved", () => stamped(bus));
});
