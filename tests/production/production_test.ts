/**
 * `deno task chaos --focus site` in a short form: the set-up of docs/deploy.md, lost twice, with every loss reported.
 */
import assert from "node:assert/strict";
import { runProduction } from "./run.ts";

Deno.test("a production setup survives a rollout, a restore and a failover as documented", async () => {
  const lines: string[] = [];
  const { figures, problems } = await runProduction({
    rooms: 3,
    rate: 20,
    message_bytes: 200,
    calm: 20,
    say: (line) => void lines.push(line),
  });
  assert.deepEqual(problems, [], lines.join("\n"));
  const named = figures.map(({ what }) => what).join("\n");
  for (const figure of ["RPO", "RTO"]) {
    assert.match(named, new RegExp(`after the restore: ${figure}`));
    assert.match(named, new RegExp(`after the failover: ${figure}`));
  }
});
