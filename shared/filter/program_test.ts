/** What filters say of messages, what is refused, and what they may cost. */
import assert from "node:assert/strict";
import { ArqonError, writeEnvelope } from "@arqon/proto";
import { MessageView } from "./message_view.ts";
import { FilterProgram } from "./program.ts";
import type { FilterName } from "./program.ts";

const LIMITS = { filter_chars: 1_024, filter_steps: 2_000 };
const COUNTS = { match: 0, no_match: 0, error: 0, cost: 0 };
const NAMES: readonly FilterName[] = ["type", "sender", "headers", "data", "claims"];

const view = (data: unknown, more: { type?: string; headers?: Record<string, string> } = {}) =>
  new MessageView(
    writeEnvelope({
      room_id: "r",
      sender_id: "ann",
      headers: { region: "eu", ...more.headers },
      event: {
        type: more.type ?? "order",
        content_type: "application/json",
        data: new TextEncoder().encode(JSON.stringify(data)),
      },
    }),
    COUNTS,
  );

const judge = (text: string, data: unknown = {}, claims: Record<string, unknown> = {}) =>
  new FilterProgram(text, LIMITS, NAMES).judge(view(data), claims);

Deno.test("a filter judges type, sender, headers and data", () => {
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

Deno.test("what cannot be applied to a message is an error, and never lets it through", () => {
  for (const text of ["data.none > 1", "data.price", 'headers["none"] == "x"', "1 / 0 == 1"]) {
    assert.equal(judge(text, { price: 1 }), "error", text);
  }
  const other = new MessageView(new Uint8Array([0xff, 0xff]), COUNTS);
  assert.equal(new FilterProgram('type == "x"', LIMITS, NAMES).judge(other, {}), "error");
});

Deno.test("what is no filter is refused with what is wrong", () => {
  const cases: [text: string, detail: RegExp][] = [
    ["", /end of input/],
    ["data.a ==", /1:8: found =/],
    ["dato.a == 1", /there is no "dato"; a filter may use type, sender, headers, data/],
    ["foo(1)", /there is no function "foo"/],
    ["true || [1].exists(x, y == 1)", /there is no "y"/],
    [`type == "${"x".repeat(1_100)}"`, /1110 characters, at most 1024/],
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

Deno.test("a filter that takes too long over a message is stopped", () => {
  const many = { a: Array.from({ length: 3_000 }, (_, index) => index) };
  assert.equal(judge("data.a.all(x, x >= 0)", many), "cost");
  assert.equal(judge("data.a.exists(x, x == 3)", many), true);
  const long = { a: Array(40).fill("x"), b: "y".repeat(200_000) };
  assert.equal(judge('data.a.exists(x, data.b.contains("z"))', long), "cost");
  assert.equal(judge('data.b.matches("(a|b|c|d|e)+z")', long), "cost");
});

Deno.test("a filter says which claims it reads", () => {
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

Deno.test("names of JavaScript are no data", () => {
  for (const text of ["has(data.constructor)", "has(data.toString)", '"__proto__" in headers']) {
    assert.equal(judge(text), false, text);
  }
});
