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
import { until } from "../../shared/testing/until.ts";
import { dataStores } from "../../shield/data/stores.ts";

const START_MS = 1_700_000_000_000;
const RETENTION = { history_size: 1_000, history_ttl_seconds: 3_600, replicas: undefined };

Deno.test("a tenant that is deleted while its Brain looks for ended rooms leaves no event", async () => {
  const config = configFrom({
    rooms: [{ room: "kept", durable: true, history_size: 1_000, history_ttl_seconds: 3_600 }],
    hooks: ["acme", "zoo"].map((tenant) => ({
      url: "https://hooks.example.com/",
      secret_file: "never-read",
      id: "h",
      tenant,
      events: ["room.created", "room.ended"],
    })),
  });
  const reporting: TestBedOptions["reporting"] = async (parts) => {
    const openClasses = () => FollowedClasses.open({ ...parts, config });
    const events = await HookLifeEvents.open({ ...parts, config, openClasses });
    return (context) => announceRooms({ ...parts, config }, events, context);
  };
  await withTestBed(async ({ spine, start }) => {
    const logs = { has: () => true, of: (tenant: string) => spine.log(tenant, RETENTION) };
    const stored = async (tenant: string) => (await (await logs.of(tenant)).count(EVENTS_ROOM, 1));
    const marks = await spine.keyValue(HOOKS_BUCKET);
    await start("b1", {
      config: { brain: { idle_timeout_ms: 1_000 } },
      now: () => START_MS,
      reporting,
    });
    const since = () => marks.get(["acme", "~rooms", "since"]);
    await until("rooms are reported", async () => await since() !== undefined);
    await accepted(spine, { name: "set", data: { key: "k", value: 1 }, room: "a" });
    await until("its creation is stored", async () => await stored("acme") === 1);
    const gone = new TextEncoder().encode(JSON.stringify({ created_ms: START_MS, epoch: "e" }));
    const stores = dataStores({ spine, now: Date.now, logs, blocks: [], asker: undefined });
    for (const [at, store] of stores.entries()) {
      await store.erase({ tenant: "acme" }, () => Promise.resolve(undefined));
      // The Brain looks at all tenants' rooms, at this one's last.
      await marks.put(["zoo", "~rooms", "room", `gone ${at}`], gone);
      await until("all are looked at", async () => await stored("zoo") > at);
    }
    assert.equal(await stored("acme"), 0);
    assert.deepEqual(await marks.keys(["acme"]), []);
  });
});
