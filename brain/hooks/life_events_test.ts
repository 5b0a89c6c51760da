/**
 * The events of created and ended rooms in the tenant's log, for hooks: each once and in the order of the room,
 * whatever a Brain left unreported.
 */
import assert from "node:assert/strict";
import { TenantHook } from "../../shared/config/automation/hooks.ts";
import { configFrom } from "../../shared/config/load.ts";
import { readTenantEvent } from "../../shared/hooks/tenant_event.ts";
import { hookBytes, hookKey, HOOKS_BUCKET, NEW_HOOK } from "../../shared/records/hook_document.ts";
import { EVENTS_ROOM } from "../../shared/rooms/reserved.ts";
import type { LogMessage } from "../../shared/spine/contract/durable_log.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { until } from "../../shared/testing/until.ts";
import { FollowedClasses } from "../classes/followed_classes.ts";
import { announceRooms, type LifeEvents } from "./announced_rooms.ts";
import { accepted } from "../rooms/testing/command_probe.ts";
import { withTestBed } from "../rooms/testing/room_test_bed.ts";
import type { RoomTestBed, TestBedOptions } from "../rooms/testing/room_test_bed.ts";
import { eventCallOf } from "./hook_event.ts";
import { HookLifeEvents } from "./feeds.ts";

const HOOK_SPEC = { url: "https://hooks.example.com/" };
const HOOK = {
  ...HOOK_SPEC,
  secret_file: "never-read",
  id: "h",
  tenant: "acme",
  events: ["room.created", "room.ended"],
};
const DURABLE = [{ room: "kept", durable: true, history_size: 1_000, history_ttl_seconds: 3_600 }];
const RETENTION = { history_size: 1_000, history_ttl_seconds: 3_600, replicas: undefined };
const IDLE_MS = 1_000;
const START_MS = 1_700_000_000_000;
const set = (room: string) => ({ name: "set", data: { key: "k", value: 1 }, room });

/** A clock that the test moves, and Brains whose messages can be held back. */
function controls(hooks: readonly object[] = [HOOK]) {
  const clock = { now_ms: START_MS };
  const config = configFrom({ rooms: DURABLE, hooks });
  /** Called before each event is stored. */
  const held = { before: (..._: Parameters<LifeEvents["append"]>) => Promise.resolve() };
  const reporting: TestBedOptions["reporting"] = async (parts) => {
    const openClasses = () => FollowedClasses.open({ ...parts, config });
    const events = await HookLifeEvents.open({ ...parts, config, openClasses });
    const store = events.append.bind(events);
    const append: LifeEvents["append"] = async (...given) => {
      await held.before(...given);
      return await store(...given);
    };
    const held_back = Object.assign(events, { append });
    return (context) => announceRooms({ ...parts, config }, held_back, context);
  };
  const options: TestBedOptions = {
    config: { brain: { idle_timeout_ms: IDLE_MS } },
    now: () => clock.now_ms,
    reporting,
  };
  return { clock, held, options };
}

async function stored(spine: Spine, tenant_id = "acme"): Promise<LogMessage[]> {
  const log = await spine.log(tenant_id, RETENTION);
  const { messages } = await log.read(EVENTS_ROOM, { after: 0, limit: 1_000, max_bytes: 1e6 });
  return [...messages];
}

/** Type and room of the stored events, in order. */
async function storedEvents(spine: Spine, tenant_id?: string): Promise<string[]> {
  return (await stored(spine, tenant_id)).map(({ payload }) => {
    const event = readTenantEvent(payload);
    return `${event?.type} ${event?.data.room}`;
  });
}

/** Resolves when rooms created from now on are reported. */
async function begun({ spine }: RoomTestBed): Promise<void> {
  const bucket = await spine.keyValue("ARQON_HOOKS");
  const key = ["acme", "~rooms", "since"];
  await until("it has begun", async () => await bucket.get(key) !== undefined);
}

const isGone = async ({ bucket }: RoomTestBed, room: string) =>
  await bucket.get(["acme", room]) === undefined;

Deno.test("each creation and end of a room is notified; older rooms only at their end", async () => {
  const { clock, options } = controls();
  await withTestBed(async (bed) => {
    const { spine } = bed;
    const { reporting: _, ...silently } = options;
    const silent = await bed.start("b0", silently);
    await accepted(spine, set("old"));
    await silent.rooms.drain();
    const { metric } = await bed.start("b1", options);
    await begun(bed);
    await accepted(spine, set("new"));
    await until("it is notified", async () => (await storedEvents(spine)).length === 1);
    // Repeatedly: the Brain may learn of the older room only after the first step.
    await until("both have ended", async () => {
      clock.now_ms += 2 * IDLE_MS;
      return (await storedEvents(spine)).length === 3;
    });
    await accepted(spine, set("new"));
    await until("it is notified again", async () => (await storedEvents(spine)).length === 4);
    const [first, ...more] = await storedEvents(spine);
    assert.deepEqual([first, more.slice(0, 2).toSorted(), more[2]], [
      "room.created new",
      ["room.ended new", "room.ended old"],
      "room.created new",
    ]);
    await until("it is counted", async () => await metric("brain_rooms_told_total") === 4);
    const place = { tenant_id: "acme", room_id: EVENTS_ROOM, stream: "s" };
    const hook = TenantHook.parse({ ...HOOK_SPEC, events: ["room.created"], room: "n*" });
    const calls = (await stored(spine)).map((message) => eventCallOf(hook, place, message))
      .filter((call) => call !== undefined);
    assert.equal(new Set(calls.map(({ id }) => id)).size, 2, "two rooms, two ids");
    const { data } = JSON.parse(calls[0]?.body ?? "");
    assert.deepEqual([data.tenant, data.room, data.event.created_ms], ["acme", "new", START_MS]);
  });
});

Deno.test("the next Brain sends unsent notifications; meanwhile no room ends without one", async () => {
  const { clock, held, options } = controls();
  await withTestBed(async (bed) => {
    const { spine, cluster } = bed;
    cluster.owner = () => "b1";
    const first = await bed.start("b1", options);
    await begun(bed);
    await accepted(spine, set("a"));
    await until("it is notified", async () => (await storedEvents(spine)).length === 1);
    let tries = 0;
    held.before = () => (tries++, Promise.reject(new Error("it is killed here")));
    await accepted(spine, set("b"));
    await until("it was tried", () => tries > 0);
    clock.now_ms += 2 * IDLE_MS;
    await until("a ends without subscribers", () => isGone(bed, "a"));
    const before = tries;
    await until("swept again", () => tries > before + 2);
    assert.equal(await isGone(bed, "b"), false, "nobody knows that it ever was");
    await first.rooms.drain();
    assert.deepEqual(await storedEvents(spine), ["room.created a"]);
    held.before = () => Promise.resolve();
    await bed.start("b2", options);
    cluster.handOver(() => "b2");
    await until("everything is notified", async () => (await storedEvents(spine)).length === 4);
    const lines = await storedEvents(spine);
    assert.deepEqual(lines.filter((line) => line.endsWith(" a")), [
      "room.created a",
      "room.ended a",
    ]);
    assert.deepEqual(lines.filter((line) => line.endsWith(" b")), [
      "room.created b",
      "room.ended b",
    ]);
  });
});

Deno.test("two Brains that both own a room notify once, and the same bytes have one id", async () => {
  const { clock, options } = controls();
  await withTestBed(async (bed) => {
    const { spine } = bed;
    for (const brain_id of ["b1", "b2", "b3"]) await bed.start(brain_id, options);
    await begun(bed);
    await accepted(spine, set("a"));
    await until("it is notified", async () => (await storedEvents(spine)).length > 0);
    clock.now_ms += 2 * IDLE_MS;
    await until("its end, too", async () => (await storedEvents(spine)).length > 1);
    assert.deepEqual(await storedEvents(spine), ["room.created a", "room.ended a"]);
  });
});

Deno.test("a hook of a tenant begins when it is set; one for other events gets none about rooms", async () => {
  const { options } = controls([{ ...HOOK, events: ["room.message"] }]);
  await withTestBed(async (bed) => {
    const { spine } = bed;
    await bed.start("b1", options);
    await accepted(spine, set("a"));
    const bucket = await spine.keyValue("ARQON_HOOKS");
    assert.equal(await bucket.get(["acme", "~rooms", "since"]), undefined);
    const spec = TenantHook.parse({ ...HOOK_SPEC, events: ["room.ended"] });
    await bucket.put(hookKey("acme", "own"), hookBytes({ ...NEW_HOOK, spec }));
    await begun(bed);
    await accepted(spine, set("b"));
    await until(
      "it is notified",
      async () => (await storedEvents(spine)).includes("room.created b"),
    );
    assert.deepEqual(await storedEvents(spine), ["room.created b"]);
  });
});

Deno.test("a tenant whose log refuses writes does not delay notifications of others about ended rooms", async () => {
  const { held, options } = controls([HOOK, { ...HOOK, tenant: "zoo" }]);
  held.before = (_type, { tenant_id }) =>
    tenant_id === "acme" ? Promise.reject(new Error("its log is full")) : Promise.resolve();
  await withTestBed(async (bed) => {
    const { spine } = bed;
    const marks = await spine.keyValue(HOOKS_BUCKET);
    const gone = new TextEncoder().encode(JSON.stringify({ created_ms: START_MS, epoch: "e" }));
    for (const tenant_id of ["acme", "zoo"]) {
      await marks.put([tenant_id, "~rooms", "since"], gone);
      await marks.put([tenant_id, "~rooms", "room", "gone"], gone);
    }
    await bed.start("b1", options);
    await until("zoo is notified", async () => (await storedEvents(spine, "zoo")).length === 1);
    assert.deepEqual(await storedEvents(spine, "zoo"), ["room.ended gone"]);
    assert.deepEqual(await storedEvents(spine), []);
  });
});
