/**
 * Whoever stays subscribed hears of every change of a room's state, or of a GAP where one is missing:
 * also over a Shield that was cut off. Real NATS, real Shields and Brains, a TCP proxy between. Brains that are
 * killed, stopped and cut off while rooms change are the focus `rooms` of `walks/`.
 */
import assert from "node:assert/strict";
import { type ArqonError, connect } from "../sdk/typescript/mod.ts";
import type { Message } from "../sdk/typescript/mod.ts";
import type { RoomEvent } from "@arqon/sdk/state";
import { roomState } from "@arqon/sdk/state";
import { pace } from "../shared/testing/pace.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { startPausingProxy } from "./harness/pausing_proxy.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";

const DEADLINE_MS = 90_000;
/** Between two changes. */
const PACE_MS = 10;
const CLASSES = `
[[rooms]]
room = "log-*"
durable = true
[limits]
messages_per_second = 10_000
#constant limits.command_timeout_ms = 2_500
`;

type Connection = Awaited<ReturnType<typeof connect>>;

/** A world of processes on one NATS, each reached by the address that it is given. */
async function startWorld(nats_url: string) {
  const issuer = await createIssuer();
  const stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(issuer.dir, { recursive: true }));
  const config = (url: string) => `[nats]\nurls = ["${url}"]\n${issuer.config}\n${CLASSES}`;
  return {
    brain: async (url = nats_url, lines = "") =>
      stack.use(await startServer("brain", config(url), issuer.dir, lines)),
    shield: async (url = nats_url) =>
      stack.use(await startServer("shield", config(url), issuer.dir, "drain_ms = 0")),
    client: async ({ ready }: ServerProcess, sub: string): Promise<Connection> => {
      const token = await issuer.tokenFor({ sub });
      return stack.use(await connect({ url: ready.url ?? "", token, request_timeout_ms: 4_000 }));
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** What a loop of the SDK, with what it fetches by itself, hears of a room. */
async function listen(client: Connection, room_id: string) {
  const reasons: string[] = [];
  const versions: number[] = [];
  const hear = (message: Message) => {
    if (message.signal !== undefined) reasons.push(message.signal.reason);
    if (message.type !== "ROOM_UPDATE") return;
    versions.push(message.json<RoomEvent>().version);
  };
  const room = client.room(room_id);
  roomState(room); // the loop misses no change
  await room.listen(hear).ready;
  return { reasons, versions };
}

/** That every version comes once and in order, from the first that was heard to `last`. */
function assertAll(versions: readonly number[], last: number): void {
  const [first = 0] = versions;
  assert.deepEqual(versions, Array.from({ length: last + 1 - first }, (_, at) => first + at));
}

Deno.test("what a Shield misses while it is cut off its clients hear of, in durable rooms, too", async () => {
  await using nats = await startNats({ jetstream: true });
  await using proxy = startTcpProxy(Number(new URL(nats.url).port));
  await using world = await startWorld(nats.url);
  await world.brain();
  const near = await world.shield();
  const cut = await world.shield(`nats://127.0.0.1:${proxy.port}`);
  const ann = await world.client(cut, "ann");
  const rooms = ["lobby", "log-1", "silent"];
  const listeners = await Promise.all(rooms.map((room_id) => listen(ann, room_id)));
  const [lobby, log, silent] = listeners as [typeof listeners[0], ...typeof listeners];
  const bob = await world.client(near, "bob");
  const set = async (room_id: string, count: number) => {
    let version = 0;
    for (let value = 0; value < count; value++) {
      version = (await roomState(bob.room(room_id)).set("k", value)).version;
    }
    return version;
  };
  await set("lobby", 3);
  await set("log-1", 3);
  await until(
    "both are heard",
    () => lobby.versions.length + log!.versions.length === 6,
    DEADLINE_MS,
  );
  await proxy.cut();
  const [of_lobby, of_log, of_silent] = [
    await set("lobby", 3),
    await set("log-1", 3),
    await set("silent", 3),
  ];
  proxy.restore();
  // Nothing changes any more: what shows the loss is what Brains say again.
  await until(
    "the last changes are heard",
    () =>
      lobby.versions.at(-1) === of_lobby && log!.versions.at(-1) === of_log &&
      silent!.versions.at(-1) === of_silent,
    DEADLINE_MS,
  );
  assertAll(lobby.versions, of_lobby);
  assertAll(log!.versions, of_log);
  assert.deepEqual([lobby.versions.length, log!.versions.length], [6, 6]);
  assert.deepEqual(lobby.reasons[0], "reconnect");
  assert.deepEqual(log!.reasons, ["changes-lost"]);
  assert.equal(silent!.reasons[0], "reconnect");
  const last = await set("log-1", 1);
  await until("and it goes on", () => log!.versions.at(-1) === last, DEADLINE_MS);
});

Deno.test("a publish that was refused with 503 never comes behind newer ones of its connection", async () => {
  await using nats = await startNats({ jetstream: true });
  await using proxy = startPausingProxy(Number(new URL(nats.url).port));
  await using world = await startWorld(nats.url);
  await world.brain();
  const near = await world.shield();
  const far = await world.shield(`nats://127.0.0.1:${proxy.port}`);
  const heard: (number | "GAP")[] = [];
  const hear = (message: Message) => {
    if (message.signal !== undefined) heard.push("GAP");
    else if (message.type === "n") heard.push(message.json<number>());
  };
  await (await world.client(near, "ann")).room("lobby").listen(hear).ready;
  const bob = (await world.client(far, "bob")).room("lobby");
  const acknowledged: number[] = [];
  const refused: string[] = [];
  const asked: Promise<void>[] = [];
  let over = false;
  const publishing = (async () => {
    for (let number = 0; !over; number++) {
      const noteRefusal = (error: unknown) => void refused.push((error as ArqonError).reason);
      asked.push(bob.publish("n", number).then(() => void acknowledged.push(number), noteRefusal));
      await pace(PACE_MS);
    }
  })();
  await until("messages come", () => heard.length > 50, DEADLINE_MS);
  // What this connection sends stays in the proxy; the Shield gives it up and makes another one.
  proxy.pausePresent();
  await until("publishes are refused", () => refused.length > 50, DEADLINE_MS);
  const before = heard.length;
  await until("messages come again", () => heard.length > before + 100, DEADLINE_MS);
  proxy.resume();
  await until("and go on", () => heard.length > before + 300, DEADLINE_MS);
  over = true;
  await publishing;
  await Promise.all(asked);
  const last = acknowledged.at(-1);
  await until(
    "the last one is heard",
    () => last !== undefined && heard.includes(last),
    DEADLINE_MS,
  );
  assert.ok(refused.includes("spine-unavailable"), [...new Set(refused)].join());
  const numbers = heard.filter((item) => item !== "GAP");
  assert.deepEqual(numbers, numbers.toSorted((one, other) => one - other));
  assert.equal(new Set(numbers).size, numbers.length, "once each");
  const missing = acknowledged.filter((number) => !numbers.includes(number));
  assert.deepEqual(missing, [], "what was acknowledged is heard");
});
