/** Work of tenants that share a queue: they take turns, and none takes all of what runs or waits. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { turn } from "../testing/pace.ts";
import { FairQueue } from "./fair_queue.ts";

const refusal = () => new Error("too much waits");

/** Work that a test ends, and the order in which it began; its tenant is the first letter. */
class Held {
  readonly begun: string[] = [];
  readonly #queue: FairQueue;
  readonly #ends = new Map<string, () => void>();

  constructor(queue: FairQueue) {
    this.#queue = queue;
  }

  readonly run = (name: string): Promise<string> =>
    this.#queue.run(name[0]!, () => {
      this.begun.push(name);
      return new Promise<string>((resolve) => this.#ends.set(name, () => resolve(name)));
    }, refusal);

  async end(...names: string[]): Promise<void> {
    for (const name of names) {
      this.#ends.get(name)?.();
      // The next work begins within a turn of the event loop.
      await turn();
    }
  }
}

Deno.test("tenants take turns, and one leaves a part of what runs to the others", async () => {
  const queue = new FairQueue({ running_max: 2, waiting_max: 16 });
  const held = new Held(queue);
  const all = ["a1", "a2", "a3", "b1", "c1"].map(held.run);
  await turn();
  assert.deepEqual(held.begun, ["a1", "b1"]);
  assert.equal(queue.waiting, 3);
  await held.end("b1");
  assert.deepEqual(held.begun, ["a1", "b1", "c1"], "not behind all of a's");
  await held.end("a1");
  assert.deepEqual(held.begun.slice(3), ["a2"]);
  await held.end("c1", "a2", "a3");
  assert.deepEqual(await Promise.all(all), ["a1", "a2", "a3", "b1", "c1"]);
  assert.deepEqual([queue.running, queue.waiting], [0, 0]);
});

Deno.test("work of one tenant that never ends leaves a slot to every other one", async () => {
  const queue = new FairQueue({ running_max: 8, waiting_max: 64 });
  const held = new Held(queue);
  const stuck = Array.from({ length: 20 }, (_, at) => held.run(`a${at}`));
  for (const name of ["b1", "c1", "b2"]) {
    const one = held.run(name);
    await held.end("", name);
    assert.equal(await one, name);
  }
  await held.end(...Array.from({ length: 20 }, (_, at) => `a${at}`));
  await Promise.all(stuck);
});

Deno.test("a tenant whose work fills its share is refused more, and others still wait", async () => {
  for (const { tenant_waiting_max, most } of [{ most: 8 }, { tenant_waiting_max: 2, most: 2 }]) {
    const bounded = tenant_waiting_max === undefined ? {} : { tenant_waiting_max };
    const queue = new FairQueue({ running_max: 1, waiting_max: 9, ...bounded });
    const held = new Held(queue);
    const names = Array.from({ length: most + 1 }, (_, at) => `a${at}`);
    const waiting = names.map(held.run);
    await turn();
    await assert.rejects(held.run("a"), refusal());
    assert.equal(queue.refused, 1);
    const other = held.run("b1");
    await held.end("a0", "a1", "b1", ...names);
    assert.deepEqual(held.begun.slice(0, 3), ["a0", "a1", "b1"]);
    await Promise.all([...waiting, other]);
  }
});

Deno.test("the next work begins after some that fails", async () => {
  const queue = new FairQueue({ running_max: 1, waiting_max: 2 });
  const failed = queue.run("a", () => Promise.reject(new Error("bad module")), refusal);
  const next = queue.run("a", () => Promise.resolve("good"), refusal);
  await assert.rejects(failed, /bad module/);
  assert.equal(await next, "good");
});

Deno.test("work that waits for too long is refused, and leaves no trace", async () => {
  const queue = new FairQueue({ running_max: 1, waiting_max: 64, wait_ms: 1 });
  const leave = await queue.enter("a", refusal);
  await assert.rejects(queue.enter("a", refusal), refusal());
  assert.deepEqual([queue.running, queue.waiting, queue.refused], [1, 0, 1]);
  leave();
  (await queue.enter("a", refusal))();
  assert.equal(queue.running, 0);
});

Deno.test("for any work, the limits hold, all of it runs, and of three slots at most one is kept free", async () => {
  const name = fc.constantFrom("a", "b", "c");
  const step = fc.oneof(fc.record({ run: name }), fc.record({ end: fc.nat(20) }));
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const queue = new FairQueue({ running_max: 3, waiting_max: 1_000 });
    const running: (() => void)[] = [];
    let wanted = 0;
    let done = 0;
    const end = async (at: number) => {
      running.splice(at % Math.max(1, running.length), 1)[0]?.();
      await turn();
      assert(queue.waiting === 0 || queue.running >= 2);
    };
    for (const one of steps) {
      if ("end" in one) {
        await end(one.end);
        continue;
      }
      wanted++;
      const work = () => new Promise<void>((resolve) => void running.push(resolve));
      void queue.run(one.run, work, refusal).then(() => done++);
      await turn();
      assert(queue.running <= 3);
    }
    while (running.length > 0) await end(0);
    assert.deepEqual([done, queue.running, queue.waiting], [wanted, 0, 0]);
  }));
});
