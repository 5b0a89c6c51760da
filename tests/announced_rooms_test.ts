/**
 * Publishes of a connection while its Shield loses its connection to NATS: a refused message is never delivered behind
 * newer ones. Real NATS, real Shields and Brains, a TCP proxy between. The focus `rooms` of `walks/` tests changes of
 * rooms over disconnected Brains and Shields.
 */
import assert from "node:assert/strict";
import { type ArqonError, connect, type Message } from "../sdk/typescript/mod.ts";
import { pace } from "../shared/testing/pace.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const DEADLINE_MS = 90_000;
/** Between two changes. */
const PACE_MS = 10;
const CLASSES = `
${durableRooms("log-*")}
[limits]
messages_per_second = 10_000
#constant limits.command_timeout_ms = 2_500
`;

type Connection = Awaited<ReturnType<typeof connect>>;

/** Processes on one NATS, each reached at a given address. */
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

Deno.test("a publish that was refused with 503 never arrives after newer ones of its connection", async () => {
  await using nats = await startNats({ jetstream: true });
  await using proxy = startTcpProxy(Number(new URL(nats.url).port));
  await using world = await startWorld(nats.url);
  await world.brain();
  const near = await world.shield();
  const far = await world.shield(`nats://127.0.0.1:${proxy.port}`);
  const received: (number | "GAP")[] = [];
  const receive = (message: Message) => {
    if (message.signal !== undefined) received.push("GAP");
    else if (message.type === "n") received.push(message.json<number>());
  };
  await (await world.client(near, "ann")).room("lobby").listen(receive).ready;
  const bob = (await world.client(far, "bob")).room("lobby");
  const acknowledged: number[] = [];
  const refused: string[] = [];
  const requests: Promise<void>[] = [];
  let over = false;
  const publishing = (async () => {
    for (let number = 0; !over; number++) {
      const noteRefusal = (error: unknown) => void refused.push((error as ArqonError).reason);
      requests.push(
        bob.publish("n", number).then(() => void acknowledged.push(number), noteRefusal),
      );
      await pace(PACE_MS);
    }
  })();
  await until("messages arrive", () => received.length > 50, DEADLINE_MS);
  // Messages on this connection stay in the proxy; the Shield abandons it and opens another.
  proxy.pausePresent();
  await until("publishes are refused", () => refused.length > 50, DEADLINE_MS);
  const before = received.length;
  await until("messages arrive again", () => received.length > before + 100, DEADLINE_MS);
  proxy.resume();
  await until("and go on", () => received.length > before + 300, DEADLINE_MS);
  over = true;
  await publishing;
  await Promise.all(requests);
  const last = acknowledged.at(-1);
  await until(
    "the last one is received",
    () => last !== undefined && received.includes(last),
    DEADLINE_MS,
  );
  assert.ok(refused.includes("spine-unavailable"), [...new Set(refused)].join());
  const numbers = received.filter((item) => item !== "GAP");
  assert.deepEqual(numbers, numbers.toSorted((one, other) => one - other));
  assert.equal(new Set(numbers).size, numbers.length, "once each");
  const missing = acknowledged.filter((number) => !numbers.includes(number));
  assert.deepEqual(missing, [], "what was acknowledged is heard");
});
