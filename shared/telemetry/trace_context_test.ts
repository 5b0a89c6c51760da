/** traceparent in the form of W3C, and in the forms clients may send. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { formatTraceparent, parseTraceparent } from "./trace_context.ts";

const hex = (digits: number) =>
  fc.array(fc.constantFrom(..."0123456789abcdef"), { minLength: digits, maxLength: digits })
    .map((all) => all.join(""));
const id = (digits: number) => hex(digits).filter((text) => /[^0]/.test(text));
const context = fc.record({ trace_id: id(32), span_id: id(16), sampled: fc.boolean() }, {
  noNullPrototype: true,
});

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

Deno.test("a written context parses back", () => {
  fc.assert(fc.property(context, (one) => {
    assert.deepEqual(parseTraceparent(formatTraceparent(one)), one);
  }));
});

Deno.test("any text is parsed or refused, and parsed ids are not zero", () => {
  const near = fc.tuple(hex(2), hex(32), hex(16), hex(2)).map((parts) => parts.join("-"));
  fc.assert(fc.property(fc.oneof(fc.string(), near), (text) => {
    const read = parseTraceparent(text);
    if (read === undefined) return;
    assert.match(read.trace_id, /^(?!0{32})[0-9a-f]{32}$/);
    assert.match(read.span_id, /^(?!0{16})[0-9a-f]{16}$/);
    assert.ok(!text.startsWith("ff"));
  }));
});

Deno.test("the lowest flag is sampled, the others are ignored", () => {
  fc.assert(fc.property(fc.nat(255), (flags) => {
    const text = `00-${TRACE}-${SPAN}-${flags.toString(16).padStart(2, "0")}`;
    assert.equal(parseTraceparent(text)?.sampled, flags % 2 === 1);
  }));
});

Deno.test("the known part of a later version is parsed; version 00 has nothing after the flags", () => {
  const known = { trace_id: TRACE, span_id: SPAN, sampled: true };
  assert.deepEqual(parseTraceparent(`01-${TRACE}-${SPAN}-01`), known);
  assert.deepEqual(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-the-future-brings`), known);
  assert.equal(parseTraceparent(`00-${TRACE}-${SPAN}-01-more`), undefined);
  assert.equal(parseTraceparent(`cc-${TRACE}-${SPAN}-01.more`), undefined);
  assert.equal(parseTraceparent(`cc-${TRACE}-${SPAN}-01-${"x".repeat(512)}`), undefined);
});

Deno.test("version ff, zero ids, capitals and other lengths are refused", () => {
  for (
    const text of [
      "",
      `ff-${TRACE}-${SPAN}-01`,
      `00-${"0".repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${TRACE.slice(1)}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}0-01`,
      `00-${TRACE}-${SPAN}`,
      `00-${TRACE}-${SPAN}-1`,
      ` 00-${TRACE}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-01\n`,
    ]
  ) assert.equal(parseTraceparent(text), undefined, JSON.stringify(text));
});
