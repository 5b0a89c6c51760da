/**
 * The chaos run in small: real processes on a real NATS server, hurt for some seconds with short
 * times in `[presence]`. `deno task chaos` is the long one.
 */
import assert from "node:assert/strict";
import { runChaos } from "./run.ts";
import { SHORT } from "./variant.ts";

const SECONDS = 12;
const CLIENTS = 60;
const SEED = 1;

Deno.test("lists and locks are right after every process was killed, stopped, restarted or cut off", async () => {
  const lines: string[] = [];
  const say = (line: string) => void lines.push(line);
  const plan = { variant: SHORT, seconds: SECONDS, clients: CLIENTS, seed: SEED, say };
  const { violations, dir } = await runChaos(plan);
  const story = `${violations.join("\n")}\n\nlogs in ${dir}; what happened:\n${lines.join("\n")}`;
  assert.equal(violations.length, 0, `\n${story}`);
  await Deno.remove(dir, { recursive: true });
});
