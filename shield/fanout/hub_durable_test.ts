/**
 * The hub with durable rooms on the embedded engine: subscribers that enter or are behind, and rooms whose class
 * changes while they have subscribers. `durable/` tests the room log alone.
 */
import assert from "node:assert/strict";
import { ArqonError, decodeServerFrame, writeEnvelope } from "@arqon/proto";
import type { EntryPoint, Position } from "./entry.ts";
import type { PayloadCopy } from "../../shared/spine/contract/spine_message.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { until } from "../../shared/testing/until.ts";
import { LogFlow } from "../durable/recovery/recovery.ts";
import { tenantClass, type TestDurable, testDurable } from "../durable/testing/durable.ts";
import type { Frame } from "./frame_bytes.ts";
import { keptSubscriber } from "./testing/hub.ts";
import { patternsOf } from "../patterns/testing/unbounded.ts";

const DURABLE = [{ room: "log-*", durable: true }];
const ROOM = "log-a";

function message(type: string): Uint8Array {
  return writeEnvelope({ tenant_id: "acme", room_id: ROOM, event: { type } });
}

async function publish(test: TestDurable, ...types: string[]): Promise<void> {
  const log = await test.durable.logs.of("acme");
  for (const type of types) await log.append(ROOM, message(type));
  await test.spine.flush();
}

/** Types and offsets of the messages in frames; signals as their reason. */
function shown(frames: readonly Frame[]): string[] {
  return frames.map((frame) => {
    assert.ok(frame instanceof Uint8Array);
    const decoded = decodeServerFrame(frame);
    assert.ok(decoded.kind === "msg");
    const { event, signal, offset } = decoded.envelope;
    return signal === undefined ? `${event?.type} ${offset}` : `GAP ${signal.reason}`;
  });
}

/** Enters as `subscribe.ts` does, and sends missed messages at once. */
async function enter(test: TestDurable, id: string, position?: Position) {
  const flow = new LogFlow();
  const subscriber = { ...keptSubscriber(id), flow };
  const places: EntryPoint[] = [];
  await test.hub.enter("acme", ROOM, position, (entry_point) => {
    entry_point.flow(flow);
    places.push(entry_point);
    test.hub.subscribe("acme", ROOM, subscriber);
  });
  const read = () => {
    const missed: number[] = [];
    for (let entry = flow.next(); entry !== undefined; entry = flow.next()) {
      missed.push(entry.offset);
    }
    return missed;
  };
  return { subscriber, flow, read, entry_point: places[0]! };
}

Deno.test("a subscriber that is behind gets missed messages from its cursor, then new ones, each once", async () => {
  await using test = testDurable(DURABLE);
  await publish(test, "a", "b", "c");
  const { epoch } = (await enter(test, "c0")).entry_point.position();
  const late = await enter(test, "c1", { after: 1, epoch });
  assert.equal(late.entry_point.recovered, true);
  await publish(test, "d");
  assert.deepEqual(shown(late.subscriber.frames), [], "it has not read the earlier ones");
  assert.ok(late.flow.lag_bytes > 0);
  assert.deepEqual(late.read(), [2, 3, 4]);
  assert.ok(late.flow.is_live);
  await publish(test, "e");
  assert.deepEqual(shown(late.subscriber.frames), ["e 5"]);
});

Deno.test("all live subscribers get the same frame, with the offset in it", async () => {
  await using test = testDurable(DURABLE);
  const first = await enter(test, "c1");
  const second = await enter(test, "c2");
  assert.deepEqual([first.read(), second.read()], [[], []]);
  await publish(test, "a");
  assert.deepEqual(shown(first.subscriber.frames), ["a 1"]);
  assert.equal(first.subscriber.frames[0], second.subscriber.frames[0]);
});

Deno.test("a durable message of another Shield is delivered although no class on this Shield is durable", async () => {
  await using test = testDurable([]);
  const subscriber = keptSubscriber("c1");
  test.hub.subscribe("acme", ROOM, subscriber);
  test.spine.publish(roomSubject("in", "acme", ROOM), message("a"), { "Nats-Sequence": "7" });
  await test.spine.flush();
  assert.deepEqual(shown(subscriber.frames), ["a 7"]);
});

Deno.test("a room becomes durable while it has subscribers: nothing is lost or delivered twice", async () => {
  await using test = testDurable([]);
  const subscriber = keptSubscriber("c1");
  test.hub.subscribe("acme", ROOM, subscriber);
  test.spine.publish(roomSubject("in", "acme", ROOM), message("plain"));
  await test.spine.flush();
  test.classes.setTenant("acme", [tenantClass(ROOM, { durable: true })]);
  // The log of the room opens while messages are already published.
  const types = Array.from({ length: 40 }, (_, index) => `m${index + 1}`);
  for (const type of types) await publish(test, type);
  const expected = ["plain 0", ...types.map((type, index) => `${type} ${index + 1}`)];
  assert.deepEqual(shown(subscriber.frames), expected);
});

/**
 * Delays deliveries of the Spine, whose server may be further away than the log's. Returns a function that delivers
 * that many messages; later ones are delivered on arrival.
 */
function heldDeliveries(test: TestDurable): (count: number) => void {
  const waiting: (() => void)[] = [];
  const subscribe = test.spine.subscribe.bind(test.spine);
  test.spine.subscribe = (pattern, handler, options) =>
    subscribe(pattern, (message) => void waiting.push(() => handler(message)), options);
  return (count) => {
    for (const deliver of waiting.splice(0, count)) deliver();
  };
}

Deno.test("a pattern's room whose log starts before its next messages arrive loses none of them", async () => {
  await using test = testDurable(DURABLE);
  const deliver = heldDeliveries(test);
  const subscriber = keptSubscriber("c1");
  patternsOf(test.hub).add("acme", {
    pattern: "log-*",
    owner: {
      text: false,
      mayRelease: () => false,
      release() {},
      send() {},
      enter: () => test.hub.subscribe("acme", ROOM, subscriber),
    },
  });
  await publish(test, "a", "b", "c");
  // The first message opens the room, and the log returns its head before the others arrive.
  deliver(1);
  const { entry_point, read } = await enter(test, "c2");
  assert.deepEqual([entry_point.position().offset, read()], [3, []]);
  await publish(test, "d");
  deliver(Infinity);
  assert.deepEqual(shown(subscriber.frames), ["a 1", "b 2", "c 3", "d 4"]);
});

Deno.test("a room that becomes durable before its next messages arrive loses none of them", async () => {
  await using test = testDurable([{ room: "others", durable: true }]);
  const deliver = heldDeliveries(test);
  const subscriber = keptSubscriber("c1");
  test.hub.subscribe("acme", ROOM, subscriber);
  await publish(test, "a", "b");
  test.classes.setTenant("acme", [tenantClass(ROOM, { durable: true })]);
  const late = await enter(test, "c2");
  late.read();
  await publish(test, "c");
  deliver(Infinity);
  assert.deepEqual(shown(subscriber.frames), ["a 1", "b 2", "c 3"]);
  assert.deepEqual(shown(late.subscriber.frames), ["c 3"], "it arrived after the others");
});

Deno.test("messages that are stored, and in transit, when a room's log starts reach its subscribers", async () => {
  await using test = testDurable(DURABLE);
  const log = await test.durable.logs.of("acme");
  const asked = Promise.withResolvers<void>();
  const stored = Promise.withResolvers<void>();
  const head = log.head.bind(log);
  log.head = async (room_id) => {
    asked.resolve();
    await stored.promise;
    return await head(room_id);
  };
  const readers = new Set(["c1", "c2"].map((id) => keptSubscriber(id)));
  // Like a pattern subscriber: without a position in the room's log, which opens with the first message.
  patternsOf(test.hub).add("acme", {
    pattern: "log-*",
    owner: {
      text: false,
      mayRelease: () => false,
      release() {},
      send() {},
      enter: (_by, { subscribers }) => readers.forEach((one) => subscribers.add(one)),
    },
  });
  await publish(test, "a");
  await asked.promise;
  const types = ["b", "c", "d"];
  // The log is asked once they are stored, and before they are delivered.
  await Promise.all(types.map((type) => log.append(ROOM, message(type))));
  stored.resolve();
  await test.spine.flush();
  await publish(test, "e");
  for (const { frames } of readers) {
    assert.deepEqual(shown(frames), ["a 1", "b 2", "c 3", "d 4", "e 5"]);
  }
});

Deno.test("a room stops being durable: its subscribers continue to receive it, with a GAP if they were behind", async () => {
  await using test = testDurable([]);
  test.classes.setTenant("acme", [tenantClass(ROOM, { durable: true })]);
  await publish(test, "a");
  const { subscriber, flow } = await enter(test, "c1", { after: 0, epoch: "" });
  test.classes.setTenant("acme", []);
  assert.ok(flow.is_live);
  test.spine.publish(roomSubject("in", "acme", ROOM), message("plain"));
  await test.spine.flush();
  assert.deepEqual(shown(subscriber.frames), ["GAP lost", "plain 0"]);
  assert.equal(await test.metric("shield_log_open_rooms"), 0);
});

Deno.test("class option echo = false applies to all subscribers of the room at once", async () => {
  await using test = testDurable([]);
  const own = keptSubscriber("c1");
  const other = keptSubscriber("c2");
  test.hub.subscribe("acme", ROOM, own);
  test.hub.subscribe("acme", ROOM, other);
  test.classes.setTenant("acme", [tenantClass(ROOM, { echo: false })]);
  test.spine.publish(roomSubject("in", "acme", ROOM), message("a"), { "x-arqon-origin": "c1" });
  await test.spine.flush();
  assert.deepEqual([own.frames.length, other.frames.length], [0, 1]);
});

Deno.test("an `enter` whose callback refuses leaves nothing open", async () => {
  await using test = testDurable(DURABLE);
  const refusal = new ArqonError("too-many-rooms", "1");
  await assert.rejects(
    test.hub.enter("acme", ROOM, undefined, () => {
      throw refusal;
    }),
    (error) => error === refusal,
  );
  assert.equal(await test.metric("shield_log_open_rooms"), 0);
});

Deno.test("a subscriber that is too far behind is disconnected", async () => {
  await using test = testDurable(DURABLE);
  let cut = 0;
  const flow = new LogFlow();
  const overflow = () => void cut++;
  await test.hub.enter("acme", ROOM, undefined, () => {
    // As if its lag exceeded the limit.
    const lag = { lag_bytes: Number.MAX_SAFE_INTEGER, lag_messages: 1 };
    flow.rewind({ next: () => undefined, offset: 0, ...lag });
    test.hub.subscribe("acme", ROOM, { ...keptSubscriber("c1"), flow, overflow });
  });
  await publish(test, "a");
  assert.equal(cut, 1);
});

Deno.test("messages that a durable room may cache are copied into their own buffer, passing ones are not", async () => {
  await using test = testDurable(DURABLE);
  const copies: PayloadCopy[] = [];
  const subscribe = test.spine.subscribe.bind(test.spine);
  test.spine.subscribe = (pattern, handler, options) => {
    if (options?.copy !== undefined) copies.push(options.copy);
    return subscribe(pattern, handler, options);
  };
  await enter(test, "c1");
  test.hub.subscribe("acme", "plain", keptSubscriber("c1"));
  const sizes = copies.map((copy) => copy(new Uint8Array(1_000), 100, 300).buffer.byteLength);
  assert.equal(sizes.length, 2);
  assert.equal(sizes[0], 200);
  assert.ok(sizes[1]! > 10_000);
});

Deno.test("a change of classes reaches thousands of open rooms in turns with others, and the latest counts", async () => {
  await using test = testDurable([]);
  const subscribers = Array.from({ length: 3_000 }, (_, at) => keptSubscriber(`c${at}`));
  for (const [at, one] of subscribers.entries()) test.hub.subscribe("acme", `r-${at}`, one);
  const last = test.hub.find("acme", "r-2999")!;
  test.classes.setTenant("acme", [tenantClass("r-*", { echo: false })]);
  assert.equal(last.room_class?.echo, true, "it has its turn later");
  test.hub.unsubscribe("acme", "r-1500", subscribers[1_500]!);
  test.classes.setTenant("acme", [tenantClass("r-*", { max_members: 7 })]);
  await until("the last room has it", () => last.room_class?.max_members === 7);
  const others = [...test.hub.channels.values()].filter(({ room_class }) =>
    room_class?.max_members !== 7 || !room_class.echo
  );
  assert.deepEqual([test.hub.channels.size, others], [2_999, []]);
});
