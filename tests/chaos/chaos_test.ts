/**
 * The chaos run in small: real processes on three real NATS servers, hurt for some seconds with short
 * times in `[presence]`. What it recorded of messages is judged, and judged again with faults planted
 * into it. `deno task chaos:presence` is the long one.
 */
import assert from "node:assert/strict";
import { check } from "../durable/checker.ts";
import { FAULT_INJECTORS } from "../durable/fault_injectors.ts";
import type { Recording } from "../durable/recording.ts";
import { createRandom } from "../presence_simulation/random.ts";
import { checkMessages } from "./message_checker.ts";
import { MESSAGE_FAULT_INJECTORS } from "./message_plant.ts";
import type { MessageRecording } from "./message_recording.ts";
import { runChaos } from "./run.ts";
import { SHORT } from "./variant.ts";

const SECONDS = 12;
const CLIENTS = 60;
const SEED = 1;

/** A checker that finds nothing has to be one that would find something. */
function injectFaults(messages: MessageRecording, logs: readonly Recording[]): void {
  for (const [name, inject] of Object.entries(MESSAGE_FAULT_INJECTORS)) {
    // In so short a run no stretch may be far enough from what a slow machine loses; message_checker_test.ts has it.
    if (name === "dropOne") continue;
    const wrong = inject(messages, createRandom(SEED));
    assert.ok(wrong !== undefined, `no place for ${name}`);
    assert.ok(checkMessages(wrong).findings.length > 0, `${name} was not found`);
  }
  for (const [name, inject] of Object.entries(FAULT_INJECTORS)) {
    const wrong = logs.flatMap((log) => inject(log, createRandom(SEED)) ?? []);
    assert.ok(wrong.length > 0, `no place for ${name} in a log`);
    const { findings } = check(wrong, { deduplication_ms: 120_000 });
    assert.ok(findings.length > 0, `${name} was not found in a log`);
  }
}

Deno.test("lists, locks and messages are right after every process was killed, stopped, restarted or cut off", async () => {
  const lines: string[] = [];
  const say = (line: string) => void lines.push(line);
  const numbers = { seconds: SECONDS, clients: CLIENTS, seed: SEED, servers: 3 } as const;
  const plan = { variant: SHORT, ...numbers, say };
  const { violations, undecided, report, dir, messages, logs } = await runChaos(plan);
  lines.push(...report);
  const story = `${violations.join("\n")}\n\nlogs in ${dir}; what happened:\n${lines.join("\n")}`;
  assert.equal(violations.length, 0, `\n${story}`);
  assert.deepEqual(undecided, [], `\n${story}`);
  assert.ok(messages !== undefined);
  injectFaults(messages, logs);
  await Deno.remove(dir, { recursive: true });
});
