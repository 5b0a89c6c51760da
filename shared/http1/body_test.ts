/** Bodies of requests, cut anywhere. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { BodyReader, type Framing, MalformedRequest } from "./head.ts";

const CHUNKED: Framing = { kind: "chunked" };

/** The body, the unread rest, and whether it is complete; the fault if it is malformed. */
function read(framing: Framing, pieces: readonly Uint8Array[]) {
  const body = new BodyReader(framing);
  const data: number[] = [];
  const rest: number[] = [];
  try {
    for (const piece of pieces) {
      const at = body.read(piece, 0, (part) => data.push(...part));
      rest.push(...piece.subarray(at));
    }
  } catch (error) {
    assert(error instanceof MalformedRequest, `${error}`);
    return error.message;
  }
  const text = (bytes: number[]) => new TextDecoder().decode(new Uint8Array(bytes));
  return { data: text(data), rest: text(rest), done: body.done };
}

const whole = (text: string) => read(CHUNKED, [new TextEncoder().encode(text)]);
const bytewise = (text: string) =>
  read(CHUNKED, [...new TextEncoder().encode(text)].map((byte) => new Uint8Array([byte])));

Deno.test("a body with a length ends with its last byte, and later bytes belong to the next request", () => {
  const bytes = new TextEncoder().encode("hello, next");
  assert.deepEqual(read({ kind: "length", size_bytes: 5 }, [bytes]), {
    data: "hello",
    rest: ", next",
    done: true,
  });
  assert.equal(new BodyReader({ kind: "length", size_bytes: 0 }).done, true);
});

Deno.test("chunks are put together, extensions and trailers passed over", () => {
  const text = "5\r\nhello\r\n1;a=b\r\n,\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\nNEXT";
  const expected = { data: "hello,0123456789", rest: "NEXT", done: true };
  assert.deepEqual(whole(text), expected);
  assert.deepEqual(bytewise(text), expected);
});

Deno.test("any chunks, cut anywhere, are the body", () => {
  const chunk = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 });
  fc.assert(fc.property(fc.array(chunk), fc.array(fc.nat(2_000)), (chunks, places) => {
    const parts = chunks.map((text) => `${text.length.toString(16)}\r\n${text}\r\n`);
    const bytes = new TextEncoder().encode(`${parts.join("")}0\r\n\r\nNEXT`);
    const cuts = [...new Set(places.map((place) => place % bytes.length))].sort((a, b) => a - b);
    const pieces = [0, ...cuts].map((start, at) => bytes.subarray(start, cuts[at]));
    assert.deepEqual(read(CHUNKED, pieces), { data: chunks.join(""), rest: "NEXT", done: true });
  }));
});

for (
  const [what, text] of [
    ["no size", "\r\nhello\r\n"],
    ["a size with a sign", "+5\r\nhello\r\n"],
    ["a size with 0x", "0x5\r\nhello\r\n"],
    ["a size with a blank", "5 \r\nhello\r\n"],
    ["a size with a bare LF", "5\nhello\r\n"],
    ["a size of many digits", "000000005\r\nhello\r\n"],
    ["data that is longer than its size", "4\r\nhello\r\n"],
    ["data that ends with a bare LF", "5\r\nhello\n0\r\n\r\n"],
    ["a bare LF in an extension", "5;a\nb\r\nhello\r\n"],
    ["a bare LF in a trailer", "0\r\nx: y\n\r\n"],
    ["a bare CR in a trailer", "0\r\nx: \ry\r\n\r\n"],
    ["an extension without end", `5;${"x".repeat(5_000)}`],
    ["trailers without end", `0\r\n${"x: y\r\n".repeat(2_000)}`],
  ] as const
) {
  Deno.test(`refuses ${what}`, () => {
    assert.equal(typeof whole(text), "string");
    assert.equal(whole(text), bytewise(text));
  });
}
