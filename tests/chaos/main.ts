/**
 * `deno task chaos [--minutes 2 | --seconds 120] [--clients 500] [--nats 3|1] [--seed N] [--short]
 * [--websocket native|ws|own]`: real NATS servers, three Brains and two Shields are killed, stopped,
 * restarted and cut off while clients come, go, contend for locks, and publish to plain and durable
 * rooms. Exits 0 when everybody agrees afterwards, no message is repeated, out of order or astray, and
 * what is lost was told at its place, 1 with what is wrong, 3 when that could not be judged because a
 * stream of NATS had no leader.
 */
import { parseArgs } from "node:util";
import { endOnSignal } from "../harness/end_on_signal.ts";
import { websocketOption } from "../harness/websocket_option.ts";
import type { ServerCount } from "./fleet.ts";
import { runChaos } from "./run.ts";
import { LONG, SHORT } from "./variant.ts";

function wholeNumber(name: string, text: string, low: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= low) return value;
  console.error(`--${name} is ${JSON.stringify(text)}; expected a whole number of at least ${low}`);
  Deno.exit(2);
}

function serverCount(text: string): ServerCount {
  if (text === "1") return 1;
  if (text === "3") return 3;
  console.error(`--nats is ${JSON.stringify(text)}; expected 1 or 3`);
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
      nats: { type: "string", default: "3" },
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
  const servers = serverCount(values.nats);
  const shield_lines = websocketOption(values.websocket);
  const began_ms = performance.now();
  const say = (line: string) =>
    console.log(`${((performance.now() - began_ms) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
  const what = `${servers} NATS, ${clients} clients, ${seconds} s of faults, seed ${seed}`;
  say(`chaos: ${variant.name}, ${what}`);
  const { violations, undecided, report, dir } = await runChaos({
    variant,
    seconds,
    clients,
    seed,
    servers,
    shield_lines,
    say,
  });
  console.log(`\n${report.join("\n")}`);
  if (violations.length === 0 && undecided.length > 0) {
    console.log(`\nUNDECIDED, seed ${seed}, logs in ${dir}`);
    for (const why of undecided) console.log(`- ${why}`);
    Deno.exit(3);
  }
  if (violations.length === 0) {
    await Deno.remove(dir, { recursive: true });
    console.log("\nPASSED");
    Deno.exit(0);
  }
  console.log(`\nFAILED: ${violations.length} wrong, seed ${seed}, logs in ${dir}`);
  for (const line of [...violations, ...undecided]) console.log(`- ${line}`);
  Deno.exit(1);
}
