/**
 * Random schedules of Shields, Brains, clients and faults: after the faults everybody agrees with the truth, and no
 * client ever got wrong information (`play.ts`, `viewer.ts`). A failing seed is printed with its schedule, minimized.
 * `long_test.ts` runs ten times as many.
 */
import { requireConverging } from "./on_threads.ts";

Deno.test("presence converges, and nobody gets wrong information, in 1,000 random schedules", async () => {
  await requireConverging(1_000);
});
