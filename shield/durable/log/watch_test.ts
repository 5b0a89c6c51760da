/** Which rooms are verified, when, and how rarely the log is read. */
import assert from "node:assert/strict";
import { keptLog } from "../../../shared/testing/logs.ts";
import { Registry } from "../../../shared/metrics/metrics.ts";
import type { SpineEvent } from "../../../shared/spine/contract/spine.ts";
import { DurableStats } from "./stats.ts";
import { seeded } from "../../../shared/testing/seeded.ts";
import { NO_FAULTS, SimClock } from "../testing/sim_log.ts";
import { SimRoom } from "../testing/sim_room.ts";
import { LogWatch, type WatchedRoom } from "./logs.ts";

const VERIFY_MS = 10_000;

interface TestWatch extends Disposable {
  readonly watch: LogWatch;
  emit(event: SpineEvent): void;
}

function testWatch(clock: SimClock): TestWatch {
  const listeners = new Set<(event: SpineEvent) => void>();
  const spine = {
    onEvent(listener: (event: SpineEvent) => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const { log: logger } = keptLog({ level: "error", write: assert.fail });
  const stats = new DurableStats(new Registry());
  const watch = new LogWatch({ spine, clock, stats, logger, verify_ms: VERIFY_MS });
  return {
    watch,
    emit: (event) => listeners.forEach((listener) => listener(event)),
    [Symbol.dispose]: () => watch.close(),
  };
}

/** A room with a live subscriber, and a watch of it. */
async function watchedRoom(room_class = {}) {
  const sim = new SimRoom({ seed: 1, room_class });
  const test = testWatch(sim.clock);
  sim.log.put();
  sim.room.start();
  await sim.clock.advance(10);
  test.watch.add(sim.room);
  const subscriber = await sim.enter(undefined);
  const received = () =>
    subscriber.received.map((one) => one.kind === "entry" ? one.offset : one.reason);
  return { sim, ...test, received };
}

/** Loses messages in transit without a trace. */
function lose(sim: SimRoom, messages: number): void {
  sim.log.faults = { ...NO_FAULTS, lost: 1 };
  for (let put = 0; put < messages; put++) sim.log.put();
  sim.log.faults = NO_FAULTS;
}

for (
  const [name, event] of [
    ["any subscription", { type: "gap", pattern: undefined, reason: "reconnect" }],
    ["the room's", { type: "gap", pattern: "in.t.acme.r.room", reason: "slow-consumer" }],
    ["the tenant's log", { type: "log", tenant_id: "acme" }],
  ] as const
) {
  Deno.test(`an event about ${name} makes the room ask at once`, async () => {
    const { sim, watch, emit, received } = await watchedRoom();
    using _ = sim;
    lose(sim, 3);
    emit(event);
    await sim.clock.advance(10);
    assert.deepEqual(received(), [2, 3, 4]);
    watch.close();
  });
}

Deno.test("an event about something else causes no request", async () => {
  const { sim, watch, emit } = await watchedRoom();
  using _ = sim;
  const { head } = sim.log.calls;
  emit({ type: "gap", pattern: "in.t.acme.r.other", reason: "slow-consumer" });
  emit({ type: "gap", pattern: "in.t.other.r.room", reason: "slow-consumer" });
  emit({ type: "gap", pattern: "out.t.acme.r.room", reason: "slow-consumer" });
  emit({ type: "gap", pattern: "sys.presence.>", reason: "slow-consumer" });
  emit({ type: "log", tenant_id: "other" });
  emit({ type: "denied", subject: "in.t.acme.r.room" });
  await sim.clock.advance(10);
  assert.equal(sim.log.calls.head, head);
  watch.remove(sim.room);
  emit({ type: "log", tenant_id: "acme" });
  await sim.clock.advance(10);
  assert.equal(sim.log.calls.head, head);
  watch.close();
});

Deno.test("silently lost messages are found by comparison, also behind a stale replica", async () => {
  for (const behind of [0, 0.5]) {
    const { sim, watch, received } = await watchedRoom();
    using _ = sim;
    await sim.clock.advance(VERIFY_MS);
    lose(sim, 2);
    sim.log.faults = { ...NO_FAULTS, behind };
    await sim.clock.advance(6 * VERIFY_MS);
    assert.deepEqual(received(), [2, 3], `behind ${behind}`);
    watch.close();
  }
});

Deno.test("an unchanged log costs one request a round, and its rooms cost none", async () => {
  const { sim, watch } = await watchedRoom();
  using _ = sim;
  await sim.clock.advance(5 * VERIFY_MS);
  const { calls } = sim.log;
  const before = { ...calls };
  await sim.clock.advance(10 * VERIFY_MS);
  assert.deepEqual(calls, { ...before, status: before.status + 10 });
  watch.close();
  await sim.clock.advance(10 * VERIFY_MS);
  assert.equal(calls.status, before.status + 10);
});

Deno.test("a quiet room whose messages all expire reports no false gap", async () => {
  const { sim, watch, emit, received } = await watchedRoom({ history_ttl_seconds: 1 });
  using _ = sim;
  for (let round = 0; round < 3; round++) {
    await sim.clock.advance(400_000);
    sim.log.skip(5);
    emit({ type: "gap", pattern: undefined, reason: "reconnect" });
    await sim.clock.advance(100_000);
    sim.log.put();
    await sim.clock.advance(100);
  }
  assert.deepEqual(received(), [7, 13, 19]);
  watch.close();
});

Deno.test("a lost log is detected and reported", async () => {
  const { sim, watch, received } = await watchedRoom();
  using _ = sim;
  sim.log.recreate();
  await sim.clock.advance(2 * VERIFY_MS);
  assert.deepEqual(received(), ["epoch-changed"]);
  assert.equal(sim.room.stream, sim.log.stream);
  watch.close();
});

Deno.test("a log that does not answer is asked again in the next round", async () => {
  const { sim, watch, received } = await watchedRoom();
  using _ = sim;
  lose(sim, 1);
  sim.log.faults = { ...NO_FAULTS, failing: 1 };
  await sim.clock.advance(3 * VERIFY_MS);
  sim.log.faults = NO_FAULTS;
  await sim.clock.advance(4 * VERIFY_MS);
  assert.deepEqual(received(), [2]);
  watch.close();
});

Deno.test("a few of a tenant's many rooms are verified at a time, and each once", async () => {
  const sim = new SimRoom({ seed: 1 });
  using _ = sim;
  const clock = new SimClock(seeded(2));
  using test = testWatch(clock);
  const verified = new Map<string, number>();
  let running = 0;
  let most = 0;
  const rooms: WatchedRoom[] = Array.from({ length: 1_000 }, (_, n) => ({
    tenant_id: "acme",
    room_id: `room-${n}`,
    log: sim.log,
    stream: sim.log.stream,
    offset: 0,
    is_started: true,
    confirm: () => true,
    async verify() {
      most = Math.max(most, ++running);
      verified.set(this.room_id, (verified.get(this.room_id) ?? 0) + 1);
      await new Promise<void>((resolve) => void clock.after(5, resolve));
      running--;
    },
  }));
  for (const room of rooms) test.watch.add(room);
  test.emit({ type: "log", tenant_id: "acme" });
  test.emit({ type: "gap", pattern: undefined, reason: "reconnect" });
  await clock.advance(5_000);
  assert.equal(verified.size, 1_000);
  assert.ok([...verified.values()].every((times) => times <= 2));
  assert.ok(most <= 4 && most > 1, `${most} at once`);
  assert.equal(running, 0);
});

Deno.test("a room log that replaces another one of the same room is not removed with it", async () => {
  const { sim, watch, emit, received } = await watchedRoom();
  using _ = sim;
  const former: WatchedRoom = { ...watchedLike(sim), verify: () => Promise.resolve() };
  watch.add(former);
  watch.add(sim.room);
  watch.remove(former);
  lose(sim, 1);
  emit({ type: "log", tenant_id: "acme" });
  await sim.clock.advance(10);
  assert.deepEqual(received(), [2]);
  watch.close();
});

function watchedLike({ room, log }: SimRoom): Omit<WatchedRoom, "verify"> {
  const { tenant_id, room_id, stream, offset } = room;
  return { tenant_id, room_id, log, stream, offset, is_started: true, confirm: () => true };
}
