/**
 * Fan-out on real engines, with subscribers that record their frames. `hub_gap_test.ts` tests gaps, `outbox_test.ts`
 * sockets.
 */
import assert from "node:assert/strict";
import {
  ArqonError,
  decodeServerFrame,
  encodeMsg,
  encodeMsgAt,
  readEnvelope,
  writeEnvelope,
} from "@arqon/proto";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { Subscription } from "../../shared/spine/contract/spine_message.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { ORIGIN_HEADER } from "../../shared/records/caller_headers.ts";
import { DEDUPLICATION_MS } from "./deduplicate.ts";
import { Hub } from "./hub.ts";
import { TenantTable } from "../stats/tenant_stats.ts";
import { keptSubscriber, random, testHub } from "./testing/hub.ts";
import { SPINE_NOW_MS } from "../testing/spine.ts";
import { BINARY, encodeFrame, frameAround } from "../socket/frame_head.ts";
import { passingCopy } from "./channel.ts";

const HOUR_MS = 3_600_000;
const lobby = roomSubject("in", "acme", "lobby");
const lobbyOut = roomSubject("out", "acme", "lobby");

function message(room_id: string, text: string, message_id = "", sender_id = "ann"): Uint8Array {
  const data = new TextEncoder().encode(text);
  const event = { type: "chat", data, content_type: "text/plain", schema_id: "" };
  const timestamp_ms = SPINE_NOW_MS;
  return writeEnvelope({ tenant_id: "acme", room_id, timestamp_ms, message_id, sender_id, event });
}

Deno.test("all receivers of a form share one encoding, and both forms have the same message", async () => {
  await using test = testHub();
  const binary = [keptSubscriber("c1"), keptSubscriber("c2"), keptSubscriber("c3")];
  const text = [keptSubscriber("c4", { text: true }), keptSubscriber("c5", { text: true })];
  for (const subscriber of [...binary, ...text]) test.hub.subscribe("acme", "lobby", subscriber);
  const sent = message("lobby", "Grüße");
  test.spine.publish(lobby, sent);
  test.spine.publish(lobby, message("lobby", "again"));
  await test.spine.flush();
  const [frame] = binary[0]!.frames;
  assert.ok(frame instanceof Uint8Array);
  for (const { frames } of binary) {
    assert.equal(frames.length, 2);
    assert.equal(frames[0], frame, "the very same array");
    assert.notEqual(frames[1], frame);
  }
  assert.deepEqual(decodeServerFrame(frame), { kind: "msg", envelope: readEnvelope(sent) });
  const [json] = text[0]!.frames;
  assert.ok(typeof json === "string");
  for (const { frames } of text) assert.equal(frames[0], json);
  const { op, room, data, sender } = JSON.parse(json);
  assert.deepEqual({ op, room, data, sender }, {
    op: "msg",
    room: "lobby",
    data: "Grüße",
    sender: "ann",
  });
});

Deno.test("deliveries are counted, in messages and in bytes of UTF-8", async () => {
  await using test = testHub();
  const binary = keptSubscriber("c1");
  const text = keptSubscriber("c2", { text: true });
  test.hub.subscribe("acme", "lobby", binary);
  test.hub.subscribe("acme", "lobby", text);
  test.spine.publish(lobby, message("lobby", "漢字"));
  await test.spine.flush();
  const bytes = new TextEncoder().encode(text.frames[0] as string).length;
  assert.equal(test.stats.egress_messages, 2);
  assert.equal(test.stats.egress_bytes, binary.frames[0]!.length + bytes);
});

Deno.test("a subscriber without echo receives all but its own messages, every other one all", async () => {
  await using test = testHub();
  const quiet = keptSubscriber("c1", { no_echo: true });
  const loud = keptSubscriber("c1");
  const other = keptSubscriber("c2", { no_echo: true });
  for (const subscriber of [quiet, loud, other]) test.hub.subscribe("acme", "lobby", subscriber);
  test.spine.publish(lobby, message("lobby", "of c1"), { [ORIGIN_HEADER]: "c1" });
  test.spine.publish(lobby, message("lobby", "of another Shield"), { [ORIGIN_HEADER]: "c9" });
  test.spine.publish(lobby, message("lobby", "without a no-echo subscriber"));
  await test.spine.flush();
  assert.deepEqual([quiet, loud, other].map(({ frames }) => frames.length), [2, 3, 3]);
});

Deno.test("rooms of one name in two tenants share nothing, neither messages nor ids", async () => {
  await using test = testHub({ deduplication_entries: 2 });
  const acme = keptSubscriber("c1");
  const globex = keptSubscriber("c2");
  test.hub.subscribe("acme", "lobby", acme);
  test.hub.subscribe("globex", "lobby", globex);
  const globexLobby = roomSubject("in", "globex", "lobby");
  test.spine.publish(lobby, message("lobby", "x", "id-1"));
  test.spine.publish(globexLobby, message("lobby", "x", "id-1"));
  // Far more ids than the limit: they evict only ids of their own tenant.
  for (let index = 0; index < 10; index++) {
    test.spine.publish(globexLobby, message("lobby", "x", `flood-${index}`));
  }
  test.spine.publish(lobby, message("lobby", "x", "id-1"));
  test.spine.publish(globexLobby, message("lobby", "x", "id-1"));
  await test.spine.flush();
  assert.deepEqual([acme.frames.length, globex.frames.length], [1, 12]);
  assert.equal(test.stats.duplicates, 1);
});

Deno.test("an id is delivered once in two minutes per room, plane and sender; messages without an id always", async () => {
  await using test = testHub();
  const subscriber = keptSubscriber("c1");
  const side = keptSubscriber("c1");
  test.hub.subscribe("acme", "lobby", subscriber);
  test.hub.subscribe("acme", "side", side);
  const arrived = async (subject: typeof lobby, bytes: Uint8Array) => {
    const before = subscriber.frames.length + side.frames.length;
    test.spine.publish(subject, bytes);
    await test.spine.flush();
    return subscriber.frames.length + side.frames.length - before;
  };
  assert.equal(await arrived(lobby, message("lobby", "a", "id")), 1);
  assert.equal(await arrived(lobby, message("lobby", "a, sent again", "id")), 0);
  assert.equal(await arrived(lobbyOut, message("lobby", "a", "id")), 1);
  assert.equal(await arrived(roomSubject("in", "acme", "side"), message("side", "a", "id")), 1);
  assert.equal(await arrived(lobby, message("lobby", "a", "id", "bob")), 1);
  for (let times = 0; times < 3; times++) {
    assert.equal(await arrived(lobby, message("lobby", "a")), 1);
  }
  // The wall clock jumps, in either direction: no time has passed.
  for (const step_ms of [HOUR_MS, -2 * HOUR_MS, HOUR_MS]) {
    test.clock.now_ms += step_ms;
    assert.equal(await arrived(lobby, message("lobby", "a", "id")), 0);
  }
  test.clock.monotonic_ms += DEDUPLICATION_MS - 1;
  assert.equal(await arrived(lobby, message("lobby", "a", "id")), 0);
  test.clock.monotonic_ms += 1;
  assert.equal(await arrived(lobby, message("lobby", "a", "id")), 1);
});

/** A hub on an engine; the ids of ten messages are remembered. */
const hubOn = (spine: Spine, stats: ReturnType<typeof testHub>["stats"]) =>
  new Hub({
    spine,
    stats,
    random,
    tenants: new TenantTable(),
    deduplication_entries: 10,
    now: () => SPINE_NOW_MS,
  });

/** The engine with its subscriptions written down; `refuse` makes one of them fail. */
function recorded(spine: Spine, refuse?: string) {
  const opened: string[] = [];
  const closed: string[] = [];
  const subscribe = (...args: Parameters<Spine["subscribe"]>): Subscription => {
    const [pattern] = args;
    if (pattern === refuse) throw new ArqonError("spine-unavailable", "just now");
    const subscription = spine.subscribe(...args);
    opened.push(pattern);
    return {
      pattern,
      unsubscribe() {
        closed.push(pattern);
        subscription.unsubscribe();
      },
      drain: () => subscription.drain(),
    };
  };
  const onEvent: Spine["onEvent"] = (listener) => spine.onEvent(listener);
  return { opened, closed, spine: Object.assign(Object.create(spine), { subscribe, onEvent }) };
}

Deno.test("a room is opened on the Spine by its first subscriber and closed by its last", async () => {
  await using test = testHub();
  const { spine, opened, closed } = recorded(test.spine);
  const { stats } = test;
  const hub = hubOn(spine, stats);
  const subscribers = ["c1", "c2", "c3"].map((id) => keptSubscriber(id));
  for (const subscriber of subscribers) hub.subscribe("acme", "lobby", subscriber);
  assert.deepEqual(opened, [lobby, lobbyOut]);
  assert.deepEqual([stats.rooms, stats.subscriptions], [1, 3]);
  hub.unsubscribe("acme", "lobby", subscribers[0]!);
  hub.unsubscribe("acme", "lobby", subscribers[0]!);
  hub.unsubscribe("acme", "side", subscribers[1]!);
  hub.unsubscribe("globex", "lobby", subscribers[1]!);
  assert.deepEqual([stats.rooms, stats.subscriptions], [1, 2]);
  hub.unsubscribe("acme", "lobby", subscribers[1]!);
  assert.deepEqual(closed, []);
  hub.unsubscribe("acme", "lobby", subscribers[2]!);
  assert.deepEqual(closed, [lobby, lobbyOut]);
  assert.deepEqual([stats.rooms, stats.subscriptions], [0, 0]);
  hub.subscribe("acme", "lobby", subscribers[0]!);
  assert.deepEqual(opened, [lobby, lobbyOut, lobby, lobbyOut]);
  hub.close();
  assert.deepEqual(closed, [lobby, lobbyOut, lobby, lobbyOut]);
});

Deno.test("a room that is only half opened on the Spine is closed again and not counted", async () => {
  await using test = testHub();
  const { spine, opened, closed } = recorded(test.spine, lobbyOut);
  const { stats } = test;
  const hub = hubOn(spine, stats);
  const subscriber = keptSubscriber("c1");
  assert.throws(() => hub.subscribe("acme", "lobby", subscriber), { reason: "spine-unavailable" });
  assert.deepEqual([opened, closed], [[lobby], [lobby]]);
  assert.deepEqual([stats.rooms, stats.subscriptions], [0, 0]);
  test.spine.publish(lobby, message("lobby", "x"));
  await test.spine.flush();
  assert.deepEqual(subscriber.frames, []);
});

Deno.test("a subscriber that leaves during a delivery does not affect the others", async () => {
  await using test = testHub();
  const first = keptSubscriber("c1");
  const last = keptSubscriber("c3");
  const leaving = keptSubscriber("c2", {}, () => {
    test.hub.unsubscribe("acme", "lobby", leaving);
    test.hub.unsubscribe("acme", "lobby", first);
  });
  for (const subscriber of [first, leaving, last]) test.hub.subscribe("acme", "lobby", subscriber);
  for (let index = 0; index < 3; index++) test.spine.publish(lobby, message("lobby", "x"));
  await test.spine.flush();
  assert.deepEqual([first, leaving, last].map(({ frames }) => frames.length), [1, 1, 3]);
});

Deno.test("an unreadable envelope is dropped for all and counted; later ones are delivered", async () => {
  for (const text of [false, true]) {
    await using test = testHub();
    const binary = keptSubscriber("c1");
    const other = keptSubscriber("c2", { text });
    test.hub.subscribe("acme", "lobby", binary);
    test.hub.subscribe("acme", "lobby", other);
    const good = message("lobby", "good", "id");
    const bad = [
      new Uint8Array([0xff, 0xff]),
      good.subarray(0, good.length - 1),
      // A readable sender and message id, then an event that ends within a tag.
      new Uint8Array([0x42, 3, 0x61, 0x6e, 0x6e, 0x5a, 2, 0x69, 0x64, 0xaa, 1, 1, 0xff]),
      // The subject and the envelope of a backend name different rooms.
      message("another-room", "x"),
    ];
    for (const bytes of bad) test.spine.publish(lobbyOut, bytes);
    test.spine.publish(lobbyOut, good);
    await test.spine.flush();
    assert.deepEqual([binary.frames.length, other.frames.length], [1, 1]);
    assert.equal(test.stats.malformed, bad.length);
    assert.equal(test.stats.duplicates, 0, "a dropped message's id may be used again");
    assert.deepEqual(test.lines.filter((line) => line.includes("level=error")), []);
  }
});

Deno.test("a closed hub delivers nothing more", async () => {
  await using test = testHub();
  const subscriber = keptSubscriber("c1");
  test.hub.subscribe("acme", "lobby", subscriber);
  test.spine.publish(lobby, message("lobby", "under way"));
  test.hub.close();
  test.spine.publish(lobby, message("lobby", "x"));
  await test.spine.flush();
  assert.deepEqual(subscriber.frames, []);
});

// A message from the Spine is sent to a socket without another copy.

Deno.test("a copied message is its own frame, and the WebSocket's, without another copy", () => {
  for (const size of [0, 1, 124, 125, 126, 300, 2_040, 2_048, 65_535, 70_000]) {
    const read = new Uint8Array(size + 20).map((_, at) => at);
    const envelope = read.slice(10, 10 + size);
    const copy = passingCopy(read, 10, 10 + size);
    read.fill(0);
    assert.deepEqual(copy, envelope);
    const frame = encodeMsgAt(copy, 0);
    assert.deepEqual(frame, encodeMsg(envelope));
    const wire = frameAround(BINARY, frame);
    assert.deepEqual(wire, encodeFrame(BINARY, frame));
    assert.equal(wire.buffer, copy.buffer);
  }
});
