/** A whole Brain on an embedded Spine. `race_test.ts` has NATS, `main_test.ts` the process. */
import assert from "node:assert/strict";
import { ArqonError, writeEnvelope } from "@arqon/proto";
import { configFrom } from "../shared/config/load.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { keptLog, QUIET } from "../shared/testing/logs.ts";
import { createMetrics } from "../shared/metrics/metrics.ts";
import { isReady } from "../shared/listeners/ops.ts";
import { openEmbedded } from "../shared/spine/embedded/embedded.ts";
import type { Spine } from "../shared/spine/contract/spine.ts";
import { tapSubject } from "../shared/subjects/subject.ts";
import { accepted, sendCommand, TRACE_ID } from "./rooms/testing/command_probe.ts";
import { BRAIN_CAPABILITIES } from "./capabilities.ts";
import { type Brain, startBrain } from "./server.ts";

const FILES = { readTextFile: Deno.readTextFileSync, readFile: Deno.readFileSync };

interface Stand {
  readonly spine: Spine;
  readonly brain: Brain;
  readonly lines: string[];
  metrics(): Promise<string>;
}

/** A Brain on an embedded Spine, for as long as `body` runs. */
async function withBrain(settings: Record<string, unknown>, body: (stand: Stand) => Promise<void>) {
  const now = Date.now;
  const { log, lines } = keptLog({ level: "info", now });
  const spine = openEmbedded({ log, now });
  const registry = createMetrics({ node_id: "b1", version: "0" });
  const config = configFrom(settings);
  await using _end = atEnd(() => spine.drain());
  const brain = await startBrain({
    capabilities: BRAIN_CAPABILITIES,
    config,
    spine,
    log,
    registry,
    now,
    ...FILES,
    random: Math.random,
  });
  await body({ spine, brain, lines, metrics: () => registry.metrics() });
  await brain.drain();
}

function publishChat(spine: Spine): void {
  const envelope = writeEnvelope({
    trace_id: TRACE_ID,
    tenant_id: "acme",
    room_id: "lobby",
    event: { type: "chat" },
  });
  spine.publish(tapSubject("acme", "lobby"), envelope);
}

Deno.test("a Brain serves commands, and taps the configured rooms", async () => {
  await withBrain({ brain: { tap: true } }, async ({ spine, brain, lines, metrics }) => {
    assert.ok(isReady(brain.health()));
    publishChat(spine);
    const { version } = await accepted(spine, { name: "room.set", data: { key: "k", value: 1 } });
    assert.ok(version > 0);
    assert.equal(lines.filter((line) => line.includes("module=tap")).length, 1);
    const text = await metrics();
    assert.match(text, /^brain_tap_messages_total\{outcome="logged"\} 1$/m);
    assert.match(text, /^brain_command_duration_seconds_count\{name="room.set"\} 1$/m);
  });
});

Deno.test("tap = false listens to nothing", async () => {
  await withBrain({ brain: { tap: false } }, async ({ spine, lines, metrics }) => {
    publishChat(spine);
    await spine.flush();
    assert.ok(!lines.some((line) => line.includes("module=tap")));
    assert.doesNotMatch(await metrics(), /^brain_tap_messages_total\{/m);
  });
});

Deno.test("a draining Brain answers pending commands, accepts no new ones, and reports that it is not ready", async () => {
  await withBrain({}, async ({ spine, brain }) => {
    const taken = sendCommand(spine, { name: "set", data: { key: "k", value: 1 } });
    await spine.flush();
    const draining = brain.drain();
    assert.equal(brain.drain(), draining);
    assert.equal(isReady(brain.health()), false);
    await draining;
    assert.equal((await taken).code, 0);
    await assert.rejects(
      sendCommand(spine, { name: "get" }),
      (error) => error instanceof ArqonError && error.reason === "brain-unavailable",
    );
  });
});

Deno.test("a Brain does not start without its Spine", async () => {
  await withBrain({}, async ({ spine, brain }) => {
    await brain.drain();
    await spine.drain();
    assert.equal(isReady(brain.health()), false);
    const registry = createMetrics({ node_id: "b2", version: "0" });
    const now = Date.now;
    const log = QUIET;
    const config = configFrom({});
    const parts = { config, spine, log, registry, now, ...FILES };
    await assert.rejects(
      startBrain({ capabilities: BRAIN_CAPABILITIES, ...parts, random: Math.random }),
      (error) => error instanceof ArqonError && error.reason === "spine-unavailable",
    );
  });
});
