/** A tenth of the rows of `triples.ts`, a different one for each commit. */
import { commit } from "../../bench/measure/scenario.ts";
import { runTriples } from "./triples.ts";

Deno.test("each triple of capabilities does what the model of the bus says, a tenth of them by commit", async () => {
  const tenth = Number.parseInt((await commit()).slice(0, 8), 16);
  await runTriples(Number.isNaN(tenth) ? 0 : tenth, console.log);
});
