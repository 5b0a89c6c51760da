/** Commands that wait for a version (`after_version`), on an embedded Spine. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { accepted, refused, sendAtOnce, sendCommand } from "./testing/command_probe.ts";
import { withRooms, withTestBed } from "./testing/room_test_bed.ts";

const set = (value: unknown, more = {}) => ({ name: "set", data: { key: "k", value }, ...more });

Deno.test("a read of a future version waits for it", async () => {
  await withRooms({}, async ({ spine }) => {
    const { epoch } = await accepted(spine, set(1));
    const reads = [2, 3].map((after_version) =>
      accepted(spine, { name: "get", data: { key: "k" }, after_version, epoch })
    );
    const write = sendCommand(spine, set("late", { after_version: 3 }));
    await accepted(spine, set(2));
    assert.equal((await reads[0]).version, 2);
    await accepted(spine, set(3));
    assert.ok((await reads[1]).version >= 3);
    assert.equal((await write).code, 0);
    assert.equal((await accepted(spine, { name: "get", data: { key: "k" } })).value, "late");
  });
});

Deno.test("it also sees what another Brain writes", async () => {
  await withTestBed(async ({ start }) => {
    const one = await start("b1");
    const two = await start("b2");
    // Both believe that they own the room.
    assert.deepEqual(await sendAtOnce(one.handle, [set(1)]), [0]);
    const read = sendAtOnce(one.handle, [{ name: "get", after_version: 2 }]);
    await until("the read waits", async () => await one.metric("brain_pending_commands") === 1);
    assert.deepEqual(await sendAtOnce(two.handle, [set(2)]), [0]);
    assert.deepEqual(await read, [0]);
  });
});

Deno.test("a version that is never reached is 408 at the deadline, and other commands are served meanwhile", async () => {
  const config = { limits: { command_timeout_ms: 600 } };
  await withRooms({ config }, async ({ spine, metric }) => {
    const read = refused(spine, { name: "get", after_version: 99 });
    for (let index = 1; index <= 5; index++) {
      assert.equal((await accepted(spine, set(index))).version, index);
    }
    assert.equal(await read, "408 command-timeout");
    assert.equal(await metric("brain_pending_commands"), 0);
  });
});

Deno.test("those that wait count as pending, and end with their Brain", async () => {
  const config = { brain: { pending_commands: 2 } };
  await withRooms({ config }, async ({ spine, rooms, metric }) => {
    const waiting = [1, 2].map(() => refused(spine, { name: "get", after_version: 9 }));
    await until("both wait", async () => await metric("brain_pending_commands") === 2);
    assert.equal(await refused(spine, { name: "get" }), "429 too-many-pending");
    await rooms.drain();
    assert.deepEqual(await Promise.all(waiting), Array(2).fill("503 brain-unavailable"));
  });
});
