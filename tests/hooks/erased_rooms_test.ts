/** Rooms of a deleted tenant beside a Brain that stores for hooks which rooms have ended. */
import assert from "node:assert/strict";
import { announceRooms } from "../../brain/hooks/announced_rooms.ts";
import { HookLifeEvents } from "../../brain/hooks/feeds.ts";
import { FollowedClasses } from "../../brain/classes/followed_classes.ts";
import { accepted } from "../../brain/rooms/testing/command_probe.ts";
import { type TestBedOptions, withTestBed } from "../../brain/rooms/testing/room_test_bed.ts";
import { configFrom } from "../../shared/config/load.ts";
import { HOOKS_BUCKET } from "../../shared/records/hook_document.ts";
import { EVENTS_ROOM } from "../../shared/rooms/reserved.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { until } from "../../shared/testing/until.ts";
import { dataStores } from "../../shield/data/stores.ts";

const START_MS = 1_700_000_000_000;
const RETENTION = { history_size: 1_000, history_ttl_seconds: 3_600, replicas: undefined };

const CONFIG = configFrom({
  rooms: [{ room: "kept", durable: true, history_size: 1_000, history_ttl_seconds: 3_600 }],
  hooks: ["acme", "zoo"].map((tenant) => ({
    url: "https://hooks.example.com/",
    secret_file: "never-read",
    id: "h",
    tenant,
    events: ["room.created", "room.ended"],
  })),
});

/** Reports rooms as a Brain does; `through` is the Spine of the reports. */
const reportingBy = (through: (spine: Spine) => Spine = (spine) => spine) =>
  (async (parts) => {
    const own = { ...parts, spine: through(parts.spine), config: CONFIG };
    const openClasses = () => FollowedClasses.open(own);
    const events = await HookLifeEvents.open({ ...own, openClasses });
    return (context) => announceRooms(own, events, context);
  }) satisfies TestBedOptions["reporting"];

const brainOf = () => Promise.resolve(undefined);

async function worldOf(spine: Spine) {
  const logs = { has: () => true, of: (tenant: string) => spine.log(tenant, RETENTION) };
  const stored = async (tenant: string) => (await (await logs.of(tenant)).count(EVENTS_ROOM, 1));
  const marks = await spine.keyValue(HOOKS_BUCKET);
  const stores = dataStores({ spine, now: Date.now, logs, blocks: [], asker: undefined });
  const since = () => marks.get(["acme", "~rooms", "since"]);
  return {
    stored,
    marks,
    stores,
    begun: () => until("rooms are reported", async () => await since() !== undefined),
  };
}

Deno.test("a tenant that is deleted while its Brain looks for ended rooms leaves no event", async () => {
  await withTestBed(async ({ spine, start }) => {
    const { stored, marks, stores, begun } = await worldOf(spine);
    await start("b1", {
      config: { brain: { idle_timeout_ms: 1_000 } },
      now: () => START_MS,
      reporting: reportingBy(),
    });
    await begun();
    await accepted(spine, { name: "set", data: { key: "k", value: 1 }, room: "a" });
    await until("its creation is stored", async () => await stored("acme") === 1);
    const gone = new TextEncoder().encode(JSON.stringify({ created_ms: START_MS, epoch: "e" }));
    for (const [at, store] of stores.entries()) {
      await store.erase({ tenant: "acme" }, brainOf);
      // The Brain looks at all tenants' rooms, at this one's last.
      await marks.put(["zoo", "~rooms", "room", `gone ${at}`], gone);
      await until("all are looked at", async () => await stored("zoo") > at);
    }
    assert.equal(await stored("acme"), 0);
    assert.deepEqual(await marks.keys(["acme"]), []);
  });
});

for (const when of ["before", "after"] as const) {
  Deno.test(`a tenant that is deleted while its Brain stands still ${when} it stores an event leaves none`, async () => {
    const reached = Promise.withResolvers<void>();
    const deleted = Promise.withResolvers<void>();
    const appending = Promise.withResolvers<void>();
    const stalled = async () => {
      reached.resolve();
      await deleted.promise;
    };
    const through = (spine: Spine) => {
      const log: Spine["log"] = async (...given) => {
        const durable = await spine.log(...given);
        const append: DurableLog["append"] = async (...message) => {
          if (when === "before") await stalled();
          const appended = await durable.append(...message);
          if (when === "after") await stalled();
          appending.resolve();
          return appended;
        };
        return overriding(durable, { append });
      };
      return overriding(spine, { log });
    };
    await withTestBed(async ({ spine, start }) => {
      const { stored, marks, stores, begun } = await worldOf(spine);
      await start("b1", { now: () => START_MS, reporting: reportingBy(through) });
      await begun();
      await accepted(spine, { name: "set", data: { key: "k", value: 1 }, room: "a" });
      await reached.promise;
      for (const store of stores) await store.erase({ tenant: "acme" }, brainOf);
      deleted.resolve();
      await appending.promise;
      await until("the event is gone", async () => await stored("acme") === 0);
      // Later rooms are reported: nothing of the earlier ones is under way.
      await accepted(spine, { name: "set", data: { key: "k", value: 1 }, room: "b" });
      await until("the successor's room is reported", async () => await stored("acme") === 1);
      const marked = async () =>
        (await marks.keys(["acme", "~rooms", "room"])).map((key) => key[3]);
      await until("it is marked alone", async () => (await marked()).join() === "b");
    });
  });
}
