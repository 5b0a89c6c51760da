/** The ring of Brains without presence. In virtual time; `presence/absence_test.ts` has it with presence. */
import assert from "node:assert/strict";
import { RING_CODEC } from "../../shared/cluster/beat.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import type { Beat } from "../../shared/records/member.ts";
import { keptLog } from "../../shared/testing/logs.ts";
import { type Peer, TestCluster } from "../presence/testing/cluster.ts";
import { createRingMetrics, Ring } from "./ring.ts";

/** A ring that no capability follows, and what it logs. */
function ringOn(cluster: TestCluster, brain_id: string, classesHash = () => 1) {
  const { log, lines } = keptLog({ level: "warn" });
  const ring = new Ring({
    brain_id,
    boot: cluster.now_ms,
    port: cluster.port(brain_id),
    log,
    classesHash,
    config: cluster.config,
    metrics: createRingMetrics(new Registry()),
  });
  const peer: Peer = {
    id: brain_id,
    subscribes: (subject) => subject.startsWith("sys.cluster."),
    receive(subject, message) {
      if (message.kind === "beat" || message.kind === "hello") ring.receive(subject, message);
    },
  };
  cluster.join(peer);
  return { ring, peer, lines };
}

Deno.test("Brains without presence agree on owners, and a silent one's rooms have another", () => {
  const cluster = new TestCluster();
  const { heartbeat_ms, brain_timeout_ms } = cluster.config;
  const one = ringOn(cluster, "b1");
  const two = ringOn(cluster, "b2");
  const three = ringOn(cluster, "b3");
  for (const { ring } of [one, two, three]) void ring.serve();
  cluster.run(heartbeat_ms);
  const rooms = Array.from({ length: 100 }, (_, index) => `room-${index}`);
  const owners = (ring = one.ring) => rooms.map((room) => ring.ownerOf("acme", room));
  const before = owners();
  assert.deepEqual(new Set(before), new Set(["b1", "b2", "b3"]));
  for (const { ring } of [two, three]) {
    assert.deepEqual(owners(ring), before);
    const own = before.map((owner) => owner === ring.brain_id);
    assert.deepEqual(rooms.map((room) => ring.owns("acme", room)), own);
  }
  const changes: boolean[] = [];
  one.ring.onOwnership((was_away) => changes.push(was_away));
  cluster.kill(three.peer);
  cluster.run(brain_timeout_ms + heartbeat_ms);
  assert.deepEqual(changes, [false]);
  const after = owners();
  assert.deepEqual(new Set(after), new Set(["b1", "b2"]));
  const moved = after.filter((owner, at) => owner !== before[at]);
  assert.equal(moved.length, before.filter((owner) => owner === "b3").length);
  two.ring.drain();
  cluster.run(10);
  assert.deepEqual(new Set(owners()), new Set(["b1"]));
});

Deno.test("a Brain whose capabilities open for long has not been away", () => {
  const cluster = new TestCluster();
  const { ring: first } = ringOn(cluster, "b1");
  const { ring: late, lines } = ringOn(cluster, "b2");
  void first.serve();
  cluster.run(100 * cluster.config.heartbeat_ms);
  assert.deepEqual(lines, []);
  assert.deepEqual([first.brains, late.brains], [["b1"], ["b1"]]);
  void late.serve();
  cluster.run(cluster.config.heartbeat_ms);
  assert.deepEqual([first.brains, late.brains], [["b1", "b2"], ["b1", "b2"]]);
});

Deno.test("a Brain with other room classes is reported once, and counted until one of them changes or ends", () => {
  const cluster = new TestCluster();
  let own = 7;
  const { ring, lines } = ringOn(cluster, "b1", () => own);
  const receive = (brain_id: string, more: Partial<Beat>) => {
    const beat: Beat = { kind: "beat", brain_id, boot: 1, state: "serving", writers: [], ...more };
    const bytes = RING_CODEC.encode(beat);
    ring.receive(`sys.cluster.beat.${brain_id}`, RING_CODEC.decode(bytes));
  };
  void ring.serve();
  cluster.run(cluster.config.heartbeat_ms);
  receive("b3", { classes_hash: 7 });
  // An earlier release, whose beats have no hash.
  receive("b4", {});
  assert.deepEqual([ring.differing(), lines.length], [[], 0]);
  receive("b2", { classes_hash: 8, state: "starting" });
  for (let turn = 0; turn < 3; turn++) receive("b2", { classes_hash: 8 });
  assert.deepEqual(ring.differing(), ["b2"]);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /brain=b2 .*other \[\[rooms\]\]/);
  own = 8;
  assert.deepEqual(ring.differing(), ["b3"], "not itself, before its next beat");
  receive("b3", { classes_hash: 7, state: "draining" });
  assert.deepEqual(ring.differing(), []);
});
