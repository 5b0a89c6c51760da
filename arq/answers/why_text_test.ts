/** What `arq why` says of the Shields' clocks. */
import assert from "node:assert/strict";
import { whyLines } from "./why_text.ts";

Deno.test("arq why: clocks that differ by more than an answer takes are named, others are not", () => {
  const of = (...now_ms: number[]) =>
    whyLines({
      ledgers: now_ms.map((ms, at) => ({ node_id: `s${at}`, since_ms: 0, now_ms: ms })),
      nodes: { answered: [], silent: [] },
    }).filter((line) => line.startsWith("the clock"));
  assert.deepEqual(of(12_000, 0, 900), ["the clock of s0 is about 12 s ahead of that of s1"]);
  assert.deepEqual(of(1_900, 0), []);
  assert.deepEqual(of(5_000), []);
});
