/**
 * The durable run in small: real processes on a NATS cluster of three, hurt for some seconds. Its
 * recording is judged, and judged again with faults planted into it. `deno task chaos:durable` is the
 * long one.
 */
import assert from "node:assert/strict";
import { createRandom } from "../presence_simulation/random.ts";
import { check } from "./checker.ts";
import { FAULT_INJECTORS } from "./fault_injectors.ts";
import { runDurable } from "./run.ts";
import { SHORT } from "./variant.ts";

const SECONDS = 12;
const RATE = 200;
const ROOMS = 8;
const SEED = 1;

Deno.test("what was acknowledged is seen once and in order by everybody, whoever was killed or stopped", async () => {
  const lines: string[] = [];
  const say = (line: string) => void lines.push(line);
  const plan = { variant: SHORT, seconds: SECONDS, rate: RATE, rooms: ROOMS, seed: SEED, say };
  const { violations, recording, dir } = await runDurable(plan);
  const story = `${violations.join("\n")}\n\nlogs in ${dir}; what happened:\n${lines.join("\n")}`;
  assert.equal(violations.length, 0, `\n${story}`);
  for (const [name, inject] of Object.entries(FAULT_INJECTORS)) {
    const wrong = inject(recording, createRandom(SEED));
    assert.ok(wrong !== undefined, `no place for ${name}`);
    const { findings } = check(wrong, { deduplication_ms: 120_000 });
    assert.ok(findings.length > 0, `${name} was not found`);
  }
  await Deno.remove(dir, { recursive: true });
});
