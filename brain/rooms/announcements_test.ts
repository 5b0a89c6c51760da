/** What rooms publish on an embedded Spine: their events, creations and ends, kicks. */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope } from "@arqon/proto";
import { AGAIN_HEADER } from "../../shared/records/room_update.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { commandSubject } from "../../shared/subjects/subject.ts";
import { until } from "../../shared/testing/until.ts";
import { accepted, commandEnvelope, sendCommand, TRACE_ID } from "./testing/command_probe.ts";
import { entry, withRooms, withTestBed } from "./testing/room_test_bed.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const set = (key: string, value: unknown, more = {}) => ({
  name: "set",
  data: { key, value },
  ...more,
});

/** The JSON of an event's envelope. */
function eventOf({ payload }: SpineMessage): { type: string; id: string; data: unknown } {
  const { event, message_id } = readEnvelope(payload);
  const data = JSON.parse(new TextDecoder().decode(event?.data));
  return { type: event?.type ?? "", id: message_id, data };
}

Deno.test("every version is published to the room once, in order, as a stamped envelope", async () => {
  await withRooms({ now: () => 1_700_000_000_000 }, async ({ spine, subscribe }) => {
    const received = await subscribe("out.t.acme.r.lobby");
    const { epoch } = await accepted(spine, set("topic", "tea", { sender: "ann" }));
    await accepted(spine, { name: "delete", data: { key: "topic" } });
    await accepted(spine, { name: "get" });
    await spine.flush();
    const by = { epoch, at_ms: 1_700_000_000_000 };
    assert.deepEqual(received.map(eventOf), [
      {
        type: "ROOM_UPDATE",
        id: `room:${epoch}:1`,
        data: { version: 1, first: true, op: "set", key: "topic", value: "tea", by: "ann", ...by },
      },
      {
        type: "ROOM_UPDATE",
        id: `room:${epoch}:2`,
        data: { version: 2, op: "delete", key: "topic", by: "u1", ...by },
      },
    ]);
    const { tenant_id, room_id, trace_id, timestamp_ms, headers, event } = readEnvelope(
      received[0]?.payload ?? new Uint8Array(),
    );
    assert.deepEqual({ tenant_id, room_id, trace_id }, {
      tenant_id: "acme",
      room_id: "lobby",
      trace_id: TRACE_ID,
    });
    assert.equal(timestamp_ms, 1_700_000_000_000);
    assert.equal(event?.content_type, "application/json");
    assert.match(headers["X-Twist-ID"] ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/);
    assert.equal(headers["X-Timestamp"], "1700000000000");
  });
});

Deno.test("the events of a lock name its fencing token, and so does a get", async () => {
  await withRooms({}, async ({ spine, subscribe }) => {
    const received = await subscribe("out.t.acme.r.lobby");
    const { fence, until_ms } = await accepted(spine, { name: "lock", origin: "c1" });
    await accepted(spine, { name: "unlock", fence });
    await spine.flush();
    const data = received.map((message) => eventOf(message).data);
    const { events } = await accepted(spine, { name: "get", data: { events_after: 0 } });
    assert.deepEqual(data, events);
    const [locked, unlocked] = events;
    assert.deepEqual({ ...locked, epoch: 0, at_ms: 0 }, {
      version: 1,
      epoch: 0,
      first: true,
      op: "lock",
      holder: "u1",
      connection_id: "c1",
      until_ms,
      by: "u1",
      at_ms: 0,
      fence,
    });
    assert.deepEqual({ ...unlocked, epoch: 0, at_ms: 0 }, {
      version: 2,
      epoch: 0,
      op: "unlock",
      holder: "u1",
      cause: "released",
      by: "u1",
      at_ms: 0,
      fence,
    });
  });
});

Deno.test("a room's creation is notified to its tenant, whoever created it", async () => {
  await withRooms({}, async ({ spine, subscribe, cluster, metric }) => {
    const received = await subscribe("sys.t.acme.rooms");
    const { epoch } = await accepted(spine, set("k", 1));
    await accepted(spine, set("k", 2));
    cluster.change([entry("c1", { room_id: "hall" }), entry("c2", { room_id: "hall" })]);
    cluster.change([entry("c3", { room_id: "hall" })]);
    await until("both creations are notified", () => received.length >= 2);
    const get = await accepted(spine, { name: "get", room: "hall" });
    assert.match(get.epoch, /^[0-9a-z]{8,13}$/);
    const born = received.map(eventOf).map(({ type, id, data }) => {
      const { at_ms, ...rest } = data as { at_ms: number };
      assert.ok(at_ms > 0);
      return { type, id, ...rest };
    });
    assert.deepEqual(born, [
      {
        type: "ROOM_CREATED",
        id: `lobby:${epoch}:ROOM_CREATED`,
        room_id: "lobby",
        epoch,
        version: 1,
      },
      {
        type: "ROOM_CREATED",
        id: `hall:${get.epoch}:ROOM_CREATED`,
        room_id: "hall",
        epoch: get.epoch,
        version: 0,
      },
    ]);
    assert.equal(await metric("brain_rooms_created_total"), 2);
    assert.deepEqual(get, { version: 0, epoch: get.epoch, state: {} });
  });
});

Deno.test("a kick is a signal to the Shields and a version of the room", async () => {
  await withRooms({}, async ({ spine, subscribe }) => {
    const received = await subscribe("sys.t.acme.signals");
    const data = { user_id: "u2", reason: "spam" };
    assert.equal((await accepted(spine, { name: "kick", data, sender: "ann" })).version, 1);
    await accepted(spine, { name: "kick", data: { connection_id: "c7" } });
    await spine.flush();
    const signals = received.map(({ payload }) => {
      const { tenant_id, room_id, headers, signal } = readEnvelope(payload);
      return { tenant_id, room_id, target_kind: headers["target_kind"], signal };
    });
    const at = { tenant_id: "acme", room_id: "lobby" };
    const kick = { kind: "DISCONNECT", until_ms: 0 };
    assert.deepEqual(signals, [
      { ...at, target_kind: "user", signal: { ...kick, target: "u2", reason: "spam" } },
      { ...at, target_kind: "connection", signal: { ...kick, target: "c7", reason: "" } },
    ]);
    const { events } = await accepted(spine, { name: "get", data: { events_after: 0 } });
    assert.deepEqual(events.map((event: Record<string, unknown>) => [event["op"], event["by"]]), [
      ["kick", "ann"],
      ["kick", "u1"],
    ]);
  });
});

Deno.test("a kick that its expectation refuses, or a duplicate, is not delivered", async () => {
  await withRooms({}, async ({ spine, subscribe }) => {
    const received = await subscribe("sys.t.acme.signals");
    await accepted(spine, set("k", 1));
    const kick = { name: "kick", data: { user_id: "u2" } };
    assert.equal((await sendCommand(spine, { ...kick, expect_version: 7 })).code, 409);
    const once = { ...kick, command_id: "x" };
    assert.deepEqual(await accepted(spine, once), await accepted(spine, once));
    await spine.flush();
    assert.equal(received.length, 1);
  });
});

Deno.test("what could not be published is published with the next look at the room", async () => {
  let lost = true;
  const isLost = (subject: string) => lost && subject.startsWith("out.");
  await withRooms({ isLost }, async ({ spine, subscribe, lines }) => {
    const received = await subscribe("out.t.acme.r.lobby");
    const { epoch } = await accepted(spine, set("k", 1));
    assert.ok(lines.some((line) => line.includes('msg="not published"')));
    lost = false;
    await accepted(spine, { name: "get" });
    await until("it is published", () => received.length > 0);
    assert.equal(eventOf(received[0]!).id, `room:${epoch}:1`);
  });
});

Deno.test("of old events the next owner repeats only the last one, with its age", async () => {
  await withTestBed(async ({ spine, cluster, subscribe, start }) => {
    cluster.owner = () => "b1";
    const first = await start("b1");
    await accepted(spine, set("k", 1));
    const { epoch, version } = await accepted(spine, set("k", 2));
    await first.rooms.drain();
    const received = await subscribe("out.t.acme.r.lobby");
    cluster.owner = () => "b2";
    await start("b2", { now: () => Date.now() + 61_000 });
    const next = await accepted(spine, set("k", 3));
    assert.equal(next.version, version + 1);
    await until("the new one is published", () => received.length > 1);
    const ids = received.map((message) => eventOf(message).id);
    assert.deepEqual(ids, [version, version + 1].map((of) => `room:${epoch}:${of}`));
    const [old, fresh] = received.map(({ headers }) => headers[AGAIN_HEADER]);
    assert.ok(Number(old) >= 61_000, `again after ${old} ms`);
    assert.equal(fresh, undefined);
  });
});

for (const hours of [2, -2]) {
  Deno.test(`the event that an owner died while publishing is published by the next owner, whose clock differs by ${hours} h`, async () => {
    await withTestBed(async ({ spine, cluster, subscribe, start }) => {
      // As a server reports it, by its own clock.
      const wrap = (bucket: KeyValue): KeyValue =>
        overriding(bucket, {
          get: async (key) => {
            const entry = await bucket.get(key);
            return entry && { ...entry, age_ms: 700 };
          },
        });
      cluster.owner = () => "b1";
      const first = await start("b1", { isLost: (subject) => subject.startsWith("out.") });
      const { epoch, version } = await accepted(spine, set("k", 1));
      await accepted(spine, set("k", 2));
      await first.rooms.drain();
      const received = await subscribe("out.t.acme.r.lobby");
      cluster.owner = () => "b2";
      await start("b2", { now: () => Date.now() + hours * 3_600_000, wrap });
      await accepted(spine, { name: "get" });
      await until("both are notified", () => received.length === 2);
      assert.deepEqual(
        received.map((message) => eventOf(message).id),
        [version, version + 1].map((of) => `room:${epoch}:${of}`),
      );
      const [before, last] = received.map(({ headers }) => Number(headers[AGAIN_HEADER]));
      // A subscriber that has listened for longer must not take it for the past.
      assert.equal(last, 700);
      assert.ok(before! >= 700 && before! < 60_000, `again after ${before} ms`);
    });
  });
}

/** A late answer: the write takes effect when the test triggers it. */
function stalledWrites() {
  let stalled = false;
  const late: (() => Promise<unknown>)[] = [];
  const wrap = (bucket: KeyValue): KeyValue =>
    overriding(bucket, {
      update: (...given) => {
        if (!stalled) return bucket.update(...given);
        late.push(() => bucket.update(...given));
        return Promise.reject(new ArqonError("spine-unavailable", "no answer"));
      },
    });
  return {
    wrap,
    stall: () => void (stalled = true),
    settle: async () => {
      stalled = false;
      for (const write of late.splice(0)) await write();
    },
  };
}

Deno.test("the event of a write without an answer is published, whenever it was applied", async () => {
  const writes = stalledWrites();
  await withRooms({ wrap: writes.wrap }, async ({ spine, subscribe, metric }) => {
    const received = await subscribe("out.t.acme.r.lobby");
    const { epoch, version } = await accepted(spine, set("k", 1));
    writes.stall();
    assert.equal((await sendCommand(spine, set("k", 2))).code, 503);
    // The room is read before that, and nothing is found.
    assert.equal((await accepted(spine, { name: "get" })).version, version);
    await writes.settle();
    await until("it is published", () => received.length > 1);
    const ids = received.map((message) => eventOf(message).id);
    assert.deepEqual(ids, [version, version + 1].map((of) => `room:${epoch}:${of}`));
    await until("it shows", async () => await metric("brain_rooms_in_doubt") === 1);
    assert.equal(await metric('brain_room_updates_total{kind="again"}'), 1);
  });
});

Deno.test("unconfirmed publishes on the Spine are retried automatically", async () => {
  let cut = false;
  await withRooms({ isCut: () => cut }, async ({ handle, spine, subscribe }) => {
    const received = await subscribe("out.t.acme.r.lobby");
    const { epoch, version } = await accepted(spine, set("k", 1));
    await spine.flush();
    cut = true;
    const answer = Promise.withResolvers<void>();
    for (const value of [2, 3]) {
      handle({
        subject: commandSubject("acme", "lobby"),
        payload: commandEnvelope(set("k", value)),
        headers: {},
        reply: "r",
        respond: () => answer.resolve(),
      });
    }
    await answer.promise;
    await spine.flush();
    assert.equal(received.length, 1);
    cut = false;
    await until("they are published", () => received.length >= 3);
    const ids = received.map((message) => eventOf(message).id);
    const all = [version, version + 1, version + 2].map((of) => `room:${epoch}:${of}`);
    assert.deepEqual(ids.slice(0, 3), all);
  });
});

Deno.test("unpublished writes of another Brain are published by the owner when it sees them", async () => {
  await withTestBed(async ({ spine, subscribe, start }) => {
    const received = await subscribe("out.t.acme.r.lobby");
    const one = await start("b1");
    const { epoch, version } = await accepted(spine, set("k", 1));
    // Both believe that they own it; this one ends before anybody receives its write.
    const other = await start("b2", { isLost: (subject) => subject.startsWith("out.") });
    const { promise, resolve } = Promise.withResolvers<void>();
    other.handle({
      subject: commandSubject("acme", "lobby"),
      payload: commandEnvelope(set("k", 2)),
      headers: {},
      reply: "r",
      respond: () => resolve(),
    });
    await promise;
    await other.rooms.drain();
    one.handle({
      subject: commandSubject("acme", "lobby"),
      payload: commandEnvelope(set("k", 3)),
      headers: {},
      reply: "r",
      respond: () => {},
    });
    // A sweep of the owner may have found the other's write before.
    const ids = () => [...new Set(received.map((message) => eventOf(message).id))];
    await until("all are published", () => ids().length >= 3);
    assert.deepEqual(ids(), [0, 1, 2].map((more) => `room:${epoch}:${version + more}`));
  });
});
