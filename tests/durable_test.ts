/**
 * Durable rooms as clients see them on the wire, with the embedded Spine and on a real NATS whose streams tenants share:
 * offsets, positions, recovery and its refusals. A tenant's own streams, repeated ids, the last message: `tests/model`.
 */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { DurableClient, numbers } from "./peers/durable_client.ts";
import { startNats } from "./harness/nats_server.ts";

const CONFIG = `
[server]
drain_ms = 0
[limits]
#constant limits.recovery_messages = 20
messages_per_second = 10_000
[[rooms]]
room = "log-*"
durable = true
[[rooms]]
room = "short-*"
durable = true
history_size = 5
`;

interface Stage {
  readonly bus: TestBus;
  open(): Promise<DurableClient>;
}

async function recovered({ open }: Stage): Promise<void> {
  const room = "log-recovered";
  using publisher = await open();
  using reader = await open();
  const { epoch, offset: start } = await reader.join(room);
  const offsets = await publisher.fill(room, numbers(0, 15));
  assert.deepEqual(await reader.hears(offsets), numbers(0, 15));
  using back = await open();
  const end = offsets.at(-1);
  const some = await back.join(room, { after_offset: offsets[4], epoch });
  assert.deepEqual(some, { recovered: true, offset: end, epoch });
  assert.deepEqual(await back.hears(offsets.slice(5)), numbers(5, 10));
  await back.nothing(room, publisher);
  using all = await open();
  const whole = await all.join(room, { after_offset: start, epoch });
  assert.equal(whole.recovered, true, "from before the first");
  assert.deepEqual(await all.hears(offsets), numbers(0, 15));
  using none = await open();
  const head = whole.offset;
  assert.deepEqual(await none.join(room, { after_offset: head, epoch }), {
    recovered: true,
    offset: head,
    epoch,
  });
  await none.nothing(room, publisher);
  using bare = await open();
  const { recovered, reason } = await bare.join(room, { after_offset: offsets[13] });
  assert.deepEqual([recovered, reason], [false, "epoch-changed"], "no offset counts without epoch");
  using first = await open();
  assert.equal((await first.join(room, { epoch: "*" })).recovered, true);
  assert.deepEqual(await first.hears(offsets), numbers(0, 15));
}

async function withPresence({ open }: Stage): Promise<void> {
  const room = "log-presence";
  using publisher = await open();
  const { epoch } = await publisher.join(room);
  const offsets = await publisher.fill(room, numbers(0, 4));
  using reader = await open();
  const place = { after_offset: offsets[1], epoch };
  const result = await reader.join(room, { presence: true, member_meta: { n: 1 }, ...place });
  assert.deepEqual([result.recovered, result.offset, result.epoch], [true, offsets[3], epoch]);
  assert.equal(result.connections, 1);
  assert.equal(result.members[0].meta.n, 1);
  assert.deepEqual(await reader.hears(offsets.slice(2)), [2, 3]);
  await reader.nothing(room, publisher);
}

async function notRecovered({ open }: Stage): Promise<void> {
  using publisher = await open();
  const join = async (room: string, place: object) => {
    const client = await open();
    const { recovered, reason, offset, epoch, ...rest } = await client.join(room, place);
    assert.deepEqual([recovered, rest], [false, {}]);
    await client.nothing(room, publisher);
    client[Symbol.dispose]();
    return { reason, offset, epoch };
  };
  const { epoch: other } = await publisher.join("log-other");
  const { epoch } = await publisher.join("log-not");
  assert.notEqual(epoch, other);
  const offsets = await publisher.fill("log-not", numbers(0, 3));
  const after_offset = offsets[0] as number;
  const changed = await join("log-not", { after_offset, epoch: other });
  assert.deepEqual(changed, { reason: "epoch-changed", offset: offsets[2], epoch });
  const ahead = await join("log-not", { after_offset: 1e12, epoch });
  assert.equal(ahead.reason, "offset-ahead");
  const beyond = await join("log-not", { after_offset: "18446744073709551615", epoch });
  assert.equal(beyond.reason, "offset-ahead");
  await publisher.fill("log-not", numbers(3, 30));
  assert.equal((await join("log-not", { after_offset, epoch })).reason, "too-many");
  const { epoch: short } = await publisher.join("short-1");
  const trimmed = await publisher.fill("short-1", numbers(0, 8));
  const gone = await join("short-1", { after_offset: trimmed[1], epoch: short });
  assert.deepEqual([gone.reason, gone.offset], ["history-trimmed", trimmed[7]]);
  const kept = await publisher.fill("short-1", numbers(0, 5));
  using last = await open();
  const marker = await last.join("short-1", { after_offset: kept[0], epoch: short });
  assert.equal(marker.recovered, true, "four of the five that are kept");
}

async function cancelled({ open }: Stage): Promise<void> {
  const room = "log-cancelled";
  using publisher = await open();
  const { epoch, offset: start } = await publisher.join(room);
  const offsets = await publisher.fill(room, numbers(0, 15));
  using reader = await open();
  const asked = reader.send({ op: "sub", room, after_offset: start, epoch });
  const ended = reader.send({ op: "unsub", room });
  assert.equal((await reader.answer(asked)).code, 0);
  assert.equal((await reader.answer(ended)).code, 0);
  await publisher.fill(room, ["not for it"]);
  // Of the first SUB some may have come; after the answer to UNSUB nothing comes any more.
  const again = await reader.join(room, { after_offset: offsets[9], epoch });
  assert.equal(again.recovered, true);
  assert.deepEqual(await reader.hears(offsets.slice(10)), numbers(10, 5));
  assert.equal((await reader.told()).data, "not for it");
}

async function steps(t: Deno.TestContext, bus: TestBus): Promise<void> {
  const open = () => DurableClient.open(bus.url, bus.token);
  const step = (name: string, run: (stage: Stage) => Promise<void>) =>
    t.step(name, () => run({ bus, open }));
  await step("a client that returns with its position gets exactly what it missed", recovered);
  await step("with presence the answer has both", withPresence);
  await step("what cannot be recovered is told with its reason", notRecovered);
  await step("UNSUB ends a recovery", cancelled);
}

Deno.test("durable rooms on the embedded Spine", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  await steps(t, bus);
});

Deno.test("durable rooms on NATS, of tenants that share streams", async (t) => {
  await using nats = await startNats({ jetstream: true });
  const more = `[durable]\nshared_streams = 2\n[nats]\nurls = ["${nats.url}"]\n`;
  await using bus = await startLocalBus(`${CONFIG}${more}`);
  await steps(t, bus);
});
