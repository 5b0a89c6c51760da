/** A lost compare-and-set is retried a limited number of times; a refusal is not retried. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { refusedWith } from "../testing/conformance.ts";
import { changeDocument, isConflict } from "./compare_and_set.ts";

/** One number that others change, too. */
class Cell {
  value = 0;
  revision = 0;

  /** As `KeyValue.update`. */
  async update(value: number, expected_revision: number): Promise<number> {
    await Promise.resolve();
    if (this.revision !== expected_revision) {
      throw new ArqonError("version-conflict", String(this.revision));
    }
    this.value = value;
    return ++this.revision;
  }
}

const late = () => Promise.reject(new ArqonError("version-conflict", "7"));

Deno.test("64 writers at once all succeed, each by what the others wrote", async () => {
  const cell = new Cell();
  const turns: number[] = [];
  await Promise.all(Array.from({ length: 64 }, async () => {
    let own = 0;
    await changeDocument(async (mayLose) => {
      own++;
      const { value, revision } = cell;
      await mayLose(cell.update(value + 1, revision));
    });
    turns.push(own);
  }));
  assert.deepEqual([cell.value, cell.revision], [64, 64]);
  assert.equal(Math.max(...turns), 64);
});

Deno.test("the last attempt's refusal is returned to the caller, or its replacement", async () => {
  let turns = 0;
  const losing = () =>
    changeDocument(async (mayLose) => {
      turns++;
      await mayLose(late());
    });
  await assert.rejects(losing, (error) => isConflict(error));
  assert.equal(turns, 64);
  await assert.rejects(
    changeDocument((mayLose) => mayLose(late()), {
      attempts: 3,
      overtaken: (attempts) => new ArqonError("policy-conflict", `${attempts} attempts`),
    }),
    (error) =>
      error instanceof ArqonError && error.reason === "policy-conflict" &&
      error.message.includes("3 attempts"),
  );
});

Deno.test("a refusal for another reason is not retried", async () => {
  let turns = 0;
  const refuse = (reason: "invalid-settings" | "version-conflict") =>
    changeDocument((mayLose) => {
      turns++;
      // The caller's own error, although its reason is the same.
      if (turns > 1) throw new ArqonError(reason, "mine");
      return mayLose(late());
    });
  await assert.rejects(refuse("invalid-settings"), refusedWith("invalid-settings"));
  assert.equal(turns, 2);
  turns = 0;
  await assert.rejects(refuse("version-conflict"), /mine/);
  assert.equal(turns, 2);
  const failing = changeDocument((mayLose) => mayLose(Promise.reject(new RangeError("no"))));
  await assert.rejects(failing, RangeError);
});

Deno.test("nothing needs to be written", async () => {
  assert.equal(await changeDocument(() => Promise.resolve("as it was")), "as it was");
});
