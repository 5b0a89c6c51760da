// Loops that begin with stored messages on a real bus while others publish, over a slow line and with a small buffer:
// in any order of pages, live messages and answers, no loop misses messages without a GAP. `REPLAY_LOOPS=100` runs that
// many loops (`deno task test:replay`).
import assert from "node:assert/strict";
import { startBus, startBusWith, type TestBus } from "../../../tests/harness/bus.ts";
import { pace } from "../../../shared/testing/pace.ts";
import { startTcpProxy } from "../../../tests/harness/tcp_proxy.ts";
import { connect, type Room, type Subscription } from "../mod.ts";
import { replay, type ReplayOptions } from "../history.ts";
import { CLEAN } from "../testing/counted.ts";

const LOOPS = Number(Deno.env.get("REPLAY_LOOPS") ?? 12);
const AT_ONCE = 4;
const LINE_MS = 20;
const WORK_MS = 5;
const EVERY_MS = 20;
const BUFFER = 16;
/** Messages stored before the first loop begins, and the fewest that a loop receives. */
const STORED = 200;
const RECEIVED_LEAST = 100;
const ROOM = "kept-loops";
const CONFIG = `
[limits]
messages_per_second = 100_000

[[rooms]]
room = "kept-*"
durable = true
history_size = 100_000
`;

/** The findings of loops. */
interface Found {
  messages: number;
  /** GAPs with their reasons. */
  readonly gaps: string[];
  /** Gaps and repetitions without a GAP: the previous number, and the received one. */
  readonly holes: string[];
}

/** Reads messages with ascending numbers up to `last`, each with some work; returns the last one. */
async function follow(
  loop: Subscription,
  last: number,
  found: Found,
  former?: number,
): Promise<number> {
  let before = former;
  for (;;) {
    const { value: message } = await loop.next();
    if (message === undefined) throw new Error(`a loop has ended before ${last}`);
    if (message.signal !== undefined) {
      found.gaps.push(message.signal.reason);
      before = undefined;
      continue;
    }
    const number = message.json<number>();
    found.messages++;
    if (before !== undefined && number !== before + 1) found.holes.push(`${before} → ${number}`);
    before = number;
    if (number >= last) return number;
    await pace(WORK_MS);
  }
}

/** Stores this many numbers, then publishes one after another until it is disposed. */
async function publishing(room: Room, stored: number) {
  const offsets: number[] = [];
  const under_way = new Set<Promise<void>>();
  let number = 0;
  const publish = () => {
    const own = number++;
    const options = { message_id: `n${own}`, timeout_ms: 120_000 };
    const published = room.publish("n", own, options).then(({ offset }) => {
      offsets[own] = Number(offset);
    });
    under_way.add(published);
    void published.finally(() => under_way.delete(published));
  };
  while (number < stored) publish();
  await Promise.all(under_way);
  const begun_ms = performance.now();
  const timer = setInterval(() => {
    // A late machine publishes all due messages at once.
    while (begun_ms + (number - stored) * EVERY_MS < performance.now()) publish();
  }, EVERY_MS);
  return {
    /** The next number. */
    get number() {
      return number;
    },
    offsets,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await Promise.all(under_way);
    },
  };
}

async function loops(bus: TestBus): Promise<Found> {
  const found: Found = { messages: 0, gaps: [], holes: [] };
  await using proxy = startTcpProxy(Number(new URL(bus.url).port));
  proxy.slow(LINE_MS, Infinity);
  await using writer = await connect({ url: bus.url, token: bus.token });
  await using publisher = await publishing(writer.room(ROOM), STORED);
  const one = async (at: number) => {
    await using reader = await connect({ url: `ws://127.0.0.1:${proxy.port}`, token: bus.token });
    const ways: ReplayOptions[] = [
      { last: 50 + at % 150 },
      { since: 1_000 + 37 * at % 3_000 },
      { from: publisher.offsets[publisher.number - 50 - at % 100]! },
    ];
    const begin = replay(ways[at % ways.length]!);
    using loop = reader.room(ROOM).subscribe({ begin, buffer: BUFFER });
    await follow(loop, publisher.number + RECEIVED_LEAST, found);
  };
  let next = 0;
  const worker = async () => {
    while (next < LOOPS) await one(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return found;
}

Deno.test({
  name: "loops that begin with stored messages have no hole, however live ones come in between",
  ...CLEAN,
  async fn() {
    await using bus = await startBusWith(CONFIG);
    const { holes, gaps, messages } = await loops(bus);
    console.log(`${LOOPS} loops, ${messages} messages, ${holes.length} holes, [${gaps}]`);
    assert.deepEqual(holes, []);
  },
});

Deno.test({
  name: "a bus that restarts while history is read makes no hole",
  ...CLEAN,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "arqon-replay-" });
    const file = `${folder}/config.toml`;
    await Deno.writeTextFile(file, CONFIG);
    const start = () => startBus(["--data-dir", `${folder}/data`, "--config", file]);
    let bus: TestBus | undefined = await start();
    const found: Found = { messages: 0, gaps: [], holes: [] };
    try {
      await using proxy = startTcpProxy(() => bus && Number(new URL(bus.url).port));
      proxy.slow(LINE_MS, Infinity);
      const url = `ws://127.0.0.1:${proxy.port}`;
      const options = { url, token: bus.token, backoff: { base_ms: 5, max_ms: 50 } };
      await using writer = await connect(options);
      await using reader = await connect(options);
      await using publisher = await publishing(writer.room(ROOM), 700);
      const begin = replay({ from: "start" });
      using loop = reader.room(ROOM).subscribe({ begin, buffer: BUFFER });
      const taken = await follow(loop, 150, found);
      const ended = bus;
      bus = undefined;
      await ended[Symbol.asyncDispose]();
      bus = await start();
      await follow(loop, publisher.number + RECEIVED_LEAST, found, taken);
    } finally {
      await bus?.[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    }
    // A message dropped by the loop's own buffer is reported.
    const gaps = found.gaps.filter((reason) => !reason.endsWith("messages dropped here"));
    assert.deepEqual([found.holes, gaps], [[], []]);
  },
});
