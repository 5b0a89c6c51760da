/** A stay that stands in no journal is named by what its Shield met; nothing excuses one whose Shield lived on. */
import assert from "node:assert/strict";
import type { StayEnd, ToldStay } from "../chaos/registry.ts";
import { stayKey } from "../chaos/registry.ts";
import { lackingOf, lostIn } from "./stays.ts";

const stay = (
  connection_id: string,
  told_ms: number,
  end: StayEnd | undefined,
  ended_ms = Infinity,
): ToldStay => ({
  ...{ room: "t/r", connection_id, joined_ms: 1, told_ms, node_id: "s0", end, ended_ms },
});
const KILL = { target: "s0", kind: "kill", from_ms: 20_000 } as const;

Deno.test("stays in no journal are named by the end of their Shield, and whether anything was written", () => {
  const told = [
    stay("written", 1_000, "closed", 2_000),
    stay("there", 3_000, "lost", 20_300),
    stay("noticed early", 3_000, "lost", 19_500),
    stay("gone", 3_000, "left", 6_000),
    stay("late", 12_000, "closed", 13_000),
    stay("next life", 21_000, "closed", 22_000),
  ];
  const joined = new Set([stayKey(told[0]!)]);
  const blows = [
    { target: "s1", kind: "kill", from_ms: 4_000 } as const,
    { target: "s0", kind: "cut", from_ms: 4_000 } as const,
    KILL,
    { target: "s0", kind: "restart", from_ms: 60_000 } as const,
  ];
  const found = lackingOf(told, { joined, times_ms: [2_100, 10_000] }, blows);
  assert.deepEqual(
    found.map(({ why, stays }) => [why, stays.map(({ connection_id }) => connection_id)]),
    [
      ["there when its Shield was killed; some journal was written meanwhile", [
        "there",
        "noticed early",
      ]],
      ["gone before its Shield was killed; some journal was written meanwhile", ["gone"]],
      ["gone before its Shield was killed; no journal was written meanwhile", ["late"]],
      ["gone before its Shield was restarted; no journal was written meanwhile", ["next life"]],
    ],
  );
  assert.deepEqual(lostIn(found, 0), []);
});

Deno.test("a stay whose Shield lived on stands in its journal, or is told as missed", () => {
  const told = [stay("a", 21_000, "closed", 22_000), stay("b", 21_000, undefined)];
  const found = lackingOf(told, { joined: new Set(), times_ms: [] }, [KILL]);
  assert.deepEqual(found.map(({ is_wrong }) => is_wrong), [true, true]);
  assert.match(lostIn(found, 1).join(), /2 stays are in no journal, 1 are told.*closed.*t\/r a 1/);
  assert.deepEqual(lostIn(found, 2), []);
});
