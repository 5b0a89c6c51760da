/**
 * The rows of `together_test.ts` as a program for `planted.ts`, which names a plant: it ends with the first wrong row,
 * and those that are near the plant run first.
 */
import { startLocalBus } from "../harness/local_bus.ts";
import { Receiver } from "../hooks/receiver.ts";
import { startOtlpReceiver } from "../otlp/receiver.ts";
import { rowsOf } from "./factors.ts";
import { readPlants } from "./plants.ts";
import { answersOf, configOf, groundOf, runRows } from "./run.ts";

if (import.meta.main) {
  await using receiver = new Receiver();
  receiver.answer = answersOf();
  const [name] = Deno.args;
  const near = (await readPlants()).find((plant) => plant.name === name)?.near ?? (() => true);
  const all = rowsOf(2);
  const rows = [...all.filter(near), ...all.filter((row) => !near(row))];
  await using collector = await startOtlpReceiver();
  await using bus = await startLocalBus(configOf(rows, receiver, { otlp_url: collector.url }));
  try {
    const ground = { ...await groundOf(bus, bus, receiver), collector };
    await runRows(ground, rows, { wrong: 1, shrinks: 0 });
  } catch (error) {
    // A run that hangs is not awaited.
    console.error(error);
    Deno.exit(1);
  }
}
