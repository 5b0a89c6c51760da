/** The random schedules of `simulation_test.ts`, ten times as many: one of the slow tests. */
import { requireConverging } from "./on_threads.ts";

Deno.test("presence converges, and nobody gets wrong information, in 10,000 random schedules", async () => {
  await requireConverging(10_000);
});
