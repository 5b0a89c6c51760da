/** Order, window and refusals of a connection's FIFO, for any mix of fast, slow and failing items. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Fifo, type Prepared } from "./fifo.ts";

/** `prepare` and `commit`: 0 is at once, n is after n turns. */
interface Item {
  readonly id: number;
  readonly prepare: number;
  readonly commit: number;
  readonly pipelined: boolean;
  readonly fails: "no" | "prepare" | "commit";
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await Promise.resolve();
}

const prepared = (id: number): Prepared => [["id", `${id}`]];

/** Pushes all items, in groups with turns in between; returns what happened in order. */
async function run(items: readonly Item[], window: number, group: number) {
  const effects: string[] = [];
  let queued = 0;
  let preparing = 0;
  let most = 0;
  let barriers = 0;
  const done = Promise.withResolvers<void>();
  const finish = (text: string) => {
    if (effects.push(text) === items.length) done.resolve();
  };
  const itemOf = (place: number) => items[place] as Item;
  const fifo = new Fifo<number>({
    window,
    isPipelined: (queued) => itemOf(queued).pipelined,
    prepare(queued) {
      const item = itemOf(queued);
      if (!item.pipelined && preparing > 0) barriers++;
      if (item.fails === "prepare" && item.prepare === 0) throw new Error("refused");
      if (item.prepare === 0) return prepared(item.id);
      most = Math.max(most, ++preparing);
      return turns(item.prepare).then(() => {
        preparing--;
        if (item.fails === "prepare") throw new Error("refused");
        return prepared(item.id);
      });
    },
    commit(queued, added) {
      const item = itemOf(queued);
      assert.deepEqual(added, prepared(item.id), "the result of its own preparation");
      if (item.commit === 0) {
        if (item.fails === "commit") throw new Error("refused");
        finish(`${item.id}`);
        return undefined;
      }
      return turns(item.commit).then(() => {
        if (item.fails === "commit") throw new Error("refused");
        finish(`${item.id}`);
      });
    },
    refuse: (place) => finish(`${place} refused`),
    queued: () => void queued++,
    left: () => void queued--,
  });
  for (const index of items.keys()) {
    fifo.push(index);
    if (index % group === group - 1) await turns(2);
  }
  await done.promise;
  await turns(4);
  return { effects, queued, most, barriers };
}

const item = fc.record({
  prepare: fc.constantFrom(0, 0, 1, 2, 7),
  commit: fc.constantFrom(0, 0, 0, 1, 3),
  pipelined: fc.boolean(),
  fails: fc.constantFrom("no", "no", "no", "prepare", "commit" as const),
});

Deno.test("for any mix of fast, slow and refused items, everything happens once and in order", async () => {
  const list = fc.array(item, { minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(list, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 5 }), async (
      drawn,
      window,
      group,
    ) => {
      const items = drawn.map((one, id) => ({ ...one, id } as Item));
      const { effects, queued, most, barriers } = await run(items, window, group);
      const expected = items.map(({ id, fails }) => fails === "no" ? `${id}` : `${id} refused`);
      assert.deepEqual(effects, expected);
      assert.equal(queued, 0, "finished items are not counted");
      assert(most <= window, `${most} preparations, window ${window}`);
      assert.equal(barriers, 0, "an item that is not pipelined starts alone");
    }),
    { numRuns: 500 },
  );
});

Deno.test("preparations of neighbours run concurrently up to the window", async () => {
  const items = Array.from({ length: 20 }, (_, id): Item => ({
    id,
    prepare: 7,
    commit: 0,
    pipelined: true,
    fails: "no",
  }));
  assert.equal((await run(items, 4, 20)).most, 4);
});

Deno.test("after the end nothing takes effect and nothing is counted as waiting", async () => {
  let queued = 0;
  let effects = 0;
  const fifo = new Fifo<number>({
    window: 4,
    isPipelined: () => true,
    prepare: () => turns(3).then(() => prepared(0)),
    commit: () => {
      effects++;
      return undefined;
    },
    refuse: () => void effects++,
    queued: () => void queued++,
    left: () => void queued--,
  });
  for (let index = 0; index < 10; index++) fifo.push(index);
  assert.equal(queued, 10);
  fifo.end();
  await turns(20);
  assert.deepEqual([queued, effects], [0, 0]);
});
