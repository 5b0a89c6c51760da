/** One connection's presence from SUB to leave, on the real machine and a real flush. */
import assert from "node:assert/strict";
import type { ArqonError, Uint64 } from "@arqon/proto";
import { turn } from "../../shared/testing/pace.ts";
import { FlushQueue } from "../connection/flush_queue.ts";
import type { Frame } from "../fanout/frame_bytes.ts";
import type { Subscriber } from "../fanout/hub.ts";
import { createStats } from "../stats/stats.ts";
import { random } from "../fanout/testing/hub.ts";
import { ann } from "../auth/testing/identity.ts";
import { testSpine } from "../testing/spine.ts";
import { Attendance, type Attendee } from "./service.ts";
import { PresenceFrames } from "./frames.ts";
import { machine, member } from "./testing/owner.ts";
import { START_MS, written } from "./testing/port.ts";

const IDENTITY = { ...ann, user_id: "me", user_key: `${ann.issuer}\nme` };

/** Frames as short texts: ids of members, and the refusals in between. */
function shown(frame: Frame): string {
  assert(typeof frame === "string");
  const { op, id, type, data, result } = JSON.parse(frame);
  const list = (op === "ack" ? result : data).members.map(
    (it: { connection_id: string }) => it.connection_id,
  );
  const name = type === "PRESENCE_LEAVE" ? "leave" : data?.snapshot === true ? "page" : "update";
  return `${op === "ack" ? `ack ${id}` : name}: ${list.join(" ")}`;
}

function fixture(values: Record<string, unknown> = {}, unsent_bytes = 1_000_000) {
  const brain = machine(values);
  const engine = testSpine();
  const flushes = new FlushQueue(engine.spine);
  const received: string[] = [];
  const held = { count: 0, overflows: 0, events: 0 };
  const feeds: (() => Frame | undefined)[] = [];
  let subscription: Subscriber | undefined;
  const attendances = new Map<string, Attendance>();
  const attendee: Attendee = {
    id: "me",
    text: true,
    identity: IDENTITY,
    send: (frame) => void received.push(shown(frame)),
    sendLater: (next) => void feeds.push(next),
    refuse: ({ request_id }, error) =>
      void received.push(`refused ${request_id}: ${(error as ArqonError).reason}`),
    hold: () => ++held.count,
    release: () => void held.count--,
    overflow: () => void held.overflows++,
  };
  const counting = (size_bytes: number) => (held.events++, random(size_bytes));
  const frames = new PresenceFrames({ now: () => START_MS, random: counting, page_members: 3 });
  const { presence } = brain;
  const limits = { unsent_bytes, member_meta_bytes: 0 };
  const context = { presence, frames, flushes, limits, stats: createStats() };

  function sub(request_id: Uint64, is_member = true, meta = ""): Subscriber {
    const before = subscription;
    const connection_id = `me-${request_id}`;
    const subscriber: Subscriber = { connection_id, text: true, no_echo: false, send() {} };
    subscription = subscriber;
    const attendance = attendances.get("lobby") ??
      new Attendance(context, attendee, "lobby", attendances);
    attendance.ask({
      presence_request: { is_member, meta },
      subscriber,
      before,
      request: { request_id, ack_requested: false },
      restore: (other) => void (subscription === subscriber && (subscription = other)),
      leave: () => {
        if (subscription !== subscriber) return;
        attendances.get("lobby")?.end(true);
        subscription = undefined;
      },
    });
    return subscriber;
  }

  /** The Spine's flush and everything after it. */
  const settled = () => engine.spine.flush().then(() => turn());
  const feed = () => {
    for (const next of feeds) {
      for (let frame = next(); frame !== undefined; frame = next()) received.push(shown(frame));
    }
  };
  return {
    brain,
    attendances,
    received,
    held,
    sub,
    settled,
    feed,
    subscribed: () => subscription,
    end: (deliberate = true) => attendances.get("lobby")?.end(deliberate),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

Deno.test("a SUB waits for the list, joins, is answered with a list that includes it, and receives later changes", async () => {
  await using it = fixture();
  const { brain, received, held } = it;
  brain.beat("b1");
  it.sub(1, true, '"hi"');
  await it.settled();
  assert.deepEqual([received, held.count, brain.shown()], [[], 1, ""]);
  brain.answer([written("w", 1)]);
  brain.update(1, [written("w", 2)]);
  await it.settled();
  brain.port.advance(100);
  await it.settled();
  assert.deepEqual(received, ["ack 1: c1 me c2"], "one answer, and nothing before it");
  assert.equal(held.count, 0);
  brain.update(2, [], [1]);
  assert.deepEqual(received.slice(1), ["leave: c1"]);
  it.end();
  assert.equal(brain.presence.view("acme", "lobby"), undefined);
  assert.equal(it.attendances.size, 0);
});

Deno.test("if no Brain answers, the SUB is refused and has no effect", async () => {
  await using it = fixture();
  const plain: Subscriber = it.sub(1, false);
  it.brain.beat("b1");
  it.brain.answer([]);
  await it.settled();
  assert.deepEqual([it.received, it.subscribed()], [["ack 1: "], plain]);
  it.end();
  it.brain.beat("b1", [], { state: "draining" });
  it.sub(2);
  it.sub(3, false);
  it.brain.port.advance(3_000);
  assert.deepEqual(it.received.slice(1), [
    "refused 2: presence-unavailable",
    "refused 3: presence-unavailable",
  ]);
  assert.equal(it.subscribed(), plain, "the state before both");
  assert.deepEqual([it.attendances.size, it.held.count], [0, 0]);
  assert.equal(it.brain.stats.watchers, 0);
});

Deno.test("a member beyond the limit is refused, and the earlier SUB stays in force", async () => {
  await using it = fixture({ members_per_shield: 2 });
  it.brain.presence.join(member("other"));
  it.brain.beat("b1");
  it.sub(1);
  it.brain.answer([]);
  assert.deepEqual(it.received, ["refused 1: member-limit"]);
  assert.deepEqual([it.subscribed(), it.attendances.size], [undefined, 0]);
  const observer = it.sub(2, false);
  it.brain.answer([]);
  await it.settled();
  it.sub(3);
  await it.settled();
  assert.deepEqual(it.received.slice(1), ["ack 2: other", "refused 3: member-limit"]);
  assert.deepEqual([it.subscribed(), it.attendances.size], [observer, 1]);
  assert.equal(it.held.count, 0);
});

Deno.test("a second SUB before the list arrives: both are answered, and the last one applies", async () => {
  await using it = fixture();
  it.brain.beat("b1");
  it.sub(1, true, "1");
  it.sub(2, true, "2");
  it.brain.answer([]);
  await it.settled();
  it.brain.port.advance(50);
  assert.deepEqual(it.received, ["ack 1: me", "ack 2: me"]);
  assert.equal(it.brain.presence.view("acme", "lobby")?.members[0]?.meta, "2");
});

Deno.test("a member becomes an observer and a member again", async () => {
  await using it = fixture();
  it.brain.beat("b1");
  it.sub(1);
  it.brain.answer([]);
  await it.settled();
  it.brain.port.advance(100);
  it.sub(2, false);
  await it.settled();
  it.brain.port.advance(100);
  it.sub(3, true, "3");
  await it.settled();
  assert.deepEqual(it.received, ["ack 1: me", "leave: me", "ack 2: ", "update: me", "ack 3: me"]);
});

Deno.test("a leave before the list arrives refuses the SUB and removes no member", async () => {
  await using it = fixture();
  it.brain.beat("b1");
  it.sub(1);
  it.end();
  it.end();
  it.brain.answer([]);
  await it.settled();
  assert.deepEqual(it.received, ["refused 1: presence-unavailable"]);
  assert.deepEqual([it.held.count, it.brain.stats.members, it.brain.stats.watchers], [0, 0, 0]);
});

Deno.test("a leave during the Spine's confirmation removes the member again", async () => {
  await using it = fixture();
  it.brain.beat("b1");
  it.sub(1);
  it.brain.answer([]);
  assert.equal(it.brain.stats.members, 1);
  it.end();
  await it.settled();
  assert.deepEqual(it.received, ["refused 1: presence-unavailable"]);
  assert.deepEqual([it.held.count, it.brain.stats.members], [0, 0]);
});

Deno.test("if the Spine does not confirm, the connection leaves the room", async () => {
  await using it = fixture();
  it.brain.beat("b1");
  it.sub(1);
  const closed = it[Symbol.asyncDispose]();
  it.brain.answer([]);
  await closed;
  await turn();
  assert.deepEqual(it.received, ["refused 1: spine-unavailable"]);
  assert.deepEqual([it.subscribed(), it.brain.stats.members, it.held.count], [undefined, 0, 0]);
});

Deno.test("if the Spine does not confirm another SUB, the member is unchanged", async () => {
  await using it = fixture();
  it.brain.beat("b1");
  const first = it.sub(1, true, "1");
  it.brain.answer([]);
  await it.settled();
  it.sub(2, true, "2");
  const closed = it[Symbol.asyncDispose]();
  it.sub(3, false);
  await closed;
  await turn();
  const refused = it.received.filter((words) => words.startsWith("refused"));
  assert.deepEqual(refused, ["refused 2: spine-unavailable", "refused 3: spine-unavailable"]);
  assert.equal(it.subscribed(), first);
  const { members } = it.brain.presence.view("acme", "lobby") ?? {};
  assert.deepEqual(members?.map(({ connection_id, meta }) => [connection_id, meta]), [["me", "1"]]);
  assert.deepEqual([it.brain.stats.members, it.held.count], [1, 0]);
});

Deno.test("pages are sent as the client reads, and no change overtakes them", async () => {
  await using it = fixture();
  it.brain.beat("b1");
  it.sub(1, false);
  it.brain.answer([1, 2, 3, 4, 5, 6, 7].map((counter) => written("w", counter)), { clock: 7 });
  await it.settled();
  it.brain.update(1, [], [1, 5], { clock: 9 });
  assert.deepEqual(it.received, ["ack 1: c1 c2 c3"]);
  assert.equal(it.held.events, 1, "no page is made before it can be sent, but the change is");
  it.feed();
  const rest = ["page: c4 c5 c6", "page: c7", "leave: c1 c5"];
  assert.deepEqual(it.received.slice(1), rest);
  it.brain.port.advance(100);
  it.brain.update(2, [written("w", 10)], [], { clock: 10 });
  assert.deepEqual(it.received.slice(4), ["update: c10"], "at once again");
});

Deno.test("a client that does not read its pages during many changes is disconnected", async () => {
  await using it = fixture({}, 2_000);
  it.brain.beat("b1");
  it.sub(1, false);
  it.brain.answer([1, 2, 3, 4].map((counter) => written("w", counter)), { clock: 4 });
  await it.settled();
  for (let sequence = 1; sequence <= 20 && it.held.overflows === 0; sequence++) {
    it.brain.update(sequence, [written("w", 4 + sequence)], [], { clock: 4 + sequence });
    it.brain.port.advance(100);
  }
  assert.equal(it.held.overflows, 1);
  assert.deepEqual(it.received, ["ack 1: c1 c2 c3"]);
});

Deno.test("a SUB without an id gets every page as an event", async () => {
  await using it = fixture();
  it.brain.beat("b1");
  it.sub(0);
  it.brain.answer([1, 2, 3].map((counter) => written("w", counter)), { clock: 3 });
  await it.settled();
  it.feed();
  assert.deepEqual(it.received, ["page: c1 c2 c3", "page: me"]);
});
