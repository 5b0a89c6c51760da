/** Publishing runs in order, one at a time, and a failure is reported once. */
import assert from "node:assert/strict";
import { PublishingTurns } from "./reduced_room.ts";

Deno.test("a turn begins when the previous one has ended, and none begins after a failure", async () => {
  const turns = new PublishingTurns();
  const did: string[] = [];
  const first = Promise.withResolvers<void>();
  await turns.next(() => first.promise);
  const second = turns.next(() => {
    did.push("second");
    return Promise.reject(new Error("the log is away"));
  });
  await Promise.resolve();
  assert.equal(did.length, 0);
  first.resolve();
  await second;
  assert.equal(did.join(), "second");
  const third = turns.next(() => {
    did.push("third");
    return Promise.resolve();
  });
  await assert.rejects(third, /the log is away/);
  assert.equal(did.join(), "second");
  await turns.done();
  await turns.next(() => Promise.reject(new Error("again")));
  await assert.rejects(turns.done(), /again/);
  await turns.done();
});
