/** The show of deltas in short; `deno task test:deltas` has it with a million messages. */
import assert from "node:assert/strict";
import { show } from "./delta_show/show.ts";

Deno.test("many receivers, over real sockets that lose frames and connections: their bytes are the publisher's", async () => {
  const messages = Number(Deno.env.get("DELTA_MESSAGES") ?? 4_000);
  const outcomes = await show(messages, 29, messages > 4_000 ? console.log : undefined);
  if (messages > 4_000) console.table(outcomes);
  const lossy = outcomes.filter(({ gaps }) => gaps > 0);
  assert.ok(lossy.length >= 5, "some lose messages, and are told so");
  const slow = outcomes.filter(({ name }) => name.startsWith("slow"));
  assert.deepEqual(slow.filter(({ missed }) => missed === 0), [], "each slow one misses some");
});
