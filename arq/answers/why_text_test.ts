/** The report of `arq why` about the Shields' clocks, and about former Shields. */
import assert from "node:assert/strict";
import { ledgerLines, outcomeLines } from "./why_text.ts";

const answerOf = (clocks: readonly { ahead_ms: number; within_ms: number }[]) => ({
  here: "s0",
  ledgers: clocks.map((clock, at) => ({ node_id: `s${at}`, since_ms: 0, now_ms: 0, ...clock })),
  nodes: { answered: [], silent: [] },
});

Deno.test("arq why: clocks that certainly differ are named with the uncertainty; others are not", () => {
  const of = (...clocks: [number, number][]) =>
    ledgerLines(answerOf([[0, 0], ...clocks].map(([ahead_ms = 0, within_ms = 0]) => ({
      ahead_ms,
      within_ms,
    })))).filter((line) => line.startsWith("the clock"));
  assert.deepEqual(of([12_000, 40], [-700, 5]), [
    "the clock of s1 is 12000 ms (± 40 ms) ahead of the clock of s0",
    "the clock of s2 is 700 ms (± 5 ms) behind the clock of s0",
  ]);
  assert.deepEqual(of([90, 1], [500, 450]), []);
});

Deno.test("arq why: times of a differing clock are also given in the other clock's time", () => {
  const received = [["s0", 5_000, 5_000], ["s1", 17_000, 5_000]] as const;
  const lines = outcomeLines({
    ...answerOf([{ ahead_ms: 0, within_ms: 0 }, { ahead_ms: 12_000, within_ms: 40 }]),
    messages: [{
      room_id: "hall",
      offset: 0,
      trace_id: "t",
      twist_id: "w",
      message_id: "",
      duplicate: false,
      heard: received.map(([node_id, time_ms, here_ms]) => ({ node_id, time_ms, here_ms })),
    }],
  });
  assert.deepEqual(lines.slice(1, 3), [
    "  received at s0 1970-01-01T00:00:05.000Z",
    "  received at s1 1970-01-01T00:00:17.000Z, by the answering Shield's clock " +
    "1970-01-01T00:00:05.000Z (± 40 ms)",
  ]);
});

Deno.test("arq why: a killed Shield's last known state is shown, and that the rest is lost", () => {
  const lost = { why: "killed", until_ms: 5_000, by_ms: 9_000 };
  const former = { node_id: "s1", life_ms: 0, since_ms: 1_000, until_ms: 5_000, by_ms: 9_000 };
  const answer = {
    ...answerOf([]),
    connections: [{
      connection_id: "c1",
      node_id: "s1",
      user_id: "ann",
      began_ms: 1_000,
      lost,
      outcomes: [
        { state: "unknown", why: "killed", from_ms: 5_000, until_ms: 9_000 },
        { state: "not_connected", why: "killed", until_ms: 9_000 },
      ],
    }],
    former: [{ ...former, state: "killed" }, { ...former, state: "ended" }],
  };
  const at = (second: number) => `1970-01-01T00:00:0${second}.000Z`;
  assert.deepEqual([...outcomeLines(answer), ...ledgerLines(answer)], [
    `connection c1 of ann at s1, since ${at(1)}, open ${at(5)} when its Shield was killed`,
    `  unknown: this Shield was killed and its ledger of those seconds is lost (${at(5)} to ${
      at(9)
    })`,
    `  not connected: its Shield was killed, by ${at(9)}`,
    `stored ledger of s1 from ${at(1)} to ${at(5)}; it was killed by ${at(9)}, and its ledger of ` +
    "those seconds is lost",
    `stored ledger of s1 from ${at(1)} to ${at(5)}`,
  ]);
});
