/** What operators look at while things go wrong: a log that cannot be written, a scrape of what drains. */
import assert from "node:assert/strict";
import { connect } from "../sdk/typescript/mod.ts";
import { until } from "../shared/testing/until.ts";
import { startBus } from "./harness/bus.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { openText } from "./peers/raw_client.ts";

/** Runs the command after it with a stderr on which every write fails: no space left. */
const FULL_LOG = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"];

Deno.test("a log on a full disk stops nothing", async () => {
  await using bus = await startBus(["--no-watch"], false, FULL_LOG);
  const client = await connect({ url: bus.url, token: bus.token });
  const room = client.room("lobby");
  const messages = room.subscribe();
  await messages.ready;
  // A bad token is something to log; so is the end.
  const refused = await fetch(`${bus.http_url}/v1/auth/check`, {
    headers: { authorization: "Bearer nonsense" },
  });
  assert.equal(refused.status, 401);
  await refused.body?.cancel();
  await room.publish("chat", "still here");
  for await (const message of messages) {
    assert.equal(message.text(), "still here");
    break;
  }
  await client.close();
  assert.equal((await bus.stop()).code, 0);
});

Deno.test("a process that drains is scraped as before, live, and not ready", async () => {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  try {
    const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
    const server = 'node_id = "one"\ndrain_ms = 30_000\ndrain_timeout_ms = 90_000';
    const shield = await startServer("shield", config, issuer.dir, server);
    const ops = shield.ready.ops_url ?? "";
    const socket = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
    using client = await openText(socket, await issuer.tokenFor({ sub: "ann" }));
    const ended = shield.stop("SIGTERM");
    const get = async (path: string) => {
      const response = await fetch(`${ops}${path}`);
      return { status: response.status, text: await response.text() };
    };
    await until("not ready", async () => (await get("/health/ready")).status === 503);
    const page = await get("/metrics");
    assert.equal(page.status, 200);
    assert.match(page.text, /^shield_active_connections 1$/m);
    assert.equal((await get("/health/live")).status, 200);
    assert.equal(JSON.parse((await get("/health/ready")).text).checks.accepting.detail, "draining");
    client.socket.close(1000);
    assert.equal((await ended).code, 0);
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
});
