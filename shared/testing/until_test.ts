/** What holds ends a wait, what never does ends it with its name, and what is thrown goes through. */
import assert from "node:assert/strict";
import { becomes, found, insist, seen, standsStill, until } from "./until.ts";

Deno.test("until looks again and again, at least once even without time", async () => {
  let looks = 0;
  await until("the third look", () => ++looks === 3);
  assert.equal(looks, 3);
  await until("at once", () => Promise.resolve(true), 0);
});

Deno.test("what never holds is named, with the limit", async () => {
  const named = { message: "not within 20 ms: the moon" };
  await assert.rejects(until("the moon", () => false, 20), named);
  let looks = 0;
  const said = () => `after ${looks > 1 ? "some" : "no"} looks`;
  await assert.rejects(until(said, () => ++looks < 0, 20), {
    message: "not within 20 ms: after some looks",
  });
  await assert.rejects(found("the moon", () => undefined, 20), named);
});

Deno.test("who waits long looks less and less often", async () => {
  let looks = 0;
  await becomes(() => ++looks < 0, 1_000);
  // Every 10 ms that would be 100 looks; a slow machine has fewer in any case.
  assert.ok(looks <= 40, `${looks} looks`);
});

Deno.test("a look that comes too early has seen nothing yet, and what the last one threw is told", async () => {
  const early = [
    // Nobody listens; a member of a body that is not there yet; a body that is no JSON.
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
    message: "not within 0 ms: the moon; the last look threw TypeError: no moon",
  });
});

Deno.test("what a condition throws else is not waited for", async () => {
  const failed = new Error("failed");
  await assert.rejects(until("it", () => Promise.reject(failed)), failed);
  await assert.rejects(found("it", () => Promise.reject(failed)), failed);
  await assert.rejects(seen("it", () => Promise.reject(failed), () => true), failed);
  await assert.rejects(becomes(() => Promise.reject(failed), 0), failed);
});

Deno.test("found gives the first value, be it false or null", async () => {
  const values = [undefined, undefined, null];
  assert.equal(await found("a value", () => values.shift()), null);
  assert.equal(await found("a value", () => Promise.resolve(false)), false);
});

Deno.test("seen gives the first value that is right, else says the last one", async () => {
  let count = 0;
  assert.equal(await seen("three", () => ++count, (value) => value === 3), 3);
  const look = () => Promise.resolve({ rooms: [count] });
  await assert.rejects(seen("four", look, ({ rooms }) => rooms[0] === 4, 0), {
    message: "not within 0 ms: four; last seen: { rooms: [ 3 ] }",
  });
});

Deno.test("insist tries again what is refused for now, and nothing else", async () => {
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
    /^Error: not within 0 ms: an answer; the last look threw Error: busy: no leader$/,
  );
});

Deno.test("becomes says whether it has, and does not reject", async () => {
  let looks = 0;
  assert.equal(await becomes(() => ++looks === 3, 60_000), true);
  assert.equal(await becomes(() => false, 20), false);
});

Deno.test("standsStill outlasts what goes on", async () => {
  let value = 0;
  await standsStill(() => value < 20 ? ++value : value);
  assert.equal(value, 20);
});
