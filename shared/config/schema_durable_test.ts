/** `[[rooms]]` and `[durable]`: errors have line, key and what would be right. */
import assert from "node:assert/strict";
import { decodeSettings, emptySettings, encodeSettings } from "../records/tenant_settings.ts";
import { configFrom } from "./load.ts";
import { refusalOf } from "./testing/refusal.ts";

const room = (...lines: string[]) => ["[[rooms]]", 'room = "a"', ...lines].join("\n");

Deno.test("an option that was not given has its default", () => {
  assert.deepEqual(configFrom({ rooms: [{ room: "a" }] }).rooms, [{
    tenant: "*",
    room: "a",
    durable: false,
    history_size: 1_000,
    history_ttl_seconds: 86_400,
    cache_last: false,
    presence: true,
    slow_reader: "disconnect",
    echo: true,
    http_cache: "none",
    delta: "none",
    membership: "off",
  }]);
});

Deno.test("errors of a class are reported with its place and a valid value", () => {
  for (
    const [text, expected] of [
      [room("durible = true"), '3:1 rooms[0].durible: unknown key; did you mean "durable"?'],
      [
        room("cache_last = true"),
        "3:14 rooms[0].cache_last: cache_last without durable; expected durable = true beside it",
      ],
      [
        room("replicas = 2"),
        "3:12 rooms[0].replicas: 2 is not allowed; expected 1, 3 or 5: an even number survives no more failures than the odd one below it",
      ],
      [room("replicas = 1.5"), "3:12 rooms[0].replicas: 1.5 is a float; expected one of 1, 3, 5"],
      [
        `${room()}\n${room("tenant = 'acme'")}\n${room()}`,
        "7:8 rooms[2].room: the same tenant and room as rooms[0]; expected each pair once",
      ],
      [
        room("max_members = 0"),
        "3:15 rooms[0].max_members: 0 is out of range; expected an integer from 1 to 10_000_000",
      ],
      [
        "[[rooms]]\ndurable = true",
        '1:3 rooms[0].room: missing; expected a string in quotes; add the line room = "…"',
      ],
      [
        "[durable]\nlog_bytes = 1",
        "2:13 durable.log_bytes: 1 is out of range; expected an integer from 65_536 to 1_099_511_627_776",
      ],
    ] as const
  ) assert.equal(refusalOf(text).message, `config.toml:${expected}`);
});

Deno.test("every problem is named at once, whatever else is wrong", () => {
  const text = `${room("cache_last = true", "history_size = 0")}\n${room()}`;
  assert.deepEqual(refusalOf(text).message.split("\n").map((line) => line.split(" ")[1]), [
    "rooms[0].cache_last:",
    "rooms[0].history_size:",
    "rooms[1].room:",
  ]);
  for (const shapeless of ["rooms = [1, 1]", "[rooms]\nx = 1", "rooms = [2026-01-01, []]"]) {
    assert.match(refusalOf(shapeless).message, /^config\.toml:\d+:\d+ rooms/);
  }
});

Deno.test("a tenant's classes are read as they were written; bad ones make no settings", () => {
  const encode = (...rooms: object[]) =>
    encodeSettings({ ...emptySettings(), rooms: rooms as never });
  const { settings } = decodeSettings("acme", encode({ room: "a", durable: true })) as {
    settings: ReturnType<typeof emptySettings>;
  };
  assert.deepEqual([settings.rooms[0]?.durable, settings.rooms[0]?.history_size], [true, 1_000]);
  // The process that stored it has compiled its filter.
  assert.ok("settings" in decodeSettings("acme", encode({ room: "a", filter: "(" })));
  for (
    const [one, problem] of [
      [{ room: "a", cache_last: true }, /rooms\[0\]\.cache_last: cache_last without durable/],
      [{ room: "a", replicas: 4 }, /rooms\[0\]\.replicas: expected 1, 3 or 5/],
      [{ room: "a", tenant: "acme" }, /rooms\[0\].*tenant/],
    ] as const
  ) {
    const decoded = decodeSettings("acme", encode(one));
    assert.match("problem" in decoded ? decoded.problem : "", problem);
  }
});
