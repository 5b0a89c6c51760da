/** Answers in pieces equal those written at once, and other tasks run in between. */
import assert from "node:assert/strict";
import { turnsDuring } from "../testing/turns_during.ts";
import { listingAnswer } from "./answer.ts";

Deno.test("an answer in pieces equals one that is written at once", async () => {
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

Deno.test("other tasks run while a large answer is written", async () => {
  const all = Array.from({ length: 100 }, (_, at) => ({ at, text: "x".repeat(70_000) }));
  const { value, turns } = await turnsDuring(() => listingAnswer("acme", { all }).json());
  assert.deepEqual(value, { all });
  assert(turns >= 90, `${turns} turns`);
});
