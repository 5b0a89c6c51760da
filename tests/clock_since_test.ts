/**
 * The wall clock of a Shield on NATS is hours ahead of its server's, or behind: a journal is queried by the Shield's
 * times, and returns the decisions within them. Real processes; the machine's own clock is unchanged.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { openText } from "./peers/raw_client.ts";
import { createWallClock } from "./wall_clock.ts";
import { AdminClient } from "./peers/admin_client.ts";

const CONFIG = `
[journal]
journal = "all"
#constant journal.flush_ms = 50
`;
const MINUTE_MS = 60_000;
const AHEAD_S = [7_200, -7_200];
/** For tokens that outlast the steps. */
const DAY_S = 86_400;

Deno.test("NATS: a journal is found by the times of a Shield whose clock differs from the server's", async () => {
  await using issuer = await createIssuer();
  const clock = await createWallClock(issuer.dir);
  if (clock === undefined) return;
  await using nats = await startNats({ jetstream: true });
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n${CONFIG}`;
  const { env } = clock;
  await using shield = await startServer("shield", config, issuer.dir, "drain_ms = 0", { env });
  const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  const exp = Math.floor(Date.now() / 1_000) + DAY_S;
  const token = await issuer.tokenFor({ role: "admin", sub: "root", exp });
  using client = await openText(url, await issuer.tokenFor({ exp }));
  const admin = new AdminClient(shield.ready.admin_url ?? "", token);
  const ask = async (query: string) => (await admin.get(`/v1/journal?${query}`)).text;
  const of = "tenant=acme&limit=1000";
  for (const ahead_s of AHEAD_S) {
    await clock.set(ahead_s);
    const message_id = `at-${ahead_s}`;
    client.send({ op: "pub", room: "hall", type: "t", id: 1, message_id });
    await until("it is decided", async () => (await client.json()).op === "ack");
    await until("it is stored", async () => (await ask(`${of}&since_ms=0`)).includes(message_id));
    const now_ms = Date.now() + 1_000 * ahead_s;
    const span = `since_ms=${now_ms - 5 * MINUTE_MS}&until_ms=${now_ms + 5 * MINUTE_MS}`;
    for (const query of [span, `${span}&newest=1`]) {
      assert.match(await ask(`${of}&${query}`), new RegExp(message_id), `${query} at ${ahead_s}`);
    }
  }
});
