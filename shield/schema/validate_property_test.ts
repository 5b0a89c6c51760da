/**
 * The wire walker against protobuf-es: everything that it encodes passes, and everything that passes can be decoded.
 */
import assert from "node:assert/strict";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { anyCharacter } from "../../shared/testing/any_character.ts";
import { compileMessage, type UnknownFields } from "./validation/message_schema.ts";
import { proto2, proto3, SCALARS } from "./testing/messages.ts";

const registry = proto3();
const all = registry.getMessage("t.All")!;
const schema = compileMessage(registry, "t.All");
const schema2 = compileMessage(proto2(), "t.Node");
/** The same without required fields, since protobuf-es refuses to encode a message without its required fields. */
const lenient_node = proto2("LABEL_OPTIONAL").getMessage("t.Node")!;

const int32 = fc.integer({ min: -0x80000000, max: 0x7fffffff });
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const int64 = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
const uint64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const text = fc.string({ unit: anyCharacter, maxLength: 90 });
const octets = fc.uint8Array({ maxLength: 20 });

function scalar(type: string): fc.Arbitrary<unknown> {
  switch (type) {
    case "double":
      return fc.double();
    case "float":
      return fc.float();
    case "bool":
      return fc.boolean();
    case "string":
      return text;
    case "bytes":
      return octets;
    case "uint64":
    case "fixed64":
      return uint64;
    case "uint32":
    case "fixed32":
      return uint32;
    default:
      return type.endsWith("64") ? int64 : int32;
  }
}

function camel(name: string): string {
  return name.replace(/_(\w)/, (_, letter: string) => letter.toUpperCase());
}

const { message } = fc.letrec<{ message: Record<string, unknown> }>((tie) => ({
  message: fc.record({
    ...Object.fromEntries(SCALARS.map((type) => [camel(`one_${type}`), scalar(type)])),
    ...Object.fromEntries(
      SCALARS.map((type) => [camel(`many_${type}`), fc.array(scalar(type), { maxLength: 3 })]),
    ),
    color: int32,
    colors: fc.array(int32, { maxLength: 3 }),
    far: int32,
    labels: fc.dictionary(text, int32, { maxKeys: 3 }),
    self: fc.option(tie("message"), { nil: undefined, maxDepth: 2 }),
    selves: fc.array(tie("message"), { maxLength: 2, depthIdentifier: "selves" }),
  }, { requiredKeys: [] }),
}));

const bytes_of = message.map((init) => toBinary(all, create(all, init)));
const mode = fc.constantFrom<UnknownFields>("allow", "warn", "refuse");

function decodes(bytes: Uint8Array): boolean {
  try {
    fromBinary(all, bytes);
    return true;
  } catch {
    return false;
  }
}

Deno.test("everything that protobuf-es encodes passes, with no unknown field", () => {
  fc.assert(fc.property(bytes_of, (bytes) => {
    const found = schema.validate(bytes, { unknown_fields: "refuse" });
    assert.deepEqual(found.violations, []);
  }));
});

Deno.test("a message cut at any byte is refused exactly when protobuf-es cannot decode it", () => {
  fc.assert(
    fc.property(bytes_of, (bytes) => {
      fc.pre(bytes.length <= 500);
      for (let size = 0; size < bytes.length; size++) {
        const cut = bytes.subarray(0, size);
        const found = schema.validate(cut, { unknown_fields: "refuse" });
        assert.equal(found.total === 0, decodes(cut), `${size} of ${bytes.length} bytes`);
        if (found.total > 0) assert.equal(found.violations[0]?.rule, "truncated");
      }
    }),
    { numRuns: 40 },
  );
});

Deno.test("changed bytes never throw, and data that passes can be decoded", () => {
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(fc.property(bytes_of, changes, mode, (bytes, edits, unknown_fields) => {
    const changed = bytes.slice();
    for (const [at, value] of edits) changed[at % (changed.length || 1)] = value;
    const found = schema.validate(changed, { unknown_fields });
    if (found.total === 0) assert.ok(decodes(changed));
  }));
});

Deno.test("random bytes never throw, and data that passes can be decoded", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), mode, (bytes, unknown_fields) => {
      const found = schema.validate(bytes, { unknown_fields });
      if (found.total === 0) assert.ok(decodes(bytes));
      schema2.validate(bytes, { unknown_fields });
      assert.ok(found.violations.length <= 16 && found.violations.length <= found.total);
    }),
    { numRuns: 2_000 },
  );
});

const leaf = fc.record({ id: text }, { requiredKeys: [] });
const nodes = fc.record({
  leaf,
  version: int32,
  leaves: fc.array(leaf, { maxLength: 3 }),
  item: fc.array(fc.record({ name: text, count: int32 }, { requiredKeys: [] }), { maxLength: 3 }),
}, { requiredKeys: [] });

/** Paths of required fields that the arbitrary left out, in the order of a walk. */
function lacking(init: Record<string, unknown>): string[] {
  const inner = (name: string, key: string) =>
    ((init[name] ?? []) as Record<string, unknown>[]).flatMap((each, index) =>
      each[key] === undefined ? [`${name}[${index}].${key}`] : []
    );
  const one = init.leaf as Record<string, unknown> | undefined;
  return [
    ...one !== undefined && one.id === undefined ? ["leaf.id"] : [],
    ...inner("leaves", "id"),
    ...inner("item", "name"),
    ...one === undefined ? ["leaf"] : [],
    ...init.version === undefined ? ["version"] : [],
  ];
}

Deno.test("exactly the missing required fields are named", () => {
  fc.assert(fc.property(nodes, (init) => {
    const bytes = toBinary(lenient_node, create(lenient_node, init));
    const found = schema2.validate(bytes, { unknown_fields: "refuse" });
    assert.deepEqual(found.violations.map(({ path }) => path), lacking(init));
    assert.equal(found.total, lacking(init).length);
  }));
});
