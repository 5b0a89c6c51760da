// Splitting into lines, independent of the chunks; nothing is published here.
import assert from "node:assert/strict";
import fc from "fast-check";
import { CommandError } from "./exit.ts";
import { readNdjson } from "./ndjson.ts";

const encode = (text: string) => new TextEncoder().encode(text);

async function* chunked(bytes: Uint8Array, sizes: Iterator<number>): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length;) {
    const size: number = sizes.next().value ?? 1;
    // One buffer reused, as some streams do.
    yield bytes.slice(at, at + size);
    at += size;
  }
}

async function lines(
  text: string | Uint8Array,
  size = 7,
  max?: number,
): Promise<[number, string][]> {
  const bytes = typeof text === "string" ? encode(text) : text;
  const sizes = (function* () {
    for (;;) yield size;
  })();
  const found: [number, string][] = [];
  for await (const { line, bytes: own } of readNdjson(chunked(bytes, sizes), "x.ndjson", max)) {
    found.push([line, new TextDecoder().decode(own)]);
  }
  return found;
}

Deno.test("lines preserve their bytes and numbers, with or without a final newline", async () => {
  const expected = [[1, '{"a": 1}'], [3, " [2] "], [4, '"ü"\r']];
  assert.deepEqual(await lines('{"a": 1}\n\n [2] \n"ü"\r\n'), expected);
  assert.deepEqual(await lines('{"a": 1}\n\n [2] \n"ü"\r'), expected);
  assert.deepEqual(await lines(""), []);
});

Deno.test("any JSON lines in any chunks are passed on byte for byte", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.jsonValue(), { maxLength: 20 }),
    fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
    async (values, sizes) => {
      const texts = values.map((value) => JSON.stringify(value));
      const found: string[] = [];
      const input = chunked(encode(texts.join("\n")), sizes);
      for await (const { bytes } of readNdjson(input, "x")) {
        found.push(new TextDecoder().decode(bytes));
      }
      assert.deepEqual(found, texts);
    },
  ));
});

Deno.test("a bad line is named with its number, after the good ones", async () => {
  const bad: [string | Uint8Array, RegExp][] = [
    ['{}\n{"a":}\n', /^x\.ndjson, line 2: not JSON: /],
    ["{} {}", /line 1: not JSON/],
    ["\ufeff{}", /line 1: not JSON: the line begins with a byte order mark/],
    [new Uint8Array([0x22, 0xff, 0x22]), /line 1: not UTF-8/],
    [`"${"x".repeat(100)}"`, /line 1: \d+ bytes; at most 50 are allowed/],
    [`1\n"${"x".repeat(100)}"\n`, /line 2: \d+ bytes/],
  ];
  for (const [text, expected] of bad) {
    await assert.rejects(lines(text, 9, 50), (error: unknown) => {
      assert.ok(error instanceof CommandError);
      assert.match(error.message, expected);
      return true;
    });
  }
});
