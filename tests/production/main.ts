/**
 * `deno task production [--rooms 8] [--rate 50] [--message-bytes 1000] [--calm 500]`: a production set-up as
 * docs/deploy.md has it, without containers: three NATS servers with TLS and accounts, two Brains, two Shields
 * behind nginx, Valkey, a collector; a rollout, a backup under load, the loss of everything and the restore,
 * a second site and the failover to it. Prints what each took; exits 1 when anything did not hold.
 */
import { parseArgs } from "node:util";
import { renderRows } from "../../bench/measure/table.ts";
import { endOnSignal } from "../harness/end_on_signal.ts";
import { above0 } from "../harness/task_options.ts";
import { runProduction } from "./run.ts";

if (import.meta.main) {
  endOnSignal();
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      rooms: { ...text, default: "8" },
      rate: { ...text, default: "50" },
      "message-bytes": { ...text, default: "1000" },
      calm: { ...text, default: "500" },
    },
  });
  const began_ms = performance.now();
  const passed_s = () => ((performance.now() - began_ms) / 1_000).toFixed(1).padStart(6);
  const { figures, problems } = await runProduction({
    rooms: Math.round(above0("rooms", values.rooms)),
    rate: above0("rate", values.rate),
    message_bytes: Math.round(above0("message-bytes", values["message-bytes"])),
    calm: Math.round(above0("calm", values.calm)),
    say: (line) => console.log(`${passed_s()} s  ${line}`),
  });
  console.log(
    `\n${renderRows(["what", "figure"], figures.map(({ what, value }) => [what, value]))}`,
  );
  if (problems.length > 0) console.log(`\n- ${problems.join("\n- ")}`);
  console.log(problems.length === 0 ? "\nPASSED" : "\nFAILED");
  Deno.exit(problems.length === 0 ? 0 : 1);
}
