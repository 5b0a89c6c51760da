/** `arq room class` as its own process without a bus, and its text. `room_test.ts` has the bus. */
import assert from "node:assert/strict";
import {
  classExplainText,
  classTable,
  optionsText,
  spanText,
} from "../../answers/settings_text.ts";
import { RoomClassEntry } from "../../../shared/config/schema_durable.ts";
import { type Refusal, refuses } from "../../testing/run_arq.ts";

const NOWHERE = ["--admin-url", "http://127.0.0.1:1", "--token", "a.b.c"];

Deno.test("invalid command lines of room class and an unreachable bus have different errors", async () => {
  const cases: Refusal[] = [
    [["set"], 2, /missing required argument 'pattern'/],
    [["set", "a.b"], 2, /Expected a room, or a prefix of one with \*/],
    [["set", "a**"], 2, /Expected a room/],
    [["set", "a", "--history-size", "0"], 2, /a whole number from 1 to 1000000/],
    [["set", "a", "--history-size", "1000001"], 2, /a whole number from 1 to 1000000/],
    [["set", "a", "--history-ttl", "1w"], 2, /--history-ttl "1w": expected 15m, 1h, 7d/],
    [["set", "a", "--replicas", "2"], 2, /Expected 1, 3 or 5/],
    [["set", "a", "--max-members", "1.5"], 2, /a whole number from 1 to 10000000/],
    [["set", "a", "--slow-reader", "drop"], 2, /Allowed choices are disconnect/],
    [["set", "a", "--cache-last", ...NOWHERE], 2, /--cache-last needs --durable/],
    [["set", "a", "--tenant", "a b"], 2, /Not a tenant/],
    [["set", "a", "--durable", ...NOWHERE], 4, /503 unreachable/],
    [["list", ...NOWHERE], 4, /503 unreachable/],
    [["remove"], 2, /missing required argument 'pattern'/],
    [["remove", "a", ...NOWHERE], 4, /503 unreachable/],
    [["explain", "a*", ...NOWHERE], 2, /Not a room/],
    [["explain", "a", ...NOWHERE], 4, /503 unreachable/],
    [["nonsense"], 2, /unknown command/],
  ];
  await refuses(cases, "room", "class");
});

Deno.test("a class is shown by its options other than the defaults", () => {
  const unset = { reducer_claims: [], reducer_public: false, journal: null };
  assert.equal(
    optionsText({ durable: false, history_size: 5, presence: true, ...unset }),
    "defaults",
  );
  assert.equal(
    optionsText({
      ...{ durable: true, history_size: 5, history_ttl_seconds: 90, replicas: 3 },
      ...{ cache_last: true, presence: false, max_members: 7, echo: false },
    }),
    "durable, 5 messages, 90s, 3 replicas, cache-last, no presence, at most 7 members, no echo",
  );
  assert.equal(
    optionsText({
      slow_reader: "latest",
      journal: "all",
      reducer: "poll",
      reducer_visible: ["a", "b"],
    }),
    'slow_reader latest, journal all, reducer poll, reducer_visible ["a","b"]',
  );
  assert.deepEqual([60, 90, 3_600, 86_400, 90_000].map(spanText), ["1m", "90s", "1h", "1d", "25h"]);
});

Deno.test("room class explain shows every option of a class", () => {
  for (const name of Object.keys(RoomClassEntry.shape)) {
    if (name === "room" || name === "tenant") continue;
    const text = classExplainText({ room: "a", why: "b", class: { [name]: "given" } });
    assert.match(text, new RegExp(`^ {2}${name} +given$`, "m"));
  }
});

Deno.test("a malformed answer of a bus is still printed safely", () => {
  assert.equal(classTable("nonsense"), "");
  assert.match(classTable([7, { pattern: "a\u001b[2J", tenant: 1 }]), /\na\\u001b\[2J +defaults/);
  assert.match(classExplainText({ room: "a\n", why: undefined, class: null }), /^a\\u000a: \n/);
});
