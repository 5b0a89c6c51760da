/**
 * A small load run: two processes of a Shield, some hundred connections to several of its addresses, counts only. `deno
 * task load` is the long one.
 */
import assert from "node:assert/strict";
import { runLoad } from "./run.ts";

Deno.test("connections to many addresses connect, are idle, receive each broadcast once and are disconnected", async () => {
  const lines: string[] = [];
  const { report, problems } = await runLoad({
    connections: 400,
    processes: 2,
    idle_seconds: 1,
    broadcasts: 2,
    say: (line) => void lines.push(line),
  });
  // Too few to show the memory of each connection beside the memory of the process itself.
  const wrong = problems.filter((text) => !text.includes("would take"));
  assert.deepEqual(wrong, [], lines.join("\n"));
  assert.deepEqual([report.sent, report.received], [2, 800]);
});
