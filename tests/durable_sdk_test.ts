// The SDK in durable rooms of a real bus: connections that are cut, programs that come back, a log
// that is no longer the same. What follows from each answer: `sdk/conformance`, `sdk/typescript/durable`.
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import type { Connection, ConnectOptions, Message, Position, Subscription } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import type { TcpProxy } from "./harness/tcp_proxy.ts";

const DEADLINE_MS = 30_000;
const CONFIG = `
[[rooms]]
room = "orders-*"
durable = true
`;

/** A bus, and a way to it that can be cut. */
interface Way {
  readonly bus: TestBus;
  readonly proxy: TcpProxy;
  /** Straight to the bus. */
  straight(): Promise<Connection>;
  /** By the proxy. */
  shaky(options?: Partial<ConnectOptions>): Promise<Connection>;
}

function wayTo(bus: TestBus, proxy: TcpProxy): Way {
  const { url, token } = bus;
  const quick = { backoff: { base_ms: 5, max_ms: 50 }, token };
  return {
    bus,
    proxy,
    straight: () => connect({ ...quick, url }),
    shaky: (options) => connect({ ...quick, url: `ws://127.0.0.1:${proxy.port}`, ...options }),
  };
}

async function next(messages: Subscription): Promise<Message> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const { room, offset, epoch, recovered } = messages;
  const where = JSON.stringify({ room, offset, epoch, recovered });
  const timer = setTimeout(() => reject(new Error(`nothing comes after ${where}`)), DEADLINE_MS);
  try {
    const { value } = await Promise.race([messages.next(), late]);
    assert.ok(value !== undefined, "the loop ended");
    return value;
  } finally {
    clearTimeout(timer);
  }
}

async function take(messages: Subscription, count: number): Promise<Message[]> {
  const taken: Message[] = [];
  while (taken.length < count) taken.push(await next(messages));
  return taken;
}

const numbers = (messages: readonly Message[]) =>
  messages.map((message) => message.signal?.reason ?? message.json());
const upTo = (count: number, from = 0) => Array.from({ length: count }, (_, at) => from + at);

/** Publishes so that a refusal is repeated: on a busy machine NATS may answer too late. */
const say = (speaker: Connection, room: string, data: number | string) =>
  speaker.room(room).publish("n", data, {
    message_id: `${room}.${data}`,
    timeout_ms: 2 * DEADLINE_MS,
  });

async function publishAll(speaker: Connection, room: string, count: number, from = 0) {
  const acks = await Promise.all(upTo(count, from).map((n) => say(speaker, room, n)));
  return acks.map(({ offset }) => offset);
}

async function cutAgainAndAgain({ proxy, straight, shaky }: Way): Promise<void> {
  await using speaker = await straight();
  await using listener = await shaky();
  const room = listener.room("orders-1");
  using messages = room.subscribe();
  await messages.ready;
  assert.ok(messages.epoch !== undefined);
  const offsets: unknown[] = [];
  const heard: Message[] = [];
  for (let round = 0; round < 6; round += 1) {
    offsets.push(...await publishAll(speaker, "orders-1", 50, round * 100));
    await proxy.cut();
    offsets.push(...await publishAll(speaker, "orders-1", 50, round * 100 + 50));
    proxy.restore();
    // In odd rounds the next cut comes while the missed ones are on their way.
    heard.push(...await take(messages, round % 2 === 0 ? 100 - heard.length % 100 : 5));
  }
  heard.push(...await take(messages, 600 - heard.length));
  assert.deepEqual(numbers(heard), upTo(600));
  assert.deepEqual(heard.map(({ offset }) => offset), offsets);
  assert.equal(messages.recovered, true);
  assert.deepEqual(messages.position, { offset: offsets.at(-1), epoch: messages.epoch });
}

async function historyAndPlaces({ straight }: Way): Promise<void> {
  await using speaker = await straight();
  const room = speaker.room("orders-2");
  assert.deepEqual((await history(room)).messages, []);
  const data = new Uint8Array([0, 255, 10, 13]);
  const first = await room.publish("blob", data, { message_id: "m1", headers: { "X-Own": "yes" } });
  const same = await room.publish("blob", data, { message_id: "m1" });
  assert.equal(same.offset, first.offset);
  await publishAll(speaker, "orders-2", 9, 1);
  const page = await history(room, { limit: 4 });
  const [blob] = page.messages;
  assert.deepEqual([...blob!.data], [...data]);
  assert.deepEqual([blob!.offset, blob!.headers["X-Own"]], [first.offset, "yes"]);
  assert.deepEqual(numbers(page.messages.slice(1)), [1, 2, 3]);
  assert.equal(page.more, true);
  const newest = await history(room, { limit: 3, reverse: true });
  assert.deepEqual(numbers(newest.messages), [9, 8, 7]);
  assert.equal(newest.offset, newest.messages[0]!.offset);

  // Another program that knows a place goes on right after it, and from the beginning by the epoch.
  const { offset, epoch } = page.messages[2]!;
  const from = async (position: Position, count: number) => {
    await using connection = await straight();
    using messages = connection.room("orders-2").subscribe({ position });
    await messages.ready;
    assert.equal(messages.recovered, true);
    return (await take(messages, count)).map((message) => message.offset);
  };
  const all = (await history(room)).messages.map((message) => message.offset);
  assert.deepEqual(await from({ offset, epoch }, 7), all.slice(3));
  assert.deepEqual(await from({ offset: 0, epoch }, 10), all);
}

const STEPS: Readonly<Record<string, (way: Way) => Promise<void>>> = {
  "a connection that is cut again and again misses nothing": cutAgainAndAgain,
  "history has exact bytes, and any place in it is one to begin at": historyAndPlaces,
};

Deno.test("durable rooms by the SDK", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  for (const [what, step] of Object.entries(STEPS)) {
    // Each with a way of its own: one that fails may leave it cut.
    await using proxy = startTcpProxy(Number(new URL(bus.url).port));
    await t.step(what, () => step(wayTo(bus, proxy)));
  }
});

Deno.test("a log that is gone is a GAP: 'epoch-changed', and the loop goes on in the new one", async () => {
  await using first = await startLocalBus(CONFIG);
  const port = Number(new URL(first.url).port);
  await using proxy = startTcpProxy(port);
  await using listener = await wayTo(first, proxy).shaky();
  const room = listener.room("orders-1");
  using messages = room.subscribe();
  await messages.ready;
  for (const n of upTo(3)) await room.publish("n", n);
  assert.deepEqual(numbers(await take(messages, 3)), [0, 1, 2]);
  const { epoch } = messages;
  await first.stop();
  // In memory: the new bus has another log.
  await using _second = await startLocalBus(CONFIG, { ports: [port, 0, 0] });
  await room.publish("n", 3, { message_id: "m3", timeout_ms: 60_000 });
  assert.deepEqual(numbers(await take(messages, 2)), ["epoch-changed", 3]);
  assert.notEqual(messages.epoch, epoch);
});
