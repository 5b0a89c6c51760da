/**
 * What hooks subscribe to, the cost of a message, and the report of a hook whose rooms cannot be read. Their share of
 * the bucket.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { keptLog } from "../../shared/testing/logs.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { BucketShares, inShares } from "../../shared/spine/bucket_shares.ts";
import { LOG_OFFSET_HEADER } from "../../shared/spine/contract/durable_log.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { until } from "../../shared/testing/until.ts";
import { HookFeeds } from "./feeds.ts";
import { upTo, World } from "./testing/world.ts";

/** Counts subscriptions, and the calls of handlers. */
function watchSpine(spine: Spine): { readonly patterns: Set<string>; callbacks: number } {
  const seen = { patterns: new Set<string>(), callbacks: 0 };
  const subscribe = spine.subscribe.bind(spine);
  spine.subscribe = (pattern, handler, options) => {
    assert.ok(!seen.patterns.has(pattern), `subscribed to twice: ${pattern}`);
    seen.patterns.add(pattern);
    const subscription = subscribe(pattern, (message) => {
      seen.callbacks++;
      handler(message);
    }, options);
    const unsubscribe = subscription.unsubscribe.bind(subscription);
    subscription.unsubscribe = () => {
      seen.patterns.delete(pattern);
      unsubscribe();
    };
    return subscription;
  };
  return seen;
}

const text = (bytes: string) => new TextEncoder().encode(bytes);

Deno.test("twenty hooks of a tenant share one subscription, and a message is one callback", async () => {
  const others = upTo(19).map((at) => ({ id: `h${at}`, room: at < 10 ? "o*" : "p*" }));
  await using world = await World.open({}, others);
  const seen = watchSpine(world.spine);
  const brain = await world.brain();
  assert.deepEqual([...seen.patterns], ["in.t.t.r.*"]);
  for (const at of upTo(100)) {
    world.spine.publish(roomSubject("in", "t", `x${at % 3}`), text("not stored"));
  }
  await world.send("o1", 5);
  await until("all", () => world.receiver.taken.length === 5 * 11);
  assert.equal(seen.callbacks, 105);
  assert.deepEqual(world.taken("o1"), upTo(5));
  await brain.drain();
  assert.deepEqual([...seen.patterns], []);
});

Deno.test("hooks that name single rooms get only these", async () => {
  const others = [
    { id: "same", room: "o1" },
    { id: "members", room: "o2", events: ["member.left"] },
    { id: "refusals", room: "*", events: ["policy.refused"] },
  ];
  await using world = await World.open({ room: "o1" }, others);
  const seen = watchSpine(world.spine);
  await world.brain();
  const single = ["in.t.t.r.o1", "in.t.t.r.o2~members", "in.t.t.r.~events"];
  assert.deepEqual([...seen.patterns].sort(), single);
  await world.send("o3", 10);
  await world.send("o1");
  await until("both", () => world.receiver.taken.length === 2);
  assert.equal(seen.callbacks, 1);
});

Deno.test("a feed follows added and removed hooks", async () => {
  await using world = await World.open();
  const seen = watchSpine(world.spine);
  const feeds = new HookFeeds(world.spine);
  const received: string[] = [];
  const listen = (tenant: string, room: string, name: string) =>
    feeds.listen({ tenant, room, events: ["room.message"] }, (room_id, offset) => {
      received.push(`${name} ${room_id} ${offset}`);
    });
  const publish = async (tenant: string, room_id: string, offset: number) => {
    const headers = { [LOG_OFFSET_HEADER]: String(offset) };
    world.spine.publish(roomSubject("in", tenant, room_id), text(""), headers);
    await world.spine.flush();
  };
  const stopExact = listen("u", "a1", "exact");
  const stopSame = listen("u", "a1", "same");
  assert.deepEqual([...seen.patterns], ["in.t.u.r.a1"]);
  await publish("u", "a1", 1);
  await publish("u", "a2", 2);
  const stopMany = listen("u", "a*", "many");
  assert.deepEqual([...seen.patterns], ["in.t.u.r.*"]);
  await publish("u", "a1", 3);
  await publish("u", "a2", 4);
  await publish("u", "b", 5);
  stopSame();
  stopMany();
  stopMany();
  await publish("u", "a1", 6);
  await publish("u", "a2", 7);
  await publish("v", "a1", 8);
  await until("the last", () => received.includes("exact a1 6"));
  assert.deepEqual(received, [
    ...["exact a1 1", "same a1 1"],
    ...["exact a1 3", "same a1 3", "many a1 3", "many a2 4", "exact a1 6"],
  ]);
  stopExact();
  assert.deepEqual([...seen.patterns], []);
});

Deno.test("a hook of a pattern is not called for what is kept beside its rooms, nor for a program's log", async () => {
  await using world = await World.open({}, [{ id: "values", room: "o1~values" }]);
  const { log, lines } = keptLog({ level: "info" });
  await world.brain("b1", new Registry(), { log });
  await world.log.append("o1~reducer", text("what others asked for"));
  await world.send("o1~values");
  await world.send("o1");
  await until("both", () => world.receiver.taken.length === 2);
  const rooms = world.receiver.taken.map(({ body }) => body.data.room);
  assert.deepEqual(rooms.toSorted(), ["o1", "o1~values"]);
  assert.deepEqual(lines.filter((line) => line.includes("level=warn")), []);
});

Deno.test("rooms that cannot be read are counted, looked at more and more seldom, and warned of once", async () => {
  await using world = await World.open();
  const attempts_ms: number[] = [];
  let is_away = false;
  const head = world.log.head.bind(world.log);
  world.log.head = (room_id) => {
    if (!is_away) return head(room_id);
    attempts_ms.push(performance.now());
    return Promise.reject(new ArqonError("log-unavailable"));
  };
  const { log, lines } = keptLog({ level: "info" });
  const warnings = () => lines.filter((line) => line.includes("level=warn")).length;
  const registry = new Registry();
  await world.brain("b1", registry, { log });
  is_away = true;
  await until("some attempts", () => attempts_ms.length >= 5);
  assert.equal(warnings(), 1, lines.join("\n"));
  assert.match(await registry.metrics(), /brain_hook_survey_failures_total\{hook="h"\} [5-9]\n/);
  const [, , third = 0, fourth = 0, fifth = 0] = attempts_ms;
  // survey_ms is 100; a timer may be late, but never early.
  assert.ok(fourth - third > 350 && fifth - fourth > 700, attempts_ms.join(" "));
  is_away = false;
  const isRead = () => lines.some((line) => line.includes("are read again"));
  await until("it works", isRead);
  is_away = true;
  await until("another warning", () => warnings() === 2);
});

Deno.test("a tenant's hooks in many rooms leave room in the bucket for those of another", async () => {
  await using world = await World.open();
  const bucket = overriding(world.bucket, { limit_bytes: 20_000 });
  world.spine = overriding(world.spine, { keyValue: () => Promise.resolve(bucket) });
  for (const at of upTo(50)) await world.bucket.put(["t", "h", "room", `x${at}`], new Uint8Array());
  const brain = await world.brain();
  for (const at of upTo(40)) await world.send(`o${at}`);
  await until("its share is full", async () => !await new BucketShares().take(bucket, "t", 500));
  await brain.drain();
  const { length } = await world.bucket.keys(["t"]);
  assert.ok(length > 50 && length < 62, `${length}`);
  await inShares(bucket).put(["globex", "h"], new Uint8Array(1_000));
});
