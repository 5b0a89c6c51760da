/** Presence frames as clients decode them, encoded once for all. */
import assert from "node:assert/strict";
import { decodeServerFrame, readPresenceLeave, readPresenceUpdate } from "@arqon/proto";
import type { PresentMember } from "@arqon/proto";
import { random } from "../fanout/testing/hub.ts";
import { PresenceFrames, type SizedFrame } from "./frames.ts";
import type { RoomChanges, RoomView } from "./presence.ts";
import { START_MS } from "./testing/port.ts";

const frames = (page_members = 1_000) =>
  new PresenceFrames({ now: () => START_MS, random, page_members });

function member(index: number, meta = ""): PresentMember {
  return { connection_id: `c${index}`, user_id: `user "${index}"`, meta, joined_ms: START_MS };
}

const PLACE = { tenant_id: "acme", room_id: "lobby" };

function view(members: readonly PresentMember[]): RoomView {
  return { ...PLACE, members, connections: members.length, users: members.length };
}

function changes(updates: PresentMember[], leaves: PresentMember[] = []): RoomChanges {
  return { ...PLACE, updates, leaves, connections: 7, users: 5 };
}

function binary({ frame }: SizedFrame) {
  assert(frame instanceof Uint8Array);
  const decoded = decodeServerFrame(frame);
  assert(decoded.kind === "msg");
  const { event } = decoded.envelope;
  assert(event !== undefined);
  return { envelope: decoded.envelope, event };
}

// deno-lint-ignore no-explicit-any
function text({ frame }: SizedFrame): any {
  assert(typeof frame === "string");
  return JSON.parse(frame);
}

Deno.test("a batch is a PRESENCE_UPDATE and a PRESENCE_LEAVE, in either form", () => {
  const batch = changes([member(1, '{"a":[1]}')], [member(2)]);
  const [update, leave] = frames().changes(batch, false).map(binary);
  assert(update !== undefined && leave !== undefined);
  const { event, envelope } = update;
  assert.deepEqual([event.type, event.content_type], ["PRESENCE_UPDATE", "application/protobuf"]);
  assert.deepEqual([envelope.tenant_id, envelope.room_id, envelope.sender_id], [
    "acme",
    "lobby",
    "",
  ]);
  assert.equal(envelope.timestamp_ms, START_MS);
  assert.deepEqual(Object.keys(envelope.headers).sort(), ["X-Timestamp", "X-Twist-ID"]);
  const read = readPresenceUpdate(event.data);
  assert.deepEqual(read, {
    members: [member(1, '{"a":[1]}')],
    connections: 7,
    users: 5,
    snapshot: false,
  });
  assert.equal(leave.event.type, "PRESENCE_LEAVE");
  const left = readPresenceLeave(leave.event.data);
  assert.deepEqual(left.members.map(({ connection_id }) => connection_id), ["c2"]);
  const [came, gone] = frames().changes(batch, true).map(text);
  assert.deepEqual([came.op, came.type, came.sender], ["msg", "PRESENCE_UPDATE", ""]);
  assert.deepEqual(came.data, {
    members: [{ connection_id: "c1", user_id: 'user "1"', meta: { a: [1] }, joined_ms: START_MS }],
    connections: 7,
    users: 5,
  });
  assert.deepEqual(gone.data.members, [{ connection_id: "c2", user_id: 'user "2"' }]);
});

Deno.test("a batch is encoded once per form, for any number of connections", () => {
  const made = frames();
  const batch = changes([member(1)]);
  assert.equal(made.changes(batch, true), made.changes(batch, true));
  assert.equal(made.changes(batch, false), made.changes(batch, false));
  const list = view([member(1)]);
  assert.equal(made.ack(list, 3, true), made.ack(list, 3, true));
  assert.notEqual(made.ack(list, 3, true), made.ack(list, 4, true));
  assert.equal(made.pages(list, 0, true)[0]!(), made.pages(list, 0, true)[0]!());
});

Deno.test("a large batch is cut into frames of page_members", () => {
  const updates = Array.from({ length: 25 }, (_, index) => member(index));
  const sizes = frames(10).changes(changes(updates, updates.slice(0, 3)), false).map((frame) => {
    const { event } = binary(frame);
    const read = event.type === "PRESENCE_LEAVE" ? readPresenceLeave : readPresenceUpdate;
    return `${event.type} ${read(event.data).members.length}`;
  });
  assert.deepEqual(sizes, [
    "PRESENCE_UPDATE 10",
    "PRESENCE_UPDATE 10",
    "PRESENCE_UPDATE 5",
    "PRESENCE_LEAVE 3",
  ]);
});

Deno.test("an answer has the first page and the number of pages; the others are events", () => {
  const list = view(Array.from({ length: 25 }, (_, index) => member(index)));
  const made = frames(10);
  const ack = text(made.ack(list, 9, true));
  assert.deepEqual([ack.op, ack.id, ack.code], ["ack", 9, 0]);
  assert.equal(ack.result.members.length, 10);
  assert.deepEqual([ack.result.connections, ack.result.users, ack.result.pages], [25, 25, 3]);
  const rest = made.pages(list, 1, true).map((made) => text(made()));
  assert.deepEqual(rest.map(({ data }) => [data.members.length, data.snapshot]), [
    [10, true],
    [5, true],
  ]);
  assert.equal(made.pages(list, 0, true).length, 3);
  const ids = [ack.result.members, ...rest.map(({ data }) => data.members)].flat()
    .map(({ connection_id }) => connection_id);
  assert.deepEqual(ids, list.members.map(({ connection_id }) => connection_id));
});

Deno.test("an empty room is one empty page", () => {
  const list = view([]);
  assert.deepEqual(text(frames().ack(list, 1, true)).result, {
    members: [],
    connections: 0,
    users: 0,
    pages: 1,
  });
  assert.equal(frames().pages(list, 1, true).length, 0);
  assert.deepEqual(text(frames().pages(list, 0, true)[0]!()).data.members, []);
});

Deno.test("members with much metadata make smaller pages, so that no frame is huge", () => {
  const meta = JSON.stringify("€".repeat(20_000));
  const list = view(Array.from({ length: 100 }, (_, index) => member(index, meta)));
  const made = frames();
  const pages = made.pages(list, 0, false);
  assert.equal(pages.length, 25);
  assert(pages.every((made) => made().size_bytes < 300_000));
  assert.equal(text(made.ack(list, 1, true)).result.pages, 25);
});
