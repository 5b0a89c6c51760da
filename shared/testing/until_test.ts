/** A true condition ends a wait, one that never becomes true fails it by name, and errors are rethrown. */
import assert from "node:assert/strict";
import { becomes, found, insist, seen, standsStill, until } from "./until.ts";

Deno.test("until looks again and again, at least once even without time", async () => {
  let looks = 0;
  await until("the third look", () => ++looks === 3);
  assert.equal(looks, 3);
  await until("at once", () => Promise.resolve(true), 0);
});

Deno.test("a condition that never becomes true is named, with the limit", async () => {
  const named = { message: "not within 20 ms: the moon" };
  await assert.rejects(until("the moon", () => false, 20), named);
  let looks = 0;
  const what = () => `after ${looks > 1 ? "some" : "no"} looks`;
  await assert.rejects(until(what, () => ++looks < 0, 20), {
    message: "not within 20 ms: after some looks",
  });
  await assert.rejects(found("the moon", () => undefined, 20), named);
});

Deno.test("a long wait polls less and less often", async () => {
  let looks = 0;
  await becomes(() => ++looks < 0, 1_000);
  // Every 10 ms that would be 100 looks; a slow machine has fewer in any case.
  assert.ok(looks <= 40, `${looks} looks`);
});

Deno.test("a poll that is too early is retried, and the error of the last one is reported", async () => {
  const early = [
    // Nothing listens; a missing member of a body; a body that is not JSON.
    () => fetch("http://127.0.0.1:1/"),
    () => JSON.parse("{}").rows[0].name,
    () => JSON.parse("<html>"),
    () => assert.equal(503, 200),
    () => assert.equal(1, 0, "error: Log unavailable (503 log-unavailable)"),
    () => Promise.reject(Object.assign(new Error("too many"), { code: 429 })),
  ];
  const looks = [...early];
  await until("the look after these", async () => {
    await looks.shift()?.();
    return looks.length === 0;
  });
  assert.equal(await becomes(async () => !!await early[0]!(), 0), false);
  await assert.rejects(until("the moon", () => Promise.reject(new TypeError("no moon")), 0), {
    message: "not within 0 ms: the moon; the last poll threw TypeError: no moon",
  });
});

Deno.test("other errors of a condition are rethrown at once", async () => {
  const failed = new Error("failed");
  await assert.rejects(until("it", () => Promise.reject(failed)), failed);
  await assert.rejects(found("it", () => Promise.reject(failed)), failed);
  await assert.rejects(seen("it", () => Promise.reject(failed), () => true), failed);
  await assert.rejects(becomes(() => Promise.reject(failed), 0), failed);
});

Deno.test("found returns the first value, also false or null", async () => {
  const values = [undefined, undefined, null];
  assert.equal(await found("a value", () => values.shift()), null);
  assert.equal(await found("a value", () => Promise.resolve(false)), false);
});

Deno.test("seen returns the first matching value, otherwise reports the last one", async () => {
  let count = 0;
  assert.equal(await seen("three", () => ++count, (value) => value === 3), 3);
  const look = () => Promise.resolve({ rooms: [count] });
  await assert.rejects(seen("four", look, ({ rooms }) => rooms[0] === 4, 0), {
    message: "not within 0 ms: four; last seen: { rooms: [ 3 ] }",
  });
});

Deno.test("insist retries temporary refusals only", async () => {
  let attempts = 0;
  const third = () => ++attempts < 3 ? Promise.reject(new Error("busy")) : Promise.resolve("done");
  assert.equal(await insist("an answer", third), "done");
  assert.equal(attempts, 3);
  const isBusy = (error: unknown) => String(error).includes("busy");
  const refused = new Error("refused");
  await assert.rejects(insist("an answer", () => Promise.reject(refused), isBusy), refused);
  const busy = () => Promise.reject(new Error("busy: no leader"));
  await assert.rejects(
    insist("an answer", busy, isBusy, 0),
    /^Error: not within 0 ms: an answer; the last poll threw Error: busy: no leader$/,
  );
});

Deno.test("becomes returns whether it was true in time, and does not reject", async () => {
  let looks = 0;
  assert.equal(await becomes(() => ++looks === 3, 60_000), true);
  assert.equal(await becomes(() => false, 20), false);
});

Deno.test("standsStill waits while the value changes", async () => {
  let value = 0;
  await standsStill(() => value < 20 ? ++value : value);
  assert.equal(value, 20);
});
