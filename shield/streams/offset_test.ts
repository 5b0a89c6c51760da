/** Offset tokens sort like the log, and are invalid in another log. */
import assert from "node:assert/strict";
import { erasedIn, isToken, offsetOf, tokenOf } from "./offset.ts";

const LIVES = [{ name: "one", first: 1 }, { name: "two", first: 100 }];
const ZERO = `${"0".repeat(16)}_${"0".repeat(16)}`;

Deno.test("offsets: a token is parsed back to its offset, and tokens sort like offsets", () => {
  const offsets = [0, 1, 9, 10, 99, 100, 1_000_000];
  const tokens = offsets.map((offset) => tokenOf(LIVES, offset));
  assert.deepEqual(tokens.toSorted(), tokens);
  assert.deepEqual(tokens.map((token) => offsetOf(LIVES, token)), offsets);
  assert.ok(tokens.every(isToken));
  assert.equal(tokens[0], ZERO);
});

Deno.test("offsets: a token stays the same when a new incarnation begins", () => {
  const before = LIVES.slice(0, 1);
  assert.equal(tokenOf(before, 99), tokenOf(LIVES, 99));
  assert.notEqual(tokenOf(before, 100), tokenOf(LIVES, 100), "reused in another incarnation");
  assert.equal(offsetOf(LIVES, tokenOf(before, 100)), undefined, "its part of the log is gone");
  assert.equal(offsetOf(LIVES, tokenOf(before, 99)), 99);
});

Deno.test("offsets: a token says up to where messages behind it had been erased", () => {
  const token = tokenOf(LIVES, 10, 12);
  assert.deepEqual([offsetOf(LIVES, token), erasedIn(token)], [10, 12]);
  const others = [tokenOf(LIVES, 10), tokenOf(LIVES, 10, 10), tokenOf(LIVES, 0, 12)];
  assert.deepEqual(others.map(erasedIn), [0, 0, 0]);
  assert.deepEqual(others.slice(0, 2), [token.slice(0, 33), token.slice(0, 33)]);
  assert.ok(isToken(token));
  const tokens = [tokenOf(LIVES, 9), others[0]!, token, tokenOf(LIVES, 11)];
  assert.deepEqual(tokens.toSorted(), tokens);
});

Deno.test("offsets: what is of no life of this log is refused", () => {
  assert.equal(offsetOf(LIVES, tokenOf([{ name: "other", first: 1 }], 5)), undefined);
  assert.equal(offsetOf(LIVES, `${"9".repeat(16)}_${"9".repeat(16)}`), undefined);
  assert.equal(offsetOf(LIVES, `${"0".repeat(16)}_${"0".repeat(15)}1`), undefined);
  for (const text of ["", "1", "-1", "now", `${ZERO}0`, ZERO.replace("_", "-"), "0_0"]) {
    assert.equal(isToken(text), false, text);
  }
});
