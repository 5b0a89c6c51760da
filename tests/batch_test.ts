/** BATCH frames on a real bus: who gets them, in which order, and that the SDK asks for them. */
import assert from "node:assert/strict";
import { encodePub, encodeSub, writeEnvelope } from "@arqon/proto";
import { connect } from "@arqon/sdk";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openBinary, openText } from "./peers/raw_client.ts";

const MESSAGES = 300;

async function batches(bus: TestBus): Promise<number> {
  const text = await (await fetch(`${bus.ops_url}/metrics`)).text();
  return Number(text.match(/^shield_batches_total (\d+)$/m)?.[1]);
}

/** Publishes numbered messages, all in one go. */
async function publishAll(bus: TestBus, room_id: string): Promise<Disposable> {
  const client = await openBinary(bus.url, bus.token);
  for (let number = 0; number < MESSAGES; number++) {
    client.send(encodePub(writeEnvelope({ room_id, event: { type: String(number) } })));
  }
  return client;
}

const ALL = Array.from({ length: MESSAGES }, (_, number) => number);

async function asked(bus: TestBus): Promise<void> {
  using client = await openBinary(bus.url, bus.token);
  // One SUB that asks is enough for all rooms of the connection.
  client.send(encodeSub({ room_id: "other", request_id: 1, batch: true }));
  client.send(encodeSub({ room_id: "asked", request_id: 2 }));
  for (const id of [1, 2]) {
    const frame = await client.frame();
    assert.ok(frame.kind === "ack" && frame.ack.request_id === id);
  }
  using _publisher = await publishAll(bus, "asked");
  const numbers: number[] = [];
  let frames = 0;
  while (numbers.length < MESSAGES) {
    const frame = await client.frame();
    frames++;
    if (frame.kind === "msg") numbers.push(Number(frame.envelope.event?.type));
    else if (frame.kind === "batch") {
      assert.ok(frame.envelopes.length > 1, "a single message stays a MSG");
      numbers.push(...frame.envelopes.map(({ event }) => Number(event?.type)));
    } else assert.fail(frame.kind);
  }
  assert.deepEqual(numbers, ALL);
  assert.ok(frames < MESSAGES && await batches(bus) > 0);
}

async function notAsked(bus: TestBus): Promise<void> {
  const before = await batches(bus);
  using binary = await openBinary(bus.url, bus.token);
  binary.send(encodeSub({ room_id: "plain", request_id: 1 }));
  assert.equal((await binary.frame()).kind, "ack");
  using text = await openText(bus.url, bus.token);
  text.send({ op: "sub", room: "plain", id: 1, batch: true });
  assert.equal((await text.json()).code, 0);
  using _publisher = await publishAll(bus, "plain");
  for (const number of ALL) {
    const frame = await binary.frame();
    assert.ok(frame.kind === "msg" && frame.envelope.event?.type === String(number));
    const { op, type } = await text.json();
    assert.deepEqual([op, type], ["msg", String(number)]);
  }
  assert.equal(await batches(bus), before);
}

async function sdk(bus: TestBus): Promise<void> {
  const before = await batches(bus);
  await using connection = await connect({ url: bus.url, token: bus.token });
  const messages = connection.room("sdk").subscribe();
  await messages.ready;
  using _publisher = await publishAll(bus, "sdk");
  const numbers: number[] = [];
  for await (const message of messages) {
    numbers.push(Number(message.type));
    if (numbers.length === MESSAGES) break;
  }
  assert.deepEqual(numbers, ALL);
  assert.ok(await batches(bus) > before, "it asks for batches");
}

Deno.test("messages of one turn come in one frame to who asked", async (t) => {
  await using bus = await startLocalBus();
  await t.step("who asked in any SUB gets BATCH frames, in order", () => asked(bus));
  await t.step("who did not, and text connections, get one by one", () => notAsked(bus));
  await t.step("the SDK asks", () => sdk(bus));
});
