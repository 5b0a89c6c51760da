/**
 * A small soak run: real processes, a few hundred connections, some seconds. Only counts are judged, since times on a
 * shared machine mean nothing. `deno task soak` is the long one.
 */
import assert from "node:assert/strict";
import { runSoak } from "./run.ts";
import { renderSoak, violationsOf } from "./verdict.ts";

Deno.test("a steady load with policies, presence, a schema and durable rooms loses nothing", async () => {
  const lines: string[] = [];
  const outcome = await runSoak({
    seconds: 6,
    connections: 300,
    rate: 200,
    processes: 2,
    room_size: 4,
    visits: 4,
    rows: 2,
    counts_only: true,
    say: (line) => void lines.push(line),
  });
  assert.deepEqual(violationsOf(outcome), [], lines.join("\n"));
  const sum = (of: "sent" | "received") => outcome.rows.reduce((all, row) => all + row[of], 0);
  assert.ok(sum("sent") > 0 && sum("received") >= 3 * sum("sent"), lines.join("\n"));
  assert.ok(outcome.visits > 0);
  assert.match(renderSoak(outcome), /visitors/);
});
