/**
 * The script `deno task chaos:usage` in short: kills, a stop, a restart and a cut, and the ledger is the clients'
 * count. A judge that finds nothing has to be one that would find something: answers are made wrong by one.
 */
import assert from "node:assert/strict";
import { judge } from "./judge.ts";
import type { UsageAnswer } from "./judge.ts";
import { runUsage } from "./run.ts";

const PLAN = {
  ...{ seconds: 16, shields: 2, clients: 2, seed: 7 },
  away_ms: [300, 1_000],
  pause_ms: [1_000, 1_500],
  idle_ms: [10, 60],
} as const;

/** The answer with the counts of one Shield changed by one. */
const changed = (answer: UsageAnswer, unit: "messages_in" | "deliveries", by: 1 | -1) => ({
  ...answer,
  rows: answer.rows.map((row) =>
    row.node === "shield-0" ? { ...row, [unit]: row[unit] + by } : row
  ),
});

Deno.test("use is the clients' own count while Shields are killed, stopped, restarted and cut off", async () => {
  const lines: string[] = [];
  const { problems, report, dir, book, answers } = await runUsage(PLAN, (line) => lines.push(line));
  const story = [...problems, ...lines, ...report, `logs in ${dir}`].join("\n");
  assert.deepEqual(problems, [], story);
  assert.ok(book.kills.length >= 2 && answers.every(({ lost }) => lost.length > 0), story);
  for (const answer of answers) {
    const less = judge(book, changed(answer, "messages_in", -1)).problems;
    assert.match(less.join(), /shield-0 messages_in: \d+, expected/, story);
    assert.ok(judge(book, { ...answer, lost: answer.lost.slice(1) }).problems.length > 0, story);
  }
  await Deno.remove(dir!, { recursive: true });
});
