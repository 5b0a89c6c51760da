/**
 * Presence for clients of a running bus: grants, limits and grace. The reader `member` of `tests/model` covers joins,
 * changes and leaves, `tests/walks/people` with faults. The codec of `shared/presence/wire.ts` against the code
 * generated from `replication.proto`: the same bytes, and the same field names.
 */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus, TokenOptions } from "./harness/test_bus.ts";
import { type Answer, PresenceClient } from "./peers/presence_client.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { sendUpgrade } from "./peers/raw_upgrade.ts";
import { sampleAt } from "./harness/server_state.ts";
import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import { until } from "../shared/testing/until.ts";
import { schemaOf } from "../proto/testing/schemas.ts";
import type { ClusterMessage, Stays } from "../shared/presence/messages.ts";
import { LEAVE_CAUSES, type LeaveReason } from "../shared/records/leave_reason.ts";
import { messages } from "../shared/presence/testing/message_arbitraries.ts";
import { decodeMessage, encodeMessage } from "../shared/presence/wire.ts";

const GRACE_MS = 400;
const CONFIG = `
[server]
drain_ms = 0
[limits]
#constant limits.member_meta_bytes = 64
[presence]
grace = [
  { room = "grace-long", grace_ms = 600_000 },
  { room = "grace-*", grace_ms = ${GRACE_MS} },
]
[[rooms]]
room = "quiet"
presence = false
`;

async function open(
  bus: TestBus,
  user: string,
  text = true,
  options: TokenOptions = {},
): Promise<PresenceClient> {
  return await PresenceClient.open(bus.url, await bus.tokenFor({ user, ...options }), text);
}

/** A member of the room. */
async function enter(
  bus: TestBus,
  room: string,
  user: string,
  text = true,
): Promise<PresenceClient> {
  const client = await open(bus, user, text);
  assert.equal((await client.sub(room, { presence: true })).code, 0);
  return client;
}

const receives = (client: PresenceClient, ...names: string[]) =>
  client.until(() => client.names.join() === names.join());

async function refuses(bus: TestBus): Promise<void> {
  const actions = (...allowed: string[]) => (
    { claims: { grants: [{ room: "*", actions: allowed }] } }
  );
  const client = await open(bus, "ann");
  const no_presence = await open(bus, "bob", true, actions("subscribe", "command"));
  const only_presence = await open(bus, "carl", true, actions("presence"));
  const presence = { presence: true };
  const cases: [() => Promise<Answer>, code: number, reason: string][] = [
    [() => no_presence.sub("r", presence), 403, "not-granted"],
    [() => only_presence.sub("r", presence), 403, "not-granted"],
    [() => client.sub("r", { ...presence, meta: "x".repeat(80) }), 413, "message-too-large"],
    [() => client.sub("r", { meta: { a: 1 } }), 400, "invalid-field"],
    [() => client.sub("quiet", presence), 403, "presence-disabled"],
  ];
  for (const [ask, code, reason] of cases) {
    const refused = await ask();
    assert.deepEqual([refused.code, refused.reason], [code, reason], refused.message);
  }
  assert.equal((await only_presence.command("r", "presence.count")).code, 0);
  assert.equal((await no_presence.command("r", "presence.count")).reason, "not-granted");
  const binary = await open(bus, "dora", false);
  const malformed = await binary.sub("r", {
    presence: true,
    member_meta: new TextEncoder().encode("{no JSON"),
  });
  assert.deepEqual([malformed.code, malformed.reason], [400, "invalid-field"]);
  const { result } = await client.command("r", "presence.count");
  assert.deepEqual(result, { connections: 0, users: 0 }, "nothing that was refused had an effect");
  assert.equal((await client.unsub("r")).reason, "not-subscribed");
  const reserved = await open(bus, "eve");
  reserved.raw.send({ op: "pub", room: "r", type: "PRESENCE_UPDATE", data: {}, id: 1 });
  assert.equal((await reserved.answer(1)).reason, "reserved-type");
  for (const one of [client, no_presence, only_presence, binary, reserved]) one[Symbol.dispose]();
}

/** Connections that ended without a close frame. */
const lostConnections = ({ ops_url }: TestBus) =>
  sampleAt(ops_url, 'shield_closes_total{code="1006"}');

/**
 * A member whose connection is lost: it is closed before reading what arrived, so that the peer is reset. Resolves with
 * its connection id once the Shield has noticed.
 */
async function loses(bus: TestBus, room: string, watcher: PresenceClient): Promise<string> {
  const socket = await sendUpgrade(bus.http_url, { token: await bus.tokenFor({ user: "bob" }) });
  const text = new TextEncoder().encode(`{"op":"sub","room":"${room}","presence":true}`);
  // A masked text frame, with the mask 0.
  await socket.write(new Uint8Array([0x81, 0x80 | text.length, 0, 0, 0, 0, ...text]));
  await receives(watcher, "ann", "bob");
  const connection_id = watcher.member("bob")?.connection_id;
  const lost = await lostConnections(bus);
  socket.close();
  while (await lostConnections(bus) === lost);
  return String(connection_id);
}

async function grace(bus: TestBus): Promise<void> {
  const room = "grace-long";
  const watcher = await enter(bus, room, "ann");
  const lost = await loses(bus, room, watcher);
  const back = await enter(bus, room, "bob");
  await watcher.until(() => watcher.members.has(back.connection_id));
  assert.ok(watcher.members.has(lost), "its user never was away");
  await watcher.until(() => !watcher.members.has(lost));
  // Its grace is far longer than any wait of a test.
  back.raw.socket.close(1000);
  await receives(watcher, "ann");
  watcher[Symbol.dispose]();

  const short = await enter(bus, "grace-short", "ann");
  const began_ms = performance.now();
  await loses(bus, "grace-short", short);
  await receives(short, "ann");
  assert.ok(performance.now() - began_ms >= GRACE_MS, "not before its grace has passed");
  short[Symbol.dispose]();
}

/** A grace time of ten minutes ends when its user is put out. */
async function putOut(bus: TestBus): Promise<void> {
  const room = "grace-long";
  using admin = await open(bus, "mod", true, { claims: { role: "admin" } });
  const orders: [name: string, data: (lost: string) => object][] = [
    ["room.kick", () => ({ user_id: "bob" })],
    ["room.kick", (connection_id) => ({ connection_id })],
    ["room.ban", () => ({ user_id: "bob", scope: "room" })],
    ["room.ban", () => ({ user_id: "bob", scope: "tenant" })],
  ];
  for (const [name, data] of orders) {
    const watcher = await enter(bus, room, "ann");
    const lost = await loses(bus, room, watcher);
    watcher.raw.socket.close(1000);
    assert.equal((await admin.command(room, name, { data: data(lost) })).code, 0);
    await until(name, async () => {
      return (await admin.command(room, "presence.count")).result.connections === 0;
    });
    await admin.command(room, "room.unban", { data: { user_id: "bob", scope: "room" } });
  }
}

Deno.test("a member that has joined is in the next requested list, however long joins wait", async () => {
  await using bus = await startLocalBus(CONFIG, {
    constants: { presence: { page_members: 3, announce_ms: 2_000 } },
  });
  using _first = await enter(bus, "asked", "ann");
  using bob = await enter(bus, "asked", "bob");
  const { result: counted } = await bob.command("asked", "presence.count");
  assert.deepEqual(counted, { connections: 2, users: 2 });
  await bob.unsub("asked");
  const { result: { members } } = await bob.command("asked", "presence.list");
  assert.deepEqual(members.map(({ user_id }: { user_id: string }) => user_id), ["ann"]);
});

Deno.test("a refused SUB with presence and a position leaves its reader of a durable room where it was", async () => {
  const room_class = '[[rooms]]\nroom = "small"\ndurable = true\nmax_members = 1\n';
  await using bus = await startLocalBus(room_class);
  using _member = await enter(bus, "small", "ann");
  using writer = await openText(bus.url, await bus.tokenFor({ user: "cat" }));
  using reader = await openText(bus.url, await bus.tokenFor({ user: "bob" }));
  const { result: { epoch } } = await ask(reader, { op: "sub", room: "small" });
  const publish = (data: number) => ask(writer, { op: "pub", room: "small", type: "t", data });
  const { offset } = await publish(1);
  for (const data of [2, 3]) await publish(data);
  for (const data of [1, 2, 3]) assert.equal((await reader.json()).data, data);
  const position = { after_offset: offset, epoch };
  reader.send({ op: "sub", room: "small", id: 2, presence: true, ...position });
  assert.equal((await reader.json()).reason, "member-limit");
  await publish(4);
  assert.equal((await reader.json()).data, 4, "nothing comes twice");
});

Deno.test("presence on a running bus", async (t) => {
  await using bus = await startLocalBus(CONFIG, { constants: { presence: { page_members: 3 } } });
  await t.step("grants and limits are enforced, and a refusal has no effect", () => refuses(bus));
  await t.step("in a room with grace a lost connection's user does not flicker", () => grace(bus));
  await t.step("a kick or a ban ends the grace time of a lost connection", () => putOut(bus));
});

const ClusterMessageSchema = schemaOf("ClusterMessage");

type LeaveReasons = ReadonlyMap<number, LeaveReason>;

/** Those are uint32, which Protobuf's JSON writes as numbers; 64-bit ones are strings. */
const UINT32 = ["page", "pages", "classes_hash"];

/** Our value in Protobuf's JSON form. */
function jsonOf(name: string, value: unknown): unknown {
  if (typeof value === "number") return UINT32.includes(name) ? value : String(value);
  if (typeof value === "string") {
    if (name === "state") return `STATE_${value.toUpperCase()}`;
    return name === "meta" ? Buffer.from(value).toString("base64") : value;
  }
  if (Array.isArray(value)) return value.map((each) => jsonOf(name, each));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([, each]) => each !== undefined)
      .map(([key, each]) => [key, jsonOf(key, each)]),
  );
}

function expectedJson({ kind, ...rest }: ClusterMessage): unknown {
  const body = jsonOf(kind, rest) as Record<string, unknown>;
  if (kind === "announcement") {
    const { reasons = new Map<number, LeaveReason>() } = rest as { reasons?: LeaveReasons };
    body["reasons"] = [...reasons].map(([counter, cause]) => (
      { counter: String(counter), cause: LEAVE_CAUSES.indexOf(cause) }
    ));
  }
  if (kind === "stays") {
    body["stays"] = (rest as Stays).stays.map(({ cause, ...member }) => (
      { member: jsonOf("member", member), cause: LEAVE_CAUSES.indexOf(cause) }
    ));
  }
  if (kind === "beat") body["classes_hash"] ??= 0;
  if (kind === "pulled") body["unknown"] = body["delta"] === undefined;
  return { [kind]: body };
}

for (const [kind, message] of Object.entries(messages)) {
  Deno.test(`${kind}: the same bytes and names as the generated code`, () => {
    fc.assert(fc.property(message as fc.Arbitrary<ClusterMessage>, (written) => {
      const ours = encodeMessage(written);
      const parsed = fromBinary(ClusterMessageSchema, ours);
      const options = { useProtoFieldName: true, alwaysEmitImplicit: true };
      assert.deepEqual(toJson(ClusterMessageSchema, parsed, options), expectedJson(written));
      const theirs = toBinary(ClusterMessageSchema, parsed);
      assert.deepEqual(new Uint8Array(theirs), new Uint8Array(ours));
      assert.deepEqual(decodeMessage(theirs), written);
    }));
  });
}
