// The room's methods with a peer that answers commands: the frames of each, and the results. State and locks are in
// `presence_bus_test.ts`.
import assert from "node:assert/strict";
import { type PlainCommand, plainEnvelope } from "@arqon/proto";
import { connect, type Room } from "../mod.ts";
import { quick, refusedWith, startPeer } from "../testing/scripted_peer.ts";

const decoder = new TextDecoder();

/** A command as the peer saw it: name, JSON of the data, and the idempotency key if there is one. */
type Asked = [name: string, data: unknown, command_id?: string];

function askedOf({ name, data, content_type, command_id }: PlainCommand): Asked {
  assert.equal(content_type, "application/json");
  const json = JSON.parse(decoder.decode(data));
  return command_id === "" ? [name, json] : [name, json, command_id];
}

/** Runs `work` with a room whose Brain returns these answers in order. */
async function withAnswers(
  answers: readonly object[],
  work: (room: Room) => Promise<void>,
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
  await work(connection.room("lobby"));
  return requests;
}

const AT = { version: 4, epoch: "17" };

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
    ["room.kick", { connection_id: "c1" }, "k"],
    ["room.ban", { user_id: "mallory" }],
    ["room.ban", { user_id: "mallory", reason: "spam", ttl_ms: 60_000, scope: "room" }, "b"],
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
