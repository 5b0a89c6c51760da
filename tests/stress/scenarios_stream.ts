/**
 * Scenarios 5 to 7, 19, 22 to 28, 31 and their two-node twins 45 to 53: what durable rooms keep, in
 * which order, and what comes back to whom after a loss of the connection.
 */
import assert from "node:assert/strict";
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import type { Node } from "./node.ts";
import { SETTLE_MS } from "./peer.ts";
import type { Inbox, Peer } from "./peer.ts";
import { range } from "./scenario.ts";
import type { Scenario, Stage } from "./scenario.ts";

/** Where is published and where is listened. */
type Where = (stage: Stage) => readonly [Node, Node];
const ONE: Where = ({ nodes }) => [nodes.main, nodes.main];
const TWO: Where = ({ nodes }) => [nodes.a, nodes.b];

const ascending = (offsets: readonly number[]) => offsets.toSorted((one, other) => one - other);

async function historyApi(stage: Stage): Promise<void> {
  const peer = await stage.peer(stage.nodes.main);
  const room = stage.name("log");
  const count = stage.count(500, 60);
  const offsets = await peer.fill(room, range(count), 1);
  const { result } = await peer.command(room, "history.get", { limit: count });
  assert.deepEqual(result.messages.map(({ data }: { data: number }) => data), range(count));
  assert.deepEqual(result.messages.map(({ offset }: { offset: number }) => offset), offsets);
  const since = await peer.command(room, "history.get", { after: offsets[9], limit: count });
  const rest = since.result.messages.map(({ data }: { data: number }) => data);
  assert.deepEqual(rest, range(count - 10, 10));
}

const reconnect = (where: Where, live: number, missed: number) => async (stage: Stage) => {
  const [from, to] = where(stage);
  const [publisher, peer] = [await stage.peer(from), await stage.peer(to)];
  const room = stage.name("log");
  const inbox = await peer.sub(room);
  await publisher.fill(room, range(live), 1);
  await inbox.count(live);
  await peer.drop();
  await publisher.fill(room, range(missed, live), 1);
  await peer.open();
  assert.equal(await peer.resume(room), true);
  await inbox.count(live + missed);
  await pace(SETTLE_MS);
  assert.deepEqual(inbox.data, range(live + missed), "each once and in order");
};

async function wideText(stage: Stage): Promise<void> {
  const [live, missed] = [stage.count(250, 30), stage.count(120, 15)];
  const peer = await stage.peer(stage.nodes.main);
  const publisher = await stage.peer(stage.nodes.main);
  const room = stage.name("log");
  const prefix = "äöü漢字🙂 ".repeat(50);
  const texts = range(live + missed).map((index) => `${prefix}${index} ${stage.random.next()}`);
  const inbox = await peer.sub(room);
  await publisher.fill(room, texts.slice(0, live), 1);
  await inbox.count(live);
  await peer.drop();
  await publisher.fill(room, texts.slice(live), 1);
  await peer.open();
  await peer.resume(room);
  await inbox.count(texts.length);
  assert.deepEqual(inbox.data, texts);
}

const cacheOnly =
  (where: Where, before: number, live: number, missed: number) => async (stage: Stage) => {
    const [from, to] = where(stage);
    const [publisher, peer] = [await stage.peer(from), await stage.peer(to)];
    const room = stage.name("cache");
    await publisher.fill(room, range(before, 1), 1);
    const inbox = await peer.sub(room);
    await inbox.count(1);
    assert.deepEqual(inbox.data, [before], "the last one, not the backlog");
    await publisher.fill(room, range(live, 100), 1);
    await inbox.count(1 + live);
    await peer.drop();
    await publisher.fill(room, range(missed, 1_000), 1);
    await peer.open();
    // Without its position: it wants what is newest.
    await peer.sub(room);
    await inbox.count(2 + live);
    await pace(SETTLE_MS);
    assert.deepEqual(inbox.data, [before, ...range(live, 100), 999 + missed]);
  };

const concurrentPublish = (where: Where, workers: number, each: number) => async (stage: Stage) => {
  const [one, other] = where(stage);
  const room = stage.name("log");
  const listener = await stage.peer(other);
  const inbox = await listener.sub(room);
  const publishers = await stage.peers([one, other], stage.count(workers, 6));
  const per_worker = stage.count(each, 10);
  const all = await Promise.all(publishers.map((peer, at) => (
    peer.fill(room, range(per_worker, at * 1_000_000), 4)
  )));
  const offsets = ascending(all.flat());
  await inbox.count(offsets.length);
  assert.equal(new Set(offsets).size, offsets.length, "no offset twice");
  assert.deepEqual(inbox.offsets, offsets);
  assert.deepEqual((await walk(listener, room, 1_000)).offsets, offsets);
};

/** So many repeats of one message one after the other (0: none), then of another all at once. */
const idempotent = (where: Where, repeats: number, at_once: number) => async (stage: Stage) => {
  const [one, other] = where(stage);
  const room = stage.name("log");
  const same = { user: stage.name("u", "same") };
  const listener = await stage.peer(other);
  const publishers = await stage.peers([one, other], 4, same);
  const inbox = await listener.sub(room);
  const publish = async (index: number, message_id: string) => (
    (await publishers[index % publishers.length]!.pub(room, message_id, { message_id })).offset
  );
  const first = new Set<number | undefined>();
  for (const index of range(repeats)) first.add(await publish(index, "first"));
  const second = new Set(await Promise.all(range(at_once).map((at) => publish(at, "second"))));
  assert.equal(second.size, 1, "one place for all at once");
  const places = [...first, ...second];
  assert.equal(places.length, repeats === 0 ? 1 : 2, "one place for all repeats");
  await inbox.count(places.length);
  await pace(SETTLE_MS);
  const { result } = await listener.command(room, "history.get", {});
  const kept = result.messages.map(({ offset }: { offset: number }) => offset);
  assert.deepEqual([inbox.offsets, kept], [places, places]);
};

/** The whole of a room, page by page; `end` is where the room says that it ends. */
async function walk(peer: Peer, room: string, limit: number) {
  const walked: { offset: number; data: unknown }[] = [];
  let end = 0;
  for (let [after, more] = [0, true]; more;) {
    const { result } = await peer.command(room, "history.get", { after, limit });
    walked.push(...result.messages);
    [after, more, end] = [walked.at(-1)?.offset ?? after, result.more, result.offset];
  }
  return { offsets: walked.map(({ offset }) => offset), data: walked.map(({ data }) => data), end };
}

const pagination = (where: Where, publishes: number) => async (stage: Stage) => {
  const [one, other] = where(stage);
  const [writer, reader] = [await stage.peer(one), await stage.peer(other)];
  const room = stage.name("log");
  const numbers = range(stage.count(publishes, 130), 1);
  const offsets = await writer.fill(room, numbers, 1);
  const page = async (data: object) => (await reader.command(room, "history.get", data)).result;
  const walked = await walk(reader, room, 50);
  assert.deepEqual([walked.data, walked.end], [numbers, offsets.at(-1)]);
  const back = await page({ reverse: true, limit: numbers.length });
  const reversed = back.messages.map(({ data }: { data: number }) => data);
  assert.deepEqual(reversed, numbers.toReversed());
  assert.deepEqual((await page({ after: offsets.at(-1) })).messages, []);
};

async function unrecoverable(stage: Stage): Promise<void> {
  const { main } = stage.nodes;
  const [publisher, peer] = [await stage.peer(main), await stage.peer(main)];
  const room = stage.name("short");
  const inbox = await peer.sub(room);
  await publisher.fill(room, range(10), 1);
  await inbox.count(10);
  await peer.drop();
  await publisher.fill(room, range(40, 100), 1);
  await peer.open();
  assert.equal(await peer.resume(room), false, "it is told that it lost something");
  const before = inbox.messages.length;
  await publisher.fill(room, range(5, 1_000), 1);
  await inbox.count(before + 5);
  assert.deepEqual(inbox.data.slice(-5), range(5, 1_000));
}

/** Somebody who is cut off again and again while messages come, and comes back with its position. */
async function cutAgain(peer: Peer, room: string): Promise<void> {
  await peer.drop();
  await peer.open();
  assert.equal(await peer.resume(room), true);
}

const storm =
  (where: Where, clients: number, kicks: number, least: number) => async (stage: Stage) => {
    const [from, to] = where(stage);
    const room = stage.name("log");
    const peers = await stage.peers([to, from], stage.count(clients, 3));
    const inboxes: Inbox[] = await Promise.all(peers.map((peer) => peer.sub(room)));
    const publisher = await stage.peer(from);
    const offsets: number[] = [];
    let stormy = true;
    const publishing = (async () => {
      for (let number = 0; stormy || number < stage.count(least, 100); number++) {
        offsets.push((await publisher.pub(room, number)).offset ?? 0);
      }
    })();
    for (let kick = 0; kick < stage.count(kicks, 3); kick++) {
      const target = offsets.length + stage.count(60, 20);
      await until("messages between two cuts", () => offsets.length >= target);
      await Promise.all(peers.map((peer) => cutAgain(peer, room)));
    }
    stormy = false;
    await publishing;
    for (const inbox of inboxes) {
      await inbox.count(offsets.length);
      assert.deepEqual(inbox.offsets, offsets, "no gap, no repeat");
    }
  };

async function largePayloads(stage: Stage): Promise<void> {
  const { main } = stage.nodes;
  const [publisher, peer] = [await stage.peer(main), await stage.peer(main)];
  const room = stage.name("log");
  const inbox = await peer.sub(room);
  const texts = [1_024, 32_768, 262_144, 1_000_000, 524_288].map((size) => {
    const head = `${size} ${stage.random.next()} `;
    return head + "é".repeat((size - head.length) >> 1);
  });
  for (const text of texts) await publisher.pub(room, text);
  await inbox.count(texts.length);
  assert.deepEqual(inbox.data, texts);
  for (const [index, text] of texts.entries()) {
    const after = index === 0 ? 0 : inbox.offsets[index - 1];
    const { result } = await peer.command(room, "history.get", { after, limit: 1 });
    assert.equal(result.messages[0].data, text);
  }
}

/** The scenarios of this file. */
export const STREAM: readonly Scenario[] = [
  { number: 5, name: "history_api", run: historyApi },
  { number: 7, name: "recovery_reconnect", run: reconnect(ONE, 10, 15) },
  { number: 19, name: "wide_text_recovery", run: wideText },
  { number: 22, name: "cache_recovery", run: cacheOnly(ONE, 12, 5, 7) },
  { number: 23, name: "concurrent_publish_offsets", run: concurrentPublish(ONE, 64, 80) },
  { number: 24, name: "idempotent_publish", run: idempotent(ONE, 50, 64) },
  { number: 25, name: "history_pagination", run: pagination(ONE, 2_000) },
  { number: 26, name: "unrecoverable_position", run: unrecoverable },
  { number: 28, name: "recovery_storm", run: storm(ONE, 10, 8, 1_000) },
  { number: 31, name: "large_payloads", run: largePayloads },
  { number: 45, name: "cross_node_recovery", run: reconnect(TWO, 20, 30) },
  { number: 49, name: "cross_node_publish_offsets", run: concurrentPublish(TWO, 24, 40) },
  { number: 50, name: "cross_node_idempotency", run: idempotent(TWO, 0, 40) },
  { number: 51, name: "cross_node_cache", run: cacheOnly(TWO, 15, 0, 9) },
  { number: 52, name: "cross_node_history", run: pagination(TWO, 600) },
  { number: 53, name: "cross_node_storm", run: storm(TWO, 8, 6, 200) },
];
