/** A Shield that the cluster has forgotten, or whose node id another one uses; and one that stops. */
import assert from "node:assert/strict";
import type { Beat } from "../../shared/presence/messages.ts";
import { memberOf } from "../../shared/presence/testing/members.ts";
import type { WriterState } from "../../shared/presence/types.ts";
import { Announcer } from "./announcer.ts";
import { createPresenceStats } from "./stats.ts";
import { presenceConfig, presenceLog, START_MS, TestPort } from "./testing/port.ts";

function fixture(values: Record<string, unknown> = {}) {
  const port = new TestPort();
  const stats = createPresenceStats();
  const { log, lines } = presenceLog();
  const announcer = new Announcer({
    node_id: "own",
    started_ms: START_MS,
    port,
    stats,
    log,
    config: presenceConfig(values),
    onLost: () => assert.fail("nobody is lost"),
  });
  const join = (connection_id: string, meta = "") => {
    const member = memberOf(connection_id, { meta });
    announcer.join(member);
    return member;
  };
  return { port, stats, lines, announcer, join };
}

const beat = (incarnation: number, state: WriterState, clock = 0): Beat => ({
  kind: "beat",
  brain_id: "b1",
  boot: 1,
  state: "serving",
  writers: [
    { writer: { node_id: "other", incarnation: START_MS + 9 }, clock: 1, state: "forgotten" },
    { writer: { node_id: "own", incarnation }, clock, state },
  ],
});

Deno.test("a Shield that was forgotten announces everything under a higher incarnation", () => {
  const { port, stats, lines, announcer, join } = fixture();
  join("a", "1");
  port.advance(60_000);
  join("b");
  port.take("announcement");
  announcer.onBeat(beat(START_MS, "forgotten", 2));
  const [sent] = port.take("announcement");
  assert.deepEqual(sent?.delta.writer, { node_id: "own", incarnation: START_MS + 60_000 });
  assert.equal(sent?.delta.start, 0);
  const entries = sent?.delta.entries ?? [];
  assert.deepEqual(entries.map(({ connection_id, meta }) => [connection_id, meta]), [
    ["a", "1"],
    ["b", ""],
  ]);
  assert.deepEqual(entries.map(({ joined_ms }) => joined_ms - START_MS), [0, 60_000], "as before");
  assert.deepEqual(entries.map(({ changed_ms }) => changed_ms - START_MS), [60_000, 60_000]);
  assert.match(lines.join(""), /level=warn.*had dropped/);
  announcer.onBeat(beat(START_MS, "forgotten", 2));
  assert.equal(stats.reincarnations, 1, "a late beat about the old one changes nothing");
});

Deno.test("a Shield of which another process has seen a newer incarnation takes a higher one", () => {
  const { announcer, join } = fixture();
  join("a");
  announcer.onBeat(beat(START_MS + 5_000, "up", 3));
  const first = announcer.writer.incarnation;
  assert.ok(first > START_MS + 5_001, "not what another life of this node would take, too");
  announcer.onBeat(beat(first, "up", 99));
  assert.ok(announcer.writer.incarnation > first, "a clock from the future: two of us");
});

Deno.test("a Brain that is behind, has it as down, or knows an older incarnation is not a reason", () => {
  const { announcer, join, stats } = fixture();
  join("a");
  announcer.onBeat(beat(START_MS, "up", 0));
  announcer.onBeat(beat(START_MS, "down", 1));
  announcer.onBeat(beat(START_MS - 1, "forgotten", 50));
  assert.equal(stats.reincarnations, 0);
});

Deno.test("more than three new incarnations in 30 s are an error in the log", () => {
  const { port, announcer, lines } = fixture();
  for (let index = 0; index < 4; index++) {
    announcer.onBeat(beat(announcer.writer.incarnation, "forgotten"));
    assert.equal(/level=error/.test(lines.join("")), index === 3);
    port.advance(1_000);
  }
  assert.match(lines.join(""), /level=error.*another process uses this node id/);
  lines.splice(0);
  port.advance(30_000);
  announcer.onBeat(beat(announcer.writer.incarnation, "forgotten"));
  assert.doesNotMatch(lines.join(""), /level=error/);
});

Deno.test("a stopping Shield announces that with waiting changes, again with each heartbeat, and holds no member", () => {
  const { port, stats, announcer, join } = fixture({ grace: [{ room: "*", grace_ms: 3_000 }] });
  join("a");
  const b = join("b");
  announcer.leave(b, false);
  port.take("announcement");
  announcer.leaveAll();
  const [last] = port.take("announcement");
  assert.deepEqual([last?.leaving, last?.delta.entries.length, last?.delta.end], [true, 1, 2]);
  announcer.leave(b, false);
  announcer.onBeat(beat(START_MS, "forgotten", 2));
  port.advance(10_000);
  assert.equal(port.sent.length, 0, "connections that close now are nobody's concern");
  announcer.heartbeat();
  assert.deepEqual(port.take("announcement").map(({ leaving }) => leaving), [true]);
  assert.equal(stats.members, 0);
});
