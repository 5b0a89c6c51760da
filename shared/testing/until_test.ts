/** What holds ends a wait, what never does ends it with its name, and what is thrown goes through. */
import assert from "node:assert/strict";
import { found, until } from "./until.ts";

Deno.test("until looks again and again, at least once even without time", async () => {
  let looks = 0;
  await until("the third look", () => ++looks === 3);
  assert.equal(looks, 3);
  await until("at once", () => Promise.resolve(true), 0);
});

Deno.test("what never holds is named, with the limit", async () => {
  const named = { message: "waited 20 ms in vain: the moon" };
  await assert.rejects(until("the moon", () => false, 20), named);
  let looks = 0;
  const said = () => `after ${looks > 1 ? "some" : "no"} looks`;
  await assert.rejects(until(said, () => ++looks < 0, 20), {
    message: "waited 20 ms in vain: after some looks",
  });
  await assert.rejects(found("the moon", () => undefined, 20), named);
});

Deno.test("what a condition throws is not waited for", async () => {
  const failed = new Error("failed");
  await assert.rejects(until("it", () => Promise.reject(failed)), failed);
  await assert.rejects(found("it", () => Promise.reject(failed)), failed);
});

Deno.test("found gives the first value, be it false or null", async () => {
  const values = [undefined, undefined, null];
  assert.equal(await found("a value", () => values.shift()), null);
  assert.equal(await found("a value", () => Promise.resolve(false)), false);
});
