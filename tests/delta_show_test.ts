/** The show of deltas in short, on both engines; `deno task test:deltas` has it with a million messages. */
import assert from "node:assert/strict";
import { show } from "./delta_show/show.ts";
import type { ShowOptions } from "./delta_show/show.ts";
import { startNats } from "./harness/nats_server.ts";

const SHORT = 4_000;

async function showing(options: ShowOptions): Promise<void> {
  const outcomes = await show(options);
  if (options.messages > SHORT) console.table(outcomes);
  // How many frames there are to lose is the machine's to say; how much slow readers miss is not.
  const lossy = outcomes.filter(({ gaps }) => gaps > 0);
  assert.ok(lossy.length >= 2, "some lose messages, and are told so");
  const slow = outcomes.filter(({ name }) => name.startsWith("slow"));
  assert.deepEqual(slow.filter(({ missed }) => missed === 0), [], "each slow one misses some");
}

Deno.test("many receivers, over real sockets that lose frames and connections: their bytes are the publisher's", async () => {
  const messages = Number(Deno.env.get("DELTA_MESSAGES") ?? SHORT);
  await showing({ messages, seed: 29, ...messages > SHORT && { tell: console.log } });
});

Deno.test("on NATS, too, the bytes of many receivers are the publisher's", async () => {
  await using nats = await startNats({ jetstream: true });
  await showing({ messages: SHORT, seed: 30, nats_url: nats.url });
});
