/**
 * Large recoveries, on the wire: of a reader that is slow to read, and a SUB with a position during the recovery of the
 * previous one, whose ACK precedes all of its messages. A client that counts messages from the ACK on would otherwise
 * miss some.
 */
import assert from "node:assert/strict";
import { pace } from "../shared/testing/pace.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { DurableClient, numbers } from "./peers/durable_client.ts";
import { sendUpgrade } from "./peers/raw_upgrade.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[server]
drain_ms = 0
[limits]
messages_per_second = 100_000
bytes_per_second = 100_000_000
${durableRooms("log-*")}
`;
const ROOM = "log-again";
/** 6 MB, which no socket accepts at once. */
const MESSAGES = 300;
const TEXT = "x".repeat(20_000);
const ROUNDS = 5;

Deno.test("a SUB in the middle of a recovery gets the messages after its position after its ACK", async () => {
  await using bus = await startLocalBus(CONFIG);
  using publisher = await DurableClient.open(bus.url, bus.token);
  const texts = numbers(0, MESSAGES).map((number) => `${number} ${TEXT}`);
  const offsets = await publisher.fill(ROOM, texts);
  const last = offsets.at(-1);
  for (const presence of [false, true]) {
    using client = await DurableClient.open(bus.url, bus.token);
    const { epoch } = await client.join(ROOM);
    const sub = { op: "sub", room: ROOM, epoch, presence };
    for (let round = 0; round < ROUNDS; round++) {
      client.send({ ...sub, after_offset: 0 });
      for (let count = 0; count < 10 + round;) if ((await offset(client)) > 0) count++;
      const id = client.send({ ...sub, after_offset: offsets[4] });
      for (let acked = false; !acked;) acked = (await client.raw.json()).id === id;
      const received: number[] = [];
      while (received.at(-1) !== last) {
        const next = await offset(client);
        if (next > 0) received.push(next);
      }
      assert.deepEqual(received, offsets.slice(5), `round ${round}`);
    }
  }
});

/** The offset of the next frame; 0: it is no stored message. */
async function offset({ raw }: DurableClient): Promise<number> {
  const { op, offset } = await raw.json();
  return op === "msg" ? offset ?? 0 : 0;
}

const MESSAGE_BYTES = 50_000;
const PACED_MESSAGES = 200;

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
  await using bus = await startLocalBus(CONFIG);
  using publisher = await DurableClient.open(bus.url, bus.token);
  const { epoch } = await publisher.join("log-1");
  // Its own live messages would be more than it reads in time.
  await publisher.ask({ op: "unsub", room: "log-1" });
  const [first] = await publisher.fill("log-1", ["first"]);
  const filler = "x".repeat(MESSAGE_BYTES);
  await publisher.fill("log-1", numbers(0, PACED_MESSAGES).map((number) => `${number} ${filler}`));
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
  const read = await readMessages(socket, PACED_MESSAGES);
  assert.deepEqual(read, numbers(0, PACED_MESSAGES).map(String));
  const closes = /shield_closes_total\{code="4429"\} (\d+)/.exec(await metrics())?.[1];
  assert.equal(Number(closes ?? 0), 0);
});
