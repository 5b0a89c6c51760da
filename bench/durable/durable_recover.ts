/**
 * Runs the measurement of many clients that recover at once, and renders its table.
 * `durable_recover_child.ts` measures.
 */
import type { RecoverPlan, RecoverReport } from "./durable_recover_child.ts";
import { runProgram } from "../measure/program.ts";
import { renderRows } from "../measure/table.ts";

/** Measures the recovery by this plan. */
export async function measureRecovery(plan: RecoverPlan): Promise<RecoverReport> {
  console.error(`durable: ${plan.clients} clients recover ${plan.missed} messages each ...`);
  const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
  const args = [JSON.stringify(plan)];
  return await runProgram("bench/durable/durable_recover_child.ts", permissions, args);
}

/** The table of the storms, one row for each. */
export function renderRecovery({ plan, storms }: RecoverReport): string {
  const rooms = { cold: "room that nobody heard", warm: "room that somebody heard" };
  return renderRows(
    [
      `recovery of ${plan.missed} messages`,
      "clients",
      "all ms",
      "p50 ms",
      "p99 ms",
      "messages/s",
      "log reads",
      "Shield CPU s",
    ],
    storms.map(({ room, clients, all_ms, p50_ms, p99_ms, log_reads, shield_cpu_s }) => [
      rooms[room],
      String(clients),
      ...[all_ms, p50_ms, p99_ms].map((ms) => ms.toFixed(0)),
      (clients * plan.missed / all_ms * 1_000).toFixed(0),
      String(log_reads),
      shield_cpu_s.toFixed(1),
    ]),
  );
}
