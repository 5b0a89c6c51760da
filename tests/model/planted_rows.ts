/** The rows of `together_test.ts` as a program for `planted.ts`: it ends with the first wrong one. */
import { startLocalBus } from "../harness/local_bus.ts";
import { Receiver } from "../hooks/receiver.ts";
import { rowsOf } from "./factors.ts";
import { answerBefore, configOf, groundOf, runRows } from "./run.ts";

if (import.meta.main) {
  await using receiver = new Receiver();
  receiver.answer = answerBefore;
  const rows = rowsOf(2);
  await using bus = await startLocalBus(configOf(rows, receiver));
  try {
    await runRows(await groundOf(bus, bus, receiver), rows, { wrong: 1, shrinks: 0 });
  } catch (error) {
    // What hangs is not waited for.
    console.error(error);
    Deno.exit(1);
  }
}
