/**
 * Hooks on a real log: everything once by its position, in order by room, over receivers that fail in every way,
 * Brains that take over from each other, and trimmed logs. A hook that is ordered to repeat its calls since a time, on
 * a real log.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import {
  hasOrder,
  hookBytes,
  type HookDocument,
  hookKey,
  NEW_HOOK,
  resumed,
  waitKey,
  withAgain,
} from "../../shared/records/hook_document.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { until } from "../../shared/testing/until.ts";
import type { KeyValue, Spine } from "../../shared/spine/contract/spine.ts";
import { FollowedClasses } from "../classes/followed_classes.ts";
import { type ReceivedCall, Receiver } from "../../tests/hooks/receiver.ts";
import { status, upTo, World } from "./testing/world.ts";

Deno.test("a Brain that takes over many hooks begins them in turns with other work", async () => {
  const others = upTo(199).map((at) => ({ id: `o${at}` }));
  await using world = await World.open({}, others);
  world.owner = "b2";
  await world.brain("b1");
  let looks = 0;
  Object.defineProperty(world, "owner", { get: () => (looks++, "b1"), set: () => {} });
  world.give("b1");
  assert.ok(looks < 100, `${looks} of 200 at once`);
  await until("all", () => looks >= 200);
});

Deno.test("messages stored after a hook began are delivered, signed, in order; those of other rooms are not", async () => {
  await using world = await World.open();
  await world.send("o1", 3);
  await world.brain();
  await world.send("x1");
  await world.send("o1", 20);
  await world.send("o2");
  await until("all", () => world.taken("o1").length === 20 && world.taken("o2").length === 1);
  assert.deepEqual(world.taken("o1"), upTo(20, 4));
  const [{ id, body } = { id: "", body: undefined }] = world.receiver.taken;
  assert.match(id, /^evt_[A-Za-z0-9_-]+_\d+$/);
  assert.equal(body.data.tenant, "t");
  assert.equal(body.data.message.type, "order");
  assert.ok(body.data.offset > 3);
  assert.equal(world.receiver.taken.length, 21);
});

Deno.test("a receiver that fails in every way has everything in order in the end", async () => {
  await using world = await World.open();
  await world.brain();
  let turn = 0;
  world.receiver.answer = () => {
    const way = turn++ % 5;
    if (way === 0) return status(500);
    if (way === 1) return Response.redirect("http://127.0.0.1:1/", 307);
    if (way === 2) return status(429);
    if (way === 3) return new Response(new Uint8Array(2_000_000));
    return status(202);
  };
  await world.send("o1", 30);
  await until("all", () => world.taken("o1").length === 30);
  assert.deepEqual(world.taken("o1"), upTo(30));
});

Deno.test("concurrent calls stay within the limit", async () => {
  await using world = await World.open({}, [], { in_flight: 2 });
  await world.brain();
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  let open = 0, most = 0;
  world.receiver.answer = async () => {
    most = Math.max(most, ++open);
    await held;
    open--;
    return status(200);
  };
  for (const room of ["o1", "o2", "o3", "o4"]) await world.send(room, 3);
  await until("two", () => open === 2);
  release();
  const all = () => ["o1", "o2", "o3", "o4"].flatMap((room) => world.taken(room));
  await until("all", () => all().length === 12);
  assert.deepEqual(all(), upTo(12));
  assert.equal(most, 2);
});

Deno.test("a hanging receiver is called again after the timeout", async () => {
  await using world = await World.open({ timeout_ms: 50 });
  await world.brain();
  const { promise: held, resolve: release } = Promise.withResolvers<Response>();
  world.receiver.answer = () => world.receiver.calls.length === 1 ? held : undefined;
  await world.send("o1", 3);
  await until("all", () => world.taken("o1").length === 3);
  assert.deepEqual(world.taken("o1"), upTo(3));
  release(status(500));
});

Deno.test("a refused call becomes a dead letter, the room continues, and a replay calls again", async () => {
  await using world = await World.open({ retries: 2 });
  const registry = new Registry();
  await world.brain("b1", registry);
  const is_bad = (n: number) => n === 1 || n === 2;
  world.receiver.answer = ({ body: { data: { message } } }) =>
    is_bad(message.data.n) ? status(message.data.n === 1 ? 503 : 422) : undefined;
  await world.send("o1", 4);
  await until("the others", () => world.taken("o1").length === 2);
  assert.deepEqual(world.taken("o1"), [0, 3]);
  const dead = () => world.bucket.keys(["t", "h", "dead"]);
  assert.equal((await dead()).length, 2);
  assert.match(await registry.metrics(), /brain_hook_dead_letters_total\{hook="h"\} 2/);
  world.receiver.answer = () => undefined;
  const entry = await world.bucket.get(hookKey("t", "h"));
  const document = JSON.parse(new TextDecoder().decode(entry?.value));
  await world.bucket.put(hookKey("t", "h"), hookBytes({ ...document, replay: 1 }));
  await until("they are accepted", async () => (await dead()).length === 0);
  assert.deepEqual(world.taken("o1").toSorted(), upTo(4));
});

Deno.test("only a limited number of dead letters is kept, the latest", async () => {
  await using world = await World.open({ retries: 0 }, [], { dead_letters: 3 });
  await world.brain();
  world.receiver.answer = ({ body }) => body.data.message.data.n < 12 ? status(500) : undefined;
  await world.send("o1", 13);
  await until("the last", () => world.taken("o1").length === 1);
  const keys = await world.bucket.keys(["t", "h", "dead"]);
  const offsets = keys.map((key) => Number(key.at(-1)?.split("_").at(-1)));
  assert.deepEqual(offsets.toSorted((a, b) => a - b), [10, 11, 12]);
});

Deno.test("a Brain that takes over continues where the previous one was, whoever still calls", async () => {
  await using world = await World.open();
  const first = await world.brain("b1");
  await world.brain("b2");
  await world.send("o1", 10);
  await until("half", () => world.taken("o1").length >= 5);
  world.give("b2");
  await world.send("o1", 10);
  await until("all", () => world.taken("o1").length === 20);
  await first.drain();
  world.give("b1");
  await world.send("o1", 5);
  world.give("b2");
  await until("the rest", () => world.taken("o1").length === 25);
  assert.deepEqual(world.taken("o1"), upTo(25));
});

Deno.test("two Brains that both consider a hook theirs skip nothing, and only one continues", async () => {
  await using world = await World.open();
  await world.brain("b1");
  await world.send("o1", 5);
  await until("five", () => world.taken("o1").length === 5);
  // b1 is not notified: it still believes that it owns the hook.
  world.owner = "b2";
  await world.brain("b2");
  await world.send("o1", 40);
  await until("all", () => world.taken("o1").length === 45);
  assert.deepEqual(world.taken("o1"), upTo(45));
});

Deno.test("removed messages are reported as lost, before what follows", async () => {
  await using world = await World.open();
  await world.brain();
  await world.receiver.stop();
  await world.send("o1", 10);
  world.give("nobody");
  await world.log.trim("o1", 2);
  world.receiver.start();
  world.give("b1");
  await until("the rest", () => world.taken("o1").length === 2);
  const types = world.types();
  assert.equal(types[0], "hook.lost");
  assert.equal(world.receiver.taken[0]?.body.data.reason, "history-trimmed");
  assert.deepEqual(world.taken("o1"), [8, 9]);
  assert.deepEqual(types.slice(1), ["room.message", "room.message"]);
});

Deno.test("a message erased before its call is not called for, and reported as lost", async () => {
  await using world = await World.open();
  await world.brain();
  world.give("nobody");
  await world.send("o1", 6);
  const { messages } = await world.log.read("o1", { after: 0, limit: 6, max_bytes: 1_000_000 });
  const refused = Promise.withResolvers<void>();
  world.receiver.answer = () => (refused.resolve(), status(503));
  world.give("b1");
  await refused.promise;
  const erased = [messages[0], messages[3]].map((one) => one!.offset);
  assert.equal(await world.log.erase("o1", erased), 2);
  world.receiver.answer = ({ body }) => body.data.offset === erased[0] ? status(503) : undefined;
  await until("the rest", () => world.taken("o1").includes(5));
  assert.deepEqual(world.taken("o1"), [1, 2, 4, 5]);
  const [{ body } = { body: undefined }] = world.receiver.taken;
  assert.deepEqual([body.type, body.data.reason], ["hook.lost", "erased"]);
});

Deno.test("a message erased during its last call leaves no dead letter", async () => {
  await using world = await World.open({ retries: 0 });
  await world.brain();
  const held = Promise.withResolvers<Response>();
  const asked = Promise.withResolvers<void>();
  world.receiver.answer = ({ body }) => {
    assert.equal(body.type, "room.message");
    asked.resolve();
    return held.promise;
  };
  await world.send("o1");
  await asked.promise;
  world.receiver.answer = () => undefined;
  const { messages: [first] } = await world.log.read("o1", { after: 0, limit: 1, max_bytes: 1 });
  assert.equal(await world.log.erase("o1", [first!.offset]), 1);
  held.resolve(status(503));
  await world.send("o1");
  await until("the next one", () => world.taken("o1").length === 1);
  assert.deepEqual(await world.bucket.keys(["t", "h", "dead"]), []);
  assert.equal(world.receiver.taken[0]?.body.data.reason, "erased");
});

Deno.test("a message erased while its dead letter is stored leaves none, and an erased letter is not called for", async () => {
  await using world = await World.open({ retries: 0 });
  const { bucket, log, spine } = world;
  let before = () => Promise.resolve();
  const put: KeyValue["put"] = async (key, ...rest) => {
    if (key[2] === "dead") await before();
    return await bucket.put(key, ...rest);
  };
  let is_erased = false;
  const get: KeyValue["get"] = async (key) => {
    const entry = await bucket.get(key);
    if (is_erased && key[2] === "dead") await bucket.delete(key);
    return entry;
  };
  const keyValue: Spine["keyValue"] = () => Promise.resolve(overriding(bucket, { put, get }));
  await world.brain("b1", new Registry(), { spine: overriding(spine, { keyValue }) });
  const dead = () => bucket.keys(["t", "h", "dead"]);
  const answers = { "o1": status(503), "o2": status(422) };
  world.receiver.answer = ({ body: { data } }) => answers[data.room as keyof typeof answers];
  before = async () => {
    const { messages } = await log.read("o1", { after: 0, limit: 9, max_bytes: 1_000 });
    assert.equal(await log.erase("o1", messages.map(({ offset }) => offset)), 1);
  };
  await world.send("o1");
  await until("its call", () => world.receiver.calls.length === 1);
  before = () => Promise.resolve();
  await world.send("o2", 2);
  await until("the letters of the others", async () => {
    const keys = await dead();
    return keys.length === 2 && world.receiver.calls.length === 3;
  });
  is_erased = true;
  const entry = await bucket.get(hookKey("t", "h"));
  const document = JSON.parse(new TextDecoder().decode(entry?.value));
  await bucket.put(hookKey("t", "h"), hookBytes({ ...document, replay: 1 }));
  await until("the replay has ended", async () => {
    const { value } = await bucket.get(hookKey("t", "h")) ?? {};
    return JSON.parse(new TextDecoder().decode(value)).replayed === 1;
  });
  assert.deepEqual([world.receiver.calls.length, await dead()], [3, []]);
});

Deno.test("what was stored before the last durable class was removed is called for", async () => {
  await using world = await World.open();
  await world.brain();
  world.receiver.answer = () => status(503);
  await world.send("o1", 3);
  await until("a call", () => world.receiver.calls.length > 0);
  world.give("b2");
  world.receiver.answer = () => undefined;
  const { spine } = world;
  const config = { ...world.config, rooms: [] };
  const openClasses = () => FollowedClasses.open({ config, spine, log: QUIET });
  await world.brain("b2", new Registry(), { config, openClasses });
  await until("all", () => world.taken("o1").length === 3, 10_000);
  assert.deepEqual(world.taken("o1"), upTo(3));
});

Deno.test("a position in a deleted log is reported as lost", async () => {
  await using world = await World.open();
  const since = { stream: "another", offset: 7 };
  await world.bucket.put(hookKey("t", "h"), hookBytes({ ...NEW_HOOK, since }));
  await world.send("o1", 2);
  await world.brain();
  await until("all events", () => world.taken("o1").length === 2);
  assert.deepEqual(world.types(), ["hook.lost", "room.message", "room.message"]);
  assert.equal(world.receiver.taken[0]?.body.data.reason, "epoch-changed");
});

Deno.test("a paused hook is called for nothing, and then for everything", async () => {
  await using world = await World.open();
  const registry = new Registry();
  await world.brain("b1", registry);
  const set = async (paused: boolean) => {
    const entry = await world.bucket.get(hookKey("t", "h"));
    const document = JSON.parse(new TextDecoder().decode(entry?.value));
    await world.bucket.put(hookKey("t", "h"), hookBytes({ ...document, paused }));
  };
  await world.send("o1");
  await until("one", () => world.taken("o1").length === 1);
  await set(true);
  // Metrics exist for the hooks that the Brain has.
  const has = async () => (await registry.metrics()).includes('rooms_waiting{hook="h"}');
  await until("the Brain lets it go", async () => !await has());
  const before = world.receiver.calls.length;
  await world.send("o1", 10);
  assert.equal(world.receiver.calls.length, before);
  await set(false);
  await until("all", () => world.taken("o1").length === 11);
  assert.deepEqual(world.taken("o1"), upTo(11));
});

async function documentOf({ bucket }: World): Promise<HookDocument> {
  const entry = await bucket.get(hookKey("t", "h"));
  return JSON.parse(new TextDecoder().decode(entry?.value));
}

/** The hook `h`, and another one that is notified when `h` is disabled. */
const watched = (url: string) => ({ id: "w", room: "x*", events: ["hook.off"], url });

async function isSwitchedOff(world: World, other: Receiver, why: RegExp): Promise<void> {
  await until("the other hook is called", () => other.taken.length === 1);
  const [{ body }] = other.taken as [ReceivedCall];
  assert.deepEqual([body.type, body.data.room, body.data.event.hook], ["hook.off", null, "h"]);
  assert.match(body.data.event.why, why);
  const { paused, off } = await documentOf(world);
  assert.equal(paused, true);
  assert.match(off ?? "", why);
}

Deno.test("a receiver that answers 410 is no longer called, that is reported, and once resumed it gets everything", async () => {
  await using other = new Receiver();
  await using world = await World.open({}, [watched(other.url)]);
  const registry = new Registry();
  await world.brain("b1", registry);
  world.receiver.answer = () => status(410);
  await world.send("o1", 3);
  await isSwitchedOff(world, other, /answered 410/);
  assert.match(await registry.metrics(), /brain_hooks_off 1/);
  const calls = world.receiver.calls.length;
  await world.send("o1", 2);
  assert.equal(world.receiver.calls.length, calls);
  assert.deepEqual(await world.bucket.keys(["t", "h", "dead"]), []);
  world.receiver.answer = () => undefined;
  await world.bucket.put(hookKey("t", "h"), hookBytes(resumed(await documentOf(world))));
  await until("all", () => world.taken("o1").length === 5);
  assert.deepEqual(world.taken("o1"), upTo(5));
  assert.match(await registry.metrics(), /brain_hooks_off 0/);
});

Deno.test("a receiver that has accepted nothing for five days is switched off, by the monotonic clocks of the callers", async () => {
  await using other = new Receiver();
  await using world = await World.open({}, [watched(other.url)]);
  const HOUR_MS = 3_600_000;
  let monotonic = 0;
  const clocks = { monotonic_ms: () => monotonic };
  const first = await world.brain("b1", new Registry(), clocks);
  let failing = true;
  world.receiver.answer = ({ body }) => {
    if (!failing) return undefined;
    assert.equal(body.type, "room.message");
    monotonic += 12 * HOUR_MS;
    return status(500);
  };
  await world.send("o1");
  await until("days are counted", async () => (await documentOf(world)).failed_ms! >= 48 * HOUR_MS);
  failing = false;
  await until("it is accepted", () => world.taken("o1").length === 1);
  await until("that counts", async () => !(await documentOf(world)).failed_ms);
  failing = true;
  await world.send("o1");
  await until("days are counted", async () => (await documentOf(world)).failed_ms! >= 48 * HOUR_MS);
  assert.equal(other.taken.length, 0);
  // Another Brain, whose clock starts again, continues the counted time.
  await first.drain();
  monotonic = 5;
  const begun = world.receiver.calls.length;
  world.give("b2");
  await world.brain("b2", new Registry(), clocks);
  await isSwitchedOff(world, other, /no call was taken for 5 days/);
  assert.ok(world.receiver.calls.length - begun < 10, "it did not begin anew");
});

Deno.test("Retry-After of a receiver is honored, in all rooms", async () => {
  await using world = await World.open();
  const registry = new Registry();
  await world.brain("b1", registry);
  let refused_ms: number | undefined, early = false;
  world.receiver.answer = () => {
    const now_ms = performance.now();
    if (refused_ms !== undefined) {
      early ||= now_ms - refused_ms < 1_000;
      return undefined;
    }
    refused_ms = now_ms;
    return new Response(null, { status: 429, headers: { "retry-after": "1" } });
  };
  await world.send("o1", 2);
  const isRead = async () =>
    (await registry.metrics()).includes('calls_total{hook="h",outcome="refused"} 1');
  await until("the answer was read", isRead);
  await world.send("o2", 2);
  await until("all", () => world.taken("o1").length + world.taken("o2").length === 4);
  assert.deepEqual([world.taken("o1"), early], [upTo(2), false]);
});

Deno.test("a Brain that takes a hook over honors its receiver's Retry-After", async () => {
  await using world = await World.open();
  const first = await world.brain("b1");
  const called_ms: number[] = [];
  world.receiver.answer = () => {
    const is_first = called_ms.push(performance.now()) === 1;
    return is_first
      ? new Response(null, { status: 429, headers: { "retry-after": "2" } })
      : undefined;
  };
  await world.send("o1");
  const isStored = async () => await world.bucket.get(waitKey("t", "h")) !== undefined;
  await until("the wait is stored", isStored);
  await first.drain();
  world.give("b2");
  await world.brain("b2");
  await until("it arrives", () => world.taken("o1").length === 1);
  assert.ok(called_ms[1]! - called_ms[0]! >= 1_900, `${called_ms}`);
});

/** Sends to this many rooms; all have a message before the first call. */
async function sendToAll(world: World, rooms: readonly string[]): Promise<void> {
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const before = world.receiver.taken.length;
  world.receiver.answer = () => held.then(() => status(204));
  for (const room of rooms) await world.send(room);
  release();
  await until("all", () => world.receiver.taken.length >= before + rooms.length);
}

Deno.test("positions become one although the bucket fails when few are left", async () => {
  await using world = await World.open();
  const positions = async () => (await world.bucket.keys(["t", "h", "room"])).length;
  const { spine } = world;
  const open = spine.keyValue.bind(spine);
  /** The number at the failure; too few do not trigger a merge. */
  let left: number | undefined;
  spine.keyValue = async (...args) => {
    const bucket = await open(...args);
    const remove = bucket.delete.bind(bucket);
    bucket.delete = async (...what) => {
      const count = await positions();
      if (left !== undefined || count > 10) return await remove(...what);
      left = count;
      throw new ArqonError("spine-unavailable");
    };
    return bucket;
  };
  await world.brain("b1", new Registry(), { rooms_kept: 10 });
  // Positions since the previous survey may stay, and may be all that is left: then more are sent.
  for (let round = 1; left === undefined; round++) {
    await sendToAll(world, upTo(30).map((at) => `o${round}-${at}`));
    await until("few are left", async () => left !== undefined || await positions() <= 10);
  }
  await until("fewer are", async () => await positions() < left!);
});

Deno.test("positions in many rooms become one, and nothing is left out", async () => {
  await using world = await World.open();
  await world.brain("b1", new Registry(), { rooms_kept: 10 });
  const rooms = upTo(30).map((at) => `o${at}`);
  await sendToAll(world, rooms);
  const positions = async () => (await world.bucket.keys(["t", "h", "room"])).length;
  // Positions since the previous survey may stay: rooms_kept of them do not trigger a merge.
  await until("one", async () => await positions() <= 10);
  // A room from before, a new one, and then all from another Brain.
  await world.send("o1");
  await world.send("onew");
  await until("both", () => world.taken("o1").length + world.taken("onew").length === 3);
  world.owner = "b2";
  world.give("b2");
  await world.brain("b2");
  for (const room of rooms) await world.send(room);
  const all = () => rooms.flatMap((room) => world.taken(room));
  await until("all again", () => all().length === 61);
  assert.deepEqual(world.taken("o1"), [1, 30, 33]);
  assert.deepEqual(world.taken("o2"), [2, 34]);
});

Deno.test("positions become one although the newest message of a room was erased", async () => {
  await using world = await World.open();
  await world.brain("b1", new Registry(), { rooms_kept: 10 });
  await world.send("o0", 2);
  await until("both", () => world.taken("o0").length === 2);
  const { last } = await world.log.head("o0");
  assert.equal(await world.log.erase("o0", [last!.offset]), 1);
  await sendToAll(world, upTo(30).map((at) => `o1-${at}`));
  const positions = async () => (await world.bucket.keys(["t", "h", "room"])).length;
  await until("one", async () => await positions() <= 10, 10_000);
  await world.send("o0");
  await until("the next", () => world.taken("o0").length === 3);
});

Deno.test("thousands of rooms that are due at once are read in turns with others", async () => {
  const ROOMS = 2_000;
  await using world = await World.open();
  await (await world.brain()).drain();
  for (let at = 0; at < ROOMS; at++) await world.send(`o${at}`);
  let reads = 0;
  let in_turn = 0;
  let most = 0;
  const count = () => {
    if (in_turn++ === 0) {
      setImmediate(() => {
        most = Math.max(most, in_turn);
        in_turn = 0;
      });
    }
    reads++;
  };
  const spine = overriding(world.spine, {
    log: async (...given) => {
      const log = await world.spine.log(...given);
      return overriding(log, { read: (...args) => (count(), log.read(...args)) });
    },
  });
  const { config } = world;
  const openClasses = () => FollowedClasses.open({ config, spine, log: QUIET });
  await world.brain("b1", new Registry(), { openClasses });
  await until("all were read", () => reads >= ROOMS);
  assert(most < ROOMS / 4, `${most} reads in one turn`);
});

/** Orders the repetition of all calls for messages stored since then. */
async function orderAgain({ bucket }: World, from_ms: number): Promise<() => Promise<boolean>> {
  const stored = async () => {
    const entry = await bucket.get(hookKey("t", "h"));
    return JSON.parse(new TextDecoder().decode(entry?.value));
  };
  await bucket.put(hookKey("t", "h"), hookBytes(withAgain(await stored(), from_ms)));
  return async () => !hasOrder(await stored());
}

Deno.test("everything since a time is called again, in order by room, and then new messages", async () => {
  await using world = await World.open();
  await world.brain();
  await world.send("o1", 5);
  await world.send("o2", 2);
  await until("all", () => world.receiver.taken.length === 7);
  const from_ms = Date.now() + 5;
  await until("another time", () => Date.now() > from_ms);
  await world.send("o1", 80);
  await world.send("o3");
  await until("all", () => world.receiver.taken.length === 88);
  const before = world.receiver.taken.splice(0);
  const isDone = await orderAgain(world, from_ms);
  await until("it is done", isDone);
  await world.send("o1", 3);
  await until("again", () => world.receiver.taken.length === 84);
  assert.deepEqual(world.taken("o1"), [...upTo(80, 7), 88, 89, 90]);
  assert.deepEqual([world.taken("o2"), world.taken("o3")], [[], [87]]);
  const ids = new Set(before.map(({ id }) => id));
  assert.equal(world.receiver.taken.filter(({ id }) => ids.has(id)).length, 81, "previous ids");
});

Deno.test("requested replays survive the Brain that accepted them, and report what is lost", async () => {
  await using world = await World.open();
  await world.brain("b1", new Registry(), { rooms_kept: 1 });
  for (const room of ["o1", "o2", "o3"]) await world.send(room, 4);
  const positions = async () => (await world.bucket.keys(["t", "h", "room"])).length;
  await until("all", () => world.receiver.taken.length === 12);
  // Positions since the previous survey may stay: `rooms_kept` of them do not trigger a merge.
  await until("one position", async () => await positions() <= 1);
  world.receiver.taken.splice(0);
  await world.receiver.stop();
  await world.log.trim("o2", 1);
  const isDone = await orderAgain(world, 0);
  await until("it is done", isDone);
  world.give("b2");
  await world.brain("b2", new Registry(), { rooms_kept: 1 });
  world.receiver.start();
  await until("again", () => world.types().filter((type) => type === "room.message").length === 9);
  assert.deepEqual([world.taken("o1"), world.taken("o2"), world.taken("o3")], [
    upTo(4),
    [7],
    upTo(4, 8),
  ]);
  const lost = world.receiver.taken.filter(({ body }) => body.type === "hook.lost");
  assert.deepEqual(lost.map(({ body }) => body.data.room), ["o2"]);
});
