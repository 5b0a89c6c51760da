/**
 * Reducers that fail repeatedly: a user whose calls fail is slowed. A room that fails for several users, or by its
 * timers, is cut off for a while. Nobody else is affected. No case depends on the speed of the machine.
 */
import assert from "node:assert/strict";
import { sha256Hex } from "../../shared/sha256.ts";
import { until } from "../../shared/testing/until.ts";
import { BREAKER } from "./room/faults.ts";
import { deploy, storeModule } from "./testing/deploys.ts";
import { moduleOf, PLAIN } from "./testing/guest_text.ts";
import { applied, call, entriesOf, metric, ONE_ENGINE } from "./testing/reducer_world.ts";

const FIRST = (field: number) =>
  `(i32.load8_u (i32.add (call $room_field (i32.const ${field})) (i32.const 4)))`;
/** Fails where its data begins with an x. */
const MOODY = moduleOf({
  apply: `(if (i32.eq ${FIRST(1)} (i32.const 120)) (then unreachable)) (i32.const 0)`,
});
/** A command of the room itself fails; any other sets 20 of them. */
const TIMERS = moduleOf({
  apply: `(local $at i32)
    (if (i32.lt_u ${FIRST(0)} (i32.const 64)) (then unreachable))
    (loop $more
      (i32.store8 (i32.const 100) (i32.add (i32.const 33) (local.get $at)))
      (call $room_schedule (i32.const 100) (i32.const 1)
        (i64.add (call $room_now) (i64.const 10)) (i32.const 100) (i32.const 1)
        (i32.const 0) (i32.const 0))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $at) (i32.const 20))))
    (i32.const 0)`,
});

for (const [engine, open] of Object.entries(ONE_ENGINE)) {
  Deno.test(`${engine}: a room whose reducer fails for several is cut off for a while, and no other`, async () => {
    await using world = await open({ modules: { moody: MOODY } });
    const brain = await world.start("a");
    for (const [at, user] of ["a", "a", "b", "b", "c"].entries()) {
      // Clients may retry after a lost connection; a repeated answer does not count as a success.
      const about = { data: "x", user, id: `go-${at}` };
      for (let time = 0; time < (user === "c" ? 1 : 2); time++) {
        assert.match(String(await call(brain, "moody", "go", about)), /reducer-trap/);
      }
    }
    const cut = await call(brain, "moody", "go", { user: "d" });
    assert.match(String(cut), /^429 rate-limited.*breaker-open/);
    assert.equal((await entriesOf(brain, "moody")).length, 9, "what is held back is no entry");
    assert.equal(await metric(brain, "brain_reducer_open_breakers"), 1);
    assert.match(brain.lines.join(""), /level=error [^\n]*room cut off/);
    const { rooms: [room], total } = brain.service.cutOff("t");
    assert.deepEqual([room?.room_id, room?.module, total], ["moody", await sha256Hex(MOODY), 1]);
    assert.equal(room!.until_ms - room!.since_ms, BREAKER.cool_down_ms);
    assert.deepEqual([room?.fault?.entry, room?.fault?.reason], [9, "reducer-trap"]);
    assert.equal(brain.service.cutOff("u").total, 0);
    world.turn("b");
    assert.equal(brain.service.cutOff("t").total, 0, "another Brain has the room");
    assert.equal(await metric(brain, "brain_reducer_open_breakers"), 0);
    world.turn("a");
    await applied(brain, "moody-1", "go", { user: "a" });
    world.passed_ms += BREAKER.cool_down_ms;
    await applied(brain, "moody", "go", { user: "d" });
    assert.equal(await metric(brain, "brain_reducer_open_breakers"), 0);
    assert.equal(brain.service.cutOff("t").total, 0);
    await applied(brain, "moody", "go", { user: "a" });
  });

  Deno.test(`${engine}: a room that has another module is no longer cut off`, async () => {
    await using world = await open({ modules: { moody: MOODY } });
    const brain = await world.start("a");
    for (const user of ["a", "b", "c", "d", "e"]) {
      assert.match(String(await call(brain, "moody", "go", { data: "x", user })), /reducer-trap/);
    }
    assert.equal(await metric(brain, "brain_reducer_open_breakers"), 1);
    await storeModule(brain, PLAIN);
    await deploy(brain, "moody", PLAIN);
    const loaded = () => metric(brain, "brain_reducer_deploys_total", { outcome: "loaded" });
    await until("it is loaded", async () => await loaded() === 1);
    await until(
      "it answers",
      async () => typeof await call(brain, "moody", "go", { user: "f" }) !== "string",
    );
    assert.equal(await metric(brain, "brain_reducer_open_breakers"), 0);
    assert.equal(brain.service.cutOff("t").total, 0);
  });

  Deno.test(`${engine}: one user whose calls make a reducer fail is slowed, and nobody else`, async () => {
    await using world = await open({ modules: { moody: MOODY } });
    const brain = await world.start("a");
    for (let at = 0; at < 3; at++) {
      assert.match(String(await call(brain, "moody", "go", { data: "x" })), /reducer-trap/);
    }
    assert.match(String(await call(brain, "moody", "go")), /^429 rate-limited.*sender-slowed/);
    await applied(brain, "moody", "go", { user: "bob" });
    const about = { fault: "sender-slowed" };
    assert.equal(await metric(brain, "brain_reducer_held_total", about), 1);
    world.passed_ms += 1_000;
    await applied(brain, "moody", "go");
  });

  Deno.test(`${engine}: timers are held after repeated failures, and tried one at a time`, async () => {
    await using world = await open({ modules: { timers: TIMERS } });
    const brain = await world.start("a");
    await applied(brain, "timers", "begin");
    const held = () => metric(brain, "brain_reducer_held_total", { fault: "breaker-open" });
    await until("its timers are held", async () => await held() > 0);
    const count = async () => (await entriesOf(brain, "timers")).length;
    assert.equal(await count(), 1 + BREAKER.failures);
    world.passed_ms += BREAKER.cool_down_ms;
    await until("one is tried", async () => await count() > 1 + BREAKER.failures);
    assert.equal(await count(), 2 + BREAKER.failures);
  });
}
