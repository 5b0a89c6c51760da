/** Answers that are written in pieces: the same as in one, and others have their turns meanwhile. */
import assert from "node:assert/strict";
import { turnsDuring } from "../../../shared/testing/turns_during.ts";
import { listingAnswer } from "./listing_answer.ts";

Deno.test("an answer in pieces is the one that is written at once", async () => {
  const bodies: Record<string, unknown>[] = [
    {},
    { a: undefined },
    {
      tenant: "acme",
      none: [],
      b: null,
      all: [1, "é", undefined, { c: [2] }],
      last: undefined,
      d: {},
    },
  ];
  for (const body of bodies) {
    const answer = listingAnswer("acme", body);
    assert.equal(answer.headers.get("content-type"), "application/json");
    assert.equal(await answer.text(), JSON.stringify(body));
  }
});

Deno.test("an iterator is a list, made entry by entry", async () => {
  const answer = listingAnswer("acme", { a: [1, 2].values(), none: [].values() }, { "x-a": "b" });
  assert.equal(answer.headers.get("x-a"), "b");
  assert.equal(await answer.text(), '{"a":[1,2],"none":[]}');
});

Deno.test("others have their turns while a large answer is written", async () => {
  const all = Array.from({ length: 100 }, (_, at) => ({ at, text: "x".repeat(70_000) }));
  const { value, turns } = await turnsDuring(() => listingAnswer("acme", { all }).json());
  assert.deepEqual(value, { all });
  assert(turns >= 90, `${turns} turns`);
});
