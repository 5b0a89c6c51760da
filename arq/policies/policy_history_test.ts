/** The way back to an earlier version, in words. */
import assert from "node:assert/strict";
import { wayBack, wayBackText } from "../commands/policy/policy_change.ts";

const at = (version: number) => ({
  version,
  at_ms: Date.UTC(2026, 0, version),
  by: `ann-${version}`,
  change: `deploy p${version}`,
});
const DOCUMENT = {
  ...at(4),
  policies: [{ name: "p4" }],
  history: [
    { version: 0, at_ms: 0, by: "", change: "", policies: [] },
    ...[1, 2, 3].map((version) => ({ ...at(version), policies: [`p${version}`] })),
  ],
};

Deno.test("an old version: how many changes ago, its time and author, and what is rolled back", () => {
  const way = wayBack(DOCUMENT, 1);
  assert.ok(way);
  assert.deepEqual(way.taken_back.map(({ version }) => version), [2, 3, 4]);
  const [first, head, ...rows] = wayBackText(way).trimEnd().split("\n");
  assert.equal(
    first,
    "version 1 is 3 changes back, made 2026-01-01T00:00:00.000Z by ann-1 (deploy p1); " +
      "it undoes:",
  );
  assert.match(head ?? "", /^VERSION +AT +BY +CHANGE +POLICIES$/);
  assert.deepEqual(rows.map((row) => row.split(/ +/)), [
    ["4", "2026-01-04T00:00:00.000Z", "ann-4", "deploy", "p4", "p4"],
    ["3", "2026-01-03T00:00:00.000Z", "ann-3", "deploy", "p3", "p3"],
    ["2", "2026-01-02T00:00:00.000Z", "ann-2", "deploy", "p2", "p2"],
  ]);
});

Deno.test("the first version, the one in force, a missing one, an unexpected answer of the bus", () => {
  const way = wayBack(DOCUMENT, 0);
  assert.ok(way);
  assert.match(wayBackText(way), /^version 0 is 4 changes back, from before the first change; /);
  assert.equal(wayBack(DOCUMENT, 4), undefined);
  assert.equal(wayBack(DOCUMENT, 9), undefined);
  assert.equal(wayBack({ history: "none" }, 1), undefined);
  const odd = wayBack({ version: 2, history: [{ version: 1, by: "\u001b[2J" }] }, 1);
  assert.ok(odd);
  assert.ok(!wayBackText(odd).includes("\u001b"));
});
