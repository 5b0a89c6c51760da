/** Tails of rooms: messages are shown, slow readers are notified of losses, and everything is bounded. */
import assert from "node:assert/strict";
import { writeEnvelope } from "@arqon/proto";
import { roomSubject } from "../../../shared/subjects/subject.ts";
import { EventReader } from "../../../tests/peers/event_reader.ts";
import { keptLog, testSpine } from "../../testing/spine.ts";
import { TAIL_MESSAGES, Tails, TAILS_MAX, TENANT_TAILS_MAX } from "./tail.ts";

const REQUEST = { tenant_id: "acme", room_id: "lobby", by: "root", is_operator: true };

function envelope(data: string, more: { content_type?: string; room_id?: string } = {}) {
  const { content_type = "application/json", room_id = "lobby" } = more;
  return writeEnvelope({
    tenant_id: "acme",
    room_id,
    sender_id: "ann",
    timestamp_ms: 7,
    message_id: "m1",
    event: { type: "chat", data: new TextEncoder().encode(data), content_type, schema_id: "" },
  });
}

function open(start = testSpine()) {
  const { spine } = start;
  const { log, lines } = keptLog();
  const tails = new Tails({ spine, log });
  const publish = (bytes: Uint8Array, plane: "in" | "out" = "in") =>
    spine.publish(roomSubject(plane, "acme", "lobby"), bytes);
  const reader = async () => new EventReader(new Response(await tails.open(REQUEST)));
  const end = () => start[Symbol.asyncDispose]();
  return { spine, tails, lines, publish, reader, [Symbol.asyncDispose]: end };
}

Deno.test("messages of both planes are shown in the text form", async () => {
  await using test = open();
  const { tails, publish, lines } = test;
  const reader = await test.reader();
  const bytes = envelope('{\n  "html": "<b>",\r\n  "n": 1\n}');
  publish(bytes);
  publish(envelope("secret-words", { content_type: "text/plain" }), "out");
  const { data } = (await reader.next())!;
  assert.deepEqual(data, {
    size_bytes: bytes.length,
    room: "lobby",
    type: "chat",
    data: { html: "<b>", n: 1 },
    sender: "ann",
    ts: 7,
    headers: {},
    tenant_id: "acme",
    message_id: "m1",
  });
  assert.equal((await reader.next())?.data.data, "secret-words");
  assert.deepEqual(tails.counts, { shown: 2, dropped: 0 });
  await reader.cancel();
  assert.equal(tails.size, 0);
  assert.ok(lines.some((line) => line.includes("an operator reads a room")));
  assert.ok(!lines.some((line) => line.includes("secret-words")), "no payload in the log");
});

Deno.test("events that are not messages of the room are left out", async () => {
  await using test = open();
  const { publish } = test;
  const reader = await test.reader();
  publish(new Uint8Array([255, 255, 255]));
  publish(envelope('"elsewhere"', { room_id: "other" }), "out");
  publish(envelope('"here"'));
  assert.equal((await reader.next())?.data.data, "here");
  await reader.cancel();
});

Deno.test("a slow reader loses the oldest messages and is notified how many", async () => {
  await using test = open();
  const { spine, tails, publish } = test;
  const stream = await tails.open(REQUEST);
  const all = TAIL_MESSAGES + 50;
  for (let index = 0; index < all; index++) publish(envelope(String(index)));
  await spine.flush();
  const reader = new EventReader(new Response(stream));
  const seen: unknown[] = [];
  let dropped = 0;
  while (seen.at(-1) !== all - 1) {
    const { name, data } = (await reader.next())!;
    if (name === "gap") dropped += Number(data.dropped);
    else seen.push(data.data);
  }
  assert.equal(seen.length + dropped, all);
  assert.ok(dropped >= 48, `${dropped} dropped`);
  const last = [...Array(all).keys()].slice(-TAIL_MESSAGES + 2);
  assert.deepEqual(seen.slice(-TAIL_MESSAGES + 2), last);
  await reader.cancel();
});

Deno.test("a few large messages are bounded by their bytes", async () => {
  await using test = open();
  const { spine, tails, publish } = test;
  const stream = await tails.open(REQUEST);
  const large = JSON.stringify("x".repeat(500_000));
  for (let index = 0; index < 20; index++) publish(envelope(large));
  await spine.flush();
  assert.ok(tails.counts.dropped >= 10, `${tails.counts.dropped} dropped`);
  await stream.cancel();
});

Deno.test("losses of the Spine are reported as gaps", async () => {
  await using test = open(testSpine({ subscription_messages: 4 }));
  const reader = await test.reader();
  for (let index = 0; index < 20; index++) test.publish(envelope(String(index)));
  assert.equal((await reader.until("gap")).data.reason, "slow-consumer");
  await reader.cancel();
});

Deno.test("a tail ends at the drain", async () => {
  await using test = open();
  const { tails } = test;
  const drained = await test.reader();
  tails.close();
  assert.equal(await drained.next(), undefined);
  assert.equal(tails.size, 0);
  await assert.rejects(tails.open(REQUEST), { reason: "draining" });
});

Deno.test("the number of tails is limited", async () => {
  await using test = open();
  const { tails } = test;
  for (let index = 0; index < TAILS_MAX; index++) await tails.open(REQUEST);
  await assert.rejects(tails.open(REQUEST), { reason: "too-many-pending", code: 429 });
  tails.close();
});

Deno.test("tails of tenant admins never block operators, nor those of one tenant another's", async () => {
  await using test = open();
  const { tails } = test;
  const of_tenant = { ...REQUEST, is_operator: false };
  const first = await tails.open(of_tenant);
  for (let index = 2; index < TENANT_TAILS_MAX; index++) await tails.open(of_tenant);
  await assert.rejects(tails.open(of_tenant), { reason: "too-many-pending", code: 429 });
  await tails.open({ ...of_tenant, tenant_id: "globex" });
  for (let index = TENANT_TAILS_MAX; index < TAILS_MAX; index++) await tails.open(REQUEST);
  await first.cancel();
  await tails.open({ ...of_tenant, tenant_id: "initech" });
  await assert.rejects(tails.open(REQUEST), { reason: "too-many-pending", code: 429 });
  tails.close();
});
