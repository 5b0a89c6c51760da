/**
 * The show of deltas: messages to receivers of many kinds over real sockets, some of which lose frames and
 * connections. Every receiver's bytes are the publisher's, and who loses nothing misses nothing.
 */
import { connect } from "@arqon/sdk";
import assert from "node:assert/strict";
import { seeded } from "../../shared/testing/seeded.ts";
import { until } from "../../shared/testing/until.ts";
import { startBusWith } from "../harness/bus.ts";
import { Feed, SHOW_ROOMS } from "./feed.ts";
import { Receiver } from "./receiver.ts";
import { PATIENT, WAYS } from "./receivers.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[limits]
messages_per_second = 1_000_000
bytes_per_second = 1_000_000_000
[[rooms]]
room = "show-*"
delta = "fossil"
`;
/** So many are published before all who lose nothing have them. */
const AT_ONCE = 500;

/** What became of one receiver's messages. */
export interface Outcome {
  readonly name: string;
  readonly wanted: number;
  readonly heard: number;
  readonly gaps: number;
}

/** Publishes so many messages; rejects when a receiver heard what it must not, or not what it must. */
export async function show(messages: number, seed: number): Promise<Outcome[]> {
  await using bus = await startBusWith(CONFIG);
  const feed = new Feed(seed);
  const random = seeded(seed);
  const receivers: Receiver[] = [];
  await using ends = new AsyncDisposableStack();
  for (const way of WAYS) {
    const receiver = new Receiver(way, feed);
    const token = await bus.tokenFor({ user: `reader-${receivers.length}` });
    ends.defer(await way.open({ url: bus.url, token, random }, receiver));
    receivers.push(receiver);
  }
  const token = await bus.tokenFor({ user: "writer" });
  await using writer = await connect({ url: bus.url, token, ...PATIENT });
  const check = () => {
    for (const { kind, wrong } of receivers) {
      if (wrong !== undefined) throw new Error(`${kind.name}: seed ${seed}`, { cause: wrong });
    }
  };
  const lagging = () => receivers.filter(({ is_done }) => !is_done).map(({ kind }) => kind.name);
  for (let n = 0; n < messages;) {
    const end = Math.min(messages, n + AT_ONCE);
    for (; n < end; n++) {
      const shown = feed.next();
      for (const receiver of receivers) receiver.published(shown);
      const headers = { n: String(shown.n), "x-key": shown.key, part: shown.part };
      const options = { headers, content_type: "application/json" };
      const { room, data } = shown;
      if (n === end - 1) await writer.room(room).publish("at", data, options);
      else await writer.room(room).publish("at", data, { ...options, ack: false });
    }
    await until(() => `${lagging().join(", ")} at ${n}`, () => lagging().length === 0);
    check();
  }
  await until("everybody hears the end", async () => {
    for (const room of SHOW_ROOMS) {
      await writer.room(room).publish("end", "", { headers: { "x-key": "k2", part: "0" } });
    }
    return receivers.every(({ has_ended }) => has_ended);
  });
  check();
  for (const { kind, wanted, heard, gaps } of receivers) {
    assert.ok(heard > 0, kind.name);
    if (kind.is_whole) assert.deepEqual([heard, gaps], [wanted, 0], kind.name);
  }
  return receivers.map(({ kind: { name }, wanted, heard, gaps }) => ({
    name,
    wanted,
    heard,
    gaps,
  }));
}
