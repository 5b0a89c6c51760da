/** A timer that kills two Brains is set aside: its room answers calls, and other rooms' timers run. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import {
  decodeRecord,
  REDUCERS_BUCKET,
  type RoomRecord,
} from "../../shared/records/reducer_record.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { found } from "../../shared/testing/until.ts";
import { deploy, storeModule } from "./testing/deploys.ts";
import { moduleOf } from "./testing/guest_text.ts";
import { EMIT } from "./testing/hostile_reducers.ts";
import {
  applied,
  ENGINES,
  entriesOf,
  eventsOf,
  eventsWhen,
  metric,
  type WorldBrain,
} from "./testing/reducer_world.ts";
import { overriding } from "../../shared/testing/overriding.ts";

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
const WAKES = moduleOf(TEXT);
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
    await using world = await open({ modules: { wakes: WAKES } });
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
  await using world = await ENGINES.embedded!({ modules: { wakes: WAKES } });
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
  await using world = await ENGINES.embedded!({ modules: { wakes: WAKES } });
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
