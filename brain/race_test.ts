/**
 * Two Brains with connections of their own race for rooms on a real NATS server: the bucket's
 * compare-and-set is all that keeps them apart.
 */
import assert from "node:assert/strict";
import { ArqonError, readAck } from "@arqon/proto";
import { configFrom } from "../shared/config/load.ts";
import { createLogger } from "../shared/log.ts";
import { createMetrics } from "../shared/metrics.ts";
import type { Registry } from "../shared/metrics.ts";
import { isReady } from "../shared/ops.ts";
import { openSpine } from "../shared/spine/open.ts";
import type { Spine } from "../shared/spine/spine.ts";
import { commandSubject } from "../shared/subject.ts";
import { startNats } from "../tests/nats_server.ts";
import type { NatsServer } from "../tests/nats_server.ts";
import { createBrainMetrics } from "./metrics.ts";
import { accepted, commandEnvelope, sendCommand } from "./rooms/command_probe.ts";
import { createCommandDesk } from "./rooms/commands.ts";
import { startBrain } from "./server.ts";
import type { Brain } from "./server.ts";

/** Only what never happens takes this long. */
const PATIENCE_MS = 60_000;

interface Node extends AsyncDisposable {
  readonly brain: Brain;
  readonly spine: Spine;
  readonly registry: Registry;
  readonly lines: string[];
}

async function startNode(nats: NatsServer, settings: Record<string, unknown> = {}): Promise<Node> {
  const config = configFrom({ nats: { urls: [nats.url] }, ...settings });
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const now = Date.now;
  const log = createLogger({ level: "info", format: "logfmt", component: "brain", now, write });
  const registry = createMetrics({ node_id: "b", version: "0" });
  const spine = await openSpine(config, { log, now });
  const brain = await startBrain({ config, spine, log, registry, now, random: Math.random });
  return {
    brain,
    spine,
    registry,
    lines,
    [Symbol.asyncDispose]: async () => {
      await brain.drain();
      await spine.drain();
    },
  };
}

async function total(nodes: readonly Node[], name: string): Promise<number> {
  let sum = 0;
  for (const { registry } of nodes) {
    const metric = await registry.getSingleMetric(name)?.get();
    for (const { value } of metric?.values ?? []) sum += value;
  }
  return sum;
}

Deno.test("two Brains racing on one room lose no update", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await startNode(nats);
  await using two = await startNode(nats);
  await using client = await startNode(nats, { brain: { tap: false } });
  await client.brain.drain();

  const writers = 8;
  const each = 50;
  const versions: number[] = [];
  const write = async (writer: number): Promise<void> => {
    for (let index = 0; index < each; index++) {
      const data = { key: `${writer}-${index}`, value: index };
      const { version } = await accepted(client.spine, { name: "room.set", data });
      versions.push(version);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));

  const sets = writers * each;
  const { version, state } = await accepted(client.spine, { name: "room.get" });
  assert.equal(version, sets);
  assert.equal(Object.keys(state).length, sets);
  versions.sort((a, b) => a - b);
  assert.deepEqual(versions, Array.from({ length: sets }, (_, index) => index + 1));
  for (const node of [one, two]) {
    assert.ok(await total([node], "brain_commands_total") > 0, "each Brain took its share");
  }
  assert.equal(await total([one, two], "brain_pending_commands"), 0);
});

Deno.test("of many that expect one version on two Brains, one wins each round", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await startNode(nats);
  await using two = await startNode(nats);
  for (let round = 0; round < 10; round++) {
    const all = Array.from({ length: 12 }, (_, index) => {
      const data = { key: "k", value: index };
      const { spine } = index % 2 === 0 ? one : two;
      // Round 0 has nothing to expect: everybody creates the room, and everybody succeeds.
      return sendCommand(spine, {
        name: "set",
        data,
        expect_version: round === 0 ? 0 : 11 + round,
      });
    });
    const codes = (await Promise.all(all)).map(({ code }) => code).sort((a, b) => a - b);
    const winners = round === 0 ? 12 : 1;
    assert.deepEqual(codes, [...Array(winners).fill(0), ...Array(12 - winners).fill(409)]);
  }
  assert.equal((await accepted(one.spine, { name: "get" })).version, 12 + 9);
});

interface Desk extends AsyncDisposable {
  /** Sets a key through this desk and no other; resolves with the Ack's code. */
  set(key: string): Promise<number>;
}

/** A command desk that the queue group does not feed. */
async function startDesk(nats: NatsServer): Promise<Desk> {
  const now = Date.now;
  const write = () => {};
  const log = createLogger({ level: "error", format: "logfmt", component: "brain", now, write });
  const spine = await openSpine(configFrom({ nats: { urls: [nats.url] } }), { log, now });
  const desk = createCommandDesk({
    bucket: await spine.keyValue("ARQON_ROOMS"),
    limits: {
      state_bytes: 262_144,
      key_bytes: 256,
      pending_commands: 1_024,
      pending_bytes: 16_777_216,
      rooms_in_memory: 100,
      command_timeout_ms: PATIENCE_MS,
    },
    metrics: createBrainMetrics(createMetrics({ node_id: "b", version: "0" })),
    log,
    now,
    random: Math.random,
  });
  const subject = commandSubject("acme", "lobby");
  return {
    set: (key) =>
      new Promise((resolve) => {
        const payload = commandEnvelope({ name: "set", data: { key, value: 1 } });
        const respond = (ack: Uint8Array) => resolve(readAck(ack).code);
        desk.handle({ subject, payload, headers: {}, reply: "r", respond });
      }),
    [Symbol.asyncDispose]: async () => {
      await desk.settled();
      await spine.drain();
    },
  };
}

Deno.test("a Brain that always has commands for a room does not starve another", async () => {
  await using nats = await startNats({ jetstream: true });
  await using busy = await startDesk(nats);
  await using other = await startDesk(nats);
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

Deno.test("the epoch is the same on every Brain, whoever created the room", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await startNode(nats);
  await using two = await startNode(nats);
  const all = Array.from({ length: 40 }, (_, index) => {
    const { spine } = index % 2 === 0 ? one : two;
    return accepted(spine, { name: "set", data: { key: "k", value: index } });
  });
  const epochs = new Set((await Promise.all(all)).map(({ epoch }) => epoch));
  assert.equal(epochs.size, 1);
  assert.match([...epochs][0], /^[1-9][0-9]*$/);
});

Deno.test("a Brain that loses NATS is not ready, and serves again when it is back", async () => {
  await using nats = await startNats({ jetstream: true });
  await using node = await startNode(nats);
  await accepted(node.spine, { name: "set", data: { key: "k", value: "kept" } });
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
  const { version, state } = await accepted(node.spine, { name: "get" });
  assert.deepEqual({ version, state }, { version: 1, state: { k: "kept" } });
});

Deno.test("a server that carries less than state_bytes bounds the state, and the log says so", async () => {
  await using nats = await startNats({ jetstream: true, config: "max_payload: 65536" });
  await using node = await startNode(nats);
  assert.ok(
    node.lines.some((line) => line.startsWith("level=warn") && line.includes("state_bytes")),
  );
  const set = (key: string) => {
    const data = { key, value: "x".repeat(30_000) };
    return sendCommand(node.spine, { name: "set", data });
  };
  assert.equal((await set("a")).code, 0);
  const { code, reason } = await set("b");
  assert.equal(`${code} ${reason}`, "413 message-too-large");
  assert.equal((await accepted(node.spine, { name: "get" })).version, 1);
});
