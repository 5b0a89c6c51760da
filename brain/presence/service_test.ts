/** A Brain's presence on a real Spine: the embedded one, and one Brain on a real NATS server. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { atEnd } from "../../shared/testing/at_end.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { decodeMessage } from "../../shared/presence/wire.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { openSpine } from "../../shared/spine/open.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { everyProcess, HELLO, processSubject } from "../../shared/subjects/subject.ts";
import { until } from "../../shared/testing/until.ts";
import { type NatsServer, startNats } from "../../tests/harness/nats_server.ts";
import { TestFollower } from "./testing/follower.ts";
import { member, TestShield } from "./testing/shield.ts";
import { listed, QUICK, SpineNetwork, startPresence } from "./testing/spine_network.ts";

const now = Date.now;
const log = QUIET;

async function withEmbedded(body: (spine: Spine, network: SpineNetwork) => Promise<void>) {
  const spine = openEmbedded({ log, now });
  using network = new SpineNetwork(spine);
  await using _end = atEnd(() => spine.drain());
  await body(spine, network);
}

function openNats(server: NatsServer): Promise<Spine> {
  return openSpine(configFrom({ nats: { urls: [server.url] } }), { log, now });
}

function shieldOf(network: SpineNetwork, node_id: string): Promise<TestShield> {
  return network.join(new TestShield(network, { node_id, incarnation: Date.now() }));
}

function ids(count: number, prefix = "c"): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`).sort();
}

Deno.test("on the embedded Spine a single Brain knows and publishes a room's members", async () => {
  await withEmbedded(async (spine, network) => {
    const brain = await startPresence(spine);
    const { view } = brain;
    assert.match(view.brain_id, /^brain-[0-9a-f]{8}$/);
    const shield = await shieldOf(network, "s1");
    const follower = await network.join(new TestFollower(network, "f1"));
    shield.join(...ids(3).map((id) => member(id))).announce();
    await until("the watcher sees them", () => follower.members.size === 3);
    assert.deepEqual(listed(brain), ids(3));
    assert.deepEqual(view.count("acme", "lobby"), { connections: 3, users: 3 });
    assert.deepEqual([...view.occupied()], [{ tenant_id: "acme", room_id: "lobby" }]);
    assert.equal(view.ownerOf("acme", "lobby"), view.brain_id);
    await until("no stall is in the way", () => view.isFresh());
    const text = await brain.registry.metrics();
    assert.match(text, /^brain_presence_deltas_total\{source="announced"\} 1$/m);
    assert.match(text, /^brain_presence_room_updates_total 1$/m);
    const health = brain.health();
    assert.equal(health.ok, true);
    assert.equal(health.detail, "serving; Brains that serve: 1; Shields up: 1, down: 0");
    shield.announce(true);
    await until("they leave", () => follower.members.size === 0);
    await brain.drain();
    await brain.drain();
    assert.equal(brain.health().ok, false);
  });
});

Deno.test("a Brain that starts in a busy process does not serve before it has received the Shields", async () => {
  await withEmbedded(async (spine, network) => {
    const busy = spine.subscribe(HELLO, () => {
      for (const end_ms = performance.now() + 50; performance.now() < end_ms;);
    });
    const shield = await shieldOf(network, "s1");
    shield.join(...ids(20).map((id) => member(id))).announce();
    const brain = await startPresence(spine);
    assert.deepEqual(listed(brain), ids(20));
    busy.unsubscribe();
    await brain.drain();
  });
});

Deno.test("invalid messages, and those with unknown senders, change nothing", async () => {
  await withEmbedded(async (spine, network) => {
    const brain = await startPresence(spine, { server: { node_id: "n1" } });
    assert.equal(brain.view.brain_id, "brain:n1");
    const shield = await shieldOf(network, "s1");
    for (const subject of [HELLO, processSubject("direct", "brain:n1")]) {
      spine.publish(subject, Uint8Array.of(0xff, 0xff, 0xff));
    }
    spine.publish(processSubject("announce", "s1"), new TextEncoder().encode("{}"));
    shield.join(member("c1")).announce();
    await until("the valid part is accepted", () => listed(brain).length === 1);
    const text = await brain.registry.metrics();
    assert.match(text, /^brain_presence_refused_total\{reason="undecodable"\} 2$/m);
    assert.match(text, /^brain_cluster_refused_total\{reason="undecodable"\} 1$/m);
    await brain.drain();
  });
});

Deno.test("what the Spine does not take is counted, and nothing breaks", async () => {
  await withEmbedded(async (spine) => {
    const brain = await startPresence(spine);
    await spine.drain();
    const failures = async () =>
      (await brain.registry.getSingleMetric("brain_presence_send_failures_total")!.get())
        .values[0]!.value;
    brain.view.confirmStays("s1", { stays: [], missed: [] });
    await brain.drain();
    assert.ok(await failures() > 0);
  });
});

Deno.test("a Spine that is closed fails the start", async () => {
  const spine = openEmbedded({ log, now });
  await spine.drain();
  const unavailable = (error: unknown) =>
    error instanceof ArqonError && error.reason === "spine-unavailable";
  await assert.rejects(startPresence(spine), unavailable);
});

Deno.test("a Brain that starts again with its clock set back counts as the later one", async () => {
  await using server = await startNats({ jetstream: true });
  const spine = await openNats(server);
  const boots = new Set<number>();
  spine.subscribe(everyProcess("beat"), ({ payload }) => {
    const message = decodeMessage(payload);
    if (message.kind === "beat") boots.add(message.boot);
  });
  for (const ahead_ms of [7_200_000, 0, -7_200_000]) {
    const server = { node_id: "n1" };
    const brain = await startPresence(spine, { server }, () => Date.now() + ahead_ms);
    await brain.drain();
  }
  await spine.flush();
  assert.equal(boots.size, 3);
  assert.deepEqual([...boots], [...boots].toSorted((one, other) => one - other));
  await spine.drain();
});

Deno.test("a NATS server that restarts costs no member", async () => {
  await using server = await startNats();
  // One connection, so that Shield and Brain reconnect at the same moment.
  const spine = await openNats(server);
  using network = new SpineNetwork(spine);
  const brain = await startPresence(spine);
  const shield = await shieldOf(network, "s1");
  shield.join(...ids(5).map((id) => member(id))).announce();
  await until("all have joined", () => listed(brain).length === 5);
  const gone: string[] = [];
  brain.view.onMembers(({ leaves }) => gone.push(...leaves.map((entry) => entry.connection_id)));
  await server.kill();
  await until("the Brain notices", () => !brain.view.isFresh());
  const lost_ms = Date.now();
  await until("a Shield counts as down", () => Date.now() - lost_ms > QUICK.down_ms);
  shield.join(member("late"));
  await server.start();
  await until("it is in step again", () => brain.view.isFresh() && listed(brain).length === 6);
  assert.deepEqual(gone, []);
  const metric = await brain.registry.getSingleMetric("brain_cluster_term")!.get();
  assert.ok(metric.values[0]!.value > 2, "a new term");
  await brain.drain();
  await spine.drain();
});
