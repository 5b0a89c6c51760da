/** Requests without a token at a port that requires the ops token, besides a request that has it. */
import assert from "node:assert/strict";
import { until } from "../testing/until.ts";
import { listen } from "./listen.ts";
import { withOpsToken } from "./ops_token.ts";

Deno.test("a running request with the ops token does not count as a stranger", async () => {
  const asked = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  const handler = withOpsToken(async () => {
    asked.resolve();
    await answered.promise;
    return new Response("page");
  }, () => "secret");
  const ms = 60_000;
  const listener = listen({
    name: "ops",
    host: "127.0.0.1",
    port: 0,
    handler,
    limits: {
      strangers: 100,
      strangers_per_address: 2,
      descriptors: 100,
      head_ms: ms,
      body_ms: ms,
      idle_ms: ms,
      answer_ms: ms,
    },
  });
  const page = fetch(`${listener.url}/metrics`, { headers: { authorization: "Bearer secret" } });
  const text = page.then((response) => response.text(), String);
  await asked.promise;
  const idle = await Promise.all(
    Array.from({ length: 6 }, () => Deno.connect({ hostname: "127.0.0.1", port: listener.port })),
  );
  await until("strangers are ended", () => listener.stats.evicted.address >= 4);
  answered.resolve();
  assert.equal(await text, "page");
  for (const one of idle) one.close();
  await listener.close();
});
