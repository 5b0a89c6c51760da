/** The flush queue on the embedded engine. `operations.ts` sends the ACKs. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import type { ArqonError } from "@arqon/proto";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { FlushQueue } from "./flush_queue.ts";
import { listenToAll, testSpine } from "../testing/spine.ts";

const room = roomSubject("in", "acme", "lobby");

/** The flush of an engine, counted; nothing else of it works. */
function counted(spine: Spine): { spine: Spine; flushes: () => number } {
  let flushes = 0;
  const flush = () => {
    flushes++;
    return spine.flush();
  };
  return { spine: Object.assign(Object.create(spine), { flush }), flushes: () => flushes };
}

/** Pushes one callback and resolves with its result. */
function pushed(queue: FlushQueue, errors: (ArqonError | undefined)[] = []) {
  return new Promise<ArqonError | undefined>((resolve) =>
    queue.push((error) => {
      errors.push(error);
      resolve(error);
    })
  );
}

Deno.test("all callbacks of one turn share one flush, and each is called once", async () => {
  await using embedded = testSpine();
  const { spine, flushes } = counted(embedded.spine);
  const queue = new FlushQueue(spine);
  const errors: (ArqonError | undefined)[] = [];
  const first = Array.from({ length: 100 }, () => pushed(queue, errors));
  assert.deepEqual([flushes(), errors.length], [0, 0], "nothing happens inside the turn");
  await Promise.all(first);
  assert.deepEqual([flushes(), errors.length], [1, 100]);
  await Promise.all(Array.from({ length: 50 }, () => pushed(queue, errors)));
  assert.deepEqual([flushes(), errors.length], [2, 150]);
  await setImmediate();
  assert.deepEqual([flushes(), errors.length], [2, 150], "an empty queue makes no flush");
  assert.ok(errors.every((error) => error === undefined));
});

Deno.test("a flush covers everything published before the call", async () => {
  await using embedded = testSpine();
  const { spine } = embedded;
  const received = listenToAll(spine);
  const queue = new FlushQueue(spine);
  for (let round = 1; round <= 3; round++) {
    for (let index = 0; index < 5_000; index++) spine.publish(room, new Uint8Array([index & 255]));
    assert.equal(await pushed(queue), undefined);
    assert.equal(received.length, round * 5_000);
  }
});

Deno.test("a callback added during callbacks is served by the next flush", async () => {
  await using embedded = testSpine();
  const { spine, flushes } = counted(embedded.spine);
  const queue = new FlushQueue(spine);
  const again = await new Promise<Promise<unknown>>((resolve) =>
    queue.push(() => resolve(pushed(queue)))
  );
  assert.equal(await again, undefined);
  assert.equal(flushes(), 2);
});

Deno.test("a closed engine refuses every waiting callback with spine-unavailable", async () => {
  const embedded = testSpine();
  const queue = new FlushQueue(embedded.spine);
  await embedded.spine.drain();
  const errors = await Promise.all([pushed(queue), pushed(queue), pushed(queue)]);
  assert.deepEqual(errors.map((error) => error?.reason), Array(3).fill("spine-unavailable"));
});

Deno.test("awaited confirmations settle with the callbacks, by the same flush or refusal", async () => {
  const embedded = testSpine();
  const { spine, flushes } = counted(embedded.spine);
  const queue = new FlushQueue(spine);
  assert.deepEqual(await Promise.all([queue.confirmed(), pushed(queue)]), [undefined, undefined]);
  assert.equal(flushes(), 1);
  await embedded.spine.drain();
  await assert.rejects(queue.confirmed(), { name: "ArqonError", reason: "spine-unavailable" });
});

Deno.test("a callback that throws does not affect the others", async () => {
  await using embedded = testSpine();
  const queue = new FlushQueue(embedded.spine);
  const bug = new Error("a bug in one callback");
  const reported = new Promise<unknown>((resolve) => {
    globalThis.addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      resolve(event.reason);
    }, { once: true });
  });
  const before = pushed(queue);
  queue.push(() => {
    throw bug;
  });
  const after = pushed(queue);
  assert.deepEqual(await Promise.all([before, after]), [undefined, undefined]);
  assert.equal(await reported, bug);
});

Deno.test("waiting callbacks are counted until any answer", async () => {
  const answers: PromiseWithResolvers<void>[] = [];
  const flush = () => {
    answers.push(Promise.withResolvers<void>());
    return answers.at(-1)!.promise;
  };
  await using engine = testSpine();
  const queue = new FlushQueue(Object.assign(Object.create(engine.spine), { flush }));
  const first = [pushed(queue), pushed(queue)];
  assert.equal(queue.pending, 2);
  await setImmediate();
  const later = pushed(queue);
  assert.equal(queue.pending, 3);
  answers[0]?.resolve();
  await Promise.all(first);
  await setImmediate();
  assert.equal(queue.pending, 1);
  answers[1]?.reject(new Error("gone"));
  assert.equal((await later)?.reason, "spine-unavailable");
  await setImmediate();
  assert.equal(queue.pending, 0);
});
