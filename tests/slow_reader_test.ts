/**
 * One slow reader among 1,000, by room class, counted: the others get everything, and the slow one
 * what its class says, within its bounds. How long the others wait is `deno task bench slow_reader`.
 */
import assert from "node:assert/strict";
import { encodePub, writeEnvelope } from "@arqon/proto";
import { openLoad } from "../bench/load/crowd/driver.ts";
import { busTarget } from "../bench/load/crowd/turns.ts";
import { oneRoom } from "../bench/load/plans/plan.ts";
import { stall } from "../bench/measure/stalled_clients.ts";
import { until } from "../shared/testing/until.ts";
import { startBusWith } from "./harness/bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openBinary } from "./peers/raw_client.ts";

const READERS = 999;
const PROCESSES = 2;
const FILL_BYTES = 60_000;
const FILL_STEP = 20;
/** More than the kernel takes for one client that does not read, and the Shield keeps for it. */
const FILL_MESSAGES_MAX = 10_000;
const ROOM_BYTES = 65_536;
const UNSENT_BYTES = 1_048_576;
/** What is published for one who does not read, and what that may add to the process. */
const FLOOD_BYTES = 360_000_000;
const MEMORY_SLACK_BYTES = 200_000_000;

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[limits]
bytes_per_second = 1_000_000_000
unsent_bytes = ${UNSENT_BYTES}
#constant limits.slow_reader_bytes = ${ROOM_BYTES}
${
  ["disconnect", "drop-oldest", "latest"].map((name) =>
    `[[rooms]]\nroom = "${name}-*"\nslow_reader = "${name}"\n`
  ).join("")
}
`;

/** The value of one series; 0 while it is not there. */
async function metric(bus: TestBus, series: string): Promise<number> {
  const text = await (await fetch(`${bus.ops_url}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length));
}

const acted = (bus: TestBus, action: string) =>
  metric(bus, `shield_slow_reader_total{action="${action}"}`);

/** Publishes until `enough`, each step when the one before has been accepted. */
async function flood(bus: TestBus, room_id: string, enough: (sent: number) => Promise<boolean>) {
  using client = await openBinary(bus.url, bus.token);
  const event = { type: "fill", data: new Uint8Array(FILL_BYTES) };
  const publish = (request_id: number) =>
    client.send(encodePub(writeEnvelope({ room_id, event, request_id })));
  for (let sent = 0; !await enough(sent * FILL_BYTES);) {
    assert(sent < FILL_MESSAGES_MAX, `${sent} messages, and still not enough`);
    for (let step = 1; step < FILL_STEP; step++) publish(0);
    publish(sent += FILL_STEP);
    const answer = await client.frame();
    assert(answer.kind === "ack" && answer.ack.code === 0);
  }
}

/** What the class does to the one slow reader; how many readers got how much. */
async function oneSlow(bus: TestBus, name: string, done: string): Promise<void> {
  const room_id = `${name}-0`;
  const crowd = { groups: oneRoom(name, 1, READERS, true), processes: PROCESSES, echo: false };
  await using load = await openLoad(busTarget(bus, [bus.token]), crowd);
  const before = await metric(bus, "shield_subscriptions");
  const rooms = [room_id, `${name}-fill`];
  using _stalled = await stall(bus.http_url, bus.token, rooms, 1);
  await until("its subscriptions", async () => (
    await metric(bus, "shield_subscriptions") === before + rooms.length
  ));
  const disconnected = await acted(bus, "disconnected");
  const dropped = await acted(bus, done);
  const rss_bytes = await metric(bus, "process_resident_memory_bytes");
  await flood(bus, `${name}-fill`, async () => await acted(bus, done) > dropped);
  // More costs no memory: it is left out, or there is nobody any more to keep it for.
  await flood(bus, `${name}-fill`, (bytes) => Promise.resolve(bytes >= FLOOD_BYTES));
  const messages = 20;
  // The publisher begins as many messages later as there are processes of readers.
  const pace = { kind: "rate", rate: 1_000, burst: 1 } as const;
  const run = {
    pace,
    sizes_bytes: [200],
    seconds: (messages + PROCESSES) / pace.rate,
    warmup_seconds: 0,
  };
  const { sent, received } = await load.run(run);
  assert.ok(sent >= messages, `${name}: ${sent} were published`);
  assert.equal(received, sent * READERS, `${name}: all get all`);
  assert.ok(await metric(bus, "shield_unsent_bytes") <= UNSENT_BYTES);
  const grown_bytes = await metric(bus, "process_resident_memory_bytes") - rss_bytes;
  assert.ok(grown_bytes < MEMORY_SLACK_BYTES, `${name}: ${grown_bytes} bytes more`);
  const cut = await acted(bus, "disconnected") - disconnected;
  assert.equal(cut, name === "disconnect" ? 1 : 0, name);
}

Deno.test("one slow reader among 1,000: all others get all, and it gets what its class says", async (t) => {
  await using bus = await startBusWith(CONFIG);
  await t.step("disconnect: it is cut off", () => oneSlow(bus, "disconnect", "disconnected"));
  await t.step(
    "drop-oldest: what is old is left out",
    () => oneSlow(bus, "drop-oldest", "dropped"),
  );
  await t.step("latest: what is old is replaced", () => oneSlow(bus, "latest", "conflated"));
});
