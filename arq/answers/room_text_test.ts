/**
 * Members, counts and locks for people, also from malformed answers. Classes of rooms for people, also from malformed
 * answers.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { changeText, countText, lockText, memberLine } from "./room_text.ts";
import { RoomClassEntry } from "../../shared/config/schema_durable.ts";
import { classExplainText, classTable, optionsText, spanText } from "./settings_text.ts";

// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/;

Deno.test("a member is a line: user, connection, since when, metadata as JSON", () => {
  const member = { user_id: "ann", connection_id: "c1", joined_ms: 1_795_161_268_930 };
  const since = "2026-11-20T07:54:28.930Z";
  assert.equal(memberLine({ ...member, meta: null }), `ann c1 ${since}\n`);
  assert.equal(memberLine({ ...member, meta: { a: 1 } }), `ann c1 ${since} {"a":1}\n`);
  assert.equal(memberLine({ ...member, meta: "away" }), `ann c1 ${since} "away"\n`);
  assert.equal(memberLine({ user_id: "ann", connection_id: "c1" }), "ann c1\n");
});

Deno.test("one connection is not called connections", () => {
  assert.equal(countText({ connections: 1, users: 1 }), "1 connection of 1 user");
  assert.equal(countText({ connections: 3, users: 2 }), "3 connections of 2 users");
  assert.equal(countText({ connections: 0, users: 0 }), "0 connections of 0 users");
});

Deno.test("a lock shows its holder and lease, and no lock shows nothing", () => {
  const lock = { holder: "ann", fence: 42, until_ms: 1_795_161_268_930 };
  assert.equal(
    lockText(lock),
    "locked by ann, fence 42, lease until 2026-11-20T07:54:28.930Z",
  );
  assert.equal(lockText(null), "");
  assert.equal(lockText(undefined), "");
});

Deno.test("a change of the state shows key, value and author; values are unchanged text", () => {
  const text = (event: Record<string, string>) => changeText(new Map(Object.entries(event)));
  const at = { version: "4", epoch: '"17"', at_ms: "1", by: '"ann"' };
  assert.equal(
    text({ ...at, op: '"set"', key: '"topic"', value: '"tea"' }),
    '4 set topic "tea" by ann',
  );
  assert.equal(text({ ...at, op: '"set"', key: '"n"', value: "1.0" }), "4 set n 1.0 by ann");
  assert.equal(
    text({ ...at, op: '"set"', key: '"n"', truncated: "true" }),
    "4 set n (too long to show) by ann",
  );
  const lock = { ...at, op: '"lock"', holder: '"ann"', connection_id: '"c1"', fence: "9" };
  assert.equal(
    text({ ...lock, until_ms: "1795161268930" }),
    "4 lock ann fence 9 until 2026-11-20T07:54:28.930Z by ann",
  );
  assert.equal(
    text({ ...at, op: '"unlock"', holder: '"ann"', cause: '"expired"', by: '""' }),
    "4 unlock ann expired",
  );
  assert.equal(
    text({ ...at, op: '"ban"', user_id: '"bob"', scope: '"room"', reason: '"a\\u001bb"' }),
    "4 ban bob room by ann (a\\u001bb)",
  );
});

Deno.test("a value that is not a count does not throw", () => {
  assert.equal(countText({ connections: { toString: 0 }, users: 1 }), "NaN connections of 1 user");
});

Deno.test("whatever the bus answers, the text is one printable line", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.jsonValue(), fc.string(), (one, other, text) => {
    const line = memberLine({ user_id: text, connection_id: other, joined_ms: one, meta: one });
    assert.match(line, /^[^\n]*\n$/);
    assert.doesNotMatch(line, UNPRINTABLE);
    const lock = lockText({ holder: text, fence: one, until_ms: other });
    assert.doesNotMatch(lock + countText({ connections: one, users: other }), UNPRINTABLE);
  }));
});

Deno.test("a class is shown by its options other than the defaults", () => {
  const unset = { reducer_claims: [], reducer_public: false, journal: null };
  assert.equal(
    optionsText({ durable: false, history_size: 5, presence: true, ...unset }),
    "defaults",
  );
  assert.equal(
    optionsText({
      durable: true,
      history_size: 5,
      history_ttl_seconds: 90,
      replicas: 3,
      cache_last: true,
      presence: false,
      max_members: 7,
      echo: false,
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
