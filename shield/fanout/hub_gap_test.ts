/**
 * Which rooms are notified of lost messages: on the embedded engine after overflowing subscriptions, on a real NATS
 * after a restart of the server.
 */
import assert from "node:assert/strict";
import { decodeServerFrame, writeEnvelope } from "@arqon/proto";
import {
  AGAIN_HEADER,
  changeId,
  FIRST_HEADER,
  readChangeId,
} from "../../shared/records/room_update.ts";
import type { Spine, SpineEvent, SpineState } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { subjectPattern } from "../../shared/spine/testing/subjects.ts";
import type { Frame } from "./frame_bytes.ts";
import { Hub } from "./hub.ts";
import { ORDER_HEADER } from "../message/room_order.ts";
import { createStats } from "../stats/stats.ts";
import { TenantTable } from "../stats/tenant_stats.ts";
import { keptSubscriber, random, testHub } from "./testing/hub.ts";
import { SPINE_NOW_MS } from "../testing/spine.ts";

const lobby = roomSubject("in", "acme", "lobby");
const event = { type: "chat", data: new Uint8Array(), content_type: "", schema_id: "" };
const message = writeEnvelope({ tenant_id: "acme", room_id: "lobby", event });

/** `GAP lobby slow-consumer` for a signal, `message` for an event. */
function shown(frame: Frame): string {
  if (typeof frame === "string") {
    const { signal } = JSON.parse(frame);
    return signal === undefined ? "message" : `${signal.kind} ${signal.target} ${signal.reason}`;
  }
  const decoded = decodeServerFrame(frame);
  const signal = decoded.kind === "msg" ? decoded.envelope.signal : undefined;
  return signal === undefined ? "message" : `${signal.kind} ${signal.target} ${signal.reason}`;
}

Deno.test("a room whose subscription overflows gets one GAP, after the messages that still arrived", async () => {
  await using test = testHub({ subscription_messages: 3 });
  const binary = keptSubscriber("c1", { no_echo: true });
  const text = keptSubscriber("c2", { text: true });
  const others = [keptSubscriber("c3"), keptSubscriber("c4")];
  test.hub.subscribe("acme", "lobby", binary);
  test.hub.subscribe("acme", "lobby", text);
  test.hub.subscribe("acme", "side", others[0]!);
  test.hub.subscribe("globex", "lobby", others[1]!);
  for (let index = 0; index < 10; index++) test.spine.publish(lobby, message);
  await test.spine.flush();
  const expected = ["message", "message", "message", "GAP lobby slow-consumer"];
  assert.deepEqual([binary, text].map(({ frames }) => frames.map(shown)), [expected, expected]);
  assert.deepEqual(others.map(({ frames }) => frames.length), [0, 0]);
  assert.equal(test.stats.gaps, 1);
  const decoded = decodeServerFrame(binary.frames[3] as Uint8Array);
  assert.ok(decoded.kind === "msg");
  const { tenant_id, room_id, timestamp_ms } = decoded.envelope;
  assert.deepEqual({ tenant_id, room_id, timestamp_ms }, {
    tenant_id: "acme",
    room_id: "lobby",
    timestamp_ms: SPINE_NOW_MS,
  });
});

Deno.test("lost messages of a backend are a gap of the room, too", async () => {
  await using test = testHub({ subscription_messages: 2 });
  const subscriber = keptSubscriber("c1");
  test.hub.subscribe("acme", "lobby", subscriber);
  for (let index = 0; index < 5; index++) {
    test.spine.publish(roomSubject("out", "acme", "lobby"), message);
  }
  await test.spine.flush();
  assert.deepEqual(subscriber.frames.map(shown).slice(2), ["GAP lobby slow-consumer"]);
});

Deno.test("a gap of another client of the engine, such as a backend, is not a gap of a room", async () => {
  await using test = testHub({ subscription_messages: 3 });
  const subscriber = keptSubscriber("c1");
  test.hub.subscribe("acme", "lobby", subscriber);
  test.spine.subscribe(subjectPattern("in.t.>"), () => {});
  const events: unknown[] = [];
  test.spine.onEvent((event) => void events.push(event));
  for (let index = 0; index < 10; index++) {
    test.spine.publish(roomSubject("in", "acme", `r${index}`), message);
  }
  await test.spine.flush();
  assert.deepEqual(events, [{ type: "gap", pattern: "in.t.>", reason: "slow-consumer" }]);
  assert.deepEqual([subscriber.frames.length, test.stats.gaps], [0, 0]);
});

Deno.test("repeated and overtaken messages are dropped, and a gap is reported at its position", async () => {
  await using test = testHub();
  const subscriber = keptSubscriber("c1");
  test.hub.subscribe("acme", "lobby", subscriber);
  // As "s1 previous number": 2 is repeated, and 4 arrives late, so there is a gap before 5.
  for (const order of ["s1 0 1", "s1 1 2", "s1 1 2", "s1 2 3", "s1 4 5", "s1 3 4", "s1 5 6"]) {
    test.spine.publish(lobby, message, { [ORDER_HEADER]: order });
  }
  await test.spine.flush();
  const received = ["message", "message", "message", "GAP lobby lost", "message", "message"];
  assert.deepEqual(subscriber.frames.map(shown), received);
  assert.deepEqual([test.stats.repeated, test.stats.gaps], [2, 1]);
});

/** The bus's event about a change of a room. */
function update(version: number, epoch = "7"): Uint8Array {
  const change = { ...event, type: "ROOM_UPDATE" };
  const message_id = changeId({ epoch, version });
  return writeEnvelope({ tenant_id: "acme", room_id: "lobby", message_id, event: change });
}

/** `change 4`, `message` or `GAP …`. */
function shownChange(frame: Frame): string {
  const decoded = decodeServerFrame(frame as Uint8Array);
  const id = decoded.kind === "msg" ? readChangeId(decoded.envelope.message_id) : undefined;
  return id === undefined ? shown(frame) : `change ${id.version}`;
}

Deno.test("each change is delivered once and in order, with a GAP in place of a missing one", async () => {
  await using test = testHub();
  const subscriber = keptSubscriber("c1");
  test.hub.subscribe("acme", "lobby", subscriber);
  const out = roomSubject("out", "acme", "lobby");
  for (const version of [1, 2, 2, 4, 3]) test.spine.publish(out, update(version));
  // Repeated reports: of a change received before, and of one not received yet.
  test.spine.publish(out, update(4), { [AGAIN_HEADER]: "2000" });
  test.spine.publish(out, update(6), { [AGAIN_HEADER]: "2000" });
  test.spine.publish(out, message);
  await test.spine.flush();
  const received = ["change 1", "change 2", "GAP lobby changes-lost", "change 4"];
  const then = ["GAP lobby changes-lost", "change 6", "message"];
  assert.deepEqual(subscriber.frames.map(shownChange), [...received, ...then]);
  assert.deepEqual([test.stats.repeated, test.stats.duplicates, test.stats.gaps], [2, 0, 2]);
});

Deno.test("a recreated room causes no GAP; one in another incarnation does", async () => {
  await using test = testHub();
  const subscriber = keptSubscriber("c1");
  test.hub.subscribe("acme", "lobby", subscriber);
  const out = roomSubject("out", "acme", "lobby");
  test.spine.publish(out, update(4));
  test.spine.publish(out, update(9_001, "9"), { [FIRST_HEADER]: "1" });
  test.spine.publish(out, update(9_002, "9"));
  test.spine.publish(out, update(19_001, "11"));
  await test.spine.flush();
  const received = ["change 4", "change 9001", "change 9002"];
  assert.deepEqual(subscriber.frames.map(shownChange), [
    ...[...received, "GAP lobby changes-lost", "change 19001"],
  ]);
});

Deno.test("changes reported before a room was opened here are not reported to new subscribers", async () => {
  await using test = testHub();
  const subscriber = keptSubscriber("c1");
  test.hub.subscribe("acme", "lobby", subscriber);
  const out = roomSubject("out", "acme", "lobby");
  test.spine.publish(out, update(4), { [AGAIN_HEADER]: "600000" });
  test.spine.publish(out, update(5));
  await test.spine.flush();
  assert.deepEqual(subscriber.frames.map(shownChange), ["change 5"]);
});

/** A Spine that the test disconnects and reconnects, and manual deliveries. */
function handMadeSpine() {
  const handlers = new Map<string, (message: SpineMessage) => void>();
  const listeners = new Set<(event: SpineEvent) => void>();
  const emit = (event: SpineEvent) => {
    for (const listener of listeners) listener(event);
  };
  const spine: Pick<Spine, "subscribe" | "onEvent"> = {
    subscribe: (pattern, handler) => {
      handlers.set(pattern, handler);
      return { pattern, unsubscribe: () => {}, drain: () => Promise.resolve() };
    },
    onEvent: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const state = (now: SpineState): SpineEvent => ({
    type: "state",
    status: {
      engine: "nats",
      state: now,
      since_ms: 0,
      reconnects: 0,
      pending_bytes: 0,
      slow_consumers: 0,
    },
  });
  return {
    spine,
    deliver: (subject: string, payload: Uint8Array) =>
      handlers.get(subject)?.({ subject, payload, headers: {}, respond: () => {} }),
    lose: () => emit(state("disconnected")),
    restore: () => emit(state("connected")),
    confirm: () => emit({ type: "gap", pattern: undefined, reason: "reconnect" }),
  };
}

Deno.test("after a loss of the Spine the GAP precedes the next message, once in each room", () => {
  const { spine, deliver, lose, restore, confirm } = handMadeSpine();
  const stats = createStats();
  const tenants = new TenantTable();
  const now = Date.now;
  const hub = new Hub({ spine, stats, tenants, now, random, deduplication_entries: 10 });
  const active = keptSubscriber("c1");
  const silent = keptSubscriber("c2");
  const late = keptSubscriber("c3");
  hub.subscribe("acme", "lobby", active);
  hub.subscribe("acme", "side", silent);
  deliver(lobby, message);
  lose();
  restore();
  hub.subscribe("acme", "late", late);
  // The server has the subscriptions again, which is not confirmed yet.
  deliver(lobby, message);
  deliver(roomSubject("in", "acme", "late"), message);
  confirm();
  deliver(lobby, message);
  assert.deepEqual(active.frames.map(shown), [
    ...["message", "GAP lobby reconnect", "message", "message"],
  ]);
  assert.deepEqual(silent.frames.map(shown), ["GAP side reconnect"]);
  assert.deepEqual(late.frames.map(shown), ["message"]);
  // Lost again before the confirmation: one GAP, and nothing precedes it.
  lose();
  restore();
  lose();
  restore();
  confirm();
  deliver(lobby, message);
  assert.deepEqual(active.frames.slice(4).map(shown), ["GAP lobby reconnect", "message"]);
  hub.close();
});
