/** What a scenario says of its options, and what it gets of them. */
import assert from "node:assert/strict";
import { type Options, scenario, UsageError, valuesOf } from "./scenario.ts";
import { renderTable } from "./table.ts";

const OPTIONS = {
  rounds: [3, "how often"],
  sizes: [[10, 100], ""],
  names: ["", "some; all"],
  quick: [false, "a short one"],
} satisfies Options;
const GIVEN = { rounds: "2", sizes: "5,6", names: "a", quick: true };

Deno.test("options are numbers, lists, texts and flags, as their defaults are", () => {
  assert.deepEqual(valuesOf(OPTIONS, GIVEN), { rounds: 2, sizes: [5, 6], names: "a", quick: true });
  for (const wrong of [{ rounds: "0" }, { rounds: "x" }, { sizes: "1,a" }]) {
    assert.throws(() => valuesOf(OPTIONS, { ...GIVEN, ...wrong }), UsageError);
  }
});

Deno.test("a scenario runs with the values, and its help has each option with its default", async () => {
  const one = scenario(
    "one",
    "what it is",
    OPTIONS,
    ({ rounds }) => Promise.resolve({ report: { rounds }, table: "" }),
  );
  assert.deepEqual((await one.run(GIVEN)).report, { rounds: 2 });
  assert.equal(
    one.help,
    "one: what it is\n\n  --rounds N        how often (3)\n  --sizes N,N       (10,100)\n" +
      "  --names X         some; all\n  --quick           a short one\n",
  );
  assert.deepEqual(one.options["sizes"], { type: "string", default: "10,100" });
  assert.deepEqual(one.options["quick"], { type: "boolean", default: false });
});

Deno.test("a table shows numbers with their digits, and nothing for one that is none", () => {
  const table = renderTable([1.25, NaN], [["n", (n) => n, 1], ["text", (n) => `${n > 1}`]]);
  assert.equal(table, "n     text\n---  -----\n1.3   true\n     false");
});
