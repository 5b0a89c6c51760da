/** Commands find the owner of their room, on an embedded Spine with several Brains. */
import assert from "node:assert/strict";
import { processSubject } from "../../shared/subjects/subject.ts";
import { until } from "../../shared/testing/until.ts";
import { accepted, refused, sendAtOnce, sendCommand } from "../rooms/testing/command_probe.ts";
import { withTestBed } from "../rooms/testing/room_test_bed.ts";

const set = (value: unknown, more = {}) => ({ name: "set", data: { key: "k", value }, ...more });

Deno.test("a command is served by the owner, whoever received it, with its origin", async () => {
  await withTestBed(async ({ spine, cluster, start }) => {
    cluster.owner = () => "b2";
    const nodes = [await start("b1"), await start("b2"), await start("b3")];
    for (let index = 0; index < 30; index++) {
      assert.equal((await accepted(spine, set(index))).version, index + 1);
    }
    const served = await Promise.all(
      nodes.map(({ metric }) => metric('brain_commands_total{name="room.set",code="0"}')),
    );
    assert.deepEqual(served, [0, 30, 0]);
    const forwarded = await Promise.all(
      nodes.map(({ metric }) => metric('brain_commands_forwarded_total{outcome="answered"}')),
    );
    assert.equal(forwarded[1], 0);
    assert.ok(forwarded[0]! > 0 && forwarded[2]! > 0, String(forwarded));
    const pending = await Promise.all(nodes.map(({ metric }) => metric("brain_pending_bytes")));
    assert.deepEqual(pending, [0, 0, 0]);

    await accepted(spine, { name: "lock", origin: "c1" });
    for (let index = 0; index < 6; index++) {
      await accepted(spine, set(index, { origin: "c1" }));
      assert.equal(await refused(spine, set(index, { origin: "c2" })), "409 locked");
    }
  });
});

Deno.test("a dead owner is suspected, and the command goes to the next", async () => {
  await withTestBed(async ({ spine, cluster, start }) => {
    const one = await start("b1");
    cluster.owner = () => cluster.suspected.length === 0 ? "gone" : "b1";
    assert.equal((await accepted(spine, set(1))).version, 1);
    assert.deepEqual(cluster.suspected, ["gone"]);
    assert.equal(await one.metric('brain_commands_forwarded_total{outcome="rerouted"}'), 1);
  });
});

Deno.test("when every owner is dead, the Brain that has the command serves it", async () => {
  await withTestBed(async ({ spine, cluster, start }) => {
    await start("b1");
    cluster.owner = () => "gone";
    assert.equal((await accepted(spine, set(1))).version, 1);
    assert.ok(cluster.suspected.length > 1);
  });
});

Deno.test("an owner that does not answer is 408 after the timeout", async () => {
  await withTestBed(async ({ spine, cluster, start }) => {
    const config = { limits: { command_timeout_ms: 50 } };
    // The clock does not advance, so that the 50 ms do not expire before the owner is asked.
    const one = await start("b1", { config, monotonic_ms: () => 0 });
    cluster.owner = () => "frozen";
    spine.subscribe(processSubject("commands", "frozen"), () => {});
    const { code, reason, message } = await sendCommand(spine, set(1));
    assert.equal(`${code} ${reason}`, "408 command-timeout");
    assert.match(message, / 50 ms$/);
    assert.deepEqual(cluster.suspected, []);
    assert.equal(await one.metric('brain_commands_forwarded_total{outcome="timed-out"}'), 1);
  });
});

Deno.test("Brains that name each other as the owner do not play ball with a command", async () => {
  await withTestBed(async ({ spine, cluster, start }) => {
    const one = await start("b1");
    const two = await start("b2");
    // Each Brain that has the command names the other as owner.
    let requests = 0;
    cluster.owner = () => requests++ % 2 === 0 ? "b2" : "b1";
    for (let index = 0; index < 10; index++) await accepted(spine, set(index));
    const sum = await one.metric("brain_commands_total") + await two.metric("brain_commands_total");
    assert.equal(sum, 10);
  });
});

Deno.test("an invalid forwarded command is refused, and so is one without an origin", async () => {
  await withTestBed(async ({ spine, start }) => {
    const { metric } = await start("b1");
    const subject = processSubject("commands", "b1");
    await spine.request(subject, new Uint8Array([1]), { timeout_ms: 5_000 });
    assert.equal(await metric('brain_commands_total{name="unknown",code="400"}'), 1);
  });
});

Deno.test("a command_id is known after hundreds of other changes, also to the next owner", async () => {
  await withTestBed(async ({ spine, bucket, cluster, start }) => {
    const one = await start("b1");
    await start("b2");
    cluster.handOver(() => "b1");
    await accepted(spine, set("first", { command_id: "once" }));
    for (let round = 0; round < 4; round++) {
      const others = Array.from(
        { length: 200 },
        (_, index) => set(index, { command_id: `${round}-${index}` }),
      );
      assert.deepEqual(await sendAtOnce(one.handle, others), Array(200).fill(0));
    }
    const pages = (await bucket.keys()).filter(({ length }) => length === 3);
    assert.ok(pages.length >= 2, "older ones are beside the document");
    for (const owner of ["b1", "b2"]) {
      cluster.handOver(() => owner);
      const { version } = await accepted(spine, set(owner, { command_id: "once" }));
      assert.equal(version, 1);
      assert.equal((await accepted(spine, set(owner, { command_id: "2-7" }))).version > 1, true);
      const state = await accepted(spine, { name: "get", data: { key: "k" } });
      assert.deepEqual([state.version, state.value], [801, 199]);
    }
  });
});

for (const hours of [2, -2]) {
  Deno.test(`a command_id is known for its time to an owner whose clock differs by ${hours} h, and no longer`, async () => {
    await withTestBed(async ({ spine, cluster, start }) => {
      let passed_ms = 0;
      const clocks = (ahead_ms: number) => ({
        now: () => 1_767_323_045_000 + passed_ms + ahead_ms,
        monotonic_ms: () => passed_ms,
      });
      await start("b1", clocks(0));
      await start("b2", clocks(hours * 3_600_000));
      const once = (value: string) => set(value, { command_id: "once" });
      const ownedBy = async (owner: string, value: number) => {
        cluster.handOver(() => owner);
        // An owner forgets with its first write.
        return (await accepted(spine, set(value))).version;
      };
      await ownedBy("b1", 0);
      await accepted(spine, once("first"));
      for (const [at, owner] of ["b2", "b1", "b2"].entries()) {
        passed_ms += 150_000;
        assert.equal(await ownedBy(owner, at), at + 3);
        assert.equal((await accepted(spine, once(owner))).version, 2, `at ${owner}`);
      }
      passed_ms += 650_000;
      await accepted(spine, set(9));
      assert.equal((await accepted(spine, once("again"))).version, 7, "its time is over");
    });
  });
}

Deno.test("a draining Brain answers pending commands and those still sent to it", async () => {
  await withTestBed(async ({ spine, cluster, start }) => {
    const one = await start("b1");
    const two = await start("b2");
    cluster.owner = () => "b1";
    const taken = Array.from({ length: 20 }, (_, index) => sendCommand(spine, set(index)));
    await spine.flush();
    cluster.handOver(() => "b2");
    await one.rooms.drain();
    for (const { code } of await Promise.all(taken)) assert.equal(code, 0);
    assert.equal((await accepted(spine, set("after"))).version, 21);
    await until("nothing is left", async () => await two.metric("brain_pending_commands") === 0);
  });
});
