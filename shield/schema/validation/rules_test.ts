/** Protovalidate rules: ids and paths of violations, refused rules, and limits on the cost of rules. */
import assert from "node:assert/strict";
import { create, type FileRegistry, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { compileMessage, compileRules, SCHEMA_LIMITS } from "./message_schema.ts";
import type { SchemaLimits } from "./message_schema.ts";
import { countTurns } from "./rules_steps.ts";
import { field, list, type More, registryOf, rules, withFields } from "../testing/messages.ts";

function vehicle(options: More = {}): FileRegistry {
  const range = (most: number) => rules({ double: { gte: -most, lte: most } });
  const stops = { maxItems: "3", items: { string: { minLen: "2" } } };
  return registryOf({
    syntax: "proto3",
    messageType: [{
      name: "Position",
      field: [
        field("latitude", 1, "double", range(90)),
        field("longitude", 2, "double", range(180)),
      ],
    }, {
      name: "Vehicle",
      ...options,
      field: [
        field("id", 1, "string", rules({ string: { pattern: "^[A-Z]{1,3}$" } })),
        field("position", 2, ".t.Position", rules({ required: true })),
        list("stops", 3, "string", rules({ repeated: stops })),
        field("start", 4, "int64"),
        field("end", 5, "int64"),
      ],
    }, { name: "Feed", field: [list("vehicle", 1, ".t.Vehicle")] }],
  });
}

/** A registry with one message `t.M` that has a repeated int32, two texts and one CEL rule. */
function withCel(expression: string, rule: More = { id: "rule" }): FileRegistry {
  return registryOf({
    syntax: "proto3",
    messageType: [{
      name: "M",
      options: { "[buf.validate.message]": { cel: [{ ...rule, expression }] } },
      field: [list("numbers", 1, "int32"), field("text", 2, "string"), field("other", 3, "string")],
    }],
  });
}

function withField(more: JsonValue, type = "string"): FileRegistry {
  const inner = { name: "Inner", field: [list("value", 1, type, rules(more))] };
  const outer = { name: "M", field: [field("inner", 1, ".t.Inner")] };
  return registryOf({ syntax: "proto3", messageType: [inner, outer] });
}

function judge(registry: FileRegistry, name: string, init: object, limits = SCHEMA_LIMITS) {
  const desc = registry.getMessage(name)!;
  const bytes = toBinary(desc, create(desc, init as Record<string, unknown>));
  const schema = compileMessage(registry, name, limits);
  assert.equal(schema.has_rules, true);
  return schema.validate(bytes, { unknown_fields: "allow" });
}

function refused(registry: FileRegistry, pattern: RegExp, limits?: SchemaLimits): void {
  assert.throws(() => compileMessage(registry, "t.M", limits), (error) => {
    assert.ok(error instanceof SchemaError, String(error));
    assert.match(error.message, pattern);
    return true;
  });
}

Deno.test("each broken rule is named with its id and the path of the field", () => {
  const position = { latitude: 1, longitude: 2 };
  const good = { id: "AB", position, stops: ["aa"] };
  assert.equal(judge(vehicle(), "t.Feed", { vehicle: [good, good] }).total, 0);
  const bad = { id: "ab", position: { latitude: 91, longitude: -200 }, stops: ["aa", "b"] };
  const long = { id: "C", stops: ["aa", "bb", "cc", "dd"] };
  const found = judge(vehicle(), "t.Feed", { vehicle: [good, bad, long] });
  assert.deepEqual(found.violations.map(({ path, rule }) => `${path} ${rule}`), [
    "vehicle[1].id string.pattern",
    "vehicle[1].position.latitude double.gte_lte",
    "vehicle[1].position.longitude double.gte_lte",
    "vehicle[1].stops[1] string.min_len",
    "vehicle[2].position required",
    "vehicle[2].stops repeated.max_items",
  ]);
  assert.equal(found.total, 6);
});

Deno.test("16 broken rules are described and all are counted", () => {
  const found = judge(vehicle(), "t.Feed", { vehicle: Array(30).fill({}) });
  assert.equal(found.violations.length, 16);
  // The pattern does not match "" either; the position is missing.
  assert.equal(found.total, 60);
});

Deno.test("unknown fields are counted in addition to broken rules", () => {
  const schema = compileMessage(vehicle(), "t.Vehicle");
  const bytes = new Uint8Array([0x78, 0x01, 0x78, 0x01]);
  const found = schema.validate(bytes, { unknown_fields: "warn" });
  assert.deepEqual([found.total, found.unknown, found.unknown_paths], [2, 2, ["15", "15"]]);
});

Deno.test("rules run only if the structure is valid", () => {
  const schema = compileMessage(vehicle(), "t.Vehicle");
  const found = schema.validate(new Uint8Array([0x0a, 0x05, 0x61]), { unknown_fields: "allow" });
  assert.deepEqual(found.violations.map(({ rule }) => rule), ["truncated"]);
});

Deno.test("CEL over the message gives its own id and message", () => {
  const message = "the end is before the start";
  const cel = { id: "times", message, expression: "this.end >= this.start" };
  const registry = vehicle({ options: { "[buf.validate.message]": { cel: [cel] } } });
  const found = judge(registry, "t.Vehicle", { id: "A", position: {}, start: 5n, end: 4n });
  assert.deepEqual(found.violations, [{ path: "", rule: "times", message }]);
});

Deno.test("a rule with a loop works as written, and is quoted as written", () => {
  const expression = 'this.numbers.all(n, n > 0 || n in [-1, -2]) && this.text != "a.all(x, y)"';
  assert.equal(judge(withCel(expression), "t.M", { numbers: [1, 2, -1] }).total, 0);
  const found = judge(withCel(expression), "t.M", { numbers: [1, -7] });
  const message = `"${expression}" returned false`;
  assert.deepEqual(found.violations, [{ path: "", rule: "rule", message }]);
  const unique = withCel("this.numbers.map(n, n % 10).unique()");
  assert.equal(judge(unique, "t.M", { numbers: [1, 12, 23] }).total, 0);
  assert.equal(judge(unique, "t.M", { numbers: [1, 12, 21] }).total, 1);
  const short = registryOf({
    syntax: "proto3",
    messageType: [{
      name: "M",
      options: { "[buf.validate.message]": { celExpression: ["this.numbers.exists(n, n == 1)"] } },
      field: [list("numbers", 1, "int32")],
    }],
  });
  const [violation] = judge(short, "t.M", { numbers: [2] }).violations;
  assert.equal(violation?.rule, "this.numbers.exists(n, n == 1)");
});

Deno.test("each CEL loop gets a mark, and text that looks like a loop does not", () => {
  const turn = '"".matches("(?#turn)")';
  assert.equal(countTurns("this.all ( x , x > 1 )"), `this.all ( x , ${turn} && (x > 1 ))`);
  assert.equal(countTurns("a.map(x, x)"), `a.map(x, ${turn}, x)`);
  assert.equal(countTurns("a.map(x, f(x, 1), x)"), `a.map(x, ${turn} && (f(x, 1)), x)`);
  assert.equal(
    countTurns("a.filter(x, b.exists_one(y, x == y))"),
    `a.filter(x, ${turn} && (b.exists_one(y, ${turn} && (x == y))))`,
  );
  assert.equal(countTurns("a./* no comment */all(x, y)").includes("turn"), false);
  assert.equal(countTurns("a. // a comment, .all(\n all(x, y)").includes(`${turn} && (y)`), true);
  const texts = ['"a.all(x, y)"', "'''a'.all(x, y)'''", 'r"\\.all(x, y)"', "a.all", "all(x, y)"];
  for (const same of texts) assert.equal(countTurns(same), same);
  const searched = (mark: string, text: string) =>
    `a.contains("".matches("(?#contains ${mark})") ? (${text}) : "")`;
  assert.equal(countTurns("a.contains(b.c)"), searched("", "b.c"));
  assert.equal(countTurns('a.contains("b")'), searched("3", '"b"'));
  assert.equal(countTurns("a.contains()"), "a.contains()");
  assert.equal(countTurns("a.unique()"), 'a.filter(turn_, "".matches("(?#unique)")).unique()');
});

Deno.test("nested loops over a large message stop at the limit and report it", () => {
  const cubic = "this.numbers.all(a, this.numbers.all(b, this.numbers.all(c, a + b + c > 0)))";
  const numbers = Array<number>(20_000).fill(1);
  const limits = { ...SCHEMA_LIMITS, rule_steps: 20_000 };
  const expressions = [
    cubic,
    "this.numbers.exists(a, this.numbers.exists(b, this.numbers.exists(c, a + b + c < 0)))",
    "this.numbers.map(a, this.numbers.map(b, this.numbers.filter(c, c == a))).size() == 1",
    "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, " +
    "[1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, a + b + c + d + e > 0)))))",
    "this.numbers.unique()",
  ];
  for (const expression of expressions) {
    const found = judge(withCel(expression), "t.M", { numbers }, limits);
    assert.deepEqual(found.violations.map(({ rule }) => rule), ["rule-cost"], expression);
  }
  assert.equal(judge(withCel(cubic), "t.M", { numbers: [1, 2, 3] }, limits).total, 0);
});

Deno.test("rules that take too much of a core stop, however few their steps, and a stall of the machine is no cost", () => {
  const registry = withCel("this.numbers.all(n, n > 0)");
  const desc = registry.getMessage("t.M")!;
  const clock = { now_ms: 0, cpu_ms: 0 };
  const message = { numbers: Array<number>(100).fill(1) };
  /** Judges the message on a machine where each reading of the clock finds it so much later. */
  const judged = (now_ms: number, cpu_ms: number) => {
    const schema = compileRules(registry, desc, SCHEMA_LIMITS, {
      now_ms: () => clock.now_ms += now_ms,
      cpu_ms: () => clock.cpu_ms += cpu_ms,
    })!;
    return schema.judge(create(schema.desc, message), 100)?.violations[0]?.rule;
  };
  assert.equal(judged(200, 200), "rule-cost");
  assert.equal(judged(0, 200), undefined, "it takes no time");
  assert.equal(judged(1_000, 1), undefined, "the machine stalls");
});

Deno.test("patterns are RE2: linear, and patterns that backtrack elsewhere end at once", () => {
  const registry = withField({ repeated: { items: { string: { pattern: "^(a+)+$" } } } });
  const found = judge(registry, "t.M", { inner: { value: [`${"a".repeat(5_000)}!`] } });
  assert.deepEqual(found.violations.map(({ path, rule }) => `${path} ${rule}`), [
    "inner.value[0] string.pattern",
  ]);
  // Large automaton, long text: bounded by the product of both.
  const large = withField({ repeated: { items: { string: { pattern: "[ab]*a[ab]{300}$" } } } });
  const limits = { ...SCHEMA_LIMITS, rule_steps: 10_000 };
  const costly = judge(large, "t.M", { inner: { value: ["ab".repeat(20_000)] } }, limits);
  assert.deepEqual(costly.violations.map(({ rule }) => rule), ["rule-cost"]);
});

Deno.test("a pattern from the message is limited as well", () => {
  const registry = withCel("'aaa'.matches(this.text)");
  const rule = (text: string) => judge(registry, "t.M", { text }).violations[0]?.rule;
  const folding = `(?i)${"[B-\u{1e942}]".repeat(20)}`;
  const broken = ["^a+$", "b", "(", "a".repeat(9_000), folding].map(rule);
  assert.deepEqual(broken, [undefined, "rule", "rule-error", "rule-error", "rule-cost"]);
});

Deno.test("the cost of a substring search is charged for the worst texts", () => {
  const registry = withCel("!this.text.contains(this.other)");
  const text = "a".repeat(64_000);
  const half = "a".repeat(16_000);
  const limits = { ...SCHEMA_LIMITS, rule_steps: 100_000 };
  const other = `${half}b${half}`;
  const costly = judge(registry, "t.M", { text, other }, limits);
  assert.deepEqual(costly.violations.map(({ rule }) => rule), ["rule-cost"]);
  assert.equal(judge(registry, "t.M", { text: "tea", other: "ea" }).violations[0]?.rule, "rule");
  const literal = withCel("!this.text.contains('tea')");
  assert.equal(judge(literal, "t.M", { text }, limits).total, 0);
});

Deno.test("patterns that are not RE2, explode or are too long are refused with their field", () => {
  const pattern = (text: string) =>
    withField({ repeated: { items: { string: { pattern: text } } } });
  refused(pattern("(a)\\1"), /the pattern "\(a\)\\\\1" of "t\.Inner\.value" cannot be used/);
  refused(pattern("(?=a)"), /cannot be used/);
  refused(pattern("((a{1,100}){1,100}){1,100}"), /cannot be used: .*repeat/);
  refused(pattern("a".repeat(5_000)), /5000 characters, at most 4096/);
  const needle = withField({ repeated: { items: { string: { notContains: "a".repeat(257) } } } });
  refused(needle, /a rule of "t\.Inner\.value" looks for 257 characters or bytes, at most 256/);
});

Deno.test("invalid CEL is refused with its position", () => {
  const open = /"this\.numbers\.all\(n, " of "t\.M" cannot be compiled/;
  refused(withCel("this.numbers.all(n, "), open);
  refused(withCel(`${"(".repeat(2_000)}1${")".repeat(2_000)}`), /cannot be compiled/);
  refused(withCel(`this.text != "${"x".repeat(5_000)}"`), /501\d characters, at most 4096/);
});

Deno.test("too many expressions are refused", () => {
  const cel = Array.from({ length: 11 }, (_, at) => ({ id: `r${at}`, expression: "true" }));
  const registry = withField({ cel });
  refused(registry, /more than 10 CEL expressions/, { ...SCHEMA_LIMITS, expressions: 10 });
  assert.ok(compileMessage(registry, "t.M", { ...SCHEMA_LIMITS, expressions: 11 }).has_rules);
});

Deno.test("rules for another type, and unique on messages, are refused", () => {
  refused(withField({ int32: { gt: 1 } }), /the rules of t\.M: .*expected rule "repeated"/);
  const inner = { name: "Inner", field: [field("x", 1, "int32")] };
  const only = list("inner", 1, ".t.Inner", rules({ repeated: { unique: true } }));
  const messageType = [inner, { name: "M", field: [only] }];
  const unique = registryOf({ syntax: "proto3", messageType });
  refused(unique, /"t\.M\.inner": repeated\.unique cannot be used on messages/);
});

Deno.test("a rule that fails at run time is a violation, not an error", () => {
  const found = judge(withCel("1 / this.numbers[0] == 1"), "t.M", { numbers: [0] });
  assert.deepEqual(found.violations.map(({ rule }) => rule), ["rule-error"]);
  assert.match(found.violations[0]?.message ?? "", /a rule cannot be evaluated: .+/);
});

Deno.test("rules of messages inside messages and of recursive ones are found", () => {
  const small = field("n", 2, "int32", rules({ int32: { lt: 5 } }));
  const registry = withFields(list("inner", 1, ".t.M"), small);
  const found = judge(registry, "t.M", { inner: [{}, { inner: [{ n: 9 }] }] });
  assert.deepEqual(found.violations.map(({ path }) => path), ["inner[1].inner[0].n"]);
});

Deno.test("predefined rules of the set itself are known, and their loops are counted", () => {
  const expression = "!rule || [1, 2, 3].exists(n, n == this)";
  const extension = field("few", 1_161, "bool", {
    extendee: ".buf.validate.Int32Rules",
    options: { "[buf.validate.predefined]": { cel: [{ id: "int32.few", expression }] } },
  });
  const file = { syntax: "proto2", extension: [extension] };
  const few = registryOf(file);
  const ruled = field("n", 1, "int32", rules({ int32: { "[t.few]": true } }));
  const registry = registryOf({ ...file, messageType: [{ name: "M", field: [ruled] }] }, few);
  assert.equal(judge(registry, "t.M", { n: 3 }).total, 0);
  const found = judge(registry, "t.M", { n: 4 });
  assert.deepEqual(found.violations, [
    { path: "n", rule: "int32.few", message: `"${expression}" returned false` },
  ]);
  const costly = judge(registry, "t.M", { n: 3 }, { ...SCHEMA_LIMITS, rule_steps: 2 });
  assert.deepEqual(costly.violations.map(({ rule }) => rule), ["rule-cost"]);
});
