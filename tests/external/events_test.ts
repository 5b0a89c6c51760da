/**
 * Streams real webhook events through a real bus, in both wire forms and across two Shields on one
 * NATS. Needs the data folder: `deno task test:external DIR`, which becomes `Deno.args[0]`.
 */
import assert from "node:assert/strict";
import { encodePub, encodeSub, writeEnvelope } from "@arqon/proto";
import { startBus, type TestBus } from "../harness/bus.ts";
import { startNats } from "../harness/nats_server.ts";
import { openBinary, openText, type RawClient } from "../peers/raw_client.ts";

const DATA = Deno.args[0];
const ROOM = "github";

/** The lines of events.ndjson, as text. */
async function eventLines(): Promise<string[]> {
  if (DATA === undefined) throw new Error("run this with `deno task test:external DIR`");
  const text = await Deno.readTextFile(`${DATA}/events/events.ndjson`);
  const lines = text.split("\n").filter((line) => line !== "");
  assert.ok(lines.length > 100, `only ${lines.length} events in ${DATA}`);
  return lines;
}

async function subscribeBinary(client: RawClient): Promise<void> {
  client.send(encodeSub({ room_id: ROOM, request_id: 1 }));
  const frame = await client.frame();
  assert.ok(frame.kind === "ack" && frame.ack.code === 0, JSON.stringify(frame));
}

function publishBinary(client: RawClient, lines: readonly string[]): void {
  const encoder = new TextEncoder();
  for (const line of lines) {
    const data = encoder.encode(line);
    const event = { type: "webhook", data, content_type: "application/json" };
    client.send(encodePub(writeEnvelope({ room_id: ROOM, event })));
  }
}

async function receiveBinary(client: RawClient, count: number): Promise<string[]> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const received: string[] = [];
  while (received.length < count) {
    const frame = await client.frame();
    assert.ok(frame.kind === "msg", JSON.stringify(frame));
    received.push(decoder.decode(frame.envelope.event?.data));
  }
  return received;
}

/** Everything that `publisher` sends reaches `subscriber`, and nothing the other tenant's client. */
async function streamBinary(publishing: TestBus, subscribing: TestBus): Promise<void> {
  const lines = await eventLines();
  const other_token = await subscribing.tokenFor({ tenant: "other" });
  using publisher = await openBinary(publishing.url, publishing.token);
  using subscriber = await openBinary(subscribing.url, await subscribing.tokenFor());
  using stranger = await openBinary(subscribing.url, other_token);
  await subscribeBinary(subscriber);
  await subscribeBinary(stranger);
  publishBinary(publisher, lines);
  assert.deepEqual(await receiveBinary(subscriber, lines.length), lines);
  // The stranger's own event comes after all of them, and must be the first that it hears.
  publishBinary(stranger, ['"mine"']);
  assert.deepEqual(await receiveBinary(stranger, 1), ['"mine"']);
}

Deno.test("real events arrive in order and byte for byte, and never at another tenant", async () => {
  await using bus = await startBus();
  await streamBinary(bus, bus);
});

Deno.test("real events cross from one Shield to another over NATS", async () => {
  await using nats = await startNats({ jetstream: true });
  await using first = await startBus(["--nats", nats.url]);
  await using second = await startBus(["--nats", nats.url]);
  await streamBinary(first, second);
});

Deno.test("the text form keeps the bytes of a real event's JSON", async () => {
  await using bus = await startBus();
  using client = await openText(bus.url, bus.token);
  client.send({ op: "sub", room: ROOM, id: 1 });
  assert.equal((await client.json()).code, 0);
  const lines = await eventLines();
  for (const line of lines) {
    client.send(`{"op":"pub","room":"${ROOM}","type":"webhook","data":${line}}`);
  }
  for (const line of lines) {
    const frame = await client.raw();
    assert.ok(typeof frame === "string" && frame.includes(`"data":${line}`), `lost: ${line}`);
  }
});
