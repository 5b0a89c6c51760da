/** The rows of `together_test.ts` as a program for `planted.ts`: it ends with the first wrong one. */
import { startLocalBus } from "../harness/local_bus.ts";
import { Receiver } from "../hooks/receiver.ts";
import { type Row, rowsOf } from "./factors.ts";
import { answerBefore, configOf, groundOf, runRows } from "./run.ts";

/** In another order, the same each time: rows with the same readers are not next to each other. */
function mixed(rows: readonly Row[]): Row[] {
  const count = rows.length;
  // No divisor of the count, so that each row comes once.
  const step = [89, 97, 101].find((one) => count % one !== 0)!;
  return rows.map((_, at) => rows[at * step % count]!);
}

if (import.meta.main) {
  await using receiver = new Receiver();
  receiver.answer = answerBefore;
  const rows = mixed(rowsOf(2));
  await using bus = await startLocalBus(configOf(rows, receiver));
  try {
    await runRows(await groundOf(bus, bus, receiver), rows, { wrong: 1, shrinks: 0 });
  } catch (error) {
    // What hangs is not waited for.
    console.error(error);
    Deno.exit(1);
  }
}
