/**
 * Which pattern matches which subject, and which of several wins; compared with a literal implementation of the rules.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  canMatchBelow,
  compareSpecificity,
  compilePatterns,
  patternProblem,
} from "./subject_pattern.ts";

const tableOf = (...patterns: string[]) => compilePatterns(patterns.map((text) => [text, text]));

/** The meaning of a pattern in docs/governance.md#mirroring, as one regular expression. */
function plainly(pattern: string, subject: string): boolean {
  const escaped = pattern.replace(/[.$]/g, "\\$&");
  const open = escaped.endsWith(">")
    ? `${escaped.slice(0, -1)}.+`
    : escaped.endsWith("*")
    ? `${escaped.slice(0, -1)}.*`
    : escaped;
  const tail = open.endsWith(".*") && pattern.endsWith("*") ? 2 : 0;
  const head = tail === 0 ? open : open.slice(0, -2);
  return new RegExp(`^${head.replaceAll("*", "[^.]+")}${tail === 0 ? "" : ".*"}$`).test(subject);
}

Deno.test("a trailing star covers any remainder, tokens and beginnings of tokens alike", () => {
  const covers = (pattern: string, subject: string) =>
    tableOf(pattern).match(subject)?.value === pattern;
  for (
    const [pattern, subject, expected] of [
      ["in.t.default.*", "in.t.default.r.lobby", true],
      ["in.t.default.*", "in.t.default", false],
      ["in.t.default.*", "in.t.defaults.r.lobby", false],
      ["in.t.default.r.vehicles-*", "in.t.default.r.vehicles-7", true],
      ["in.t.default.r.vehicles-*", "in.t.default.r.vehicles-", true],
      ["in.t.default.r.vehicles-*", "in.t.default.r.vehicle", false],
      ["in.t.*.r.lobby", "in.t.acme.r.lobby", true],
      ["in.t.*.r.lobby", "in.t.acme.x.r.lobby", false],
      ["in.t.>", "in.t.acme.r.lobby", true],
      ["in.t.>", "in.t", false],
      ["*", "in.t.acme.r.lobby", true],
      ["in.t.acme.r.lobby", "in.t.acme.r.lobby", true],
      ["in.t.acme.r.lobby", "in.t.acme.r.lobby2", false],
    ] as const
  ) assert.equal(covers(pattern, subject), expected, `${pattern} ${subject}`);
});

Deno.test("the longest prefix wins, then more text, then exact before open", () => {
  const table = tableOf(
    "*",
    "in.t.*",
    "in.t.acme.*",
    "in.t.acme.>",
    "in.t.acme.r.a*",
    "in.t.acme.r.ab*",
    "in.t.acme.r.abc",
    "in.t.acme.r.abc*",
    "in.t.*.r.abc",
  );
  const winner = (subject: string) => table.match(subject)?.pattern;
  assert.equal(winner("in.t.acme.r.abc"), "in.t.acme.r.abc");
  assert.equal(winner("in.t.acme.r.abcd"), "in.t.acme.r.abc*");
  assert.equal(winner("in.t.acme.r.abd"), "in.t.acme.r.ab*");
  assert.equal(winner("in.t.acme.r.b"), "in.t.acme.>");
  assert.equal(winner("in.t.globex.r.abc"), "in.t.*.r.abc");
  assert.equal(winner("in.t.globex.r.x"), "in.t.*");
  assert.equal(winner("out.t.globex.r.x"), "*");
  assert.deepEqual(table.all("in.t.acme.r.abc").map(({ pattern }) => pattern), [
    "in.t.acme.r.abc",
    "in.t.acme.r.abc*",
    "in.t.acme.r.ab*",
    "in.t.acme.r.a*",
    "in.t.acme.>",
    "in.t.acme.*",
    "in.t.*.r.abc",
    "in.t.*",
    "*",
  ]);
});

Deno.test("of two equal patterns the later one applies, and the size is the number of patterns", () => {
  const table = compilePatterns([["a.*", 1], ["a.b", 2], ["a.*", 3]]);
  assert.equal(table.size, 2);
  assert.equal(table.match("a.c")?.value, 3);
  assert.equal(compilePatterns<number>([]).match("a"), undefined);
});

Deno.test("an invalid pattern is refused with the problem", () => {
  for (
    const [text, problem] of [
      ["", /empty token/],
      ["in..t", /empty token/],
      ["in.t.", /empty token/],
      ["in.t*x.r", /stands alone/],
      ["in.a*.r", /stands alone/],
      ["in.>.r", /last token/],
      ["in.t >", /last token/],
      ["in.t.a b", /character outside/],
      ["in.t.ü", /character outside/],
      ["x".repeat(257), /256 characters/],
      [Array(33).fill("a").join("."), /32 tokens/],
    ] as const
  ) {
    assert.match(patternProblem(text) ?? "", problem, text);
    assert.throws(() => tableOf(text), { name: "TypeError" });
  }
});

const token = fc.constantFrom("a", "b", "ab", "abc", "in");
const subject = fc.array(token, { minLength: 1, maxLength: 5 }).map((tokens) => tokens.join("."));
const pattern = fc.tuple(
  fc.array(fc.oneof({ weight: 4, arbitrary: token }, fc.constant("*")), { maxLength: 4 }),
  fc.oneof(token, fc.constantFrom("*", ">", "a*", "ab*")),
).map(([tokens, last]) => [...tokens, last].join("."));

Deno.test("any table finds the same as a linear search, the most specific first", () => {
  fc.assert(fc.property(fc.uniqueArray(pattern, { maxLength: 20 }), subject, (patterns, text) => {
    const table = tableOf(...patterns);
    const all = table.all(text);
    const expected = patterns.filter((one) => plainly(one, text));
    assert.deepEqual(all.map((match) => match.pattern).sort(), expected.sort());
    assert.deepEqual(all.toSorted(compareSpecificity), all);
    assert.deepEqual(table.match(text), all[0]);
    const backwards = tableOf(...patterns.toReversed());
    assert.equal(backwards.match(text)?.pattern, all[0]?.pattern, "the order is no matter");
  }));
});

Deno.test("a pattern can match below a prefix if it covers it or a part of it", () => {
  assert.ok(canMatchBelow("in.t.acme.*", "in.t."));
  assert.ok(canMatchBelow("*", "in.t."));
  assert.ok(canMatchBelow("i*", "in.t."));
  assert.ok(canMatchBelow("in.>", "in.t."));
  assert.ok(!canMatchBelow("out.t.acme.*", "in.t."));
  assert.ok(!canMatchBelow("in", "in.t."));
});
