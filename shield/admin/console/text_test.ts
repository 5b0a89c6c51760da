/** The console's parsing and formatting of text: event streams, addresses, tokens, figures. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { bytes, compact, digits, duration, milliseconds, percent, textOf } from "./format.js";
import { findRoute, parseAddress, withQuery } from "./router.js";
import { cleanToken, describeToken } from "./session.js";
import { createSseReader } from "./sse.js";

interface SseEvent {
  event: string;
  data: string;
}

function eventsOf(pieces: readonly string[], event_units_max?: number): SseEvent[] {
  const events: SseEvent[] = [];
  const reader = createSseReader((event: SseEvent) => events.push(event), event_units_max);
  for (const piece of pieces) reader.push(piece);
  return events;
}

const STREAM = ': hello\r\nevent: gap\r\ndata: {"dropped":3}\r\n\r\ndata: a\ndata:  b\n\nid: 7\n\n';
const EVENTS = [{ event: "gap", data: '{"dropped":3}' }, { event: "message", data: "a\n b" }];

Deno.test("complete events are read with their names, and comments are skipped", () => {
  assert.deepEqual(eventsOf([STREAM]), EVENTS);
});

Deno.test("events do not depend on how the stream is split", () => {
  fc.assert(fc.property(fc.array(fc.nat(STREAM.length), { maxLength: 12 }), (cuts) => {
    const sorted = [0, ...cuts, STREAM.length].sort((a, b) => a - b);
    const pieces = sorted.slice(1).map((end, index) => STREAM.slice(sorted[index], end));
    assert.deepEqual(eventsOf(pieces), EVENTS);
  }));
});

Deno.test("an event that is too large is skipped, and the next one is read", () => {
  const large = ["data: ", ...Array(6).fill("xxxxxxxxxx"), "\n", "data: y\n\n", "data: next\n\n"];
  const many_lines = [...Array(6).fill("data: xxxxxxxxxx\n"), "\n", "data: next\n\n"];
  for (const pieces of [large, many_lines, [large.join("")], [many_lines.join("")]]) {
    assert.deepEqual(eventsOf(pieces, 40), [{ event: "message", data: "next" }]);
  }
});

Deno.test("an address is split into segments, and names with slashes survive", () => {
  const { segments, query } = parseAddress("#/rooms/acme/a%2Fb?find=x%3Dy");
  assert.deepEqual(segments, ["rooms", "acme", "a/b"]);
  assert.deepEqual(query, { find: "x=y" });
  assert.deepEqual(parseAddress(""), { segments: [], query: {} });
  assert.deepEqual(parseAddress("#/rooms/%E0%A4%A").segments, ["rooms", "%E0%A4%A"]);
});

Deno.test("the first matching route is found with its values", () => {
  const routes = [{ path: "rooms" }, { path: "rooms/:tenant_id/:room_id" }];
  const found = findRoute(routes, ["rooms", "acme", "lobby"]);
  assert.deepEqual(found?.values, { tenant_id: "acme", room_id: "lobby" });
  assert.equal(findRoute(routes, ["rooms", "acme"]), undefined);
});

Deno.test("filters are written to the address and read from it, without empty ones", () => {
  fc.assert(fc.property(fc.string(), fc.string({ minLength: 1 }), (user, find) => {
    fc.pre(user.isWellFormed() && find.isWellFormed());
    const hash = withQuery("#/connections?tenant=old", { user, find });
    const expected = user === "" ? { find } : { user, find };
    assert.deepEqual(parseAddress(hash).query, expected);
  }));
  assert.equal(withQuery("", { find: "" }), "#/");
});

Deno.test("a token is accepted as users paste it", () => {
  for (const text of ["a.b.c", " a.b.c\n", "Bearer a.b.c", '"a.b.c"', "a.b\n.c"]) {
    assert.equal(cleanToken(text), "a.b.c", JSON.stringify(text));
  }
});

Deno.test("a token names its user; an unreadable one names an unknown user", () => {
  const payload = btoa(JSON.stringify({ sub: "root", tenant_id: "default", exp: 1_700_000_000 }));
  const who = { user_id: "root", tenant_id: "default", expires_ms: 1_700_000_000_000 };
  assert.deepEqual(describeToken(`x.${payload.replaceAll("=", "")}.y`), who);
  assert.equal(describeToken("junk").user_id, "unknown user");
});

Deno.test("figures are short and have their unit", () => {
  const shown = [0, 0.04, 3, 940, 9_999, 12_345, 4_100_000].map(compact);
  assert.deepEqual(shown, ["0", "0.04", "3.0", "940", "9,999", "12.3 k", "4.1 M"]);
  assert.equal(digits(1_795_161_298_967_002), "1795161298967002", "as a command accepts it");
  const sizes = [0, 1_023, 1_536, 157_286_400].map(bytes);
  assert.deepEqual(sizes, ["0 B", "1,023 B", "1.5 KiB", "150 MiB"]);
  const spans = [999, 59_000, 61_000, 7_500_000, 200_000_000].map(duration);
  assert.deepEqual(spans, ["0 s", "59 s", "1 min 1 s", "2 h 5 min", "2 d 7 h"]);
  assert.deepEqual([0.42, 12, 1_500].map(milliseconds), ["0.4 ms", "12 ms", "1.5 s"]);
  assert.deepEqual([0, 0.0001, 0.105, 1].map(percent), ["0 %", "0.01 %", "10.5 %", "100 %"]);
});

Deno.test("missing figures are a dash", () => {
  for (const format of [compact, digits, bytes, duration, milliseconds, percent]) {
    assert.equal(format(undefined), "–");
    assert.equal(format(Number.NaN), "–");
  }
});

Deno.test("any value becomes text of a bounded length", () => {
  assert.equal(textOf({ a: [1, "<b>"] }), '{"a":[1,"<b>"]}');
  assert.equal(textOf("x".repeat(50), 10), `${"x".repeat(10)}…`);
  assert.equal(textOf(undefined), "");
});
