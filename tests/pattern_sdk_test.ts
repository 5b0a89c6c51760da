/**
 * The SDK on patterns of durable rooms, whose connections are repeatedly cut while messages arrive, over WebSocket and
 * over HTTP; and the end of connections and grants, after which rooms are left in slices, however many they are.
 * `patterns_test.ts` tests which messages patterns receive.
 */
import assert from "node:assert/strict";
import { connect, type Message } from "@arqon/sdk";
import { connect as connectAtPositions } from "@arqon/sdk/patterns";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { writeEnvelope } from "@arqon/proto";
import { SHIELD_CAPABILITIES } from "../shield/capabilities.ts";
import { PATTERNS } from "../shield/patterns/capability.ts";
import type { Capability, Parts } from "../shield/capability.ts";
import { startWith, tokenOf, TOKENS } from "../shield/testing/lone_shield.ts";
import { roomSubject } from "../shared/subjects/subject.ts";
import { ask, openText } from "./peers/raw_client.ts";

const CONFIG = durableRooms("log-*", "history_size = 10_000") +
  durableRooms("short-*", "history_size = 2");

/** What an iteration has returned: data by room, and the gaps by room. */
class Got {
  readonly data = new Map<string, unknown[]>();
  readonly gaps: string[] = [];
  count = 0;

  async read(loop: AsyncIterable<Message>): Promise<void> {
    for await (const message of loop) {
      if (message.signal !== undefined) {
        this.gaps.push(`${message.room} ${message.signal.reason}`);
        continue;
      }
      const all = this.data.get(message.room) ?? [];
      this.data.set(message.room, all);
      all.push(message.json());
      this.count++;
    }
  }
}

const ROOMS = Array.from({ length: 8 }, (_, at) => `log-${at}`);
const TURNS = 10, EACH = 12;

async function overDrops(bus: TestBus, transport: "websocket" | "http"): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(bus.http_url).port));
  const prefix = `${transport}-`;
  const rooms = ROOMS.map((room) => room.replace("log-", `log-${prefix}`));
  await using bob = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
  await using ann = await connectAtPositions({
    url: `http://127.0.0.1:${proxy.port}`,
    token: bus.token,
    transport,
    backoff: { base_ms: 1, max_ms: 20 },
  });
  const loop = ann.room(`log-${prefix}*`).subscribe();
  await loop.ready;
  const got = new Got();
  const reading = got.read(loop);
  const publish = (n: number) => Promise.all(rooms.map((room) => bob.room(room).publish("t", n)));
  let n = 0;
  await publish(n++);
  await until("each room has been received", () => got.count === rooms.length);
  for (let turn = 0; turn < TURNS; turn++) {
    for (let each = 0; each < EACH; each++) {
      // Messages in flight are lost, and those published meanwhile have no subscriber.
      if (each === EACH / 3) await proxy.cut();
      if (each === 2 * EACH / 3) proxy.restore();
      await publish(n++);
    }
    await until("it has arrived again", () => ann.status.state === "open");
  }
  await until(() => `${got.count} of ${n * rooms.length}`, () => got.count >= n * rooms.length);
  const all = Array.from({ length: n }, (_, at) => at);
  for (const room of rooms) assert.deepEqual(got.data.get(room), all, room);
  assert.ok(got.gaps.length >= TURNS);
  assert.deepEqual([...new Set(got.gaps)], [`log-${prefix}* reconnect`]);
  loop.close();
  await reading;
}

/**
 * Missed messages are gone: only that room gets a GAP. With more rooms than the bus accepts positions of: the newest.
 */
async function notified(bus: TestBus): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(bus.http_url).port));
  await using bob = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
  await using ann = await connectAtPositions({
    url: `http://127.0.0.1:${proxy.port}`,
    token: bus.token,
    backoff: { base_ms: 1, max_ms: 20 },
  });
  const loop = ann.room("*").subscribe();
  await loop.ready;
  const got = new Got();
  const reading = got.read(loop);
  const publish = async (room: string, n: number) => void await bob.room(room).publish("t", n);
  for (let at = 0; at < 70; at++) await publish(`log-many-${at}`, 1);
  await publish("short-1", 1);
  await publish("short-2", 1);
  await until("all were received", () => got.count === 72);
  await proxy.cut();
  for (const n of [2, 3, 4, 5]) await publish("short-1", n);
  await publish("log-many-69", 2);
  proxy.restore();
  await until("the missed messages", () => (got.data.get("log-many-69")?.length ?? 0) === 2);
  await until("the gap", () => got.gaps.length === 2);
  assert.deepEqual(got.gaps, ["* reconnect", "short-1 history-trimmed"]);
  await publish("short-1", 6);
  await until("it continues", () => got.data.get("short-1")?.at(-1) === 6);
  assert.deepEqual(got.data.get("short-1"), [1, 6]);
  assert.deepEqual(got.data.get("short-2"), [1]);
  loop.close();
  await reading;
}

Deno.test("patterns over drops: each message of each durable room once and in order", async (t) => {
  await using bus = await startLocalBus(CONFIG, {
    constants: { limits: { pattern_positions: 50 } },
  });
  await t.step("over WebSocket", () => overDrops(bus, "websocket"));
  await t.step("over HTTP", () => overDrops(bus, "http"));
  await t.step("a loss is reported for its room", () => notified(bus));
});

const PATTERN_END_ROOMS = 2_000;
/** Rooms with a subscription of their own. */
const NAMED = 500;
/** As many as may be left in the event loop turn of the end. */
const PIECE = 64;

function messageTo(room_id: string): Uint8Array {
  const event = { type: "t", data: new Uint8Array(), content_type: "", schema_id: "" };
  return writeEnvelope({ tenant_id: "acme", room_id, timestamp_ms: Date.now(), event });
}

/** A Shield, and a client with a pattern, where each room had a message, and with its own rooms. */
async function withRooms() {
  let parts: Parts | undefined;
  const hooks = { atEnd: () => {} };
  const probe: Capability = {
    name: "probe",
    title: "Looks at a connection's end.",
    open: () => ({ observer: { ended: () => hooks.atEnd() } }),
    start: (_env, given) => {
      parts = given;
      return {};
    },
  };
  const { shield, spine } = await startWith([...SHIELD_CAPABILITIES, probe], {
    server: { websocket: "native" },
  });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, shield.client);
  const { stats, running } = parts!;
  const { counts } = running.of(PATTERNS)!;
  const sendAll = () => {
    for (let at = 0; at < PATTERN_END_ROOMS; at++) {
      const room = `m-${at}`;
      spine.publish(roomSubject("in", "acme", room), messageTo(room));
    }
  };
  const client = await openText(`ws://127.0.0.1:${server.addr.port}/v1/socket`, TOKENS[0]!);
  await ask(client, { op: "sub", room: "m-*" });
  for (let at = 0; at < NAMED; at++) await ask(client, { op: "sub", room: `own-${at}` });
  sendAll();
  await until("all rooms are received", () => counts.rooms === PATTERN_END_ROOMS);
  return {
    stats,
    counts,
    hooks,
    sendAll,
    client,
    async [Symbol.asyncDispose]() {
      client.socket.close();
      await server.shutdown();
      await shield.drain();
      await spine.drain();
    },
  };
}

Deno.test("the end of a connection leaves its rooms in slices, and it receives nothing more of them", async () => {
  await using world = await withRooms();
  const { stats, counts, hooks, sendAll, client } = world;
  const sent = stats.egress_messages;
  const left = Promise.withResolvers<number>();
  hooks.atEnd = () => {
    left.resolve(PATTERN_END_ROOMS + NAMED - stats.rooms);
    sendAll();
  };
  client.socket.close();
  assert.equal(await left.promise, PIECE, "rooms that are left in the turn of the end");
  await until("nothing is left of it", () => counts.patterns + stats.rooms === 0);
  assert.equal(stats.egress_messages, sent, "messages that are counted after the end");
});

Deno.test("rooms that a new token does not grant are left in slices, and all of them when the refresh is answered", async () => {
  await using world = await withRooms();
  const { stats, counts, client } = world;
  const token = await tokenOf("user", { grants: [{ room: "other", actions: ["subscribe"] }] });
  let most = 0;
  let before = stats.rooms;
  const look = () => {
    most = Math.max(most, before - stats.rooms);
    before = stats.rooms;
    timer = setImmediate(look);
  };
  let timer = setImmediate(look);
  await ask(client, { op: "refresh", token });
  clearImmediate(timer);
  assert.equal(counts.patterns + stats.rooms, 0);
  assert.ok(most <= 4 * PIECE, `${most} rooms are left in one turn`);
});
