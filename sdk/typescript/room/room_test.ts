// The room's methods with a peer that answers commands: the frames of each, and the results.
import assert from "node:assert/strict";
import { type PlainCommand, plainEnvelope } from "@arqon/proto";
import { connect, type Connection, type Room } from "../mod.ts";
import { roomState } from "../state.ts";
import { quick, refusedWith, startPeer } from "../testing/scripted_peer.ts";

const decoder = new TextDecoder();

/** A command as the peer saw it: name, JSON of the data, and the conditions that were set. */
type Asked = [name: string, data: unknown, conditions?: Record<string, unknown>];

function askedOf(command: PlainCommand): Asked {
  assert.equal(command.content_type, "application/json");
  const { expect_version, after_version, fence, epoch, command_id } = command;
  const conditions = Object.fromEntries(
    Object.entries({ expect_version, after_version, fence, epoch, command_id })
      .filter(([, value]) => value !== 0 && value !== ""),
  );
  const data = JSON.parse(decoder.decode(command.data));
  return Object.keys(conditions).length === 0
    ? [command.name, data]
    : [command.name, data, conditions];
}

/** Runs `work` with a room whose Brain returns these answers in order. */
async function withAnswers(
  answers: readonly object[],
  work: (room: Room, connection: Connection) => Promise<void>,
): Promise<Asked[]> {
  const requests: Asked[] = [];
  await using peer = startPeer({
    hear(line, operation) {
      if (operation.kind !== "publish") return;
      const { command } = plainEnvelope(operation.envelope);
      assert.ok(command !== undefined);
      line.accept(operation.envelope, answers[requests.push(askedOf(command)) - 1]);
    },
  });
  await using connection = await connect(quick(peer.url).options);
  await work(connection.room("lobby"), connection);
  return requests;
}

const AT = { version: 4, epoch: "17" };

Deno.test("state: get, set and delete send their members and return version and epoch", async () => {
  const value = { ...AT, key: "topic", value: { tea: [1] }, exists: true };
  const state = { ...AT, state: { topic: "tea" } };
  const asked = await withAnswers([value, state, AT, AT], async (room) => {
    assert.deepEqual(await roomState(room).get("topic", { after_version: 3 }), value);
    assert.deepEqual((await roomState(room).get(undefined, { events_after: 2 })).state, {
      topic: "tea",
    });
    const options = {
      expect_version: 3,
      epoch: "17",
      command_id: "c1",
      content_type: "text/plain",
    };
    assert.deepEqual(await roomState(room).set("topic", { tea: [1] }, options), AT);
    assert.equal((await roomState(room).delete("topic", { fence: 9 })).version, 4);
  });
  assert.deepEqual(asked, [
    ["room.get", { key: "topic" }, { after_version: 3 }],
    ["room.get", { events_after: 2 }],
    ["room.set", { key: "topic", value: { tea: [1] } }, {
      expect_version: 3,
      epoch: "17",
      command_id: "c1",
    }],
    ["room.delete", { key: "topic" }, { fence: 9 }],
  ]);
});

Deno.test("locks: the fence comes from lock, renews it, and ends it", async () => {
  const lock = { ...AT, fence: 42, until_ms: 1_000 };
  const asked = await withAnswers([lock, lock, AT], async (room) => {
    const { fence } = await room.lock({ ttl_ms: 500 });
    assert.deepEqual(await room.lock({ fence }), lock);
    await room.unlock(fence);
  });
  assert.deepEqual(asked, [
    ["room.lock", { ttl_ms: 500 }],
    ["room.lock", {}, { fence: 42 }],
    ["room.unlock", {}, { fence: 42 }],
  ]);
});

Deno.test("moderation: kick by user or connection, ban and unban by scope", async () => {
  const asked = await withAnswers(new Array(6).fill(AT), async (room) => {
    await room.kick({ user_id: "mallory" }, { reason: "spam" });
    await room.kick({ connection_id: "c1" }, { command_id: "k" });
    await room.ban("mallory");
    await room.ban("mallory", { scope: "room", ttl_ms: 60_000, reason: "spam", command_id: "b" });
    await room.unban("mallory");
    await room.unban("mallory", { scope: "room" });
  });
  assert.deepEqual(asked, [
    ["room.kick", { user_id: "mallory", reason: "spam" }],
    ["room.kick", { connection_id: "c1" }, { command_id: "k" }],
    ["room.ban", { user_id: "mallory" }],
    ["room.ban", { user_id: "mallory", reason: "spam", ttl_ms: 60_000, scope: "room" }, {
      command_id: "b",
    }],
    ["room.unban", { user_id: "mallory" }],
    ["room.unban", { user_id: "mallory", scope: "room" }],
  ]);
});

Deno.test("members are read page by page to the end; count requests numbers only", async () => {
  const member = (connection_id: string) => ({
    connection_id,
    user_id: "ann",
    meta: connection_id === "a" ? null : { n: 1 },
    joined_ms: 5,
  });
  const counts = { connections: 3, users: 1 };
  const pages = [
    { members: [member("a"), member("b")], ...counts, next: "n@1:b" },
    { members: [member("c")], ...counts },
    counts,
  ];
  const asked = await withAnswers(pages, async (room) => {
    const all = [];
    for await (const each of room.members()) all.push(each);
    assert.deepEqual(all, ["a", "b", "c"].map(member));
    assert.deepEqual(await room.count(), counts);
  });
  assert.deepEqual(asked, [
    ["presence.list", {}],
    ["presence.list", { after: "n@1:b" }],
    ["presence.count", {}],
  ]);
});

Deno.test("an invalid page of members is 'malformed-frame'", async () => {
  await withAnswers([{ members: [{}], connections: 1, users: 1 }], async (room) => {
    await assert.rejects(room.members().next(), refusedWith("malformed-frame"));
  });
});

Deno.test("a text that has no UTF-8 form is refused: as U+FFFD two ids would be one", async () => {
  const asked = await withAnswers([], async (room) => {
    const half = "a\ud83d";
    for (
      const request of [
        () => room.publish("chat", 1, { message_id: half }),
        () => room.publish("chat", 1, { headers: { "x-key": half } }),
        () => room.publish("chat", 1, { headers: { [half]: "a" } }),
        () => room.publish(half),
        () => room.command("room.set", {}, { command_id: half }),
      ]
    ) await assert.rejects(request, refusedWith("invalid-field"));
  });
  assert.deepEqual(asked, []);
});
