/**
 * `deno task chaos:bridge [--transactions 1000000] [--writers 4] [--calm_ms 2000] [--seed N]`: transactions that commit and roll back
 * while PostgreSQL, the bus and two bridges are killed. Exits 0 when each room has exactly what committed, in order.
 */
import { runTask } from "../harness/task.ts";
import { seed, whole } from "../harness/task_arguments.ts";
import { runBridges } from "./run.ts";

const USAGE = {
  command: "deno task chaos:bridge",
  about:
    `Commits and rolls back transactions that publish, while PostgreSQL, the bus and two bridges are
killed; then compares what each room has with what the database says that committed.`,
  options: {
    transactions: whole(20_000, "transactions that commit", { low: 1 }),
    writers: whole(4, "sessions that write at a time"),
    calm_ms: whole(2_000, "between two kills, at least; five times as long at most", { low: 100 }),
    seed: seed(),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async ({ transactions, writers, calm_ms, seed }, say) => {
    const plan = { transactions, writers, batch: 500, seed };
    const verdict = await runBridges({ ...plan, calm_ms: [calm_ms, 5 * calm_ms] }, say);
    return verdict ?? { problems: [], undecided: ["there is no PostgreSQL here"] };
  });
}
