/** A tenth of the rows of `triples.ts`, a different one for each commit. */
import { commit } from "../../bench/measure/scenario.ts";
import { runTriples } from "./triples.ts";

Deno.test("each triple of capabilities behaves as the model of the bus, a tenth of them by commit", async () => {
  const tenth = Number.parseInt((await commit()).slice(0, 8), 16);
  await runTriples(Number.isNaN(tenth) ? 0 : tenth, console.log);
});
