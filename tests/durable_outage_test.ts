/**
 * Rooms under faults, on the wire: a deleted log of a real NATS, a reader that does not read.
 * `tests/model/faults_nats_test.ts` kills NATS.
 */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { pace } from "../shared/testing/pace.ts";
import { seen } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { DurableClient, numbers } from "./peers/durable_client.ts";
import { type NatsServer, startNats } from "./harness/nats_server.ts";
import { sendUpgrade } from "./peers/raw_upgrade.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CLASS = durableRooms("log-*");
const ROOMS = `
[server]
drain_ms = 0
[limits]
messages_per_second = 10_000
bytes_per_second = 100_000_000
${CLASS}`;
const open = (bus: TestBus) => DurableClient.open(bus.url, bus.token);

/** As an operator would by mistake. */
async function deleteLogs(nats: NatsServer): Promise<void> {
  const connection = await connect({ servers: nats.url });
  const manager = await jetstreamManager(connection);
  const names: string[] = [];
  for await (const name of manager.streams.names()) if (name.startsWith("LOG_")) names.push(name);
  assert.ok(names.length > 0, "there is no log");
  for (const name of names) await manager.streams.delete(name);
  await connection.close();
}

/** Publishes until it is accepted. */
async function publishAnyhow(client: DurableClient, room: string, data: unknown): Promise<number> {
  const { offset } = await seen(
    "the log is available again",
    () => client.pub(room, data),
    (answer) => {
      if (answer.code !== 0) assert.equal(answer.reason, "log-unavailable");
      return answer.code === 0;
    },
  );
  return offset as number;
}

Deno.test("a log deleted under a running Shield: live subscribers are notified and continue", async () => {
  await using nats = await startNats({ jetstream: true });
  await using bus = await startLocalBus(`${ROOMS}[nats]\nurls = ["${nats.url}"]\n`);
  using publisher = await open(bus);
  using reader = await open(bus);
  const { epoch } = await reader.join("log-1");
  const offsets = await publisher.fill("log-1", numbers(0, 5));
  await reader.receives(offsets);
  await deleteLogs(nats);
  const offset = await publishAnyhow(publisher, "log-1", "of the new log");
  const { signal } = await reader.next();
  assert.deepEqual([signal?.kind, signal?.reason], ["GAP", "epoch-changed"]);
  const more = await publishAnyhow(publisher, "log-1", "more");
  let next = await reader.next();
  // A Shield that checks the new log before its first message has already reported that loss.
  if (next.offset === offset) {
    assert.equal(next.data, "of the new log");
    next = await reader.next();
  }
  assert.deepEqual([next.data, next.offset], ["more", more]);
  using back = await open(bus);
  const answer = await back.join("log-1", { after_offset: offsets[4], epoch });
  assert.deepEqual([answer.recovered, answer.reason], [false, "epoch-changed"]);
  assert.notEqual(answer.epoch, epoch);
  assert.equal(answer.offset, more);
});

const MESSAGE_BYTES = 50_000;
const MESSAGES = 200;

/** Reads WebSocket frames of a server until this many messages have come; returns their data, in order. */
async function readMessages(socket: Deno.TcpConn, count: number): Promise<string[]> {
  const all: string[] = [];
  const decoder = new TextDecoder();
  let text = "";
  const buffer = new Uint8Array(65_536);
  while (all.length < count) {
    const size = await socket.read(buffer);
    assert.notEqual(size, null, `the connection ended after ${all.length} messages`);
    text += decoder.decode(buffer.subarray(0, size ?? 0), { stream: true });
    for (const [, data = ""] of text.matchAll(/"data":"(\d+) x+"/g)) all.push(data);
    text = text.slice(text.lastIndexOf('x"') + 1);
  }
  return all;
}

Deno.test("a large recovery for a reader that is slow to read is paced, not cut off", async () => {
  await using bus = await startLocalBus(ROOMS);
  using publisher = await open(bus);
  const { epoch } = await publisher.join("log-1");
  // Its own live messages would be more than it reads in time.
  await publisher.ask({ op: "unsub", room: "log-1" });
  const [first] = await publisher.fill("log-1", ["first"]);
  const filler = "x".repeat(MESSAGE_BYTES);
  await publisher.fill("log-1", numbers(0, MESSAGES).map((number) => `${number} ${filler}`));
  const headers = ["Sec-WebSocket-Protocol: arqon.v1.json"];
  using socket = await sendUpgrade(bus.http_url, { token: bus.token, headers });
  await socket.read(new Uint8Array(8_192));
  const place = { op: "sub", room: "log-1", after_offset: first, epoch, id: 1 };
  const frame = new TextEncoder().encode(JSON.stringify(place));
  assert.ok(frame.length < 126);
  await socket.write(new Uint8Array([0x81, 0x80 | frame.length, 0, 0, 0, 0, ...frame]));
  // Long enough for everything to be written if the reader were reading.
  await pace(2_000);
  const metrics = async () => await (await fetch(`${bus.ops_url}/metrics`)).text();
  const unsent = Number(/^shield_unsent_bytes (\d+)$/m.exec(await metrics())?.[1]);
  assert.ok(unsent < 4_194_304, `${unsent} bytes wait in the Shield`);
  const read = await readMessages(socket, MESSAGES);
  assert.deepEqual(read, numbers(0, MESSAGES).map(String));
  const closes = /shield_closes_total\{code="4429"\} (\d+)/.exec(await metrics())?.[1];
  assert.equal(Number(closes ?? 0), 0);
});
