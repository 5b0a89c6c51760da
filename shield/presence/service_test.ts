/** Presence on a real Spine engine: bytes, subscriptions, timers, and invalid messages. */
import assert from "node:assert/strict";
import { Registry } from "../../shared/metrics/metrics.ts";
import { configFrom } from "../../shared/config/load.ts";
import type { ClusterMessage, RoomPull } from "../../shared/presence/messages.ts";
import { decodeMessage, encodeMessage } from "../../shared/presence/wire.ts";
import {
  everyProcess,
  HELLO,
  presenceSubject,
  processSubject,
} from "../../shared/subjects/subject.ts";
import type { Subject } from "../../shared/subjects/subject.ts";
import { until } from "../../shared/testing/until.ts";
import { random } from "../fanout/testing/hub.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { startPresence } from "./service.ts";
import { emitterOf, member } from "./testing/owner.ts";
import { START_MS, writerOf, written } from "./testing/port.ts";

/** A service on the embedded engine, and everything that it sends. */
function fixture() {
  const engine = testSpine();
  const { spine } = engine;
  const sent: ClusterMessage[] = [];
  for (const pattern of [everyProcess("announce"), HELLO, processSubject("direct", "b1")]) {
    spine.subscribe(pattern, ({ payload }) => void sent.push(decodeMessage(payload)));
  }
  const registry = new Registry();
  const { log, lines } = keptLog();
  const config = configFrom({ presence: { heartbeat_ms: 100, brain_timeout_ms: 5_000 } });
  const service = startPresence({
    node_id: "own",
    spine,
    config,
    registry,
    log,
    now: Date.now,
    random,
    monotonic_ms: () => performance.now(),
  });
  const say = (subject: Subject, message: ClusterMessage) =>
    spine.publish(subject, encodeMessage(message));
  const beat = () =>
    say(processSubject("beat", "b1"), {
      kind: "beat",
      brain_id: "b1",
      boot: START_MS,
      state: "serving",
      writers: [],
    });
  return {
    spine,
    service,
    sent,
    lines,
    say,
    beat,
    kinds: (kind: ClusterMessage["kind"]) => sent.filter((it) => it.kind === kind),
    async [Symbol.asyncDispose]() {
      service.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}

Deno.test("a service announces itself, sends heartbeats, and follows a room over the Spine", async () => {
  await using it = fixture();
  const { presence, stats } = it.service;
  await until("two heartbeats", () => it.kinds("announcement").length > 2);
  assert.equal(it.kinds("hello").length, 1);
  it.beat();
  await until("a live Brain", () => stats.live_brains === 1);
  const watch = presence.watch("acme", "lobby", { onChanges: () => {} });
  let is_ready = false;
  watch.ready(() => is_ready = true);
  await until("a question", () => it.kinds("room_pull").length > 0);
  const [{ request }] = it.kinds("room_pull") as [RoomPull];
  const place = { tenant_id: "acme", room_id: "lobby", emitter: emitterOf("b1") };
  it.say(processSubject("direct", "own"), {
    kind: "room_snapshot",
    request,
    page: 0,
    pages: 1,
    sequence: 0,
    ...place,
    entries: [written("w", 1)],
    clocks: [{ writer: writerOf("w"), clock: 1 }],
  });
  it.say(presenceSubject("acme", "lobby"), {
    kind: "room_update",
    sequence: 1,
    ...place,
    joins: [written("w", 2)],
    leaves: [],
    clocks: [{ writer: writerOf("w"), clock: 2 }],
  });
  await until("both members", () => presence.view("acme", "lobby")?.connections === 2);
  assert(is_ready);
  presence.join(member("me"));
  const announced = () =>
    it.kinds("announcement").some((one) =>
      one.kind === "announcement" && one.delta.entries.length === 1
    );
  await until("the announcement", announced);
});

Deno.test("an unreadable message is dropped and counted, and the next one is received", async () => {
  await using it = fixture();
  const { stats } = it.service;
  it.spine.publish(processSubject("direct", "own"), new Uint8Array([1, 2, 3]));
  it.spine.publish(HELLO, new Uint8Array());
  it.say(processSubject("beat", "b2"), {
    kind: "beat",
    brain_id: "b1",
    boot: 1,
    state: "serving",
    writers: [],
  });
  it.beat();
  await until("a live Brain", () => stats.live_brains === 1);
  assert.deepEqual(stats.refused, { undecodable: 2, "wrong-subject": 1 });
});

Deno.test("while the Spine refuses messages, they are counted and nothing throws", async () => {
  await using it = fixture();
  const { presence, stats } = it.service;
  await it.spine.drain();
  presence.join(member("a"));
  await until("unsent messages", () => stats.unsent > 1);
  assert.throws(() => presence.watch("acme", "hall", { onChanges: () => {} }), {
    reason: "spine-unavailable",
  });
});

Deno.test("a closed service receives and sends nothing", async () => {
  await using it = fixture();
  const { service, sent } = it;
  service.close();
  await it.spine.flush();
  const before = sent.length;
  it.beat();
  it.say(HELLO, { kind: "hello", from: "b1" });
  await it.spine.flush();
  assert.equal(service.stats.live_brains, 0);
  assert.equal(sent.length, before + 1, "only the request itself");
});
