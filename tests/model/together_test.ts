/**
 * Every capability beside every other: each pair of values of `factors.ts` stands in a row, which runs on one bus with
 * all others, in a tenant of its own, and is judged by `model.ts`.
 */
import { Receiver } from "../hooks/receiver.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { type Row, rowsOf } from "./factors.ts";
import { CONFIG, groundOf, runRow } from "./run.ts";

/** Rows that run side by side. */
const AT_ONCE = 8;

Deno.test("each pair of capabilities does what the model of the bus says", async () => {
  await using bus = await startLocalBus(CONFIG);
  await using receiver = new Receiver();
  const ground = await groundOf(bus, receiver);
  const rows = rowsOf(2);
  const wrong: string[] = [];
  const waiting = [...rows.entries()];
  const work = async () => {
    for (let next; (next = waiting.shift()) !== undefined;) {
      const [at, row] = next;
      const found = await runRow(ground, row, `t${at}`).catch((error: Error) => [`${error.stack}`]);
      if (found.length > 0) wrong.push(`row ${at}, ${sayRow(row)}\n  ${found.join("\n  ")}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (wrong.length > 0) {
    throw new Error(`${wrong.length} of ${rows.length} rows:\n${wrong.join("\n")}`);
  }
});

const sayRow = (row: Row) =>
  Object.entries(row).map(([name, value]) => `${name}=${value}`).join(" ");
