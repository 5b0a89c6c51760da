/** A few at a time, in order, and not more than a limit waiting. */
import assert from "node:assert/strict";
import { turn } from "../../shared/testing/pace.ts";
import { WorkQueue } from "./work_queue.ts";

const full = () => new RangeError("full");

/** A queue and pieces of work that end when they are told to. */
function scripted(running_max: number, waiting_max: number) {
  const queue = new WorkQueue({ running_max, waiting_max });
  const begun: number[] = [];
  const ends = new Map<number, (fail: boolean) => void>();
  const results: Promise<string>[] = [];
  const add = (index: number) => {
    const result = queue.run(() => {
      begun.push(index);
      return new Promise<void>((resolve, reject) =>
        ends.set(index, (fail) => fail ? reject(new Error("bad")) : resolve())
      );
    }, full).then(() => "done", (error) => (error as Error).message);
    results.push(result);
    return result;
  };
  return { queue, begun, ends, results, add };
}

Deno.test("work begins in the order in which it came, never more than a few at a time", async () => {
  const { queue, begun, ends, results, add } = scripted(2, 100);
  for (let index = 0; index < 10; index++) add(index);
  await turn();
  assert.deepEqual(begun, [0, 1]);
  assert.deepEqual([queue.running, queue.waiting], [2, 8]);
  ends.get(1)?.(false);
  await turn();
  assert.deepEqual(begun, [0, 1, 2]);
  for (let index = 0; index < 10; index++) {
    if (index !== 1) ends.get(index)?.(index === 4);
    await turn();
    assert.ok(queue.running <= 2);
  }
  assert.deepEqual(begun, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal((await Promise.all(results)).filter((result) => result === "bad").length, 1);
  assert.deepEqual([queue.running, queue.waiting], [0, 0]);
});

Deno.test("one more than may wait is refused at once, and there is room again when one has ended", async () => {
  const { ends, add, queue } = scripted(1, 2);
  const [first] = [add(0), add(1), add(2)];
  assert.equal(await add(3), "full");
  ends.get(0)?.(true);
  assert.equal(await first, "bad");
  const last = add(4);
  for (const index of [1, 2, 4]) {
    await turn();
    ends.get(index)?.(false);
  }
  assert.equal(await last, "done");
  assert.deepEqual([queue.running, queue.waiting], [0, 0]);
});
