/** Rooms whose bucket fails, on an embedded Spine. */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope } from "@arqon/proto";
import { BANS_BUCKET } from "../../shared/records/bans.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { until } from "../../shared/testing/until.ts";
import { accepted, refused, sendAtOnce, sendCommand } from "./testing/command_probe.ts";
import { entry, withRooms, withTestBed } from "./testing/room_test_bed.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const set = (value: unknown, more = {}) => ({ name: "set", data: { key: "k", value }, ...more });
const unavailable = () => new ArqonError("spine-unavailable", "a test says so");

/** A bucket whose calls fail on request. `after`: the failing write was stored. */
function failing(fails: (call: keyof KeyValue) => boolean, after = false) {
  const refused = () => Promise.reject(unavailable());
  return (bucket: KeyValue): KeyValue =>
    overriding(bucket, {
      get: (key) => fails("get") ? refused() : bucket.get(key),
      update: async (...given) => {
        const written = after || !fails("update") ? await bucket.update(...given) : 0;
        if (fails("update")) throw unavailable();
        return written;
      },
      delete: (...given) => fails("delete") ? refused() : bucket.delete(...given),
      sizes: (prefix) => fails("sizes") ? refused() : bucket.sizes(prefix),
    });
}

Deno.test("a write whose answer is lost is 503, applied once, and published nevertheless", async () => {
  let broken = false;
  const wrap = failing((call) => broken && call === "update", true);
  await withRooms({ wrap }, async ({ spine, subscribe }) => {
    const received = await subscribe("out.t.acme.r.lobby");
    await accepted(spine, set(0));
    broken = true;
    const command = set(1, { command_id: "x" });
    assert.equal(await refused(spine, command), "503 spine-unavailable");
    broken = false;
    assert.equal((await accepted(spine, command)).version, 2);
    await until("both are published", () => received.length >= 2);
    const ids = new Set(received.map(({ payload }) => readEnvelope(payload).message_id));
    assert.equal(ids.size, 2);
  });
});

Deno.test("a bucket that cannot be read fails commands with 503, until it can", async () => {
  let broken = false;
  await withRooms({ wrap: failing((call) => broken && call === "get") }, async ({ spine }) => {
    await accepted(spine, set(1));
    broken = true;
    assert.equal(await refused(spine, { name: "get" }), "503 spine-unavailable");
    broken = false;
    assert.equal((await accepted(spine, { name: "get" })).version, 1);
  });
});

Deno.test("rooms that cannot be created, swept or listed are counted and retried", async () => {
  let broken = true;
  let started = false;
  const config = { brain: { idle_timeout_ms: 1_000 } };
  const wrap = failing((call) => broken && started && call !== "get");
  await withRooms({ wrap, config }, async ({ cluster, bucket, metric, lines }) => {
    started = true;
    const failed = 'brain_room_lifecycle_refused_total{reason="failed"}';
    cluster.change([entry("c1")]);
    await until("it is counted", async () => await metric(failed) > 0);
    const hasLine = (text: string) => lines.some((line) => line.includes(`msg="${text}"`));
    await until(
      "both are published",
      () => hasLine("a room could not be made") && hasLine("rooms were not swept"),
    );
    broken = false;
    await until("it is made", async () => await bucket.get(["acme", "lobby"]) !== undefined);
  });
});

Deno.test("a damaged document does not prevent the sweep of other rooms", async () => {
  const config = { brain: { idle_timeout_ms: 200 } };
  await withTestBed(async ({ spine, bucket, start }) => {
    await bucket.put(["acme", "damaged"], new Uint8Array([1]));
    const node = await start("b1", { config });
    await accepted(spine, set(1));
    await until("the good one ends", async () => await bucket.get(["acme", "lobby"]) === undefined);
    assert.ok(node.lines.some((line) => /room=damaged.*msg="a room was not swept"/.test(line)));
    assert.ok(await bucket.get(["acme", "damaged"]));
  });
});

Deno.test("a room that is used when it is about to end is kept", async () => {
  const config = { brain: { idle_timeout_ms: 100 } };
  let raced = 0;
  const wrap = (bucket: KeyValue): KeyValue =>
    overriding(bucket, {
      delete: async (key, expected_revision) => {
        // Another Brain's write lands before the first deletion.
        if (raced++ === 0) {
          await bucket.put(key, (await bucket.get(key))?.value ?? new Uint8Array());
        }
        return await bucket.delete(key, expected_revision);
      },
    });
  await withRooms({ config, wrap }, async ({ spine, bucket, metric }) => {
    await accepted(spine, set(1));
    await until("it has ended", async () => await bucket.get(["acme", "lobby"]) === undefined);
    assert.equal(raced, 2);
    assert.equal(await metric("brain_rooms_ended_total"), 1);
  });
});

Deno.test("a kick that the Spine does not take is refused and leaves no version", async () => {
  let lost = true;
  const isLost = (subject: string) => lost && subject.endsWith(".signals");
  await withRooms({ isLost }, async ({ spine }) => {
    const kick = { name: "kick", data: { user_id: "u2" } };
    assert.equal(await refused(spine, kick), "500 internal");
    assert.equal((await accepted(spine, { name: "get" })).version, 0);
    lost = false;
    assert.equal((await accepted(spine, kick)).version, 1);
  });
});

Deno.test("an applied effect is kept if the room changes before it is recorded", async () => {
  let interfere: (() => Promise<void>) | undefined;
  const wrap = (bucket: KeyValue): KeyValue =>
    overriding(bucket, {
      update: async (...given) => (await interfere?.(), await bucket.update(...given)),
    });
  await withTestBed(async ({ spine, start }) => {
    const one = await start("b1", { wrap });
    const two = await start("b2");
    assert.deepEqual(await sendAtOnce(two.handle, [set(1)]), [0]);
    interfere = async () => {
      interfere = undefined;
      await sendAtOnce(two.handle, [set(2)]);
    };
    const ban = { name: "ban", data: { user_id: "u2" }, expect_version: 1 };
    assert.deepEqual(await sendAtOnce(one.handle, [ban]), [0]);
    assert.equal((await (await spine.keyValue(BANS_BUCKET)).keys(["acme"])).length, 1);
    const { events } = await accepted(spine, { name: "get", data: { events_after: 0 } });
    assert.deepEqual(events.map(({ op }: { op: string }) => op), ["set", "set", "ban"]);
  });
});

Deno.test("a lock that is due while every room in memory is at work ends a little later", async () => {
  // One slot for each tenant.
  const config = { brain: { rooms_in_memory: 2 } };
  await withRooms({ config }, async ({ spine, lines, subscribe }) => {
    const received = await subscribe("out.t.acme.r.lobby");
    await accepted(spine, { name: "lock", data: { ttl_ms: 300 } });
    // Keeps it.
    const waits = sendCommand(spine, { name: "get", room: "other", after_version: 1 });
    await until("it could not", () => lines.some((line) => line.includes("a lock ends later")));
    await accepted(spine, set(1, { room: "other" }));
    assert.equal((await waits).code, 0);
    const ended = ({ payload }: SpineMessage) =>
      new TextDecoder().decode(payload).includes(`"cause":"expired"`);
    await until("the lock has ended", () => received.some(ended));
  });
});

Deno.test("a room that a newer Brain wrote is refused for a moment, and unchanged", async () => {
  await withTestBed(async ({ spine, bucket, start }) => {
    await start("b1");
    const newer = new TextEncoder().encode('{"format":4,"all":"else"}\nlines\n');
    await bucket.put(["acme", "lobby"], newer);
    for (const command of [{ name: "get" }, set(1)]) {
      assert.equal(await refused(spine, command), "503 incompatible-version");
    }
    assert.deepEqual((await bucket.get(["acme", "lobby"]))?.value, newer);
  });
});

Deno.test("stored rooms whose incarnation a newer Brain wrote begin no other one", async () => {
  await withTestBed(async ({ bucket, start }) => {
    const newer = new TextEncoder().encode('{"format":2,"id":"x"}');
    await bucket.put(["life"], newer);
    await assert.rejects(start("b1"), { reason: "incompatible-version" });
    assert.deepEqual((await bucket.get(["life"]))?.value, newer);
  });
});
