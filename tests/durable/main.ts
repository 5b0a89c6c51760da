/**
 * `deno task chaos:durable [--seconds 180] [--rate 2000] [--rooms 50] [--seed N] [--short]`: three NATS
 * servers and two Shields are killed, stopped and restarted under publishers and readers of durable
 * rooms. Exits 0 when the checker finds nothing, 1 with what is wrong.
 */
import { parseArgs } from "node:util";
import { endOnSignal } from "../harness/end_on_signal.ts";
import { runDurable } from "./run.ts";
import { LONG, SHORT } from "./variant.ts";

function wholeNumber(name: string, text: string, low: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= low) return value;
  console.error(`--${name} is ${JSON.stringify(text)}; expected a whole number of at least ${low}`);
  Deno.exit(2);
}

if (import.meta.main) {
  endOnSignal();
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      seconds: { type: "string", default: "180" },
      rate: { type: "string", default: "2000" },
      rooms: { type: "string", default: "50" },
      seed: { type: "string", default: String(Date.now() % 1_000_000) },
      short: { type: "boolean", default: false },
    },
  });
  const variant = values.short ? SHORT : LONG;
  const seconds = wholeNumber("seconds", values.seconds, 1);
  const rate = wholeNumber("rate", values.rate, 1);
  const rooms = wholeNumber("rooms", values.rooms, 2);
  const seed = wholeNumber("seed", values.seed, 0);
  const began_ms = performance.now();
  const say = (line: string) =>
    console.log(`${((performance.now() - began_ms) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
  say(
    `durable: ${variant.name}, ${rate}/s in ${rooms} rooms, ${seconds} s of faults, seed ${seed}`,
  );
  const plan = { variant, seconds, rate, rooms, seed, say };
  const { violations, report, dir } = await runDurable(plan);
  console.log(`\n${report.join("\n")}`);
  if (violations.length === 0) {
    await Deno.remove(dir, { recursive: true });
    console.log("\nPASSED");
    Deno.exit(0);
  }
  console.log(`\nFAILED: ${violations.length} wrong, seed ${seed}, logs in ${dir}`);
  for (const violation of violations) console.log(`- ${violation}`);
  Deno.exit(1);
}
