/** How rooms are created and end, on an embedded Spine with the test's clock. */
import assert from "node:assert/strict";
import { readEnvelope } from "@arqon/proto";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { until } from "../../shared/testing/until.ts";
import { accepted, refused } from "./testing/command_probe.ts";
import { emptyDocument } from "./store/document.ts";
import { entry, withRooms, withTestBed } from "./testing/room_test_bed.ts";
import type { RoomTestBed, TestBedOptions } from "./testing/room_test_bed.ts";
import { encodeDocument } from "./store/stored_document.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const IDLE_MS = 1_000;
const config = { brain: { idle_timeout_ms: IDLE_MS } };
const set = (room: string) => ({ name: "set", data: { key: "k", value: 1 }, room });
const START_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;

/** Clocks that the test moves, and sweeps that can be awaited. */
function controls() {
  let now_ms = START_MS;
  let monotonic_ms = 0;
  let listings = 0;
  const wrap = (bucket: KeyValue): KeyValue =>
    overriding(bucket, { sizes: (prefix) => (listings++, bucket.sizes(prefix)) });
  const clocks = { now: () => now_ms, monotonic_ms: () => monotonic_ms };
  const options: TestBedOptions = { config, wrap, ...clocks };
  return {
    options,
    pass: (ms: number) => {
      now_ms += ms;
      monotonic_ms += ms;
    },
    /** Sets the wall clock. */
    step: (ms: number) => void (now_ms += ms),
    /** Resolves when all rooms were swept: one sweep begins after another has ended. */
    swept: () => {
      const before = listings;
      return until("a whole sweep", () => listings >= before + 2);
    },
  };
}

const isStored = async ({ bucket }: RoomTestBed, room: string) =>
  await bucket.get(["acme", room]) !== undefined;
const ended = (bed: RoomTestBed, room: string) =>
  until(`${room} has ended`, async () => !await isStored(bed, room));

Deno.test("a room without members and commands ends after the timeout, and reports it", async () => {
  const { options, pass, swept } = controls();
  await withRooms(options, async (bed) => {
    const { spine, subscribe, metric } = bed;
    const received = await subscribe("sys.t.acme.rooms");
    const { epoch } = await accepted(spine, set("lobby"));
    pass(IDLE_MS - 1);
    await swept();
    assert.ok(await isStored(bed, "lobby"));
    pass(1);
    await ended(bed, "lobby");
    await until("it is notified", () => received.length >= 2);
    const envelope = readEnvelope(received[1]!.payload);
    assert.equal(envelope.event?.type, "ROOM_ENDED");
    assert.deepEqual(JSON.parse(new TextDecoder().decode(envelope.event?.data)), {
      room_id: "lobby",
      epoch,
      version: 1,
      at_ms: START_MS + IDLE_MS,
    });
    assert.equal(await metric("brain_rooms_ended_total"), 1);
    const again = await accepted(spine, set("lobby"));
    assert.equal(again.version, 1);
    assert.notEqual(again.epoch, epoch, "a new epoch");
  });
});

Deno.test("a room that is created while the rooms are listed is idle from then on, and its lock ends on time", async () => {
  const { options, pass } = controls();
  const held = Promise.withResolvers<void>();
  let listed = 0;
  const wrap = (bucket: KeyValue) => {
    const sizes = async (prefix?: readonly string[]) => {
      const all = await bucket.sizes(prefix);
      if (++listed > 1) await held.promise;
      return all;
    };
    return overriding(options.wrap!(bucket), { sizes });
  };
  await withRooms({ ...options, wrap }, async (bed) => {
    await until("a sweep has listed the rooms", () => listed > 1);
    await accepted(bed.spine, set("idle"));
    await accepted(bed.spine, { name: "lock", room: "locked", data: { ttl_ms: IDLE_MS } });
    pass(IDLE_MS - 1);
    held.resolve();
    const before = listed;
    await until("a whole sweep", () => listed >= before + 2);
    pass(1);
    await ended(bed, "idle");
    await until("the lease has ended", async () => await bed.metric("brain_locks") === 0);
  });
});

Deno.test("members, reads and locks keep a room alive; it ends without them", async () => {
  const { options, pass, swept } = controls();
  await withRooms(options, async (bed) => {
    const { spine, cluster } = bed;
    for (const room of ["members", "read", "locked"]) await accepted(spine, set(room));
    cluster.change([entry("c1", { room_id: "members" })]);
    const lock = { name: "lock", room: "locked", data: { ttl_ms: 9 * IDLE_MS } };
    const { fence } = await accepted(spine, lock);
    for (let round = 0; round < 4; round++) {
      pass(IDLE_MS * 3 / 4);
      await accepted(spine, { name: "get", room: "read" });
      await swept();
    }
    for (const room of ["members", "locked", "read"]) assert.ok(await isStored(bed, room), room);
    cluster.change([], [entry("c1", { room_id: "members" })]);
    await accepted(spine, { name: "unlock", room: "locked", fence });
    pass(IDLE_MS - 1);
    await swept();
    for (const room of ["members", "locked", "read"]) assert.ok(await isStored(bed, room), room);
    pass(1);
    for (const room of ["members", "locked", "read"]) await ended(bed, room);
  });
});

Deno.test("no room ends while its members are uncertain", async () => {
  const { options, pass, swept } = controls();
  await withRooms(options, async (bed) => {
    bed.cluster.fresh = false;
    await accepted(bed.spine, set("lobby"));
    pass(10 * IDLE_MS);
    await swept();
    assert.ok(await isStored(bed, "lobby"));
    bed.cluster.fresh = true;
    await ended(bed, "lobby");
  });
});

Deno.test("a room outlives the Brain that served it, and still ends", async () => {
  const { options, pass, swept } = controls();
  await withTestBed(async (bed) => {
    const first = await bed.start("b1", options);
    await accepted(bed.spine, set("lobby"));
    bed.cluster.change([entry("c1")]);
    // Used until now, which only the first Brain knows.
    pass(IDLE_MS * 2);
    await swept();
    bed.cluster.change([], [entry("c1")]);
    await first.rooms.drain();
    await bed.start("b2", options);
    pass(IDLE_MS - 1);
    await swept();
    assert.ok(await isStored(bed, "lobby"), "never early");
    pass(IDLE_MS);
    await ended(bed, "lobby");
  });
});

for (const [by, step_ms] of [["forward", HOUR_MS], ["back", -HOUR_MS]] as const) {
  Deno.test(`a wall clock that is set ${by} by an hour ends no room that is in use, and keeps none that is not`, async () => {
    const { options, pass, step, swept } = controls();
    await withRooms(options, async (bed) => {
      for (const room of ["written", "locked"]) await accepted(bed.spine, set(room));
      const lock = { name: "lock", room: "locked", data: { ttl_ms: 2 * IDLE_MS } };
      await accepted(bed.spine, lock);
      pass(IDLE_MS - 1);
      step(step_ms);
      await swept();
      assert.equal((await accepted(bed.spine, { name: "get", room: "written" })).version, 1);
      await swept();
      pass(IDLE_MS - 1);
      await swept();
      for (const room of ["written", "locked"]) assert.ok(await isStored(bed, room), room);
      pass(1);
      await ended(bed, "written");
      assert.ok(await isStored(bed, "locked"), "as long as it is locked");
      // The end of the lease is a write.
      pass(1);
      await until("the lease has ended", async () => await bed.metric("brain_locks") === 0);
      pass(IDLE_MS);
      await ended(bed, "locked");
    });
  });
}

for (const [clock, ahead_ms] of [["ahead", HOUR_MS], ["behind", -HOUR_MS]] as const) {
  Deno.test(`a Brain whose clock is ${clock} by an hour ends no room that another one has just written`, async () => {
    const { options, pass, step, swept } = controls();
    await withTestBed(async (bed) => {
      bed.cluster.owner = () => "b1";
      await bed.start("b1", options);
      await accepted(bed.spine, set("lobby"));
      step(ahead_ms);
      await bed.start("b2", options);
      bed.cluster.handOver(() => "b2");
      await swept();
      assert.ok(await isStored(bed, "lobby"));
      pass(IDLE_MS - 1);
      await swept();
      assert.ok(await isStored(bed, "lobby"), "not sooner than one that sees it begin");
      pass(1);
      await ended(bed, "lobby");
    });
  });
}

Deno.test("observations of a Brain before another one owned the room, or before an outage, do not count", async () => {
  const { options, pass, swept } = controls();
  await withTestBed(async (bed) => {
    const { spine, cluster } = bed;
    cluster.owner = () => "b1";
    await bed.start("b1", options);
    await bed.start("b2", options);
    for (const room of ["lent", "away"]) await accepted(spine, set(room));
    pass(IDLE_MS - 1);
    cluster.handOver((room) => room === "lent" ? "b2" : "b1");
    await accepted(spine, { name: "get", room: "lent" });
    cluster.handOver(() => "b1");
    cluster.wasAway();
    pass(1);
    await swept();
    for (const room of ["lent", "away"]) assert.ok(await isStored(bed, room), room);
    pass(IDLE_MS);
    for (const room of ["lent", "away"]) await ended(bed, room);
  });
});

Deno.test("only its owner ends a room, which counts from when it owns it", async () => {
  const { options, pass, swept } = controls();
  await withTestBed(async (bed) => {
    bed.cluster.owner = () => "b2";
    await bed.bucket.put(["acme", "lobby"], encodeDocument({ ...emptyDocument(), version: 1 }));
    await bed.start("b1", options);
    pass(10 * IDLE_MS);
    await swept();
    assert.ok(await isStored(bed, "lobby"));
    bed.cluster.handOver(() => "b1");
    await swept();
    pass(IDLE_MS - 1);
    await swept();
    assert.ok(await isStored(bed, "lobby"));
    pass(1);
    await ended(bed, "lobby");
  });
});

Deno.test("idle_timeout_ms = 0: rooms never end", async () => {
  const now = () => START_MS * 2;
  const never = { config: { brain: { idle_timeout_ms: 0 } }, now };
  await withTestBed(async (bed) => {
    const document = { ...emptyDocument(), version: 1, created_ms: 1 };
    await bed.bucket.put(["acme", "old"], encodeDocument(document));
    let looked = 0;
    const wrap = (bucket: KeyValue): KeyValue =>
      overriding(bucket, { get: (key) => (looked++, bucket.get(key)) });
    const { rooms } = await bed.start("b1", { ...never, wrap });
    await until("it was looked at", () => looked > 0);
    await rooms.drain();
    assert.ok(await isStored(bed, "old"));
  });
});

Deno.test("a tenant has no more rooms than it may, by commands or members, on any Brain", async () => {
  const limited = { config: { brain: { rooms_per_tenant: 2 } } };
  await withTestBed(async (bed) => {
    const { spine, cluster } = bed;
    cluster.owner = (room_id) => room_id === "a" || room_id === "late" ? "b1" : "b2";
    const one = await bed.start("b1", limited);
    const two = await bed.start("b2", limited);
    for (const room of ["a", "b"]) await accepted(spine, set(room));
    for (const room of ["late", "d"]) {
      assert.equal(await refused(spine, set(room)), "429 room-limit");
    }
    assert.equal((await accepted(spine, { name: "get", room: "d" })).version, 0);
    assert.equal((await accepted(spine, set("a"))).version, 2);
    await accepted(spine, { ...set("a"), tenant: "other" });
    cluster.change([entry("c1", { room_id: "late" })]);
    const refusals = 'brain_room_lifecycle_refused_total{reason="room-limit"}';
    await until("the member's room is refused", async () => await one.metric(refusals) > 0);
    assert.equal(await isStored(bed, "late"), false);
    assert.equal(await two.metric(refusals), 0);
  });
});

Deno.test("members that an earlier owner left without a room get one", async () => {
  await withTestBed(async (bed) => {
    bed.cluster.owner = () => "b1";
    bed.cluster.change([entry("c1")]);
    await bed.start("b1");
    await until("it is made", () => isStored(bed, "lobby"));
  });
});

Deno.test("a storm of first members makes every room once", async () => {
  const config = { brain: { rooms_per_tenant: 1_000 } };
  await withRooms({ config }, async (bed) => {
    const { cluster, bucket, metric } = bed;
    for (let index = 0; index < 500; index++) {
      cluster.change([entry("c1", { room_id: `room-${index}` })]);
    }
    await until("all are made", async () => (await bucket.keys()).length === 500);
    assert.equal(await metric("brain_rooms_created_total"), 500);
  });
});

Deno.test("a storm that the queue does not hold is made in the end all the same", async () => {
  const config = { brain: { rooms_per_tenant: 2 } };
  await withRooms({ config }, async (bed) => {
    const { cluster, bucket, metric } = bed;
    for (let index = 0; index < 60; index++) {
      cluster.change([entry("c1", { tenant_id: `tenant-${index}` })]);
    }
    assert.ok(await metric('brain_room_lifecycle_refused_total{reason="queue-full"}') > 0);
    await until("all are made", async () => (await bucket.keys()).length === 60);
  });
});

/** How far clocks are set, in ms; each test sets one ahead and back. */
const AHEAD_MS = [2_000, 20_000, 2 * HOUR_MS];
for (const ahead_ms of AHEAD_MS) {
  Deno.test(`a recreated room begins above its earlier versions, though a clock was ahead by ${ahead_ms} ms`, async () => {
    const { options, pass, step } = controls();
    await withTestBed(async (bed) => {
      const given = { ...options, has_versions: true } as const;
      const first = await bed.start("b1", given);
      // It only receives the room's announcements.
      const second = await bed.start("b2", given);
      step(ahead_ms);
      const { version } = await accepted(bed.spine, set("lobby"));
      pass(IDLE_MS);
      await ended(bed, "lobby");
      step(-ahead_ms);
      const again = await accepted(bed.spine, set("lobby"));
      assert.ok(Number(again.version) > Number(version), `${again.version} after ${version}`);
      pass(IDLE_MS);
      await ended(bed, "lobby");
      await first.rooms.drain();
      const elsewhere = await accepted(bed.spine, set("lobby"));
      assert.ok(Number(elsewhere.version) > Number(again.version), "at another Brain");
      await second.rooms.drain();
    });
  });
}
