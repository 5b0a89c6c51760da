/** The script of `deno task chaos --focus proof` in short, and that it finds a run that is not honest. */
import assert from "node:assert/strict";
import { runProofFaults } from "./fault_run.ts";

const PLAN = { seconds: 20, rooms: 2, seed: 58 } as const;

for (const [name, servers] of [["an embedded bus", 0], ["Shields on NATS", 1]] as const) {
  Deno.test(`${name} that is killed and frozen is not accused by witnesses and readers`, async () => {
    const { problems, dir } = await runProofFaults({ ...PLAN, servers }, console.log);
    assert.deepEqual(problems, [], `${problems.join("\n")}\nlogs in ${dir}`);
    await Deno.remove(dir!, { recursive: true });
  });
}

Deno.test("an embedded bus that is set back to an older copy of its data is accused", async () => {
  const plan = { ...PLAN, seconds: 5, servers: 0, rewinds: true } as const;
  const { problems, dir } = await runProofFaults(plan, console.log);
  const accused =
    /a signed checkpoint has|its signed checkpoint of|two signed trees|has signed another/;
  assert.match(problems.join("\n"), accused);
  await Deno.remove(dir!, { recursive: true });
});
