/** Every possible fault on the wire: its rule and its path, without exceptions. */
import assert from "node:assert/strict";
import { compileMessage, type MessageSchema } from "./message_schema.ts";
import { editions, proto2, proto3 } from "../testing/messages.ts";

const all = compileMessage(proto3(), "t.All");
const node = compileMessage(proto2(), "t.Node");
const loose = compileMessage(proto2(), "t.Loose");
const edition = compileMessage(editions(), "t.Edition");
const NODE = [0x0a, 0x03, 0x0a, 0x01, 0x61, 0x10, 0x01];

function found(schema: MessageSchema, bytes: number[]): string[] {
  const { violations } = schema.validate(new Uint8Array(bytes), { unknown_fields: "allow" });
  return violations.map(({ path, rule }) => `${rule} ${path}`);
}

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  for (let rest = value; bytes.length < 10; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    if (rest <= 0x7fn) break;
  }
  return bytes;
}

function tag(number: number, wire: number): number[] {
  return varint(BigInt(number) << 3n | BigInt(wire));
}

/** A length-delimited field. */
function bytes(number: number, body: number[]): number[] {
  return [...tag(number, 2), ...varint(BigInt(body.length)), ...body];
}

Deno.test("a length beyond the end is refused, however large it is", () => {
  const sizes = [1n, 127n, 1n << 31n, 1n << 32n, 1n << 53n, 1n << 63n, (1n << 64n) - 1n];
  for (const size of sizes) {
    // In more than 5 bytes it is no length at all.
    const rule = size < 1n << 35n ? "truncated" : "varint";
    assert.deepEqual(found(all, [...tag(9, 2), ...varint(size)]), [`${rule} one_string`]);
    assert.deepEqual(found(all, [...tag(777, 2), ...varint(size)]), [`${rule} `]);
    assert.deepEqual(found(all, [...tag(25, 2), ...varint(size)]), [`${rule} many_int32[0]`]);
    const inner = [...tag(9, 2), ...varint(size)];
    assert.deepEqual(found(all, bytes(43, inner)), [`${rule} self.one_string`]);
  }
});

Deno.test("an inner length may not reach beyond its message, even if there is data", () => {
  const inner = [...tag(9, 2), 3, 0x61];
  const data = [...bytes(44, []), ...bytes(44, inner), 0x28, 0x01, 0x28, 0x01];
  assert.deepEqual(found(all, data), ["truncated selves[1].one_string"]);
});

Deno.test("a varint longer than 64 bits is refused, a long form of a small number is not", () => {
  const eleven = Array<number>(10).fill(0x80);
  assert.deepEqual(found(all, [...tag(5, 0), ...eleven, 0]), ["varint one_int32"]);
  const too_high = [...Array<number>(9).fill(0xff), 0x02];
  assert.deepEqual(found(all, [...tag(3, 0), ...too_high]), ["varint one_int64"]);
  assert.deepEqual(found(all, [...tag(777, 0), ...too_high]), ["varint "]);
  assert.deepEqual(found(all, [...tag(5, 0), 0x81, 0x80, 0x00]), []);
  assert.deepEqual(found(all, [...tag(3, 0), ...varint((1n << 64n) - 1n)]), []);
  assert.deepEqual(found(all, [...tag(25, 2), 11, ...eleven, 0]), ["varint many_int32[0]"]);
});

Deno.test("a tag or a length of more than 5 bytes is refused at any position", () => {
  const fill = (bytes: number) => Array<number>(bytes - 2).fill(0x80);
  const padded = (value: number, bytes: number) => [value | 0x80, ...fill(bytes), 0];
  const text = (bytes: number) => [...padded(0x4a, bytes), 1, 0x61];
  const sized = (bytes: number) => [0x4a, ...padded(1, bytes), 0x61];
  const group = (bytes: number) => [...tag(700, 3), ...padded(0x0a, bytes), 0, ...tag(700, 4)];
  const packed = (bytes: number) => [...tag(25, 2), ...padded(1, bytes), 5];
  const unknown = (bytes: number) => [...tag(777, 2), ...padded(1, bytes), 5];
  for (const make of [text, sized, group, packed, unknown]) {
    const inSelf = (body: number[]) => [...tag(43, 2), body.length, ...body];
    for (const where of [(body: number[]) => body, inSelf]) {
      assert.deepEqual(found(all, where(make(5))), []);
      for (const bytes of [6, 7, 10]) {
        assert.match(found(all, where(make(bytes)))[0] ?? "", /^varint /, `${make} ${bytes}`);
      }
    }
  }
  // Numbers may be longer: a negative one always is.
  assert.deepEqual(found(all, [...tag(5, 0), ...padded(1, 10)]), []);
});

Deno.test("required fields may be in any piece of a message in several pieces", () => {
  const leaf = (body: number[]) => bytes(1, body);
  const id = bytes(1, [0x61]), note = bytes(2, [0x62]), version = [0x10, 0x01];
  assert.deepEqual(found(node, [...leaf(note), ...version, ...leaf(id)]), []);
  assert.deepEqual(found(node, [...leaf(id), ...version, ...leaf(note)]), []);
  assert.deepEqual(found(node, [...leaf(note), ...version, ...leaf(note)]), ["required leaf.id"]);
  assert.deepEqual(found(node, [...leaf(note), ...leaf(id)]), ["required version"]);
  // Elements of a list are not pieces of one message.
  const list = [...leaf(id), ...version, ...bytes(3, note), ...bytes(3, id)];
  assert.deepEqual(found(node, list), ["required leaves[0].id"]);
  // Pieces within pieces, and inside an extension.
  assert.deepEqual(found(loose, [...bytes(1, bytes(1, [])), ...bytes(1, bytes(1, []))]), []);
  const extra = (body: number[]) => bytes(100, body);
  assert.deepEqual(found(node, [...leaf(id), ...version, ...extra(note), ...extra(id)]), []);
  const noted = [...leaf(id), ...leaf(note), ...version, ...extra(note)];
  assert.deepEqual(found(node, noted), ["required [t.extra].id"]);
  // Another fault takes precedence.
  const faulty = [...leaf(note), ...version, ...leaf(id), 0x00];
  assert.deepEqual(found(node, faulty), ["required leaf.id", "field-number "]);
});

Deno.test("field number 0, one beyond 2^29 and wire types 6 and 7 are refused", () => {
  assert.deepEqual(found(all, [0x00, 0x00]), ["field-number "]);
  assert.deepEqual(found(all, [0x80, 0x00, 0x00]), ["field-number "]);
  assert.deepEqual(found(all, bytes(43, [0x02, 0x00])), ["field-number self"]);
  assert.deepEqual(found(all, [...varint(1n << 32n), 0x00]), ["field-number "]);
  assert.deepEqual(found(all, [0x0e]), ["wire-type one_double"]);
  assert.deepEqual(found(all, [...tag(700, 7)]), ["wire-type "]);
});

Deno.test("a wrong wire type is named and the walk continues after it", () => {
  const wrong = [...tag(9, 0), 0x05, ...tag(1, 5), 0, 0, 0, 0, ...tag(43, 1), ...Array(8).fill(0)];
  const names = ["one_string", "one_double", "self"];
  assert.deepEqual(found(all, wrong), names.map((name) => `wire-type ${name}`));
  // Singular scalars and repeated strings are not packed.
  assert.deepEqual(found(all, bytes(5, [1])), ["wire-type one_int32"]);
  assert.deepEqual(found(all, [...tag(29, 0), 1]), ["wire-type many_string[0]"]);
  // A message field is not a group.
  assert.deepEqual(found(all, [...tag(43, 3), ...tag(43, 4)]), ["wire-type self"]);
});

Deno.test("packed and unpacked elements may be mixed in one field", () => {
  const mixed = [...tag(25, 0), 1, ...bytes(25, [2, 3, 0x80, 0x01]), ...tag(25, 0), 4];
  assert.deepEqual(found(all, mixed), []);
  assert.deepEqual(found(all, [...mixed, ...tag(25, 5), 0, 0, 0, 0]), ["wire-type many_int32[5]"]);
  const fixed = [...bytes(27, Array(8).fill(1)), ...tag(27, 5), 1, 1, 1, 1];
  assert.deepEqual(found(all, fixed), []);
  assert.deepEqual(found(all, bytes(27, Array(7).fill(1))), ["truncated many_fixed32[0]"]);
  assert.deepEqual(found(all, bytes(25, [1, 0x80])), ["truncated many_int32[0]"]);
  // Declared unpacked and packed in proto2.
  const numbers = [...tag(7, 0), 1, ...bytes(7, [2, 3]), ...tag(8, 0), 1, ...bytes(8, [2, 3])];
  assert.deepEqual(found(node, [...NODE, ...numbers]), []);
});

Deno.test("text must be UTF-8 if the syntax requires it", () => {
  const cut = [0xe2, 0x82];
  for (const text of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], cut]) {
    assert.deepEqual(found(all, bytes(9, text)), ["utf8 one_string"]);
    const long = [...Array<number>(100).fill(0x61), ...text];
    assert.deepEqual(found(all, [...bytes(29, []), ...bytes(29, long)]), ["utf8 many_string[1]"]);
    assert.deepEqual(found(all, bytes(10, text)), []);
    // Proto2 does not require it.
    assert.deepEqual(found(loose, bytes(2, text)), []);
    assert.deepEqual(found(edition, [...bytes(1, text), ...bytes(2, text)]), ["utf8 checked"]);
    // A key of a map.
    assert.match(found(all, bytes(60, bytes(1, text))).join("\n"), /^utf8 labels\["[^\n]*$/);
  }
  assert.deepEqual(found(all, bytes(9, [...new TextEncoder().encode("größer € 𝄞")])), []);
});

Deno.test("the key of a map is in the path", () => {
  const wrong_value = [...bytes(1, [0x61, 0x22]), ...tag(2, 5), 0, 0, 0, 0];
  assert.deepEqual(found(all, bytes(60, wrong_value)), ['wire-type labels["a\\""]']);
  // -3 as sint64, then a child whose text is bad.
  const child = [...tag(1, 0), 5, ...bytes(2, bytes(9, [0xff]))];
  assert.deepEqual(found(all, bytes(61, child)), ["utf8 children[-3].one_string"]);
  // An entry without a key is number 0 among the entries.
  const keyless = bytes(61, bytes(2, bytes(9, [0xff])));
  assert.deepEqual(found(all, keyless), ["utf8 children[0].one_string"]);
});

Deno.test("groups of the descriptor are read, and must be closed", () => {
  const item = [...tag(6, 3), ...bytes(1, [0x61]), ...tag(6, 4)];
  assert.deepEqual(found(node, [...NODE, ...item, ...item]), []);
  const nameless = [...tag(6, 3), ...tag(2, 0), 1, ...tag(6, 4)];
  assert.deepEqual(found(node, [...NODE, ...item, ...nameless]), ["required item[1].name"]);
  const open = [...tag(6, 3), ...bytes(1, [0x61])];
  assert.deepEqual(found(node, [...NODE, ...open]), ["group item[0]"]);
  assert.deepEqual(found(node, [...NODE, ...open, ...tag(7, 4)]), ["group item[0]"]);
  assert.deepEqual(found(node, [...NODE, ...tag(6, 4)]), ["group "]);
  assert.deepEqual(found(node, [...NODE, ...bytes(6, [])]), ["wire-type item[0]"]);
  // Delimited in an edition.
  const group = [...tag(4, 3), ...bytes(1, [0x61]), ...tag(4, 4)];
  assert.deepEqual(found(edition, group), []);
  assert.deepEqual(found(edition, [...tag(4, 3), ...tag(4, 4)]), ["required groups[0].must"]);
  assert.deepEqual(found(edition, bytes(3, [])), ["required inner.must"]);
});

Deno.test("an unknown group is skipped with its content, and must be complete", () => {
  const inner = [...tag(2, 3), ...tag(9, 5), 1, 2, 3, 4, ...tag(2, 4)];
  assert.deepEqual(found(all, [...tag(700, 3), ...bytes(3, [1]), ...inner, ...tag(700, 4)]), []);
  assert.deepEqual(found(all, [...tag(700, 3), ...inner]), ["group "]);
  assert.deepEqual(found(all, [...tag(700, 3), ...tag(701, 4)]), ["group "]);
  assert.deepEqual(found(all, bytes(43, [...tag(700, 3), 0x00])), ["field-number self"]);
});

/** `self` within `self`, with true lengths; built from the inside out. */
function nestedSelf(depth: number): number[] {
  const reversed: number[] = [];
  for (let level = 0; level < depth; level++) {
    const head = [...tag(43, 2), ...varint(BigInt(reversed.length))];
    for (const byte of head.reverse()) reversed.push(byte);
  }
  return reversed.reverse();
}

Deno.test("messages 10,000 deep are refused without a deep stack", () => {
  let nested: number[] = [];
  for (let depth = 0; depth < 99; depth++) nested = bytes(43, nested);
  assert.deepEqual(found(all, nested), []);
  const path = Array<string>(100).fill("self").join(".");
  assert.deepEqual(found(all, bytes(43, nested)), [`depth ${path}`]);
  assert.deepEqual(found(all, nestedSelf(10_000)), [`depth ${path}`]);
  const groups = Array<number[]>(10_000).fill(tag(700, 3)).flat();
  assert.deepEqual(found(all, groups), ["depth "]);
  assert.deepEqual(found(node, Array<number[]>(10_000).fill(tag(6, 3)).flat()), ["depth item[0]"]);
});

Deno.test("the paths of all violations together pass the data at most twice", () => {
  const good = [...tag(25, 0), 1, ...tag(24, 0), 1];
  const bad = [...tag(25, 1), ...Array(8).fill(0), ...tag(24, 1), ...Array(8).fill(0)];
  const data = new Uint8Array([...Array(20_000).fill(good).flat(), ...Array(8).fill(bad).flat()]);
  let reads = 0;
  const watched = new Proxy(data, {
    get(target, name) {
      reads++;
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const { violations } = all.validate(watched, { unknown_fields: "allow" });
  assert.deepEqual(
    violations.slice(0, 3).map(({ path }) => path),
    ["many_int32[20000]", "many_uint64[20000]", "many_int32[?]"],
  );
  assert.ok(reads < 4 * data.length, `${reads} reads of ${data.length} bytes`);
});

Deno.test("JSON sent for a binary message is refused", () => {
  const text = [...new TextEncoder().encode('{"one_int32": 5, "self": {"one_string": "a"}}')];
  assert.deepEqual(found(all, text), ["wire-type one_sint64", "truncated one_sint64"]);
});
