/**
 * Scenarios 1 to 13 and their two-node twins 43 to 54: load, fan-out, subscriptions, presence, many
 * requests at a time.
 */
import assert from "node:assert/strict";
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import type { Node } from "./node.ts";
import { SETTLE_MS } from "./peer.ts";
import type { Inbox, Peer } from "./peer.ts";
import { range } from "./scenario.ts";
import type { Scenario, Stage } from "./scenario.ts";

/** The nodes of a scenario that runs on one or on two. */
type Where = (stage: Stage) => readonly [Node, Node];
const ONE: Where = ({ nodes }) => [nodes.main, nodes.main];
const TWO: Where = ({ nodes }) => [nodes.a, nodes.b];

async function connectChurn(stage: Stage): Promise<void> {
  const token = { user: stage.name("u", "churn") };
  const { main } = stage.nodes;
  await Promise.all(
    range(stage.count(32, 4)).map(async () => {
      for (let round = 0; round < stage.count(60, 5); round++) {
        const peer = await stage.peer(main, token);
        await peer.close();
      }
    }),
  );
}

/** One random operation, which has to work. */
async function operate(stage: Stage, peer: Peer, room: string): Promise<void> {
  const deed = stage.random.int(0, 4);
  if (deed === 0) await peer.pub(room, { text: stage.random.next() });
  else if (deed === 1) await peer.command(room, "history.get", { limit: 5 });
  else if (deed === 2) await peer.command(room, "presence.count");
  else if (deed === 3) {
    await peer.command(room, "room.set", { key: "k", value: stage.random.next() });
  } else await peer.command(room, "room.get", { key: "k" });
  await pace(stage.random.int(0, 15));
}

const mixedChaos = (where: Where, clients: number) => async (stage: Stage): Promise<void> => {
  const rooms = range(5).map((index) => stage.name("log", index));
  const peers = await stage.peers(where(stage), stage.count(clients, 6));
  // Before `room.get` there has to be a document.
  for (const room of rooms) await peers[0]!.command(room, "room.set", { key: "k", value: 0 });
  await Promise.all(peers.map(async (peer, index) => {
    await peer.sub(rooms[index % rooms.length]!, { presence: true });
    for (let round = 0; round < stage.count(100, 10); round++) {
      await operate(stage, peer, stage.random.pick(rooms));
    }
    assert.ok(peer.is_open, "its connection dropped");
  }));
};

function assertAscending(inbox: Inbox): void {
  const { offsets } = inbox;
  assert.ok(offsets.every((offset, at) => at === 0 || offset > offsets[at - 1]!), "offsets ascend");
}

const fanout = (where: Where, subscribers: number, publishes: number) => async (stage: Stage) => {
  const room = stage.name("log");
  const [from, to] = where(stage);
  const inboxes = await Promise.all(
    (await stage.peers([from, to], stage.count(subscribers, 3))).map((peer) => peer.sub(room)),
  );
  const backend = await stage.peer(from, { role: "service" });
  const numbers = range(stage.count(publishes, 50));
  const offsets = await backend.fill(room, numbers);
  for (const inbox of inboxes) {
    await inbox.count(numbers.length);
    assertAscending(inbox);
    assert.deepEqual(inbox.offsets, offsets.toSorted((one, other) => one - other));
  }
};

async function subscribeChurn(stage: Stage): Promise<void> {
  const { main } = stage.nodes;
  const peer = await stage.peer(main);
  const rooms = range(stage.count(1_000, 50)).map((index) => stage.name("plain", index));
  const inboxes = await Promise.all(rooms.map((room) => peer.sub(room)));
  await Promise.all(rooms.map((room) => peer.must({ op: "unsub", room })));
  await assertUnheard(stage, main, inboxes);
}

/** What is published in these rooms now is not heard; that they are closed too is for the end of all. */
async function assertUnheard(stage: Stage, node: Node, inboxes: readonly Inbox[]): Promise<void> {
  const other = await stage.peer(node);
  const before = inboxes.map(({ messages }) => messages.length);
  await Promise.all(inboxes.map(({ room_id }) => other.pub(room_id, "anybody?")));
  await pace(SETTLE_MS);
  assert.deepEqual(inboxes.map(({ messages }) => messages.length), before);
}

const presenceOn = (where: Where, members: number) => async (stage: Stage): Promise<void> => {
  const room = stage.name("people");
  const [first, second] = where(stage);
  const watcher = await stage.peer(first);
  const inbox = await watcher.sub(room, { presence: true });
  const count = stage.count(members, 5);
  const others = await stage.peers([first, second], count);
  await Promise.all(others.map((peer) => peer.sub(room, { presence: true })));
  const asker = await stage.peer(second);
  const counted = async (peer: Peer) => (await peer.command(room, "presence.count")).result;
  const all = count + 1;
  for (const peer of [watcher, asker]) {
    await until(`${all} members`, async () => (await counted(peer)).connections === all);
    assert.equal((await counted(peer)).users, all);
    const { members: list } = (await peer.command(room, "presence.list")).result;
    assert.equal(new Set(list.map((one: { user_id: string }) => one.user_id)).size, all);
  }
  const told = (type: string) =>
    new Set(
      inbox.of(type).flatMap(({ data }) => data.members)
        .map((member: { connection_id: string }) => member.connection_id),
    );
  const ids = others.map(({ connection_id }) => connection_id);
  // Who comes and goes between two tellings is not told at all.
  await until("every join", () => ids.every((id) => told("PRESENCE_UPDATE").has(id)));
  await Promise.all(others.map((peer) => peer.close()));
  for (const peer of [watcher, asker]) {
    await until("only the watcher", async () => (await counted(peer)).connections === 1);
  }
  await until("every leave", () => ids.every((id) => told("PRESENCE_LEAVE").has(id)));
};

async function requestsAtOnce(stage: Stage): Promise<void> {
  const peer = await stage.peer(stage.nodes.main);
  const room = stage.name("keys");
  const keys = range(stage.count(2_500, 100)).map((key) => `k${key}`);
  const values = keys.map(() => stage.random.next());
  await Promise.all(
    keys.map((key, at) => peer.command(room, "room.set", { key, value: values[at] })),
  );
  const answers = await Promise.all(keys.map((key) => peer.command(room, "room.get", { key })));
  assert.deepEqual(answers.map(({ result }) => result.value), values);
}

async function clientFanout(stage: Stage): Promise<void> {
  const room = stage.name("plain");
  const { main } = stage.nodes;
  const peers = await stage.peers([main], 16);
  const inboxes = await Promise.all(peers.map((peer) => peer.sub(room)));
  const numbers = range(stage.count(400, 50));
  // In the order of one connection, without waiting.
  await Promise.all(numbers.map((number) => peers[0]!.pub(room, number)));
  for (const inbox of inboxes) {
    await inbox.count(numbers.length);
    assert.deepEqual(inbox.data, numbers);
  }
}

async function sameConnection(stage: Stage): Promise<void> {
  const peer = await stage.peer(stage.nodes.main);
  const room = stage.name("log");
  await peer.sub(room);
  await peer.command(room, "room.set", { key: "k", value: 1 });
  const deeds = [
    () => peer.pub(room, 1),
    () => peer.command(room, "history.get", { limit: 1 }),
    () => peer.command(room, "presence.count"),
    () => peer.command(room, "room.get", { key: "k" }),
  ];
  await Promise.all(
    range(stage.count(64, 8)).map(async () => {
      for (let round = 0; round < stage.count(150, 10); round++) {
        await deeds[round % deeds.length]!();
      }
    }),
  );
}

async function echoes(stage: Stage): Promise<void> {
  const peer = await stage.peer(stage.nodes.main);
  const room = stage.name("plain");
  const inbox = await peer.sub(room);
  const numbers = range(stage.count(5_000, 100));
  for (const data of numbers) peer.send({ op: "pub", room, type: "t", data });
  await inbox.count(numbers.length);
  assert.deepEqual(inbox.data, numbers);
}

async function manyRooms(stage: Stage): Promise<void> {
  const { main } = stage.nodes;
  const [peer, other] = [await stage.peer(main), await stage.peer(main)];
  const rooms = range(stage.count(2_000, 50)).map((index) => stage.name("plain", index));
  const inboxes = await Promise.all(rooms.map((room) => peer.sub(room)));
  await Promise.all(rooms.map((room) => other.pub(room, room)));
  for (const [index, inbox] of inboxes.entries()) {
    await inbox.count(1);
    assert.deepEqual(inbox.data, [rooms[index]]);
  }
  await Promise.all(rooms.map((room) => peer.must({ op: "unsub", room })));
  await assertUnheard(stage, main, inboxes);
}

async function remoteControl(stage: Stage): Promise<void> {
  const { a, b } = stage.nodes;
  const room = stage.name("plain");
  const [boss, peer] = [await stage.peer(a, { role: "service" }), await stage.peer(b)];
  const inbox = await peer.sub(room);
  await boss.fill(room, range(30), 1);
  await inbox.count(30);
  const { user } = peer.claims;
  await boss.command(room, "room.kick", { user_id: user, reason: "enough" });
  await until("the kick", () => inbox.signals.length > 0);
  assert.deepEqual(inbox.signals[0]?.signal?.kind, "DISCONNECT");
  assert.equal((await peer.ask({ op: "unsub", room })).reason, "not-subscribed");
  await boss.pub(room, "unheard");
  await pace(SETTLE_MS);
  assert.equal(inbox.messages.length, 30);
  await boss.command(room, "room.ban", { user_id: user, scope: "tenant" });
  assert.equal((await peer.closed).code, 4403);
}

/** The scenarios of this file. */
export const CORE: readonly Scenario[] = [
  { number: 1, name: "connect_churn", run: connectChurn },
  { number: 2, name: "mixed_chaos", run: mixedChaos(ONE, 80) },
  { number: 3, name: "pubsub_fanout", run: fanout(ONE, 40, 1_000) },
  { number: 4, name: "subscribe_churn", run: subscribeChurn },
  { number: 9, name: "presence_joinleave", run: presenceOn(ONE, 25) },
  { number: 11, name: "rpc_concurrent", run: requestsAtOnce },
  { number: 12, name: "client_publish_fanout", run: clientFanout },
  { number: 13, name: "same_conn_concurrency", run: sameConnection },
  { number: 30, name: "async_send_echo", run: echoes },
  { number: 32, name: "many_channels_one_conn", run: manyRooms },
  { number: 44, name: "cluster_fanout", run: fanout(TWO, 20, 500) },
  { number: 46, name: "cross_node_control", run: remoteControl },
  { number: 47, name: "cross_node_presence", run: presenceOn(TWO, 20) },
  { number: 54, name: "cross_node_chaos", run: mixedChaos(TWO, 40) },
];
