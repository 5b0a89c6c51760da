/**
 * The show of deltas: messages to receivers of many kinds over real sockets, some of which lose frames and
 * connections, or stop reading. Every receiver's bytes are the publisher's, who loses nothing misses nothing, and
 * what is missing elsewhere is told.
 */
import { connect } from "@arqon/sdk";
import type { Connection } from "@arqon/sdk";
import assert from "node:assert/strict";
import { seeded } from "../../shared/testing/seeded.ts";
import { until } from "../../shared/testing/until.ts";
import { startBusWith } from "../harness/bus.ts";
import type { TestBus } from "../harness/bus.ts";
import { Feed, LATEST_ROOM, OLDEST_ROOM, SHOW_ROOMS } from "./feed.ts";
import { Receiver } from "./receiver.ts";
import { PATIENT, WAYS } from "./receivers.ts";
import { SlowReaders, WAIT_MS } from "./slow_readers.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[limits]
messages_per_second = 1_000_000
bytes_per_second = 1_000_000_000
unsent_bytes = 1_048_576
slow_reader_bytes = 65_536
${
  [
    ["show-*", "disconnect", "fossil"],
    ["latest-*", "latest", "fossil"],
    ["oldest-*", "drop-oldest", "fossil"],
    ["ballast-*", "drop-oldest", "none"],
  ].map(([room, slow_reader, delta]) =>
    `[[rooms]]\nroom = "${room}"\nslow_reader = "${slow_reader}"\ndelta = "${delta}"\n`
  ).join("")
}
`;
/** So many are published before all who read have them. */
const AT_ONCE = 500;
/** After how many messages the slow ones stop reading, the first time and from then on, and for how many. */
const FIRST_PAUSE = 1_000;
const PAUSE_EVERY = 25_000;
const PAUSED = 1_500;
const TELL_MS = 10_000;
/** The whole has so long at least, and so long for each message. */
const LIMIT_MS = 600_000;
const MESSAGE_LIMIT_MS = 3;

/** How a show goes. */
export interface ShowOptions {
  readonly messages: number;
  readonly seed: number;
  /** Absent: the bus is one process with the embedded engine. */
  readonly nats_url?: string;
  /** Gets a line every ten seconds. */
  tell?(line: string): void;
}

/** The outcome of one receiver's messages. */
export interface Outcome {
  readonly name: string;
  readonly wanted: number;
  readonly heard: number;
  readonly missed: number;
  readonly gaps: number;
}

/** The receivers and the publisher of one show. */
class Stage {
  readonly #options: ShowOptions;
  readonly #feed: Feed;
  readonly #writer: Connection;
  readonly #receivers: readonly Receiver[];
  readonly #begun_ms = performance.now();
  #told_ms = this.#begun_ms;
  #published = 0;

  constructor(
    options: ShowOptions,
    feed: Feed,
    writer: Connection,
    receivers: readonly Receiver[],
  ) {
    this.#options = options;
    this.#feed = feed;
    this.#writer = writer;
    this.#receivers = receivers;
  }

  /** Publishes up to that message, and waits for all who read. */
  async publishTo(end: number): Promise<void> {
    while (this.#published < end) {
      await this.#publish(Math.min(end - this.#published, AT_ONCE));
      await this.caughtUp();
      this.#progress();
    }
  }

  async #publish(count: number): Promise<void> {
    for (let left = count; left > 0; left--) {
      const shown = this.#feed.next();
      for (const receiver of this.#receivers) receiver.published(shown);
      const headers = { n: String(shown.n), "x-key": shown.key, part: shown.part };
      const options = { headers, content_type: "application/json", ack: left === 1 };
      await this.#writer.room(shown.room).publish("at", shown.data, options);
    }
    this.#published += count;
  }

  /** Rejects when somebody heard what must not be. */
  async caughtUp(): Promise<void> {
    const lagging = () => this.#receivers.filter(({ is_done }) => !is_done);
    const names = () => lagging().map(({ kind }) => kind.name).join(", ");
    await until(() => `${names()} at ${this.#published}`, () => lagging().length === 0, WAIT_MS);
    this.check();
  }

  check(): void {
    for (const { kind, wrong } of this.#receivers) {
      if (wrong === undefined) continue;
      throw new Error(`${kind.name}: seed ${this.#options.seed}`, { cause: wrong });
    }
  }

  #progress(): void {
    const now_ms = performance.now();
    const { messages, tell } = this.#options;
    const so_far = `${this.#published} of ${messages} messages`;
    if (now_ms - this.#begun_ms > LIMIT_MS + MESSAGE_LIMIT_MS * messages) {
      throw new Error(`${so_far} in ${Math.round(now_ms - this.#begun_ms)} ms: too slow`);
    }
    if (tell === undefined || now_ms - this.#told_ms < TELL_MS) return;
    this.#told_ms = now_ms;
    const heard = this.#receivers.reduce((sum, receiver) => sum + receiver.heard, 0);
    const rate = Math.round(this.#published / (now_ms - this.#begun_ms) * 1_000);
    tell(`${so_far}, ${rate}/s, ${heard} deliveries, none wrong`);
  }
}

/** Resolves once all of them hear. */
async function openReceivers(
  bus: TestBus,
  seed: number,
  feed: Feed,
  slow: SlowReaders,
  ends: AsyncDisposableStack,
): Promise<Receiver[]> {
  const random = seeded(seed);
  const receivers: Receiver[] = [];
  for (const way of WAYS) {
    const receiver = new Receiver(way, feed);
    const token = await bus.tokenFor({ user: `reader-${receivers.length}` });
    const url = way.slow === undefined ? bus.url : slow.add(way, receiver);
    ends.defer(await way.open({ url, token, random }, receiver));
    receivers.push(receiver);
  }
  return receivers;
}

/** Publishes so many messages; rejects when a receiver heard what it must not, or not what it must. */
export async function show(options: ShowOptions): Promise<Outcome[]> {
  const { messages, seed, nats_url } = options;
  const nats = nats_url === undefined ? "" : `[nats]\nurls = ["${nats_url}"]\n`;
  await using bus = await startBusWith(nats + CONFIG);
  await using slow = new SlowReaders(bus);
  await using ends = new AsyncDisposableStack();
  const feed = new Feed(seed);
  const receivers = await openReceivers(bus, seed, feed, slow, ends);
  const token = await bus.tokenFor({ user: "writer" });
  await using writer = await connect({ url: bus.url, token, ...PATIENT });
  const stage = new Stage(options, feed, writer, receivers);
  for (let pause_at = FIRST_PAUSE; pause_at + PAUSED <= messages; pause_at += PAUSE_EVERY) {
    await stage.publishTo(pause_at);
    await slow.pause(writer, () => stage.publishTo(pause_at + PAUSED));
    await stage.caughtUp();
  }
  await stage.publishTo(messages);
  await until("everybody hears the end", async () => {
    for (const room of [...SHOW_ROOMS, LATEST_ROOM, OLDEST_ROOM]) {
      await writer.room(room).publish("end", "", { headers: { "x-key": "k2", part: "0" } });
    }
    return receivers.every(({ has_ended }) => has_ended);
  }, WAIT_MS);
  stage.check();
  for (const { kind, wanted, heard, gaps } of receivers) {
    assert.ok(heard > 0, kind.name);
    // Who loses messages asks for whole ones, and goes on with them.
    if (kind.misses === "anything") assert.ok(heard > wanted / 4, `${kind.name}: ${heard}`);
    if (kind.misses === "nothing") assert.deepEqual([heard, gaps], [wanted, 0], kind.name);
  }
  return receivers.map(({ kind: { name }, wanted, heard, missed, gaps }) => (
    { name, wanted, heard, missed, gaps }
  ));
}
