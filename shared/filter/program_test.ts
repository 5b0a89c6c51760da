/** Verdicts, refused filters, and the limits of their cost. */
import assert from "node:assert/strict";
import { ArqonError, writeEnvelope } from "@arqon/proto";
import { fromBinary, fromJson, toBinary } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { type FilterName, type FilterShare, MessageView } from "./message_view.ts";
import { makeTable, newTables } from "./pattern.ts";
import { FilterProgram } from "./program.ts";

const LIMITS = { filter_chars: 1_024, filter_steps: 2_000 };
const COUNTS = { match: 0, no_match: 0, error: 0, cost: 0 };
const NAMES: readonly FilterName[] = ["type", "sender", "headers", "data", "claims"];

const view = (data: unknown, share?: FilterShare, mark = "") =>
  new MessageView(
    writeEnvelope({
      room_id: "r",
      sender_id: "ann",
      headers: { region: "eu" },
      event: {
        type: "order",
        content_type: "application/json",
        data: new TextEncoder().encode(mark + JSON.stringify(data)),
      },
    }),
    ...[COUNTS, undefined, undefined, share] as const,
  );

/** A text of "a" and "b" without a pattern (xorshift32). */
function mixed(length: number): string {
  let seed = 0x9e3779b9;
  return Array.from({ length }, () => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed & 1) === 0 ? "a" : "b";
  }).join("");
}

const judge = (text: string, data: unknown = {}, claims: Record<string, unknown> = {}) =>
  new FilterProgram(text, LIMITS, NAMES).judge(view(data), claims);

Deno.test("a filter sees type, sender, headers and data", () => {
  const data = { price: 120, tags: ["a", "b"], owner: { name: "bob" } };
  const yes = [
    'headers["region"] == "eu" && data.price > 100.0',
    "data.price > 100 && data.price == 120",
    'type == "order" && sender == "ann"',
    'data.tags.exists(tag, tag == "b")',
    'data.owner.name.matches("^b.b$")',
    "!has(data.nothing)",
    '"region" in headers && !("team" in headers)',
  ];
  for (const text of yes) assert.equal(judge(text, data), true, text);
  for (const text of yes) assert.equal(judge(`!(${text})`, data), false, text);
});

Deno.test("a filter that fails on a message is an error, and the message is not delivered", () => {
  for (const text of ["data.none > 1", "data.price", 'headers["none"] == "x"', "1 / 0 == 1"]) {
    assert.equal(judge(text, { price: 1 }), "error", text);
  }
  // No reader of the bus takes it for JSON.
  const marked = view({ price: 1 }, undefined, "\uFEFF");
  assert.equal(new FilterProgram("data.price == 1", LIMITS, NAMES).judge(marked, {}), "error");
  const other = new MessageView(new Uint8Array([0xff, 0xff]), COUNTS);
  assert.equal(new FilterProgram('type == "x"', LIMITS, NAMES).judge(other, {}), "error");
});

Deno.test("an invalid filter is refused with the problem", () => {
  for (const table of ["L", "N"]) makeTable(table);
  const cases: [text: string, detail: RegExp][] = [
    ["", /end of input/],
    ["data.a ==", /1:8: found =/],
    ["dato.a == 1", /unknown name "dato"; a filter may use type, sender, headers, data/],
    ["foo(1)", /unknown function "foo"/],
    ["true || [1].exists(x, y == 1)", /unknown name "y"/],
    [`type == "${"x".repeat(1_100)}"`, /1110 characters, at most 1024/],
    ['data.s.matches("(")', /missing closing/],
    ['data.s.matches(data.p + "1")', /must be a quoted text in the filter/],
    ["matches(data.s, claims.p)", /must be a quoted text in the filter/],
    // The parser is quadratic in the first, and the planner in the second.
    [`true${" ".repeat(900)}`, /more than 64 characters of white space in a row/],
    [`data${".a".repeat(400)} == 1`, /more than 64 names in a row/],
    // Seconds of a core: the parser says what may follow each.
    ...["(", "[", "{", "[(", "{1:"].map((open): [string, RegExp] => [
      open.repeat(300),
      /more than 32 brackets inside each other/,
    ]),
    [`data.s.matches("${"[\\\\pL\\\\pN]{1000}".repeat(3)}")`, /repeats too much: some 300\d parts/],
    ['data.s.matches("((a{1,30}){1,30})b{100}")', /repeats too much/],
    // 30 ms each: RE2 folds every character of a range.
    ...[
      "B-\\\\x{1e942}",
      "^B-\u{1e942}",
      "--\u{1e942}",
      "[:^alpha:]B-\u{1e942}",
      "\\\\]\\\\101-\u{1e942}",
    ].map((
      part,
    ): [string, RegExp] => [
      `data.s.matches("(?i)[${part}]")`,
      /its patterns take \d+ steps to compile, at most 40000/,
    ]),
    [`data.s.matches("${"\\\\pL".repeat(30)}")`, /its patterns take \d+ steps to compile/],
    [
      Array.from({ length: 17 }, (_, n) => `data.s.matches("${n}")`).join("||"),
      /17 patterns, at most 16/,
    ],
    [
      "data.a.all(a, data.a.all(b, data.a.all(c, data.a.all(d, a + b + c + d > 1))))",
      /may take \d+ steps a message, at most 2000/,
    ],
  ];
  for (const [text, detail] of cases) {
    assert.throws(() => new FilterProgram(text, LIMITS, NAMES), (error) => {
      assert(error instanceof ArqonError, String(error));
      assert.equal(error.reason, "invalid-filter");
      assert.match(error.message, detail);
      return true;
    });
  }
});

Deno.test("tables of Unicode are made one by one, each is paid once, and none is made twice", () => {
  const paid: number[] = [];
  const text = 'data.s.matches("\\\\p{Greek}\\\\p{Thai}|\\\\P{^Greek}\\\\p{Ogham}")';
  const made = () => {
    try {
      return new FilterProgram(text, LIMITS, NAMES, (steps) => void paid.push(steps)).text;
    } catch (error) {
      return (error as ArqonError).reason;
    }
  };
  assert.deepEqual([made(), made(), made(), made()], ["rate-limited", "rate-limited", text, text]);
  assert.equal(paid.filter((steps) => steps === 100_000).length, 3);
});

Deno.test("a name of no table is refused each time, and not kept; quoted text names none", () => {
  for (let times = 0; times < 2; times++) {
    assert.throws(
      () => new FilterProgram(String.raw`type.matches("\\p{Nobodys}")`, LIMITS, NAMES),
      { reason: "invalid-filter", message: /invalid character class range/ },
    );
    assert.deepEqual([...newTables([String.raw`\p{Nobodys}`])], ["Nobodys"]);
  }
  const quoted = [String.raw`\\p{Nobodys}`, String.raw`\Q\p{Nobodys}\E`, String.raw`[\]\\p]`];
  assert.equal(newTables(quoted).size, 0);
});

Deno.test("classes with folded letters are usable", () => {
  for (
    const text of [
      "(?i)^[a-z]+$",
      "(?i)[^\\\\x00-\\\\x7f]|A",
      "(?i)[\u4e00-\u9fa5A-C]",
      "(?i)[\\\\x{0}-\\\\x{10ffff}]",
    ]
  ) {
    assert.equal(judge(`data.s.matches("${text}")`, { s: "abc" }), true, text);
  }
});

Deno.test("a filter that takes too long for a message is stopped", () => {
  const many = { a: Array.from({ length: 3_000 }, (_, index) => index) };
  assert.equal(judge("data.a.all(x, x >= 0)", many), "cost");
  assert.equal(judge("data.a.exists(x, x == 3)", many), true);
  const long = { a: Array(40).fill("x"), b: "y".repeat(200_000) };
  assert.equal(judge('data.a.exists(x, data.b.contains("z"))', long), "cost");
  assert.equal(judge('data.b.matches("(a|b|c|d|e)+z")', long), "cost");
});

Deno.test("a step has the price of the worst operands: quadratic, deep or unknown ones cost more", () => {
  const text = "a".repeat(20_000);
  const costly: [filter: string, data: unknown][] = [
    // 0.2 s each without a price: the engine compares each position with the whole needle.
    ["data.s.contains(data.t)", { s: text, t: `${"a".repeat(8_000)}b${"a".repeat(1_000)}` }],
    ["int(data.s) > 1", { s: "9".repeat(40_000) }],
    ["size(data.s) > 1 || size(data.s) > 2 || size(data.s) < 1", { s: text.repeat(7) }],
    ["data.a == data.b", { a: Array(3_000).fill([[]]), b: Array(3_000).fill([[]]) }],
    // Each is read no further than its steps reach, and a fraction of a step is left then.
    [
      Array(30).fill("data.a != data.a").join(" || "),
      { a: Array.from({ length: 3_000 }, () => []) },
    ],
    [Array(30).fill("1 in data.a").join(" || "), { a: Array.from({ length: 5_000 }, () => []) }],
    ["data.a.exists(x, x in data.b)", { a: Array(9).fill({}), b: Array(900).fill({ a: 1 }) }],
    [
      "data.a.all(x, timestamp(x).getHours('Asia/Tokyo') >= 0)",
      { a: Array(20).fill("2026-11-26T00:00:00Z") },
    ],
    // A new state of the automaton at each character.
    ['data.s.matches("(a|b)*a(a|b){20}[01]")', { s: mixed(600) }],
    ['data.s.matches("(?:(^|$|\\\\b)*a?){60}[xy]")', { s: text.slice(0, 200) }],
  ];
  for (const [filter, data] of costly) assert.equal(judge(filter, data), "cost", filter);
  const cheap: [filter: string, data: unknown][] = [
    ['data.s.contains("b")', { s: text }],
    ['data.s.matches("foo|bar") || data.s == "x"', { s: text }],
    ['"x" in data.tags || data.name == "bob"', { s: text, tags: ["a"], name: "ann" }],
    ["data.a == data.b", { a: [1, { b: 2 }], b: [1, { b: 3 }] }],
  ];
  for (const [filter, data] of cheap) assert.equal(judge(filter, data), false, filter);
});

Deno.test("a loop copies no more items of a message than it can pay turns for", () => {
  let copied = 0;
  const items = Object.assign(Array<number>(100_000).fill(1), {
    *values() {
      for (let at = 0; at < 100_000; at++) {
        copied++;
        yield 1;
      }
    },
  });
  const members = new Map(Array.from({ length: 100_000 }, (_, at) => [`m${at}`, 1]));
  members.keys = () => items.values() as never;
  const mapped = new MessageView(
    writeEnvelope({ room_id: "r", event: { type: "order", data: new Uint8Array(1) } }),
    ...[COUNTS, undefined, () => ({ items, members })] as const,
  );
  for (const name of ["items", "members"]) {
    const text = `data.${name}.all(x, data.${name}.exists(y, true))`;
    copied = 0;
    assert.equal(new FilterProgram(text, LIMITS, NAMES).judge(mapped, {}), "cost");
    assert.ok(copied < 20_000, `${name}: ${copied}`);
  }
  assert.equal(judge("[1, 2, 3].map(x, x * 2) == [2, 4, 6]"), true);
  assert.equal(judge('data.filter(x, x != "a") == ["b"]', { a: 1, b: 2 }), true);
});

Deno.test("a message with values that are converted at each use pays for each", () => {
  const judged = (members: number, uses: number) => {
    const fields = Object.fromEntries(Array.from({ length: members }, (_, at) => [`m${at}`, at]));
    const data = toBinary(StructSchema, fromJson(StructSchema, fields));
    const read = () => reflect(StructSchema, fromBinary(StructSchema, data));
    const message = new MessageView(
      writeEnvelope({ room_id: "r", event: { type: "order", data } }),
      ...[COUNTS, undefined, read] as const,
    );
    const text = Array.from({ length: uses }, (_, at) => `data.m${at} < 0.0`).join("||");
    return new FilterProgram(text, LIMITS, NAMES).judge(message, {});
  };
  assert.equal(judged(20, 4), false);
  assert.equal(judged(2_000, 40), "cost");
});

Deno.test("a member that is looked for by a number is compared with none", () => {
  const text = "data[1] == 1 || data[2.0] == 2 || data[3u] == 3";
  const program = new FilterProgram(text, LIMITS, NAMES);
  const message = view({ "1": 1 });
  const { keys } = Map.prototype;
  let looks = 0;
  Map.prototype.keys = function () {
    looks++;
    return keys.call(this);
  };
  try {
    assert.equal(program.judge(message, {}), "error");
  } finally {
    Map.prototype.keys = keys;
  }
  assert.equal(looks, 0);
  assert.equal(judge('data["1"] == 1 && has(data.a) && !has(data.b)', { "1": 1, a: 0 }), true);
});

Deno.test("the filters of a room together are limited to their steps for a message", () => {
  const shared = view({ a: [1, 2, 3] }, "room");
  const costly = new FilterProgram(`[${"1,".repeat(30)}1].all(x, x > 0)`, LIMITS, NAMES);
  const cheap = new FilterProgram("data.a == [1, 2, 3]", LIMITS, NAMES);
  const verdicts = Array.from({ length: 60 }, () => costly.judge(shared, {}));
  assert.equal(verdicts[0], true);
  assert.equal(verdicts.at(-1), "cost");
  assert.ok(shared.steps < 10_000 + 60 * 100, `${shared.steps} steps`);
  assert.equal(cheap.judge(shared, {}), true, "what costs little is judged all the same");
  const spent = view({}, "none");
  assert.equal(cheap.judge(spent, {}), "cost");
});

Deno.test("patterns with ever new states keep a bounded number of them", () => {
  const limits = { ...LIMITS, filter_steps: 100_000_000 };
  const texts = [1_000, 2_000, 3_000].map(mixed);
  for (let n = 10; n < 20; n++) {
    const program = new FilterProgram(`data.s.matches("(a|b)*a(a|b){${n}}[01]")`, limits, NAMES);
    for (const s of texts) assert.equal(program.judge(view({ s }), {}), false);
    for (const s of texts) {
      assert.equal(program.judge(view({ s: `${s}a${s.slice(0, n)}1` }), {}), true);
    }
  }
});

Deno.test("a filter lists the claims that it reads", () => {
  const claims = (text: string) => new FilterProgram(text, LIMITS, NAMES).claims;
  assert.deepEqual(claims('headers["team"] in claims.teams && claims.plan == "x"'), [
    "plan",
    "teams",
  ]);
  assert.deepEqual(claims('claims["teams"].size() > 0'), ["*"]);
  assert.deepEqual(claims("data.xs.exists(x, x in claims.teams)"), ["teams"]);
  assert.deepEqual(claims("data.price > 1"), []);
  assert.equal(judge('headers["region"] in claims.regions', {}, { regions: ["eu"] }), true);
  assert.equal(judge('headers["region"] in claims.regions', {}, { regions: ["us"] }), false);
  assert.equal(judge('headers["region"] in claims.regions', {}, {}), "error");
});

Deno.test("JavaScript's property names are not data", () => {
  for (const text of ["has(data.constructor)", "has(data.toString)", '"__proto__" in headers']) {
    assert.equal(judge(text), false, text);
  }
});
