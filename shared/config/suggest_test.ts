/** Edit distance and the names it suggests. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { editDistance, nearest } from "./suggest.ts";

const word = fc.string({ unit: fc.constantFrom("a", "b", "_", "é"), maxLength: 8 });

Deno.test("edit distance counts inserts, deletes, replacements and swaps of neighbours", () => {
  const table: [string, string, number][] = [
    ["", "", 0],
    ["", "port", 4],
    ["port", "port", 0],
    ["prot", "port", 1],
    ["por", "port", 1],
    ["poort", "port", 1],
    ["pert", "port", 1],
    ["host", "port", 2],
    ["ab", "ba", 1],
  ];
  for (const [a, b, distance] of table) assert.equal(editDistance(a, b), distance, `${a} ${b}`);
});

Deno.test("edit distance is symmetric, 0 only for equal words, and at most the longer length", () => {
  fc.assert(fc.property(word, word, (a, b) => {
    const distance = editDistance(a, b);
    assert.equal(distance, editDistance(b, a));
    assert.equal(distance === 0, a === b);
    assert.ok(distance >= Math.abs(a.length - b.length));
    assert.ok(distance <= Math.max(a.length, b.length));
  }));
});

Deno.test("the nearest name is found despite case, hyphens, typing errors and missing units", () => {
  const known = ["host", "port", "heartbeat_ms", "tls_cert_file", "tls_key_file"];
  const table: [string, string | undefined][] = [
    ["prot", "port"],
    ["Port", "port"],
    ["hst", "host"],
    ["heartbeat", "heartbeat_ms"],
    ["heartbeat-ms", "heartbeat_ms"],
    ["HEARTBEAT_MS", "heartbeat_ms"],
    ["tls_cert", "tls_cert_file"],
    ["colour", undefined],
    ["", undefined],
    ["x".repeat(10_000), undefined],
  ];
  for (const [name, expected] of table) assert.equal(nearest(name, known), expected, name);
});
