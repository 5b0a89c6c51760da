/**
 * The chaos run in small: real processes on a real NATS server, hurt for some seconds with short
 * times in `[presence]`. What it recorded of messages is judged, and judged again with faults planted
 * into it. `deno task chaos` is the long one.
 */
import assert from "node:assert/strict";
import { check } from "../durable/checker.ts";
import { PLANTS } from "../durable/plant.ts";
import type { Recording } from "../durable/recording.ts";
import { createRandom } from "../presence_simulation/random.ts";
import { checkMessages } from "./message_checker.ts";
import { MESSAGE_PLANTS } from "./message_plant.ts";
import type { MessageRecording } from "./message_recording.ts";
import { runChaos } from "./run.ts";
import { SHORT } from "./variant.ts";

const SECONDS = 12;
const CLIENTS = 60;
const SEED = 1;

/** A checker that finds nothing has to be one that would find something. */
function plantFaults(messages: MessageRecording, logs: readonly Recording[]): void {
  for (const [name, plant] of Object.entries(MESSAGE_PLANTS)) {
    const wrong = plant(messages, createRandom(SEED));
    // In so short a run no stretch may be far enough from every GAP; message_checker_test.ts has it.
    if (wrong === undefined && name === "dropOne") continue;
    assert.ok(wrong !== undefined, `no place for ${name}`);
    assert.ok(checkMessages(wrong).findings.length > 0, `${name} was not found`);
  }
  for (const [name, plant] of Object.entries(PLANTS)) {
    const wrong = logs.flatMap((log) => plant(log, createRandom(SEED)) ?? []);
    assert.ok(wrong.length > 0, `no place for ${name} in a log`);
    const { findings } = check(wrong, { deduplication_ms: 120_000 });
    assert.ok(findings.length > 0, `${name} was not found in a log`);
  }
}

Deno.test("lists, locks and messages are right after every process was killed, stopped, restarted or cut off", async () => {
  const lines: string[] = [];
  const say = (line: string) => void lines.push(line);
  const plan = { variant: SHORT, seconds: SECONDS, clients: CLIENTS, seed: SEED, say };
  const { violations, report, dir, messages, logs } = await runChaos(plan);
  lines.push(...report);
  const story = `${violations.join("\n")}\n\nlogs in ${dir}; what happened:\n${lines.join("\n")}`;
  assert.equal(violations.length, 0, `\n${story}`);
  assert.ok(messages !== undefined);
  plantFaults(messages, logs);
  await Deno.remove(dir, { recursive: true });
});
