// Loops that begin with stored messages, on a real bus in one process. The configuration limits recovery by SUB, so
// that only the history can deliver stored messages.
import assert from "node:assert/strict";
import { startLocalBus, type TestBus } from "../../../tests/harness/local_bus.ts";
import { startTcpProxy } from "../../../tests/harness/tcp_proxy.ts";
import { connect, type Connection, type Message, type Room, type Subscription } from "../mod.ts";
import { replay, type ReplayOptions } from "../history.ts";
import { CLEAN } from "../testing/counted.ts";
import { refusedWith } from "../testing/scripted_peer.ts";

const CONFIG = `
[limits]
#constant limits.recovery_messages = 20
messages_per_second = 100_000

[[rooms]]
room = "kept-*"
durable = true
history_size = 10_000

[[rooms]]
room = "short-*"
durable = true
history_size = 5
`;

async function open(bus: TestBus, options = {}): Promise<Connection> {
  return await connect({ url: bus.url, token: bus.token, ...options });
}

/** Stores that many messages, with their numbers as data; returns their offsets. */
async function store(room: Room, count: number, first = 0): Promise<number[]> {
  const acks = await Promise.all(
    Array.from({ length: count }, (_, n) => room.publish("n", first + n)),
  );
  return acks.map(({ offset }) => Number(offset));
}

/** The next items of a loop: numbers of messages, reasons of GAPs. */
async function take(loop: Subscription, count: number): Promise<unknown[]> {
  const taken: unknown[] = [];
  while (taken.length < count) {
    const { value, done } = await loop.next();
    if (done === true) throw new Error(`the loop has ended after ${taken.join()}`);
    taken.push(shown(value));
  }
  return taken;
}

const shown = (message: Message): unknown => message.signal?.reason ?? message.json();
/** Published after all stored messages. */
const NEW = -1;
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);

/** The items of a loop with these options, and of a later publish. */
async function begins(
  bus: TestBus,
  name: string,
  options: ReplayOptions,
  expected: readonly unknown[],
): Promise<void> {
  await using ann = await open(bus);
  const room = ann.room(name);
  using loop = room.subscribe({ begin: replay(options) });
  await loop.ready;
  assert.deepEqual(await take(loop, expected.length), expected, Deno.inspect(options));
  await room.publish("n", NEW);
  assert.deepEqual(await take(loop, 1), [NEW], Deno.inspect(options));
}

async function places(bus: TestBus): Promise<void> {
  await using writer = await open(bus);
  const room = writer.room("kept-places");
  const offsets = await store(room, 250);
  const stored: unknown[] = range(0, 250);
  const ways: readonly [ReplayOptions, (stored: unknown[]) => unknown[]][] = [
    [{ from: "start" }, (all) => all],
    [{ from: 0 }, (all) => all],
    [{ from: BigInt(offsets[9]!) }, (all) => all.slice(10)],
    [{ from: offsets[239]! }, (all) => all.slice(240)],
    [{ last: 1 }, (all) => all.slice(-1)],
    [{ last: 150 }, (all) => all.slice(-150)],
    [{ last: 10_000 }, (all) => all],
    [{ since: "1h" }, (all) => all],
    [{ since: 3_600_000 }, (all) => all],
  ];
  for (const [options, wanted] of ways) {
    await begins(bus, room.id, options, wanted(stored));
    stored.push(NEW);
  }
}

/** How far the bus's clock is ahead. */
let ahead_ms = 0;

async function agesAndEdges(bus: TestBus): Promise<void> {
  await using writer = await open(bus);
  await begins(bus, "kept-empty", { from: "start" }, []);
  await begins(bus, "kept-empty", { last: 5 }, [NEW]);
  const room = writer.room("kept-ages");
  const [first] = await store(room, 3);
  ahead_ms += 600_000;
  await store(room, 2, 3);
  await begins(bus, room.id, { since: "5m" }, [3, 4]);
  // A position that belongs to no message: the SUB's answer shows that nothing is missing.
  if (first! > 1) await begins(bus, room.id, { from: first! - 1 }, [0, 1, 2, 3, 4, NEW]);
}

async function trimmed(bus: TestBus): Promise<void> {
  await using ann = await open(bus);
  const room = ann.room("short-1");
  const offsets = await store(room, 20);
  await begins(bus, room.id, { from: "start" }, range(15, 20));
  using loop = ann.room("short-1").subscribe({ begin: replay({ from: offsets[3]! }) });
  assert.deepEqual(await take(loop, 1), ["history-trimmed"]);
  assert.equal(loop.recovered, false);
  using ahead = ann.room("short-2").subscribe({ begin: replay({ from: 1_000_000 }) });
  assert.deepEqual(await take(ahead, 1), ["offset-ahead"]);
}

async function refused(bus: TestBus): Promise<void> {
  await using ann = await open(bus);
  for (const options of [{ from: "start" }, { from: 7 }, { last: 3 }, { since: "10m" }] as const) {
    const loop = ann.room("plain").subscribe({ begin: replay(options) });
    await assert.rejects(loop.ready, refusedWith("not-durable"), Deno.inspect(options));
    await assert.rejects(loop.next(), refusedWith("not-durable"));
  }
  const room = ann.room("kept-refused");
  for (
    const [options, message] of [
      [{ from: "start", last: 1 }, /replay takes one of from, last and since/],
      [{}, /replay takes one of from, last and since/],
      [{ from: -1 }, /offset is -1/],
      [{ from: "end" }, /offset is end/],
      [{ from: 1.5 }, /offset is 1.5/],
      [{ last: 0 }, /last is 0/],
      [{ since: 0 }, /since is 0/],
      [{ since: "10 minutes" }, /since is 10 minutes; expected ms or "10m"/],
      [{ since: "10M" }, /since is 10M/],
    ] as const
  ) {
    const wrong = options as ReplayOptions;
    assert.throws(() => replay(wrong), (error) => {
      return error instanceof TypeError && message.test(error.message);
    }, Deno.inspect(options));
  }
  const both = { begin: replay({ since: "1h" }), position: { offset: 1 } };
  assert.throws(() => room.subscribe(both), /begin or position, not both/);
  using first = room.subscribe();
  await first.ready;
  assert.throws(() => room.subscribe({ begin: replay({ last: 1 }) }), /it has begun/);
}

/** A loop that is slow, while others publish and its connection breaks again and again. */
async function unbroken(bus: TestBus): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(bus.url).port));
  const url = new URL(bus.url);
  url.port = String(proxy.port);
  await using writer = await open(bus);
  await using ann = await open(bus, { url, backoff: { base_ms: 20, max_ms: 50 } });
  const room = writer.room("kept-unbroken");
  await store(room, 700);
  // So small that a moment's inattention would drop messages.
  const buffers = { buffer: 16, on_overflow: "error" } as const;
  using loop = ann.room(room.id).subscribe({
    begin: replay({ from: "start" }),
    presence: true,
    ...buffers,
  });
  const taken: unknown[] = [];
  let stored = 700;
  while (taken.length < 1_500) {
    taken.push(...await take(loop, 1));
    const { length } = taken;
    if (length % 100 === 50 && length < 1_000) {
      await proxy.cut();
      proxy.restore();
    }
    if (length % 10 === 0 && stored < 1_500) {
      await store(room, 20, stored);
      stored += 20;
    }
  }
  assert.deepEqual(taken, range(0, 1_500));
  assert.equal(loop.presence.count, 1);
}

async function left(bus: TestBus): Promise<void> {
  await using ann = await open(bus);
  const room = ann.room("kept-left");
  await store(room, 400);
  const closed = room.subscribe({ begin: replay({ from: "start" }), buffer: 4 });
  assert.deepEqual(await take(closed, 2), [0, 1]);
  closed.close();
  assert.equal((await closed.next()).done, true);
  const over = new AbortController();
  const aborted = room.subscribe({ begin: replay({ last: 300 }), buffer: 4, signal: over.signal });
  assert.deepEqual(await take(aborted, 2), [100, 101]);
  over.abort(new Error("enough"));
  await assert.rejects(aborted.next(), /enough/);
  for await (const message of room.subscribe({ begin: replay({ from: "start" }) })) {
    if (Number(message.json()) === 5) break;
  }
  const listened: unknown[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  using listener = room.listen((message) => {
    if (listened.push(message.json()) === 400) resolve();
  }, { begin: replay({ from: "start" }) });
  await promise;
  assert.deepEqual(listened, range(0, 400));
  assert.equal(listener.room, room.id);
}

Deno.test("loops begin with stored messages, in one process", async (t) => {
  await using bus = await startLocalBus(CONFIG, { now: () => Date.now() + ahead_ms });
  for (
    const [name, step] of [
      ["every way to begin gives what is stored, then what comes", places],
      ["an age, a place between messages, and a room in which nothing is stored", agesAndEdges],
      ["what was trimmed is told as after a reconnect", trimmed],
      [
        "a room that is not durable is refused, and so are ways that contradict each other",
        refused,
      ],
      ["slow, under load and over broken connections nothing is missing or repeated", unbroken],
      ["leaving in the middle ends it at once", left],
    ] as const
  ) await t.step({ name, fn: () => step(bus), ...CLEAN });
});
