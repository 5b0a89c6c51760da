/**
 * `deno task chaos [--minutes 2 | --seconds 120] [--clients 500] [--seed N] [--short]
 * [--websocket native|ws|own]`: three Brains
 * and two Shields on a real NATS server are killed, stopped, restarted and cut off while clients come,
 * go, contend for locks, and publish to plain and durable rooms. Exits 0 when everybody agrees
 * afterwards and no message is lost, repeated, out of order or astray, 1 with what is wrong.
 */
import { parseArgs } from "node:util";
import { endOnSignal } from "../end_on_signal.ts";
import { websocketOption } from "../websocket_option.ts";
import { runChaos } from "./run.ts";
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
      minutes: { type: "string" },
      seconds: { type: "string", default: "120" },
      clients: { type: "string", default: "500" },
      seed: { type: "string", default: String(Date.now() % 1_000_000) },
      websocket: { type: "string", default: "" },
      short: { type: "boolean", default: false },
    },
  });
  const variant = values.short ? SHORT : LONG;
  const seconds = values.minutes === undefined
    ? wholeNumber("seconds", values.seconds, 1)
    : wholeNumber("minutes", values.minutes, 1) * 60;
  const clients = wholeNumber("clients", values.clients, 20);
  const seed = wholeNumber("seed", values.seed, 0);
  const shield_lines = websocketOption(values.websocket);
  const began_ms = performance.now();
  const say = (line: string) =>
    console.log(`${((performance.now() - began_ms) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
  say(`chaos: ${variant.name}, ${clients} clients, ${seconds} s of faults, seed ${seed}`);
  const { violations, report, dir } = await runChaos({
    variant,
    seconds,
    clients,
    seed,
    shield_lines,
    say,
  });
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
