/** A stay that stands in no journal is named by what its Shield met; nothing excuses one whose Shield lived on. */
import assert from "node:assert/strict";
import type { StayEnd, ToldStay } from "../chaos/registry.ts";
import { stayKey } from "../chaos/registry.ts";
import { lackingOf, lostIn } from "./stays.ts";
import type { Lacking } from "./stays.ts";

const stay = (
  connection_id: string,
  told_ms: number,
  end: StayEnd | undefined,
  ended_ms = Infinity,
): ToldStay => ({
  ...{ room: "t/r", connection_id, joined_ms: 1, told_ms, node_id: "s0", end, ended_ms },
});
const HISTORY = { brains: ["b0", "b1"], quiets_ms: [] };
const kill = (target: string, from_ms: number, to_ms = from_ms + 1_000) =>
  ({ target, kind: "kill", from_ms, to_ms }) as const;
const ids = (found: readonly Lacking[]) =>
  found.map(({ why, stays }) => [why, stays.map(({ connection_id }) => connection_id).join()]);

Deno.test("stays in no journal are named by the end of their Shield, and who knew of them until it was written", () => {
  const told = [
    stay("written", 1_000, "closed", 2_000),
    stay("there", 3_000, "lost", 20_300),
    stay("noticed early", 3_000, "lost", 19_500),
    stay("gone", 3_000, "left", 6_000),
    stay("next life", 70_000, "closed", 72_000),
    stay("while it stops", 110_500, "lost", 110_800),
  ];
  const joined = new Set([stayKey(told[0]!)]);
  const restart = { ...kill("s0", 110_000), kind: "restart" } as const;
  const blows = [
    kill("s1", 4_000),
    { ...kill("s0", 4_000), kind: "cut" } as const,
    kill("s0", 20_000),
    restart,
  ];
  const times_ms = new Map([["t/r", [2_100, 21_000, 60_000, 200_000]], ["t/other", [45_000]]]);
  const dead = [kill("b0", 30_000), kill("b1", 59_000), kill("b0", 150_000), kill("b1", 150_000)];
  const found = lackingOf(told, { joined, times_ms }, { ...HISTORY, blows: [...blows, ...dead] });
  assert.deepEqual(ids(found), [
    [
      "there when its Shield was killed; so were all Brains before its journal was written",
      "there,noticed early",
    ],
    [
      "gone before its Shield was killed; so were all Brains before its journal was written",
      "gone",
    ],
    [
      "gone before its Shield was restarted; so were all Brains before its journal was written",
      "next life",
    ],
    [
      "there when its Shield was restarted; so were all Brains before its journal was written",
      "while it stops",
    ],
  ]);
  assert.deepEqual(lostIn(found, 0), []);
  const late = [kill("b0", 30_000), kill("b1", 61_000), kill("b0", 150_000), kill("b1", 150_000)];
  const some = lackingOf(told, { joined, times_ms }, { ...HISTORY, blows: [...blows, ...late] });
  assert.deepEqual(ids(some).slice(0, 2), [
    ["there when its Shield was killed; a Brain lived on", "there,noticed early"],
    ["gone before its Shield was killed; a Brain lived on", "gone"],
  ]);
});

Deno.test("a stay whose Shield lived on, or past a quiet point, stands in its journal or is told as missed", () => {
  const told = [stay("a", 21_000, "closed", 22_000), stay("b", 21_000, undefined)];
  const written = { joined: new Set<string>(), times_ms: new Map() };
  const blows = [kill("s0", 20_000), ...HISTORY.brains.map((name) => kill(name, 50_000))];
  const found = lackingOf(told, written, { ...HISTORY, blows });
  assert.deepEqual(found.map(({ is_wrong }) => is_wrong), [true, true]);
  assert.match(lostIn(found, 1).join(), /2 stays are in no journal, 1 are told.*closed.*t\/r a 1/);
  assert.deepEqual(lostIn(found, 2), []);
  const later = { ...HISTORY, blows: [...blows, kill("s0", 40_000)] };
  assert.deepEqual(lackingOf(told, written, later).map(({ is_wrong }) => is_wrong), [false, false]);
  const quiet = lackingOf(told, written, { ...later, quiets_ms: [30_000] });
  assert.deepEqual(ids(quiet)[0], ["closed, and its Shield lived on", "a"]);
});
