/** What the rooms of a tenant may still do when its byte quota is reached, on an embedded Spine. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { accepted, refused, sendCommand } from "../testing/command_probe.ts";
import { entry, withRooms } from "../testing/room_test_bed.ts";

const config = { brain: { room_bytes_per_tenant: 1_048_576 } };
const FULL = "429 room-bytes-limit";
const set = (room: string, key: string, size: number, tenant = "acme") => ({
  name: "set",
  room,
  tenant,
  data: { key, value: "x".repeat(size) },
});

Deno.test("a tenant with too many bytes may make rooms smaller, and moderate them, but no larger", async () => {
  await withRooms({ config }, async (stand) => {
    const { spine, bucket, cluster, metric } = stand;
    let rooms = 0;
    while ((await sendCommand(spine, set(`r${rooms}`, "k", 100_000))).code === 0) rooms++;
    assert.equal(rooms, 10);
    const { message } = await sendCommand(spine, set("r0", "more", 100_000));
    assert.match(message, /may not take more than 1048576 bytes/);
    // The rest of the quota is used up.
    let keys = 0;
    for (const size of [1_000, 100, 1]) {
      while ((await sendCommand(spine, set("r1", `k${keys}`, size))).code === 0) keys++;
    }
    assert.ok(keys > 10, `${keys} keys`);
    for (
      const command of [
        { name: "lock", room: "r0" },
        { name: "delete", room: "r0", data: { key: "none" } },
        set("r2", "k", 100_002),
        set("r0", "k2", 1),
      ]
    ) assert.equal(await refused(spine, command), FULL, JSON.stringify(command).slice(0, 99));
    cluster.change([entry("c1", { room_id: "member" })]);
    const births = 'brain_room_lifecycle_refused_total{reason="room-bytes-limit"}';
    await until("the member's room is not made", async () => await metric(births) > 0);
    await accepted(spine, set("r0", "k", 100_000, "other"));
    for (const name of ["ban", "unban"]) {
      await accepted(spine, { name, room: "r0", data: { user_id: "u2", scope: "room" } });
    }
    assert.ok(await metric("brain_room_bytes_refused_total") >= 6);
    await until(
      "the bound is reported",
      async () => await metric("brain_room_bytes_limit") === 1_048_576,
    );
    await accepted(spine, set("r2", "k", 10));
    await accepted(spine, { name: "delete", room: "r3", data: { key: "k" } });
    await accepted(spine, set("r0", "k2", 100_000));
    await accepted(spine, { name: "lock", room: "r0" });
    await until("the largest is reported", async () => {
      const largest = await metric("brain_room_bytes_largest");
      return largest > 900_000 && largest <= 1_100_000;
    });
    const sizes = await bucket.sizes(["acme"]);
    assert.ok(sizes.reduce((sum, { size_bytes }) => sum + size_bytes, 0) <= 1_048_576);
  });
});

Deno.test("commands of one batch are refused one by one", async () => {
  await withRooms({ config }, async ({ spine }) => {
    for (let room = 0; room < 10; room++) await accepted(spine, set(`r${room}`, "k", 100_000));
    let keys = 0;
    for (const size of [1_000, 100, 1]) {
      while ((await sendCommand(spine, set("r1", `k${keys}`, size))).code === 0) keys++;
    }
    // In this order the answers are the same for any split into batches.
    const commands = [
      set("r0", "new", 100_000),
      set("r0", "k", 99_000),
      { name: "get", room: "r0", data: { key: "k" } },
    ];
    const replies = await Promise.all(commands.map((command) => sendCommand(spine, command)));
    assert.deepEqual(replies.map(({ reason }) => reason), [...["room-bytes-limit", "", ""]]);
    assert.equal(JSON.parse(replies[2]!.result).value.length, 99_000);
    await accepted(spine, set("r0", "new", 100));
  });
});
