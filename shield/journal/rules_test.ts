/** Which decisions are recorded, and with which limits: classes of operators and of tenants override the config. */
import assert from "node:assert/strict";
import { configFrom } from "../../shared/config/load.ts";
import { DEFAULT_CLASS, type RoomClass } from "../../shared/rooms/room_class.ts";
import { JournalRules } from "./journal_place.ts";

const { journal: config } = configFrom({ journal: { journal: "off", journal_bytes: 1_000_000 } });

function classOf(change: Partial<RoomClass>): RoomClass {
  return { ...DEFAULT_CLASS, ...change };
}

Deno.test("journal rules: a changed class applies from then on, and equal retentions are one object", () => {
  const rules = new JournalRules(config);
  assert.equal(rules.of(undefined), undefined);
  const all = classOf({ journal: "all" });
  const refused = classOf({ journal: "refused" });
  assert.equal(rules.of(all)?.mode, "all");
  assert.equal(rules.of(refused)?.mode, "refused");
  assert.equal(rules.of(classOf({ journal: "off" })), undefined);
  assert.equal(rules.of(all)?.keeping, rules.of(refused)?.keeping);
});

Deno.test("journal rules: unused retentions are evicted", () => {
  const rules = new JournalRules(config);
  const keeping = (journal_ttl_seconds: number) =>
    rules.of(classOf({ journal: "all", journal_ttl_seconds }))?.keeping;
  const first = keeping(1);
  assert.equal(keeping(1), first);
  for (let seconds = 2; seconds < 1_100; seconds++) keeping(seconds);
  assert.notEqual(keeping(1), first);
});

Deno.test("journal rules: other values of the config count from renew on, for rooms and connections", () => {
  const live: { -readonly [Key in keyof typeof config]: typeof config[Key] } = { ...config };
  const rules = new JournalRules(live);
  const own = classOf({ source: "tenant", journal: "all" });
  const ruleOf = (room_class?: RoomClass) => rules.of(room_class);
  assert.deepEqual([ruleOf(), ruleOf(own)?.keeping.max_bytes], [undefined, 1_000_000]);
  live.journal = "refused";
  rules.renew();
  const keeping = { ttl_seconds: 604_800, max_bytes: 1_000_000 };
  assert.deepEqual(ruleOf(), { mode: "refused", share: 1, keeping, payload: "reference" });
  assert.deepEqual(ruleOf(own), { mode: "all", share: 1, keeping, payload: "reference" });
});
