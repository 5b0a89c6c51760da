/**
 * `deno task load [--connections 100000] [--processes 5] [--idle-minutes 60] [--broadcasts 5]
 * [--addresses 20] [--apart] [--websocket native|ws|own]`: connections over the processes of one Shield (`--apart`: over Shields
 * with a port each) on this machine that come, sit idle, hear broadcasts and are dropped. Exits 0 when
 * all held, 1 with what did not, 2 when the system's limits are too low.
 */
import { parseArgs } from "node:util";
import { commit, machine } from "../../bench/measure/scenario.ts";
import { endOnSignal } from "../harness/end_on_signal.ts";
import { websocketOption } from "../harness/websocket_option.ts";
import { runLoad } from "./run.ts";
import { renderLoad, violationsOf } from "./verdict.ts";

function fail(text: string): never {
  console.error(text);
  Deno.exit(2);
}

function atLeast(name: string, text: string, low: number): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= low) return value;
  fail(`--${name} is ${JSON.stringify(text)}; expected a number of at least ${low}`);
}

if (import.meta.main) {
  endOnSignal();
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      "connections": { type: "string", default: "100000" },
      "processes": { type: "string", default: "5" },
      "idle-minutes": { type: "string", default: "60" },
      "broadcasts": { type: "string", default: "5" },
      "addresses": { type: "string", default: "20" },
      "websocket": { type: "string", default: "" },
      "apart": { type: "boolean", default: false },
    },
  });
  const began_ms = performance.now();
  const plan = {
    connections: Math.ceil(atLeast("connections", values.connections, 1)),
    processes: Math.ceil(atLeast("processes", values.processes, 1)),
    one_port: !values.apart,
    server_lines: websocketOption(values.websocket),
    idle_seconds: atLeast("idle-minutes", values["idle-minutes"], 0) * 60,
    broadcasts: Math.ceil(atLeast("broadcasts", values.broadcasts, 0)),
    addresses: Math.min(250, Math.ceil(atLeast("addresses", values.addresses, 1))),
    say: (line: string) =>
      console.log(`${((performance.now() - began_ms) / 1_000).toFixed(1).padStart(7)} s  ${line}`),
  };
  const outcome = await runLoad(plan).catch((error) => {
    if (error instanceof RangeError) fail(error.message);
    throw error;
  });
  console.log(`\n${renderLoad(outcome)}`);
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
