/**
 * The wall clock of a Shield on NATS is hours ahead of its server's or of another Shield's, or behind: a journal is asked
 * by the Shield's times, and has what was decided in them; `why` is asked by those of the Shield that answers. Real
 * processes; the machine's own clock stays as it is.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { createWallClock } from "./wall_clock.ts";

const CONFIG = `
[journal]
journal = "all"
#constant journal.flush_ms = 50
`;
const MINUTE_MS = 60_000;
const AHEAD_S = [7_200, -7_200];
/** For tokens that outlast the steps. */
const DAY_S = 86_400;

Deno.test("NATS: a journal is found by the times of a Shield whose clock is not the server's", async () => {
  await using issuer = await createIssuer();
  const clock = await createWallClock(issuer.dir);
  if (clock === undefined) return;
  await using nats = await startNats({ jetstream: true });
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n${CONFIG}`;
  await using shield = await startServer(
    ...(["shield", config, issuer.dir, "drain_ms = 0", 0, [], "", "", clock.env] as const),
  );
  const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  const exp = Math.floor(Date.now() / 1_000) + DAY_S;
  const token = await issuer.tokenFor({ role: "admin", sub: "root", exp });
  using client = await openText(url, await issuer.tokenFor({ exp }));
  const ask = async (query: string) => {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(`${shield.ready.admin_url}/v1/journal?${query}`, { headers });
    assert.equal(answer.status, 200);
    return await answer.text();
  };
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

Deno.test("NATS: why is asked by the clock of the Shield that answers, also of those with other clocks", async () => {
  await using issuer = await createIssuer();
  const clock = await createWallClock(issuer.dir);
  if (clock === undefined) return;
  await using nats = await startNats({ jetstream: true });
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n`;
  const start = (env = {}) =>
    startServer(
      ...(["shield", config, issuer.dir, "drain_ms = 0", 0, [], "", "", env] as const),
    );
  const exp = Math.floor(Date.now() / 1_000) + DAY_S;
  const token = await issuer.tokenFor({ role: "admin", sub: "root", exp });
  await using one = await start();
  for (const began_s of AHEAD_S) {
    await clock.set(began_s);
    await using two = await start(clock.env);
    const shields = [one, two];
    const open = (sub: string) =>
      Promise.all(shields.map(async ({ ready }, at) => {
        const url = `${ready["url"]?.replace(/^http/, "ws")}/v1/socket`;
        return await openText(url, await issuer.tokenFor({ sub: `${sub}-${at}`, exp }));
      }));
    const ask_why = (at: number, query: string) =>
      new AdminClient(shields[at]?.ready["admin_url"] ?? "", token).read(`/v1/why?${query}`);
    // As it began, and set the other way while it runs.
    for (const ahead_s of [began_s, -began_s]) {
      await clock.set(ahead_s);
      const room = `room:${began_s}:${ahead_s}`;
      const [readers, writers] = [await open("reader"), await open("writer")];
      for (const reader of readers) await ask(reader, { op: "sub", room });
      for (const writer of writers) await ask(writer, { op: "pub", room, type: "t" });
      for (const reader of readers) {
        for (const _ of writers) {
          await until("it is heard", async () => (await reader.json()).op === "msg");
        }
      }
      // After its subscription, not before its connection.
      const message_id = `after ${room}`;
      await ask(readers[1]!, { op: "unsub", room });
      await ask(writers[0]!, { op: "pub", room, type: "t", message_id });
      await until("it is heard", async () => (await readers[0]!.json()).op === "msg");
      for (const at of shields.keys()) {
        const since_ms = Date.now() + (at === 1 ? 1_000 * ahead_s : 0) - MINUTE_MS;
        const of = `asked at ${at}: ${room}`;
        for (const user of ["reader-0", "reader-1"]) {
          const query = `user=${user}&room=${room}&since_ms=${since_ms}`;
          const { connections: [{ room: { due, sent } }] } = await ask_why(at, query);
          const heard = user === "reader-0" ? 3 : 2;
          assert.deepEqual({ due, sent }, { due: heard, sent: heard }, `${of} ${user}`);
        }
        const query = `user=reader-1&message_id=${encodeURIComponent(message_id)}`;
        const { connections: [{ outcomes: [{ state, why }] }] } = await ask_why(at, query);
        assert.ok(state === "not_subscribed" || why === "edge", `${of}: ${state} ${why}`);
      }
      for (const client of [...readers, ...writers]) client[Symbol.dispose]();
    }
  }
});
