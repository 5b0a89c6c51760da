/**
 * `deno task soak [--minutes 30] [--connections 10000] [--rate 5000] [--processes 4] [--room-size 2]
 * [--visits 5] [--nice 19] [--websocket native|ws|own]`:
 * a steady load on one Shield with policies, presence, a schema and durable rooms. Exits 0 when no
 * message is lost, repeated or out of order and memory and latency stay flat, 1 with what is wrong.
 */
import { parseArgs } from "node:util";
import { commit, machine } from "../../bench/measure/scenario.ts";
import { endOnSignal } from "../harness/end_on_signal.ts";
import { websocketOption } from "../harness/websocket_option.ts";
import { renderSoak } from "./report.ts";
import { runSoak } from "./run.ts";
import { violationsOf } from "./verdict.ts";

const MINUTE_MS = 60_000;
/** So short a run has rows of a few seconds. */
const ROWS = 8;

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  console.error(`--${name} is ${JSON.stringify(text)}; expected a number above 0`);
  Deno.exit(2);
}

/** 0 to 19: less than none is for who may. */
function nice(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value <= 19) return value;
  console.error(`--nice is ${JSON.stringify(text)}; expected a whole number from 0 to 19`);
  Deno.exit(2);
}

if (import.meta.main) {
  endOnSignal();
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      "minutes": { type: "string", default: "30" },
      "connections": { type: "string", default: "10000" },
      "rate": { type: "string", default: "5000" },
      "processes": { type: "string", default: "4" },
      "room-size": { type: "string", default: "2" },
      "visits": { type: "string", default: "5" },
      "nice": { type: "string", default: "19" },
      "websocket": { type: "string", default: "" },
      "counts-only": { type: "boolean", default: false },
    },
  });
  const minutes = positive("minutes", values.minutes);
  const began_ms = performance.now();
  const outcome = await runSoak({
    seconds: minutes * 60,
    connections: Math.ceil(positive("connections", values.connections)),
    rate: positive("rate", values.rate),
    processes: Math.ceil(positive("processes", values.processes)),
    room_size: Math.ceil(positive("room-size", values["room-size"])),
    visits: positive("visits", values.visits),
    report_ms: Math.min(MINUTE_MS, minutes * MINUTE_MS / ROWS),
    server_lines: websocketOption(values.websocket),
    counts_only: values["counts-only"],
    nice: nice(values.nice),
    say: (line) =>
      console.log(`${((performance.now() - began_ms) / 1_000).toFixed(1).padStart(7)} s  ${line}`),
  });
  console.log(`\n${renderSoak(outcome)}`);
  const about = { ...await machine(), commit: await commit(), at: new Date().toISOString() };
  console.log(`\n${Object.entries(about).map((pair) => pair.join(" ")).join(", ")}`);
  const violations = violationsOf(outcome);
  if (violations.length === 0) {
    console.log("\nPASSED");
    Deno.exit(0);
  }
  console.log(`\nFAILED: ${violations.length} wrong`);
  for (const violation of violations) console.log(`- ${violation}`);
  Deno.exit(1);
}
