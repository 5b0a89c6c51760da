/** What `deno task bench sdk` makes of its figures, and a short run of the clients on Deno. */
import assert from "node:assert/strict";
import { LOADS, PARTS } from "./plan.ts";
import type { Load, Part } from "./plan.ts";
import { measure } from "./run.ts";
import type { ClientRun } from "./run.ts";
import { rowsOf } from "./sdk.ts";

function run(part: Part, round: number, cpu_us: number, load: Load = "publish"): ClientRun {
  const cost = { messages: 1_000, frames: 100, cpu_us, wall_us: 1 };
  return { language: "python", load, part, round, ...cost };
}

Deno.test("ratios are medians of those within a round", () => {
  // The second round was twice as slow for all of them, and the third only for one.
  const runs = [
    ...[run("raw", 0, 1_000), run("decoded", 0, 2_000), run("sdk", 0, 4_000)],
    ...[run("sdk", 1, 8_000), run("decoded", 1, 4_000), run("raw", 1, 2_000)],
    ...[run("raw", 2, 1_000), run("decoded", 2, 2_000), run("sdk", 2, 40_000)],
  ];
  const [raw, decoded, sdk, ...others] = rowsOf(runs);
  assert.deepEqual(others, []);
  assert.deepEqual([raw?.part, raw?.of_raw, raw?.messages_per_frame], ["raw", 1, 10]);
  assert.deepEqual([decoded?.of_raw, decoded?.of_decoded], [0.5, 1]);
  assert.deepEqual([sdk?.of_raw, sdk?.of_decoded, sdk?.per_cpu_second], [0.25, 0.5, 125_000]);
});

Deno.test("every client on Deno gets or publishes what it was told, and says what that cost", async () => {
  const runs = await measure({
    languages: ["typescript"],
    python: "",
    rounds: 1,
    messages: { typescript: 2_000, python: 0 },
    size_bytes: 100,
  }, () => {});
  assert.equal(runs.length, LOADS.length * PARTS.length);
  for (const { part, load, messages, frames, cpu_us } of runs) {
    const what = `${load}, ${part}`;
    // What is in the last frame of the warm-up belongs to it.
    assert.ok(
      load === "receive many" ? messages > 0 && messages <= 2_000 : messages <= 2_000,
      what,
    );
    assert.ok(cpu_us > 0, what);
    if (part !== "sdk" && load === "receive single") assert.equal(frames, messages, what);
  }
});
