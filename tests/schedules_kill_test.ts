/**
 * Schedules across SIGKILL of an embedded bus, which is down at some due times: each due time is in the room's log
 * once. `shield/schedules/schedules_test.ts` has Shields that vanish at any moment.
 */
import assert from "node:assert/strict";
import { atEnd } from "../shared/testing/at_end.ts";
import { until } from "../shared/testing/until.ts";
import { freePort } from "./harness/free_ports.ts";
import { initFolder, startServe, tokenOf } from "./harness/serve_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const ROOM = "log-1";
const EVERY_MS = 1_000;
const TABLES = `
[[rooms]]
room = "log-*"
durable = true
history_size = 10_000
[journal]
journal = "all"
`;

/** Resolves when the journal has published times of a schedule; its only holes are those of killed Shields. */
async function journalled(admin: AdminClient, tenant: string, schedule_id: string) {
  await until(
    "times are in the journal",
    async () =>
      (await admin.decisions(tenant)).some(({ message_id, allowed, terms }) =>
        allowed && message_id?.startsWith(`${schedule_id}.`) === true &&
        terms?.credential.issuer === "arqon:schedule"
      ),
  );
}

const tick = (room: string) => ({ room, message: { type: "tick", data: { n: 1 } } });

/** The due times of a schedule in the order of the room's log, Unix ms. */
async function timesIn(peer: HttpPeer, schedule_id: string): Promise<number[]> {
  const times: number[] = [];
  for (let after = 0;;) {
    const { status, body } = await peer.call(
      "GET",
      `rooms/${ROOM}/messages?limit=1000&after=${after}`,
    );
    assert.equal(status, 200, JSON.stringify(body));
    for (const { message_id, offset } of body.messages) {
      after = offset;
      const [id, time] = String(message_id).split(".");
      if (id === schedule_id) times.push(Number(time));
    }
    if (!body.more) return times;
  }
}

/** Each due time once, none missing, in order. */
function assertWhole(times: readonly number[]): void {
  const [first = 0] = times;
  assert.deepEqual(times, times.map((_, at) => first + EVERY_MS * at));
}

Deno.test("due times at which an embedded bus was down are published once when it has restarted", async () => {
  const port = freePort();
  await using folder = await initFolder(TABLES, port);
  const root = await tokenOf(folder.path, "admin");
  const peer = new HttpPeer(`http://127.0.0.1:${port}`, await tokenOf(folder.path, "user"));
  const path = "/v1/tenants/default/schedules/kept";
  let bus = await startServe(folder.path);
  await using _end = atEnd(() => bus.stop());
  const admin = new AdminClient(bus.admin_url, root);
  const set = await admin.ask("PUT", path, { ...tick(ROOM), every_ms: EVERY_MS });
  assert.equal(set.status, 200, JSON.stringify(set.body));
  const nobody = await admin.ask("PUT", path, { ...tick(ROOM), every_ms: EVERY_MS, user: "a\n" });
  assert.equal(nobody.status, 400, JSON.stringify(nobody.body));
  await until("the first", async () => (await timesIn(peer, "kept")).length > 1);
  await bus.stop("SIGKILL");
  await new Promise((resolve) => setTimeout(resolve, 2 * EVERY_MS));
  bus = await startServe(folder.path);
  const since_ms = Date.now();
  await until(
    "it continues",
    async () => (await timesIn(peer, "kept")).some((at) => at > since_ms),
  );
  assertWhole(await timesIn(peer, "kept"));
  await journalled(new AdminClient(bus.admin_url, root), "default", "kept");
});
