/**
 * The wall clock of a Shield is set back and forward by seconds and hours while it counts: the ledger of use has
 * what clients were acknowledged, once each. Real processes; the machine's own clock stays as it is.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startBusWith } from "./harness/bus.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";
import { createWallClock, type WallClock } from "./wall_clock.ts";

const CONFIG = "[usage]\nenabled = true\nflush_ms = 50\n";
/** Each is followed by the way back. */
const STEPS_S = [-2, 2, -20, 20, -7_200, 7_200];
const MESSAGES = 10;
/** For tokens that outlast the steps. */
const DAY_S = 86_400;

async function publish(client: RawClient): Promise<void> {
  for (let at = 0; at < MESSAGES; at++) {
    client.send({ op: "pub", room: "hall", type: "t", id: 1 });
    for (;;) {
      const answer = await client.json();
      if (answer.op !== "ack") continue;
      assert.equal(answer.code, 0);
      break;
    }
  }
}

/** Counts at each clock, and asks with and without a beginning. */
async function check(
  clock: WallClock,
  client: RawClient,
  admin_url: string,
  token: string,
): Promise<void> {
  const began_ms = Date.now() - 3 * 3_600_000;
  const ask = async (query: string) => {
    const url = `${admin_url}/v1/usage${query}`;
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    assert.equal(answer.status, 200);
    return await answer.json();
  };
  const opened_ms = performance.now();
  let sent = 0;
  for (const ahead_s of [0, ...STEPS_S.flatMap((step_s) => [step_s, 0])]) {
    await clock.set(ahead_s);
    await publish(client);
    sent += MESSAGES;
    for (const query of ["", "?since_ms=0", `?since_ms=${began_ms}`]) {
      let answer = await ask(query);
      const told = () =>
        `${answer.total.messages_in} of ${sent} at ${ahead_s} s, asked with "${query}"`;
      await until(told, async () => {
        answer = await ask(query);
        return answer.total.messages_in === sent;
      });
      assert.deepEqual([answer.lost, answer.damaged], [[], 0]);
    }
  }
  const { total: { connection_minutes } } = await ask("");
  const most_minutes = (performance.now() - opened_ms) / 60_000 + 1;
  assert.ok(connection_minutes < most_minutes, `${connection_minutes} minutes of a connection`);
}

Deno.test("usage, embedded: a wall clock that is set loses no message and counts none twice", async () => {
  const dir = await Deno.makeTempDir({ prefix: "arqon-clock-" });
  try {
    const clock = await createWallClock(dir);
    if (clock === undefined) return;
    const env = Object.entries(clock.env).map(([name, value]) => `${name}=${value}`);
    await using bus = await startBusWith(CONFIG, ["env", ...env]);
    using client = await openText(bus.url, await bus.tokenFor({ ttl_seconds: DAY_S }));
    const admin = { role: "admin", user: "root", ttl_seconds: DAY_S } as const;
    await check(clock, client, bus.admin_url, await bus.tokenFor(admin));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("usage, NATS: a Shield whose wall clock is set loses no message and counts none twice", async () => {
  await using issuer = await createIssuer();
  const clock = await createWallClock(issuer.dir);
  if (clock === undefined) return;
  await using nats = await startNats({ jetstream: true });
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n${CONFIG}`;
  const lines = "drain_ms = 0";
  await using set = await startServer(
    ...(["shield", config, issuer.dir, lines, 0, [], "", "", clock.env] as const),
  );
  const url = `${set.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  const exp = Math.floor(Date.now() / 1_000) + DAY_S;
  using client = await openText(url, await issuer.tokenFor({ exp }));
  const token = await issuer.tokenFor({ role: "admin", sub: "root", exp });
  await check(clock, client, set.ready.admin_url ?? "", token);
});
