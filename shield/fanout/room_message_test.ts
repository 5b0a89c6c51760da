/** Messages that may be dropped for slow readers, their replacement, and the hub that decides. */
import assert from "node:assert/strict";
import { decodeServerFrame, type EnvelopeInput, readEnvelope, writeEnvelope } from "@arqon/proto";
import { roomSubject } from "../../shared/subjects/subject.ts";
import type { RoomMessage } from "./backlog.ts";
import { LogFlow } from "../durable/recovery/recovery.ts";
import { tenantClass, testDurable } from "../durable/testing/durable.ts";
import type { Frame } from "./frame_bytes.ts";
import { droppable, keyOf } from "./room_message.ts";
import { random } from "./testing/hub.ts";
import { SPINE_NOW_MS } from "../testing/spine.ts";

const STAMPS = { now: () => SPINE_NOW_MS, random };

function room(slow_reader: "disconnect" | "drop-oldest" | "latest") {
  return { tenant_id: "acme", room_id: "r", room_class: { slow_reader, pattern: "r" } };
}

function envelope(input: Partial<EnvelopeInput>): Uint8Array {
  return writeEnvelope({ tenant_id: "acme", room_id: "r", ...input });
}

function key(input: Partial<EnvelopeInput>): string | undefined {
  return keyOf(readEnvelope(envelope(input)));
}

Deno.test("the key is the publisher's x-key, else the event's type", () => {
  const event = { type: "price" };
  assert.equal(key({ event }), "type price");
  assert.equal(key({ event, headers: { "x-key": "EURUSD" } }), "key EURUSD");
  assert.equal(key({ event, headers: { "X-Key": "EURUSD" } }), "key EURUSD");
  assert.equal(key({ event, headers: { "x-key": "" } }), "key ");
  assert.notEqual(key({ event: { type: "a" } }), key({ event, headers: { "x-key": "a" } }));
});

Deno.test("signals, commands and the events of the bus have no key: they are never left out", () => {
  const signal = { kind: "DRAIN", target: "r", reason: "", until_ms: 0 } as const;
  assert.equal(key({ signal }), undefined);
  assert.equal(key({ command: { name: "x" }, headers: { "x-key": "k" } }), undefined);
  for (const type of ["ROOM_UPDATE", "PRESENCE_LEAVE", "SYSTEM_X"]) {
    assert.equal(key({ event: { type } }), undefined);
  }
  const broken = droppable(STAMPS, room("latest"), { envelope: Uint8Array.of(0xff), offset: 0 });
  assert.equal(broken?.key(), undefined, "nor unreadable messages");
});

Deno.test("a room that disconnects slow readers leaves nothing out", () => {
  const message = { envelope: envelope({ event: { type: "t" } }), offset: 0 };
  assert.equal(droppable(STAMPS, room("disconnect"), message), undefined);
  assert.equal(droppable(STAMPS, { ...room("latest"), room_class: undefined }, message), undefined);
});

Deno.test("the GAP is made once per form, with reason slow-consumer", () => {
  const message = droppable(STAMPS, room("drop-oldest"), {
    envelope: envelope({ event: { type: "t" } }),
    offset: 7,
  });
  assert.ok(message !== undefined && message.durable);
  const binary = message.gap(false);
  assert.equal(message.gap(false), binary);
  const decoded = decodeServerFrame(binary as Uint8Array);
  assert.ok(decoded.kind === "msg");
  assert.deepEqual(decoded.envelope.signal, {
    kind: "GAP",
    target: "r",
    reason: "slow-consumer",
    until_ms: 0,
  });
  assert.deepEqual([decoded.envelope.tenant_id, decoded.envelope.room_id], ["acme", "r"]);
  const { op, signal } = JSON.parse(message.gap(true) as string);
  assert.deepEqual([op, signal.kind, signal.reason], ["msg", "GAP", "slow-consumer"]);
});

/** A subscriber that keeps frames and their messages. */
function kept() {
  const got: { frame: Frame; message: RoomMessage | undefined }[] = [];
  const send = (frame: Frame, message?: RoomMessage) => void got.push({ frame, message });
  return { connection_id: "c1", text: false, no_echo: false, send, got };
}

Deno.test("the hub decides by the current class which messages may be left out", async () => {
  await using test = testDurable([{ room: "ticker-*", slow_reader: "latest" }]);
  const subscriber = kept();
  test.hub.subscribe("acme", "ticker-1", subscriber);
  const publish = async () => {
    const payload = writeEnvelope({ tenant_id: "acme", room_id: "ticker-1", event: { type: "p" } });
    test.spine.publish(roomSubject("in", "acme", "ticker-1"), payload);
    await test.spine.flush();
    return subscriber.got.at(-1)?.message;
  };
  assert.equal((await publish())?.slow_reader, "latest");
  test.classes.setTenant("acme", [tenantClass("ticker-*", { slow_reader: "drop-oldest" })]);
  const message = await publish();
  assert.deepEqual([message?.slow_reader, message?.durable], ["drop-oldest", false]);
  test.classes.setTenant("acme", [tenantClass("ticker-*")]);
  assert.equal(await publish(), undefined);
});

Deno.test("a slow reader of a durable room with drop-oldest continues with the newest message, after a GAP", async () => {
  await using test = testDurable([{ room: "log-*", durable: true, slow_reader: "drop-oldest" }]);
  const log = await test.durable.logs.of("acme");
  const append = async (type: string) => {
    await log.append(
      "log-a",
      writeEnvelope({ tenant_id: "acme", room_id: "log-a", event: { type } }),
    );
    await test.spine.flush();
  };
  const flow = new LogFlow();
  const overflow = () => assert.fail("it is not disconnected");
  const subscriber = { ...kept(), flow, overflow };
  await append("a");
  await test.hub.enter("acme", "log-a", { after: 0, epoch: await epochOf(test) }, () => {
    const behind = { next: () => undefined, offset: 0, lag_bytes: 2 ** 50, lag_messages: 2 };
    flow.rewind(behind);
    test.hub.subscribe("acme", "log-a", subscriber);
  });
  await append("b");
  await append("c");
  assert.ok(flow.is_live);
  const shown = subscriber.got.map(({ frame }) => {
    const decoded = decodeServerFrame(frame as Uint8Array);
    assert.ok(decoded.kind === "msg");
    return decoded.envelope.signal?.reason ??
      `${decoded.envelope.event?.type} ${decoded.envelope.offset}`;
  });
  assert.deepEqual(shown, ["slow-consumer", "b 2", "c 3"]);
  assert.equal(test.stats.slow_reader.dropped, 1);
});

async function epochOf(test: ReturnType<typeof testDurable>): Promise<string> {
  let epoch = "";
  await test.hub.enter("acme", "log-a", undefined, (entry_point) => {
    epoch = entry_point.position().epoch;
  });
  return epoch;
}
