/**
 * `deno task model:triples [--tenth K]`: as `together_test.ts`, with each triple of values of `factors.ts`, which takes
 * thousands of rows. Exits with 1 and the problems. `triples_test.ts` runs a tenth of the rows.
 */
import { startLocalBus } from "../harness/local_bus.ts";
import { runTask } from "../harness/task.ts";
import { maybe, whole } from "../harness/task_arguments.ts";
import { Receiver } from "../hooks/receiver.ts";
import { startOtlpReceiver } from "../otlp/receiver.ts";
import { covered } from "./covering.ts";
import { FACTORS, type Row, rowsOf, SEATS } from "./factors.ts";
import { answersOf, configOf, groundOf, runRows } from "./run.ts";

const PARTS = 10;
/** Rows on one bus: each has its own tenant, with its log. */
const ROWS_OF_A_BUS = 400;

/** Triples of three readers would be thousands more; the third reader receives nothing. */
const TWO_READERS = { ...FACTORS, third: ["stranger"] };

const countOf = (rows: readonly Row[]) => covered(rows.map((row) => ({ ...row })), 3, SEATS);

/** Runs a tenth of the rows, or all of them. Rejects with the problems. */
export async function runTriples(
  tenth: number | undefined,
  say: (line: string) => void,
): Promise<void> {
  const all = rowsOf(3, TWO_READERS);
  const rows = tenth === undefined ? all : all.filter((_, at) => at % PARTS === tenth % PARTS);
  say(`${rows.length} of ${all.length} rows, ${countOf(rows)} of ${countOf(all)} triples`);
  for (let at = 0; at < rows.length; at += ROWS_OF_A_BUS) {
    const some = rows.slice(at, at + ROWS_OF_A_BUS);
    await using receiver = new Receiver();
    receiver.answer = answersOf();
    await using collector = await startOtlpReceiver();
    await using bus = await startLocalBus(configOf(some, receiver, { otlp_url: collector.url }));
    await runRows({ ...await groundOf(bus, bus, receiver), collector }, some);
    say(`${at + some.length} rows are as the model says`);
  }
}

const USAGE = {
  command: "deno task model:triples",
  about: "Runs the rows in which each triple of capabilities stands. Exits 1 with what was wrong.",
  options: {
    tenth: maybe(whole(0, "only each tenth row, from this one on", { low: 0, high: PARTS - 1 })),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async ({ tenth }, say) => {
    const problems = await runTriples(tenth, say).then(() => [], (error: Error) => [error.message]);
    return { problems };
  });
}
