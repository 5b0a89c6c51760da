/** Rooms received by patterns, on the embedded engine: losses, and the cost of a room without a match. */
import assert from "node:assert/strict";
import { decodeServerFrame, writeEnvelope } from "@arqon/proto";
import { roomSubject, tenantRoomsPattern } from "../../shared/subjects/subject.ts";
import { SPINE_NOW_MS } from "../testing/spine.ts";
import type { Channel, Subscriber } from "../fanout/channel.ts";
import type { Hub } from "../fanout/hub.ts";
import type { Frame } from "../fanout/frame_bytes.ts";
import { keptSubscriber, testHub } from "../fanout/testing/hub.ts";
import { type PatternListener, PatternRooms } from "./pattern_rooms.ts";
import { patternsOf } from "./testing/unbounded.ts";

function message(room_id: string): Uint8Array {
  const event = { type: "t", data: new Uint8Array(), content_type: "", schema_id: "" };
  return writeEnvelope({ tenant_id: "acme", room_id, timestamp_ms: SPINE_NOW_MS, event });
}

/** A listener that receives each room that it may enter. */
class Kept implements PatternListener {
  readonly owner = this;
  readonly text = false;
  readonly rooms = new Map<string, Subscriber>();
  readonly frames: Frame[] = [];

  constructor(readonly hub: Hub, readonly pattern: string) {}

  enter(_by: PatternListener, { tenant_id, room_id }: Channel): void {
    if (this.rooms.has(room_id)) return;
    const subscriber = keptSubscriber("c1", {}, () => this.frames.push(subscriber.frames.at(-1)!));
    this.rooms.set(room_id, subscriber);
    this.hub.subscribe(tenant_id, room_id, subscriber);
    patternsOf(this.hub).joined(tenant_id, room_id);
  }

  mayRelease(): boolean {
    return true;
  }

  release(room_id: string): void {
    const subscriber = this.rooms.get(room_id);
    if (subscriber === undefined) return;
    this.rooms.delete(room_id);
    patternsOf(this.hub).parted("acme", room_id);
    this.hub.unsubscribe("acme", room_id, subscriber);
  }

  send(frame: Frame): void {
    this.frames.push(frame);
  }

  end(): void {
    for (const room_id of [...this.rooms.keys()]) this.release(room_id);
    patternsOf(this.hub).delete("acme", this);
  }

  /** The received messages, in order. */
  get received(): string[] {
    return this.frames.map((frame) => {
      assert.ok(typeof frame !== "string");
      const decoded = decodeServerFrame(frame);
      assert.ok(decoded.kind === "msg");
      const { room_id, signal } = decoded.envelope;
      return signal === undefined ? room_id : `${signal.kind} ${signal.target} ${signal.reason}`;
    });
  }
}

Deno.test("an overflow causes a GAP in each open room, and one of the pattern", async () => {
  await using test = testHub({ subscription_messages: 2 });
  const kept = new Kept(test.hub, "a-*");
  for (const _ of patternsOf(test.hub).add("acme", kept));
  const send = (room: string) => test.spine.publish(roomSubject("in", "acme", room), message(room));
  send("a-1");
  await test.spine.flush();
  for (const room of ["a-1", "a-2", "a-3", "b"]) send(room);
  await test.spine.flush();
  const gaps = ["GAP a-1 slow-consumer", "GAP a-2 slow-consumer", "GAP a-* slow-consumer"];
  assert.deepEqual(kept.received, ["a-1", "a-1", "a-2", ...gaps]);
  kept.end();
});

Deno.test("a tenant's subscriptions last as long as its last pattern, or room that they feed", async () => {
  await using test = testHub();
  const { hub, spine, stats } = test;
  const wide = tenantRoomsPattern("in", "acme");
  assert.equal(wide, "in.t.acme.r.*");
  const kept = new Kept(hub, "a-*");
  const other = keptSubscriber("c2");
  for (const _ of patternsOf(hub).add("acme", kept));
  hub.subscribe("acme", "a-1", other);
  assert.deepEqual(hub.find("acme", "a-1")?.spine, [], "no second copy of each message");
  kept.end();
  spine.publish(roomSubject("in", "acme", "a-1"), message("a-1"));
  await spine.flush();
  assert.equal(other.frames.length, 1, "it continues unchanged");
  hub.unsubscribe("acme", "a-1", other);
  hub.subscribe("acme", "a-1", other);
  assert.equal(hub.find("acme", "a-1")?.spine.length, 2, "the tenant's have ended");
  hub.unsubscribe("acme", "a-1", other);
  const { patterns, rooms } = patternsOf(hub).counts;
  assert.deepEqual([stats.rooms, patterns, rooms], [0, 0, 0]);
});

Deno.test("a message of a room without a matching pattern opens nothing, for any number of patterns", async () => {
  await using test = testHub();
  const { hub, spine, stats } = test;
  for (let at = 0; at < 20_000; at++) patternsOf(hub).add("acme", new Kept(hub, `other-${at}-*`));
  const named = keptSubscriber("c2");
  hub.subscribe("acme", "b", named);
  for (const room of ["b", "c", "d"]) {
    spine.publish(roomSubject("in", "acme", room), message(room));
  }
  await spine.flush();
  assert.equal(named.frames.length, 1, "by its own subscription, once");
  const { unmatched, patterns } = patternsOf(hub).counts;
  assert.deepEqual([stats.rooms, unmatched, patterns], [1, 2, 20_000]);
});

Deno.test("open rooms are entered one per step, including new ones, and others are skipped", async () => {
  await using test = testHub();
  const { hub } = test;
  const other = keptSubscriber("c2");
  const open = (from: number, to: number) => {
    for (let at = from; at < to; at++) {
      for (const room of [`a-${at}`, `b-${at}`]) hub.subscribe("acme", room, other);
    }
  };
  open(0, 1_000);
  const kept = new Kept(hub, "a-*");
  let steps = 0;
  let most = 0;
  let before = 0;
  for (const _ of patternsOf(hub).add("acme", kept)) {
    most = Math.max(most, kept.rooms.size - before);
    if (++steps === 500) open(1_000, 1_100);
    before = kept.rooms.size;
  }
  assert.deepEqual([most, kept.rooms.size], [1, 1_100]);
  kept.end();
});

Deno.test("rooms beyond the limit that may not be closed are not looked at for each listener of a new one", async () => {
  await using test = testHub();
  const listeners = 100;
  const most = 20;
  const options = { spine: test.spine, stats: test.stats, channels: new Map() };
  const rooms = new PatternRooms({
    ...options as unknown as ConstructorParameters<typeof PatternRooms>[0],
    patterns_per_tenant: listeners,
    pattern_rooms_per_tenant: most,
  });
  let joins = 0;
  let asked = 0;
  const enter = (_: PatternListener, { room_id }: Channel) => {
    joins++;
    rooms.joined("acme", room_id);
  };
  for (let at = 0; at < listeners; at++) {
    const mayRelease = () => (asked++, at < listeners - 1);
    const owner = { text: false, enter, mayRelease, release: assert.fail, send() {} };
    for (const _ of rooms.add("acme", { pattern: "a-*", owner }));
  }
  for (let at = 0; at < most; at++) {
    const subscribers = { size: listeners };
    const channel = { tenant_id: "acme", room_id: `a-${at}`, spine: [], pins: 0, subscribers };
    rooms.opened(channel as unknown as Channel);
  }
  assert.ok(joins === listeners * most && asked < 70 * joins, `${asked} in ${joins}`);
});
