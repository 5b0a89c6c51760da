/**
 * A walk can be generated for each focus: an impossible one ends with an error that names what no row has, instead of
 * never.
 */
import assert from "node:assert/strict";
import { faultRows } from "../model/faults.ts";
import { FOCUSES, planOf } from "./plan.ts";

const WISH = { steps: 9, rooms: 4, faults: {} };

Deno.test("every focus has walks of the requested number of rooms, with any seed", () => {
  for (const focus of FOCUSES) {
    for (let seed = 1; seed <= 20; seed++) {
      const { rows, steps } = planOf({ ...WISH, focus, seed });
      assert.deepEqual([rows.length, steps.length], [WISH.rooms, WISH.steps], `${focus} ${seed}`);
    }
  }
});

Deno.test("a value that is incompatible with two others is named", () => {
  const isApt = ({ log = "plain", journal = "off", gate = "none" }) =>
    log === "plain" && (journal === "off" || gate !== "policy");
  const factors = { log: ["plain"], journal: ["all"], gate: ["policy", "none"] };
  assert.deepEqual(faultRows(1, isApt, factors).map(({ gate }) => gate), ["none"]);
  assert.throws(
    () => faultRows(1, ({ log, journal, gate }) => !(log && journal && gate), factors),
    /no row has/,
  );
});
