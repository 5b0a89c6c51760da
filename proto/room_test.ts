/** Ids and room patterns: valid ones, and the problems of others. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { anyCharacter } from "../shared/testing/any_character.ts";
import { idProblem, isId, isRoomPattern, matchesRoomPattern } from "./room.ts";

const BAD = ["", "a.b", "a b", "*", "a*", ">", "a\0", "a\n", "é", "a/b", "$", "x".repeat(65)];

Deno.test("an id is 1 to 64 bytes of letters, digits and _~:=-", () => {
  for (const id of ["a", "Chat-1", "a_b~c:d=e-f", "x".repeat(64)]) {
    assert.equal(isId(id), true, id);
    assert.equal(idProblem(id), undefined);
  }
  for (const id of BAD) {
    assert.equal(isId(id), false, id);
    assert.notEqual(idProblem(id), undefined);
  }
});

Deno.test("idProblem returns the problem as one line of printable text", () => {
  assert.match(idProblem("") ?? "", /empty/);
  assert.match(idProblem("x".repeat(65)) ?? "", /65 bytes; expected 1 to 64/);
  assert.match(idProblem("a b") ?? "", /character " "/);
  fc.assert(fc.property(fc.string({ unit: anyCharacter }), (id) => {
    const problem = idProblem(id);
    assert.equal(problem === undefined, isId(id));
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(problem ?? "", /[\x00-\x1f]/);
  }));
});

Deno.test("a pattern is an id, a prefix and a star, or a star", () => {
  for (const pattern of ["*", "lobby", "chat-*"]) assert.equal(isRoomPattern(pattern), true);
  for (const pattern of ["", "**", "a*b", "a.*", "*a", " *"]) {
    assert.equal(isRoomPattern(pattern), false, pattern);
  }
});

Deno.test("a pattern matches its id, or whatever begins with its prefix", () => {
  assert.equal(matchesRoomPattern("*", "anything"), true);
  assert.equal(matchesRoomPattern("chat-*", "chat-1"), true);
  assert.equal(matchesRoomPattern("chat-*", "chat-"), true);
  assert.equal(matchesRoomPattern("chat-*", "chat"), false);
  assert.equal(matchesRoomPattern("chat", "chat-1"), false);
  assert.equal(matchesRoomPattern("chat", "chat"), true);
});
