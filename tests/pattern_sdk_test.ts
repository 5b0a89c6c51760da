/**
 * The SDK on patterns of durable rooms, on a real bus whose connections are repeatedly cut while messages arrive, over
 * WebSocket and over HTTP. `patterns_test.ts` tests the Shield.
 */
import assert from "node:assert/strict";
import { connect, type Message } from "@arqon/sdk";
import { connect as connectAtPositions } from "@arqon/sdk/patterns";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = durableRooms("log-*", "history_size = 10_000") +
  durableRooms("short-*", "history_size = 2");

/** What an iteration has returned: data by room, and the gaps by room. */
class Got {
  readonly data = new Map<string, unknown[]>();
  readonly gaps: string[] = [];
  count = 0;

  async read(loop: AsyncIterable<Message>): Promise<void> {
    for await (const message of loop) {
      if (message.signal !== undefined) {
        this.gaps.push(`${message.room} ${message.signal.reason}`);
        continue;
      }
      const all = this.data.get(message.room) ?? [];
      this.data.set(message.room, all);
      all.push(message.json());
      this.count++;
    }
  }
}

const ROOMS = Array.from({ length: 8 }, (_, at) => `log-${at}`);
const TURNS = 10, EACH = 12;

async function overDrops(bus: TestBus, transport: "websocket" | "http"): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(bus.http_url).port));
  const prefix = `${transport}-`;
  const rooms = ROOMS.map((room) => room.replace("log-", `log-${prefix}`));
  await using bob = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
  await using ann = await connectAtPositions({
    url: `http://127.0.0.1:${proxy.port}`,
    token: bus.token,
    transport,
    backoff: { base_ms: 1, max_ms: 20 },
  });
  const loop = ann.room(`log-${prefix}*`).subscribe();
  await loop.ready;
  const got = new Got();
  const reading = got.read(loop);
  const publish = (n: number) => Promise.all(rooms.map((room) => bob.room(room).publish("t", n)));
  let n = 0;
  await publish(n++);
  await until("each room has been received", () => got.count === rooms.length);
  for (let turn = 0; turn < TURNS; turn++) {
    for (let each = 0; each < EACH; each++) {
      // Messages in flight are lost, and those published meanwhile have no subscriber.
      if (each === EACH / 3) await proxy.cut();
      if (each === 2 * EACH / 3) proxy.restore();
      await publish(n++);
    }
    await until("it has arrived again", () => ann.status.state === "open");
  }
  await until(() => `${got.count} of ${n * rooms.length}`, () => got.count >= n * rooms.length);
  const all = Array.from({ length: n }, (_, at) => at);
  for (const room of rooms) assert.deepEqual(got.data.get(room), all, room);
  assert.ok(got.gaps.length >= TURNS);
  assert.deepEqual([...new Set(got.gaps)], [`log-${prefix}* reconnect`]);
  loop.close();
  await reading;
}

/**
 * Missed messages are gone: only that room gets a GAP. With more rooms than the bus accepts positions of: the newest.
 */
async function notified(bus: TestBus): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(bus.http_url).port));
  await using bob = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
  await using ann = await connectAtPositions({
    url: `http://127.0.0.1:${proxy.port}`,
    token: bus.token,
    backoff: { base_ms: 1, max_ms: 20 },
  });
  const loop = ann.room("*").subscribe();
  await loop.ready;
  const got = new Got();
  const reading = got.read(loop);
  const publish = async (room: string, n: number) => void await bob.room(room).publish("t", n);
  for (let at = 0; at < 70; at++) await publish(`log-many-${at}`, 1);
  await publish("short-1", 1);
  await publish("short-2", 1);
  await until("all were received", () => got.count === 72);
  await proxy.cut();
  for (const n of [2, 3, 4, 5]) await publish("short-1", n);
  await publish("log-many-69", 2);
  proxy.restore();
  await until("the missed messages", () => (got.data.get("log-many-69")?.length ?? 0) === 2);
  await until("the gap", () => got.gaps.length === 2);
  assert.deepEqual(got.gaps, ["* reconnect", "short-1 history-trimmed"]);
  await publish("short-1", 6);
  await until("it continues", () => got.data.get("short-1")?.at(-1) === 6);
  assert.deepEqual(got.data.get("short-1"), [1, 6]);
  assert.deepEqual(got.data.get("short-2"), [1]);
  loop.close();
  await reading;
}

Deno.test("patterns over drops: each message of each durable room once and in order", async (t) => {
  await using bus = await startLocalBus(CONFIG, {
    constants: { limits: { pattern_positions: 50 } },
  });
  await t.step("over WebSocket", () => overDrops(bus, "websocket"));
  await t.step("over HTTP", () => overDrops(bus, "http"));
  await t.step("a loss is reported for its room", () => notified(bus));
});
