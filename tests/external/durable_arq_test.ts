/**
 * `arq pub --ndjson` of real events into a durable room while subscribers and the Shield are killed.
 * Needs the data folder: `deno task test:external DIR`, which becomes `Deno.args[0]`.
 */
import assert from "node:assert/strict";
import { durableWalk } from "../durable_arq.ts";

const DATA = Deno.args[0];

Deno.test("real events come whole and in order out of a durable room, whoever is killed", async () => {
  assert(DATA !== undefined, "run this with `deno task test:external DIR`");
  await durableWalk(await Deno.readTextFile(`${DATA}/events/events.ndjson`), 40);
});
