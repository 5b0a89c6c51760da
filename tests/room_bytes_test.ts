/**
 * A tenant that fills its rooms on a small NATS, through two Brains, beside one that does a little of
 * everything: the one is told that it has too much, and the other is never refused.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { DurableClient } from "./peers/durable_client.ts";
import { natsDeployment } from "./storage/deployment.ts";
import { QuietTenant } from "./storage/quiet_tenant.ts";

const MIB = 1_048_576;
const ROOMS = 60;
const WINDOW = 6;
const VALUE = "x".repeat(200_000);

Deno.test("one tenant's rooms leave room for the rooms, locks and bans of all others", async () => {
  await using bus = await natsDeployment({
    storage_bytes: 64 * MIB,
    log_bytes: 4 * MIB,
    brains: 2,
  });
  using quiet = await QuietTenant.open(bus, "quiet");
  await quiet.round();
  using noisy = await DurableClient.open(bus.url, await bus.tokenFor("noisy", "ann", "user"));
  const send = (room: string) =>
    noisy.send({ op: "cmd", room, name: "room.set", data: { key: "k", value: VALUE } });
  const stored: string[] = [];
  let refused = 0;
  for (let first = 0; first < ROOMS; first += WINDOW) {
    const names = Array.from({ length: WINDOW }, (_, at) => `room-${first + at}`);
    for (const [room, id] of names.map((room) => [room, send(room)] as const)) {
      const { code, reason, message } = await noisy.answer(id);
      if (code === 0) stored.push(room);
      else {
        refused++;
        assert.deepEqual([code, reason], [429, "room-bytes-limit"], message);
      }
    }
    await quiet.round();
  }
  // A quarter of the bucket, which has 8 MiB; two Brains may count too little, but never twice that.
  const bytes = stored.length * VALUE.length;
  assert.ok(bytes >= MIB && bytes <= 4 * MIB, `${bytes} bytes were stored`);
  assert.ok(refused >= ROOMS / 2, `${refused} were refused`);
  await quiet.round();
  for (const [deed, { done, refused }] of Object.entries(quiet.take())) {
    assert.deepEqual(refused, [], deed);
    assert.ok(done >= ROOMS / WINDOW, `${done} times ${deed}`);
  }
  const rooms = (await bus.streams()).find(({ name }) => name === "KV_ARQON_ROOMS");
  assert.ok(rooms !== undefined && rooms.bound_bytes === 8 * MIB, JSON.stringify(rooms));
  assert.ok(rooms.used_bytes < rooms.bound_bytes * 0.6, JSON.stringify(rooms));
  for (const room of stored) {
    const removed = await noisy.ask({ op: "cmd", room, name: "room.delete", data: { key: "k" } });
    assert.equal(removed.code, 0, removed.message);
  }
  await until("what it took away makes space", async () => {
    const { code, reason } = await noisy.answer(send("again"));
    if (code === 0) return true;
    assert.equal(reason, "room-bytes-limit");
    await quiet.round();
    return false;
  });
});
