/**
 * A room that ticks by a timer which sets itself: no tick is lost or doubled, a pause is made up for as the reducer
 * says, and a new owner continues to tick. No case depends on the speed of the machine. A timer that kills two Brains
 * is set aside: its room answers calls, and other rooms' timers run.
 */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope } from "@arqon/proto";
import {
  decodeRecord,
  encodeRecord,
  NO_PROGRAMS,
  REDUCERS_BUCKET,
  type RoomRecord,
} from "../../shared/records/reducer_record.ts";
import { StoredRoomClass } from "../../shared/config/schema_durable.ts";
import {
  emptySettings,
  encodeSettings,
  TENANTS_BUCKET,
} from "../../shared/records/tenant_settings.ts";
import { found, until } from "../../shared/testing/until.ts";
import { moduleOf } from "./testing/guest_text.ts";
import {
  applied,
  call,
  ENGINES,
  entriesOf,
  eventsOf,
  eventsWhen,
  messagesOf,
  metric,
  ONE_ENGINE,
  type WorldBrain,
} from "./testing/reducer_world.ts";
import { firstRecord } from "./room/stored_data.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { deploy, storeModule } from "./testing/deploys.ts";
import { EMIT } from "./testing/hostile_reducers.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const arena = builtReducer("arena");
/** Any command but a timer's sets 256 timers; each timer sets itself again, as soon as it may. */
const WAKES = {
  more: `(func $set (param $key i32) (call $room_schedule (local.get $key) (i32.const 4)
    (i64.add (call $room_now) (i64.const 10)) (local.get $key) (i32.const 4)
    (i32.const 0) (i32.const 0)))`,
  apply: `(local $at i32) (local $name i32)
    (local.set $name (call $room_field (i32.const 0)))
    (if (i32.eq (i32.load (local.get $name)) (i32.const 4))
      (then (call $set (i32.add (local.get $name) (i32.const 4))))
      (else (loop $more
        (i32.store (i32.const 100) (i32.add (i32.const 0x61616161)
          (i32.add (i32.and (local.get $at) (i32.const 15))
            (i32.shl (i32.shr_u (local.get $at) (i32.const 4)) (i32.const 8)))))
        (call $set (i32.const 100))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $more (i32.lt_u (local.get $at) (i32.const 256))))))
    (i32.const 0)`,
};
const TICK_MS = 50;
/** Ticks that the reducer makes up for, and one before and one after them. */
const MADE_UP = 5 + 2;
const PAUSE_MS = 8_000;
/** As many as a Brain reads at a time. */
const UNREADABLE_ROOMS = 64;
/** A room whose snapshot is gone, and whose timer is due. */
const UNREADABLE: RoomRecord = {
  ...firstRecord({ stream: "s", now: () => 1 }, "life"),
  snapshot: "gone",
  offset: 1,
  position: 1,
  next_ms: 1,
  programs: NO_PROGRAMS,
};

interface Ticked {
  readonly tick: number;
  readonly at_ms: number;
}

/** The ticks of the room, once there are enough. */
function ticksWhen(brain: WorldBrain, count: number, room = "arena"): Promise<Ticked[]> {
  return found(`${count} ticks`, async () => {
    const ticks = (await messagesOf(brain, room)).flatMap(({ payload }) => {
      const { event, timestamp_ms } = readEnvelope(payload);
      if (event?.type !== "tick") return [];
      const { tick } = JSON.parse(new TextDecoder().decode(event.data));
      return [{ tick: Number(tick), at_ms: Number(timestamp_ms) }];
    });
    return ticks.length >= count ? ticks : undefined;
  });
}

for (const [engine, open] of Object.entries(ONE_ENGINE)) {
  Deno.test(`${engine}: a room ticks on over a pause and another owner, each tick once`, async () => {
    await using world = await open({ modules: { arena } });
    const brain = await world.start("a");
    const other = await world.start("b");
    const steer = (of: WorldBrain) => applied(of, "arena", "steer", { data: "3" });
    await applied(brain, "arena", "join");
    const before = await ticksWhen(brain, 5);
    await steer(brain);
    world.ahead_ms = PAUSE_MS;
    const after = await ticksWhen(brain, before.length + 20);
    await steer(brain);
    // The pause is one step in time; the room makes up for only a few ticks.
    const [late] = after.filter(({ at_ms }, at) =>
      at_ms - (after[at - 1]?.at_ms ?? at_ms) >= PAUSE_MS
    );
    assert.ok(late !== undefined);
    for (const { tick, at_ms } of after.slice(after.indexOf(late))) {
      const most = MADE_UP + (at_ms - late.at_ms) / TICK_MS;
      assert.ok(tick - late.tick <= most, `${tick - late.tick} ticks in ${at_ms - late.at_ms} ms`);
    }
    world.turn("b");
    await steer(other);
    const all = await ticksWhen(other, after.length + 20);
    assert.deepEqual(all.map(({ tick }) => tick), all.map((_, at) => at + 1));
  });

  Deno.test(`${engine}: a room whose class loses its reducer stops, and ticks on once it has it again`, async () => {
    await using world = await open({ modules: { arena } });
    const brain = await world.start("a");
    await applied(brain, "arena", "join");
    await ticksWhen(brain, 5);
    const settings = await brain.spine.keyValue(TENANTS_BUCKET);
    const rooms = [StoredRoomClass.parse({ room: "arena", durable: true })];
    await settings.put(["t"], encodeSettings({ ...emptySettings(), version: 1, rooms }));
    await until("let go", async () => await metric(brain, "brain_reducer_rooms") === 0);
    assert.match(String(await call(brain, "arena", "join")), /^400 .*arena has no reducer/);
    const before = await ticksWhen(brain, 5);
    await settings.delete(["t"]);
    const all = await ticksWhen(brain, before.length + 5);
    assert.deepEqual(all.map(({ tick }) => tick), all.map((_, at) => at + 1));
  });

  Deno.test(`${engine}: rooms that cannot be read hold up no other room's timers`, async () => {
    await using world = await open({ modules: { arena } });
    const brain = await world.start("a");
    const records = await brain.spine.keyValue(REDUCERS_BUCKET);
    for (let at = 0; at < UNREADABLE_ROOMS; at++) {
      await records.put(["t", `arena-${at}`], encodeRecord(UNREADABLE));
    }
    const room = "arena-last";
    await applied(brain, room, "join");
    const before = await ticksWhen(brain, 5, room);
    const other = await world.start("b");
    world.turn("b");
    await ticksWhen(other, before.length + 20, room);
  });

  Deno.test(`${engine}: a room whose timers never end answers its calls`, async () => {
    await using world = await open({
      modules: { wakes: moduleOf(WAKES) },
      reducer: { timers: 256 },
    });
    const brain = await world.start("a");
    const first = await applied(brain, "wakes", "do");
    const others = await Promise.all([1, 2].map(() => applied(brain, "wakes", "do")));
    // Each timer that was due before a call ran exactly once before it.
    for (const { entry } of others) assert.ok(entry <= first.entry + 2 * 256 + 2, String(entry));
  });
}

/** `do` sets a timer in an hour, whose command is `aaaa`: that publishes an event. `all` does nothing. */
const TEXT = {
  apply: `(local $length i32)
    (local.set $length (i32.load (call $room_field (i32.const 0))))
    (i32.store (i32.const 0) (i32.const 0x61616161))
    (if (i32.eq (local.get $length) (i32.const 4)) (then ${EMIT}))
    (if (i32.eq (local.get $length) (i32.const 2)) (then
      (call $room_schedule (i32.const 0) (i32.const 4)
        (i64.add (call $room_now) (i64.const 3600000)) (i32.const 0) (i32.const 4)
        (i32.const 0) (i32.const 0))))
    (i32.const 0)`,
};
const WAKER = moduleOf(TEXT);
/** Another module that does the same. */
const MENDED = moduleOf({ ...TEXT, more: `(func $mended)` });
const HOURS_MS = 2 * 3_600_000;
/** Longer than a timer that was claimed twice is left to its Brain. */
const LEFT_MS = 31_000;
const DEADLY = "wakes";
const WELL = "wakes-well";

/** A Brain that dies before an entry of the room is stored: nobody sees what it did then. */
class Death implements Disposable {
  readonly #reached = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<never>();

  constructor() {
    this.#end.promise.catch(() => {});
  }

  get reached(): Promise<void> {
    return this.#reached.promise;
  }

  through = (spine: Spine): Spine =>
    overriding(spine, { log: async (...about) => this.#log(await spine.log(...about)) });

  #log(log: DurableLog): DurableLog {
    return overriding(log, {
      append: async (room_id, ...message) => {
        if (room_id !== `${DEADLY}~reducer`) return await log.append(room_id, ...message);
        this.#reached.resolve();
        return await this.#end.promise;
      },
    });
  }

  [Symbol.dispose](): void {
    this.#end.reject(new ArqonError("spine-unavailable", "the test ends"));
  }
}

async function recordOf({ spine }: WorldBrain): Promise<RoomRecord | undefined> {
  const stored = await (await spine.keyValue(REDUCERS_BUCKET)).get(["t", DEADLY]);
  return stored && decodeRecord(stored.value);
}

/** Counts records of rooms that are written. */
class Writes {
  count = 0;

  through = (spine: Spine): Spine =>
    overriding(spine, {
      keyValue: async (...about) => {
        const records = await spine.keyValue(...about);
        return overriding(records, {
          update: (key, ...value) => {
            if (key[1] === DEADLY) this.count++;
            return records.update(key, ...value);
          },
        });
      },
    });
}

const kindsOf = async (brain: WorldBrain) =>
  (await entriesOf(brain, DEADLY)).map(({ kind }) => kind);

/** The actions that let it run again. */
const RELEASES: Readonly<Record<string, (brain: WorldBrain) => Promise<void>>> = {
  "the room is repaired": async ({ service }) => {
    await service.past({ tenant_id: "t", room_id: DEADLY }, { action: "repair" });
  },
  "another module is deployed": async (brain) => {
    await storeModule(brain, MENDED);
    await deploy(brain, DEADLY, MENDED);
  },
};
const CASES = Object.keys(ENGINES).flatMap((engine) =>
  Object.keys(RELEASES).map((release) => [engine, release] as const)
);

for (const [engine, release] of CASES) {
  Deno.test(`${engine}: a timer that two Brains died of is set aside until ${release}`, async () => {
    const open = ENGINES[engine]!;
    await using world = await open({ modules: { wakes: WAKER } });
    using first = new Death();
    using second = new Death();
    const seed = await world.start("seed");
    world.turn("seed");
    for (const room of [DEADLY, WELL]) await applied(seed, room, "do");
    world.turn("nobody");
    world.ahead_ms = HOURS_MS;
    for (const [brain_id, death] of [["a", first], ["b", second]] as const) {
      await world.start(brain_id, undefined, death.through);
      world.turn(brain_id);
      await death.reached;
    }
    const third = await world.start("c");
    world.turn("c");
    await applied(third, DEADLY, "all");
    await applied(third, WELL, "do");
    world.ahead_ms += HOURS_MS;
    await eventsWhen(third, WELL, 2);
    assert.deepEqual(await kindsOf(third), ["command", "command"]);
    assert.equal(await metric(third, "brain_reducer_timers_set_aside_total"), 0);
    world.passed_ms = LEFT_MS;
    await applied(third, DEADLY, "all");
    await found("it is set aside", async () => {
      return await metric(third, "brain_reducer_timers_set_aside_total") > 0 || undefined;
    });
    const line = third.lines.find((text) => text.includes("it is set aside")) ?? "";
    assert.match(line, /level=error .*tenant_id=t .*room=wakes class=wakes /);
    await applied(third, DEADLY, "all");
    assert.deepEqual(await eventsOf(third, DEADLY), []);
    await RELEASES[release]!(third);
    await eventsWhen(third, DEADLY, 1);
  });
}

Deno.test("a running Brain returns a timer that it could not run, and the next one runs it", async () => {
  await using world = await ENGINES.embedded!({ modules: { wakes: WAKER } });
  const failing = new Death();
  failing[Symbol.dispose]();
  const seed = await world.start("seed");
  world.turn("seed");
  await applied(seed, DEADLY, "do");
  world.turn("nobody");
  world.ahead_ms = HOURS_MS;
  const first = await world.start("a", undefined, failing.through);
  world.turn("a");
  await failing.reached;
  world.turn("nobody");
  await first.service.drain();
  assert.ok(first.lines.some((line) => line.includes("could not go on")));
  assert.equal((await recordOf(seed))?.taken, undefined);
  const second = await world.start("b");
  world.turn("b");
  await eventsWhen(second, DEADLY, 1);
  assert.equal((await recordOf(second))?.taken?.again, false);
});

Deno.test("a timer that is due when its room is read costs no write more than one that is not", async () => {
  await using world = await ENGINES.embedded!({ modules: { wakes: WAKER } });
  const seed = await world.start("seed");
  world.turn("seed");
  await applied(seed, DEADLY, "do");
  await seed.service.drain();
  assert.equal((await recordOf(seed))?.is_behind, false);
  world.ahead_ms = HOURS_MS;
  const writes = new Writes();
  const next = await world.start("b", undefined, writes.through);
  world.turn("b");
  await eventsWhen(next, DEADLY, 1);
  // The mark for entries behind the snapshot is written in any case.
  assert.equal(writes.count, 1);
});
