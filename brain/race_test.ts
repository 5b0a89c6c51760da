/**
 * Brains with their own connections race for rooms on a real NATS server: owners serve, and the bucket's
 * compare-and-set decides. `takeover_test.ts` has owners that end and rooms that live on.
 */
import assert from "node:assert/strict";
import { ArqonError, readAck } from "@arqon/proto";
import { configFrom } from "../shared/config/load.ts";
import { QUIET } from "../shared/testing/logs.ts";
import { createMetrics } from "../shared/metrics/metrics.ts";
import { isReady } from "../shared/listeners/ops.ts";
import { commandSubject } from "../shared/subjects/subject.ts";
import { type NatsServer, startNats } from "../tests/harness/nats_server.ts";
import { accepted, commandEnvelope, sendCommand } from "./rooms/testing/command_probe.ts";
import { faulty, ProbeCluster, serveRooms } from "./rooms/testing/room_test_bed.ts";
import { openClient, startNode } from "./testing/node.ts";

/** Only an event that never happens takes this long. */
const PATIENCE_MS = 60_000;

interface Desk extends AsyncDisposable {
  /** Sets a key through these rooms and no others; resolves with the Ack's code. */
  set(key: string, more?: Record<string, unknown>): Promise<number>;
}

/** Rooms that the queue group does not feed, and that believe to own every room. */
async function startDesk(nats: NatsServer, brain_id: string): Promise<Desk> {
  const now = Date.now;
  const log = QUIET;
  const connection = await openClient(nats);
  const { spine, handle } = faulty(connection, {}, false);
  const rooms = await serveRooms({
    config: configFrom({ limits: { command_timeout_ms: PATIENCE_MS } }),
    spine,
    view: new ProbeCluster().view(brain_id),
    registry: createMetrics({ node_id: brain_id, version: "0" }),
    log,
    now,
    random: Math.random,
  });
  const subject = commandSubject("acme", "lobby");
  return {
    set: (key, more = {}) =>
      new Promise((resolve) => {
        const payload = commandEnvelope({ name: "set", data: { key, value: 1 }, ...more });
        const respond = (ack: Uint8Array) => resolve(readAck(ack).code);
        handle({ subject, payload, headers: {}, reply: "r", respond });
      }),
    [Symbol.asyncDispose]: async () => {
      await rooms.drain();
      await connection.drain();
    },
  };
}

Deno.test("a Brain that always has commands for a room does not starve another owner", async () => {
  await using nats = await startNats({ jetstream: true });
  await using busy = await startDesk(nats, "b1");
  await using other = await startDesk(nats, "b2");
  let stop = false;
  const keepBusy = async (key: string): Promise<void> => {
    while (!stop) assert.equal(await busy.set(key), 0);
  };
  const work = Promise.all(Array.from({ length: 20 }, (_, index) => keepBusy(`k${index}`)));
  try {
    for (let index = 0; index < 20; index++) assert.equal(await other.set("other"), 0);
  } finally {
    stop = true;
    await work;
  }
});

Deno.test("a command_id that reaches two owners at once is applied once", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await startDesk(nats, "b1");
  await using two = await startDesk(nats, "b2");
  await using reader = await startNode(nats);
  let before = 0;
  for (let round = 1; round <= 20; round++) {
    const more = { command_id: `c${round}` };
    const codes = await Promise.all([one.set("k", more), two.set("k", more), one.set("k", more)]);
    assert.deepEqual(codes, [0, 0, 0]);
    const { version } = await accepted(reader.spine, { name: "get" });
    assert.ok(round === 1 || version === before + 1, `${version} after ${before}`);
    before = version;
  }
});

Deno.test("a Brain that loses NATS is not ready, and serves again when it returns", async () => {
  await using nats = await startNats({ jetstream: true });
  await using node = await startNode(nats);
  const set = await accepted(node.spine, { name: "set", data: { key: "k", value: "kept" } });
  const until = (wanted: boolean): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => isReady(node.brain.health()) === wanted && resolve();
    const stop = node.spine.onEvent(look);
    const late = () => reject(new Error(`ready never became ${wanted}\n${node.lines.join("")}`));
    const timer = setTimeout(late, PATIENCE_MS);
    look();
    return promise.finally(() => (stop(), clearTimeout(timer)));
  };
  await nats.kill();
  await until(false);
  await assert.rejects(
    sendCommand(node.spine, { name: "get" }),
    (error) => error instanceof ArqonError && error.reason === "spine-unavailable",
  );
  await nats.start();
  await until(true);
  const found = await accepted(node.spine, { name: "get" });
  assert.deepEqual(found, { ...set, state: { k: "kept" } }, "in the same life");
});

Deno.test("a server with less storage than state_bytes limits the state, and the log reports that", async () => {
  await using nats = await startNats({ jetstream: true, config: "max_payload: 65536" });
  await using node = await startNode(nats);
  assert.ok(
    node.lines.some((line) => line.startsWith("level=warn") && line.includes("state_bytes")),
  );
  const set = (key: string) => {
    const data = { key, value: "x".repeat(30_000) };
    return sendCommand(node.spine, { name: "set", data });
  };
  const { code: taken, result } = await set("a");
  assert.equal(taken, 0);
  const { code, reason } = await set("b");
  assert.equal(`${code} ${reason}`, "413 message-too-large");
  const { version } = await accepted(node.spine, { name: "get" });
  assert.equal(version, JSON.parse(result).version);
});
