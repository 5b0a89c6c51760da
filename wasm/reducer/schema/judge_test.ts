/** Commands validated by schemas: the same result as ajv where JSON Schema applies; the path of a fault; any input. */
import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { judge } from "./judge.ts";
import { parseRoomSchema, schemaOf, withRoomSchema } from "./room_schema.ts";
import type { Shape } from "./shape.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const schemaWith = (data: unknown, $defs: Record<string, unknown> = {}) =>
  parseRoomSchema(bytes(JSON.stringify({ commands: { do: { data } }, $defs })));

/** The outcome of a command: the data as a text, or code and reason. */
function verdict(data: unknown, given: string, $defs = {}): string {
  const judged = judge(schemaWith(data, $defs), "do", bytes(given));
  if ("data" in judged) return `passed ${new TextDecoder().decode(judged.data)}`;
  return `${judged.code} ${judged.reason}`;
}

const NAMES = ["a", "b", "toString", "ü"];
const name = fc.constantFrom(...NAMES, "__proto__");
/** ajv does not validate a member named "__proto__" by its shape in `properties`. */
const shapeName = fc.constantFrom(...NAMES);
const scalar = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, 1, -1, 2.5, 1e21, "", "a", "b", "😀", "ab"),
  fc.integer({ min: -3, max: 3 }),
  fc.string({ maxLength: 3 }),
);
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    scalar,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(name, tie("value"), { maxKeys: 3, noNullPrototype: true }),
  ),
}));
const few = fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined });
const bounds = (words: readonly string[]) =>
  fc.tuple(...words.map(() => few)).map((all) =>
    Object.fromEntries(
      words.map((word, at) => [word, all[at]]).filter(([, one]) => one !== undefined),
    )
  );
const orNull = (type: string) => fc.boolean().map((is) => is ? [type, "null"] : type);
const limits = bounds(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]);
const { shape } = fc.letrec((tie) => ({
  shape: fc.oneof(
    { depthSize: "small" },
    fc.tuple(orNull("string"), bounds(["minLength", "maxLength"]))
      .map(([type, more]) => ({ type, ...more })),
    fc.tuple(orNull("integer"), limits).map(([type, more]) => ({ type, ...more })),
    fc.tuple(orNull("number"), limits).map(([type, more]) => ({ type, ...more })),
    fc.constantFrom("boolean", "null").map((type) => ({ type })),
    fc.uniqueArray(scalar.filter((one) => typeof one !== "number" || Number.isFinite(one)), {
      minLength: 1,
      maxLength: 3,
    }).map((all) => ({ enum: all })),
    fc.tuple(scalar, fc.boolean()).map(([one, is_listed]) => ({
      enum: [is_listed ? one : "b"],
      const: one,
    })),
    fc.constant({ $ref: "#/$defs/Tree" }),
    fc.tuple(fc.option(tie("shape"), { nil: undefined }), bounds(["minItems", "maxItems"])).map((
      [items, more],
    ) => ({ type: "array", ...(items ? { items } : {}), ...more })),
    fc.tuple(
      fc.dictionary(shapeName, tie("shape"), { maxKeys: 3, noNullPrototype: true }),
      fc.oneof(fc.boolean(), fc.constant(undefined), tie("shape")),
      fc.nat(3),
    ).map(([properties, others, needed]) => ({
      type: "object",
      properties,
      required: Object.keys(properties).slice(0, needed),
      ...(others === undefined ? {} : { additionalProperties: others }),
    })),
  ),
}));
const TREE = {
  type: "object",
  properties: { a: { type: "integer" }, b: { $ref: "#/$defs/Tree" } },
  required: ["a"],
};

Deno.test("a value passes if ajv accepts it, and is returned unchanged", () => {
  fc.assert(
    fc.property(shape, value, (inner, one) => {
      // In a list, since a command's data is a text or none.
      const data = { type: "array", items: inner } as unknown as Shape;
      const ajv = new Ajv2020({ strict: false, unicodeRegExp: false, ownProperties: true });
      const passes = ajv.compile({ ...data, $defs: { Tree: TREE } })([one]);
      const given = JSON.stringify([one]);
      const judged = verdict(data, ` ${given}\n`, { Tree: TREE });
      // docs/room-schema.md: an integer is at most 2^53 - 1, which JSON Schema does not say.
      if (given.includes("1e+21") && judged.includes("expected a whole number")) return;
      assert.equal(judged.startsWith("passed "), passes, judged);
      if (passes) assert.equal(judged, `passed ${given}`);
      else assert.match(judged, /^400 data\[0\]/);
    }),
    { numRuns: 40 },
  );
});

Deno.test("a member named __proto__ is validated by its shape like any other", () => {
  const data = JSON.parse(
    `{"type":"object","properties":{"__proto__":{"type":"integer"}},"required":["__proto__"],
      "additionalProperties":false}`,
  );
  assert.equal(verdict(data, `{"__proto__":1}`), `passed {"__proto__":1}`);
  assert.match(verdict(data, `{"__proto__":""}`), /^400 data.__proto__: expected a whole number/);
  assert.equal(verdict(data, `{}`), "400 data.__proto__: it is missing");
});

Deno.test("of a list and a constant both hold", () => {
  const data = { type: "array", items: { enum: [1, 2], const: 1 } };
  assert.equal(verdict(data, "[1]"), "passed [1]");
  assert.equal(verdict(data, "[2]"), "400 data[0]: expected 1");
});

const BID = {
  type: "object",
  properties: { amount: { type: "integer", minimum: 1 }, note: { type: "string", maxLength: 3 } },
  required: ["amount"],
  additionalProperties: false,
};

Deno.test("a refusal has the path, the expected and the found kind, and never a text of the sender", () => {
  for (
    const [given, judged] of [
      [`{"amount":5}`, `passed {"amount":5}`],
      [`{"amount":-5,"amount": 5.0}`, `passed {"amount":5}`],
      [`{"amount":5,"amount":-5}`, "400 data.amount: expected at least 1, found -5"],
      [`{"amount":"5"}`, "400 data.amount: expected a whole number, found a text"],
      [`{"amount":1.5}`, "400 data.amount: expected a whole number, found 1.5"],
      [`{"amount":9007199254740993}`, /^400 data.amount: expected a whole number, found 9007199/],
      [`{"amount":1e999}`, /^400 data.amount: expected a whole number/],
      [`{}`, "400 data.amount: it is missing"],
      [`{"amount":1,"note":"abcd"}`, /data.note: expected at most 3 characters, found 4$/],
      [`{"amount":1,"more":1}`, /data.more: there is no such member; expected "amount", "note"$/],
      [`{"amount":1,"${"x".repeat(5_000)}":1}`, /^400 .{1,400}…?$/],
      [`[]`, "400 data: expected an object, found a list"],
      [``, "400 data: expected an object, found none"],
      [`secret`, "400 data: expected an object as JSON"],
    ] as const
  ) {
    const found = verdict(BID, given);
    if (typeof judged === "string") assert.equal(found, judged, given);
    else assert.match(found, judged, given);
  }
  assert.equal(
    verdict({ type: "string", minLength: 2 }, `"`),
    "400 data: expected at least 2 characters, found 1",
  );
  assert.equal(verdict({ enum: ["yes", "no"] }, "yes"), "passed yes");
  assert.equal(verdict({ enum: ["yes", "no"] }, `"yes"`), `400 data: expected one of "yes", "no"`);
  const schema = schemaWith(BID);
  assert.match(JSON.stringify(judge(schema, "toString", bytes(""))), /404.*no command .*: do"/);
  const none = parseRoomSchema(bytes(`{"commands":{"look":{}}}`));
  assert.deepEqual(judge(none, "look", bytes("")), { data: bytes("") });
  assert.deepEqual(judge(none, "look", bytes("1")), { code: 400, reason: "data: expected none" });
});

Deno.test("endless nesting is refused with the path where it is too deep, for any schema", () => {
  const deep = (open: string, close: string) => `${open.repeat(20_000)}1${close.repeat(20_000)}`;
  const free = { type: "array" };
  assert.match(verdict(free, deep("[", "]")), /^400 data.*nested deeper than 64$/);
  const tree = { Tree: { type: "array", items: { $ref: "#/$defs/Tree" } } };
  const again = { $ref: "#/$defs/Tree" };
  assert.match(verdict(again, deep("[", "]"), tree), /^400 data.*nested deeper than 64/);
  assert.match(verdict({ type: "object" }, deep(`{"a":`, "}")), /nested deeper than 64$/);
  assert.match(verdict(free, "[1e999]"), /too large/);
});

Deno.test("a value takes as long with any schema, however long its lists and chains of references are", () => {
  const chained = Object.fromEntries(
    Array.from({ length: 900 }, (_, at) => [`A${at}`, { $ref: `#/$defs/A${at + 1}` }]),
  );
  const $defs = { ...chained, A900: { type: "integer" } };
  const listed = Array.from({ length: 6_000 }, (_, at) => at);
  const given = bytes(`[${"5999,".repeat(20_000)}5999]`);
  const took_ms = (items: unknown) => {
    const schema = schemaWith({ type: "array", items }, $defs);
    const begun_ms = performance.now();
    assert.ok("data" in judge(schema, "do", given));
    return performance.now() - begun_ms;
  };
  const plain = { type: "integer" };
  const costly: Record<string, unknown>[] = [
    { $ref: "#/$defs/A0" },
    { enum: listed },
    { enum: listed, const: 5_999 },
  ];
  for (const items of costly) {
    const times = Math.min(took_ms(items), took_ms(items)) /
      Math.max(took_ms(plain), took_ms(plain));
    assert.ok(times < 30, `${times} times as long: ${Object.keys(items)}`);
  }
});

Deno.test("an invalid schema is refused with the path", () => {
  const nested = `${`{"type":"array","items":`.repeat(40)}{"type":"null"}${"}".repeat(40)}`;
  for (
    const [text, judged] of [
      [`[]`, /expected an object, found \[\]/],
      [`{`, /no JSON/],
      [`{"events":{}}`, /^commands: expected an object, found nothing/],
      [`{"commands":{},"command":1}`, /"command" is none of \$schema, title/],
      [`{"commands":{"a":{"date":1}}}`, /^commands\.a: "date" is none of description, data/],
      [`{"commands":{"":{}}}`, /^commands: a name has 1 to 256/],
      [
        `{"commands":{"a":{"data":{"type":"int"}}}}`,
        /^commands\.a\.data\.type: expected one of obj/,
      ],
      [
        `{"commands":{"a":{"data":{"pattern":"(a+)+"}}}}`,
        /^commands\.a\.data\.pattern: a bus judges/,
      ],
      [`{"commands":{"a":{"data":{}}}}`, /^commands\.a\.data: it says nothing/],
      [`{"commands":{"a":{"data":{"type":["string","null"]}}}}`, /data: it is a text or something/],
      [`{"commands":{"a":{"data":{"type":"string","minimum":1}}}}`, /data\.minimum: it says some/],
      [`{"commands":{"a":{"data":{"type":"object","required":["x"]}}}}`, /"x" is none of prop/],
      [`{"commands":{"a":{"data":{"$ref":"#/$defs/B"}}}}`, /^\$defs: there is no "B"/],
      [`{"commands":{},"$defs":{"A":{"$ref":"#/$defs/A"}}}`, /^\$defs\.A: it is named by itself/],
      [`{"commands":{"a":{"data":${nested}}}}`, /nested deeper than 32/],
      [`{"commands":{},"title":"${"x".repeat(70_000)}"}`, /at most 65536/],
    ] as const
  ) {
    assert.throws(
      () => parseRoomSchema(bytes(text)),
      { name: "SchemaError", message: judged },
      text,
    );
  }
});

Deno.test("a module carries its schema, and no bytes after a module's head make it hang", () => {
  const head = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
  const schema = bytes(`{"title":"${"x".repeat(300)}","commands":{"do":{}}}`);
  const one = withRoomSchema(head, schema);
  assert.ok(WebAssembly.validate(one));
  assert.deepEqual(schemaOf(one)?.commands, { do: {} });
  assert.equal(schemaOf(head), undefined);
  assert.throws(() => schemaOf(withRoomSchema(one, schema)), /2 sections; expected one/);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (rest) => {
    try {
      schemaOf(new Uint8Array([...head, ...rest]));
    } catch (error) {
      assert.equal((error as Error).name, "SchemaError");
    }
  }));
});
