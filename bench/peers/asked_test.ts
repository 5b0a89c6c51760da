/** Tests of open questions: who hears a refusal, and who hears the end. */
import assert from "node:assert/strict";
import { Asked } from "./asked.ts";

Deno.test("an answer settles the question with its number, whatever the order", async () => {
  const asked = new Asked(assert.fail);
  const [first, second] = [asked.ask(1), asked.ask(2)];
  asked.answer(2);
  await second;
  asked.refuse(1, "no such room");
  await assert.rejects(first, /no such room/);
});

Deno.test("a refusal that nobody waits for is a problem, an answer is not", () => {
  const problems: string[] = [];
  const asked = new Asked((what) => problems.push(what));
  asked.answer(7);
  asked.refuse(7, "publication denied");
  assert.deepEqual(problems, ["publication denied"]);
});

Deno.test("an end fails every open question, and is a problem when there is none", async () => {
  const problems: string[] = [];
  const asked = new Asked((what) => problems.push(what));
  const open = [asked.ask(1), asked.ask(2)];
  asked.fail("it ended");
  for (const promise of open) await assert.rejects(promise, /it ended/);
  assert.deepEqual(problems, []);
  asked.fail("it ended again");
  assert.deepEqual(problems, ["it ended again"]);
});
