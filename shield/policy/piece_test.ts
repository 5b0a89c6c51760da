/** The effect of a verdict on a piece: the released part, its border, and faults. */
import assert from "node:assert/strict";
import type { PolicyOutcome } from "../../shared/records/verdict.ts";
import { outcomeOf } from "./testing/modules.ts";
import { judgedPiece, pieceHeaders } from "./piece.ts";

const OUTCOME = outcomeOf("mask");
const REPLACED = { ...OUTCOME, replaced: true };
const bytes = (text: string) => new TextEncoder().encode(text);

function judged(
  text: string,
  released: readonly string[],
  payload?: string | Uint8Array,
  outcomes: readonly PolicyOutcome[] = [OUTCOME],
  is_last = false,
) {
  const added_headers = released.map((value) => ["release", value] as const);
  const left = typeof payload === "string" ? bytes(payload) : payload;
  return judgedPiece({ text, is_last }, { added_headers, outcomes, payload: left });
}

Deno.test("without a header everything is released; of several headers the smallest counts; at the end none does", () => {
  assert.deepEqual(judged("abc", []), { released: "abc", held: "" });
  assert.deepEqual(judged("abc", ["2", "1", "3"]), { released: "a", held: "bc" });
  assert.deepEqual(judged("abc", ["99"]), { released: "abc", held: "" });
  assert.deepEqual(judged("abc", ["0"]), { released: "", held: "abc" });
  assert.deepEqual(judged("abc", ["0"], undefined, [OUTCOME], true), { released: "abc", held: "" });
});

Deno.test("a partial character is held back", () => {
  assert.deepEqual(judged("a€b", ["2"]), { released: "a", held: "€b" });
  assert.deepEqual(judged("🦊", ["3"]), { released: "", held: "🦊" });
  assert.deepEqual(judged("a€b", ["4"]), { released: "a€", held: "b" });
});

Deno.test("after a replacement by another policy, an earlier policy's number of bytes does not count", () => {
  // The only policy, and the first one, count in their own output.
  assert.deepEqual(judged("abcdef", ["3"], "xxxdef", [REPLACED]), { released: "xxx", held: "def" });
  const first = [REPLACED, OUTCOME];
  assert.deepEqual(judged("abcdef", ["3"], "xxxdef", first), { released: "xxx", held: "def" });
  // The second policy has moved the bytes that the first one wanted to hold.
  const second = [OUTCOME, REPLACED];
  assert.deepEqual(judged("abcdef", ["4"], "a--bcdef", second), { released: "a", held: "--bcdef" });
  assert.deepEqual(judged("abcdef", ["2"], "abcd-", second), { released: "ab", held: "cd-" });
});

Deno.test("a header that is not a number of bytes, and invalid text, are faults", () => {
  const fault = { reason: "policy-fault", code: 503 };
  for (const value of ["", "-1", "1.5", "0x1", "ten", "9999999999"]) {
    assert.throws(() => judged("abc", [value]), fault, value);
  }
  assert.throws(() => judged("abc", [], new Uint8Array([0x61, 0xff])), fault);
});

Deno.test("a policy sees the end of the text that readers have, in whole characters", () => {
  const piece = { id: "a1", type: "", content_type: "", text: "x", released: "🦊".repeat(70) };
  const headers = Object.fromEntries(pieceHeaders({ ...piece, is_last: true }));
  assert.deepEqual(headers, {
    "x-arqon-growing": "a1",
    "x-arqon-growing-before": "🦊".repeat(64),
    "x-arqon-growing-bytes": "280",
    "x-arqon-growing-last": "true",
  });
  const odd = Object.fromEntries(
    pieceHeaders({ ...piece, released: `${"🦊".repeat(64)}a`, is_last: false }),
  );
  assert.equal(odd["x-arqon-growing-before"], `${"🦊".repeat(63)}a`);
  assert.equal(odd["x-arqon-growing-last"], undefined);
});
