/** A room log under reconnect storms, outages and overflow, and the answer to each position. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import type { EntryPoint, Position } from "../../fanout/entry.ts";
import type { LastReceived } from "./follower.ts";
import { NO_FAULTS, settled } from "../testing/sim_log.ts";
import { type SimOptions, SimRoom, SimSubscriber } from "../testing/sim_room.ts";

/** A started room with that many messages before it was opened here. */
async function roomWith(messages: number, options: Partial<SimOptions> = {}): Promise<SimRoom> {
  const sim = new SimRoom({ seed: 1, ...options });
  for (let put = 0; put < messages; put++) sim.log.put();
  await sim.clock.advance(10);
  sim.room.start();
  await sim.clock.advance(10);
  return sim;
}

const offsetsOf = ({ received }: SimSubscriber) =>
  received.map((one) => one.kind === "entry" ? one.offset : one.reason);
const readsOf = ({ log: { calls } }: SimRoom) => calls.head + calls.read + calls.readBack;
const outcome = ({ answer }: SimSubscriber) => answer?.reason || String(answer?.recovered);

Deno.test("a reconnect storm of 3,000 subscribers costs a few reads", async () => {
  using sim = await roomWith(500);
  sim.log.faults = { ...NO_FAULTS, delay_ms: 20 };
  const before = readsOf(sim);
  const coming = Array.from({ length: 3_000 }, (_, n) => {
    const after = 400 + (n * 37) % 100;
    return sim.enter({ after, epoch: n % 2 === 0 ? sim.epoch() : "" });
  });
  await sim.clock.advance(1_000);
  const subscribers = await Promise.all(coming);
  assert.ok(readsOf(sim) - before <= 5, `${readsOf(sim) - before} reads`);
  for (const subscriber of subscribers) {
    subscriber.read(Infinity);
    const { answer, position, received } = subscriber;
    assert.equal(answer?.recovered, true);
    assert.equal(received.length, 500 - (position?.after ?? 0));
    assert.equal(sim.fault(subscriber), undefined);
  }
});

Deno.test("a storm with positions of the future, or of another epoch, costs one or two requests", async () => {
  using sim = await roomWith(10);
  const before = readsOf(sim);
  const coming = Array.from(
    { length: 5_000 },
    (_, n) => sim.enter(n % 2 === 0 ? { after: 11 + n, epoch: "" } : { after: 3, epoch: "other" }),
  );
  await sim.clock.advance(100);
  const outcomes = new Set((await Promise.all(coming)).map(outcome));
  assert.deepEqual(outcomes, new Set(["offset-ahead", "epoch-changed"]));
  assert.ok(readsOf(sim) - before <= 2, `${readsOf(sim) - before} reads`);
});

for (
  const [name, recovery_messages, served, reason] of [
    ["too far", 100, 101, "too-many"],
    ["too old", 10_000, 2_501, "history-trimmed"],
  ] as const
) {
  Deno.test(`any number of positions that are ${name} costs a bounded number of reads`, async () => {
    using sim = await roomWith(3_000, { recovery_messages, room_class: { history_size: 5_000 } });
    sim.log.remove(2_500);
    const before = readsOf(sim);
    // Every third position, with the last one and those on both sides of the border.
    const border = 3_001 - served;
    const positions = Array.from({ length: 3_001 }, (_, after) => after)
      .filter((after) => after % 3 === 0 || Math.abs(after - border) < 3);
    const coming = positions.map((after) => sim.enter({ after, epoch: "" }, 0, true));
    await sim.clock.advance(1_000);
    const counts = Map.groupBy(await Promise.all(coming), outcome);
    const good = positions.filter((after) => after >= border).length;
    const expected = new Map([[reason, positions.length - good], ["true", good]]);
    assert.deepEqual(new Map([...counts].map(([key, all]) => [key, all.length])), expected);
    // Each failed try decides half of the remaining ones.
    assert.ok(readsOf(sim) - before <= 40, `${readsOf(sim) - before} reads`);
    const again = readsOf(sim);
    await sim.enter({ after: 400, epoch: "" });
    assert.equal(readsOf(sim), again, "known facts are not requested again");
  });
}

Deno.test("each position gets its correct answer", async () => {
  const options = { recovery_messages: 20, room_class: { history_size: 40 } };
  const expected: [name: string, position: Position, outcome: string, first: number | undefined][] =
    [
      ["at the end", { after: 60, epoch: "" }, "true", undefined],
      ["one missed", { after: 59, epoch: "" }, "true", 60],
      ["as many as one SUB can recover", { after: 40, epoch: "" }, "true", 41],
      ["one more", { after: 39, epoch: "" }, "too-many", undefined],
      ["as many as are retained", { after: 20, epoch: "" }, "too-many", undefined],
      ["one more than are retained", { after: 19, epoch: "" }, "history-trimmed", undefined],
      ["the beginning", { after: 0, epoch: "" }, "history-trimmed", undefined],
      ["the future", { after: 61, epoch: "" }, "offset-ahead", undefined],
      ["another epoch", { after: 59, epoch: "other" }, "epoch-changed", undefined],
    ];
  for (const [name, position, answer, first] of expected) {
    using sim = await roomWith(60, options);
    const coming = sim.enter(position);
    await sim.clock.advance(1_000);
    const subscriber = await coming;
    subscriber.read(Infinity);
    assert.equal(outcome(subscriber), answer, name);
    assert.equal(offsetsOf(subscriber)[0], first, name);
    assert.deepEqual(subscriber.answer?.offset, 60, name);
  }
});

Deno.test("expired messages of a class are not recovered, though the log still has them", async () => {
  using sim = await roomWith(5, { room_class: { history_ttl_seconds: 60 } });
  await sim.clock.advance(61_000);
  sim.log.put();
  await sim.clock.advance(10);
  const [old, recent] = await Promise.all([3, 5].map((after) => sim.enter({ after, epoch: "" })));
  assert.deepEqual([old, recent].map((one) => one && outcome(one)), ["history-trimmed", "true"]);
});

Deno.test("a position in an empty room is valid until a later message is removed", async () => {
  using sim = new SimRoom({ seed: 1 });
  sim.log.skip(50);
  sim.room.start();
  await sim.clock.advance(10);
  const subscriber = await sim.enter(undefined);
  assert.equal(subscriber.answer?.offset, 50);
  sim.log.skip(20);
  const coming = [50, 70, 10, 0].map((after) => sim.enter({ after, epoch: sim.epoch() }));
  await sim.clock.advance(100);
  const outcomes = (await Promise.all(coming)).map(outcome);
  assert.deepEqual(outcomes, ["true", "true", "true", "true"]);
  sim.log.put();
  await sim.clock.advance(10);
  assert.deepEqual(offsetsOf(subscriber), [71]);
});

Deno.test("cache_last: a subscriber without a recovery gets the last message, unless it has expired", async () => {
  using sim = await roomWith(5, { room_class: { cache_last: true, history_ttl_seconds: 60 } });
  const fresh = await sim.enter(undefined);
  const known = await sim.enter({ after: 5, epoch: "" });
  const foreign = sim.enter({ after: 2, epoch: "other" });
  await sim.clock.advance(10);
  assert.deepEqual(offsetsOf(fresh), [5]);
  assert.deepEqual(offsetsOf(known), []);
  assert.deepEqual(offsetsOf(await foreign), [5]);
  await sim.clock.advance(61_000);
  assert.deepEqual(offsetsOf(await sim.enter(undefined)), []);
});

Deno.test("if the room was received before its log started, later messages come out, or a gap is reported", async () => {
  const received = async (offset: number, keep = 5, stream?: string) => {
    using sim = new SimRoom({ seed: 1 });
    sim.log.faults = { ...NO_FAULTS, lost: 1 };
    for (let put = 0; put < 5; put++) sim.log.put();
    sim.log.remove(keep);
    const subscriber = new SimSubscriber(undefined);
    sim.subscribers.push(subscriber);
    sim.room.start((): LastReceived => ({ stream: stream ?? sim.log.stream, offset }));
    await sim.clock.advance(100);
    return offsetsOf(subscriber);
  };
  assert.deepEqual([await received(3), await received(5)], [[4, 5], []]);
  assert.deepEqual(await received(0), [], "nothing is known about the missing messages");
  assert.deepEqual(await received(1, 2), ["history-trimmed", 4, 5]);
  assert.deepEqual(await received(9, 5, "former"), ["epoch-changed"]);
});

for (const left of [2, 0]) {
  Deno.test(`messages removed from the log are served for at most one second, ${left} are left`, async () => {
    using sim = await roomWith(5, { room_class: { cache_last: true } });
    const listening = await sim.enter(undefined);
    const all = await sim.enter({ after: 1, epoch: "" });
    assert.deepEqual(offsetsOf(all), [2, 3, 4, 5]);
    sim.log.purge(left);
    await sim.clock.advance(1_000);
    const coming = [1, 2, 3, 5].map((after) => sim.enter({ after, epoch: "" }));
    const fresh = sim.enter(undefined);
    await sim.clock.advance(1_000);
    const outcomes = (await Promise.all(coming)).map(outcome);
    const none = "history-trimmed";
    assert.deepEqual(outcomes, [none, none, left === 0 ? none : "true", "true"]);
    assert.deepEqual(offsetsOf(await fresh), left === 0 ? [] : [5]);
    sim.log.put();
    await sim.clock.advance(10);
    assert.deepEqual(offsetsOf(listening), [5, 6], "live subscribers have missed nothing");
  });
}

Deno.test("a message that was stored unseen and erased at once is a gap", async () => {
  using sim = await roomWith(5);
  const subscriber = await sim.enter(undefined);
  sim.log.faults = { ...NO_FAULTS, lost: 1 };
  sim.log.put();
  sim.log.purge(0);
  sim.log.faults = NO_FAULTS;
  sim.log.put();
  await sim.clock.advance(100);
  assert.deepEqual(offsetsOf(subscriber), ["history-trimmed", 7]);
});

Deno.test("an erased message is served for at most one second, and subscribers that missed it are refused", async () => {
  using sim = await roomWith(6, { room_class: { cache_last: true } });
  const listening = await sim.enter(undefined);
  assert.deepEqual(offsetsOf(await sim.enter({ after: 1, epoch: "" })), [2, 3, 4, 5, 6]);
  await sim.log.erase("", [4]);
  await sim.clock.advance(1_000);
  const comes = async (after: number) => {
    const subscriber = await Promise.all([sim.enter({ after, epoch: "" }), sim.clock.advance(500)]);
    return [outcome(subscriber[0]), ...offsetsOf(subscriber[0])];
  };
  for (const after of [0, 1, 3]) {
    assert.deepEqual(
      await comes(after),
      ["erased", 6],
      "and the last message, like any new subscriber",
    );
  }
  assert.deepEqual(await comes(4), ["true", 5, 6], "existing messages are delivered");
  assert.deepEqual(await comes(6), ["true"]);
  // The newest message: a subscriber with it has missed nothing, and the one before it is the last message now.
  await sim.log.erase("", [6]);
  await sim.clock.advance(1_000);
  assert.deepEqual(await comes(1), ["erased", 5], "also to those that an earlier erasure refuses");
  assert.deepEqual([await comes(5), await comes(6)], [["erased", 5], ["true"]]);
  const [slow] = await Promise.all([sim.enter(undefined, 0, true), sim.clock.advance(500)]);
  assert.deepEqual([offsetsOf(slow), slow.answer?.offset], [[], 5], "a client counts from there");
  sim.log.put();
  await sim.clock.advance(10);
  slow.read(Infinity);
  assert.deepEqual(offsetsOf(slow), [5, 7]);
  assert.deepEqual(offsetsOf(listening), [6, 7], "live subscribers have missed nothing");
  assert.deepEqual(await comes(6), ["true", 7]);
  await sim.log.erase("", [5, 7]);
  await sim.clock.advance(1_000);
  assert.deepEqual(await comes(1), ["erased", 3]);
});

Deno.test("a room that is opened after an erasure knows the erasure", async () => {
  const sim = new SimRoom({ seed: 1 });
  for (let put = 0; put < 6; put++) sim.log.put();
  await sim.log.erase("", [3, 6]);
  await sim.clock.advance(10);
  sim.room.start();
  const comes = async (after: number) => {
    const [subscriber] = await Promise.all([
      sim.enter({ after, epoch: "" }),
      sim.clock.advance(500),
    ]);
    return outcome(subscriber);
  };
  assert.deepEqual([await comes(2), await comes(5), await comes(6)], ["erased", "erased", "true"]);
  sim[Symbol.dispose]();
});

Deno.test("live subscribers are notified of messages that were stored unseen and erased", async () => {
  using sim = await roomWith(5);
  const subscriber = await sim.enter(undefined);
  sim.log.faults = { ...NO_FAULTS, lost: 1 };
  for (let put = 0; put < 4; put++) sim.log.put();
  await sim.log.erase("", [7]);
  sim.log.faults = NO_FAULTS;
  sim.log.put();
  await sim.clock.advance(100);
  assert.deepEqual(offsetsOf(subscriber), ["erased", 6, 8, 9, 10]);
});

Deno.test("an answer that is read after a gap reports the gap", async () => {
  using sim = await roomWith(5);
  let entry_point: EntryPoint | undefined;
  sim.room.enter({ after: 5, epoch: "" }).then((it) => entry_point = it);
  await settled();
  sim.log.recreate();
  void sim.room.verify();
  await sim.clock.advance(10);
  assert.equal(entry_point?.recovered, false);
  assert.equal(entry_point?.reason, "epoch-changed");
  assert.deepEqual(entry_point?.position(), { offset: 0, epoch: sim.epoch() });
});

Deno.test("the room waits for the end of an outage; a subscriber that waited too long gets an error and retries", async () => {
  using sim = await roomWith(5);
  sim.log.faults = { ...NO_FAULTS, failing: 1 };
  const coming = sim.enter({ after: 1, epoch: "" });
  await sim.clock.advance(4_000);
  const later = sim.enter({ after: 1, epoch: "" });
  await sim.clock.advance(4_000);
  const { failure } = await coming;
  assert.ok(failure instanceof ArqonError && failure.reason === "log-unavailable");
  sim.log.faults = NO_FAULTS;
  await sim.clock.advance(5_000);
  assert.equal(outcome(await later), "true");
  const text = await sim.registry.metrics();
  assert.match(text, /shield_log_recoveries_total\{outcome="failed"\} 1\n/);
});

Deno.test("closing ends all waits and all running requests", async () => {
  using sim = await roomWith(5);
  sim.log.faults = { ...NO_FAULTS, failing: 1 };
  const coming = sim.enter({ after: 1, epoch: "" });
  const verified = sim.room.verify();
  await settled();
  sim.room.close();
  sim.room.close();
  await verified;
  const late = await sim.enter(undefined);
  for (const { failure } of [await coming, late]) {
    assert.ok(failure instanceof ArqonError && failure.reason === "log-unavailable");
  }
  const before = readsOf(sim);
  await sim.clock.advance(100_000);
  assert.equal(readsOf(sim), before);
  assert.equal(sim.cache.bytes, 0);
});

Deno.test("live messages beyond the buffer's limit are read from the log, in order", async () => {
  using sim = await roomWith(0);
  const subscriber = await sim.enter(undefined);
  sim.log.faults = { ...NO_FAULTS, lost: 1 };
  sim.log.put();
  sim.log.faults = { ...NO_FAULTS, failing: 1 };
  for (let put = 0; put < 6_000; put++) sim.log.put();
  await sim.clock.advance(100);
  assert.equal(offsetsOf(subscriber).length, 0);
  assert.match(await sim.registry.metrics(), /dropped_total\{reason="buffer-full"\} 1904\n/);
  sim.log.faults = NO_FAULTS;
  await sim.clock.advance(10_000);
  assert.deepEqual(offsetsOf(subscriber), Array.from({ length: 6_001 }, (_, n) => n + 1));
});

Deno.test("a log that has lost its newest messages is detected, and followed from its current position", async () => {
  using sim = await roomWith(5);
  const subscriber = await sim.enter(undefined);
  sim.log.rewind(3);
  const ahead = sim.enter({ after: 6, epoch: sim.epoch() });
  await sim.clock.advance(100);
  assert.equal(outcome(await ahead), "offset-ahead");
  sim.log.put();
  sim.log.put();
  await sim.clock.advance(100);
  assert.deepEqual(offsetsOf(subscriber), ["history-trimmed", 3, 4]);
});

Deno.test("a listener that throws loses no messages of others", async () => {
  const sim = new SimRoom({ seed: 1, allows_errors: true });
  using _ = sim;
  sim.room.start();
  await sim.clock.advance(10);
  const subscriber = await sim.enter(undefined);
  sim.forward = (entry, tell) => {
    tell(entry);
    throw new Error("a bad listener");
  };
  for (let put = 0; put < 3; put++) sim.log.put();
  await sim.clock.advance(10);
  assert.deepEqual(offsetsOf(subscriber), [1, 2, 3]);
});

Deno.test("the newest messages are given from memory while none of them is missing there", async () => {
  using sim = await roomWith(10);
  const { room } = sim;
  const after = (offset: number, stream = room.stream) =>
    room.after({ stream, offset }, 3).map((entry) => entry.offset);
  for (let put = 0; put < 5; put++) sim.log.put();
  await sim.clock.advance(10);
  assert.deepEqual(after(10), [11, 12, 13]);
  assert.deepEqual(after(13), [14, 15]);
  assert.deepEqual(after(15), []);
  // Older ones were stored before the room was opened here.
  assert.deepEqual(after(5), []);
  assert.deepEqual(after(10, "other"), []);
  sim.log.is_proven = false;
  assert.deepEqual(after(10), []);
});

Deno.test("a reader of more messages than a room has in memory finds as many in it the next time", async () => {
  using sim = await roomWith(10);
  const { room } = sim;
  const grow = async () => {
    for (let put = 0; put < 3_000; put++) sim.log.put();
    await sim.clock.advance(10);
  };
  const after = (offset: number) => room.after({ stream: room.stream, offset }, 5_000).length;
  await grow();
  assert.equal(after(10), 0);
  await grow();
  assert.equal(after(3_010), 3_000);
});
