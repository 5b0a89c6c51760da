/** What a bus cannot decode over binary is refused with its request, code and field, in its own time. */
import assert from "node:assert/strict";
import { ArqonError, connect } from "../sdk/typescript/mod.ts";
import type { PublishOptions } from "../sdk/typescript/mod.ts";
import { encodePub, writeEnvelope } from "@arqon/proto";
import { openBinary } from "./peers/raw_client.ts";
import { startLocalBus } from "./harness/local_bus.ts";

/** Only a request that is not answered waits so long. */
const PATIENCE_MS = 60_000;

Deno.test("a publish or command that cannot be decoded is refused by code and field, not by silence", async () => {
  await using bus = await startLocalBus();
  const { url, token } = bus;
  const client = await connect({ url, token, request_timeout_ms: PATIENCE_MS });
  const room = client.room("lobby");
  const long = "x".repeat(300);
  const refused = async (sent: Promise<unknown>, reason: string, field: RegExp) => {
    const error = await sent.then(() => undefined, (error) => error);
    assert.ok(error instanceof ArqonError, `${error}`);
    assert.deepEqual([error.reason, error.code], [reason, 400], error.message);
    assert.match(error.message, field);
  };
  const publish = (type: string, options: PublishOptions) => room.publish(type, "data", options);
  await refused(publish(long, {}), "invalid-field", /type/);
  await refused(publish("t", { message_id: long }), "invalid-field", /message_id/);
  await refused(publish("t", { schema_id: long }), "invalid-field", /schema_id/);
  await refused(publish("t", { content_type: long }), "invalid-field", /content_type/);
  await refused(publish("t", { trace_id: "zz" }), "invalid-field", /trace_id/);
  await refused(publish("t", { headers: { a: "x".repeat(100_000) } }), "too-many-headers", /bytes/);
  await refused(publish("t", { headers: { a: "1", A: "2" } }), "repeated-field", /header/);
  await refused(room.command(long), "invalid-field", /name/);
  await refused(room.command("c", "", { command_id: long }), "invalid-field", /command_id/);
  // No bus takes these: they never leave.
  await refused(publish("t", { message_id: "x".repeat(70_000) }), "invalid-field", /message_id/);
  await room.publish("t", "what is fine still goes");
  await client.close();
});

Deno.test("too-large, malformed-frame: a frame that is not read names its request, too", async () => {
  await using bus = await startLocalBus();
  using binary = await openBinary(bus.url, bus.token);
  const event = { type: "t", data: new Uint8Array(1_500_000) };
  binary.send(encodePub(writeEnvelope({ room_id: "lobby", request_id: 9, event })));
  const large = await binary.frame();
  assert.ok(large.kind === "ack");
  const { request_id, code, reason } = large.ack;
  assert.deepEqual([request_id, code, reason], [9, 413, "too-large"]);
  binary.send('{"op":"unsub","room":"lobby","id":11}');
  const text = await binary.frame();
  assert.ok(text.kind === "ack");
  assert.deepEqual([text.ack.request_id, text.ack.reason], [11, "malformed-frame"]);
});
