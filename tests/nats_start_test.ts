/** What a Shield says when its NATS server is not what it needs. Real processes. */
import assert from "node:assert/strict";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";

Deno.test("a Shield whose NATS has no JetStream does not start, and names the setting", async () => {
  const issuer = await createIssuer();
  try {
    await using server = await startNats();
    const config = `${issuer.config}\n[nats]\nurls = ["${server.url}"]\n`;
    await assert.rejects(startServer("shield", config, issuer.dir), (error) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, /ended before it was ready/);
      assert.match(error.message, /JetStream is not enabled on the NATS server 127\.0\.0\.1:\d+/);
      assert.match(error.message, /jetstream \{ store_dir: /);
      assert.match(error.message, /--jetstream/);
      return true;
    });
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
});
