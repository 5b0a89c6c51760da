/**
 * Combinations of capabilities: each pair of values of `factors.ts` occurs in a row, which runs on one bus with all
 * others, in its own tenant, and is judged by `model.ts`. `together_nats_test.ts` does the same on NATS.
 */
import { startLocalBus } from "../harness/local_bus.ts";
import { Receiver } from "../hooks/receiver.ts";
import { startOtlpReceiver } from "../otlp/receiver.ts";
import { rowsOf } from "./factors.ts";
import { answersOf, configOf, groundOf, runRows } from "./run.ts";

Deno.test("each pair of capabilities behaves as the model of the bus", async () => {
  await using receiver = new Receiver();
  receiver.answer = answersOf();
  const rows = rowsOf(2);
  await using collector = await startOtlpReceiver();
  await using bus = await startLocalBus(configOf(rows, receiver, { otlp_url: collector.url }));
  await runRows({ ...await groundOf(bus, bus, receiver), collector }, rows);
});
