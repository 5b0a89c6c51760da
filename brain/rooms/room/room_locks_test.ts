/** Locks as clients see them, on an embedded Spine: leases that expire, holders that leave. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { accepted, refused, sendAtOnce, sendCommand } from "../testing/command_probe.ts";
import { entry, type RoomTestBed, withRooms, withTestBed } from "../testing/room_test_bed.ts";

const lock = (origin: string, more = {}) => ({ name: "lock", origin, sender: origin, ...more });
const set = (value: unknown, more = {}) => ({ name: "set", data: { key: "k", value }, ...more });

/** The events after a version as `op cause`. */
async function eventsAfter({ spine }: RoomTestBed, version: number): Promise<string[]> {
  const { events } = await accepted(spine, { name: "get", data: { events_after: version } });
  return events.map(({ op, cause = "" }: { op: string; cause?: string }) => `${op} ${cause}`);
}

Deno.test("commands of one turn that lock and unlock get fences of their own", async () => {
  await withRooms({}, async ({ spine, handle }) => {
    const turn = ["c1", "c2", "c3"].flatMap((origin) => [
      lock(origin),
      { name: "unlock", origin, sender: origin },
    ]);
    assert.deepEqual(await sendAtOnce(handle, turn), [0, 0, 0, 0, 0, 0]);
    const { events } = await accepted(spine, { name: "get", data: { events_after: 0 } });
    const fences = events.map(({ fence }: { fence: number }) => fence);
    assert.equal(new Set(fences).size, 3);
    assert.deepEqual(fences, fences.toSorted((a: number, b: number) => a - b));
  });
});

Deno.test("a Brain's clock that is set back by an hour: its locks end, and are granted, as if it were not", async () => {
  let shift_ms = 0;
  const clocks = { now: () => Date.now() + shift_ms, monotonic_ms: () => performance.now() };
  await withRooms(clocks, async ({ spine, subscribe }) => {
    const received = await subscribe("out.t.acme.r.lobby");
    const data = { ttl_ms: 1_000 };
    await accepted(spine, lock("c1", { data }));
    shift_ms = -3_600_000;
    const { code, reason, retry_after_ms } = await sendCommand(spine, lock("c2", { data }));
    assert.equal(`${code} ${reason}`, "409 locked");
    assert.ok(retry_after_ms <= 1_000, `${retry_after_ms}`);
    await until("the end is notified", () => received.length >= 2);
    const { until_ms } = await accepted(spine, lock("c2", { data }));
    assert.ok(until_ms <= clocks.now() + 1_000);
    shift_ms = 3_600_000;
    assert.equal(await refused(spine, lock("c3", { data })), "409 locked", "nor does it end early");
  });
});

Deno.test("a lock falls when its holder leaves, not when others do or its meta changes", async () => {
  await withRooms({}, async (bed) => {
    const { spine, cluster, metric } = bed;
    cluster.change([entry("c1"), entry("c2")]);
    await accepted(spine, lock("c1"));
    cluster.change([entry("c1", { meta: "{}" })], [entry("c1")]);
    cluster.change([], [entry("c2")]);
    assert.deepEqual(await eventsAfter(bed, 0), ["lock "]);
    cluster.change([], [entry("c1")]);
    assert.deepEqual(await eventsAfter(bed, 0), ["lock ", "unlock holder-left"]);
    assert.equal(await metric('brain_locks_fallen_total{cause="holder-left"}'), 1);
  });
});

Deno.test("a lock does not fall because a Shield was given up", async () => {
  await withRooms({}, async (bed) => {
    const { spine, cluster } = bed;
    cluster.change([entry("c1")]);
    await accepted(spine, lock("c1"));
    cluster.change([], [entry("c1")], "given-up");
    assert.deepEqual(await eventsAfter(bed, 0), ["lock "]);
    assert.equal(await refused(spine, lock("c2")), "409 locked");
  });
});

Deno.test("a lock that is granted as its holder leaves falls at once", async () => {
  await withRooms({}, async (bed) => {
    const { cluster, handle } = bed;
    cluster.change([entry("c1")]);
    const codes = sendAtOnce(handle, [lock("c1")]);
    cluster.change([], [entry("c1")]);
    assert.deepEqual(await codes, [0]);
    await until("it has fallen", async () => (await eventsAfter(bed, 0)).length === 2);
  });
});

Deno.test("a leave between two owners is not forgotten", async () => {
  await withTestBed(async (bed) => {
    const { spine, cluster, start } = bed;
    cluster.owner = () => "b1";
    const first = await start("b1");
    cluster.change([entry("c1")]);
    await accepted(spine, lock("c1"));
    await start("b2");
    await first.rooms.drain();
    // No owner of the room receives this.
    cluster.change([], [entry("c1")]);
    cluster.handOver(() => "b2");
    await until("it has fallen", async () => (await eventsAfter(bed, 0)).length === 2);
    assert.deepEqual(await eventsAfter(bed, 1), ["unlock holder-left"]);
  });
});

for (const [clock, ahead_ms] of [["ahead", 3_600_000], ["behind", -3_600_000]] as const) {
  Deno.test(`a Brain whose clock is ${clock} by an hour takes a room over: its lock stays, and ends`, async () => {
    await withTestBed(async (bed) => {
      const { spine, cluster, start } = bed;
      let monotonic_ms = 0;
      const now = () => 1_700_000_000_000 + monotonic_ms;
      const clocks = { now, monotonic_ms: () => monotonic_ms };
      cluster.owner = () => "b1";
      const first = await start("b1", clocks);
      const { fence } = await accepted(spine, lock("c1", { data: { ttl_ms: 30_000 } }));
      await first.rooms.drain();
      monotonic_ms = 1_000;
      const next = await start("b2", { ...clocks, now: () => now() + ahead_ms });
      cluster.handOver(() => "b2");
      assert.equal(await refused(spine, lock("c2")), "409 locked");
      assert.equal((await accepted(spine, set(1, { fence }))).version, 2);
      monotonic_ms += 30_000;
      await until("its end", async () => await next.metric("brain_locks_fallen_total") === 1);
      assert.ok((await accepted(spine, lock("c2"))).fence > fence);
    });
  });
}
