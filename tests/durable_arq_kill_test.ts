/**
 * `arq sub --from` over the death of everything but NATS: its own, again and again, and the Shield's.
 * With real events it is `external/durable_arq_test.ts`.
 */
import { durableWalk } from "./durable_arq.ts";

Deno.test("a killed subscriber goes on where it was, over kills of the Shield, and misses nothing", async () => {
  const lines = Array.from(
    { length: 600 },
    (_, n) => `{ "n":${n}, "big": 1234567890123456789${n}, "text":"${"x".repeat(n % 300)}" }`,
  );
  await durableWalk(`${lines.join("\n")}\n`, 75);
});
