/** The type of a reducer's bytes, found without parsing them into values. */
import assert from "node:assert/strict";
import { contentOf } from "./value_changes.ts";

Deno.test("a reducer's output is JSON, text or bytes, and is not parsed", () => {
  const { parse } = JSON;
  const parsed: string[] = [];
  JSON.parse = (text: string) => {
    parsed.push(text);
    return parse(text);
  };
  const json = `${"[".repeat(60_000)}${"]".repeat(60_000)}`;
  const of = (text: string) => contentOf(new TextEncoder().encode(text)).type;
  try {
    assert.equal(of(json), "application/json");
    assert.equal(of(json.slice(1)), "text/plain");
    assert.equal(contentOf(new Uint8Array([0xff])).type, "application/octet-stream");
  } finally {
    JSON.parse = parse;
  }
  assert.deepEqual(parsed, []);
});
