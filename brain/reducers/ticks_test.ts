/**
 * A room that ticks by a timer which sets itself, on both engines: no tick is lost or doubled, a pause is made up for as
 * the reducer says, and whoever takes the room over ticks on. How fast a machine is decides nothing here.
 */
import assert from "node:assert/strict";
import { readEnvelope } from "@arqon/proto";
import { found } from "../../shared/testing/until.ts";
import { applied, ENGINES, messagesOf, type WorldBrain } from "./testing/reducer_world.ts";

const arena = Deno.readFileSync(
  new URL("../../policies/build/reducers/arena.wasm", import.meta.url),
);
const TICK_MS = 50;
/** Ticks that the reducer makes up for, and one each that is due before and after them. */
const MADE_UP = 5 + 2;
const PAUSE_MS = 8_000;

interface Ticked {
  readonly tick: number;
  readonly at_ms: number;
}

/** The ticks of the room, once there are so many. */
function ticksWhen(brain: WorldBrain, count: number): Promise<Ticked[]> {
  return found(`${count} ticks`, async () => {
    const ticks = (await messagesOf(brain, "arena")).flatMap(({ payload }) => {
      const { event, timestamp_ms } = readEnvelope(payload);
      if (event?.type !== "tick") return [];
      const { tick } = JSON.parse(new TextDecoder().decode(event.data));
      return [{ tick: Number(tick), at_ms: Number(timestamp_ms) }];
    });
    return ticks.length >= count ? ticks : undefined;
  });
}

for (const [engine, open] of Object.entries(ENGINES)) {
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
    // One step in time is the pause; nothing of it is made up for but a few ticks.
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
}
