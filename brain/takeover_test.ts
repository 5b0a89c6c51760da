/**
 * Brains that start, stop and crash on a real NATS server, with presence as Shields announce it: rooms find their next
 * owner, members keep them, locks end as they should. `tests/walks/people` has locks of clients while Brains are
 * killed.
 */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope } from "@arqon/proto";
import type { Spine } from "../shared/spine/contract/spine.ts";
import { subjectPattern } from "../shared/spine/testing/subjects.ts";
import { seen, until } from "../shared/testing/until.ts";
import { startNats } from "../tests/harness/nats_server.ts";
import { member, TestShield } from "./presence/testing/shield.ts";
import { SpineNetwork } from "./presence/testing/spine_network.ts";
import { accepted, sendCommand } from "./rooms/testing/command_probe.ts";
import type { ProbeCommand, ProbeReply } from "./rooms/testing/command_probe.ts";
import { BRAIN_CAPABILITIES } from "./capabilities.ts";
import { type Node, openClient, startNode, total } from "./testing/node.ts";

/** The node that serves a room's commands. */
async function ownerAmong(nodes: readonly Node[], room: string): Promise<Node> {
  const served = () =>
    Promise.all(nodes.map((node) => total([node], "brain_commands_total", { name: "room.get" })));
  const before = await served();
  await accepted(nodes[0]!.spine, { name: "room.get", room });
  const after = await served();
  return nodes.find((_, index) => after[index] !== before[index])!;
}

/** The parts of a ROOM_UPDATE that these tests use. */
interface Update {
  readonly version: number;
}

const set = (value: unknown, more = {}) => ({ name: "set", data: { key: "k", value }, ...more });

const isPassing = ({ code }: { readonly code: number }) => code === 408 || code === 503;

/** Sends a command until it is answered, as an SDK does: each time with the same command_id. */
async function persist(client: Spine, command: ProbeCommand): Promise<ProbeReply> {
  // After an error of a Brain that ended with the command, only a retry shows whether it ran.
  const send = () =>
    sendCommand(client, { timeout_ms: 1_000, ...command }).catch((error) => {
      if (!(error instanceof ArqonError)) throw error;
      return error;
    });
  const end = await seen(`an answer to ${command.name}`, send, (answer) => !isPassing(answer));
  if (end instanceof ArqonError) throw end;
  return end;
}

/** The events of a room by version, published from now on. */
async function updatesOf(client: Spine, room: string): Promise<Map<number, Update>> {
  const updates = new Map<number, Update>();
  client.subscribe(subjectPattern(`out.t.acme.r.${room}`), ({ payload }) => {
    const update: Update = JSON.parse(new TextDecoder().decode(readEnvelope(payload).event?.data));
    updates.set(update.version, update);
  });
  await client.flush();
  return updates;
}

Deno.test("when a room's owner crashes another serves it, and its versions have no gap", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await startNode(nats);
  await using two = await startNode(nats);
  await using three = await startNode(nats);
  const client = await openClient(nats);
  const updates = await updatesOf(client, "lobby");
  const { epoch, version: first } = await accepted(client, set(0));
  const owner = await ownerAmong([one, two, three], "lobby");

  let stop = false;
  const versions = [first];
  const write = async (writer: number): Promise<void> => {
    for (let index = 0; !stop; index++) {
      const reply = await persist(client, set(index, { command_id: `${writer}-${index}` }));
      assert.equal(reply.code, 0, reply.reason);
      versions.push(JSON.parse(reply.result).version);
    }
  };
  const writers = Promise.all([write(1), write(2), write(3)]);
  await until("some are written", () => versions.length > 30);
  await owner.kill();
  const then = versions.length;
  await until("others go on", () => versions.length > then + 30);
  stop = true;
  await writers;

  const { version, epoch: now_epoch } = await accepted(client, { name: "get" });
  assert.equal(now_epoch, epoch);
  const sorted = versions.toSorted((a, b) => a - b);
  const length = version - first + 1;
  assert.deepEqual(sorted, Array.from({ length }, (_, index) => first + index));
  await until("every version was published", () => updates.size === length);
  await client.drain();
});

Deno.test("a rolling restart refuses no command, and members and state stay", async () => {
  await using nats = await startNats({ jetstream: true });
  const client = await openClient(nats);
  using network = new SpineNetwork(client);
  await using stay = await startNode(nats);
  let nodes = [stay, await startNode(nats), await startNode(nats)];
  const shield = await network.join(
    new TestShield(network, { node_id: "s1", incarnation: Date.now() }),
  );
  shield.join(member("c1"), member("c2")).announce();
  const count = async () => (await accepted(client, { name: "presence.count" })).connections;
  await until("members are known", async () => await count() === 2);

  const rooms = Array.from({ length: 8 }, (_, index) => `room-${index}`);
  const versions = new Map<string, number>();
  for (let round = 1; round <= 2; round++) {
    for (const room of rooms) {
      const { version } = await accepted(client, set(round, { room }));
      assert.equal(version, (versions.get(room) ?? version - 1) + 1);
      versions.set(room, version);
    }
    const leaving = nodes[round]!;
    await leaving[Symbol.asyncDispose]();
    nodes = nodes.with(round, await startNode(nats));
    assert.equal(await count(), 2);
  }
  for (const room of rooms) {
    const { version, state } = await accepted(client, { name: "get", room });
    assert.deepEqual({ version, state }, { version: versions.get(room), state: { k: 2 } });
  }
  for (const node of nodes.slice(1)) await node[Symbol.asyncDispose]();
  await client.drain();
});

Deno.test("without presence, a room has one owner, and another Brain takes over those of a killed one", async () => {
  await using nats = await startNats({ jetstream: true });
  const capabilities = BRAIN_CAPABILITIES.filter(({ name }) => name !== "presence");
  await using one = await startNode(nats, {}, capabilities);
  await using two = await startNode(nats, {}, capabilities);
  const client = await openClient(nats);
  const known = (...nodes: Node[]) => total(nodes, "brain_cluster_brains");
  await until("each knows both", async () => await known(one) === 2 && await known(two) === 2);
  const counts = () =>
    Promise.all(
      [one, two].map((node) => total([node], "brain_commands_total", { name: "room.set" })),
    );
  const rooms = Array.from({ length: 32 }, (_, index) => `room-${index}`);
  const versions = new Map<string, number>();
  const served = [0, 0];
  for (const room of rooms) {
    const before = await counts();
    for (let round = 0; round < 4; round++) {
      versions.set(room, (await accepted(client, set(round, { room }))).version);
    }
    const after = await counts();
    const [here = 0, there = 0] = after.map((count, at) => count - before[at]!);
    assert.ok(here === 4 || there === 4, `${room} was served by both: ${here}, ${there}`);
    served[here === 4 ? 0 : 1]!++;
  }
  assert.ok(served.every((count) => count > 0), `one owns every room: ${served}`);
  await one.kill();
  for (const room of rooms) {
    const { code, result } = await persist(client, set("after", { room, command_id: "after" }));
    assert.equal(code, 0);
    assert.equal(JSON.parse(result).version, versions.get(room)! + 1);
  }
  await until("the killed one is down", async () => await known(two) === 1);
  await client.drain();
});
