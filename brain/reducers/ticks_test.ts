/**
 * A room that ticks by a timer which sets itself: no tick is lost or doubled, a pause is made up for as the reducer
 * says, and a new owner continues to tick. No case depends on the speed of the machine.
 */
import assert from "node:assert/strict";
import { readEnvelope } from "@arqon/proto";
import {
  encodeRecord,
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
  messagesOf,
  metric,
  ONE_ENGINE,
  type WorldBrain,
} from "./testing/reducer_world.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

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
  snapshot: "gone",
  previous: "",
  points: "",
  offset: 1,
  published: { offset: 0, index: 0 },
  stream: "s",
  position: 1,
  is_behind: true,
  behind_ms: 1,
  next_ms: 1,
  fork: null,
  lost: [],
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
